"""From the events of a stream to one-minute bars: late and out-of-order trades, cumulative volumes, vendors' minutes.

A minute is what was traded from its start on, before the next one begins. Its open is the trade that was first by the
trades' own times, its close the last, in whatever order they arrive.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import pandas as pd

from quantkit.core.calendars import calendar_of, exchange_timezone
from quantkit.data.base import StreamEvent
from quantkit.data.live import LiveBar

__all__ = ["MINUTE", "MinuteBars", "minute_of"]

#: In microseconds, as all times here.
MINUTE: Final = 60_000_000
#: Minutes back for which a late trade still finds its bar; older ones are for the vendor's history to correct.
_OPEN_FOR: Final = 5
#: A pause after which a falling or leaping day's volume may be another day's.
_SESSION_GAP: Final = 60 * MINUTE
#: Points of a day's volume that a late one can still fall between.
_POINTS: Final = 512


@dataclass(slots=True)
class _Bar:
    open: float
    high: float
    low: float
    close: float
    volume: float
    first: int
    last: int
    #: The vendor's own minute: trades change nothing about it.
    final: bool = False
    #: Only part of the minute was heard.
    partial: bool = False
    closed: bool = False
    dirty: bool = True


class _Point(NamedTuple):
    """Shares that the vendor says were traded by a time."""

    total: float
    time: int


class MinuteBars:
    """Bars of many symbols, built event by event.

    Parameters
    ----------
    joins_midway : bool
        A stream's first minute of each symbol was heard in part only, as when one connects to a live market.

    Examples
    --------
    >>> minutes = MinuteBars(joins_midway=False)
    >>> start = pd.Timestamp("2022-06-14 13:30", tz="UTC")
    >>> for second, price in ((5, 10.0), (50, 12.0), (20, 9.0), (61, 11.0)):
    ...     minutes.add(StreamEvent("MSFT", start + pd.Timedelta(seconds=second), price, size=100))
    >>> complete, forming = minutes.take()
    >>> complete[0][2:], forming[0][2:]
    ((10.0, 12.0, 9.0, 12.0, 300.0), (11.0, 11.0, 11.0, 11.0, 100.0))
    """

    def __init__(self, *, joins_midway: bool = True) -> None:
        self._joins_midway = joins_midway
        self._joined = 0
        self._bars: dict[str, dict[int, _Bar]] = {}
        self._newest: dict[str, int] = {}
        self._days: dict[str, list[_Point]] = {}
        self._changed: set[str] = set()
        #: Events that make no bar, with the name of the cleaning rule that says why; whoever takes them empties it.
        self.refused: list[tuple[str, StreamEvent]] = []

    def add(self, event: StreamEvent) -> None:
        """Take one event in."""
        time = _micro(event.time)
        if event.bar is not None:
            self._add_minute(event, time - time % MINUTE)
            return
        if not (event.price > 0 and math.isfinite(event.price)):
            self.refused.append(("price_not_positive" if event.price == event.price else "no_close", event))
            return
        if event.size is not None and not 0 <= event.size < math.inf:
            self.refused.append(("bad_volume", event))
            return
        minute = time - time % MINUTE
        newest = self._newest.get(event.symbol)
        if newest is not None and minute < newest - _OPEN_FOR * MINUTE:
            self._traded(event, time)  # what was counted there must not be counted in another minute
            self.refused.append(("late_trade", event))
            return
        traded = self._traded(event, time)
        held = self._bars.setdefault(event.symbol, {})
        bar = held.get(minute)
        if bar is None:
            partial = self._joins_midway and (newest is None or minute <= self._joined)
            held[minute] = _Bar(*(event.price,) * 4, traded, time, time, partial=partial)
            self._began(event.symbol, minute)
        elif bar.final:
            return
        else:
            if time < bar.first:
                bar.open, bar.first = event.price, time
            if time >= bar.last:
                bar.close, bar.last = event.price, time
            bar.high, bar.low = max(bar.high, event.price), min(bar.low, event.price)
            bar.volume += traded
            bar.dirty = True
        self._changed.add(event.symbol)

    def connected(self, moment: int) -> None:
        """A stream has begun (again) at `moment`: minutes that had begun by then were heard in part.

        What the day's volume has grown by meanwhile belongs to no minute.
        """
        if self._joins_midway:
            self._joined = moment - moment % MINUTE
            self._newest.clear()
            self._days.clear()
            self.interrupted()

    def interrupted(self) -> None:
        """The stream broke: minutes that it leaves open were heard in part."""
        if self._joins_midway:
            for held in self._bars.values():
                for bar in held.values():
                    bar.partial = bar.partial or not (bar.closed or bar.final)

    def close_before(self, moment: int) -> None:
        """Complete every minute that had ended at `moment`, whether or not a later trade has shown it."""
        for symbol, held in self._bars.items():
            for minute, bar in held.items():
                if not bar.closed and minute + MINUTE <= moment:
                    bar.closed = bar.dirty = True
                    self._changed.add(symbol)

    def take(self) -> tuple[list[LiveBar], list[LiveBar]]:
        """What changed since it was last asked: complete bars, and of each symbol the one that is forming.

        A minute heard in part is not among the complete ones: see :meth:`partial`.
        """
        complete, forming = [], []
        for symbol in self._changed:
            held = self._bars[symbol]
            newest = max(held)
            for minute in sorted(held):
                bar = held[minute]
                if minute < newest and not bar.closed:
                    bar.closed = bar.dirty = True  # also one whose last trade is written already, as forming
                if not bar.dirty:
                    continue
                made = LiveBar(symbol, minute, bar.open, bar.high, bar.low, bar.close, bar.volume)
                if not bar.closed:
                    forming.append(made)
                elif not bar.partial:
                    complete.append(made)
                bar.dirty = False
            for minute in [each for each in held if each < newest - _OPEN_FOR * MINUTE and not held[each].partial]:
                del held[minute]
        self._changed.clear()
        return complete, forming

    def partial(self) -> list[LiveBar]:
        """Minutes that are over and were heard in part only: the vendor's history has them whole."""
        return [
            LiveBar(symbol, minute, bar.open, bar.high, bar.low, bar.close, bar.volume)
            for symbol, held in self._bars.items()
            for minute, bar in held.items()
            if bar.partial and bar.closed
        ]

    def joining(self, symbol: str) -> bool:
        """Whether a minute is under way that is heard in part only."""
        return any(bar.partial and not bar.closed for bar in self._bars.get(symbol, {}).values())

    def settle(self, symbol: str, times: Iterable[int]) -> None:
        """Leave minutes of `symbol` alone that are stored as the vendor's history has them."""
        held = self._bars.get(symbol, {})
        for time in times:
            found = held.get(time)
            if found is not None and found.closed:
                found.partial = found.dirty = False
                found.final = True  # a late trade must not put the part that was heard over the whole

    def _add_minute(self, event: StreamEvent, minute: int) -> None:
        bar = event.bar
        assert bar is not None
        finite = all(math.isfinite(price) and price > 0 for price in bar[:4])
        rule = (
            "price_not_positive" if not finite
            else "high_not_highest" if bar.high < max(bar[:4])
            else "low_not_lowest" if bar.low > min(bar[:4])
            else "bad_volume" if not 0 <= bar.volume < math.inf
            else None
        )  # fmt: skip
        if rule is not None:
            self.refused.append((rule, event))
            return
        held = self._bars.setdefault(event.symbol, {})
        held[minute] = _Bar(*bar, first=minute, last=minute, final=True, closed=True)
        self._began(event.symbol, minute)
        self._changed.add(event.symbol)

    def _began(self, symbol: str, minute: int) -> None:
        self._newest[symbol] = max(self._newest.get(symbol, minute), minute)

    def _traded(self, event: StreamEvent, time: int) -> float:
        """Shares that `event` adds to its minute.

        A day's volume is a curve over time, of which each message tells a point: what it rises by up to a point was
        traded in that point's minute. A point that comes late splits the rise that a later one had claimed.
        """
        size = 0.0 if event.size is None else float(event.size)
        total = event.day_volume
        if total is None or not 0 <= total < math.inf:
            return size
        points = self._days.setdefault(event.symbol, [])
        if points and self._another_day(event.symbol, points[-1].time, time):
            points[:] = [_Point(0.0, points[-1].time)]
        at = bisect_right(points, total, key=lambda point: point.total)
        if at < len(points):
            after = points[at]
            if time > after.time:
                return 0.0  # a count that lags behind one that was told earlier
            if at == 0:
                points.insert(0, _Point(total, time))
                return size
            risen = total - points[at - 1].total
            claimed = self._bars[event.symbol].get(after.time - after.time % MINUTE)
            if claimed is not None and not claimed.final:
                claimed.volume, claimed.dirty = claimed.volume - risen, True
        else:
            # Of the first point nobody knows what it rises from.
            risen = total - points[-1].total if points else size
        points.insert(at, _Point(total, time))
        if len(points) > _POINTS:
            del points[0]
        return risen

    def _another_day(self, symbol: str, before: int, time: int) -> bool:
        return time - before > _SESSION_GAP and _session(symbol, time) != _session(symbol, before)


def minute_of(moment: pd.Timestamp) -> int:
    """Start of the minute of `moment`, in microseconds."""
    time = _micro(moment)
    return time - time % MINUTE


def _micro(moment: pd.Timestamp) -> int:
    return moment.as_unit("us")._value if moment.unit != "us" else moment._value


def _session(symbol: str, time: int) -> object:
    return pd.Timestamp(time, unit="us", tz="UTC").tz_convert(exchange_timezone(calendar_of(symbol))).date()
