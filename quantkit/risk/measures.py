"""What a series of returns was like: every measure of performance and risk, defined once.

Conventions, held by all of them
    Simple returns per period, decimals, NaN refused. ``risk_free`` is per period
    (:func:`quantkit.core.returns.per_period_rate` makes one from an annual rate). Standard deviations are the
    sample's (denominator T - 1), downside deviation divides by all T, skewness and kurtosis are the population's
    (no bias correction). Annualised through :mod:`quantkit.core.returns`, with `periods_per_year` explicit. Ratios
    whose denominator is zero are NaN, never infinite.

A Series of returns gives a float, a T x N frame a Series by column, computed in one pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from quantkit.core.returns import annualise_growth, annualise_mean, annualise_volatility
from quantkit.risk.arrays import Array, Returns, RiskFree, applied, excess_of, ratio, spread
from quantkit.risk.drawdowns import max_drawdown, max_drawdown_duration, max_drawdown_of

__all__ = [
    "annual_return",
    "best",
    "calmar_ratio",
    "downside_deviation",
    "excess_kurtosis",
    "hit_rate",
    "max_drawdown",
    "max_drawdown_duration",
    "omega_ratio",
    "sharpe_ratio",
    "skewness",
    "sortino_ratio",
    "summary",
    "tail_ratio",
    "total_return",
    "volatility",
    "worst",
]


def total_return(returns: Returns) -> Any:
    """Return over the whole span, ``prod(1 + r) - 1``.

    References
    ----------
    Bacon, C. (2008). Practical Portfolio Performance Measurement and Attribution, 2nd ed., chapter 2.
    """
    return applied(returns, _total, minimum=1)


def annual_return(returns: Returns, *, periods_per_year: float) -> Any:
    """Geometric annual return, ``(1 + total) ** (periods_per_year / T) - 1``.

    Parameters
    ----------
    returns : Series (T,) or DataFrame (T, N)
    periods_per_year : float
        252 for daily bars.

    Returns
    -------
    float or Series
        A decimal per year.

    References
    ----------
    Bacon, C. (2008). Practical Portfolio Performance Measurement and Attribution, 2nd ed., chapter 2.

    Examples
    --------
    >>> times = pd.date_range("2024-01-01", periods=2, tz="UTC", unit="us")
    >>> round(annual_return(pd.Series([0.1, 0.1], index=times), periods_per_year=1), 10)
    0.1
    """
    return applied(returns, lambda r: _annual(r, periods_per_year), minimum=1)


def volatility(returns: Returns, *, periods_per_year: float) -> Any:
    """Annualised sample standard deviation of returns.

    ``sqrt(sum (r - mean(r))^2 / (T - 1)) * sqrt(periods_per_year)``.

    References
    ----------
    Bacon, C. (2008). Practical Portfolio Performance Measurement and Attribution, 2nd ed., chapter 4.
    """
    return applied(returns, lambda r: annualise_volatility(spread(r), periods_per_year=periods_per_year))


def downside_deviation(returns: Returns, *, periods_per_year: float, risk_free: RiskFree = 0.0) -> Any:
    """Annualised root mean square of what falls short of the risk-free rate; the mean is over all T periods.

    ``sqrt(sum min(r - f, 0)^2 / T) * sqrt(periods_per_year)``.

    References
    ----------
    Sortino, F. and van der Meer, R. (1991). Downside risk. Journal of Portfolio Management 17(4).
    """
    return applied(
        returns,
        lambda r: annualise_volatility(_downside(excess_of(returns, r, risk_free)), periods_per_year=periods_per_year),
    )


def sharpe_ratio(returns: Returns, *, periods_per_year: float, risk_free: RiskFree = 0.0) -> Any:
    """Annualised mean excess return over its annualised standard deviation; NaN where the returns do not vary.

    ``mean(r - f) / std(r - f) * sqrt(periods_per_year)``, standard deviation with denominator T - 1.

    Parameters
    ----------
    returns : Series (T,) or DataFrame (T, N)
    periods_per_year : float
    risk_free : float or Series
        Per period, a decimal.

    References
    ----------
    Sharpe, W. (1994). The Sharpe ratio. Journal of Portfolio Management 21(1).
    """

    def kernel(r: Array) -> Array:
        excess = excess_of(returns, r, risk_free)
        mean = annualise_mean(excess.mean(axis=0), periods_per_year=periods_per_year)
        return ratio(mean, annualise_volatility(spread(excess), periods_per_year=periods_per_year))

    return applied(returns, kernel)


def sortino_ratio(returns: Returns, *, periods_per_year: float, risk_free: RiskFree = 0.0) -> Any:
    """Annualised mean excess return over annualised downside deviation; NaN where nothing fell short.

    ``mean(r - f) / sqrt(sum min(r - f, 0)^2 / T) * sqrt(periods_per_year)``.

    References
    ----------
    Sortino, F. and Price, L. (1994). Performance measurement in a downside risk framework. Journal of Investing 3(3).
    """

    def kernel(r: Array) -> Array:
        excess = excess_of(returns, r, risk_free)
        mean = annualise_mean(excess.mean(axis=0), periods_per_year=periods_per_year)
        return ratio(mean, annualise_volatility(_downside(excess), periods_per_year=periods_per_year))

    return applied(returns, kernel)


def calmar_ratio(returns: Returns, *, periods_per_year: float) -> Any:
    """Annual return over the size of the deepest drawdown, both over the whole span; NaN without a drawdown.

    ``annual_return / -max_drawdown``.

    References
    ----------
    Young, T. (1991). Calmar ratio: a smoother tool. Futures 20.
    """
    return applied(returns, lambda r: ratio(_annual(r, periods_per_year), -max_drawdown_of(r)))


def omega_ratio(returns: Returns, *, risk_free: RiskFree = 0.0) -> Any:
    """Sum of excess gains over the sum of excess losses; NaN where there are no losses.

    ``sum max(r - f, 0) / sum max(f - r, 0)``.

    References
    ----------
    Keating, C. and Shadwick, W. (2002). A universal performance measure.
    """

    def kernel(r: Array) -> Array:
        excess = excess_of(returns, r, risk_free)
        return ratio(np.maximum(excess, 0.0).sum(axis=0), -np.minimum(excess, 0.0).sum(axis=0))

    return applied(returns, kernel)


def skewness(returns: Returns) -> Any:
    """Third central moment over the cubed population standard deviation (no bias correction).

    ``mean((r - m)^3) / mean((r - m)^2)^(3/2)``.

    References
    ----------
    Joanes, D. and Gill, C. (1998). Comparing measures of sample skewness and kurtosis. The Statistician 47(1), g1.
    """
    return applied(returns, _skewness)


def excess_kurtosis(returns: Returns) -> Any:
    """Fourth central moment over the squared population variance, less 3 (no bias correction).

    ``mean((r - m)^4) / mean((r - m)^2)^2 - 3``.

    References
    ----------
    Joanes, D. and Gill, C. (1998). Comparing measures of sample skewness and kurtosis. The Statistician 47(1), g2.
    """
    return applied(returns, _kurtosis)


def tail_ratio(returns: Returns) -> Any:
    """Size of the 95th percentile over the size of the 5th, linear interpolation.

    ``|quantile(r, 0.95)| / |quantile(r, 0.05)|``.

    References
    ----------
    Quantopian's empyrical, ``tail_ratio``.
    """
    return applied(returns, _tail_ratio)


def hit_rate(returns: Returns) -> Any:
    """Share of all periods with a return above zero; a period without change is no hit.

    ``count(r > 0) / T``.

    References
    ----------
    Bacon, C. (2008). Practical Portfolio Performance Measurement and Attribution, 2nd ed., chapter 4.
    """
    return applied(returns, lambda r: (r > 0).mean(axis=0), minimum=1)


def best(returns: Returns) -> Any:
    """Largest return of one period, ``max(r)``."""
    return applied(returns, lambda r: r.max(axis=0), minimum=1)


def worst(returns: Returns) -> Any:
    """Smallest return of one period, ``min(r)``."""
    return applied(returns, lambda r: r.min(axis=0), minimum=1)


def summary(returns: pd.DataFrame, *, periods_per_year: float, risk_free: RiskFree = 0.0) -> pd.DataFrame:
    """Every measure of this module for every column, shape (N, measures)."""
    annual: dict[str, Any] = {"periods_per_year": periods_per_year}
    excess: dict[str, Any] = {**annual, "risk_free": risk_free}
    return pd.DataFrame({
        "total_return": total_return(returns),
        "annual_return": annual_return(returns, **annual),
        "volatility": volatility(returns, **annual),
        "downside_deviation": downside_deviation(returns, **excess),
        "sharpe": sharpe_ratio(returns, **excess),
        "sortino": sortino_ratio(returns, **excess),
        "calmar": calmar_ratio(returns, **annual),
        "omega": omega_ratio(returns, risk_free=risk_free),
        "max_drawdown": max_drawdown(returns),
        "max_drawdown_duration": max_drawdown_duration(returns),
        "skewness": skewness(returns),
        "excess_kurtosis": excess_kurtosis(returns),
        "tail_ratio": tail_ratio(returns),
        "hit_rate": hit_rate(returns),
        "best": best(returns),
        "worst": worst(returns),
    })  # fmt: skip


def _total(r: Array) -> Array:
    return (1.0 + r).prod(axis=0) - 1.0


def _annual(r: Array, periods_per_year: float) -> Array:
    return annualise_growth((1.0 + r).prod(axis=0), periods=len(r), periods_per_year=periods_per_year)


def _downside(excess: Array) -> Array:
    short = np.minimum(excess, 0.0)
    return np.sqrt((short * short).mean(axis=0))


def _skewness(r: Array) -> Array:
    centred = r - r.mean(axis=0)
    square = centred * centred
    scale = np.where(spread(r) > 0, square.mean(axis=0), np.nan)
    return (square * centred).mean(axis=0) / scale**1.5


def _kurtosis(r: Array) -> Array:
    centred = r - r.mean(axis=0)
    square = centred * centred
    scale = np.where(spread(r) > 0, square.mean(axis=0), np.nan)
    return (square * square).mean(axis=0) / scale**2 - 3.0


def _tail_ratio(r: Array) -> Array:
    low, high = np.percentile(r, [5.0, 95.0], axis=0)
    return ratio(np.abs(high), np.abs(low))
