"""Which ARMA order a series has, by AICc, and its maximum likelihood estimate.

Exact likelihoods and the final estimate are statsmodels'. To search all orders with it takes seconds; conditional
least squares finds the same ranking in milliseconds, so that only the orders in contention are estimated exactly.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from quantkit.core.errors import DataError
from quantkit.forecast.arma import Arma

__all__ = ["aicc", "select_arma"]

#: A gradient of the log-likelihood of a unit-variance series below this counts as zero: a hundredth of a unit of
#: log-likelihood is far below what an order or a forecast depends on.
_FLAT: Final = 0.01
#: Roots nearer to the unit circle than this are refused, as in Hyndman and Khandakar (2008).
_ROOT: Final = 1.001
#: Drafts whose exact likelihood is computed, and how near to the best AICc a draft must be to be estimated exactly:
#: from a draft to the maximum a likelihood gains less than that.
_RANKED: Final = 8
_NEAR: Final = 0.5
_EXACT: Final = 3


@dataclass(frozen=True, slots=True)
class _Draft:
    """A cheap estimate of one order, good enough to rank it and to start from."""

    ar: np.ndarray
    ma: np.ndarray
    sigma2: float

    @property
    def parameters(self) -> int:
        return len(self.ar) + len(self.ma) + 1


class _Ranked(NamedTuple):
    aicc: float
    draft: _Draft
    mean: float | None


def aicc(llf: float, parameters: int, count: int) -> float:
    """Akaike's criterion with the small-sample correction of Hurvich and Tsai (1989)."""
    return -2.0 * llf + 2.0 * parameters + 2.0 * parameters * (parameters + 1) / (count - parameters - 1)


def select_arma(values: np.ndarray, *, most: int = 3) -> Arma:
    """Order ``p, q <= most``, with or without a constant, of least AICc, and its maximum likelihood estimate.

    Every order is drafted by conditional least squares, started at Hannan and Rissanen's regression; the best drafts
    are ranked by their exact likelihood, those in contention estimated by maximum likelihood, and the exact AICc
    decides among the ones that converged. White noise is always among them. A constant is the sample mean.

    Parameters
    ----------
    values : array, shape (T,)
        Stationary and complete.
    most : int

    Raises
    ------
    DataError
        The values do not vary.
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
    white, others = _drafts(scaled, most)
    tried = [_estimate(scaled, draft, mean) for _, draft, mean in white]
    found = [each for each in tried if isinstance(each, Arma)]
    for score, draft, mean in others:
        # A draft whose maximum is refused makes way for the next one; what is far from the best is not looked at.
        if len(found) >= len(white) + _EXACT or score > min(each.aicc for each in found) + _NEAR:
            break
        estimate = _estimate(scaled, draft, mean)
        if isinstance(estimate, Arma):
            found.append(estimate)
    best = min(found, key=lambda each: each.aicc)
    return Arma(best.constant * unit, best.ar, best.ma, best.sigma2 * unit**2, best.aicc)


def _drafts(values: np.ndarray, most: int) -> tuple[list[_Ranked], list[_Ranked]]:
    """Drafts of white noise, and of the other orders by exact AICc."""
    count = len(values)
    rough: list[_Ranked] = []
    white: list[_Ranked] = []
    for mean in (None, float(np.mean(values))):
        centred = values if mean is None else values - mean
        for ar, ma in _regressed_orders(centred, most):
            draft = _draft(centred, ar, ma)
            if draft is not None:
                parameters = draft.parameters + (mean is not None)
                score = aicc(-0.5 * count * (np.log(2.0 * np.pi * draft.sigma2) + 1.0), parameters, count)
                (rough if draft.parameters > 1 else white).append(_Ranked(score, draft, mean))
    rough.sort(key=lambda each: each.aicc)
    ranked = [_Ranked(_exact_aicc(values, draft, mean), draft, mean) for _, draft, mean in rough[:_RANKED]]
    return white, sorted(ranked, key=lambda each: each.aicc)


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
    # full_output keeps it from warning where it stops early; the draft is then ranked as it came out.
    limits: dict[str, Any] = {"full_output": True, "maxfev": 60, "xtol": 1e-4, "ftol": 1e-6}
    theta = leastsq(shocks, start, Dfun=slopes, col_deriv=True, **limits)[0] if p + q else start
    if not _is_stable(theta[:p], theta[p:]):
        return None
    return _Draft(theta[:p], theta[p:], float(np.mean(shocks(theta) ** 2)))


def _exact_aicc(values: np.ndarray, draft: _Draft, mean: float | None) -> float:
    from statsmodels.tsa.innovations.arma_innovations import arma_loglike

    centred = values if mean is None else values - mean
    llf = float(arma_loglike(centred, ar_params=draft.ar, ma_params=draft.ma, sigma2=draft.sigma2))
    return aicc(llf, draft.parameters + (mean is not None), len(values))


def _estimate(values: np.ndarray, draft: _Draft, mean: float | None) -> Arma | str:
    """Exact maximum likelihood of one order, or the reason why there is none."""
    count, p, q = len(values), len(draft.ar), len(draft.ma)
    parameters = draft.parameters + (mean is not None)
    if p == q == 0:
        # The draft of white noise is its maximum likelihood estimate.
        llf = -0.5 * count * (np.log(2.0 * np.pi * draft.sigma2) + 1.0)
        return Arma(mean or 0.0, (), (), draft.sigma2, aicc(llf, parameters, count))
    from statsmodels.tsa.arima.estimators.innovations import innovations_mle

    name = f"ARMA({p},{q})"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, details = innovations_mle(
                values if mean is None else values - mean,
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
    llf = -float(optimum.fun)
    return Arma(mean or 0.0, tuple(ar.tolist()), tuple(ma.tolist()), float(found.sigma2), aicc(llf, parameters, count))
