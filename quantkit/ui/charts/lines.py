"""Lines through time: volatility, value at risk and its breaches, drawdown, rolling figures, wealth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bqplot as bq
import numpy as np
import pandas as pd
import traitlets as t

from quantkit.ui.charts.base import PERCENT, Chart, Scaling
from quantkit.ui.charts.readout import Column
from quantkit.ui.charts.shapes import Dots
from quantkit.ui.charts.ticks import time_ticks
from quantkit.ui.formats import percent, price
from quantkit.ui.tables import Cell
from quantkit.ui.theme import Tokens

__all__ = ["CorrelationChart", "LineChart", "LineStyle", "RollingChart", "UnderwaterChart", "VarChart",
           "VolatilityChart", "WealthChart"]  # fmt: skip

LABEL_HALF = 22


@dataclass(frozen=True, slots=True)
class LineStyle:
    """How one column of the frame is drawn.

    Attributes
    ----------
    title : str
    colour : str
        A token of the theme.
    dash : {"solid", "dashed", "dotted"}
    area : bool
        Whether the room between the line and zero is filled.
    dots : bool
        Whether points are drawn in place of a line.
    width : float
        Of the line, or of the dots, in CSS pixels.
    opacity : float
        Of the dots.
    """

    title: str
    colour: str
    dash: str = "solid"
    area: bool = False
    dots: bool = False
    width: float = 1.3
    opacity: float = 1.0


class LineChart(Chart):
    """Columns of a frame through time, by row number, so that weekends and nights take no space."""

    def __init__(
        self,
        styles: Mapping[str, LineStyle],
        *,
        scaling: Scaling = PERCENT,
        height: str = "240px",
        zero: bool = False,
    ) -> None:
        self.styles, self.zero = dict(styles), zero
        x, y = (bq.LinearScale(allow_padding=False) for _ in range(2))
        scales = {"x": x, "y": y}
        self.lines: dict[str, bq.Lines] = {}
        for name, style in self.styles.items():
            if style.dots:
                self.lines[name] = Dots(scales, diameter=style.width, opacity=style.opacity)
            else:
                self.lines[name] = bq.Lines(
                    scales=scales, stroke_width=style.width, line_style=style.dash, x=np.empty(0), y=np.empty(0),
                    **({"fill": "top", "fill_opacities": [0.18]} if style.area else {}),
                )  # fmt: skip
        if zero:
            self.base = bq.Lines(scales=scales, x=np.empty(0), y=np.empty(0), stroke_width=1.0)
        marks = [*([self.base] if zero else []), *self.lines.values()]
        self.areas = any(style.area for style in self.styles.values())
        self._labelled: dict[str, str] = {}
        self.times = pd.DatetimeIndex([])
        self.intraday = False
        super().__init__(marks, x, y, scaling=scaling, height=height)
        self.figure.add_class("qk-lines")
        digits = 2
        write = percent if scaling.percent else lambda value: price(float(value), digits)
        self.cells = {name: Cell(style.title, write) for name, style in self.styles.items()}

    def draw(self, frame: pd.DataFrame, *, caption: str, stem: str, note: str = "", floor: float | None = None) -> None:
        """Show a frame, index time, columns of the styles; what is NaN is not drawn."""
        self.times = pd.DatetimeIndex(frame.index)
        self.intraday = bool(len(self.times)) and bool((self.times != self.times.normalize()).any())
        at = np.arange(len(frame), dtype=float)
        known = [name for name in self.styles if name in frame and frame[name].notna().any()]
        with self._together():
            self.x.min, self.x.max = -0.5, max(len(frame) - 0.5, 0.5)
            for name, mark in self.lines.items():
                values = frame[name].to_numpy(dtype=float) if name in known else np.empty(0)
                seen = np.isfinite(values)
                if isinstance(mark, Dots):
                    mark.draw(at[: len(values)][seen], values[seen])
                else:
                    mark.x, mark.y = at[: len(values)][seen], values[seen]
            if self.zero:
                self.base.x, self.base.y = np.array([self.x.min, self.x.max]), np.zeros(2)
            values = frame[known].to_numpy(dtype=float) if known else np.zeros((1, 1))
            low, high = float(np.nanmin(values)), float(np.nanmax(values))
            if self.zero:
                low, high = min(low, 0.0), max(high, 0.0)
            self._span(low, high, floor=floor, ceiling=0.0 if self.areas else None)
            self._label()
        self._note = note
        self._tell(frame[known], caption=caption, stem=stem)
        self._say()

    def paint(self, tokens: Tokens) -> None:
        for name, mark in self.lines.items():
            colour = getattr(tokens, self.styles[name].colour)
            mark.colors = [colour]
            if self.styles[name].area:
                mark.fill_colors = [colour]
        if self.zero:
            self.base.colors = [tokens.neutral]
        if self.frame is not None:
            self._say()

    def resized(self) -> None:
        with self._together():
            self._label()

    def _label(self) -> None:
        if not len(self.times):
            return
        width, total = self.readout.width or 640, len(self.times)
        step = max(total // max(width, 1), 1)
        clock = self.times.tz_localize(None)[::step]
        at, labels = time_ticks(
            np.arange(0, total, step, dtype=float), clock, most=max(width // 80, 2), intraday=self.intraday
        )
        room = total / max(width, 1) * LABEL_HALF
        kept = [(place, said) for place, said in zip(at, labels, strict=True) if room <= place <= total - room]
        words = {str(int(place)) if float(place).is_integer() else repr(float(place)): said for place, said in kept}
        # Two messages, words before places: bqplot writes a tick's text a moment late, with the words it knew when the
        # places changed. Those of the places before are kept, so that these never stand as bare numbers.
        self.x_axis.tick_labels, self._labelled = self._labelled | words, words
        self.x_axis.tick_values = np.array([place for place, _ in kept])

    def _say(self) -> None:
        if self.frame is None:
            return
        frame, tokens = self.frame, self.tokens
        columns = [
            (
                Column(
                    self.styles[name].title, getattr(tokens, self.styles[name].colour),
                    percent=self.scaling.percent, digits=2, optional=self.styles[name].dots,
                ),
                frame[name].to_numpy(dtype=float),
            )
            for name in frame
        ]  # fmt: skip
        first = columns[0][1] if columns else np.zeros(len(frame))
        names = self.times.strftime("%Y-%m-%d %H:%M" if self.intraday else "%Y-%m-%d")
        self.readout.show(
            list(names), np.arange(len(frame), dtype=float), np.nan_to_num(first), columns,
            caption=f"{self.caption} Arrow keys read it.", note=self._note,
        )  # fmt: skip

    _note = ""


class VolatilityChart(LineChart):
    """Volatility by each kind of estimator, annualised."""

    def __init__(self, **options: Any) -> None:
        super().__init__({
            "yang_zhang": LineStyle("Yang-Zhang 21", "up"), "rolling": LineStyle("Rolling 21", "neutral"),
            "ewma": LineStyle("EWMA 0.94", "forecast"), "garch": LineStyle("GARCH(1,1)", "accent", width=1.6),
        }, **options)  # fmt: skip

    def update(self, history: Any) -> None:
        """Draw a :class:`~quantkit.risk.RiskHistory`."""
        self.draw(
            history.volatility, floor=0.0, stem=f"{history.symbol}-volatility",
            caption=f"Annualised volatility of {history.symbol}, {history.start:%Y-%m-%d} to {history.as_of:%Y-%m-%d}.",
        )  # fmt: skip


class UnderwaterChart(LineChart):
    """How far below its highest wealth something stood."""

    def __init__(self, **options: Any) -> None:
        super().__init__({"drawdown": LineStyle("Drawdown", "down", area=True)}, **options)

    def update(self, history: Any) -> None:
        """Draw a :class:`~quantkit.risk.RiskHistory`."""
        self.draw(
            history.drawdown.to_frame("drawdown"), stem=f"{history.symbol}-drawdown",
            caption=f"Loss of {history.symbol} from its highest wealth so far, dividends included, "
            f"{history.start:%Y-%m-%d} to {history.as_of:%Y-%m-%d}; deepest {percent(float(history.drawdown.min()))}.",
        )  # fmt: skip


class RollingChart(LineChart):
    """Rolling Sharpe ratio and beta."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            {"sharpe": LineStyle("Sharpe", "accent"), "beta": LineStyle("Beta", "forecast")},
            zero=True, scaling=Scaling(percent=False), **options,
        )  # fmt: skip

    def update(self, history: Any) -> None:
        """Draw a :class:`~quantkit.risk.RiskHistory`."""
        frame = pd.DataFrame({"sharpe": history.sharpe, "beta": history.beta.reindex(history.sharpe.index)})
        beside = f" and beta to {history.benchmark}" if history.benchmark else ""
        last = "" if history.beta.empty or history.beta.index[-1] == history.as_of else (
            f"{history.benchmark} ends {history.beta.index[-1]:%Y-%m-%d}"
        )  # fmt: skip
        self.draw(
            frame, stem=f"{history.symbol}-rolling", note=last,
            caption=f"Annualised Sharpe ratio{beside} of {history.symbol} over the last {history.window} periods, "
            f"risk-free rate {percent(history.risk_free)}.",
        )  # fmt: skip


class VarChart(LineChart):
    """The VaR that was said for each period, what happened, and the breaches.

    Attributes
    ----------
    method : str
        Whose VaR is drawn.
    """

    method = t.Unicode("auto")

    def __init__(self, **options: Any) -> None:
        super().__init__({
            "return": LineStyle("Return", "neutral", dots=True, width=3.4, opacity=0.55),
            "var": LineStyle("VaR", "accent", width=1.6),
            "breach": LineStyle("Breach", "down", dots=True, width=5.8),
        }, zero=True, **options)  # fmt: skip
        self.report: Any = None
        self.observe(lambda change: self.update(self.report), "method")

    def update(self, report: Any) -> None:
        """Draw the backtest of a :class:`~quantkit.risk.RiskReport`."""
        self.report = report
        if report is None or report.backtests is None:
            return
        path = report.backtests.path
        method = self.method if self.method in path else "auto"
        breached = path["return"].where(path["return"] < path[method])
        row = report.backtests.rows[method]
        self.draw(
            pd.DataFrame({"return": path["return"], "var": path[method], "breach": breached}),
            stem=f"{report.symbol}-var-{method}", note=method,
            caption=f"{report.level:.4g} VaR of {report.symbol} over {report.horizon} period(s) by {method}, each said "
            f"before its period, {path.index[0]:%Y-%m-%d} to {path.index[-1]:%Y-%m-%d}: "
            f"{row.breaches} breaches in {row.origins}, {row.expected:.1f} expected.",
        )  # fmt: skip


class CorrelationChart(LineChart):
    """A pair's rolling correlation."""

    def __init__(self, **options: Any) -> None:
        super().__init__({"correlation": LineStyle("Correlation", "forecast")}, zero=True,
                         scaling=Scaling(percent=False), **options)  # fmt: skip

    def update(self, series: pd.Series | None) -> None:
        """Draw what ``desk.rolling_correlation`` says."""
        if series is None:
            return
        self.draw(
            series.to_frame("correlation"), stem=f"{series.name}-correlation", note=str(series.name),
            caption=f"Correlation of {series.name} over the last 63 periods, {series.index[0]:%Y-%m-%d} to "
            f"{series.index[-1]:%Y-%m-%d}.",
        )  # fmt: skip


class WealthChart(LineChart):
    """What one unit became, after costs, beside 1/N and the benchmark."""

    def __init__(self, **options: Any) -> None:
        super().__init__({
            "buy_and_hold": LineStyle("Buy and hold", "neutral"), "benchmark": LineStyle("Benchmark", "muted",
            "dashed"),
            "1/N": LineStyle("1/N", "forecast"), "chosen": LineStyle("Chosen", "accent", width=1.8),
        }, scaling=Scaling(percent=False), **options)  # fmt: skip

    def update(self, backtest: Any) -> None:
        """Draw a :class:`~quantkit.portfolio.PortfolioBacktest`."""
        wealth = backtest.wealth.rename(columns={backtest.objective: "chosen"})
        if backtest.objective == "equal_weight":
            wealth["chosen"] = wealth["1/N"]
        self.draw(
            wealth, stem=f"backtest-{backtest.objective}", note=backtest.objective,
            caption=f"Wealth of 1 at {backtest.start:%Y-%m-%d} after costs of {backtest.cost_bps:g} basis points, to "
            f"{backtest.as_of:%Y-%m-%d}; the benchmark is without costs.",
        )  # fmt: skip
