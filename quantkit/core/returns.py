"""Prices to returns and back, and annualisation, which happens here and nowhere else.

Conventions: simple per-period returns as decimals; logarithmic ones are always called ``log_returns``. Inside quantkit
everything is per period; it is annualised at the edge, with the number of periods in a year explicit.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = [
    "annualise_growth",
    "annualise_mean",
    "annualise_return",
    "annualise_volatility",
    "compound",
    "implied_dividends",
    "log_returns",
    "per_period_rate",
    "prices_from",
    "simple_returns",
]

Frame = TypeVar("Frame", pd.Series, pd.DataFrame)
Value = TypeVar("Value", float, NDArray[np.float64], pd.Series, pd.DataFrame)


def prices_from(bars: pd.DataFrame) -> pd.Series:
    """Total-return price of each bar: ``adj_close`` where the vendor gives it throughout, else ``close``.

    A series with a few NaN in ``adj_close`` falls back as a whole: splicing adjusted with raw prices would invent a
    return at every seam.
    """
    adjusted = bars["adj_close"]
    chosen = bars["close"] if adjusted.isna().any() else adjusted
    return chosen.rename(bars.attrs.get("symbol", "price"))


def implied_dividends(bars: pd.DataFrame) -> pd.Series:
    """Dividends a share that lie between ``close`` and ``adj_close``, by ex-date, where nobody has told them.

    An adjusted close is the close times a factor that a dividend D lowers for every earlier bar by ``1 - D / C``, C the
    close before the ex-date; so ``D[t] = C[t-1] (1 - f[t-1] / f[t])``. Prices are rounded, which moves the factor a
    little at every bar: only a step of ten times the usual one around it, and of 0.005 % of the price, is a dividend.

    Parameters
    ----------
    bars : DataFrame, shape (T, 6)
        Daily bars, split-adjusted; nothing is implied where ``adj_close`` has a NaN.

    Returns
    -------
    Series
        Amounts in today's share units and the quote currency, indexed by ex-date; empty where there are none.

    References
    ----------
    CRSP (2023). Data Descriptions Guide: factor to adjust prices.
    """
    factor = (bars["adj_close"] / bars["close"]).to_numpy(dtype=float)
    if len(factor) < 3 or not np.isfinite(factor).all():
        return pd.Series(dtype=float, index=bars.index[:0], name="dividend")
    step = np.r_[0.0, 1.0 - factor[:-1] / factor[1:]]
    usual = pd.Series(np.abs(step)).rolling(61, center=True, min_periods=1).median().to_numpy()
    paid = step > np.maximum(10.0 * usual, 5e-5)
    amounts = bars["close"].shift(1).to_numpy(dtype=float) * step
    return pd.Series(amounts[paid], index=bars.index[paid], name="dividend")


def simple_returns(prices: Frame) -> Frame:
    """``p[t] / p[t-1] - 1``; one row shorter than `prices`.

    Examples
    --------
    >>> simple_returns(pd.Series([100.0, 110.0, 99.0])).round(6).tolist()
    [0.1, -0.1]
    """
    return (prices / prices.shift(1) - 1.0).iloc[1:]


def log_returns(prices: Frame) -> Frame:
    """``ln p[t] - ln p[t-1]``; one row shorter than `prices`."""
    return np.log(prices).diff().iloc[1:]


def compound(returns: pd.Series | pd.DataFrame) -> Any:
    """Total return over the whole of `returns`, ``prod(1 + r) - 1``: a float for a Series, a Series by column."""
    return (returns + 1.0).prod() - 1.0


def annualise_return(total_return: Value, *, periods: int | NDArray[np.int64], periods_per_year: float) -> Value:
    """Geometric annual return of a `total_return` earned over `periods`.

    Examples
    --------
    >>> round(annualise_return(0.21, periods=504, periods_per_year=252), 10)
    0.1
    """
    return annualise_growth(1.0 + total_return, periods=periods, periods_per_year=periods_per_year)  # type: ignore[type-var]


def annualise_growth(growth: Value, *, periods: int | NDArray[np.int64], periods_per_year: float) -> Value:
    """Geometric annual return of wealth that grew `growth`-fold over `periods`.

    Where almost everything is lost, growth keeps the digits that ``growth - 1`` has rounded away.
    """
    return growth ** (periods_per_year / periods) - 1.0  # type: ignore[return-value]


def annualise_mean(mean: Value, *, periods_per_year: float) -> Value:
    """Arithmetic mean per period times the periods in a year."""
    return mean * periods_per_year


def annualise_volatility(volatility: Value, *, periods_per_year: float) -> Value:
    """Per-period standard deviation times the square root of the periods in a year."""
    return volatility * math.sqrt(periods_per_year)


def per_period_rate(annual_rate: float, *, periods_per_year: float) -> float:
    """Rate per period that compounds to `annual_rate` in a year.

    Examples
    --------
    >>> round(per_period_rate(0.05, periods_per_year=252), 8)
    0.00019363
    """
    return math.expm1(math.log1p(annual_rate) / periods_per_year)
