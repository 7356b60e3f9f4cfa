"""How volatile a price has been at each time, and how volatile it may be from here on.

Every estimator gives a standard deviation per period, a decimal; :func:`~quantkit.core.returns.annualise_volatility`
annualises it. The estimate at time t uses data up to t and stands for the period it ends with, except ``ewma`` and the
GARCH family, whose value at t is the forecast for the period after t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd

from quantkit.core.errors import ComputeError, DataError, UsageError
from quantkit.core.results import Result
from quantkit.core.schema import check_bars
from quantkit.risk.arrays import Array, Returns, matrix
from quantkit.risk.garch import GARCH_KINDS, Garch, GarchKind, fit_garch
from quantkit.risk.rolling import rolling
from quantkit.risk.tail_models import EWMA_DECAY, ewma_variance

__all__ = [
    "VOLATILITY_METHODS",
    "GarchKind",
    "VolatilityForecast",
    "VolatilityMethod",
    "ewma_volatility",
    "fit_garch",
    "garch_volatility",
    "garman_klass_volatility",
    "next_volatility",
    "parkinson_volatility",
    "rolling_volatility",
    "term_structure",
    "volatility_series",
    "yang_zhang_volatility",
]

VolatilityMethod = Literal["rolling", "ewma", "parkinson", "garman_klass", "yang_zhang", "garch", "gjr", "egarch"]
VOLATILITY_METHODS: Final[tuple[VolatilityMethod, ...]] = get_args(VolatilityMethod)
_FROM_BARS: Final = ("parkinson", "garman_klass", "yang_zhang")


@dataclass(frozen=True, slots=True, eq=False)
class VolatilityForecast(Result):
    """Volatility of each of the next periods.

    Attributes
    ----------
    method : str
    horizon : tuple of int
        1 for the next period.
    per_period : tuple of float
        Standard deviation of that period's return.
    average : tuple of float
        Root mean variance of the periods up to it: the term structure of volatility, per period.
    long_run : float
        What it tends to; NaN where the model has no long-run variance.
    persistence : float
        Share of a variance shock that is left a period later.
    """

    method: str
    horizon: tuple[int, ...]
    per_period: tuple[float, ...]
    average: tuple[float, ...]
    long_run: float
    persistence: float

    def to_frame(self) -> pd.DataFrame:
        """Columns ``per_period`` and ``average``, indexed by horizon."""
        index = pd.Index(self.horizon, name="horizon")
        return pd.DataFrame({"per_period": self.per_period, "average": self.average}, index=index)

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(float_format=lambda value: f"{value:.4%}")


def rolling_volatility(returns: Returns, *, window: int = 21) -> Any:
    """Sample standard deviation of the last `window` returns, per period; T - window + 1 rows.

    ``sqrt(sum_k (r[t-k] - m)^2 / (window - 1))``.

    References
    ----------
    Hull, J. (2018). Options, Futures, and Other Derivatives, 10th ed., section 23.1.
    """
    return rolling(returns, "volatility", window=window, periods_per_year=1.0)


def ewma_volatility(returns: Returns, *, decay: float = EWMA_DECAY) -> Any:
    """Exponentially weighted volatility around zero, same shape as `returns`; at t the forecast for t + 1.

    ``sqrt(sum_k decay^k r[t-k]^2 / sum_k decay^k)``.

    References
    ----------
    RiskMetrics Technical Document, 4th ed. (1996), section 5.2. J. P. Morgan.
    """
    if not 0.0 < decay < 1.0:
        raise UsageError(f"decay {decay!r} is not between 0 and 1, such as 0.94")
    values = matrix(returns, minimum=1)
    answer = np.column_stack([np.sqrt(ewma_variance(column, decay=decay)) for column in values.T])
    if isinstance(returns, pd.DataFrame):
        return pd.DataFrame(answer, index=returns.index, columns=returns.columns)
    return pd.Series(answer[:, 0], index=returns.index, name=returns.name)


def parkinson_volatility(bars: pd.DataFrame, *, window: int = 21) -> pd.Series:
    """From the range of each bar: ``sqrt(mean(ln(high / low)^2) / (4 ln 2))`` over `window` bars.

    Sees no gap between bars, so it is below the close-to-close volatility where prices jump overnight.

    Raises
    ------
    DataError
        Not a bars frame, or one without highs and lows.

    References
    ----------
    Parkinson, M. (1980). The extreme value method for estimating the variance of the rate of return. Journal of
    Business 53.
    """
    logs = _log_prices(bars, window)
    span = logs["high"] - logs["low"]
    return np.sqrt((span**2).rolling(window).mean().iloc[window - 1 :] / (4.0 * np.log(2.0)))


def garman_klass_volatility(bars: pd.DataFrame, *, window: int = 21) -> pd.Series:
    """From open, high, low and close: ``sqrt(mean(ln(h / l)^2 / 2 - (2 ln 2 - 1) ln(c / o)^2))`` over `window` bars.

    Sees no gap between bars either.

    References
    ----------
    Garman, M. and Klass, M. (1980). On the estimation of security price volatilities from historical data. Journal of
    Business 53.
    """
    logs = _log_prices(bars, window)
    each = 0.5 * (logs["high"] - logs["low"]) ** 2 - (2.0 * np.log(2.0) - 1.0) * (logs["close"] - logs["open"]) ** 2
    return np.sqrt(each.rolling(window).mean().iloc[window - 1 :].clip(lower=0.0))


def yang_zhang_volatility(bars: pd.DataFrame, *, window: int = 21) -> pd.Series:
    """From open, high, low and close with the gap between bars, right whatever the drift.

    ``sqrt(V_open + k V_close + (1 - k) V_rs)`` with ``k = 0.34 / (1.34 + (n + 1) / (n - 1))``, sample variances of
    overnight and open-to-close log-returns and the mean of Rogers and Satchell's term.

    References
    ----------
    Yang, D. and Zhang, Q. (2000). Drift-independent volatility estimation. Journal of Business 73.
    """
    logs = _log_prices(bars, window + 1)
    overnight = (logs["open"] - logs["close"].shift(1)).iloc[1:]
    day = (logs["close"] - logs["open"]).iloc[1:]
    up, down = logs["high"] - logs["open"], logs["low"] - logs["open"]
    within = (up * (up - (logs["close"] - logs["open"])) + down * (down - (logs["close"] - logs["open"]))).iloc[1:]
    k = 0.34 / (1.34 + (window + 1) / (window - 1))
    variance = (
        overnight.rolling(window).var() + k * day.rolling(window).var() + (1.0 - k) * within.rolling(window).mean()
    )
    return np.sqrt(variance.iloc[window - 1 :].clip(lower=0.0))


def garch_volatility(returns: pd.Series, *, kind: GarchKind = "garch") -> pd.Series:
    """Conditional volatility, same index as `returns`: at t the model's forecast for t + 1.

    The parameters are estimated once, on all of `returns`: a description of the past, not what could have been known
    then. A walk-forward estimates at its origins instead. Recursions: :class:`quantkit.risk.garch.Garch`.

    References
    ----------
    Bollerslev, T. (1986). Generalized autoregressive conditional heteroskedasticity. Journal of Econometrics 31(3).
    """
    values = matrix(returns)[:, 0]
    sigma = fit_garch(values, kind=kind).filter(values)
    return pd.Series(sigma[1:], index=returns.index, name=returns.name)


def volatility_series(
    returns: pd.Series, *, method: VolatilityMethod, window: int = 21, bars: pd.DataFrame | None = None
) -> pd.Series:
    """One of ``VOLATILITY_METHODS`` by name, per period; the ones that look into the bar need `bars`."""
    if method not in VOLATILITY_METHODS:
        raise UsageError(f"unknown volatility method {method!r}; choose from {', '.join(VOLATILITY_METHODS)}")
    if method in _FROM_BARS:
        if bars is None:
            raise UsageError(f"{method} volatility looks into the bar; it needs bars with open, high and low")
        estimators = {
            "parkinson": parkinson_volatility,
            "garman_klass": garman_klass_volatility,
            "yang_zhang": yang_zhang_volatility,
        }
        return estimators[method](bars, window=window)
    if method == "rolling":
        series: pd.Series = rolling_volatility(returns, window=window)
    elif method == "ewma":
        series = ewma_volatility(returns)
    else:
        series = garch_volatility(returns, kind=method)  # type: ignore[arg-type]
    return series


def term_structure(
    returns: pd.Series, *, method: Literal["ewma", "garch", "gjr", "egarch"] = "garch", horizon: int = 20
) -> VolatilityForecast:
    """Volatility of each of the next `horizon` periods.

    ``ewma`` is flat, the others follow :func:`forecast_variance`.

    Parameters
    ----------
    returns : Series, shape (T,)
    method : {"ewma", "garch", "gjr", "egarch"}
    horizon : int
        At least 1.

    Raises
    ------
    UsageError, DataError, ComputeError
        Unknown method or horizon; unusable returns; a model that does not converge.
    """
    if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1:
        raise UsageError(f"horizon {horizon!r} is not a whole number of periods of at least 1")
    values = matrix(returns)[:, 0]
    if method == "ewma":
        variances = np.full(horizon, ewma_variance(values)[-1])
        return _forecast(method, variances, long_run=float("nan"), persistence=1.0)
    if method not in GARCH_KINDS:
        raise UsageError(f"unknown term structure {method!r}; choose from ewma, {', '.join(GARCH_KINDS)}")
    model = fit_garch(values, kind=method)
    return _forecast(method, forecast_variance(model, values, horizon), model.long_run_volatility, model.persistence)


def next_volatility(returns: pd.Series) -> tuple[float, VolatilityMethod]:
    """Standard deviation of the next return, a decimal, and the method that gave it.

    GARCH(1,1), or EWMA where the series is too short for it or it does not converge.
    """
    values = matrix(returns)[:, 0]
    try:
        return float(fit_garch(values).filter(values)[-1]), "garch"
    except ComputeError:
        return float(np.sqrt(ewma_variance(values)[-1])), "ewma"


def forecast_variance(model: Garch, returns: Array, horizon: int) -> Array:
    """Variances of the next `horizon` periods, shape (horizon,), by an estimated `model` standing after `returns`.

    For ``garch`` and ``gjr`` the variance decays geometrically to its long-run level. For ``egarch`` the shocks beyond
    the next period are taken as Gaussian, whatever it was estimated with (Student's t has no exponential moment)::

        E sigma2[h] = exp(omega (1 + .. + beta^(h-2)) + beta^(h-1) ln sigma2[1]) prod_{i<h-1} E exp(beta^i g(z))
        E exp(c g(z)) = exp(-c alpha sqrt(2/pi)) (exp(p^2/2) Phi(p) + exp(m^2/2) Phi(m)),
                        p = c (alpha + gamma), m = c (alpha - gamma)

    References
    ----------
    Nelson, D. (1991). Conditional heteroskedasticity in asset returns: a new approach. Econometrica 59, theorem A1.2.
    """
    sigma = float(model.filter(returns)[-1])
    if model.kind == "egarch":
        return _egarch_variance(model, sigma, horizon)
    omega = model.parameters["omega"] * 1e-4
    variances = np.empty(horizon)
    variances[0] = sigma**2
    for step in range(1, horizon):
        variances[step] = omega + model.persistence * variances[step - 1]
    return variances


def _egarch_variance(model: Garch, sigma: float, horizon: int) -> Array:
    from scipy.special import log_ndtr

    p = model.parameters
    decay = p["beta[1]"] ** np.arange(horizon)
    plus, minus = decay * (p["alpha[1]"] + p["gamma[1]"]), decay * (p["alpha[1]"] - p["gamma[1]"])
    tails = np.logaddexp(0.5 * plus**2 + log_ndtr(plus), 0.5 * minus**2 + log_ndtr(minus))
    moments = tails - decay * p["alpha[1]"] * np.sqrt(2.0 / np.pi)
    # Both sums run over the periods between the next one and the one asked about.
    between = np.concatenate([[0.0], np.cumsum(p["omega"] * decay + moments)[:-1]])
    with np.errstate(over="ignore"):
        variances = sigma**2 * np.exp(between + (decay - 1.0) * np.log((sigma * 100.0) ** 2))
    if not np.isfinite(variances).all():
        raise ComputeError("egarch: the variance grows without bound")
    variances[0] = sigma**2
    return np.asarray(variances, dtype=np.float64)


def _forecast(method: str, variances: Array, long_run: float, persistence: float) -> VolatilityForecast:
    steps = np.arange(1, len(variances) + 1)
    return VolatilityForecast(
        method=method,
        horizon=tuple(steps.tolist()),
        per_period=tuple(np.sqrt(variances).tolist()),
        average=tuple(np.sqrt(variances.cumsum() / steps).tolist()),
        long_run=long_run,
        persistence=persistence,
    )


def _log_prices(bars: pd.DataFrame, minimum: int) -> pd.DataFrame:
    name = str(bars.attrs.get("symbol", "bars"))
    if minimum < 3:
        raise UsageError(f"a window of {minimum} bars is too short; at least 3 are needed")
    check_bars(bars, name=name, minimum=minimum)
    prices = bars[["open", "high", "low", "close"]]
    absent = ~(prices > 0).all(axis=1)
    if absent.any():
        raise DataError(
            f"{name}: {int(absent.sum())} bars have no positive open, high and low (the first at "
            f"{bars.index[absent.to_numpy().argmax()].isoformat()}); this estimator looks into the bar"
        )
    return np.log(prices)
