"""Commands for a person's own data and for the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quantkit.cli.output import Interval, Symbol, new_table, open_desk, print_table, when

__all__ = ["app"]

app = typer.Typer(name="data", help="Import, export, check and back up market data.", no_args_is_help=True)


@app.command("import")
def data_import(
    path: Annotated[Path, typer.Argument(help="A CSV or parquet file")],
    symbol: Annotated[str, typer.Option(help="What to call it")],
    currency: Annotated[str | None, typer.Option(help="ISO 4217, or GBX for pence; USD if the file names none")] = None,
    name: Annotated[str | None, typer.Option(help="Human name")] = None,
) -> None:
    """Make a person's own file a symbol like any other."""
    from quantkit.data.files import import_file

    with open_desk() as desk:
        report = import_file(desk.store, path, symbol=symbol, currency=currency, name=name)
    print(report.in_words())


@app.command("export")
def data_export(
    symbol: Symbol,
    path: Annotated[Path, typer.Argument(help="Ends in .csv or .parquet")],
    interval: Interval = "1d",
) -> None:
    """Write all bars of a symbol to a file that import reads back bit for bit."""
    from quantkit.data.files import write_table

    with open_desk() as desk:
        bars = desk.history(symbol, period="max", interval=interval)  # type: ignore[arg-type]
        write_table(bars, path)
    print(f"{len(bars)} bars of {bars.attrs['symbol']} written to {path}")


@app.command("check")
def data_check(symbol: Symbol, interval: Interval = "1d") -> None:
    """Print the state of a symbol: range, gaps against its exchange's calendar, repairs, quarantine."""
    from quantkit.core.calendars import sessions_between
    from quantkit.core.sessions import session_labels

    with open_desk() as desk:
        bars = desk.history(symbol, period="max", interval=interval)  # type: ignore[arg-type]
        about = bars.attrs
        quarantine = desk.store.quarantine(about["symbol"])
        repairs = desk.store.repairs(about["symbol"])
    held = bars.index if interval == "1d" else session_labels(bars.index, about["calendar"]).unique()
    expected = sessions_between(held[0], held[-1], about["calendar"])
    gaps = expected.difference(held)
    table = new_table(
        f"{about['symbol']}  {about['name']}  {interval} from {about['source']}", [("", "left"), ("", "left")]
    )
    table.add_row("range", f"{when(bars.index[0], interval)} to {when(bars.index[-1], interval)}, {len(bars):,} bars")
    shown = ", ".join(f"{gap:%Y-%m-%d}" for gap in gaps[:5]) + (" ..." if len(gaps) > 5 else "")
    table.add_row(
        "gaps", f"{len(gaps)} of {len(expected):,} {about['calendar']} sessions{': ' + shown if shown else ''}"
    )
    for row in repairs.itertuples():
        table.add_row("repaired", f"{row.rule}: {row.count}")
    for rule, rows in quarantine.groupby("rule"):
        table.add_row("quarantined", f"{rule}: {len(rows)}, the first: {rows['reason'].iloc[0]}")
    print_table(table)


@app.command("backup")
def data_backup(path: Annotated[Path, typer.Argument(help="File to write")]) -> None:
    """Write a consistent copy of the store while everything keeps running."""
    with open_desk() as desk:
        desk.store.backup(path)
    print(f"store copied to {path}")
