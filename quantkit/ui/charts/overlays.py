"""Indicators on a price chart: lines among the candles, and panes of their own below them.

The values are computed elsewhere (``Desk.indicators``); here they are only drawn, one point a candle: an indicator of
many bars to a candle is the one at its last bar.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import bqplot as bq
import ipywidgets as widgets
import numpy as np

from quantkit.core.indicators import INDICATORS
from quantkit.ui.charts.layers import Layer, Scales, View
from quantkit.ui.charts.shapes import Bars
from quantkit.ui.charts.ticks import price_ticks
from quantkit.ui.theme import DARK, Tokens

__all__ = ["ComparePane", "IndicatorLayer", "IndicatorPane", "Pane", "colour_of", "compare_colour", "legend", "rebased"]

#: Lines of one indicator share its colour, and an indicator keeps its colour whatever else is chosen.
_ORDER = ("sma20", "sma50", "sma200", "ema20", "ema50", "bollinger", "vwap", "rsi", "macd")
_SHORT = {
    "bollinger.lower": "BB low", "bollinger.middle": "BB mid", "bollinger.upper": "BB high", "rsi": "RSI",
    "macd.macd": "MACD", "macd.signal": "signal", "macd.histogram": "hist",
}  # fmt: skip
_PANE_HEIGHT = "104px"


def colour_of(column: str, tokens: Tokens) -> str:
    """Colour of an indicator's line in a theme."""
    name, _, part = column.partition(".")
    at = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    return tokens.series[(at + (part == "signal")) % len(tokens.series)]


def legend(column: str) -> str:
    """An indicator's column as a readout names it: there is little room."""
    return _SHORT.get(column) or INDICATORS[column].label


class IndicatorLayer(Layer):
    """Every indicator whose values are prices, as one mark of several lines."""

    def __init__(self, scales: Scales) -> None:
        super().__init__()
        self.lines = bq.Lines(scales={"x": scales.x, "y": scales.price}, stroke_width=1.3, visible=False)
        self.marks = [self.lines]
        self._tokens = DARK

    def draw(self, view: View) -> None:
        """Redraw the lines."""
        last = view.candles.last
        drawn = {column: each[last] for column, each in _of_pane(view.indicators, "price").items()}
        x, drawn = _known(view.candles.position, drawn)
        self.lines.visible = bool(drawn)
        if drawn:
            self.lines.x = x
            self.lines.y = np.array([view.level(values) for values in drawn.values()])
            self.lines.colors = [colour_of(column, self._tokens) for column in drawn]

    def extent(self, view: View) -> tuple[float, float] | None:
        """What the lines reach within the range in sight."""
        last = view.candles.last[view.seen]
        seen = [values[last] for values in _of_pane(view.indicators, "price").values()]
        known = np.concatenate(seen) if seen else np.empty(0)
        known = known[np.isfinite(known) & (known > 0.0)]
        return (float(known.min()), float(known.max())) if len(known) else None

    def paint(self, tokens: Tokens) -> None:
        """Colours, used at the next drawing."""
        self._tokens = tokens


class Pane(Layer):
    """A figure of its own below the chart that moves with it, there only while it has something to show.

    Attributes
    ----------
    widget : Box
    """

    def __init__(self, scales: Scales, label: str, margin: Mapping[str, int], *, bars: bool = False) -> None:
        super().__init__()
        self.scale = bq.LinearScale(allow_padding=False)
        at = {"x": scales.x, "y": self.scale}
        self.lines = bq.Lines(scales=at, stroke_width=1.3)
        self.bars = Bars(at) if bars else None
        self.axis = bq.Axis(scale=self.scale, side="right", grid_lines="solid")
        self.figure = bq.Figure(
            marks=[*(self.bars.marks if self.bars is not None else ()), self.lines], axes=[self.axis],
            animation_duration=0, padding_x=0, padding_y=0, min_aspect_ratio=0.01, max_aspect_ratio=1000,
            display_toolbar=False, fig_margin={"top": 6, "bottom": 6, **margin},
            layout=widgets.Layout(width="100%", height=_PANE_HEIGHT, min_width="0", min_height="0"),
        )  # fmt: skip
        title = widgets.HTML(f"<span class='qk-pane-label'>{label}</span>")
        # A figure that is hidden has no size, with which bqplot would draw: it is only there while it is seen.
        self._content = (title, self.figure)
        self.widget = widgets.Box(layout=widgets.Layout(display="none")).add_class("qk-pane")
        self._tokens = DARK

    @property
    def every(self) -> tuple[bq.Mark | bq.Axis | bq.Scale | bq.Figure, ...]:
        """Widgets whose changes belong into one message."""
        return (*self.figure.marks, self.axis, self.scale, self.figure)

    def present(self, there: bool) -> None:
        """Show the pane, or put it away."""
        self.widget.layout.display = None if there else "none"
        self.widget.children = self._content if there else ()

    def paint(self, tokens: Tokens) -> None:
        """Colours; those of lines are used at the next drawing."""
        self._tokens = tokens
        if self.bars is not None:
            self.bars.paint(tokens.up, tokens.down)
        self.figure.background_style = {"fill": tokens.panel}
        self.axis.color, self.axis.grid_color = tokens.panel, tokens.grid
        self.axis.tick_style = {"fill": tokens.muted, "font-size": "11px", "transform": "translateX(6px)"}

    def _scale_to(self, low: float, high: float) -> None:
        """Scale from `low` to `high`, with a few round ticks."""
        self.scale.min, self.scale.max = low, high
        ticks = price_ticks(low, high, 4)
        step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
        self.axis.tick_values = ticks
        self.axis.tick_format = f",.{max(math.ceil(-math.log10(step) - 1e-9), 0)}f"


class IndicatorPane(Pane):
    """One indicator with a scale of its own."""

    def __init__(self, scales: Scales, name: str, margin: Mapping[str, int]) -> None:
        super().__init__(scales, INDICATORS[name].label, margin, bars=name == "macd")
        self.name = name

    def draw(self, view: View) -> None:
        """Redraw the pane, or put it away."""
        own = self._own(view)
        self.present(bool(own))
        if not own:
            return
        candles = view.candles
        lines = {column: each[candles.last] for column, each in own.items() if not column.endswith(".histogram")}
        x, lines = _known(candles.position, lines)
        self.lines.visible = bool(lines)
        if lines:
            self.lines.x, self.lines.y = x, np.array(list(lines.values()))
            self.lines.colors = [colour_of(column, self._tokens) for column in lines]
        histogram = own.get(f"{self.name}.histogram")
        if self.bars is not None and histogram is not None:
            heights = np.nan_to_num(histogram[candles.last])
            self.bars.draw(candles.position, heights, heights >= 0.0, size=candles.size)

    def fit(self, view: View) -> None:
        """Scale to what is in sight; an oscillator of 0 to 100 keeps its whole range."""
        own = self._own(view)
        if not own:
            return
        if self.name == "rsi":
            self.scale.min, self.scale.max = 0.0, 100.0
            self.axis.tick_values = np.array([30.0, 50.0, 70.0])
            return
        seen = np.concatenate([values[view.candles.last[view.seen]] for values in own.values()])
        reach = 1.1 * (float(np.nanmax(np.abs(seen), initial=0.0)) or 1.0)
        self._scale_to(-reach, reach)

    def _own(self, view: View) -> dict[str, np.ndarray]:
        return {column: values for column, values in view.indicators.items() if column.partition(".")[0] == self.name}


class ComparePane(Pane):
    """The symbol and others beside it, each 100 at the left edge of what is in sight."""

    def __init__(self, scales: Scales, margin: Mapping[str, int]) -> None:
        super().__init__(scales, "Rebased to 100, dividends included", margin)

    def draw(self, view: View) -> None:
        """Show the pane, or put it away; it is drawn anew for every range."""
        self.present(bool(view.compared))

    def fit(self, view: View) -> None:
        """Rebase to the range in sight."""
        if not view.compared:
            return
        shown = rebased(view)
        x, lines = _known(view.candles.position, shown)
        self.lines.visible = bool(lines)
        if not lines:
            return
        self.lines.x, self.lines.y = x, np.array(list(lines.values()))
        self.lines.colors = [compare_colour(at, self._tokens) for at, name in enumerate(shown) if name in lines]
        seen = np.concatenate([values[view.seen] for values in shown.values()])
        low, high = float(np.nanmin(seen)), float(np.nanmax(seen))
        room = 0.08 * (high - low) or 1.0
        self._scale_to(low - room, high + room)


def rebased(view: View) -> dict[str, np.ndarray]:
    """Every compared symbol at each candle, 100 at the first candle in sight at which all have a price."""
    last, seen = view.candles.last, view.seen
    at = {name: values[last] for name, values in view.compared.items()}
    together = np.all([np.isfinite(values[seen]) for values in at.values()], axis=0)
    base = seen.start + int(np.argmax(together)) if together.any() else None
    if base is None:
        return {name: np.full(len(last), np.nan) for name in at}
    return {name: 100.0 * values / values[base] for name, values in at.items()}


def compare_colour(at: int, tokens: Tokens) -> str:
    """Colour of the compared symbol number `at`; the first is the chart's own."""
    return tokens.accent if at == 0 else tokens.series[at % len(tokens.series)]


def _known(x: np.ndarray, lines: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """`lines` up to the last candle that one of them knows, without those that are not known there.

    bqplot labels a line at its last point, also where labels are not shown, and cannot place one that is missing.
    """
    there = [np.flatnonzero(np.isfinite(values)) for values in lines.values()]
    end = max((int(each[-1]) + 1 for each in there if len(each)), default=0)
    return x[:end], {name: values[:end] for name, values in lines.items() if end and np.isfinite(values[end - 1])}


def _of_pane(values: Mapping[str, np.ndarray], pane: str) -> dict[str, np.ndarray]:
    return {column: each for column, each in values.items() if INDICATORS[column.partition(".")[0]].pane == pane}
