"""From the events of a stream to one-minute bars: late and out-of-order trades, cumulative volumes, vendors' minutes.

A minute is what was traded from its start on, before the next one begins. Its open is the trade that was first by the
trades' own times, its close the last, in whatever order they arrive.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

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


@dataclass(slots=True)
class _Day:
    """Shares that the vendor says were traded so far, and when it said so."""

    volume: float
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
        self._bars: dict[str, dict[int, _Bar]] = {}
        self._newest: dict[str, int] = {}
        self._days: dict[str, _Day] = {}
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
            # The first minute that is heard, and one before it, began without us.
            partial = self._joins_midway and newest is None
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

    def interrupted(self) -> None:
        """The stream broke: what is forming was heard in part, and so is each symbol's next minute."""
        for symbol, held in self._bars.items():
            for bar in held.values():
                bar.partial = bar.partial or (self._joins_midway and not bar.closed and not bar.final)
            if self._joins_midway:
                self._newest.pop(symbol, None)

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

    def settle(self, done: Iterable[LiveBar]) -> None:
        """Forget minutes that are stored as the vendor's history has them."""
        for bar in done:
            held = self._bars.get(bar.symbol, {})
            found = held.get(bar.time)
            if found is not None:
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
        """Shares that `event` adds to its minute."""
        size = 0.0 if event.size is None else float(event.size)
        total = event.day_volume
        if total is None or not 0 <= total < math.inf:
            return size
        day = self._days.get(event.symbol)
        if day is None:
            self._days[event.symbol] = _Day(total, time)
            return size
        if time - day.time > _SESSION_GAP and _session(event.symbol, time) != _session(event.symbol, day.time):
            self._days[event.symbol] = _Day(total, time)
            return float(total)
        added = max(total - day.volume, 0.0)
        # A count that lags, or a message overtaken by a later one, takes nothing away.
        day.volume, day.time = max(day.volume, total), max(day.time, time)
        return added


def minute_of(moment: pd.Timestamp) -> int:
    """Start of the minute of `moment`, in microseconds."""
    time = _micro(moment)
    return time - time % MINUTE


def _micro(moment: pd.Timestamp) -> int:
    return moment.as_unit("us")._value if moment.unit != "us" else moment._value


def _session(symbol: str, time: int) -> object:
    return pd.Timestamp(time, unit="us", tz="UTC").tz_convert(exchange_timezone(calendar_of(symbol))).date()
