"""The efficient frontier with the assets, 1/N, the capital market line and the portfolio that was chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bqplot as bq
import numpy as np
import pandas as pd

from quantkit.core.errors import InfeasibleError
from quantkit.ui.charts.base import Chart
from quantkit.ui.charts.readout import Column
from quantkit.ui.charts.ticks import price_ticks
from quantkit.ui.formats import percent
from quantkit.ui.tables import Cell
from quantkit.ui.theme import Tokens

__all__ = ["FrontierChart"]


class FrontierChart(Chart):
    """Annual volatility against annual expected return; a click on the curve takes that portfolio."""

    def __init__(self, *, height: str = "380px") -> None:
        self.cells = {
            "expected_return": Cell("Expected return", percent), "volatility": Cell("Volatility", percent),
            "sharpe": Cell("Sharpe", "{:.2f}".format),
        }  # fmt: skip
        x, y = (bq.LinearScale(allow_padding=False) for _ in range(2))
        scales, nothing = {"x": x, "y": y}, {"x": np.empty(0), "y": np.empty(0)}
        self.curve = bq.Lines(scales=scales, stroke_width=2.2, **nothing)
        self.market = bq.Lines(scales=scales, stroke_width=1.2, line_style="dashed", **nothing)
        self.assets = bq.Scatter(scales=scales, default_size=36, stroke_width=0, **nothing)
        self.even = bq.Scatter(scales=scales, default_size=56, stroke_width=0, marker="square", **nothing)
        self.chosen = bq.Scatter(scales=scales, default_size=110, stroke_width=2, **nothing)
        self.words = bq.Label(scales=scales, default_size=11, x_offset=7, y_offset=4, font_weight="normal", text=[],
                              **nothing)  # fmt: skip
        self.frontier: Any = None
        self.allocation: Any = None
        self._chosen: list[Callable[[float], object]] = []
        super().__init__(
            [self.market, self.curve, self.assets, self.even, self.words, self.chosen], x, y, height=height
        )
        self.readout.on_pick(self._pick)

    def update(self, frontier: Any = None, allocation: Any = None) -> None:
        """Draw a :class:`~quantkit.portfolio.Frontier` and the :class:`~quantkit.portfolio.Allocation` on it."""
        self.frontier, self.allocation = frontier or self.frontier, allocation or self.allocation
        if self.frontier is not None:
            self._draw()

    def on_choose(self, act: Callable[[float], object]) -> None:
        """Call `act` with the annual expected return of the point that is clicked."""
        self._chosen.append(act)

    def paint(self, tokens: Tokens) -> None:
        self.curve.colors, self.market.colors = [tokens.forecast], [tokens.muted]
        self.assets.colors, self.even.colors = [tokens.neutral], [tokens.up]
        self.chosen.colors, self.chosen.stroke = [tokens.accent], tokens.panel
        self.words.colors = [tokens.muted]

    def _pick(self, row: int) -> None:
        if self.frontier is not None and row < len(self.frontier.points):
            for act in self._chosen:
                act(float(self.frontier.points["expected_return"].iloc[row]))

    def _draw(self) -> None:
        frontier = self.frontier
        frame = self._rows()
        curve = frontier.points
        names = list(frontier.mu.index)
        single, even = frame.loc[names], frame.loc["1/N"]
        fits = "chosen" in frame.index
        with self._together():
            widest = max(frame["volatility"].max(), 1e-6)
            lowest = min(frame["volatility"].min(), curve["volatility"].iloc[0])
            gap = (widest - lowest) * 0.12 or widest * 0.1
            self.x.min, self.x.max = max(lowest - gap, 0.0), widest + 1.6 * gap
            self._span(float(frame["expected_return"].min()), float(frame["expected_return"].max()), pad=0.12)
            ticks = price_ticks(self.x.min, self.x.max, 6)
            self.x_axis.tick_format, self.x_axis.tick_values = self.scaling.form(ticks), ticks
            self.curve.x, self.curve.y = curve["volatility"].to_numpy(), curve["expected_return"].to_numpy()
            self.market.x, self.market.y = self._market_line()
            self.assets.x, self.assets.y = single["volatility"].to_numpy(), single["expected_return"].to_numpy()
            self.even.x, self.even.y = np.array([even["volatility"]]), np.array([even["expected_return"]])
            here = frame.loc[["chosen"]] if fits else frame.iloc[:0]
            self.chosen.x, self.chosen.y = here["volatility"].to_numpy(), here["expected_return"].to_numpy()
            self.words.x = np.append(single["volatility"].to_numpy(), even["volatility"])
            self.words.y = np.append(single["expected_return"].to_numpy(), even["expected_return"])
            self.words.text = [*names, "1/N"]
        as_of = "" if frontier.as_of is None else f", estimates to {frontier.as_of:%Y-%m-%d}"
        self._tell(
            frame, stem="frontier",
            caption=f"Efficient frontier of {len(names)} assets{as_of}: from {percent(curve['volatility'].iloc[0])} to "
            f"{percent(curve['volatility'].iloc[-1])} volatility a year.",
        )  # fmt: skip
        self.readout.show(
            [f"Frontier {at + 1} of {len(curve)}" if isinstance(name, (int, np.integer)) else str(name)
             for at, name in enumerate(frame.index)],
            frame["volatility"].to_numpy(), frame["expected_return"].to_numpy(),
            [(Column("Return"), frame["expected_return"].to_numpy()),
             (Column("Volatility"), frame["volatility"].to_numpy()),
             (Column("Sharpe", percent=False), frame["sharpe"].to_numpy())],
            points=True, rest=len(frame) - 1,
            caption=f"{self.caption} Arrow keys walk along it, Enter takes a point.",
            note="click the curve to take its weights",
        )  # fmt: skip

    def _rows(self) -> pd.DataFrame:
        """The curve's points, then every asset, 1/N and what was chosen."""
        frontier, allocation = self.frontier, self.allocation
        names = list(frontier.mu.index)
        rows = {name: frontier.point(pd.Series({name: 1.0}).reindex(names, fill_value=0.0)) for name in names}
        rows["1/N"] = frontier.point(pd.Series(1.0 / len(names), index=names))
        if allocation is not None and set(allocation.weights.index) == set(names):
            rows["chosen"] = frontier.point(allocation.weights)
        others = pd.DataFrame.from_dict(rows, orient="index", columns=["expected_return", "volatility"])
        others["sharpe"] = np.nan
        if "chosen" in others.index:
            others.loc["chosen", "sharpe"] = allocation.sharpe
        return pd.concat([frontier.points, others])

    def _market_line(self) -> tuple[np.ndarray, np.ndarray]:
        reach = np.array([max(self.x.min, 0.0), self.x.max])
        try:
            line = self.frontier.capital_market_line(reach)
        except InfeasibleError:
            return np.empty(0), np.empty(0)
        return reach, line.to_numpy()
