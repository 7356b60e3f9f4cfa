"""What moves on a screen while one looks at it: one thread waits for bars, and the page's own loop hears of them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import pandas as pd

from quantkit.core.errors import QuantkitError
from quantkit.ui.background import running_loop

if TYPE_CHECKING:
    from quantkit.data.bus import Watch
    from quantkit.data.quote import Quote
    from quantkit.desk import Desk

__all__ = ["Live", "grown"]

_log = logging.getLogger(__name__)

#: Seconds between two deliveries to a page that nobody sees.
HIDDEN_SECONDS: Final = 5.0
#: How long a page that says what it has painted is waited for before it gets more.
PATIENCE_SECONDS: Final = 5.0


def grown(bars: pd.DataFrame, newer: pd.DataFrame) -> pd.DataFrame | None:
    """`bars` with `newer` ones of the same series in the place of their end; None where the series was set back.

    Raises
    ------
    ValueError
        The two are not of one series.
    """
    if any(newer.attrs[name] != bars.attrs[name] for name in ("symbol", "interval")):
        raise ValueError(f"bars of {newer.attrs['symbol']} do not go on from {bars.attrs['symbol']}'s")
    if newer.index[-1] < bars.index[-1]:
        return None
    longer = pd.concat([bars.loc[bars.index < newer.index[0]], newer])
    longer.attrs = newer.attrs
    return longer


class Live:
    """Quotes of the symbols a screen shows, as their bars arrive.

    Each delivery is of the latest quote of every symbol that has moved, and the next one waits until the page has
    painted this one: a page that is slow, or hidden, misses the ones in between and never falls behind. `heard` is
    called on the event loop of the thread that made this object, like the answers of
    :class:`~quantkit.ui.background.Background`; where there is none, on the watching thread.

    Parameters
    ----------
    desk : Desk
    heard : callable
        Given a dict of quotes by symbol.
    told : callable, optional
        Given the number of each delivery, which the page gives back as :attr:`painted`.
    """

    def __init__(
        self,
        desk: Desk,
        heard: Callable[[dict[str, Quote]], None],
        told: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._desk, self._heard, self._told = desk, heard, told
        self._sent = self._painted = 0
        self._waiting: asyncio.TimerHandle | None = None
        self._watch: Watch | None = None
        self._symbols: frozenset[str] = frozenset()
        self._latest: dict[str, Quote] = {}
        self._lock = threading.Lock()
        self._due = False
        self._visible = True
        self._delivered = 0.0
        self._loop = running_loop()

    @property
    def visible(self) -> bool:
        """Whether anybody sees the page; one that comes back into sight catches up at once."""
        return self._visible

    @visible.setter
    def visible(self, seen: bool) -> None:
        self._visible = seen
        if seen and self._latest:
            self._deliver()

    @property
    def painted(self) -> int:
        """Number of the delivery that the page has painted; 0 where no page says so, and none is waited for."""
        return self._painted

    @painted.setter
    def painted(self, number: int) -> None:
        self._painted = number
        if self._visible and number >= self._sent and self._latest:
            self._deliver()

    def follow(self, symbols: Iterable[str]) -> None:
        """Watch these symbols, and no others any more."""
        wanted = frozenset(symbols)
        if wanted == self._symbols:
            return
        self.close()
        self._symbols = wanted
        if not wanted:
            return
        try:
            self._watch = watch = self._desk.watch(sorted(wanted))
        except QuantkitError as error:
            # A symbol that nobody knows is said where it is shown; the others are watched without it.
            _log.debug("not watched: %s", error)
            known = [each for each in wanted if self._known(each)]
            if not known:
                return
            self._watch = watch = self._desk.watch(sorted(known))
        threading.Thread(target=self._listen, args=(watch,), name="quantkit-live", daemon=True).start()

    def close(self) -> None:
        """Stop watching."""
        watch, self._watch, self._symbols = self._watch, None, frozenset()
        if watch is not None:
            watch.close()

    def _known(self, symbol: str) -> bool:
        try:
            self._desk.quote(symbol)
        except QuantkitError:
            return False
        return True

    def _listen(self, watch: Watch) -> None:
        try:
            for quote in watch:
                with self._lock:
                    if self._watch is not watch:
                        return
                    self._latest[quote.symbol] = quote
                    if self._due:
                        continue
                    self._due = True
                self._schedule()
        except Exception:
            if self._watch is watch:
                _log.exception("the screen no longer follows the market")

    def _schedule(self) -> None:
        if self._loop is None:
            self._deliver()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._later)

    def _later(self) -> None:
        assert self._loop is not None
        rest = HIDDEN_SECONDS if not self._visible else PATIENCE_SECONDS if 0 < self._painted < self._sent else 0.0
        wait = self._delivered + rest - time.monotonic()
        if wait > 0.0:
            self._waiting = self._loop.call_later(wait, self._deliver)
        else:
            self._deliver()

    def _deliver(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        with self._lock:
            latest, self._latest, self._due = self._latest, {}, False
        self._delivered = time.monotonic()
        if latest:
            self._sent += 1
            self._told(self._sent)
            try:
                self._heard(latest)
            except Exception:
                _log.exception("news could not be shown")
