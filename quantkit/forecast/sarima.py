"""Seasonal ARMA of daily log-returns with the week's period, that is SARIMA(p, 1, q)(P, 0, Q) of period 5.

Estimated by exact maximum likelihood with statsmodels' innovations algorithm; between two estimations the same Kalman
filter as for ``arima`` applies it to newer returns.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Final

import numpy as np

from quantkit.core.errors import DataError
from quantkit.forecast.arima import Arima
from quantkit.forecast.arma import Arma
from quantkit.forecast.base import FORECASTERS
from quantkit.forecast.orders import aicc

__all__ = ["PERIOD", "Sarima", "select_seasonal"]

#: Sessions in a week.
PERIOD: Final = 5
#: Roots nearer to the unit circle than this are refused: pairs that cancel end up there.
_ROOT: Final = 1.02


def select_seasonal(values: np.ndarray, *, most: int = 1, period: int = PERIOD) -> Arma:
    """Order ``p, q <= most`` with at most one seasonal term, of least AICc, written out as a plain ARMA.

    White noise is among the orders. The constant, the sample mean, is kept where white noise with it has the smaller
    AICc. The product of the plain and the seasonal polynomial gives the lags up to ``period + 1`` their coefficients.

    Parameters
    ----------
    values : array, shape (T,)
        Log-returns, complete.
    most : int
    period : int

    Raises
    ------
    DataError
        The values do not vary.

    References
    ----------
    Box, G. E. P. and Jenkins, G. M. (1976). Time Series Analysis: Forecasting and Control, chapter 9. Brockwell, P. J.
    and Davis, R. A. (1991). Time Series: Theory and Methods, section 8.7.
    """
    unit = float(np.std(values))
    if not unit > 1e-12:
        raise DataError(f"sarima: {len(values)} returns do not vary; there is nothing to estimate")
    scaled = values / unit
    white = [_white(scaled, mean) for mean in (0.0, float(np.mean(scaled)))]
    found = [min(white, key=lambda each: each.aicc)]
    mean = found[0].constant
    for seasonal in ((0, 0), (1, 0), (0, 1)):
        for p in range(most + 1):
            for q in range(most + 1):
                if p + q + sum(seasonal):
                    estimate = _estimate(scaled - mean, (p, 0, q), (seasonal[0], 0, seasonal[1], period), mean)
                    found += [] if estimate is None else [estimate]
    best = min(found, key=lambda each: each.aicc)
    return Arma(best.constant * unit, best.ar, best.ma, best.sigma2 * unit**2, best.aicc)


def _white(values: np.ndarray, mean: float) -> Arma:
    variance = float(np.mean((values - mean) ** 2))
    llf = -0.5 * len(values) * (np.log(2.0 * np.pi * variance) + 1.0)
    return Arma(mean, (), (), variance, aicc(llf, 1 + (mean != 0.0), len(values)))


def _estimate(
    centred: np.ndarray, order: tuple[int, int, int], seasonal: tuple[int, int, int, int], mean: float
) -> Arma | None:
    """Maximum likelihood of one order; None where it did not converge or has a root on the unit circle."""
    from statsmodels.tsa.arima.estimators.innovations import innovations_mle

    limits: dict[str, Any] = {"options": {"gtol": 0.01}}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, details = innovations_mle(
                centred, order=order, seasonal_order=seasonal, demean=False, minimize_kwargs=limits
            )
    except (ValueError, np.linalg.LinAlgError):
        return None
    optimum = details.minimize_results
    ar, ma = -np.asarray(found.reduced_ar_poly.coef)[1:], np.asarray(found.reduced_ma_poly.coef)[1:]
    roots = np.concatenate([np.roots(np.r_[1.0, -ar]), np.roots(np.r_[1.0, ma])])
    settled = optimum.success or float(np.max(np.abs(optimum.jac))) < 0.1
    if not settled or np.max(np.abs(roots) ** PERIOD, initial=0.0) >= 1.0 / _ROOT:
        return None
    parameters = order[0] + order[2] + seasonal[0] + seasonal[2] + 1 + (mean != 0.0)
    return Arma(
        mean,
        tuple(ar.tolist()),
        tuple(ma.tolist()),
        float(found.sigma2),
        aicc(-float(optimum.fun), parameters, len(centred)),
    )


@FORECASTERS.add("sarima")
class Sarima(Arima):
    """ARMA with a term a week back, p and q <= 1, the order of least AICc.

    With ``B`` the lag operator and ``s = 5`` sessions, one of ``AR`` and ``MA`` at most::

        (1 - ar B) (1 - AR B^s) (r[t] - c) = (1 + ma B) (1 + MA B^s) e[t]

    A week has five sessions on daily bars only; on minute bars five bars are no season, and it is refused there.

    Parameters
    ----------
    most : int
        Largest p and q.
    window : int
        Most recent returns that parameters are estimated from.

    References
    ----------
    Box, G. E. P. and Jenkins, G. M. (1976). Time Series Analysis: Forecasting and Control, chapter 9.
    """

    refit_every: ClassVar[int] = 250
    intervals: ClassVar[tuple[str, ...]] = ("1d",)

    def __init__(self, most: int = 1, window: int = 2500) -> None:
        super().__init__(most, window)

    def _select(self, returns: np.ndarray) -> Arma:
        return select_seasonal(returns, most=self.most)
