"""What is drawn over a price chart's bars: each layer owns its bqplot marks and redraws them from one view.

A new overlay is a new subclass of :class:`Layer`, handed to ``CandleChart(layers=[...])``, which makes it with the
chart's scales.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import bqplot as bq
import numpy as np

from quantkit.ui.charts.aggregate import BarColumns, Candles
from quantkit.ui.charts.shapes import Bars, Candlesticks
from quantkit.ui.charts.ticks import js_number
from quantkit.ui.theme import DARK, Tokens

if TYPE_CHECKING:
    from quantkit.forecast.base import Forecast

__all__ = [
    "ActionLayer", "CandleLayer", "FanLayer", "LastPriceLayer", "Layer", "Scales", "View", "VolumeLayer", "per_candle",
]  # fmt: skip

#: Share of the figure's height that volume may take, and that prices leave free below them.
VOLUME_SHARE = 0.15
PRICE_FLOOR = 0.18


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What is looked at: all bars of the series, the candles drawn of them, and the range in sight.

    Attributes
    ----------
    columns : BarColumns
    candles : Candles
        Of the range in sight and a margin on both sides.
    low, high : float
        The range in sight, in bar numbers.
    forecast : Forecast or None
    decimals : int
        Of prices.
    indicators : mapping of column to ndarray, shape (T,)
        What ``Desk.indicators`` says of every bar.
    log : bool
        Whether the price scale is logarithmic.
    compared : mapping of symbol to ndarray, shape (T,)
        Total-return prices of the symbol and those it is compared with, at every bar.
    actions : mapping of {"dividend", "split", "earnings"} to ndarray, shape (T,)
        Amount or ratio at the bars that have one, NaN at all others; only kinds of which there is any.
    """

    columns: BarColumns
    candles: Candles
    low: float
    high: float
    forecast: Forecast | None
    decimals: int
    indicators: Mapping[str, np.ndarray] = field(default_factory=dict)
    log: bool = False
    compared: Mapping[str, np.ndarray] = field(default_factory=dict)
    actions: Mapping[str, np.ndarray] = field(default_factory=dict)

    def level(self, price: Any) -> Any:
        """Where a price stands on the price scale: on a logarithmic one its decimal logarithm, NaN if it has none."""
        if not self.log:
            return price
        price = np.asarray(price, dtype=float)
        return np.log10(price, out=np.full_like(price, np.nan), where=price > 0.0)

    @property
    def seen(self) -> slice:
        """Candles whose middle lies in the range in sight; at least one where there are any."""
        position = self.candles.position
        first = int(np.searchsorted(position, self.low, side="left"))
        last = int(np.searchsorted(position, self.high, side="right"))
        if first >= last:
            first = min(first, max(len(position) - 1, 0))
            last = first + 1
        return slice(first, last)


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """Scales of a price figure: bar number, price, and volume along the bottom."""

    x: bq.LinearScale
    price: bq.LinearScale
    volume: bq.LinearScale


class Layer(ABC):
    """Marks of one kind over the bars.

    Attributes
    ----------
    marks : list of Mark
        In the order in which they are drawn.
    axes : list of Axis
    costly : list of Mark
        Those of ``marks`` that have an element for every bar, which each drawing sends anew.
    """

    marks: list[bq.Mark]
    axes: list[bq.Axis]
    costly: list[bq.Mark]

    def __init__(self) -> None:
        self.marks, self.axes, self.costly = [], [], []

    @abstractmethod
    def draw(self, view: View) -> None:
        """Redraw the marks: the candles of `view` are others than before."""

    def fit(self, view: View) -> None:  # noqa: B027 - most layers follow their scales by themselves
        """Follow the range in sight, also where the same candles are still drawn; prices are scaled already."""

    def extent(self, view: View) -> tuple[float, float] | None:
        """Lowest and highest price that must be in sight; None if it asks for nothing."""
        return None

    @abstractmethod
    def paint(self, tokens: Tokens) -> None:
        """Take the colours of a theme; a drawing follows."""


class CandleLayer(Layer):
    """Candles, rising and falling; a line where only closes exist."""

    def __init__(self, scales: Scales) -> None:
        super().__init__()
        at = {"x": scales.x, "y": scales.price}
        self.sticks = Candlesticks(at)
        self.line = bq.Lines(scales=at, stroke_width=1.5, visible=False)
        self.marks = [*self.sticks.marks, self.line]
        self.costly = self.sticks.marks

    def draw(self, view: View) -> None:
        """Redraw the candles."""
        candles, quoted = view.candles, view.candles.quoted
        prices = np.column_stack([candles.open, candles.high, candles.low, candles.close])[quoted]
        self.sticks.draw(candles.position[quoted], view.level(prices), size=candles.size)
        alone = ~quoted
        self.line.visible = bool(alone.any())
        if self.line.visible:
            alone[:-1] |= alone[1:]  # the line sets off from the last candle
            self.line.x, self.line.y = candles.position, view.level(np.where(alone, candles.close, np.nan))

    def extent(self, view: View) -> tuple[float, float] | None:
        """Lowest low and highest high in sight."""
        low, high = view.candles.low[view.seen], view.candles.high[view.seen]
        return (float(low.min()), float(high.max())) if len(low) else None

    def paint(self, tokens: Tokens) -> None:
        """Colours of rising and falling."""
        self.sticks.paint(tokens.up, tokens.down)
        self.line.colors = [tokens.accent]


class VolumeLayer(Layer):
    """Volume along the bottom, coloured like its candle."""

    def __init__(self, scales: Scales) -> None:
        super().__init__()
        self.scale = scales.volume
        self.bars = Bars({"x": scales.x, "y": scales.volume})
        self.marks = self.costly = self.bars.marks

    def draw(self, view: View) -> None:
        """Redraw the bars."""
        candles = view.candles
        if candles.volume.any():
            up = candles.close >= candles.open
            self.bars.draw(candles.position, candles.volume, up, size=candles.size)
        else:
            self.bars.hide()

    def fit(self, view: View) -> None:
        """Give the tallest bar in sight its share of the height."""
        tallest = float(view.candles.volume[view.seen].max(initial=0.0))
        self.scale.max = max(tallest, 1e-9) / VOLUME_SHARE

    def paint(self, tokens: Tokens) -> None:
        """Colours of rising and falling."""
        self.bars.paint(tokens.up, tokens.down)


class ActionLayer(Layer):
    """Splits, dividends and earnings as letters along the bottom; points where there are too many for letters."""

    #: Letters that fit beside each other over the width of a chart.
    MOST = 60

    def __init__(self, scales: Scales) -> None:
        super().__init__()
        self.letters = bq.Label(
            scales={"x": scales.x, "y": scales.volume}, align="middle", y_offset=-3, default_size=10, enable_move=False,
            font_weight="bold", text=[], x=np.empty(0), y=np.empty(0),
        )  # fmt: skip
        self.marks = [self.letters]
        self.paint(DARK)

    def draw(self, view: View) -> None:
        """Redraw the letters."""
        found: dict[int, list[str]] = {}
        for kind in view.actions:
            for place in np.flatnonzero(np.isfinite(per_candle(view, kind))).tolist():
                found.setdefault(place, []).append(kind)
        many = len(found) > self.MOST
        self.letters.x = view.candles.position[list(found)]
        self.letters.y = np.zeros(len(found))
        self.letters.text = ["·" if many else "".join(kind[0].upper() for kind in kinds) for kinds in found.values()]
        self.letters.colors = [self._colours[kinds[0]] for kinds in found.values()] or [DARK.accent]

    def paint(self, tokens: Tokens) -> None:
        """Colours, used at the next drawing."""
        self._colours = {"dividend": tokens.accent, "split": tokens.forecast, "earnings": tokens.text}


def per_candle(view: View, kind: str) -> np.ndarray:
    """Actions of a `kind` in each candle, NaN where there are none: amounts add up, ratios of splits multiply."""
    values, candles = view.actions[kind], view.candles
    neutral, gather = (1.0, np.multiply) if kind == "split" else (0.0, np.add)
    there = np.isfinite(values)
    if not len(candles):
        return np.empty(0)
    stop = int(candles.last[-1]) + 1
    first = candles.first.astype(int)
    total = gather.reduceat(np.where(there, values, neutral)[:stop], first)
    return np.where(np.logical_or.reduceat(there[:stop], first), total, np.nan)


class FanLayer(Layer):
    """Forecast past the last bar: a band per level, the widest palest, and the mean as a dashed line."""

    def __init__(self, scales: Scales, bands: int = 3) -> None:
        super().__init__()
        at = {"x": scales.x, "y": scales.price}
        self.bands = [
            bq.Lines(scales=at, fill="between", opacities=[0.0, 0.0], fill_opacities=[0.16], stroke_width=0.0,
                     visible=False)
            for _ in range(bands)
        ]  # fmt: skip
        self.mean = bq.Lines(scales=at, line_style="dashed", stroke_width=1.6, visible=False)
        self.marks = [*self.bands, self.mean]
        self.shown = True

    def draw(self, view: View) -> None:
        """Redraw bands and mean, or hide them."""
        forecast = view.forecast
        fan = () if forecast is None else sorted(forecast.fan, key=lambda band: -band.level)[: len(self.bands)]
        for mark, band in zip(self.bands, fan, strict=False):
            x = self._steps(view)
            mark.x = x
            mark.y = view.level(np.array([self._from_last(view, band.lower), self._from_last(view, band.upper)]))
            mark.visible = self.shown
        for mark in self.bands[len(fan) :]:
            mark.visible = False
        if forecast is not None:
            self.mean.x = self._steps(view)
            self.mean.y = view.level(self._from_last(view, [step.mean for step in forecast.steps]))
        self.mean.visible = forecast is not None and self.shown

    def extent(self, view: View) -> tuple[float, float] | None:
        """Bounds of the widest band at the steps in sight."""
        forecast = view.forecast
        if forecast is None or not self.shown or not forecast.fan:
            return None
        steps = self._steps(view)[1:]
        seen = (steps >= view.low) & (steps <= view.high)
        if not seen.any():
            return None
        widest = max(forecast.fan, key=lambda band: band.level)
        return float(np.min(np.array(widest.lower)[seen])), float(np.max(np.array(widest.upper)[seen]))

    def paint(self, tokens: Tokens) -> None:
        """Colour of forecasts."""
        for band in self.bands:
            band.colors = [tokens.forecast]
            band.fill_colors = [tokens.forecast]
        self.mean.colors = [tokens.forecast]

    @staticmethod
    def _steps(view: View) -> np.ndarray:
        assert view.forecast is not None
        # Later bars than the one it stands on may have arrived since: it stays where it was made.
        made = view.forecast.as_of.as_unit("us").asm8.astype(np.int64)  # `value` would be nanoseconds
        origin = int(np.searchsorted(view.columns.time, made, side="right")) - 1
        return origin + np.arange(view.forecast.horizon + 1, dtype=float)

    @staticmethod
    def _from_last(view: View, values: object) -> np.ndarray:
        assert view.forecast is not None
        return np.concatenate([[view.forecast.last_price], np.asarray(values, dtype=float)])


class LastPriceLayer(Layer):
    """Dotted line at the last close, and its tag on the price axis."""

    def __init__(self, scales: Scales) -> None:
        super().__init__()
        self.scale = scales.price
        self.line = bq.Lines(scales={"x": scales.x, "y": scales.price}, line_style="dotted", stroke_width=1.0,
                             opacities=[0.8], visible=False)  # fmt: skip
        self.tag = bq.Axis(scale=scales.price, side="right", grid_lines="none", visible=False)
        self.marks, self.axes = [self.line], [self.tag]
        self._tokens = DARK

    def draw(self, view: View) -> None:
        """Move line and tag."""
        close = view.columns.close
        if not len(close):
            return
        # Never in sight, and mostly the same after another bar.
        last, far = float(close[-1]), 2.0 ** math.ceil(math.log2(4.0 * len(close) + 1000.0 * view.candles.size))
        colour = self._tokens.down if len(close) > 1 and last < close[-2] else self._tokens.up
        at = float(view.level(last))
        self.line.x, self.line.y, self.line.colors = np.array([-far, far]), np.array([at, at]), [colour]
        self.tag.tick_labels = {js_number(at): f"{last:,.{view.decimals}f}"}
        self.tag.tick_values = np.array([at])
        # On a screen the pointer lays a box over it, which no axis can hold; this is what a saved picture shows.
        self.tag.tick_style = {"fill": colour, "font-size": "11px", "transform": "translateX(6px)"}
        self.tag.color = self._tokens.panel

    def fit(self, view: View) -> None:
        """Show line and tag while the last close is within the prices in sight: an axis would draw beyond its end."""
        close = view.columns.close
        shown = len(close) > 0 and bool(self.scale.min <= view.level(close[-1]) <= self.scale.max)
        self.line.visible = self.tag.visible = shown

    def paint(self, tokens: Tokens) -> None:
        """Colours, used at the next drawing."""
        self._tokens = tokens

    def near(self, ticks: np.ndarray) -> np.ndarray:
        """Which of `ticks` the tag would cover."""
        if not self.tag.visible or self.tag.tick_values is None or self.scale.max is None:
            return np.zeros(len(ticks), dtype=bool)
        room = (self.scale.max - self.scale.min) * 0.022
        return np.abs(ticks - float(self.tag.tick_values[0])) < room
