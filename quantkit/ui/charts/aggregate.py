"""Many bars to few candles: what a chart of any length hands to the browser.

Pure numpy over columns that are read out of the frame once, so that a pan over a million bars costs a few
milliseconds. Candles are aligned to multiples of their own length, counted from the first bar of the series: while one
pans, a candle keeps its bars and nothing flickers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from quantkit.core.errors import UsageError

__all__ = ["BarColumns", "Candles", "aggregate", "bars_per_candle"]


@dataclass(frozen=True, slots=True, eq=False)
class BarColumns:
    """Columns of a bars frame, contiguous and drawable: nothing missing, high and low really the extremes.

    Attributes
    ----------
    time : ndarray of int64, shape (T,)
        Microseconds since 1970 UTC.
    open, high, low, close, volume : ndarray of float64, shape (T,)
        A missing open, high or low takes the close, a missing volume is 0.
    quoted : ndarray of bool, shape (T,)
        False where there is only a close to draw, as a line: an index level, a fund, a stretch that a vendor knows less
        of.
    """

    time: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    quoted: np.ndarray

    @classmethod
    def from_frame(cls, bars: pd.DataFrame) -> BarColumns:
        """Columns of `bars`; see ``quantkit.core.schema`` for what a bars frame is."""
        close = bars["close"].to_numpy(dtype=float)
        opened, high, low = (_filled(bars[name].to_numpy(dtype=float), close) for name in ("open", "high", "low"))
        return cls(
            time=bars.index.asi8,
            open=opened,
            high=np.maximum.reduce([opened, high, low, close]),
            low=np.minimum.reduce([opened, high, low, close]),
            close=np.ascontiguousarray(close),
            volume=np.nan_to_num(bars["volume"].to_numpy(dtype=float), nan=0.0),
            quoted=np.isfinite(bars["open"].to_numpy(dtype=float)),
        )

    def __len__(self) -> int:
        return len(self.close)


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """Candles of equal length, oldest first.

    Attributes
    ----------
    position : ndarray of float64, shape (n,)
        Middle of each candle in bar numbers. Evenly spaced, also where the last candle is still incomplete.
    first, last : ndarray of int64, shape (n,)
        Bar numbers that each candle covers, both included.
    open, high, low, close, volume : ndarray of float64, shape (n,)
    quoted : ndarray of bool, shape (n,)
        Whether first and last bar have more than a close.
    size : int
        Bars to a candle.
    """

    position: np.ndarray
    first: np.ndarray
    last: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    quoted: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.position)


def bars_per_candle(bars: int, limit: int) -> int:
    """Fewest bars to a candle with which `bars` bars, wherever they begin, make at most `limit` candles.

    Examples
    --------
    >>> bars_per_candle(800, 800), bars_per_candle(801, 800), bars_per_candle(1_000_000, 800)
    (1, 2, 1252)
    """
    if limit < 2:
        raise UsageError(f"limit {limit} is too small: a chart has at least 2 candles")
    # One candle of the limit is spared, because aligned candles may overhang the range at both of its ends.
    return 1 if bars <= limit else -(-bars // (limit - 1))


def aggregate(columns: BarColumns, start: int = 0, stop: int | None = None, *, size: int = 1) -> Candles:
    """Candles of `size` bars that cover bars `start` to `stop` (excluded).

    A candle opens with its first bar and closes with its last; its high and low are the extremes, its volume the sum.
    The first and last candle are completed from bars outside the range where there are any.

    Parameters
    ----------
    columns : BarColumns, T bars
    start, stop : int
        Bar numbers; clipped to 0 and T.
    size : int
        Bars to a candle, see :func:`bars_per_candle`.
    """
    total = len(columns)
    start, stop = min(max(start, 0), total), total if stop is None else min(stop, total)
    if start >= stop:
        nothing = np.empty(0)
        bars = np.empty(0, dtype=np.int64)
        return Candles(nothing, bars, bars, nothing, nothing, nothing, nothing, nothing, bars > 0, size)
    start, stop = start // size * size, min(-(-stop // size) * size, total)
    first = np.arange(start, stop, size)
    last = np.minimum(first + size, stop) - 1
    at, edges = slice(start, stop), first - start
    return Candles(
        position=first + (size - 1) / 2,
        first=first,
        last=last,
        open=columns.open[first],
        high=np.maximum.reduceat(columns.high[at], edges),
        low=np.minimum.reduceat(columns.low[at], edges),
        close=columns.close[last],
        volume=np.add.reduceat(columns.volume[at], edges),
        quoted=columns.quoted[first] & columns.quoted[last],
        size=size,
    )


def _filled(values: np.ndarray, close: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.where(np.isfinite(values), values, close))
