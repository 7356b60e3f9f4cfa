"""What a stored series may lack: until when an answer stays fresh, from where to ask again, and where its holes are."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from quantkit.core.calendars import known_at, session_hours, sessions_between
from quantkit.core.schema import Interval
from quantkit.core.sessions import session_labels

__all__ = ["Restatement", "first_known", "fresh_until", "in_new_units", "restated", "tail_start", "whole_gaps"]

#: How long after the close a vendor still changes the session's bar.
_SETTLING: Final = pd.Timedelta(hours=3)
#: Sessions asked for again with every new one: late corrections, and what shows that a split came between.
_OVERLAP: Final = 5
#: Two answers about one bar differ by the rounding of prices; a split or a dividend differs by more, in every bar.
_SAME: Final = 1e-4
#: Bars that change together before it is called a restatement.
_FEWEST: Final = 3


def fresh_until(asked: pd.Timestamp, calendar: str, *, refresh: float) -> pd.Timestamp:
    """When a series that was asked for at `asked` can first hold something new.

    While the exchange is open: `refresh` seconds later. Between its close and three hours after it, when vendors still
    change the bar: the end of those hours. Otherwise: `refresh` seconds after it opens next.
    """
    pause = pd.Timedelta(seconds=refresh)
    for opens, closes in _hours_around(asked.tz_convert("UTC").normalize(), calendar):
        if asked < opens:
            return opens + pause
        if asked < closes:
            return min(asked + pause, closes + pd.Timedelta(seconds=1))
        if asked < closes + _SETTLING:
            return closes + _SETTLING
    return asked + pd.Timedelta(days=1)


@lru_cache(maxsize=256)
def _hours_around(day: pd.Timestamp, calendar: str) -> tuple[tuple[pd.Timestamp, pd.Timestamp], ...]:
    hours = session_hours(day - pd.Timedelta(days=15), day + pd.Timedelta(days=15), calendar)
    return tuple(zip(hours["open"], hours["close"], strict=True))


def tail_start(last: pd.Timestamp, interval: Interval, calendar: str) -> pd.Timestamp:
    """From where to ask again after a series' `last` bar: some sessions before it, or its session's first minute."""
    if interval == "1m":
        return session_labels(pd.DatetimeIndex([last]), calendar)[0]
    before = sessions_between(last - pd.Timedelta(days=15), last, calendar)
    return before[-_OVERLAP] if len(before) >= _OVERLAP else last - pd.Timedelta(days=7)


def whole_gaps(held: pd.DatetimeIndex, interval: Interval, calendar: str) -> pd.DatetimeIndex:
    """Sessions between the first and the last bar in `held` of which there is none at all."""
    if not len(held):
        return held
    days = held if interval == "1d" else session_labels(held, calendar).unique()
    return sessions_between(days[0], days[-1], calendar).difference(days)


class Restatement(NamedTuple):
    """What a vendor has multiplied the oldest prices by that it gave before, and the last bar that it did so to."""

    close: float
    adj_close: float
    last: pd.Timestamp


def restated(stored: pd.DataFrame, new: pd.DataFrame) -> Restatement | None:
    """How `new` restates what is `stored`, after a split or a dividend; None where it does not.

    A restatement multiplies every bar up to some day: the one up to which bars that changed most outnumber the others.
    One or two that changed are corrections, unless there are no more to compare.
    """
    both = stored.index.intersection(new.index)
    if both.empty:
        return None
    ratios = [new.loc[both, name].to_numpy() / stored.loc[both, name].to_numpy() for name in ("close", "adj_close")]
    changed = np.any([np.abs(ratio - 1) >= _SAME for ratio in ratios], axis=0)
    lead = np.cumsum(np.where(changed, 1, -1))
    last = int(lead.argmax())
    if lead[last] < min(_FEWEST, len(both)):
        return None
    close, adjusted = (_middle(ratio[: last + 1][:_OVERLAP]) for ratio in ratios)
    return Restatement(close, adjusted, both[last])


def in_new_units(older: pd.DataFrame, close: np.ndarray | float, adj_close: np.ndarray | float) -> pd.DataFrame:
    """Bars from before a restatement with their prices multiplied as its own were, and their volumes divided."""
    older = older.copy()
    older[["open", "high", "low", "close"]] = older[["open", "high", "low", "close"]].mul(close, axis=0)
    older["volume"] /= close
    older["adj_close"] *= adj_close
    return older


def first_known(bars: pd.DatetimeIndex, after: pd.Timestamp, interval: Interval, calendar: str) -> pd.Timestamp:
    """When the first of the `bars` that follow `after` was complete; now, where there is none or it is still to come.

    What is restated counts from then on: no moment has some bars in the old units and some in the new.
    """
    complete = known_at(bars[bars > after][:1], interval=interval, calendar=calendar)
    return min([*complete, pd.Timestamp.now("UTC")])


def _middle(ratio: np.ndarray) -> float:
    ratio = ratio[np.isfinite(ratio)]
    return float(np.median(ratio)) if len(ratio) else 1.0
