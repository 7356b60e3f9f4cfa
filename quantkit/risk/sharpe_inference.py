"""How much a Sharpe ratio can be believed: given its length and shape, and given how many were tried."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quantkit.core.errors import UsageError
from quantkit.risk.arrays import Array, Returns, RiskFree, applied, excess_of, ratio, spread

__all__ = ["deflated_sharpe", "expected_maximum_sharpe", "probabilistic_sharpe", "sharpe_confidence"]

_EULER_MASCHERONI: Final = 0.5772156649015329


def probabilistic_sharpe(returns: Returns, *, threshold: float = 0.0, risk_free: RiskFree = 0.0) -> Any:
    """Probability that the true Sharpe ratio lies above `threshold`, given length, skewness and kurtosis.

    Parameters
    ----------
    returns : Series (T,) or DataFrame (T, N)
    threshold : float
        A Sharpe ratio per period, not annualised.
    risk_free : float or Series
        Per period.

    Returns
    -------
    float or Series
        In [0, 1]; NaN where the returns do not vary.

    References
    ----------
    Bailey, D. and López de Prado, M. (2012). The Sharpe ratio efficient frontier. Journal of Risk 15(2).
    """

    def kernel(r: Array) -> Array:
        excess = excess_of(returns, r, risk_free)
        centred = excess - excess.mean(axis=0)
        square = centred * centred
        variance = square.mean(axis=0)
        return sharpe_confidence(
            ratio(excess.mean(axis=0), spread(excess)),
            threshold=threshold,
            periods=len(r),
            skewness=ratio((square * centred).mean(axis=0), variance**1.5),
            kurtosis=ratio((square * square).mean(axis=0), variance**2),
        )

    return applied(returns, kernel)


def deflated_sharpe(returns: Returns, *, trials: int, trials_variance: float, risk_free: RiskFree = 0.0) -> Any:
    """Probability that the true Sharpe ratio is positive although it is the best of `trials`.

    Parameters
    ----------
    returns : Series (T,) or DataFrame (T, N)
    trials : int
        Independent strategies that were tried, this one included.
    trials_variance : float
        Variance of their Sharpe ratios per period.
    risk_free : float or Series
        Per period.

    References
    ----------
    Bailey, D. and López de Prado, M. (2014). The deflated Sharpe ratio. Journal of Portfolio Management 40(5).
    """
    threshold = expected_maximum_sharpe(trials=trials, trials_variance=trials_variance)
    return probabilistic_sharpe(returns, threshold=threshold, risk_free=risk_free)


def expected_maximum_sharpe(*, trials: int, trials_variance: float) -> float:
    """Sharpe ratio to expect from the best of `trials` strategies without any skill.

    Examples
    --------
    >>> round(expected_maximum_sharpe(trials=100, trials_variance=0.5 / 250), 4)
    0.1132
    """
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise UsageError(f"trials {trials!r} is not a whole number of at least 1")
    if not trials_variance >= 0.0:
        raise UsageError(f"trials_variance {trials_variance!r} is not a variance of at least 0")
    if trials == 1:
        return 0.0
    from scipy.special import ndtri

    low, high = ndtri(1.0 - 1.0 / trials), ndtri(1.0 - 1.0 / (trials * np.e))
    return float(np.sqrt(trials_variance) * ((1.0 - _EULER_MASCHERONI) * low + _EULER_MASCHERONI * high))


def sharpe_confidence(
    sharpe: Array, *, threshold: float, periods: int, skewness: Array | float, kurtosis: Array | float
) -> Array:
    """Probability that a measured Sharpe ratio per period stands for a true one above `threshold`.

    ``Phi((SR - SR*) sqrt(T - 1) / sqrt(1 - skewness SR + (kurtosis - 1) / 4 SR^2))``; `kurtosis` is 3 for a normal.

    Examples
    --------
    The worked example of Bailey and López de Prado (2014): the best of 100 trials over five years of daily returns.

    >>> best = expected_maximum_sharpe(trials=100, trials_variance=0.5 / 250)
    >>> sharpe = np.array([2.5 / 250**0.5])
    >>> confidence = sharpe_confidence(sharpe, threshold=best, periods=1250, skewness=-3.0, kurtosis=10.0)
    >>> round(float(confidence[0]), 4)
    0.9004
    """
    from scipy.special import ndtr

    error = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
    return np.asarray(ndtr((sharpe - threshold) * np.sqrt(periods - 1.0) * ratio(np.ones_like(error), np.sqrt(error))))
