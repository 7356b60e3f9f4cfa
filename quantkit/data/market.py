"""The one way from a provider to a bar: ask, clean, store, read.

A symbol's bars come from the store. What the store lacks is fetched once from the first provider that has it, cleaned
(what is refused goes to quarantine), and stored; the embedded sample takes the same road as a live vendor.
"""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import Final

import numpy as np
import pandas as pd

from quantkit.core.calendars import known_at
from quantkit.core.errors import NoDataError, UnknownSymbolError
from quantkit.core.schema import INTERVALS, Interval, check_interval, check_symbol
from quantkit.core.sessions import session_bars, session_labels
from quantkit.data.base import PROVIDERS, HistoryQuery, Instrument, Provider, Status
from quantkit.data.pacing import Memory
from quantkit.data.quote import Quote
from quantkit.data.sample import SampleProvider
from quantkit.data.store import Store
from quantkit.data.upkeep import Upkeep
from quantkit.data.vendor import Vendor
from quantkit.settings import Settings

__all__ = ["Market"]

_WITHOUT_SPLITS: Final = ("sample", "replay", "files", "alphavantage")
#: How far back the session before the last one lies: usually, and at the longest.
_WEEKEND: Final = pd.Timedelta(days=4)
_HOLIDAYS: Final = pd.Timedelta(days=14)
EMBEDDED: Final[dict[str, Status]] = {"sample": "sample", "replay": "replay"}


class Market:
    """Instruments and bars of the providers in use, kept in a store.

    Parameters
    ----------
    settings : Settings
        `provider` names the providers, in order of preference.
    store : Store
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.providers: list[Provider] = [PROVIDERS[name](settings) for name in settings.provider]
        self._vendors = frozenset(each.name for each in self.providers if isinstance(each, Vendor))
        self.upkeep = Upkeep(store, self.providers, Memory(settings.home))

    @property
    def asks(self) -> bool:
        """Whether a provider in use may have more than is stored: what is embedded stands still."""
        return any(each.name not in (*EMBEDDED, "files") for each in self.providers)

    def instruments(self) -> list[Instrument]:
        """Every instrument that is stored or in a provider's catalogue, by symbol."""
        known = {each.symbol: each for provider in self.providers for each in provider.catalogue()}
        # A person's own import of a symbol stands before a catalogue's entry of the same name.
        known |= {each.symbol: each for each in self.store.instruments()}
        return [known[symbol] for symbol in sorted(known)]

    def instrument(self, symbol: str) -> Instrument:
        """What is known of `symbol`.

        Raises
        ------
        UsageError
            It is malformed.
        UnknownSymbolError
            No provider in use knows it; the message offers the nearest known ones.
        """
        symbol = check_symbol(symbol)
        found = self.store.instrument(symbol)
        if found is None:
            for provider in self.providers:
                for each in provider.catalogue():
                    if each.symbol == symbol:
                        return each
            if self._vendors:
                self.upkeep.bring(symbol, "1d")
                found = self.store.instrument(symbol)
            if found is None:
                self._refuse(symbol)
        return found  # type: ignore[return-value]

    def ends(self, instrument: Instrument) -> tuple[pd.Timestamp, pd.Timestamp] | None:
        """Time of the first and the last bar, daily where there are daily ones: stored, or there to be read at once.

        None for what nobody has been asked for yet.
        """
        for interval in instrument.intervals:
            if (stored := self.store.bar_ends(instrument.symbol, interval)) is not None:
                return stored
        embedded = next((each for each in self.providers if isinstance(each, SampleProvider)), None)
        if embedded is None or instrument.source not in EMBEDDED:
            return None
        return embedded.ends(instrument.symbol, instrument.intervals[0])

    def status(self, instrument: Instrument) -> Status:
        """How fresh the instrument's source is by its nature; ``stale`` where it did not answer when it was asked."""
        if self.upkeep.why_stale(instrument.symbol) is not None:
            return "stale"
        for provider in self.providers:
            if provider.name == instrument.source:
                return provider.status
        # What comes with quantkit is there without a provider in use.
        return EMBEDDED.get(instrument.source, "offline")

    def bars(
        self,
        symbol: str,
        interval: Interval = "1d",
        *,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
        as_of: pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """Bars from `start` to `end` (both included, None for all), with their instrument in ``attrs``.

        Raises
        ------
        NoDataError
            There are none in that range, or none of that interval; says what there is.
        """
        return self.stored(self.ensure(symbol, interval), interval, start=start, end=end, as_of=as_of)

    def stored(
        self,
        instrument: Instrument,
        interval: Interval,
        *,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
        as_of: pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """As :meth:`bars`, of what the store has: nobody is asked."""
        bars = self.store.bars(instrument.symbol, interval, start=start, end=end, as_of=as_of)
        if bars.empty:
            self._explain_empty(instrument, interval, start, end, as_of)
        bars.attrs = {
            "symbol": instrument.symbol,
            "name": instrument.name,
            "interval": interval,
            "currency": instrument.currency,
            "calendar": instrument.calendar,
            "source": instrument.source,
            "price_basis": instrument.price_basis,
            "status": self.status(instrument),
        }
        if (reason := self.upkeep.why_stale(instrument.symbol)) is not None:
            complete = known_at(bars.index[-1:], interval=interval, calendar=instrument.calendar)[0]
            bars.attrs |= {"note": reason, "age_seconds": (self.upkeep.now() - complete).total_seconds()}
        return bars

    def quote(self, symbol: str) -> Quote:
        """The last session of `symbol`, gathered from minutes where those reach further than its daily bars."""
        instrument = self.instrument(symbol)
        # A replay's clock stands in its minutes; the days beside them go on to where the sample ends.
        replayed = instrument.source == "replay" and "1m" in instrument.intervals
        wanted: tuple[Interval, ...] = ("1m",) if replayed else instrument.intervals
        if instrument.source in self._vendors:
            # A vendor's daily bar holds the session so far: its minutes are looked at only where a stream left some.
            wanted = ("1d", "1m") if self.store.bar_ends(instrument.symbol, "1m") else ("1d",)
        held = [self._recent(instrument, each) for each in wanted]
        complete, bars = max(held, key=lambda each: each[0])
        daily = bars if bars.attrs["interval"] == "1d" else session_bars(bars, instrument.calendar)
        last = daily.iloc[-1]
        return Quote(
            symbol=instrument.symbol,
            name=instrument.name,
            timestamp=bars.index[-1],
            open=float(last["open"]),
            high=float(last["high"]),
            low=float(last["low"]),
            close=float(last["close"]),
            volume=float(last["volume"]),
            previous_close=float(daily["close"].iloc[-2]) if len(daily) > 1 else math.nan,
            currency=instrument.currency,
            source=instrument.source,
            status=self.status(instrument),
            price_basis=instrument.price_basis,
            age_seconds=max((pd.Timestamp.now("UTC") - complete).total_seconds(), 0.0),
        )

    def as_traded(self, bars: pd.DataFrame) -> pd.DataFrame:
        """`bars` in the share units of their own day: prices before a split times its ratio, volumes divided by it.

        Raises
        ------
        NoDataError
            The source carries no splits, so that they cannot be undone.
        """
        symbol = bars.attrs["symbol"]
        if bars.attrs["source"] in _WITHOUT_SPLITS:
            raise NoDataError(
                f"{symbol}: prices as traded need the splits, which {bars.attrs['source']} does not carry; "
                "ask with adjusted=True"
            )
        actions = self.store.actions(symbol)
        splits = actions[actions["kind"] == "split"]
        ratio = np.ones(len(bars))
        for time, value in zip(splits["time"], splits["value"], strict=True):
            ratio[bars.index < time] *= value
        traded = bars.copy()
        traded[["open", "high", "low", "close"]] = bars[["open", "high", "low", "close"]].mul(ratio, axis=0)
        traded["volume"] = bars["volume"] / ratio
        return traded

    def ensure(self, symbol: str, interval: Interval = "1d") -> Instrument:
        """Have the bars of `symbol` in the store, asking a provider for what it may lack.

        Where none answers, what is stored has to do: its status is then ``stale``.
        """
        symbol, interval = check_symbol(symbol), check_interval(interval)
        stored = self.store.instrument(symbol)
        if stored is not None and stored.source == "files":
            return stored
        if stored is None and not self._vendors:
            stored = self.instrument(symbol)
        intervals = {each for provider in self.providers for each in _intervals(provider, symbol)}
        if stored is not None and interval not in {*stored.intervals, *intervals}:
            raise NoDataError(f"{symbol} has no {interval} bars here; it has {', '.join(stored.intervals)}")
        self.upkeep.bring(symbol, interval)
        return self.instrument(symbol)

    def _recent(self, instrument: Instrument, interval: Interval) -> tuple[pd.Timestamp, pd.DataFrame]:
        """When the last bar was complete, and bars back to the session before it, however long the holidays."""
        if interval == "1d" or instrument.source not in self._vendors:
            self.ensure(instrument.symbol, interval)
        stored = self.store.bar_ends(instrument.symbol, interval)
        bars = self.stored(instrument, interval, start=stored[1] - _WEEKEND if stored else None)
        if stored and len(session_labels(bars.index[[0, -1]], instrument.calendar).unique()) < 2:
            bars = self.stored(instrument, interval, start=stored[1] - _HOLIDAYS)
        bars = self.with_forming(bars)
        return known_at(bars.index[-1:], interval=interval, calendar=instrument.calendar)[0], bars

    def with_forming(self, bars: pd.DataFrame) -> pd.DataFrame:
        """`bars` and the one after them that a stream is forming, where there is one."""
        forming = self.store.live.forming(bars.attrs["symbol"], bars.attrs["interval"])
        if forming.empty or forming.index[0] <= bars.index[-1]:
            return bars
        longer = pd.concat([bars, forming])
        longer.attrs = bars.attrs
        return longer

    def _refuse(self, symbol: str) -> None:
        for provider in self.providers:
            provider.build(HistoryQuery(symbol))
        near = get_close_matches(symbol, [each.symbol for each in self.instruments()], n=3)
        raise UnknownSymbolError(f"{symbol} is not known" + (f"; did you mean {', '.join(near)}?" if near else ""))

    def _explain_empty(
        self,
        instrument: Instrument,
        interval: Interval,
        start: pd.Timestamp | None,
        end: pd.Timestamp | None,
        as_of: pd.Timestamp | None,
    ) -> None:
        have = self.store.bar_ends(instrument.symbol, interval)
        asked = f"from {start.date() if start else 'the first'} to {end.date() if end else 'the last'}"
        known = f" known on {as_of.date()}" if as_of else ""
        there = f"it has {have[0].date()} to {have[1].date()}" if have else "it has none at all"
        raise NoDataError(f"{instrument.symbol} has no {interval} bars {asked}{known}; {there}")


def _intervals(provider: Provider, symbol: str) -> tuple[Interval, ...]:
    """Intervals in which a provider has `symbol`: a vendor's list is open, and it has both."""
    if isinstance(provider, Vendor):
        return INTERVALS
    return next((each.intervals for each in provider.catalogue() if each.symbol == symbol), ())
