"""Buttons and switches of a chart's tool bar, dressed by ``style.css``; each has one trait to link to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import ipywidgets as widgets
import traitlets as t

from quantkit.core.calendars import PERIODS
from quantkit.core.schema import INTERVALS
from quantkit.ui.formats import escape

if TYPE_CHECKING:
    from quantkit.ui.charts.base import Chart
    from quantkit.ui.charts.candles import CandleChart
    from quantkit.ui.page import Page

__all__ = ["Action", "Chip", "Choice", "CountField", "CsvUpload", "Fault", "IntervalButtons", "NumberField",
           "PercentField", "RangeButtons", "Switch", "TextField", "csv_export", "exports", "toolbar"]  # fmt: skip

#: Of an uploaded file; the rest is not read.
MOST_BYTES: Final = 400_000

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

    def __init__(self, value: str = "6mo", *, least: str = "1d") -> None:
        shown = slice(list(_RANGES.values()).index(least), None)
        super().__init__(options=list(_RANGES.items())[shown], value=value, tooltips=_RANGE_WORDS[shown])
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


def exports(chart: CandleChart | Chart, page: Page) -> list[widgets.Widget]:
    """What one can take away from a chart: its table, CSV of the bars in sight, a picture."""
    table = Switch("Table", "Show what is drawn as a table")
    t.link((table, "value"), (chart, "show_table"))
    return [
        table,
        Action("CSV", "Download what is drawn", lambda: page.download(f"{chart.file_stem}.csv", chart.csv)),
        Action("PNG", "Download a picture of the chart", chart.save_png),
    ]


def toolbar(left: Sequence[widgets.Widget], right: Sequence[widgets.Widget] = ()) -> widgets.Box:
    """Controls in one line: `left`, then room, then `right`."""
    gap = widgets.Box().add_class("qk-gap")
    return widgets.Box([*left, gap, *right]).add_class("qk-toolbar")


class Choice(widgets.Dropdown):
    """One of a few, with its label."""

    def __init__(self, label: str, options: Sequence[Any], value: Any, tooltip: str = "") -> None:
        super().__init__(description=label, options=list(options), value=value, tooltip=tooltip or label)
        self.add_class("qk-field")


class NumberField(widgets.BoundedFloatText):
    """A number that is taken when it is finished: Enter, or leaving the field."""

    def __init__(
        self, label: str, value: float, low: float, high: float, *, step: float = 1.0, tooltip: str = ""
    ) -> None:
        super().__init__(description=label, value=value, min=low, max=high, step=step, tooltip=tooltip or label,
                         continuous_update=False)  # fmt: skip
        self.add_class("qk-field").add_class("qk-number")
        if high > 1e6:
            self.add_class("qk-money")


class CountField(widgets.BoundedIntText):
    """A whole number that is taken when it is finished."""

    def __init__(self, label: str, value: int, low: int, high: int, *, tooltip: str = "") -> None:
        super().__init__(description=label, value=value, min=low, max=high, tooltip=tooltip or label,
                         continuous_update=False)  # fmt: skip
        self.add_class("qk-field").add_class("qk-number")


class PercentField(NumberField):
    """A number shown in per cent.

    Attributes
    ----------
    decimal : float
        The same as a decimal; link to this one.
    shown : bool
        Whether it matters now.
    """

    decimal = t.Float(0.0)
    shown = t.Bool(True)

    def __init__(self, label: str, decimal: float, low: float, high: float, **options: Any) -> None:
        super().__init__(f"{label} %", decimal * 100.0, low * 100.0, high * 100.0, **options)
        self.decimal = decimal
        self.observe(lambda change: self.set_trait("decimal", round(self.value / 100.0, 10)), "value")
        self.observe(lambda change: self.set_trait("value", round(self.decimal * 100.0, 8)), "decimal")
        self.observe(lambda change: setattr(self.layout, "display", None if self.shown else "none"), "shown")


class TextField(widgets.Text):
    """A line of text that is taken when it is finished.

    Parameters
    ----------
    clears : bool
        Whether it is empty again once it was taken.
    """

    def __init__(self, label: str, placeholder: str = "", tooltip: str = "", *, clears: bool = False) -> None:
        super().__init__(description=label, placeholder=placeholder, tooltip=tooltip or label, continuous_update=False)
        self.add_class("qk-field").add_class("qk-text")
        self._clears = clears

    def on_given(self, take: Callable[[str], object]) -> None:
        """Call `take` with what was entered."""

        def given(change: Any) -> None:
            if change.new:
                if self._clears:
                    self.value = ""
                take(change.new)

        self.observe(given, "value")


class CsvUpload(widgets.FileUpload):
    """A CSV that somebody hands over; `take` gets its text."""

    def __init__(self, label: str, take: Callable[[str], object], tooltip: str = "") -> None:
        super().__init__(accept=".csv,.txt,.tsv", multiple=False, description=label, icon="", tooltip=tooltip)
        self.add_class("qk-action").add_class("qk-upload")
        self.observe(lambda change: self._taken(take), "value")

    def _taken(self, take: Callable[[str], object]) -> None:
        files: Any = self.value  # type: ignore[has-type]
        if files:
            take(bytes(files[0]["content"][:MOST_BYTES]).decode("utf-8-sig", errors="replace"))
            self.value = ()  # the same file once more is a change again


class Fault(widgets.HTML):
    """What is wrong with what was entered, beside where it was entered."""

    text = t.Unicode("")

    def __init__(self) -> None:
        super().__init__(layout=widgets.Layout(display="none"))
        self.observe(lambda change: self._show(), "text")

    def _show(self) -> None:
        self.layout.display = None if self.text else "none"
        self.value = f"<p class='qk-fault' role='alert'>{escape(self.text)}</p>" if self.text else ""


def csv_export(table: Any, page: Page) -> list[widgets.Widget]:
    """The CSV of a table."""
    return [Action("CSV", "Download this table", lambda: page.download(f"{table.file_stem}.csv", table.csv))]
