"""Keeps the stored series up to date: whom to ask, for what is lacking only, and what to do with the answer.

One series is from one provider. The preferred one is asked; the next in order when it is throttled, down or not
entitled, never for a symbol that it does not know. What another provider adjusts in another way is not spliced on: its
answer takes the whole series' place, or none of it.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from quantkit.core.calendars import known_at
from quantkit.core.errors import (
    MarketClosedError,
    NoDataError,
    NonsenseError,
    NotEntitledError,
    ProviderError,
    ThrottledError,
    UnknownSymbolError,
    VendorDownError,
)
from quantkit.core.schema import BAR_COLUMNS, Interval
from quantkit.data import freshness
from quantkit.data.base import EarningsQuery, Extract, HistoryQuery, Instrument, Provider
from quantkit.data.cleaning import Cleaned, clean
from quantkit.data.pacing import Memory, span
from quantkit.data.store import Store
from quantkit.data.vendor import Vendor

__all__ = ["Upkeep"]

_log = logging.getLogger(__name__)

#: Seconds that a question waits for its turn when there is something stored to answer it with.
_SHORT_PATIENCE: Final = 2.0
#: How long it is believed that a company has reported nothing new.
_EARNINGS_AGE: Final = pd.Timedelta(days=7)
#: A series that begins later than another by more than this does not cover it.
_SLACK: Final = pd.Timedelta(days=10)


@dataclass(frozen=True, slots=True)
class _Series:
    symbol: str
    interval: Interval
    instrument: Instrument | None
    held: tuple[pd.Timestamp, pd.Timestamp] | None
    fetched: tuple[str, pd.Timestamp] | None

    @property
    def holder(self) -> str | None:
        """Name of the provider that the stored bars are from."""
        if self.fetched is not None:
            return self.fetched[0]
        return self.instrument.source if self.held is not None and self.instrument is not None else None


class Upkeep:
    """Asks the providers for what a store lacks.

    Parameters
    ----------
    store : Store
    providers : sequence of Provider
        In order of preference.
    memory : Memory
        Of what was asked in vain.
    now : callable
        The time, as a UTC timestamp.
    """

    def __init__(
        self,
        store: Store,
        providers: Sequence[Provider],
        memory: Memory,
        now: Callable[[], pd.Timestamp] = lambda: pd.Timestamp.now("UTC"),
    ) -> None:
        self.store, self.providers, self.memory, self.now = store, list(providers), memory, now
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._locking = threading.Lock()
        self._stale: dict[tuple[str, str], str] = {}

    def why_stale(self, symbol: str) -> str | None:
        """Why what is stored of `symbol` could not be brought up to date at the last attempt; None if it could."""
        return next((said for (of, _), said in list(self._stale.items()) if of == symbol), None)

    def bring(self, symbol: str, interval: Interval) -> None:
        """Have `symbol`'s bars in the store, as fresh as a provider can make them.

        Raises
        ------
        UnknownSymbolError, NoDataError
            Nothing is stored, and the provider asked says so.
        ProviderError
            Nothing is stored, and no provider answers; carries what each of them said.
        """
        with self._lock(symbol, interval):
            series = self._series(symbol, interval)
            if not self._due(series):
                return
            candidates = self._candidates(series)
            problems: list[tuple[str, ProviderError]] = []
            for provider in candidates:
                if isinstance(provider, Vendor):
                    provider.patience = _SHORT_PATIENCE if series.held else type(provider).patience
                try:
                    self._fetch(provider, series)
                except ProviderError as error:
                    problems.append((provider.name, error))
                except (UnknownSymbolError, NoDataError) as error:
                    if not series.held:
                        raise
                    # Vendors call a symbol delisted, or send nothing, when they mean that they are busy.
                    self._stale[symbol, interval] = str(error)
                    return
                else:
                    self._stale.pop((symbol, interval), None)
                    return
            if series.held:
                self._stale[symbol, interval] = "; ".join(str(error) for _, error in problems)
            elif problems:
                raise _together(problems)

    def bring_earnings(self, symbol: str) -> None:
        """Have the days of `symbol`'s earnings reports in the store, if a provider tells them; at most once a week.

        They mark a chart and no figure stands on them: where nobody answers, they are left out.
        """
        tellers: list[Any] = [each for each in self._able(symbol) if isinstance(each, Vendor) and each.tells_earnings()]
        query = EarningsQuery(symbol)
        for provider in tellers:
            name = f"earnings {provider.name} {symbol}"
            with self._lock(symbol, "earnings"):
                asked = self.memory.get(name)
                if asked is not None and self.now() - pd.Timestamp(asked) < _EARNINGS_AGE:
                    continue
                provider.patience = _SHORT_PATIENCE
                try:
                    told = provider.normalise(provider.extract(provider.build(query)), query).actions
                except (NotEntitledError, UnknownSymbolError, NoDataError) as error:
                    _log.info("no earnings of %s: %s", symbol, error)
                except ProviderError as error:
                    # Busy, down or without a key: it has said nothing about the symbol, and is asked the next time.
                    _log.info("no earnings of %s for now: %s", symbol, error)
                    continue
                else:
                    self.store.put_actions(symbol, told, source=provider.name, at=self.now())
                self.memory.put(name, self.now().isoformat())

    def _lock(self, symbol: str, interval: str) -> threading.Lock:
        with self._locking:
            return self._locks.setdefault((symbol, interval), threading.Lock())

    def _series(self, symbol: str, interval: Interval) -> _Series:
        return _Series(
            symbol,
            interval,
            self.store.instrument(symbol),
            self.store.bar_ends(symbol, interval),
            self.store.fetched(symbol, interval),
        )

    def _due(self, series: _Series) -> bool:
        """Whether there can be something that the store lacks."""
        if series.instrument is None or series.fetched is None:
            return True
        if series.instrument.source == "files":
            return False
        vendors = (each for each in self._able(series.symbol) if isinstance(each, Vendor))
        holder = next((each for each in vendors if each.name == series.holder), None)
        if holder is None:
            # Embedded data never changes; a vendor that stands before it in the order is asked instead of it.
            first = next(iter(self._able(series.symbol)), None)
            return isinstance(first, Vendor)
        until = freshness.fresh_until(series.fetched[1], series.instrument.calendar, refresh=holder.refresh)
        return self.now() >= until

    def _able(self, symbol: str) -> list[Provider]:
        """Providers that may have the symbol: those with a closed list only if it stands there."""
        return [each for each in self.providers if isinstance(each, Vendor) or _lists(each, symbol)]

    def _candidates(self, series: _Series) -> list[Provider]:
        """Who may be asked, in order: a vendor that holds the series before the others."""
        able = self._able(series.symbol)
        if not able:
            # Each says in its own words that it has no such symbol.
            for provider in self.providers:
                provider.build(HistoryQuery(series.symbol, series.interval))
        return sorted(able, key=lambda each: not (isinstance(each, Vendor) and each.name == series.holder))

    def _fetch(self, provider: Provider, series: _Series) -> None:
        own = series.held is not None and series.holder == provider.name
        start = self._start(series) if own and series.fetched is not None else None
        extract, cleaned = self._ask(provider, series, start)
        stored = self.store.bars(series.symbol, series.interval) if own else cleaned.bars
        if start is not None and (
            freshness.restated(stored[stored.index >= start], cleaned.bars) is not None
            or len(self._missed(series, extract.actions))
        ):
            extract, cleaned = self._ask(provider, series, stored.index[0])
            start = None
        bars, since, replacing = cleaned.bars, None, series.held is not None and not own
        if bars.empty and series.held is None:
            raise _nothing(provider.name, series, extract.instrument, self.now())
        if replacing:
            since = self._take_over(provider.name, series, bars, extract.instrument.calendar)
        elif own and start is None:
            bars, since = self._restate(series, stored, bars, extract)
        self._keep(provider, series, extract, replace(cleaned, bars=bars), start, since, replacing=replacing)

    def _ask(self, provider: Provider, series: _Series, start: pd.Timestamp | None) -> tuple[Extract, Cleaned]:
        query = HistoryQuery(series.symbol, series.interval, start=start)
        extract = provider.normalise(provider.extract(provider.build(query)), query)
        return extract, _clean(extract, extract.bars, series, provider.name)

    def _start(self, series: _Series) -> pd.Timestamp:
        """From where to ask: the tail that may still change, or the first hole that nobody has been asked about."""
        assert series.held is not None
        assert series.instrument is not None
        calendar = series.instrument.calendar
        tail = freshness.tail_start(series.held[1], series.interval, calendar)
        held = self.store.bars(series.symbol, series.interval).index
        gaps = freshness.whole_gaps(held, series.interval, calendar)
        if not len(gaps) or gaps[0] >= tail:
            return tail
        digest = hashlib.sha256(gaps.asi8.tobytes()).hexdigest()[:16]
        name = f"gaps {series.symbol} {series.interval}"
        if self.memory.get(name) == digest:
            return tail
        self.memory.put(name, digest)
        return gaps[0]

    def _missed(self, series: _Series, told: pd.DataFrame) -> pd.DataFrame:
        """Splits, and dividends of days, that no visit of this series has heard of: they change bars from before."""
        assert series.held is not None
        visited = series.held[0] if series.fetched is None else series.fetched[1]
        stored = self.store.actions(series.symbol)
        stored = stored[stored["kind"] != "earnings"]
        known = set(zip(stored["time"], stored["kind"], strict=True))
        new = [each not in known for each in zip(told["time"], told["kind"], strict=True)]
        # The visit for the days may have heard already of what changes the minutes as well.
        found = pd.concat([each for each in (stored[stored["at"] > visited], told[new]) if len(each)] or [stored[:0]])
        return found[(found["time"] > series.held[0]) & ((found["kind"] == "split") | (series.interval == "1d"))]

    def _restate(
        self, series: _Series, stored: pd.DataFrame, bars: pd.DataFrame, extract: Extract
    ) -> tuple[pd.DataFrame, pd.Timestamp | None]:
        """`bars` with what is stored from before the vendor's reach in their units, and since when those are known.

        They are known from the first bar that came in them, so that no moment has some bars in either units.
        """
        if bars.empty:
            return bars, None
        older = stored[stored.index < bars.index[0]]
        found = freshness.restated(stored, bars)
        if found is None:
            # Minutes that were streamed for so long that the vendor no longer reaches back to the split.
            missed = self._missed(series, extract.actions)
            splits = missed[(missed["kind"] == "split") & (missed["time"] <= bars.index[0])]
            before = stored.index[stored.index < splits["time"].max()] if len(splits) else stored.index[:0]
            if not len(before):
                return bars, None
            close = np.prod(
                [np.where(older.index < row.time, 1 / row.value, 1.0) for row in splits.itertuples()], axis=0
            )
            adjusted, last = close, before[-1]
        else:
            close, adjusted, last = found
        calendar = extract.instrument.calendar
        since = freshness.first_known(bars.index.union(stored.index), last, series.interval, calendar)
        older = freshness.in_new_units(older, close, adjusted)
        return (pd.concat([older, bars]) if len(older) else bars), since

    def _take_over(self, name: str, series: _Series, bars: pd.DataFrame, calendar: str) -> pd.Timestamp:
        """Since when another provider's series stands in place of the stored one, if it is no worse than that."""
        assert series.held is not None
        first, last = series.held
        used = {each.name for each in self.providers if isinstance(each, Vendor)}
        vendor_holds = series.holder in used
        if bars.empty or (vendor_holds and bars.index[0] > first + _SLACK):
            reach = "has nothing" if bars.empty else f"reaches back only to {bars.index[0]:%Y-%m-%d}"
            raise ProviderError(f"{name} {reach}, and what is stored begins {first:%Y-%m-%d}: the two are not mixed")
        return freshness.first_known(bars.index, last, series.interval, calendar)

    def _keep(
        self,
        provider: Provider,
        series: _Series,
        extract: Extract,
        cleaned: Cleaned,
        start: pd.Timestamp | None,
        since: pd.Timestamp | None,
        *,
        replacing: bool,
    ) -> None:
        symbol, interval, name = series.symbol, series.interval, provider.name
        calendar, now = extract.instrument.calendar, self.now()
        complete = known_at(cleaned.bars.index, interval=interval, calendar=calendar)
        done = np.asarray(complete <= now) if isinstance(provider, Vendor) else np.ones(len(complete), dtype=bool)
        bars = cleaned.bars[done]
        self.store.put_instrument(self._instrument(series, extract))
        self.store.put_bars(symbol, interval, bars, source=name, known=complete[done], since=since, replacing=replacing)
        if not done.all():
            self._keep_forming(symbol, interval, cleaned.bars[~done].iloc[-1:], name)
        self.store.put_quarantine(cleaned.quarantine)
        repairs, add = cleaned.repairs, False
        if start is not None and series.held is not None:
            # Of the rows that were there before, the repairs have been counted already.
            new = extract.bars[np.asarray(extract.bars.index > series.held[1] + pd.Timedelta(days=1, microseconds=-1))]
            repairs, add = _clean(extract, new, series, name).repairs, True
        self.store.put_repairs(symbol, interval, repairs, source=name, add=add)
        if len(extract.actions):
            self.store.put_actions(symbol, extract.actions, source=name, at=now)
        self.store.mark_fetched(symbol, interval, name, at=now)

    def _keep_forming(self, symbol: str, interval: Interval, bar: pd.DataFrame, source: str) -> None:
        from quantkit.data.live import LiveBar

        row = bar.iloc[0]
        time = int(bar.index.as_unit("us").asi8[0])
        live = LiveBar(symbol, time, *(float(row[name]) for name in BAR_COLUMNS[:5]))
        self.store.live.put([], [live], source=source, interval=interval)

    def _instrument(self, series: _Series, extract: Extract) -> Instrument:
        """The instrument as this provider knows it, by the better of two names if it knows only the symbol."""
        known = series.instrument
        if known is not None and extract.instrument.name == series.symbol:
            return replace(extract.instrument, name=known.name)
        return extract.instrument


def _clean(extract: Extract, bars: pd.DataFrame, series: _Series, source: str) -> Cleaned:
    paid = extract.actions[extract.actions["kind"] == "dividend"] if extract.adjust else None
    return clean(
        bars, symbol=series.symbol, interval=series.interval, calendar=extract.instrument.calendar, source=source,
        dividends=paid,
    )  # fmt: skip


def _lists(provider: Provider, symbol: str) -> bool:
    return any(each.symbol == symbol for each in provider.catalogue())


def _nothing(name: str, series: _Series, instrument: Instrument, now: pd.Timestamp) -> NoDataError:
    from quantkit.core.calendars import session_hours

    hours = session_hours(now - pd.Timedelta(days=15), now + pd.Timedelta(days=15), instrument.calendar)
    recent = hours[(hours["close"] <= now) & (hours["close"] > now - pd.Timedelta(days=7))]
    if series.interval == "1m" and recent.empty:
        opens = hours["open"][hours["open"] > now]
        following = f"; it opens {opens.iloc[0]:%Y-%m-%d %H:%M} UTC" if len(opens) else ""
        return MarketClosedError(f"{series.symbol} has no recent minutes: {instrument.calendar} was closed{following}")
    return NoDataError(
        f"{name} knows {series.symbol} but sent no {series.interval} bars of it: not traded lately, or none are kept"
    )


def _together(problems: Iterable[tuple[str, ProviderError]]) -> ProviderError:
    """One error of several: the only one, or all their words, which begin with the vendor's name."""
    problems = list(problems)
    if len(problems) == 1:
        return _advised(problems[0][1])
    said = "; ".join(str(error) for _, error in problems)
    if all(isinstance(error, ThrottledError) for _, error in problems):
        return ThrottledError(f"every provider limits requests. {said}")
    return ProviderError(f"no provider answers. {said}")


def _advised(error: ProviderError) -> ProviderError:
    """`error`, saying what to do where only time or another vendor helps."""
    if isinstance(error, (ThrottledError, VendorDownError, NonsenseError)):
        wait = error.retry_after if isinstance(error, ThrottledError) else None
        when = "later" if wait is None else f"in {span(wait)}"
        error.args = (f"{error}; ask again {when}, or name another provider beside it in QUANTKIT_PROVIDER",)
    return error
