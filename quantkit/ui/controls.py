"""Buttons and switches of a chart's tool bar, dressed by ``style.css``; each has one trait to link to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import ipywidgets as widgets
import traitlets as t

from quantkit.core.calendars import PERIODS
from quantkit.core.schema import INTERVALS

if TYPE_CHECKING:
    from quantkit.ui.charts.candles import CandleChart
    from quantkit.ui.page import Page

__all__ = ["Action", "Chip", "IntervalButtons", "RangeButtons", "Switch", "exports", "toolbar"]

_RANGES: Final = dict(zip(("1D", "5D", "1M", "6M", "YTD", "1Y", "5Y", "MAX"), PERIODS, strict=True))
_RANGE_WORDS: Final = ("last session", "last 5 sessions", "last month", "last 6 months", "since the year began",
                       "last year", "last 5 years", "whole history")  # fmt: skip
_INTERVAL_WORDS: Final = {"1d": ("D", "daily bars"), "1m": ("1m", "one-minute bars")}


class RangeButtons(widgets.ToggleButtons):
    """Span to look at; ``value`` is a period such as ``6mo``.

    Attributes
    ----------
    exact : bool
        Whether the chart shows just that; when somebody has moved on, the button is only outlined.
    """

    exact = t.Bool(True)

    def __init__(self, value: str = "6mo") -> None:
        super().__init__(options=list(_RANGES.items()), value=value, tooltips=_RANGE_WORDS)
        self.add_class("qk-segments")
        self.observe(lambda change: (self.remove_class if self.exact else self.add_class)("qk-loose"), "exact")

    def on_again(self, act: Callable[[], object]) -> None:
        """Call `act` at every click, also on the button that is chosen already."""
        self.on_msg(lambda widget, content, buffers: act() if content.get("event") == "click" else None)


class IntervalButtons(widgets.ToggleButtons):
    """Length of a bar; ``value`` is ``1d`` or ``1m``. With only one to choose from there is nothing to choose."""

    instrument = t.Any(None, allow_none=True)

    def __init__(self, value: str = "1d") -> None:
        options = [(_INTERVAL_WORDS[each][0], each) for each in INTERVALS]
        super().__init__(options=options, value=value, tooltips=[_INTERVAL_WORDS[each][1] for each in INTERVALS])
        self.add_class("qk-segments").add_class("qk-interval")
        self.observe(self._offered, "instrument")

    def _offered(self, change: object) -> None:
        intervals: Sequence[str] = () if self.instrument is None else self.instrument.intervals
        self.layout.display = None if len(intervals) > 1 else "none"


class Chip(widgets.ToggleButton):
    """An overlay to show or not; ``value`` is a bool."""

    def __init__(self, label: str, value: bool = True, tooltip: str = "") -> None:
        super().__init__(description=label, value=value, tooltip=tooltip)
        self.add_class("qk-chip-button")


class Action(widgets.Button):
    """A button in the tool bar."""

    def __init__(self, label: str, tooltip: str, act: Callable[[], object]) -> None:
        super().__init__(description=label, tooltip=tooltip)
        self.add_class("qk-action")
        self.on_click(lambda button: act())


class Switch(widgets.ToggleButton):
    """An action that stays on, such as showing the table."""

    def __init__(self, label: str, tooltip: str, value: bool = False) -> None:
        super().__init__(description=label, tooltip=tooltip, value=value)
        self.add_class("qk-action")


def exports(chart: CandleChart, page: Page) -> list[widgets.Widget]:
    """What one can take away from a chart: its table, CSV of the bars in sight, a picture."""
    table = Switch("Table", "Show the bars in sight as a table")
    t.link((table, "value"), (chart, "show_table"))
    return [
        table,
        Action("CSV", "Download the bars in sight", lambda: page.download(f"{chart.file_stem}.csv", chart.csv)),
        Action("PNG", "Download a picture of the chart", chart.save_png),
    ]


def toolbar(left: Sequence[widgets.Widget], right: Sequence[widgets.Widget] = ()) -> widgets.Box:
    """Controls in one line: `left`, then room, then `right`."""
    gap = widgets.Box().add_class("qk-gap")
    return widgets.Box([*left, gap, *right]).add_class("qk-toolbar")
