"""The forecasts that every other model has to beat."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError
from quantkit.forecast.attribution import Attribution
from quantkit.forecast.base import FORECASTERS, Forecaster
from quantkit.forecast.target import close_returns

__all__ = ["Drift", "Naive"]


@FORECASTERS.add("naive")
class Naive(Forecaster):
    """No change: every expected log-return is zero, the median price stays where it is.

    With ``r`` log-returns, ``E r[t+h] = 0`` for every step ``h``.

    References
    ----------
    Hyndman, R. J. and Athanasopoulos, G. (2021). Forecasting: Principles and Practice, 3rd ed., section 5.2.
    """

    refit_every: ClassVar[int] = 1
    minimum: ClassVar[int] = 1

    def fit(self, bars: pd.DataFrame) -> Self:
        """Nothing is estimated."""
        return self

    def update(self, bars: pd.DataFrame) -> Self:
        """Nothing is carried along."""
        return self

    def predict(self, horizon: int) -> np.ndarray:
        """Zeros, shape (horizon,)."""
        return np.zeros(horizon)

    def attribute(self, horizon: int) -> Attribution:
        """Nothing: no change is expected, whatever the features."""
        return Attribution(np.zeros(horizon), (), np.empty(0), np.empty((horizon, 0)))


@FORECASTERS.add("drift")
class Drift(Forecaster):
    """The mean log-return of the whole history goes on.

    ``E r[t+h] = mean(r[1..t])`` for every step ``h``.

    References
    ----------
    Hyndman, R. J. and Athanasopoulos, G. (2021). Forecasting: Principles and Practice, 3rd ed., section 5.2.
    """

    refit_every: ClassVar[int] = 1

    def fit(self, bars: pd.DataFrame) -> Self:
        """Mean of the returns within sessions; ``DataError`` where there is none."""
        returns = close_returns(bars)
        returns = returns[~np.isnan(returns)]
        if not len(returns):
            raise DataError(
                f"drift: {len(bars)} bars hold no return; at least {self.minimum} in one session are needed"
            )
        self.drift_ = float(returns.mean())
        return self

    def update(self, bars: pd.DataFrame) -> Self:
        """The mean as last estimated."""
        return self

    def predict(self, horizon: int) -> np.ndarray:
        """The mean at every step, shape (horizon,)."""
        return np.full(horizon, self.drift_)

    def attribute(self, horizon: int) -> Attribution:
        """Its one term, the mean."""
        return Attribution(
            np.zeros(horizon), ("mean_return",), np.array([self.drift_]), np.full((horizon, 1), self.drift_)
        )
