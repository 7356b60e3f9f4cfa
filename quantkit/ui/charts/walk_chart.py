"""Forecasts of the past beside what came: the band that was said, the price that followed, and the misses."""

from __future__ import annotations

from typing import Any

import bqplot as bq
import numpy as np
import pandas as pd
import traitlets as t

from quantkit.ui.charts.base import Scaling
from quantkit.ui.charts.lines import LineChart, LineStyle
from quantkit.ui.charts.shapes import Dots
from quantkit.ui.formats import price, price_decimals
from quantkit.ui.tables import Cell, table_html
from quantkit.ui.theme import Tokens

__all__ = ["WalkChart"]


class WalkChart(LineChart):
    """A :class:`~quantkit.forecast.Hindcast`: interval, median, what happened, and what lay outside.

    Attributes
    ----------
    hindcast : Hindcast or None
    zone : str
        Clock that minutes are shown on.
    """

    hindcast = t.Any(None, allow_none=True)
    zone = t.Unicode("UTC")

    def __init__(self, *, height: str = "260px") -> None:
        super().__init__(
            {
                "lower": LineStyle("Lower", "forecast", width=0.6),
                "upper": LineStyle("Upper", "forecast", width=0.6),
                "median": LineStyle("Forecast", "forecast", dash="dashed", width=1.2),
                "actual": LineStyle("Happened", "text", width=1.4),
            },
            scaling=Scaling(percent=False),
            height=height,
        )
        at = {"x": self.x, "y": self.y}
        self.band = bq.Lines(scales=at, fill="between", opacities=[0.0, 0.0], fill_opacities=[0.15], stroke_width=0.0,
                             x=np.empty(0), y=np.empty(0))  # fmt: skip
        self.misses = Dots(at, diameter=7.5)
        self.past = pd.DataFrame()
        # Nothing is drawn yet, and an axis without numbers would count from 0 to 1.
        self.x_axis.visible = self.y_axis.visible = False
        self.figure.marks = [self.band, *self.lines.values(), self.misses]
        self._paint()
        self.observe(lambda change: self.update(self.hindcast), ["hindcast", "zone"])

    def update(self, hindcast: Any) -> None:
        """Draw it; None leaves what is there."""
        if hindcast is None or not hindcast.origins:
            return
        self.past = hindcast.to_frame()
        if hindcast.interval != "1d":
            self.past.index = self.past.index.tz_convert(self.zone)
        digits = price_decimals(hindcast.currency, float(self.past["actual"].iloc[-1]))
        said = {-1: "below", 0: "", 1: "above"}
        cell = {name: Cell(title, lambda value: price(float(value), digits)) for name, title in
                (("origin", "From"), ("median", "Forecast"), ("lower", "Lower"), ("upper", "Upper"),
                 ("actual", "Happened"))}  # fmt: skip
        self.cells = {**cell, "missed": Cell("Missed", lambda value: said[int(value)])}
        at, missed = np.arange(len(self.past), dtype=float), self.past["missed"].to_numpy() != 0
        with self._together():
            self.x_axis.visible = self.y_axis.visible = True
            self.band.x = at
            self.band.y = self.past[["lower", "upper"]].to_numpy(dtype=float).T
            self.misses.draw(at[missed], self.past["actual"].to_numpy(dtype=float)[missed])
            self.draw(
                self.past, note=f"{hindcast.step} ahead",
                stem=f"{hindcast.symbol}-{hindcast.model}-{hindcast.step}-ahead",
                caption=f"{hindcast.symbol}, {hindcast.model}: {hindcast.in_words()}",
            )  # fmt: skip
            self.y_axis.tick_format = f",.{digits}f"

    @property
    def csv(self) -> str:
        """What is drawn as CSV with full precision, the misses marked."""
        return self.past.to_csv(lineterminator="\n")

    def paint(self, tokens: Tokens) -> None:
        """Colours of forecast, outcome and miss."""
        super().paint(tokens)
        if hasattr(self, "band"):
            self.band.colors = self.band.fill_colors = [tokens.forecast]
            self.misses.colors = [tokens.down]

    def _fill_table(self) -> None:
        self.table.layout.display = None if self.show_table else "none"
        if self.show_table and len(self.past):
            self.table.value = table_html(self.past, self.cells, caption=self.caption)
