"""Models of the variance of the next returns; the estimators themselves live in ``quantkit.risk``."""

from __future__ import annotations

from typing import ClassVar, Protocol, Self

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError
from quantkit.core.registry import Registry
from quantkit.forecast.target import close_returns
from quantkit.risk.garch import GARCH_MINIMUM, Garch, GarchKind, fit_garch
from quantkit.risk.tail_models import ewma_variance
from quantkit.risk.volatility import forecast_variance, rolling_volatility, yang_zhang_volatility

__all__ = ["VOLATILITY_MODELS", "VolatilityModel"]

#: Bars behind the estimators with a window, about a month of days.
WINDOW = 21


class VolatilityModel(Protocol):
    """A model of the variance of simple returns of ``close``; as a ``Forecaster``, but of variances.

    Register a class with ``@VOLATILITY_MODELS.add("name")``; it must be callable without arguments.
    """

    #: Bars between two estimations in a walk-forward; in between, :meth:`update` applies the last one.
    refit_every: ClassVar[int] = 125
    #: Intervals that it can forecast.
    intervals: ClassVar[tuple[str, ...]] = ("1d", "1m")

    def fit(self, bars: pd.DataFrame) -> Self:
        """Estimate parameters from a bars frame and stand at its last bar."""

    def update(self, bars: pd.DataFrame) -> Self:
        """Stand at the last of `bars` with the parameters already estimated."""

    def predict(self, horizon: int) -> np.ndarray:
        """Variances of the next `horizon` returns, shape (horizon,), per period."""


#: Model classes by name, callable without arguments.
VOLATILITY_MODELS: Registry[type[VolatilityModel]] = Registry("volatility model")


class _Flat(VolatilityModel):
    """A model without parameters that expects the variance it sees now at every step."""

    variance_: float

    def fit(self, bars: pd.DataFrame) -> Self:
        """Nothing is estimated."""
        return self.update(bars)

    def predict(self, horizon: int) -> np.ndarray:
        """The same variance at every step, shape (horizon,)."""
        return np.full(horizon, self.variance_)


@VOLATILITY_MODELS.add("rolling")
class Rolling(_Flat):
    """Sample variance of the last 21 returns.

    ``sigma2[t+h] = sum_k (r[t-k] - m)^2 / (n - 1)`` over the last ``n = 21`` returns, at every step.

    References
    ----------
    Hull, J. (2018). Options, Futures, and Other Derivatives, 10th ed., section 23.1.
    """

    def update(self, bars: pd.DataFrame) -> Self:
        """See :func:`quantkit.risk.volatility.rolling_volatility`; returns across session gaps are left out."""
        recent = _returns(bars, "rolling", WINDOW).iloc[-WINDOW:]
        self.variance_ = float(rolling_volatility(recent, window=WINDOW).iloc[-1]) ** 2
        return self


@VOLATILITY_MODELS.add("ewma")
class Ewma(_Flat):
    """Exponentially weighted mean of squared returns, decay 0.94.

    ``sigma2[t+h] = sum_k d^k r[t-k]^2 / sum_k d^k`` with ``d = 0.94``, at every step.

    References
    ----------
    RiskMetrics Technical Document, 4th ed. (1996), section 5.2. J. P. Morgan.
    """

    def update(self, bars: pd.DataFrame) -> Self:
        """See :func:`quantkit.risk.volatility.ewma_volatility`."""
        self.variance_ = float(ewma_variance(_returns(bars, "ewma", WINDOW).to_numpy())[-1])
        return self


@VOLATILITY_MODELS.add("range")
class Range(_Flat):
    """Yang and Zhang's estimator from open, high, low and close of the last 21 bars.

    ``sigma2[t+h] = V_open + k V_close + (1 - k) V_rs`` with ``k = 0.34 / (1.34 + (n + 1) / (n - 1))``: variances of
    overnight and of open-to-close log-returns, and the mean of Rogers and Satchell's term, at every step.

    On daily bars only: it counts the gap before each bar, and between two minutes of a session there is none.

    References
    ----------
    Yang, D. and Zhang, Q. (2000). Drift-independent volatility estimation. Journal of Business 73.
    """

    intervals: ClassVar[tuple[str, ...]] = ("1d",)

    def update(self, bars: pd.DataFrame) -> Self:
        """See :func:`quantkit.risk.volatility.yang_zhang_volatility`."""
        self.variance_ = float(yang_zhang_volatility(bars.iloc[-WINDOW - 1 :], window=WINDOW).iloc[-1]) ** 2
        return self


class _Garch(VolatilityModel):
    kind: ClassVar[GarchKind]
    garch_: Garch

    def fit(self, bars: pd.DataFrame) -> Self:
        """Maximum likelihood with Student-t shocks; see :func:`quantkit.risk.garch.fit_garch`."""
        self._past = _returns(bars, self.kind, GARCH_MINIMUM).to_numpy()
        self.garch_ = fit_garch(self._past, kind=self.kind, innovations="t")
        return self

    def update(self, bars: pd.DataFrame) -> Self:
        """Stand at the last of `bars`; :meth:`predict` filters up to it."""
        self._past = _returns(bars, self.kind, GARCH_MINIMUM).to_numpy()
        return self

    def predict(self, horizon: int) -> np.ndarray:
        """See :func:`quantkit.risk.volatility.forecast_variance`, shape (horizon,)."""
        return forecast_variance(self.garch_, self._past, horizon)


@VOLATILITY_MODELS.add("garch")
class Garch11(_Garch):
    """GARCH(1,1) with constant mean and Student-t shocks.

    With ``e[t] = r[t] - mu = sigma[t] z[t]``::

        sigma2[t] = omega + alpha e[t-1]^2 + beta sigma2[t-1]

    References
    ----------
    Bollerslev, T. (1986). Generalized autoregressive conditional heteroskedasticity. Journal of Econometrics 31(3).
    """

    kind = "garch"


@VOLATILITY_MODELS.add("gjr")
class Gjr(_Garch):
    """GJR(1,1,1): a fall raises the variance by more than a rise.

    With ``e[t] = r[t] - mu = sigma[t] z[t]``::

        sigma2[t] = omega + (alpha + gamma 1(e[t-1] < 0)) e[t-1]^2 + beta sigma2[t-1]

    References
    ----------
    Glosten, L., Jagannathan, R. and Runkle, D. (1993). On the relation between the expected value and the volatility
    of the nominal excess return on stocks. Journal of Finance 48(5).
    """

    kind = "gjr"


@VOLATILITY_MODELS.add("egarch")
class Egarch(_Garch):
    """EGARCH(1,1,1): of the logarithm of the variance.

    With ``e[t] = r[t] - mu = sigma[t] z[t]``::

        ln sigma2[t] = omega + alpha (|z[t-1]| - sqrt(2/pi)) + gamma z[t-1] + beta ln sigma2[t-1]

    References
    ----------
    Nelson, D. (1991). Conditional heteroskedasticity in asset returns: a new approach. Econometrica 59(2).
    """

    kind = "egarch"


def _returns(bars: pd.DataFrame, name: str, fewest: int) -> pd.Series:
    """Simple returns within sessions, of which volatility is spoken everywhere."""
    returns = pd.Series(np.expm1(close_returns(bars)), index=bars.index).dropna()
    if len(returns) < fewest:
        raise DataError(f"{name}: {len(returns)} returns; at least {fewest} are needed")
    return returns
