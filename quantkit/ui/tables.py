"""Tables: the watchlist, which one chooses from, and frames as HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets as t

from quantkit.core.errors import UsageError
from quantkit.core.schema import check_symbol
from quantkit.ui.formats import MISSING, direction, escape, percent, price, price_decimals
from quantkit.ui.state import WatchRow

__all__ = ["Cell", "Watchlist", "table_html"]

#: Rows of a time series that a table twin shows.
TABLE_ROWS = 250


class Watchlist(anywidget.AnyWidget):
    """Symbols with their last price, change and last month; a click shows one.

    Attributes
    ----------
    watch : tuple of WatchRow
    symbol : str
        The one that is shown.
    fault : str
        What is wrong with the last symbol that was typed.
    """

    _esm = Path(__file__).with_name("watchlist.js")

    rows = t.List(t.Dict()).tag(sync=True)
    symbol = t.Unicode("").tag(sync=True)
    fault = t.Unicode("").tag(sync=True)
    watch = t.Tuple()

    def __init__(
        self,
        choose: Callable[[str], None],
        add: Callable[[str], None] = lambda symbol: None,
        remove: Callable[[str], None] = lambda symbol: None,
    ) -> None:
        super().__init__()
        self._acts = {"choose": choose, "add": add, "remove": remove}
        self.on_msg(lambda widget, content, buffers: self.receive(content))
        self.observe(lambda change: self.set_trait("rows", [_row(each) for each in self.watch]), "watch")

    def receive(self, content: Any) -> None:
        """Do what a click or a typed symbol asks for; a malformed symbol is said in ``fault``."""
        if not isinstance(content, dict):
            return
        for name, act in self._acts.items():
            if name in content:
                try:
                    act(check_symbol(content[name]))
                except UsageError as error:
                    self.fault = str(error)


def _row(row: WatchRow) -> dict[str, Any]:
    quote = row.quote
    if quote is None:
        return {"symbol": row.symbol, "lastText": MISSING if row.fault else "", "changeText": "", "kind": "flat",
                "trend": "flat", "fault": row.fault, "name": row.fault or row.symbol}  # fmt: skip
    change = quote.change_percent
    return {
        "symbol": row.symbol,
        "name": f"{quote.name}, as of {quote.timestamp:%Y-%m-%d}",
        "last": quote.close,
        "lastText": price(quote.close, price_decimals(quote.currency, quote.close)),
        "change": change if math.isfinite(change) else None,
        "changeText": percent(change, sign=True),
        "kind": direction(change),
        "trend": direction(row.closes[-1] - row.closes[0]) if len(row.closes) > 1 else "flat",
        "closes": list(row.closes),
        "fault": "",
    }


@dataclass(frozen=True, slots=True)
class Cell:
    """How a column of a table is written.

    Attributes
    ----------
    title : str
        Of the column; its name where it is empty.
    write : callable
        From a value to text, which is escaped.
    signed : bool
        Whether it is coloured by its sign.
    bar : bool
        Whether a bar as long as the value stands beside it.
    left : bool
        Whether it is text, and stands at the left.
    """

    title: str = ""
    write: Callable[[Any], str] = str
    signed: bool = False
    bar: bool = False
    left: bool = False

    def html(self, value: Any, longest: float) -> str:
        """The cell of one value, in a column whose largest is `longest`."""
        missing = value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NaT
        text = escape(MISSING if missing else self.write(value))
        kind = direction(float(value)) if self.signed and not missing else ""
        if self.bar:
            share = 0.0 if missing or not longest else min(abs(float(value)) / longest, 1.0)
            side = "down" if not missing and float(value) < 0 else "up"
            text = f"<span>{text}</span><i class='qk-bar {side}' style='--share:{share:.4f}'></i>"
        names = " ".join(
            name for name in (kind, "qk-barred" if self.bar else "", "qk-left" if self.left else "") if name
        )
        return f"<td class='{names}'>{text}</td>"


def table_html(
    frame: pd.DataFrame,
    cells: Mapping[str, Cell],
    *,
    caption: str = "",
    label: str = "",
    most: int = TABLE_ROWS,
    classes: str = "",
    marked: object = None,
) -> str:
    """A frame as an HTML table, everything in it escaped.

    Parameters
    ----------
    frame : DataFrame
        A time index is shown newest first, cut to `most` rows, and that is said.
    cells : mapping of column to Cell
        Columns that are not named are left out, unless none is.
    marked : object
        Label of the row that stands out.
    """
    shown = frame
    if isinstance(frame.index, pd.DatetimeIndex):
        shown = frame.iloc[::-1]
    few = shown.iloc[:most]
    rest = f" The newest {len(few)} of {len(shown)} rows; CSV holds them all." if len(few) < len(shown) else ""
    chosen = {name: cell for name, cell in cells.items() if name in frame} or {str(c): Cell() for c in frame.columns}
    longest = {
        name: float(pd.to_numeric(few[name], errors="coerce").abs().max()) for name, cell in chosen.items() if cell.bar
    }
    head = "".join(
        f"<th scope='col'{' class=qk-left' if cell.left else ''}>{escape(cell.title or name)}</th>"
        for name, cell in chosen.items()
    )
    rows = []
    for name, row in zip(few.index, few[list(chosen)].itertuples(index=False, name=None), strict=True):
        on = " class='on'" if marked is not None and name == marked else ""
        body = "".join(
            cell.html(value, longest.get(column, 0.0))
            for (column, cell), value in zip(chosen.items(), row, strict=True)
        )
        rows.append(f"<tr{on}><th scope='row'>{escape(_label(name))}</th>{body}</tr>")
    said = f"<caption>{escape(caption + rest)}</caption>" if caption or rest else ""
    return (
        f"<table class='qk-table {escape(classes)}'>{said}<thead><tr><th scope='col'>{escape(label)}</th>{head}</tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _label(name: Any) -> str:
    if isinstance(name, pd.Timestamp):
        return name.strftime("%Y-%m-%d" if name == name.normalize() else "%Y-%m-%d %H:%M UTC")
    return str(name)
