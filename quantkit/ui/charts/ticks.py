"""Where the axes of a chart are labelled: dates over bar numbers, and round prices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pandas as pd

__all__ = ["js_number", "log_ticks", "price_ticks", "time_ticks"]


def price_ticks(low: float, high: float, count: int = 7) -> np.ndarray:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten apart) in [low, high], about `count` of them.

    Examples
    --------
    >>> price_ticks(196.3, 260.1, 6).tolist()
    [200.0, 220.0, 240.0, 260.0]
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return np.array([low])
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return np.round(np.arange(first, last + 1) * step, 10)


def log_ticks(low: float, high: float, count: int = 7) -> np.ndarray:
    """Round numbers in [low, high], both positive, about evenly spread over their logarithms.

    Examples
    --------
    >>> log_ticks(3.0, 450.0).tolist()
    [5.0, 10.0, 20.0, 50.0, 100.0, 200.0]
    >>> log_ticks(196.3, 260.1, 6).tolist()
    [200.0, 220.0, 240.0, 260.0]
    """
    if not 0.0 < low < high or high / low < 4.0:
        return price_ticks(low, high, count)
    powers = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        ticks = np.sort(np.outer(powers, digits).ravel())
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) <= 1.5 * count:
            break
    return np.round(ticks, 10)


def js_number(value: float) -> str:
    """The key under which JavaScript finds a number in an object, as an axis looks up its labels."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


#: Months, days and minutes in the steps of which axes are labelled.
_MONTHS = ((120, "%Y"), (60, "%Y"), (24, "%Y"), (12, "%Y"), (6, "%Y-%m"), (3, "%Y-%m"), (2, "%Y-%m"), (1, "%Y-%m"))
_WEEKS, _MINUTES = (14, 7, 1), (240, 120, 60, 30, 15, 5, 1)


def _levels(time: pd.DatetimeIndex, intraday: bool) -> Iterator[tuple[np.ndarray, str, int]]:
    """From coarse to fine: a key that changes at a boundary, how one is written, and the minutes it is rounded to."""
    months = time.year.to_numpy() * 12 + time.month.to_numpy() - 1
    for length, form in _MONTHS:
        yield months // length, form, 1
    days = time.asi8 // 86_400_000_000
    for length in _WEEKS:
        yield (days + 3) // length, "%d %b", 1  # weeks begin on Mondays
    if intraday:
        minutes = time.asi8 // 60_000_000
        for length in _MINUTES:
            yield minutes // length, "%H:%M", length


def time_ticks(
    position: np.ndarray, time: pd.DatetimeIndex, *, most: int, intraday: bool = False
) -> tuple[np.ndarray, list[str]]:
    """Bar numbers to label, and the labels: the finest of years, months, weeks, days, hours … that still fits.

    Parameters
    ----------
    position : ndarray, shape (n,)
        Bar numbers of the candles in view.
    time : DatetimeIndex, shape (n,)
        Their times on the clock that is to be shown (without a zone).
    most : int
        Labels that the width has room for.
    intraday : bool
        Finer than days; a label where the day changes is then its date.
    """
    if not len(time):
        return np.empty(0), []
    time = time.as_unit("us")
    chosen, pattern = np.array([0]), "%Y-%m-%d"
    minutes = 1
    for keys, form, length in _levels(time, intraday):
        changes = np.flatnonzero(np.diff(keys)) + 1
        if len(changes) > most:
            break
        if len(changes) >= max(2, len(chosen)) or len(changes) > len(chosen):
            chosen, pattern, minutes = changes, form, length
    spread = max((position[-1] - position[0]) / max(most, 1) * 0.6, 1e-9)
    kept = [chosen[0]]
    for at in chosen[1:]:  # a holiday week can bring two boundaries close together
        if position[at] - position[kept[-1]] >= spread:
            kept.append(at)
    return position[kept], [_label(time[at], time[at - 1] if at else None, pattern, minutes) for at in kept]


@lru_cache(maxsize=1024)
def _label(stamp: pd.Timestamp, before: pd.Timestamp | None, pattern: str, minutes: int) -> str:
    """What is written at a time, where the candle before is of another; with each bar most are written again."""
    new_year = before is not None and before.year != stamp.year
    if pattern == "%H:%M" and before is not None and before.date() != stamp.date():
        return stamp.strftime("%d %b")
    if pattern == "%Y-%m" and new_year:
        return stamp.strftime("%Y")
    if pattern == "%d %b" and new_year:
        return stamp.strftime("%d %b %Y")
    if pattern == "%H:%M":  # a candle of seven minutes that holds 11:30 need not begin there
        stamp = stamp.floor(f"{minutes}min")
    return stamp.strftime(pattern)
