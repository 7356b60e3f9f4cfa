"""Recorded sessions of the embedded sample, played again as if they were arriving: the same path as a live stream.

Only minutes are replayed. A replay takes the recorded session away from the store's minutes (each bar stays as an
earlier version, see ``Live.rewind``) and brings it back bar by bar, so that history, quotes and answers on minutes end
where the replay's clock stands, and say REPLAY. Where the process ends, the clock stands still; the next one goes on
from there. Days are left as the sample has them.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Final

import pandas as pd

from quantkit.core.errors import SettingsError, UsageError
from quantkit.core.schema import check_symbols
from quantkit.core.sessions import session_labels
from quantkit.data.base import PROVIDERS, Extract, HistoryQuery, Instrument, Status, StreamEvent
from quantkit.data.sample import SampleProvider

if TYPE_CHECKING:
    from quantkit.data.store import Store
    from quantkit.settings import Settings

__all__ = ["ReplayProvider", "recorded_session", "restore", "rewind"]

#: Seconds within a minute at which its open, its extremes and its close are played.
_SECONDS: Final = (0, 20, 40, 59)


@PROVIDERS.add("replay")
class ReplayProvider(SampleProvider):
    """The sample, whose recorded minutes are replayed by the collector.

    Parameters
    ----------
    settings : Settings, optional
    speed : float
        Recorded seconds in a second.
    start : dict of str to Timestamp
        Where each symbol's session goes on; from its first minute where nothing is said.
    """

    name: str = "replay"
    status: Status = "replay"

    def __init__(
        self, settings: Settings | None = None, *, speed: float = 60.0, start: dict[str, pd.Timestamp] | None = None
    ) -> None:
        super().__init__(settings)
        if not 0 < speed <= 1e6:
            raise UsageError(f"speed {speed:g} is not between 0 and 1,000,000 recorded seconds in a second")
        self.speed = speed
        self.start = start or {}

    def catalogue(self) -> list[Instrument]:
        """The sample's instruments; those with recorded minutes are this provider's."""
        return [each.with_source("replay") if "1m" in each.intervals else each for each in super().catalogue()]

    def normalise(self, raw: pd.DataFrame, query: HistoryQuery) -> Extract:
        """As the sample's, named after this provider where it replays."""
        extract = super().normalise(raw, query)
        if "1m" not in extract.instrument.intervals:
            return extract
        return replace(extract, instrument=extract.instrument.with_source("replay"))

    def stream(self, symbols: Sequence[str], *, stop: threading.Event) -> Iterator[StreamEvent | None]:
        """The recorded session of each symbol, side by side, each from its own first minute on.

        A minute is played as four trades at prices that it really had: its open, its extremes (the one nearer to the
        open first) and its close. Ends when all sessions are over, or `stop` is set.
        """
        plays = [self._trades(symbol) for symbol in symbols]
        began = time.monotonic()
        first: float | None = None
        for offset, _, event in heapq.merge(*plays):
            first = offset if first is None else first
            due = began + (offset - first) / self.speed
            while (wait := due - time.monotonic()) > 0:
                if stop.wait(min(wait, 1.0)):
                    return
                if wait > 1.0:
                    yield None
            if stop.is_set():
                return
            yield event

    def _trades(self, symbol: str) -> Iterator[tuple[float, int, StreamEvent]]:
        bars = recorded_session(symbol)
        number = count(hash(symbol))
        for at, (minute, bar) in enumerate(zip(bars.index, bars.itertuples(index=False), strict=True)):
            if symbol in self.start and minute < self.start[symbol]:
                continue
            rising = bar.close >= bar.open
            path = (bar.open, *((bar.low, bar.high) if rising else (bar.high, bar.low)), bar.close)
            part = bar.volume // 4
            sizes = (part, part, part, bar.volume - 3 * part)
            for second, price, size in zip(_SECONDS, path, sizes, strict=True):
                moment = minute + pd.Timedelta(seconds=second)
                event = StreamEvent(symbol, moment, float(price), size=float(size), source=self.name)
                yield 60.0 * at + second, next(number), event


def recorded_session(symbol: str) -> pd.DataFrame:
    """The last whole session of which the sample holds every minute, as a bars frame.

    Raises
    ------
    UsageError
        The sample has no minutes of `symbol`; says of which it has.
    """
    recorded = [each.symbol for each in SampleProvider().catalogue() if "1m" in each.intervals]
    if symbol not in recorded:
        raise UsageError(f"{symbol} has no recorded session; choose from {', '.join(recorded)}")
    provider, query = SampleProvider(), HistoryQuery(symbol, "1m")
    extract = provider.normalise(provider.extract(provider.build(query)), query)
    labels = session_labels(extract.bars.index, extract.instrument.calendar)
    sizes = pd.Series(1, index=labels).groupby(level=0).size()
    whole = sizes.index[sizes == sizes.max()][-1]
    return extract.bars[labels == whole]


def rewind(settings: Settings, store: Store, symbols: Sequence[str], *, again: bool = False) -> dict[str, pd.Timestamp]:
    """Have the store stand where the replay of `symbols` begins, or goes on.

    Parameters
    ----------
    again : bool
        From the first minute, also where an earlier replay was interrupted.

    Returns
    -------
    dict of str to Timestamp
        The minute with which each symbol goes on.

    Raises
    ------
    UsageError
        No recorded session of a symbol.
    SettingsError
        The store holds a live vendor's bars of it, which a replay would set back.
    """
    from quantkit.data.market import Market

    market = Market(settings.model_copy(update={"provider": ("replay",)}), store)
    start: dict[str, pd.Timestamp] = {}
    for symbol in check_symbols(symbols):
        session = recorded_session(symbol)
        stored = store.instrument(symbol)
        if stored is not None and stored.source not in ("sample", "replay"):
            raise SettingsError(
                f"{symbol} in this store comes from {stored.source}; replay it in a store of its own (QUANTKIT_HOME)"
            )
        held = store.bar_ends(symbol, "1m") if stored is not None and stored.source == "replay" else None
        if held is not None and not again and session.index[0] <= held[1] < session.index[-1]:
            start[symbol] = session.index[session.index.searchsorted(held[1], side="right")]
            continue
        # The days too: fetched later, they would name the sample as the source of what is being replayed.
        for interval in market.instrument(symbol).intervals:
            market.ensure(symbol, interval)
        instrument = store.instrument(symbol)
        assert instrument is not None
        # The name first: whoever sees the minutes go must see why.
        store.put_instrument(instrument.with_source("replay"))
        store.live.rewind(symbol, session.index[0])
        start[symbol] = session.index[0]
    return start


def restore(settings: Settings, store: Store) -> list[str]:
    """Give back to the sample whatever a replay has left in the middle; the symbols concerned."""
    provider = SampleProvider(settings)
    left = [each for each in store.instruments() if each.source == "replay"]
    for instrument in left:
        query = HistoryQuery(instrument.symbol, "1m")
        bars = provider.normalise(provider.extract(provider.build(query)), query).bars
        store.put_bars(instrument.symbol, "1m", bars, source="sample")
        store.put_instrument(instrument.with_source("sample"))
    return [each.symbol for each in left]
