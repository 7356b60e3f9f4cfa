"""Every measure over a moving window, equal to computing it slice by slice.

A window's figure is put together from the figures of blocks of 1, 2, 4, ... rows, which for moments, growth and
drawdown can be joined exactly: 2 log2(window) passes over the matrix instead of one pass a window, and no running sum
whose error grows along the series.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError, UsageError
from quantkit.core.returns import annualise_growth, annualise_mean, annualise_volatility
from quantkit.risk.arrays import NEGLIGIBLE, Array, Returns, RiskFree, by_columns, excess_of, matrix, ratio, same_times

__all__ = ["ROLLING_MEASURES", "RollingMeasure", "rolling", "windows"]

RollingMeasure = Literal[
    "total_return", "annual_return", "volatility", "downside_deviation", "sharpe", "sortino", "calmar", "omega",
    "max_drawdown", "skewness", "excess_kurtosis", "tail_ratio", "hit_rate", "best", "worst",
    "alpha", "beta", "correlation", "tracking_error", "information_ratio",
]  # fmt: skip
ROLLING_MEASURES: Final[tuple[RollingMeasure, ...]] = get_args(RollingMeasure)
_BESIDE_BENCHMARK: Final = ("alpha", "beta", "correlation", "tracking_error", "information_ratio")

State = tuple[Array, ...]
Join = Callable[[State, State, int, int], State]


def rolling(
    returns: Returns,
    measure: RollingMeasure,
    *,
    window: int,
    periods_per_year: float,
    risk_free: RiskFree = 0.0,
    benchmark: pd.Series | None = None,
) -> Any:
    """`measure` of the last `window` returns at each time, defined as in the functions of that name.

    Parameters
    ----------
    returns : Series (T,) or DataFrame (T, N)
    measure : str
        One of ``ROLLING_MEASURES``.
    window : int
        Periods, at least 2.
    periods_per_year : float
    risk_free : float or Series
        Per period.
    benchmark : Series, shape (T,)
        Needed by alpha, beta, correlation, tracking_error and information_ratio.

    Returns
    -------
    Series or DataFrame
        T - window + 1 rows, each labelled by the last period of its window.

    Raises
    ------
    UsageError
        Unknown measure, window below 2, benchmark missing.
    DataError
        Fewer returns than `window`; what the measure itself refuses.
    """
    if measure not in ROLLING_MEASURES:
        raise UsageError(f"unknown rolling measure {measure!r}; choose from {', '.join(ROLLING_MEASURES)}")
    if isinstance(window, bool) or not isinstance(window, int) or window < 2:
        raise UsageError(f"window {window!r} is not a whole number of periods of at least 2")
    values = matrix(returns)
    if len(values) < window:
        raise DataError(f"returns: {len(values)} rows are fewer than the window of {window}")
    kernel = _kernel(returns, measure, window, periods_per_year, risk_free, benchmark)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        answer = by_columns(values, kernel)
    answer = np.where(np.isfinite(answer), answer, np.nan)
    times = returns.index[window - 1 :]
    if isinstance(returns, pd.DataFrame):
        return pd.DataFrame(answer, index=times, columns=returns.columns)
    return pd.Series(answer[:, 0], index=times, name=returns.name)


def _kernel(
    returns: Returns,
    measure: RollingMeasure,
    window: int,
    periods_per_year: float,
    risk_free: RiskFree,
    benchmark: pd.Series | None,
) -> Callable[[Array], Array]:
    if measure in _BESIDE_BENCHMARK:
        if benchmark is None:
            raise UsageError(f"rolling {measure} needs a benchmark")
        name = str(benchmark.name or "benchmark")
        same_times(returns, benchmark, name=name)
        market = matrix(benchmark, name=name)
        if measure not in ("alpha", "beta"):
            return lambda r: _beside(measure, r, market, window, periods_per_year)
        market = excess_of(returns, market, risk_free)
        return lambda r: _beside(measure, excess_of(returns, r, risk_free), market, window, periods_per_year)
    if measure in ("downside_deviation", "sharpe", "sortino", "omega"):
        return lambda r: _of_excess(measure, excess_of(returns, r, risk_free), window, periods_per_year)
    return lambda r: _alone(measure, r, window, periods_per_year)


def windows(state: State, join: Join, window: int) -> State:
    """State of every window of `window` rows, from the states of single rows and a rule that joins neighbours.

    Parameters
    ----------
    state : tuple of arrays, each (T, ...)
        Of one row each.
    join : callable
        ``join(left, right, rows_left, rows_right)``; associative, not necessarily commutative.
    window : int

    Returns
    -------
    tuple of arrays, each (T - window + 1, ...)
    """
    last = len(state[0]) - window + 1
    joined: State | None = None
    done, size, block = 0, 1, state
    while True:
        if window & size:
            piece = tuple(each[done : done + last] for each in block)
            joined = piece if joined is None else join(joined, piece, done, size)
            done += size
        if done == window:
            return joined  # type: ignore[return-value]  # the lowest set bit of a positive window has set it
        left, right = tuple(each[:-size] for each in block), tuple(each[size:] for each in block)
        block, size = join(left, right, size, size), 2 * size


def _add(left: State, right: State, rows_left: int, rows_right: int) -> State:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _moments(left: State, right: State, rows_left: int, rows_right: int) -> State:
    # Chan, Golub and LeVeque (1983); Pebay (2008) for the third and fourth.
    n = rows_left + rows_right
    delta = right[0] - left[0]
    share_left, share_right = rows_left / n, rows_right / n
    mean = left[0] + delta * share_right
    between = delta * delta * (rows_left * share_right)
    second = left[1] + right[1] + between
    if len(left) == 2:
        return mean, second
    third = (
        left[2] + right[2]
        + between * delta * (share_left - share_right)
        + 3.0 * delta * (share_left * right[1] - share_right * left[1])
    )  # fmt: skip
    fourth = (
        left[3] + right[3]
        + between * delta * delta * (share_left**2 - share_left * share_right + share_right**2)
        + 6.0 * delta * delta * (share_left**2 * right[1] + share_right**2 * left[1])
        + 4.0 * delta * (share_left * right[2] - share_right * left[2])
    )  # fmt: skip
    return mean, second, third, fourth


def _comoments(left: State, right: State, rows_left: int, rows_right: int) -> State:
    # Means of x and y, then the sums of (x - mean)(y - mean), (x - mean)^2 and (y - mean)^2.
    n = rows_left + rows_right
    dx, dy = right[0] - left[0], right[1] - left[1]
    weight = rows_left * rows_right / n
    return (
        left[0] + dx * (rows_right / n),
        left[1] + dy * (rows_right / n),
        left[2] + right[2] + dx * dy * weight,
        left[3] + right[3] + dx * dx * weight,
        left[4] + right[4] + dy * dy * weight,
    )


def _falls(left: State, right: State, rows_left: int, rows_right: int) -> State:
    # Growth, highest and lowest wealth relative to the start (which counts as a peak), deepest drawdown.
    growth, high, low, deepest = left
    across = growth * right[2] / high - 1.0
    return (
        growth * right[0],
        np.maximum(high, growth * right[1]),
        np.minimum(low, growth * right[2]),
        np.minimum(np.minimum(deepest, right[3]), across),
    )


def _deviation(mean: Array, second: Array, window: int) -> Array:
    deviation = np.sqrt(second / (window - 1))
    return np.where(deviation <= NEGLIGIBLE * np.abs(mean), 0.0, deviation)


def _growth(r: Array, window: int) -> Array:
    return windows((1.0 + r,), lambda a, b, m, n: (a[0] * b[0],), window)[0]


def _drawdown(r: Array, window: int) -> Array:
    return windows((1.0 + r, np.maximum(1.0 + r, 1.0), np.minimum(1.0 + r, 1.0), np.minimum(r, 0.0)), _falls, window)[3]


def _alone(measure: str, r: Array, window: int, periods_per_year: float) -> Array:
    zero = np.zeros_like(r)
    if measure == "total_return":
        return _growth(r, window) - 1.0
    if measure in ("annual_return", "calmar"):
        annual = annualise_growth(_growth(r, window), periods=window, periods_per_year=periods_per_year)
        return annual if measure == "annual_return" else ratio(annual, -_drawdown(r, window))
    if measure == "volatility":
        mean, second = windows((r, zero), _moments, window)
        deviation = _deviation(mean, second, window)
        return annualise_volatility(deviation, periods_per_year=periods_per_year)
    if measure == "max_drawdown":
        return _drawdown(r, window)
    if measure in ("skewness", "excess_kurtosis"):
        mean, second, third, fourth = windows((r, zero, zero, zero), _moments, window)
        variance = np.where(_deviation(mean, second, window) > 0, second / window, np.nan)
        return third / window / variance**1.5 if measure == "skewness" else fourth / window / variance**2 - 3.0
    if measure == "tail_ratio":
        moving = pd.DataFrame(r).rolling(window)
        low, high = (moving.quantile(p).to_numpy()[window - 1 :] for p in (0.05, 0.95))
        return ratio(np.abs(high), np.abs(low))
    if measure == "hit_rate":
        return windows(((r > 0).astype(np.float64),), _add, window)[0] / window
    pick = np.maximum if measure == "best" else np.minimum
    return windows((r,), lambda a, b, m, n: (pick(a[0], b[0]),), window)[0]


def _of_excess(measure: str, excess: Array, window: int, periods_per_year: float) -> Array:
    if measure == "omega":
        gain, loss = windows((np.maximum(excess, 0.0), -np.minimum(excess, 0.0)), _add, window)
        return ratio(gain, loss)
    if measure == "sharpe":
        mean, second = windows((excess, np.zeros_like(excess)), _moments, window)
        risk = _deviation(mean, second, window)
    else:
        short = np.minimum(excess, 0.0)
        total, squares = windows((excess, short * short), _add, window)
        mean, risk = total / window, np.sqrt(squares / window)
    risk = annualise_volatility(risk, periods_per_year=periods_per_year)
    if measure == "downside_deviation":
        return risk
    return ratio(annualise_mean(mean, periods_per_year=periods_per_year), risk)


def _beside(measure: str, r: Array, b: Array, window: int, periods_per_year: float) -> Array:
    if measure in ("tracking_error", "information_ratio"):
        mean, second = windows((r - b, np.zeros_like(r)), _moments, window)
        error = annualise_volatility(_deviation(mean, second, window), periods_per_year=periods_per_year)
        if measure == "tracking_error":
            return error
        return ratio(annualise_mean(mean, periods_per_year=periods_per_year), error)
    zero, flat = np.zeros_like(r), np.zeros_like(b)
    mean, market, together, own, theirs = windows((r, b, zero, zero, flat), _comoments, window)
    theirs = np.where(_deviation(market, theirs, window) > 0, theirs, np.nan)
    if measure == "correlation":
        own = np.where(_deviation(mean, own, window) > 0, own, np.nan)
        return np.clip(together / np.sqrt(own * theirs), -1.0, 1.0)
    slope = together / theirs
    return slope if measure == "beta" else annualise_mean(mean - slope * market, periods_per_year=periods_per_year)
