"""Commands that ask for market data."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from quantkit.cli.output import AsJson, Interval, Symbol, new_table, number, open_desk, print_answer, print_table, when

__all__ = ["history", "quote", "symbols"]


def symbols(as_json: AsJson = False) -> None:
    """List what can be asked for."""
    with open_desk() as desk:
        if as_json:
            print_answer(desk, "symbols")
            return
        frame = desk.symbols()
    table = new_table("Symbols", [(name, "left") for name in ("symbol", "name", "currency", "intervals", "source")])
    for row in frame.itertuples():
        table.add_row(row.symbol, row.name, row.currency, row.intervals, row.source)
    print_table(table)


def quote(symbol: Symbol, as_json: AsJson = False) -> None:
    """Print the latest price of a symbol."""
    with open_desk() as desk:
        if as_json:
            print_answer(desk, "price", symbol=symbol)
            return
        answer = desk.quote(symbol)
    table = new_table(f"{answer.symbol}  {answer.name}", [("", "left"), ""])
    for name in ("open", "high", "low", "close"):
        table.add_row(name, number(getattr(answer, name)))
    table.add_row("change", f"{answer.change:+,.2f} ({answer.change_percent:+.2%})")
    table.add_row("volume", number(answer.volume, 0))
    table.add_row("as of", f"{answer.timestamp:%Y-%m-%d %H:%M} UTC")
    table.add_row("currency", answer.currency)
    table.add_row("source", f"{answer.source} ({answer.status})")
    print_table(table)


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
    asked: dict[str, Any] = {"symbol": symbol, "period": period, "start": start, "end": end, "interval": interval,
                             "as_of": as_of}  # fmt: skip
    with open_desk() as desk:
        if as_json:
            print_answer(desk, "history", **asked)
            return
        bars = desk.history(**asked)
    about = bars.attrs
    note = " · adjusted prices, currency figures are indicative" if about["price_basis"] == "adjusted" else ""
    table = new_table(
        f"{about['symbol']}  {about['name']}  {about['currency']}",
        [("time", "left"), "open", "high", "low", "close", "volume", "adj close"],
        caption=f"{len(bars)} bars from {about['source']}{note}",
    )
    for time, row in zip(bars.index, bars.itertuples(index=False), strict=True):
        table.add_row(when(time, interval), *(number(row[i], 0 if i == 4 else 2) for i in range(6)))
    print_table(table)
