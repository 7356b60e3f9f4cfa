"""Widgets and bqplot charts: what a result looks like. Nothing here fetches or computes.

>>> from quantkit.ui import CandleChart
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantkit.ui.charts.candles import CandleChart
    from quantkit.ui.controls import Action, Chip, IntervalButtons, RangeButtons, Switch, exports, toolbar
    from quantkit.ui.page import Page, query_string
    from quantkit.ui.panels import NowPanel
    from quantkit.ui.screens import StockScreen
    from quantkit.ui.state import StockState
    from quantkit.ui.tables import Watchlist

_HOMES = {
    "CandleChart": "charts.candles",
    "Action": "controls", "Chip": "controls", "IntervalButtons": "controls", "RangeButtons": "controls",
    "Switch": "controls", "exports": "controls", "toolbar": "controls",
    "Page": "page", "query_string": "page",
    "NowPanel": "panels",
    "StockScreen": "screens",
    "StockState": "state",
    "Watchlist": "tables",
}  # fmt: skip

__all__ = [
    "Action",
    "CandleChart",
    "Chip",
    "IntervalButtons",
    "NowPanel",
    "Page",
    "RangeButtons",
    "StockScreen",
    "StockState",
    "Switch",
    "Watchlist",
    "exports",
    "query_string",
    "toolbar",
]


def __getattr__(name: str) -> Any:
    # The page template reads the theme without paying for widgets.
    if name in _HOMES:
        return getattr(import_module(f"quantkit.ui.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'quantkit.ui' has no attribute {name!r}")
