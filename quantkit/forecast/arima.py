"""ARMA on log-returns, that is ARIMA(p, 1, q) on log prices, the order chosen by AICc.

Parameters are estimated seldom and by statsmodels (exact Gaussian likelihood, innovations algorithm); between two
estimations they are applied to newer returns by the Kalman filter, which costs microseconds a bar.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np
import pandas as pd

from quantkit.core.errors import ComputeError, DataError
from quantkit.forecast.base import FORECASTERS, Forecaster
from quantkit.forecast.target import close_returns

__all__ = ["Arima", "Arma", "ArmaFilter", "aicc", "select_arma"]

#: A gradient of the log-likelihood of a unit-variance series below this counts as zero: a hundredth of a unit of
#: log-likelihood is far below what an order or a forecast depends on.
_FLAT: Final = 0.01
#: Roots nearer to the unit circle than this are refused, as in Hyndman and Khandakar (2008).
_ROOT: Final = 1.001
#: Orders whose approximate AICc is within this much of the best are estimated exactly, at most three of them.
_NEAR: Final = 2.0
_EXACT: Final = 3


@dataclass(frozen=True, slots=True)
class Arma:
    """``y[t] - constant = sum ar[i] (y[t-i] - constant) + e[t] + sum ma[j] e[t-j]``, ``e`` of variance `sigma2`."""

    constant: float
    ar: tuple[float, ...]
    ma: tuple[float, ...]
    sigma2: float
    aicc: float

    @property
    def order(self) -> tuple[int, int]:
        """``(p, q)``."""
        return len(self.ar), len(self.ma)


def aicc(llf: float, parameters: int, count: int) -> float:
    """Akaike's criterion with the small-sample correction of Hurvich and Tsai (1989)."""
    return -2.0 * llf + 2.0 * parameters + 2.0 * parameters * (parameters + 1) / (count - parameters - 1)


class ArmaFilter:
    """Kalman filter of an :class:`Arma` in Harvey's form, started at the stationary distribution.

    The state after each return gives the conditional means of the next ones, the same as statsmodels' ``apply`` and
    ``forecast`` (tested to 1e-8). NaN is a missing return. Once the gain has settled it is kept.
    """

    def __init__(self, model: Arma) -> None:
        from scipy.linalg import solve_discrete_lyapunov

        p, q = model.order
        size = max(p, q + 1)
        self._constant = model.constant
        self._transition = np.eye(size, k=1)
        self._transition[:p, 0] = model.ar
        shock = np.zeros(size)
        shock[0] = 1.0
        shock[1 : q + 1] = model.ma
        # In units of sigma2: neither the gain nor the means depend on it.
        self._shock = np.outer(shock, shock)
        self._state = np.zeros(size)
        self._variance = solve_discrete_lyapunov(self._transition, self._shock)
        self._gain: np.ndarray | None = None

    def observe(self, values: np.ndarray) -> None:
        """Take in further returns, oldest first."""
        step = self._transition
        for value in (values - self._constant).tolist():
            if value != value:
                self._state = step @ self._state
                self._variance = step @ self._variance @ step.T + self._shock
                self._gain = None
                continue
            surprise = value - self._state[0]
            if self._gain is None:
                scale = self._variance[0, 0]
                gain = step @ self._variance[:, 0] / scale
                variance = step @ self._variance @ step.T + self._shock - np.outer(gain, gain) * scale
                if np.max(np.abs(variance - self._variance)) < 1e-15:
                    self._gain = gain
                self._variance = variance
            else:
                gain = self._gain
            self._state = step @ self._state + gain * surprise

    def forecast(self, horizon: int) -> np.ndarray:
        """Conditional means of the next `horizon` returns."""
        means = np.empty(horizon)
        state = self._state
        for at in range(horizon):
            means[at] = self._constant + state[0]
            state = self._transition @ state
        return means


@dataclass(frozen=True, slots=True)
class _Draft:
    """A cheap estimate of one order, good enough to rank it and to start from."""

    aicc: float
    ar: np.ndarray
    ma: np.ndarray
    sigma2: float


def _regressed_orders(values: np.ndarray, most: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """AR and MA coefficients of every order by the first two stages of Hannan and Rissanen (1982): a long
    autoregression gives the shocks, least squares on lagged values and shocks the coefficients."""
    count = len(values)
    long = min(max(int(np.log(count) ** 1.5), 2 * most), count // 8)
    lags = np.column_stack([values[long - 1 - k : count - 1 - k] for k in range(long)])
    shocks = values[long:] - lags @ np.linalg.lstsq(lags, values[long:], rcond=None)[0]
    columns = [values[long + most - k : count - k] for k in range(1, most + 1)]
    columns += [shocks[most - k : len(shocks) - k] for k in range(1, most + 1)]
    design = np.column_stack([*columns, values[long + most :]])
    moments = design.T @ design
    found = []
    for p in range(most + 1):
        for q in range(most + 1):
            at = [*range(p), *range(most, most + q)]
            solved = np.linalg.lstsq(moments[np.ix_(at, at)], moments[at, -1], rcond=None)[0] if at else np.empty(0)
            found.append((solved[:p], solved[p:]))
    return found


def _is_stable(ar: np.ndarray, ma: np.ndarray) -> bool:
    """Whether both polynomials have all their roots safely outside the unit circle."""
    return all(
        np.max(np.abs(np.roots(polynomial)), initial=0.0) < 1.0 / _ROOT
        for polynomial in (np.r_[1.0, -ar], np.r_[1.0, ma])
    )


def _draft(values: np.ndarray, ar: np.ndarray, ma: np.ndarray) -> _Draft | None:
    """Conditional least squares of one order from a starting point; None where it ends outside the stable region."""
    from scipy.optimize import leastsq
    from scipy.signal import lfilter

    p, q = len(ar), len(ma)

    def shocks(theta: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            found = lfilter(np.r_[1.0, -theta[:p]], np.r_[1.0, theta[p:]], values)
        # A step out of the invertible region explodes; a large finite error makes the search step back.
        return found if np.max(np.abs(found)) < 1e6 else np.full(len(values), 1e6)

    def slopes(theta: np.ndarray) -> np.ndarray:
        denominator = np.r_[1.0, theta[p:]]
        rows = np.zeros((p + q, len(values)))
        with np.errstate(all="ignore"):
            for first, size, source in ((0, p, values), (p, q, shocks(theta))):
                filtered = lfilter([-1.0], denominator, source) if size else source
                for k in range(1, size + 1):
                    rows[first + k - 1, k:] = filtered[:-k]
        return np.where(np.abs(rows) < 1e6, rows, 0.0)

    start = np.r_[ar, ma]
    if not _is_stable(ar, ma):
        start = np.zeros(p + q)
    theta = start
    if p + q:
        # full_output keeps it from warning where it stops early; the draft is then ranked as far as it came.
        theta = leastsq(shocks, start, Dfun=slopes, col_deriv=True, full_output=True, maxfev=60, xtol=1e-4, ftol=1e-6)[
            0
        ]
    if not _is_stable(theta[:p], theta[p:]):
        return None
    count = len(values)
    sigma2 = float(np.mean(shocks(theta) ** 2))
    return _Draft(aicc(-0.5 * count * np.log(sigma2), p + q + 1, count), theta[:p], theta[p:], sigma2)


def _estimate(values: np.ndarray, draft: _Draft, mean: float | None) -> Arma | str:
    """Exact maximum likelihood of one order, or the reason why there is none."""
    count, p, q = len(values), len(draft.ar), len(draft.ma)
    centred = values if mean is None else values - mean
    parameters = p + q + 1 + (mean is not None)
    if p == q == 0:
        variance = float(np.mean(centred**2))
        llf = -0.5 * count * (np.log(2.0 * np.pi * variance) + 1.0)
        return Arma(mean or 0.0, (), (), variance, aicc(llf, parameters, count))
    from statsmodels.tsa.arima.estimators.innovations import innovations_mle

    name = f"ARMA({p},{q})"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, details = innovations_mle(
                centred,
                order=(p, 0, q),
                demean=False,
                start_params=np.r_[draft.ar, draft.ma, draft.sigma2],
                minimize_kwargs={"options": {"gtol": _FLAT}},
            )
    except (ValueError, np.linalg.LinAlgError) as error:
        return f"{name}: {error}"
    optimum = details.minimize_results
    if not (optimum.success or np.max(np.abs(optimum.jac)) < 10.0 * _FLAT):
        return f"{name} did not converge: {optimum.message}"
    ar, ma = np.asarray(found.ar_params), np.asarray(found.ma_params)
    if not _is_stable(ar, ma):
        return f"{name} has a root on the unit circle"
    return Arma(
        mean or 0.0,
        tuple(ar.tolist()),
        tuple(ma.tolist()),
        float(found.sigma2),
        aicc(-float(optimum.fun), parameters, count),
    )


def select_arma(values: np.ndarray, *, most: int = 3) -> Arma:
    """Order ``p, q <= most``, with or without a constant, of least AICc, and its maximum likelihood estimate.

    Every order is ranked by conditional least squares, started at Hannan and Rissanen's regression; the best three
    within two units of the best, and white noise, are then estimated by exact maximum likelihood, and the exact AICc
    decides among those that converged.

    Parameters
    ----------
    values : array, shape (T,)
        Stationary and complete.
    most : int

    Raises
    ------
    DataError
        The values do not vary.
    ComputeError
        No order could be estimated.

    References
    ----------
    Hannan, E. J. and Rissanen, J. (1982). Recursive estimation of mixed autoregressive-moving average order.
    Biometrika 69(1). Hyndman, R. J. and Khandakar, Y. (2008). Automatic time series forecasting. JSS 27(3).
    """
    unit = float(np.std(values))
    if not unit > 1e-12:
        raise DataError(f"arima: {len(values)} returns do not vary; there is nothing to estimate")
    # In units of the standard deviation, so that the optimiser meets the same problem whatever the asset.
    scaled = values / unit
    mean = float(np.mean(scaled))
    ranked: list[tuple[float, _Draft, float | None]] = []
    for centre, penalty in ((None, 0.0), (mean, 2.0)):
        centred = scaled if centre is None else scaled - centre
        for ar, ma in _regressed_orders(centred, most):
            draft = _draft(centred, ar, ma)
            if draft is not None:
                ranked.append((draft.aicc + penalty, draft, centre))
    ranked.sort(key=lambda each: each[0])
    near = [each for each in ranked if each[0] <= ranked[0][0] + _NEAR and len(each[1].ar) + len(each[1].ma)][:_EXACT]
    white = _Draft(0.0, np.empty(0), np.empty(0), 1.0)
    tried = [_estimate(scaled, draft, centre) for _, draft, centre in near]
    tried += [_estimate(scaled, white, None), _estimate(scaled, white, mean)]
    estimated = [each for each in tried if isinstance(each, Arma)]
    if not estimated:
        raise ComputeError("arima: " + "; ".join(each for each in tried if isinstance(each, str)))
    best = min(estimated, key=lambda each: each.aicc)
    return Arma(best.constant * unit, best.ar, best.ma, best.sigma2 * unit**2, best.aicc)


@FORECASTERS.add("arima")
class Arima(Forecaster):
    """ARMA(p, q) of log-returns with p, q <= 3, with or without a constant, the order of least AICc.

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
    """

    minimum: ClassVar[int] = 100

    def __init__(self, most: int = 3, window: int = 2500) -> None:
        self.most = most
        self.window = window

    def fit(self, bars: pd.DataFrame) -> Self:
        """Choose the order and estimate; ``DataError`` on fewer than 100 returns or constant prices."""
        returns = close_returns(bars)[1:][-self.window :]
        complete = returns[~np.isnan(returns)]
        if len(complete) < self.minimum - 1:
            raise DataError(f"arima: {len(bars)} bars; at least {self.minimum} are needed to estimate an order")
        self.arma_ = select_arma(complete, most=self.most)
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
