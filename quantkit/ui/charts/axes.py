"""The two axes of a price chart: how high the prices reach, and what is written beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import bqplot as bq
import numpy as np
import pandas as pd

from quantkit.ui.charts.layers import PRICE_FLOOR, Layer, Scales, View
from quantkit.ui.charts.series import Series
from quantkit.ui.charts.ticks import js_number, log_ticks, price_ticks, time_ticks
from quantkit.ui.theme import Tokens

__all__ = ["PriceAxes"]

#: Pixels on either side of a tick that its label takes.
LABEL_HALF = 22


@dataclass(frozen=True, slots=True)
class _Fitted:
    """What the price scale reaches from and to, without the room for volume."""

    low: float = math.nan
    high: float = math.nan
    traded: bool = False

    def fits(self, bottom: float, top: float, pad: float) -> bool:
        """Whether prices from `bottom` to `top` stand in it with some of their `pad` around them, and fill it."""
        room = 0.2 * pad
        filled = self.high - self.low <= 1.25 * (top - bottom + 2 * pad)
        return self.low <= bottom - room and self.high >= top + room and filled


class PriceAxes:
    """The axes of time and price on a chart's scales.

    Attributes
    ----------
    time, price : bqplot.Axis
    """

    def __init__(self, scales: Scales) -> None:
        self.scales = scales
        self.time = bq.Axis(scale=scales.x, grid_lines="solid", tick_values=np.empty(0))
        self.price = bq.Axis(scale=scales.price, side="right", grid_lines="solid")
        self._fitted = _Fitted()
        self._labelled: tuple[np.ndarray, list[str]] = (np.empty(0), [])

    @property
    def every(self) -> tuple[bq.Axis, bq.Axis]:
        """Both, as a figure takes them."""
        return self.time, self.price

    def paint(self, tokens: Tokens) -> None:
        """Take the colours of a theme."""
        for axis in self.every:
            axis.color, axis.grid_color = tokens.panel, tokens.grid
            axis.tick_style = {"fill": tokens.muted, "font-size": "11px"}
        self.price.tick_style |= {"transform": "translateX(6px)"}

    def fit(self, view: View, layers: Iterable[Layer], *, steady: bool) -> float:
        """Set the price scale to what is in sight; returns the price below which volume stands.

        A `steady` one stays as it is while it fits: no candle moves but the last, and none is drawn anew for another.
        """
        extents = [each for each in (layer.extent(view) for layer in layers) if each is not None]
        if not extents:  # a scale that was moved from outside, past everything
            last = float(view.columns.close[-1])
            extents = [(last, last)]
        bottom, top = (
            float(view.level(end)) for end in (min(low for low, _ in extents), max(high for _, high in extents))
        )
        pad = (top - bottom) * 0.05 or abs(top) * 0.01 or 1.0
        traded = bool(view.candles.volume[view.seen].any())
        if steady and traded == self._fitted.traded and self._fitted.fits(bottom, top, pad):
            return self._fitted.low
        self._fitted = _Fitted(bottom - pad, top + pad, traded)
        below = PRICE_FLOOR / (1 - PRICE_FLOOR) * (top - bottom + 2 * pad) if traded else 0.0
        self.scales.price.min, self.scales.price.max = bottom - pad - below, top + pad
        return bottom - pad

    def label(
        self, view: View, series: Series, width: int, *, floor: float, without: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        """Write times and prices beside the chart of `width` pixels; none of the prices that `without` marks."""
        candles, seen = view.candles, view.seen
        clock = pd.DatetimeIndex(series.clock[candles.first[seen]].astype("datetime64[ms]"))
        position = candles.first[seen].astype(float)
        at, labels = time_ticks(position, clock, most=max(width // 80, 2), intraday=series.intraday)
        # A label whose half would be cut off says less than none.
        room = (view.high - view.low) / max(width, 1) * LABEL_HALF
        fits = (at >= view.low + room) & (at <= view.high - room)
        at, labels = at[fits], [label for label, fit in zip(labels, fits, strict=True) if fit]
        # Two messages, words before places: bqplot writes a tick's text a moment late, with the words it knew when the
        # places changed. The words of the places before are kept so that these never stand as bare numbers.
        before = {js_number(value): text for value, text in zip(*self._labelled, strict=True)}
        self._labelled = (at, labels)
        self.time.tick_labels = before | dict(zip(map(js_number, at), labels, strict=True))
        self.time.tick_values = at
        self._label_prices(view, series, floor, without)

    def _label_prices(
        self, view: View, series: Series, floor: float, without: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        ends = (floor, self.scales.price.max)
        prices = log_ticks(10.0 ** ends[0], 10.0 ** ends[1]) if view.log else price_ticks(*ends)
        at = view.level(prices)
        away = ~without(at)
        prices, at = prices[away], at[away]
        step = float(np.diff(prices).min()) if len(prices) > 1 else 1.0
        finer = min(math.ceil(-math.log10(step) - 1e-9), 6)
        digits = max(finer, series.decimals)
        self.price.tick_format = f",.{digits}f"
        # On a logarithmic scale the labels say the prices, not their logarithms.
        labels = {js_number(level): f"{price:,.{digits}f}" for level, price in zip(at, prices, strict=True)}
        self.price.tick_labels = labels if view.log else None
        self.price.tick_values = at
