"""Tables that one chooses from."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from quantkit.core.errors import UsageError
from quantkit.core.schema import check_symbol
from quantkit.ui.formats import MISSING, direction, percent, price, price_decimals
from quantkit.ui.state import WatchRow

__all__ = ["Watchlist"]


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
