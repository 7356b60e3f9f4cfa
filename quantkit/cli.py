"""The ``quantkit`` command: the questions of Desk on the command line, and what starts the services.

Tables for people; ``--json`` prints the body that the REST API would send. Exit status: 0 fine, 2 wrong usage,
3 no data, 4 vendor, 5 infeasible, 1 anything else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantkit import __version__
from quantkit.core.errors import QuantkitError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from quantkit.core.progress import Progress
    from quantkit.desk import Desk

__all__ = ["main"]

app = typer.Typer(
    name="quantkit",
    help="Market data, forecasts with their proof, risk and portfolios.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(name="data", help="Import, export, check and back up market data.", no_args_is_help=True)
app.add_typer(data_app)

Symbol = Annotated[str, typer.Argument(help="Such as AAPL, ^GSPC, BRK-B, AZN.L")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the body that the REST API sends")]
Interval = Annotated[str, typer.Option(help="1d or 1m")]


def main() -> None:
    """Run the command; an error that quantkit raises on purpose is one sentence and an exit status."""
    try:
        app()
    except QuantkitError as error:
        print(f"quantkit: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # `quantkit history ... | head` has read enough.
        sys.stderr.close()


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@contextmanager
def _desk() -> Iterator[Desk]:
    from quantkit.desk import Desk

    with Desk.open() as desk:
        yield desk


def _print_json(body: Any) -> None:
    print(json.dumps(body, indent=2, allow_nan=False))


def _print_table(table: Table) -> None:
    from rich.console import Console

    # A pipe gets whole rows: rich would otherwise fold them at 80 columns.
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def _table(title: str, columns: list[tuple[str, str]], caption: str | None = None) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    for name, justify in columns:
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    return table


def _number(value: float, digits: int = 2) -> str:
    return "" if value != value else f"{value:,.{digits}f}"


def _when(time: pd.Timestamp, interval: str) -> str:
    return f"{time:%Y-%m-%d}" if interval == "1d" else f"{time:%Y-%m-%d %H:%M}"


def _watched(what: str, question: Callable[[Progress], Any]) -> Any:
    """Answer of `question`, with a progress bar on the terminal while it takes."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as ProgressBar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with ProgressBar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int, doing: str = "") -> None:
            bar.update(task, completed=done, total=total, description=f"{what} {doing}".strip())

        return question(report)




@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="Of the dashboards; the next free one is taken if in use")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback needs QUANTKIT_TOKEN")] = (
        "127.0.0.1"
    ),
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without a token")] = False,
) -> None:
    """Start everything: the dashboards and the workers that compute for them. Ctrl-C stops it all."""
    from quantkit.serve.up import run_up
    from quantkit.settings import Settings

    raise typer.Exit(run_up(Settings.load(), ip=host, port=port, insecure=insecure))


@app.command()
def dashboard(
    port: Annotated[int | None, typer.Option(help="The next free one is taken if in use")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback needs a token")] = "127.0.0.1",
    token: Annotated[str | None, typer.Option(help="What a visitor must know", envvar="QUANTKIT_TOKEN")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without a token")] = False,
    base_url: Annotated[str, typer.Option(help="Path prefix behind a proxy")] = "/",
) -> None:
    """Serve the dashboards alone, computing in their own helper processes."""
    from quantkit.serve.dashboard import run_dashboard
    from quantkit.settings import Settings

    run_dashboard(Settings.load(), ip=host, port=port, token=token, insecure=insecure, base_url=base_url)




@app.command()
def symbols(as_json: AsJson = False) -> None:
    """List what can be asked for."""
    with _desk() as desk:
        frame = desk.symbols()
    if as_json:
        _print_json(json.loads(frame.to_json(orient="records", date_format="iso")))
        return
    table = _table("Symbols", [(name, "left") for name in ("symbol", "name", "currency", "intervals", "source")])
    for row in frame.itertuples():
        table.add_row(row.symbol, row.name, row.currency, row.intervals, row.source)
    _print_table(table)


@app.command()
def quote(symbol: Symbol, as_json: AsJson = False) -> None:
    """Print the latest price of a symbol."""
    from quantkit.api.bodies import price_body

    with _desk() as desk:
        answer = desk.quote(symbol)
    if as_json:
        _print_json(price_body(answer))
        return
    table = _table(f"{answer.symbol}  {answer.name}", [("", "left"), ("", "right")])
    for name in ("open", "high", "low", "close"):
        table.add_row(name, _number(getattr(answer, name)))
    table.add_row("change", f"{answer.change:+,.2f} ({answer.change_percent:+.2%})")
    table.add_row("volume", _number(answer.volume, 0))
    table.add_row("as of", f"{answer.timestamp:%Y-%m-%d %H:%M} UTC")
    table.add_row("currency", answer.currency)
    table.add_row("source", f"{answer.source} ({answer.status})")
    _print_table(table)


@app.command()
def history(
    symbol: Symbol,
    period: Annotated[str | None, typer.Option(help="1d 5d 1mo 6mo ytd 1y 5y max")] = None,
    start: Annotated[str | None, typer.Option(help="First day, such as 2023-01-31")] = None,
    end: Annotated[str | None, typer.Option(help="Last day")] = None,
    interval: Interval = "1d",
    as_of: Annotated[str | None, typer.Option(help="As the store stood on that day")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the bars of a symbol."""
    from quantkit.api.bodies import history_body

    with _desk() as desk:
        bars = desk.history(symbol, period=period, start=start, end=end, interval=interval, as_of=as_of)  # type: ignore[arg-type]
    if as_json:
        _print_json(history_body(bars))
        return
    about = bars.attrs
    note = " · adjusted prices, currency figures are indicative" if about["price_basis"] == "adjusted" else ""
    table = _table(
        f"{about['symbol']}  {about['name']}  {about['currency']}",
        [("time", "left"), *((name, "right") for name in ("open", "high", "low", "close", "volume", "adj close"))],
        caption=f"{len(bars)} bars from {about['source']}{note}",
    )
    for time, row in zip(bars.index, bars.itertuples(index=False), strict=True):
        table.add_row(_when(time, interval), *(_number(row[i], 0 if i == 4 else 2) for i in range(6)))
    _print_table(table)


@app.command()
def predict(
    symbol: Symbol,
    model: Annotated[str, typer.Option(help="auto, or a model by name")] = "auto",
    horizon: Annotated[int, typer.Option(help="Bars ahead")] = 5,
    level: Annotated[float, typer.Option(help="Of the interval, in (0, 1)")] = 0.95,
    interval: Interval = "1d",
    as_json: AsJson = False,
) -> None:
    """Forecast the next bars of a symbol, with the measured coverage and skill."""
    from quantkit.api.bodies import prediction_body

    with _desk() as desk:
        answer = _watched(
            f"{symbol} {model}",
            lambda progress: desk.predict(symbol, model, horizon, level, interval, progress=progress),  # type: ignore[arg-type]
        )
    if as_json:
        _print_json(prediction_body(answer))
        return
    table = _table(
        f"{answer.symbol}  {answer.model}  as of {_when(answer.as_of, interval)}, close "
        f"{_number(answer.last_price)} {answer.currency}",
        [("for", "left"), *((name, "right") for name in ("mean", "median", "lower", "upper", "covered"))],
        caption=f"{answer.in_words()}\nTrend {answer.trend} {answer.trend_probability:.0%}; next-step volatility "
        f"{answer.predicted_volatility:.2%}; {level:.0%} interval.",
    )
    for step in answer.steps:
        prices = (step.mean, step.median, step.lower, step.upper)
        table.add_row(_when(step.timestamp, interval), *map(_number, prices), f"{step.coverage:.1%}")
    _print_table(table)




@data_app.command("import")
def data_import(
    path: Annotated[Path, typer.Argument(help="A CSV or parquet file")],
    symbol: Annotated[str, typer.Option(help="What to call it")],
    currency: Annotated[str, typer.Option(help="ISO 4217, or GBX for pence")] = "USD",
    name: Annotated[str | None, typer.Option(help="Human name")] = None,
) -> None:
    """Make a person's own file a symbol like any other."""
    from quantkit.data.files import import_file

    with _desk() as desk:
        report = import_file(desk.store, path, symbol=symbol, currency=currency, name=name)
    print(report.in_words())


@data_app.command("export")
def data_export(
    symbol: Symbol,
    path: Annotated[Path, typer.Argument(help="Ends in .csv or .parquet")],
    interval: Interval = "1d",
) -> None:
    """Write all bars of a symbol to a file that import reads back bit for bit."""
    from quantkit.data.files import write_table

    with _desk() as desk:
        bars = desk.history(symbol, period="max", interval=interval)  # type: ignore[arg-type]
        write_table(bars, path)
    print(f"{len(bars)} bars of {bars.attrs['symbol']} written to {path}")


@data_app.command("check")
def data_check(symbol: Symbol, interval: Interval = "1d") -> None:
    """Print the state of a symbol: range, gaps against its exchange's calendar, repairs, quarantine."""
    from quantkit.core.calendars import sessions_between
    from quantkit.core.sessions import session_labels

    with _desk() as desk:
        bars = desk.history(symbol, period="max", interval=interval)  # type: ignore[arg-type]
        about = bars.attrs
        quarantine = desk.store.quarantine(about["symbol"])
        repairs = desk.store.repairs(about["symbol"])
    held = bars.index if interval == "1d" else session_labels(bars.index, about["calendar"]).unique()
    expected = sessions_between(held[0], held[-1], about["calendar"])
    gaps = expected.difference(held)
    table = _table(
        f"{about['symbol']}  {about['name']}  {interval} from {about['source']}", [("", "left"), ("", "left")]
    )
    table.add_row("range", f"{_when(bars.index[0], interval)} to {_when(bars.index[-1], interval)}, {len(bars):,} bars")
    shown = ", ".join(f"{gap:%Y-%m-%d}" for gap in gaps[:5]) + (" ..." if len(gaps) > 5 else "")
    table.add_row(
        "gaps", f"{len(gaps)} of {len(expected):,} {about['calendar']} sessions{': ' + shown if shown else ''}"
    )
    for row in repairs.itertuples():
        table.add_row("repaired", f"{row.rule}: {row.count}")
    for rule, rows in quarantine.groupby("rule"):
        table.add_row("quarantined", f"{rule}: {len(rows)}, the first: {rows['reason'].iloc[0]}")
    _print_table(table)


@data_app.command("backup")
def data_backup(path: Annotated[Path, typer.Argument(help="File to write")]) -> None:
    """Write a consistent copy of the store while everything keeps running."""
    with _desk() as desk:
        desk.store.backup(path)
    print(f"store copied to {path}")


@app.command()
def doctor() -> None:
    """Check the installation, the settings, the store, the workers and the browser part, and say what to do."""
    from quantkit.doctor import checks

    table = _table("quantkit doctor", [("", "left"), ("", "left"), ("", "left")])
    failed = False
    for check in checks():
        failed |= check.state == "failed"
        colour = {"fine": "green", "note": "yellow", "failed": "red"}[check.state]
        table.add_row(f"[{colour}]{check.state}[/]", check.what, check.said)
    _print_table(table)
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    main()
