"""A series of returns beside a benchmark's.

Conventions as in :mod:`quantkit.risk.measures`. Returns and benchmark must share their times; :func:`align` in
:mod:`quantkit.risk.arrays` makes them agree and counts what that leaves out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantkit.core.returns import annualise_growth, annualise_mean, annualise_volatility
from quantkit.risk.arrays import Array, Returns, RiskFree, applied, excess_of, matrix, ratio, same_times, spread

__all__ = ["alpha", "beta", "correlation_with", "down_capture", "information_ratio", "tracking_error", "up_capture"]


def beta(returns: Returns, benchmark: pd.Series, *, risk_free: RiskFree = 0.0) -> Any:
    """Slope of excess returns on the benchmark's, ``cov(r, b) / var(b)``; NaN where the benchmark does not vary.

    Raises
    ------
    DataError
        `benchmark` has other times than `returns`.

    References
    ----------
    Sharpe, W. (1964). Capital asset prices: a theory of market equilibrium under conditions of risk. Journal of
    Finance 19(3).
    """
    return _beside(returns, benchmark, lambda r, b: _slope(*_excesses(returns, r, b, risk_free)))


def alpha(returns: Returns, benchmark: pd.Series, *, periods_per_year: float, risk_free: RiskFree = 0.0) -> Any:
    """Jensen's alpha, ``mean(r - f) - beta mean(b - f)``, annualised arithmetically as a mean.

    References
    ----------
    Jensen, M. (1968). The performance of mutual funds in the period 1945-1964. Journal of Finance 23.
    """

    def kernel(r: Array, b: Array) -> Array:
        excess, market = _excesses(returns, r, b, risk_free)
        mean = excess.mean(axis=0) - _slope(excess, market) * market.mean(axis=0)
        return annualise_mean(mean, periods_per_year=periods_per_year)

    return _beside(returns, benchmark, kernel)


def correlation_with(returns: Returns, benchmark: pd.Series) -> Any:
    """Pearson correlation with the benchmark; NaN where either does not vary.

    ``cov(r, b) / (std(r) std(b))``.

    References
    ----------
    Bacon, C. (2008). Practical Portfolio Performance Measurement and Attribution, 2nd ed., chapter 4.
    """

    def kernel(r: Array, b: Array) -> Array:
        together = ((r - r.mean(axis=0)) * (b - b.mean(axis=0))).sum(axis=0) / (len(r) - 1)
        return np.clip(ratio(together, spread(r) * spread(b)), -1.0, 1.0)

    return _beside(returns, benchmark, kernel)


def tracking_error(returns: Returns, benchmark: pd.Series, *, periods_per_year: float) -> Any:
    """Annualised sample standard deviation of the active return ``r - b``.

    ``std(r - b) * sqrt(periods_per_year)``.

    References
    ----------
    Grinold, R. and Kahn, R. (1999). Active Portfolio Management, 2nd ed., chapter 4.
    """
    return _beside(
        returns, benchmark, lambda r, b: annualise_volatility(spread(r - b), periods_per_year=periods_per_year)
    )


def information_ratio(returns: Returns, benchmark: pd.Series, *, periods_per_year: float) -> Any:
    """Annualised mean active return over tracking error; NaN where the active return does not vary.

    ``mean(r - b) / std(r - b) * sqrt(periods_per_year)``.

    References
    ----------
    Goodwin, T. (1998). The information ratio. Financial Analysts Journal 54(4).
    """

    def kernel(r: Array, b: Array) -> Array:
        active = r - b
        mean = annualise_mean(active.mean(axis=0), periods_per_year=periods_per_year)
        return ratio(mean, annualise_volatility(spread(active), periods_per_year=periods_per_year))

    return _beside(returns, benchmark, kernel)


def up_capture(returns: Returns, benchmark: pd.Series, *, periods_per_year: float) -> Any:
    """Geometric annual return in the periods in which the benchmark rose, over the benchmark's in the same periods.

    ``annual_return(r[b > 0]) / annual_return(b[b > 0])``.

    References
    ----------
    Bacon, C. (2008). Practical Portfolio Performance Measurement and Attribution, 2nd ed., chapter 5.
    """
    return _beside(returns, benchmark, lambda r, b: _capture(r, b, b[:, 0] > 0, periods_per_year))


def down_capture(returns: Returns, benchmark: pd.Series, *, periods_per_year: float) -> Any:
    """Geometric annual return in the periods in which the benchmark fell, over the benchmark's in the same periods.

    ``annual_return(r[b < 0]) / annual_return(b[b < 0])``.

    References
    ----------
    Bacon, C. (2008). Practical Portfolio Performance Measurement and Attribution, 2nd ed., chapter 5.
    """
    return _beside(returns, benchmark, lambda r, b: _capture(r, b, b[:, 0] < 0, periods_per_year))


def _beside(returns: Returns, benchmark: pd.Series, kernel: Callable[[Array, Array], Array]) -> Any:
    name = str(benchmark.name or "benchmark")
    against = matrix(benchmark, name=name)
    same_times(returns, benchmark, name=name)
    return applied(returns, lambda r: kernel(r, against))


def _excesses(returns: Returns, r: Array, b: Array, risk_free: RiskFree) -> tuple[Array, Array]:
    return excess_of(returns, r, risk_free), excess_of(returns, b, risk_free)


def _slope(r: Array, b: Array) -> Array:
    centred = b - b.mean(axis=0)
    scale = np.where(spread(b) > 0, (centred * centred).sum(axis=0), np.nan)
    return (r * centred).sum(axis=0) / scale


def _capture(r: Array, b: Array, chosen: NDArray[np.bool_], periods_per_year: float) -> Array:
    if not chosen.any():
        return np.full(r.shape[1], np.nan)
    count = int(chosen.sum())
    mine, market = (
        annualise_growth((1.0 + each[chosen]).prod(axis=0), periods=count, periods_per_year=periods_per_year)
        for each in (r, b)
    )
    return mine / market
