"""How returns were distributed, with VaR and ES marked."""

from __future__ import annotations

from typing import Any

import bqplot as bq
import numpy as np
import traitlets as t

from quantkit.ui.charts.base import Chart, Scaling
from quantkit.ui.charts.readout import Column
from quantkit.ui.charts.ticks import price_ticks
from quantkit.ui.formats import percent
from quantkit.ui.tables import Cell
from quantkit.ui.theme import Tokens

__all__ = ["ReturnsHistogram"]


class ReturnsHistogram(Chart):
    """Returns in classes; the VaR of every method as a thin line, VaR and ES of the chosen one as strong ones.

    Attributes
    ----------
    method : str
    """

    method = t.Unicode("auto")

    def __init__(self, *, height: str = "240px") -> None:
        self.cells = {
            "lower": Cell("From", percent), "upper": Cell("To", percent), "count": Cell("Returns", "{:,.0f}".format),
        }  # fmt: skip
        x, y = (bq.LinearScale(allow_padding=False) for _ in range(2))
        scales = {"x": x, "y": y}
        nothing = {"x": np.empty(0), "y": np.empty(0)}
        self.bars = bq.Bars(scales=scales, padding=0.08, stroke_width=0, **nothing)
        self.others = bq.Lines(scales=scales, stroke_width=1.0, opacities=[0.55], **nothing)
        self.var = bq.Lines(scales=scales, stroke_width=1.8, **nothing)
        self.es = bq.Lines(scales=scales, stroke_width=1.8, line_style="dashed", **nothing)
        self.words = bq.Label(scales=scales, default_size=11, align="end", **nothing, text=[])
        self.report: Any = None
        self.history: Any = None
        super().__init__([self.bars, self.others, self.var, self.es, self.words], x, y,
                         scaling=Scaling(percent=False, ticks=4), height=height)  # fmt: skip
        self.observe(lambda change: self._draw(), "method")

    def update(self, history: Any = None, report: Any = None) -> None:
        """Draw a :class:`~quantkit.risk.RiskHistory`, marked with the figures of a ``RiskReport``."""
        self.history, self.report = history or self.history, report or self.report
        self._draw()

    def paint(self, tokens: Tokens) -> None:
        self.others.colors = [tokens.neutral]
        self.var.colors, self.es.colors = [tokens.accent], [tokens.down]
        self.words.colors = [tokens.accent, tokens.down]
        if self.history is not None:
            self._draw()

    def _draw(self) -> None:
        history, report, tokens = self.history, self.report, self.tokens
        if history is None:
            return
        classes = history.histogram
        lower, upper, count = (classes[name].to_numpy(dtype=float) for name in ("lower", "upper", "count"))
        middle, top = (lower + upper) / 2.0, float(count.max())
        fits = report is not None and (report.symbol, report.as_of) == (history.symbol, history.as_of)
        method = self.method if fits and self.method in report.value_at_risk else "auto"
        var, es = (
            (report.value_at_risk[method], report.expected_shortfall[method]) if fits else (float("nan"), float("nan"))
        )
        with self._together():
            ends = [lower[0], upper[-1], *(value for value in (var, es) if np.isfinite(value))]
            room = (max(ends) - min(ends)) * 0.02
            self.x.min, self.x.max = min(ends) - room, max(ends) + room
            self._span(0.0, top, pad=0.14, floor=0.0)
            ticks = price_ticks(self.x.min, self.x.max, 7)
            self.x_axis.tick_format, self.x_axis.tick_values = Scaling().form(ticks), ticks
            self.bars.x, self.bars.y = middle, count
            self.bars.colors = [tokens.down if upper[at] <= var else tokens.neutral for at in range(len(count))]
            others = [] if not fits else [v for v in report.value_at_risk.values() if np.isfinite(v)]
            # One line that goes up and down off the figure's floor: a mark for each method would be a widget for each.
            self.others.x = np.repeat(others, 3) if others else np.empty(0)
            self.others.y = np.tile([np.nan, 0.0, top * 0.32], len(others)) if others else np.empty(0)
            for mark, value in ((self.var, var), (self.es, es)):
                known = np.isfinite(value)
                mark.x = np.array([value, value]) if known else np.empty(0)
                mark.y = np.array([0.0, top * 1.02]) if known else np.empty(0)
            marked = [(value, name) for value, name in ((var, "VaR"), (es, "ES")) if np.isfinite(value)]
            gap = (self.x.max - self.x.min) * 0.008
            self.words.x = np.array([value - gap for value, _ in marked])
            self.words.y = np.array([top * (1.06 - 0.09 * at) for at in range(len(marked))])
            self.words.text = [f"{name} {percent(value)}" for value, name in marked]
        over = f" over {report.horizon} periods" if fits and report.horizon > 1 else ""
        marks = f" VaR {percent(var)} and ES {percent(es)} at {report.level:.4g}{over} by {method}." if fits else ""
        self._tell(
            classes, stem=f"{history.symbol}-returns",
            caption=f"{len(history.returns):,} one-period returns of {history.symbol} in {len(classes)} classes, "
            f"{history.start:%Y-%m-%d} to {history.as_of:%Y-%m-%d}.{marks}",
        )  # fmt: skip
        names = [f"{percent(a)} to {percent(b)}" for a, b in zip(lower, upper, strict=True)]
        self.readout.show(
            names, middle, count, [(Column("Returns", percent=False, digits=0), count)], caption=self.caption,
            rest=int(count.argmax()), note=f"{method}{over}",
        )  # fmt: skip
