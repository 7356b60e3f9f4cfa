"""Forecasts as views: what a model expects at the rebalancing horizon, and how far its past lets it be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from quantkit.core.progress import Progress, silent
from quantkit.core.schema import BAR_COLUMNS
from quantkit.forecast.walk import MIN_ORIGINS, MIN_TRAIN, Plan, plan_walk, walk_models

__all__ = ["ForecastView", "ForecastWalks", "walk_forecasts"]

#: Prevailing mean, against which out-of-sample R2 is measured.
BENCHMARK: Final = "drift"
ORIGINS: Final = 250


@dataclass(frozen=True, slots=True)
class ForecastView:
    """A forecast for one asset.

    Attributes
    ----------
    expected_return : float
        Simple return per period over the horizon.
    r_squared : float
        ``1 - SSE / SSE of the prevailing mean`` over the walk-forward's scored origins; negative without skill, and
        negative infinity where the model failed.
    """

    expected_return: float
    r_squared: float


@dataclass(frozen=True, slots=True, eq=False)
class ForecastWalks:
    """A model's forecasts for every asset at every origin of a walk-forward.

    Attributes
    ----------
    first : int
        Row of the first origin; there is one at every row from there on.
    horizon : int
    forecast, benchmark, outcome : dict of symbol to array, shape (origins,)
        Cumulative log-returns over the horizon: as forecast, as the prevailing mean has it, and as they came.
    """

    first: int
    horizon: int
    forecast: dict[str, np.ndarray]
    benchmark: dict[str, np.ndarray]
    outcome: dict[str, np.ndarray]

    def at(self, row: int, *, origins: int = ORIGINS) -> dict[str, ForecastView]:
        """Views of somebody who stands at `row` and knows only the outcomes up to there.

        Skill is measured on the last `origins` of them, at least 40: an asset with fewer has none.
        """
        known = max(row - self.horizon - self.first + 1, 0)
        scored = slice(max(known - origins, 0), known)
        return {symbol: self._view(symbol, row - self.first, scored) for symbol in self.forecast}

    def _view(self, symbol: str, now: int, scored: slice) -> ForecastView:
        forecast, actual = self.forecast[symbol], self.outcome[symbol][scored]
        if now < 0 or len(actual) < MIN_ORIGINS or not np.isfinite([*forecast[scored], forecast[now]]).all():
            return ForecastView(0.0, -np.inf)
        ours = float(((actual - forecast[scored]) ** 2).sum())
        theirs = float(((actual - self.benchmark[symbol][scored]) ** 2).sum())
        # Half the variance of the forecast's own errors turns the median of the price into its mean.
        mean = np.expm1(forecast[now] + 0.5 * ours / len(actual))
        return ForecastView(float(mean) / self.horizon, 1.0 - ours / theirs if theirs > 0.0 else -np.inf)


def walk_forecasts(
    prices: pd.DataFrame, *, model: str, horizon: int, whole: bool = False, progress: Progress = silent
) -> ForecastWalks:
    """Walk a model forward over every column.

    Parameters
    ----------
    prices : DataFrame, shape (T, N)
        Complete.
    model : str
        Of :data:`quantkit.forecast.base.FORECASTERS`.
    horizon : int
        1 to 60 periods.
    whole : bool
        Whether origins begin as early as the model can be estimated, for a backtest; else only as early as the last
        row needs.
    progress : Progress

    References
    ----------
    Campbell, J. and Thompson, S. (2008). Predicting excess stock returns out of sample. Review of Financial Studies
    21(4).
    """
    plan = plan_walk(len(prices), horizon=horizon, origins=ORIGINS, name="prices")
    if whole:
        plan = Plan(first=MIN_TRAIN - 1, length=len(prices), horizon=plan.horizon, origins=len(prices))
    forecast, benchmark, outcome = {}, {}, {}
    for count, symbol in enumerate(prices.columns):

        def part(done: int, total: int, doing: str = "", count: int = count, symbol: str = symbol) -> None:
            progress(count * total + done, prices.shape[1] * total, f"{doing} {symbol}")

        bars = _close_only(prices[symbol])
        walks, outcomes = walk_models([model, BENCHMARK], bars, plan, step=horizon, progress=part)
        forecast[symbol] = walks[model].medians[:, horizon - 1]
        benchmark[symbol] = walks[BENCHMARK].medians[:, horizon - 1]
        outcome[symbol] = outcomes.returns[:, horizon - 1]
    return ForecastWalks(plan.first, horizon, forecast, benchmark, outcome)


def _close_only(prices: pd.Series) -> pd.DataFrame:
    bars = pd.DataFrame(np.nan, index=prices.index, columns=list(BAR_COLUMNS))
    bars["close"] = bars["adj_close"] = prices.to_numpy()
    bars.attrs["symbol"] = str(prices.name)
    return bars
