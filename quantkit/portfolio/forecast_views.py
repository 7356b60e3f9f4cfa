"""Forecasts as views: what a model expects at the rebalancing horizon, and how far its past lets it be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from quantkit.core.progress import Progress, silent
from quantkit.core.schema import BAR_COLUMNS
from quantkit.forecast.walk import plan_walk, walk_models

__all__ = ["ForecastView", "forecast_views"]

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


def forecast_views(
    prices: pd.DataFrame, *, model: str, horizon: int, origins: int = ORIGINS, progress: Progress = silent
) -> dict[str, ForecastView]:
    """Forecast every column `horizon` periods ahead and score the model on its walk-forward so far.

    Parameters
    ----------
    prices : DataFrame, shape (T, N)
        Complete.
    model : str
        Of :data:`quantkit.forecast.base.FORECASTERS`.
    horizon : int
        1 to 60 periods.
    origins : int
        Scored origins.

    Returns
    -------
    dict of symbol to ForecastView

    References
    ----------
    Campbell, J. and Thompson, S. (2008). Predicting excess stock returns out of sample. Review of Financial Studies
    21(4).
    """
    found = {}
    for count, symbol in enumerate(prices.columns):

        def part(done: int, total: int, doing: str = "", count: int = count, symbol: str = symbol) -> None:
            progress(count * total + done, prices.shape[1] * total, f"{doing} {symbol}")

        found[symbol] = _view(_close_only(prices[symbol]), model, horizon, origins, part)
    return found


def _view(bars: pd.DataFrame, model: str, horizon: int, origins: int, progress: Progress) -> ForecastView:
    plan = plan_walk(len(bars), horizon=horizon, origins=origins, name=str(bars.attrs["symbol"]))
    walks, outcomes = walk_models([model, BENCHMARK], bars, plan, step=horizon, progress=progress)
    scored = plan.scored(horizon)
    actual = outcomes.returns[scored, horizon - 1]
    forecast = walks[model].medians[:, horizon - 1]
    if not np.isfinite(forecast[scored]).all() or not np.isfinite(forecast[-1]):
        return ForecastView(0.0, -np.inf)
    ours = float(((actual - forecast[scored]) ** 2).sum())
    theirs = float(((actual - walks[BENCHMARK].medians[scored, horizon - 1]) ** 2).sum())
    # Half the variance of the forecast's own errors turns the median of the price into its mean.
    mean = np.expm1(forecast[-1] + 0.5 * float(np.mean((actual - forecast[scored]) ** 2)))
    return ForecastView(float(mean) / horizon, 1.0 - ours / theirs if theirs > 0.0 else -np.inf)


def _close_only(prices: pd.Series) -> pd.DataFrame:
    bars = pd.DataFrame(np.nan, index=prices.index, columns=list(BAR_COLUMNS))
    bars["close"] = bars["adj_close"] = prices.to_numpy()
    bars.attrs["symbol"] = str(prices.name)
    return bars
