"""ARMA on log-returns, that is ARIMA(p, 1, q) on log prices, the order chosen by AICc.

Parameters are estimated seldom; between two estimations they are applied to newer returns by the Kalman filter, which
costs microseconds a bar.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError
from quantkit.forecast.arma import Arma, ArmaFilter
from quantkit.forecast.attribution import Attribution
from quantkit.forecast.base import FORECASTERS, Forecaster
from quantkit.forecast.orders import select_arma
from quantkit.forecast.target import close_returns

__all__ = ["Arima"]


@FORECASTERS.add("arima")
class Arima(Forecaster):
    """ARMA(p, q) of log-returns with p, q <= 3, with or without a constant, the order of least AICc.

    With ``r`` log-returns, ``e`` white noise, ``k`` parameters and ``n`` returns::

        r[t] - c = sum_i ar[i] (r[t-i] - c) + e[t] + sum_j ma[j] e[t-j]
        AICc = -2 log L + 2 k + 2 k (k + 1) / (n - k - 1)

    Parameters
    ----------
    most : int
        Largest p and q.
    window : int
        Most recent returns that parameters are estimated from, about ten years of days.

    Attributes
    ----------
    arma_ : Arma
        Order, constant and coefficients as last estimated.

    Notes
    -----
    On minute bars the returns across session gaps are left out of the estimation and are missing to the filter.

    References
    ----------
    Box, G. E. P. and Jenkins, G. M. (1976). Time Series Analysis: Forecasting and Control. Hurvich, C. M. and Tsai,
    C.-L. (1989). Regression and time series model selection in small samples. Biometrika 76(2).
    """

    minimum: ClassVar[int] = 100
    arma_: Arma

    def __init__(self, most: int = 3, window: int = 2500) -> None:
        self.most = most
        self.window = window

    def fit(self, bars: pd.DataFrame) -> Self:
        """Choose the order and estimate; ``DataError`` on fewer than 100 returns or constant prices."""
        returns = close_returns(bars)[1:][-self.window :]
        complete = returns[~np.isnan(returns)]
        if len(complete) < self.minimum - 1:
            name = type(self).__name__.lower()
            raise DataError(f"{name}: {len(bars)} bars; at least {self.minimum} are needed to estimate an order")
        self.arma_ = self._select(complete)
        self._filter = ArmaFilter(self.arma_)
        self._filter.observe(returns)
        self._last = bars.index[-1]
        return self

    def update(self, bars: pd.DataFrame) -> Self:
        """Filter the returns after the bar last stood on."""
        newer = len(bars) - int(bars.index.searchsorted(self._last, side="right"))
        if newer:
            # Session gaps are told from the spacing of bars, so the whole index is looked at, not only the new rows.
            self._filter.observe(close_returns(bars)[-newer:])
            self._last = bars.index[-1]
        return self

    def predict(self, horizon: int) -> np.ndarray:
        """Conditional means of the next log-returns, shape (horizon,)."""
        return self._filter.forecast(horizon)

    def attribute(self, horizon: int) -> Attribution:
        """Share of each of the last returns in the forecast.

        The forecast is a constant plus a linear function of all past returns, its AR(inf) form; a return's share is
        its coefficient times its distance from the constant. `values` are log-returns, 0 where one is missing.
        """
        return self._filter.attribute(horizon)

    def _select(self, returns: np.ndarray) -> Arma:
        return select_arma(returns, most=self.most)
