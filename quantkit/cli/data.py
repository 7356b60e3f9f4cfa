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
    """Print the state of a symbol: range, sources, gaps against its exchange's calendar, repairs, quarantine, flags."""
    from quantkit.data.inspection import inspect

    with open_desk() as desk:
        about = desk.history(symbol, period="max", interval=interval).attrs  # type: ignore[arg-type]
        found = inspect(desk.store, about["symbol"], interval, calendar=about["calendar"])  # type: ignore[arg-type]
    bars = found.bars
    table = new_table(
        f"{about['symbol']}  {about['name']}  {interval} from {about['source']} ({about['status']})",
        [("", "left"), ("", "left")],
        caption=about.get("note", ""),
    )
    table.add_row("range", f"{when(bars.index[0], interval)} to {when(bars.index[-1], interval)}, {len(bars):,} bars")
    table.add_row("sources", ", ".join(f"{source}: {count:,} bars" for source, count in found.sources.items()))
    shown = ", ".join(f"{gap:%Y-%m-%d}" for gap in found.gaps[:5]) + (" ..." if len(found.gaps) > 5 else "")
    table.add_row(
        "gaps",
        f"{len(found.gaps)} of {found.sessions:,} {about['calendar']} sessions{': ' + shown if shown else ''}",
    )
    if interval == "1m":
        table.add_row("absent", f"{found.absent:,} minutes of the other sessions: no trade, or not sent")
    for row in found.repairs.itertuples():
        table.add_row("repaired", f"{row.rule}: {row.count} (from {row.source})")
    for rule, rows in found.quarantine.groupby("rule"):
        first = rows.iloc[0]
        table.add_row("quarantined", f"{rule}: {len(rows)}, the first: {first['reason']}: {first['text']}")
    for rule, rows in found.flags.groupby("rule"):
        dates = ", ".join(when(time, interval) for time in rows["time"][:3]) + (" ..." if len(rows) > 3 else "")
        table.add_row("flagged", f"{rule}: {len(rows)} ({dates}): {rows['reason'].iloc[0]}")
    print_table(table)


@app.command("backup")
def data_backup(path: Annotated[Path, typer.Argument(help="File to write")]) -> None:
    """Write a consistent copy of the store while everything keeps running."""
    with open_desk() as desk:
        desk.store.backup(path)
    print(f"store copied to {path}")
