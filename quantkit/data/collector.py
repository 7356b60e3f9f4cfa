"""The collector: streams or polls a provider, cleans, writes to the store, announces.

Three threads. The stream's own takes events in and never waits for the store; the writer turns what came within a few
hundredths of a second into one transaction; the upkeep fills gaps from the vendor's history, scores forecasts and
prunes. What is remembered is bounded by symbols and minutes: nothing queues.

Nothing is lost by a kill at any moment. Complete minutes are written in order, and where a stream begins (again), the
minutes since the last stored one come from the vendor's history before any later one is written; so the last stored
minute always says where to go on. Nothing is doubled, since a bar is known by its time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from quantkit.core.calendars import calendar_of, known_at, on_calendar
from quantkit.core.errors import (
    Cancelled,
    KeyRefusedError,
    NotEntitledError,
    ProviderError,
    QuantkitError,
    StoreError,
    ThrottledError,
    UsageError,
)
from quantkit.core.schema import check_symbols
from quantkit.data import sql
from quantkit.data.base import HistoryQuery, Provider, Streaming
from quantkit.data.bus import announcer
from quantkit.data.cleaning import clean
from quantkit.data.live import LiveBar
from quantkit.data.rules import RULES
from quantkit.data.store import Store
from quantkit.data.ticks import MINUTE, MinuteBars
from quantkit.settings import Settings

__all__ = ["Collector"]

#: Seconds in which events are gathered into one transaction.
_GATHER: Final = 0.03
#: Seconds after its end in which a minute's late trades are waited for.
_GRACE: Final = 2.0
#: Seconds of silence, while an exchange is open, after which a stream is taken for stalled.
STALL: Final = 60.0
_LONGEST_WAIT: Final = 60.0
#: Attempts at a vendor's history, after which minutes heard in part are kept as they are.
_ATTEMPTS: Final = 3
_DAY: Final = 86_400.0
#: Minutes by which a vendor's history may lag behind its stream.
_LAG: Final = 3
#: How far back a symbol that is collected for the first time is filled.
_FIRST_FILL: Final = pd.Timedelta(days=1)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Gap:
    """How far the filling of what lies in front of a stream has come."""

    asked: bool = False
    failures: int = 0
    next_attempt: float = 0.0


class Collector:
    """Collects one-minute bars of `symbols` from a provider into a store.

    Parameters
    ----------
    settings : Settings
    store : Store
    provider : Provider
        A provider with a ``clock`` (microseconds since 1970) is judged by that instead of this machine's.
    symbols : sequence of str
    say : callable
        Told in a sentence what a person should know.
    recorded : bool
        The stream is a recording: its minutes are whole, end when a later one begins, and there is no other history.
    stall : float
        Seconds of silence after which the stream is opened again.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        provider: Provider,
        symbols: Sequence[str],
        *,
        say: Callable[[str], None] = _log.info,
        recorded: bool = False,
        stall: float = STALL,
    ) -> None:
        self.settings, self.store, self.provider = settings, store, provider
        self.symbols = check_symbols(symbols, at_least=1)
        self._say, self._recorded, self._stall = say, recorded, stall
        self._clock: Callable[[], int] = getattr(provider, "clock", sql.now)
        self._minutes = MinuteBars(joins_midway=not recorded)
        self._announcer = announcer(settings)
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._over = threading.Event()
        self._waiting: dict[tuple[str, int], LiveBar] = {}
        self._forming: dict[str, LiveBar] = {}
        #: Symbols of which no later minute may be stored before the vendor's history has filled what is in front.
        self._gaps: dict[str, _Gap] = {}
        #: Symbols that this connection has been heard of.
        self._joined: set[str] = set()
        self._scored: set[str] = set()
        self.events = 0

    def stream(self, stop: threading.Event) -> None:
        """Listen until `stop` is set, or a recording ends.

        Raises
        ------
        UsageError
            The provider has no stream.
        KeyRefusedError, NotEntitledError
            The vendor will not send it, now or later.
        """
        if not isinstance(self.provider, Streaming):
            raise UsageError(f"{self.provider.name} has no stream; collect with --every instead")
        self._run("stream", lambda: self._listen(stop), stop)

    def poll(self, stop: threading.Event, *, every: float) -> None:
        """Ask for the latest minutes every so many seconds until `stop` is set."""
        if every < 1:
            raise UsageError(f"every {every:g} s is more often than a vendor answers; expected at least 1s")
        self._run("poll", lambda: self._ask(stop, every), stop)

    def _run(self, mode: str, work: Callable[[], None], stop: threading.Event) -> None:
        self.store.runs.bury("collect")
        about = {"mode": mode, "provider": self.provider.name, "symbols": self.symbols}
        number = self.store.runs.begin("collect", about)
        writer = threading.Thread(target=self._write_on, name="quantkit-collect-writer", daemon=True)
        upkeep = threading.Thread(target=self._keep_up, name="quantkit-collect-upkeep", daemon=True)
        writer.start()
        upkeep.start()
        try:
            work()
        except BaseException as error:
            self._finish(writer, upkeep)
            said = str(error) if isinstance(error, QuantkitError) else type(error).__name__
            with suppress(StoreError):
                self.store.runs.end(number, "failed", said)
            raise
        self._finish(writer, upkeep)
        self.store.runs.end(number, "ended", f"{self.events} events")

    def _finish(self, *threads: threading.Thread) -> None:
        self._over.set()
        self._arrived.set()
        for thread in threads:
            thread.join(10)
        if self._recorded:
            with self._lock:
                self._minutes.close_before(2**62)
        try:
            self._flush()
        except StoreError as error:
            self._say(f"the last bars could not be written ({error}); they are fetched again at the next start")

    # Streaming

    def _listen(self, stop: threading.Event) -> None:
        pause = 1.0
        while not stop.is_set():
            if not self._recorded:
                self._note_gaps()
            heard = self.events
            try:
                self._hear(stop)
                if self._recorded:
                    return
            except (KeyRefusedError, NotEntitledError):
                raise
            except ProviderError as error:
                self._say(f"{error}; connecting again")
                asked = error.retry_after if isinstance(error, ThrottledError) else None
                pause = asked or pause
            pause = 1.0 if self.events > heard else min(2 * pause, _LONGEST_WAIT)
            with self._lock:
                self._minutes.interrupted()
            stop.wait(pause)

    def _hear(self, stop: threading.Event) -> None:
        """One connection, from its first event to its end or to a silence that is none of the market's."""
        assert isinstance(self.provider, Streaming)
        last = time.monotonic()
        events = self.provider.stream(self.symbols, stop=stop)
        silent = True
        try:
            for event in events:
                if silent:
                    silent = False
                    with self._lock:
                        self._minutes.connected(self._clock())
                if event is None:
                    if time.monotonic() - last > self._stall and self._open():
                        self._say(f"{self.provider.name}: silent for {self._stall:g} s; connecting again")
                        return
                else:
                    last = time.monotonic()
                    self.events += 1
                    with self._lock:
                        self._joined.add(event.symbol)
                        self._minutes.add(event)
                    self._arrived.set()
                if stop.is_set():
                    return
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()

    def _open(self) -> bool:
        """Whether the exchange of any of the symbols is open."""
        now = pd.DatetimeIndex([sql.stamp(self._clock())]).floor("min")
        return any(
            bool(on_calendar(now, interval="1m", calendar=calendar)[0])
            for calendar in {calendar_of(symbol) for symbol in self.symbols}
        )

    # Writing

    def _write_on(self) -> None:
        while not self._over.is_set():
            self._arrived.wait(1.0)
            self._arrived.clear()
            self._over.wait(_GATHER)
            try:
                self._flush()
            except StoreError as error:
                self._say(f"{error}; trying again")
                self._over.wait(1.0)
            except Exception:
                _log.exception("writing bars")

    def _flush(self) -> None:
        with self._lock:
            if not self._recorded:
                self._minutes.close_before(self._clock() - int(_GRACE * 1e6))
            complete, forming = self._minutes.take()
            refused, self._minutes.refused = self._minutes.refused, []
            for bar in complete:
                self._waiting[bar.symbol, bar.time] = bar
            for bar in forming:
                self._forming[bar.symbol] = bar
            for bar in self._minutes.partial():
                self._gaps.setdefault(bar.symbol, _Gap())
            ready = [bar for bar in self._waiting.values() if bar.symbol not in self._gaps]
            moving = list(self._forming.values())
        if ready or moving:
            self.store.live.put(ready, moving, source=self.provider.name)
            self._announcer.announce()
            with self._lock:
                for bar in ready:
                    if self._waiting.get((bar.symbol, bar.time)) == bar:
                        del self._waiting[bar.symbol, bar.time]
                for bar in moving:
                    if self._forming.get(bar.symbol) == bar:
                        del self._forming[bar.symbol]
                self._scored.update(bar.symbol for bar in ready)
        if refused:
            self.store.put_quarantine(_quarantine(refused, self.provider.name))

    # What runs beside it

    def _keep_up(self) -> None:
        pruned = time.monotonic()
        scored = time.monotonic()
        while not self._over.wait(0.2):
            try:
                self._fill_gaps()
                if time.monotonic() - scored > 20:
                    scored = time.monotonic()
                    self._score()
                if time.monotonic() - pruned > _DAY:
                    pruned = time.monotonic()
                    self.store.prune(keep_results_days=self.settings.keep_results_days)
            except Cancelled:
                return
            except StoreError as error:
                self._say(f"{error}; trying again")
                self._over.wait(1.0)
            except Exception:
                _log.exception("upkeep of the collector")
                self._over.wait(1.0)

    def _score(self) -> None:
        with self._lock:
            symbols, self._scored = self._scored, set()
        for symbol in symbols:
            self.store.ledger.score(symbol, "1m")

    def _note_gaps(self) -> None:
        with self._lock:
            self._joined.clear()
            for symbol in self.symbols:
                self._gaps.setdefault(symbol, _Gap())

    def _fill_gaps(self) -> None:
        """Store the minutes in front of each symbol's stream, and whole ones for those heard in part."""
        with self._lock:
            partial: dict[str, list[LiveBar]] = {}
            for bar in self._minutes.partial():
                partial.setdefault(bar.symbol, []).append(bar)
            now = time.monotonic()
            due = [
                (symbol, gap)
                for symbol, gap in self._gaps.items()
                if now >= gap.next_attempt
                and (symbol in self._joined or not gap.asked)
                and (not gap.asked or not self._minutes.joining(symbol))
            ]
        for symbol, gap in due:
            if self._over.is_set():
                return
            with self._lock:
                last = symbol in self._joined and not self._minutes.joining(symbol)
            self._fill_gap(symbol, gap, partial.get(symbol, []), last=last)

    def _fill_gap(self, symbol: str, gap: _Gap, heard: list[LiveBar], *, last: bool) -> None:
        # Nothing after the gap is stored while it is one: the last stored minute is where it begins.
        stored = self.store.bar_ends(symbol, "1m")
        gap.asked = True
        try:
            self.fill(symbol, None if stored is None else stored[1])
        except QuantkitError as error:
            if isinstance(error, StoreError):
                raise
            gap.failures += 1
            gap.next_attempt = time.monotonic() + min(2.0**gap.failures, 10.0)
            if gap.failures < _ATTEMPTS:
                gap.asked = False
                return
            self._say(f"{symbol}: the minutes before the stream are not to be had ({error})")
        if not last:
            return
        given_up = gap.failures >= _ATTEMPTS
        missing = []
        if heard:
            found = self.store.bars(symbol, "1m", start=sql.stamp(min(bar.time for bar in heard)))
            there = set(sql.micros(found.index))
            missing = [bar for bar in heard if bar.time not in there]
        if missing and not given_up and missing[0].time > self._clock() - _LAG * MINUTE:
            gap.next_attempt = time.monotonic() + 1.0  # the vendor's history lags behind its stream
            return
        self.store.live.put(missing, [], source=self.provider.name)
        with self._lock:
            self._minutes.settle(symbol, (bar.time for bar in missing))
            if not self._minutes.joining(symbol):
                self._gaps.pop(symbol, None)
        self._announcer.announce()
        self._arrived.set()

    def fill(self, symbol: str, since: pd.Timestamp | None) -> int:
        """Fetch, clean and store the complete minutes from `since` on; how many were new or corrected."""
        now = self._clock()
        start = sql.stamp(now) - _FIRST_FILL if since is None else since - pd.Timedelta(minutes=2)
        query = HistoryQuery(symbol, "1m", start=start.as_unit("us"))
        extract = self.provider.normalise(self.provider.extract(self.provider.build(query)), query)
        calendar, name = extract.instrument.calendar, self.provider.name
        cleaned = clean(extract.bars, symbol=symbol, interval="1m", calendar=calendar, source=name)
        self.store.put_quarantine(cleaned.quarantine)
        if cleaned.repairs:
            self.store.put_repairs(symbol, "1m", cleaned.repairs, source=name, add=True)
        over = sql.micros(cleaned.bars.index) + MINUTE <= now
        complete, rest = cleaned.bars[over], cleaned.bars[~over]
        if self.store.instrument(symbol) is None:
            self.store.put_instrument(extract.instrument)
        known = known_at(complete.index, interval="1m", calendar=calendar)
        written = self.store.put_bars(symbol, "1m", complete, source=name, known=known)
        with self._lock:
            times = sql.micros(complete.index).tolist()
            self._minutes.settle(symbol, times)
            for moment in times:
                self._waiting.pop((symbol, moment), None)
        if len(rest):
            row = rest.iloc[-1]
            close = float(row["close"])
            top, high, low = (close if pd.isna(row[name]) else float(row[name]) for name in ("open", "high", "low"))
            volume = 0.0 if pd.isna(row["volume"]) else float(row["volume"])
            last = LiveBar(symbol, int(sql.micros(rest.index[-1:])[0]), top, high, low, close, volume)
            with self._lock:
                self._forming.setdefault(symbol, last)
            self._arrived.set()
        return written.inserted + written.corrected

    # Polling

    def _ask(self, stop: threading.Event, every: float) -> None:
        told: dict[str, str] = {}
        while not stop.is_set():
            began = time.monotonic()
            wait = every
            for symbol in self.symbols:
                if stop.is_set():
                    return
                try:
                    stored = self.store.bar_ends(symbol, "1m")
                    if self.fill(symbol, None if stored is None else stored[1]):
                        self._announcer.announce()
                    self.events += 1
                    told.pop(symbol, None)
                except (KeyRefusedError, NotEntitledError):
                    raise
                except ThrottledError as error:
                    self._say(str(error))
                    wait = max(wait, error.retry_after or 0.0)
                    break
                except QuantkitError as error:
                    # Once, not every minute of a symbol that was misspelt.
                    if told.get(symbol) != (said := str(error)):
                        told[symbol] = said
                        self._say(said if symbol in said else f"{symbol}: {said}")
            stop.wait(max(wait - (time.monotonic() - began), 0.0))


def _quarantine(refused: Sequence[tuple[str, Any]], source: str) -> pd.DataFrame:
    late = "it came more than five minutes after its minute was over"
    rows = [
        (event.symbol, "1m", event.time, rule, RULES[rule].reason if rule in RULES else late,
         f"{event.time} price={event.price} size={event.size} bar={event.bar}", source, None)
        for rule, event in refused
    ]  # fmt: skip
    columns = ["symbol", "interval", "time", "rule", "reason", "text", "source", "line"]
    return pd.DataFrame(rows, columns=columns)
