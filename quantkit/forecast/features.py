"""What a model may know at an origin: one table of features, each made from that bar and earlier ones.

The whole history is computed at once. Every feature is a recursion or a sum over a window that ends at its row, so a
row is the same bit for bit whatever comes after it (tested by corrupting the future).

On minute bars nothing reaches across a session gap: the return there is missing (0 as a lag, left out of the
realised volatility), and the oscillators see a price from which the jumps between sessions have been taken out. On a
close-only series, whose volume is NaN, ``volume_relative`` is 1, as on a day of average volume.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from quantkit.forecast.target import close_returns, local_scale, session_gaps

__all__ = ["FEATURES", "WARM_UP", "feature_table"]

#: Rows before the first complete one: the local scale needs 20 returns.
WARM_UP: Final = 20

#: Every feature by name, in the order of the table's columns, with what it is.
FEATURES: Final[dict[str, str]] = {
    "lag_1": "log-return of the origin's own bar, in units of the local scale before it",
    "lag_2": "log-return one bar earlier, likewise",
    "lag_3": "log-return two bars earlier",
    "lag_4": "log-return three bars earlier",
    "lag_5": "log-return four bars earlier: on daily bars a week ago",
    "momentum_10": "sum of the last 10 log-returns over their root sum of squares",
    "momentum_20": "sum of the last 20 log-returns over their root sum of squares",
    "momentum_60": "sum of the last 60 log-returns over their root sum of squares",
    "volatility_5": "realised volatility: root mean square of the last 5 log-returns, a decimal per bar",
    "volatility_20": "realised volatility of the last 20 log-returns",
    "volatility_60": "realised volatility of the last 60 log-returns",
    "rsi_14": "Wilder's relative strength index over 14 bars, 0 to 100; 50 where nothing moved",
    "macd": "difference of the exponential means of price over 12 and 26 bars, as a share of the price",
    "macd_histogram": "macd less its own exponential mean over 9 bars",
    "volume_relative": "volume over its mean of the last 20 bars, at most 10; 1 where there is no volume",
    "weekday": "day of the week, Monday 0",
    "month": "month of the year, 1 to 12",
    "session_minute": "minutes since the session's first bar; 0 on daily bars",
}


def feature_table(bars: pd.DataFrame) -> pd.DataFrame:
    """Features at every bar.

    Parameters
    ----------
    bars : DataFrame, shape (T, 6)
        A bars frame; only ``close`` and ``volume`` are looked at.

    Returns
    -------
    DataFrame, shape (T, 18)
        Columns as in :data:`FEATURES`; row t depends on rows ``..t`` only. The first 20 rows are NaN, and so are rows
        before the price has moved.

    References
    ----------
    Wilder, J. W. (1978). New Concepts in Technical Trading Systems. Appel, G. (2005). Technical Analysis.
    """
    returns = close_returns(bars)
    scale = local_scale(returns)
    moves = np.nan_to_num(returns)
    columns: dict[str, np.ndarray] = {}
    before = np.r_[np.nan, scale[:-1]]
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(np.isnan(returns) | np.isnan(before), 0.0, moves / before)
    # A jump of ten times the scale says what one of six says, and may not carry a fitted line away.
    scaled = np.clip(scaled, -6.0, 6.0)
    for lag in range(1, 6):
        columns[f"lag_{lag}"] = np.r_[np.zeros(lag - 1), scaled[: len(scaled) - lag + 1]][: len(scaled)]
    for window in (10, 20, 60):
        total, size = _window_sum(moves, window), np.sqrt(_window_sum(moves**2, window))
        columns[f"momentum_{window}"] = np.divide(total, size, out=np.zeros_like(total), where=size > 0.0)
    for window in (5, 20, 60):
        columns[f"volatility_{window}"] = _realised(returns, window)
    price = np.exp(np.cumsum(moves))
    columns["rsi_14"] = _rsi(moves, 14)
    columns["macd"] = (_exponential_mean(price, 12) - _exponential_mean(price, 26)) / price
    columns["macd_histogram"] = columns["macd"] - _exponential_mean(columns["macd"], 9)
    columns["volume_relative"] = _relative_volume(bars["volume"].to_numpy(dtype=float), 20)
    times = bars.index
    columns["weekday"] = times.day_of_week.to_numpy(dtype=float)
    columns["month"] = times.month.to_numpy(dtype=float)
    columns["session_minute"] = _session_minutes(times)
    table = pd.DataFrame(columns, index=times, columns=list(FEATURES))
    table.loc[np.isnan(scale)] = np.nan
    return table


def _window_sum(values: np.ndarray, window: int) -> np.ndarray:
    """Sum over the last `window` values, fewer at the start; summed anew at each row, so that no rounding builds up."""
    padded = np.concatenate([np.zeros(window - 1), values])
    return np.lib.stride_tricks.sliding_window_view(padded, window).sum(axis=1)


def _realised(returns: np.ndarray, window: int) -> np.ndarray:
    """Root mean square of the last `window` returns that are there, as seen from each row."""
    there = ~np.isnan(returns)
    count = np.cumsum(there)
    squares = returns[there] ** 2
    known = np.minimum(np.arange(1, len(squares) + 1), window)
    level = np.sqrt(_window_sum(squares, window) / known)
    return np.where(count > 0, np.r_[0.0, level][count], 0.0)


def _recursion(values: np.ndarray, share: float) -> np.ndarray:
    """``mean[t] = mean[t-1] + share (value[t] - mean[t-1])``, from the first value on."""
    from scipy.signal import lfilter

    if not len(values):
        return values
    return np.asarray(lfilter([share], [1.0, share - 1.0], values, zi=[(1.0 - share) * values[0]])[0])


def _exponential_mean(values: np.ndarray, span: int) -> np.ndarray:
    return _recursion(values, 2.0 / (span + 1.0))


def _rsi(moves: np.ndarray, window: int) -> np.ndarray:
    gains, losses = (_recursion(np.maximum(side, 0.0), 1.0 / window) for side in (moves, -moves))
    total = gains + losses
    return np.divide(100.0 * gains, total, out=np.full_like(total, 50.0), where=total > 0.0)


def _relative_volume(volume: np.ndarray, window: int) -> np.ndarray:
    known = ~np.isnan(volume)
    count = _window_sum(known.astype(float), window)
    total = _window_sum(np.where(known, volume, 0.0), window)
    usable = known & (total > 0.0)
    relative = np.ones(len(volume))
    relative[usable] = np.minimum(volume[usable] * count[usable] / total[usable], 10.0)
    return relative


def _session_minutes(times: pd.DatetimeIndex) -> np.ndarray:
    opens = session_gaps(times)
    if not opens.any():
        return np.zeros(len(times))
    opens[0] = True
    stamps = times.as_unit("us").asi8
    first = stamps[np.flatnonzero(opens)][np.cumsum(opens) - 1]
    return (stamps - first) / 60e6
