"""What may be drawn over a price chart or beside it, as a row of chips that opens from the tool bar."""

from __future__ import annotations

from typing import Final

import ipywidgets as widgets
import traitlets as t

from quantkit.core.indicators import INDICATORS
from quantkit.ui.controls import Chip, Fault, Switch, TextField

__all__ = ["OverlayChips"]

_HINTS: Final = {
    "bollinger": "Mean of 20 bars, and two standard deviations around it",
    "vwap": "Volume-weighted average price since the session began",
    "rsi": "Wilder's relative strength index over 14 bars, below the chart",
    "macd": "Difference of the 12 and 26 bar exponential means, below the chart",
}


class OverlayChips(widgets.Box):
    """A chip for each indicator and one for a logarithmic scale.

    Attributes
    ----------
    value : tuple of str
        Names that are on, others that it has no chip for among them.
    compare : str
        Symbols to compare with, as somebody typed them; `fault` is what is wrong with them.
    interval : str
        Indicators of a session are offered on minute bars only.
    opener : Switch
        For the tool bar: shows the row, or puts it away.
    """

    value = t.Tuple()
    compare = t.Unicode("")
    fault = t.Unicode("")
    interval = t.Unicode("1d")

    def __init__(self) -> None:
        labels = {name: each.label for name, each in INDICATORS.items()} | {"log": "Log scale"}
        self.chips = {name: Chip(label, False, _HINTS.get(name, label)) for name, label in labels.items()}
        self.field = TextField("Compare", "JPM, XOM", "Up to four symbols, each rebased to 100 at the left edge")
        self.note = Fault()
        t.link((self, "compare"), (self.field, "value"))
        t.dlink((self, "fault"), (self.note, "text"))
        super().__init__([*self.chips.values(), self.field, self.note])
        self.add_class("qk-overlays")
        self.opener = Switch("Indicators", "Moving averages, bands, oscillators, logarithmic scale")
        for name, chip in self.chips.items():
            chip.observe(lambda change, name=name: self._turned(name, change.new), "value")
        self.opener.observe(lambda change: self._lay_out(), "value")
        self.observe(lambda change: self._follow(), "value")
        self.observe(lambda change: self._lay_out(), "interval")
        self.observe(lambda change: setattr(self.opener, "value", self.opener.value or bool(self.compare)), "compare")
        self._lay_out()

    def _turned(self, name: str, on: bool) -> None:
        if on != (name in self.value):
            others = tuple(each for each in self.value if each != name)
            self.value = (*others, name) if on else others

    def _follow(self) -> None:
        for name, chip in self.chips.items():
            chip.value = name in self.value
        if set(self.value) & self.chips.keys():
            self.opener.value = True

    def _lay_out(self) -> None:
        self.layout.display = None if self.opener.value else "none"
        for name, each in INDICATORS.items():
            hidden = each.intraday and self.interval == "1d"
            self.chips[name].layout.display = "none" if hidden else None
