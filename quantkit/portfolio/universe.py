"""From prices as they come to prices that can be estimated on: what is left out, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError, UsageError

__all__ = ["MIN_HISTORY", "Universe", "prepare"]

#: Fewest returns that every asset must share with the others.
MIN_HISTORY = 60
#: An asset with more of its own days missing than this is left out; fewer, and the days are.
MOST_MISSING = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Universe:
    """Assets with a common history.

    Attributes
    ----------
    prices : DataFrame, shape (T, N)
        Complete and positive.
    dropped : dict of symbol to reason
    notes : tuple of str
        What was repaired.
    """

    prices: pd.DataFrame
    dropped: dict[str, str]
    notes: tuple[str, ...]


def prepare(prices: pd.DataFrame, *, min_history: int = MIN_HISTORY) -> Universe:
    """Keep the assets that share at least `min_history` returns, and the days on which all of them have a price.

    Left out, each with its reason: a column that repeats another, an asset without prices, one with many days
    missing, and, as long as the common history is too short, the asset whose own is the shortest. A price that never
    changes inside the common history tells nothing about risk and is left out too.

    Parameters
    ----------
    prices : DataFrame, shape (T, N)
        Index in UTC, increasing; NaN where there is no price.
    min_history : int

    Raises
    ------
    DataError
        A price is not positive (names the first), the index is not a time index, or no asset remains.
    """
    _check(prices)
    if isinstance(min_history, bool) or not isinstance(min_history, int) or min_history < 2:
        raise UsageError(f"min_history {min_history!r} is not a whole number of at least 2")
    dropped: dict[str, str] = {}
    notes: list[str] = []
    repeated = prices.columns.duplicated()
    if repeated.any():
        names = ", ".join(dict.fromkeys(prices.columns[repeated]))
        notes.append(f"given twice, used once: {names}")
        prices = prices.loc[:, ~repeated]
    here = prices.notna().to_numpy()
    spans = _spans(here)
    for at, symbol in enumerate(prices.columns):
        first, last = spans[at]
        inside = here[first : last + 1, at]
        if len(inside) <= min_history:
            dropped[symbol] = f"history too short: {int(inside.sum())} prices, more than {min_history} are needed"
        elif inside.mean() < 1.0 - MOST_MISSING:
            dropped[symbol] = f"{1.0 - inside.mean():.0%} of its days have no price"
    kept = [at for at, symbol in enumerate(prices.columns) if symbol not in dropped]
    kept = _overlapping(kept, spans, prices, min_history, dropped)
    start, end = _common(kept, spans)
    complete = prices.iloc[start : end + 1, kept]
    whole = complete.notna().all(axis=1)
    if not whole.all():
        notes.append(f"{int((~whole).sum())} days on which an asset has no price are left out")
        complete = complete[whole]
    still = (complete.to_numpy() == complete.to_numpy()[:1]).all(axis=0)
    for symbol in complete.columns[still]:
        dropped[symbol] = "its price never changes"
    complete = complete.loc[:, ~still]
    if complete.shape[1] == 0 or len(complete) <= min_history:
        reasons = "; ".join(f"{symbol}: {reason}" for symbol, reason in dropped.items())
        raise DataError(f"no assets share {min_history + 1} prices; {reasons or f'{len(complete)} common days'}")
    return Universe(complete.astype(np.float64), dropped, tuple(notes))


def _check(prices: pd.DataFrame) -> None:
    if not isinstance(prices, pd.DataFrame) or not isinstance(prices.index, pd.DatetimeIndex):
        raise DataError("prices: expected a DataFrame of symbols over a DatetimeIndex in UTC")
    if str(prices.index.tz) != "UTC" or not prices.index.is_monotonic_increasing or not prices.index.is_unique:
        raise DataError("prices: the index must be in UTC, increasing, each time once")
    if not prices.shape[1]:
        raise DataError("prices: no asset is given")
    values = prices.to_numpy(dtype=np.float64)
    bad = (values <= 0) | np.isinf(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"prices: {prices.columns[column]} is {values[row, column]:g} at {prices.index[row].isoformat()}, "
            "not a positive number"
        )


def _spans(here: np.ndarray) -> list[tuple[int, int]]:
    count = len(here)
    return [
        (int(column.argmax()), count - 1 - int(column[::-1].argmax())) if column.any() else (count, count - 1)
        for column in here.T
    ]


def _common(kept: list[int], spans: list[tuple[int, int]]) -> tuple[int, int]:
    return (max(spans[at][0] for at in kept), min(spans[at][1] for at in kept)) if kept else (0, -1)


def _overlapping(
    kept: list[int], spans: list[tuple[int, int]], prices: pd.DataFrame, min_history: int, dropped: dict[str, str]
) -> list[int]:
    """Assets left when those that cut the common history below `min_history` are dropped, the worst one first."""
    kept = list(kept)
    while len(kept) > 1:
        start, end = _common(kept, spans)
        if end - start >= min_history:
            break

        def length_without(at: int) -> tuple[int, int]:
            start, end = _common([each for each in kept if each != at], spans)
            return end - start, spans[at][0] - spans[at][1]

        worst = max(kept, key=length_without)
        first, last = (prices.index[edge].date() for edge in spans[worst])
        dropped[prices.columns[worst]] = f"its history ({first} to {last}) does not overlap the others' by enough"
        kept.remove(worst)
    return kept
