"""Who tells whom that a bar arrived: SQLite's change counter, PostgreSQL's NOTIFY, or Redis.

The bus only wakes a listener, which then asks the store what has moved since it last looked; a message that is lost, or
a Redis that is away, costs time and never a bar. Between two looks nothing is queued: a slow listener gets the latest.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from quantkit.core.errors import NoDataError, SettingsError, StoreError
from quantkit.data.live import Position
from quantkit.data.quote import Quote

if TYPE_CHECKING:
    from quantkit.data.store import Store
    from quantkit.settings import Settings

__all__ = ["Announcer", "Listener", "QuoteCache", "Watch", "announcer", "check_redis", "listen", "quote_cache"]

_CHANNEL: Final = "quantkit:bars"
#: Seconds between two looks at SQLite's counter, which costs some ten microseconds.
_GLANCE: Final = 0.05
#: Seconds that a listener on a socket waits before it sees whether it was closed.
_PATIENCE: Final = 0.25
#: Seconds after which a listener asks the store although nobody told it anything.
_INSURANCE: Final = 2.0
_SECONDS_TO_CONNECT: Final = 2.0
_DAY: Final = 86_400

_log = logging.getLogger(__name__)


class Listener(Protocol):
    """Waits for word that bars may have arrived."""

    def wait(self, closed: threading.Event) -> None:
        """Return as soon as something may have arrived, `closed` is set, or a moment has passed."""

    def close(self) -> None:
        """Let go of the connection."""


class Announcer(Protocol):
    """Tells listeners that bars were written."""

    def announce(self) -> None:
        """Say so; never waits for a listener, and never fails."""


class _OnCounter:
    """SQLite: the counter that rises when another connection has committed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version = store.data_version()

    def wait(self, closed: threading.Event) -> None:
        deadline = time.monotonic() + _INSURANCE
        while time.monotonic() < deadline and not closed.is_set():
            version = self._store.data_version()
            if version != self._version:
                self._version = version
                return
            closed.wait(_GLANCE)

    def close(self) -> None:
        """Nothing of its own is open."""


class _OnSocket:
    """A listener on a connection that may break: made again, with the store asked meanwhile."""

    def __init__(self, connect: Callable[[], Any], hear: Callable[[Any], bool], about: str) -> None:
        self._connect, self._hear, self._about = connect, hear, about
        self._connection: Any = None
        self._told = False
        self._reconnect()

    def wait(self, closed: threading.Event) -> None:
        deadline = time.monotonic() + _INSURANCE
        while time.monotonic() < deadline and not closed.is_set():
            if self._connection is None:
                closed.wait(_PATIENCE)
                self._reconnect()
                return
            try:
                if self._hear(self._connection):
                    return
            except Exception as error:
                self._lost(error)
                return

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception as error:
                _log.debug("closing %s: %s", self._about, type(error).__name__)

    def _reconnect(self) -> None:
        try:
            self._connection = self._connect()
            self._told = False
        except Exception as error:
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        self.close()
        if not self._told:
            self._told = True
            _log.warning("no word from %s (%s): the store is asked instead", self._about, type(error).__name__)


def listen(settings: Settings, store: Store) -> Listener:
    """What waits for word from whoever writes bars: on Redis where one is set, else on the store's own way."""
    if settings.redis_url is not None:
        return _OnSocket(lambda: _subscribed(settings), _heard_redis, "Redis")
    if store.url.startswith("sqlite"):
        return _OnCounter(store)
    return _OnSocket(store.listen, _heard_postgres, "PostgreSQL")


def _heard_postgres(connection: Any) -> bool:
    return any(True for _ in connection.notifies(timeout=_PATIENCE, stop_after=1))


def _subscribed(settings: Settings) -> Any:
    subscription = _redis(settings).pubsub(ignore_subscribe_messages=True)
    subscription.subscribe(_CHANNEL)
    return subscription


def _heard_redis(subscription: Any) -> bool:
    if subscription.get_message(timeout=_PATIENCE) is None:
        return False
    # What came while the listener was busy says nothing more.
    while subscription.get_message(timeout=0) is not None:
        pass
    return True


def announcer(settings: Settings) -> Announcer:
    """What tells Redis, where one is set; the databases tell by themselves."""
    return _ToNobody() if settings.redis_url is None else _ToRedis(settings)


class _ToNobody:
    def announce(self) -> None:
        """The store's commit has told already."""


class _ToRedis:
    #: Seconds for which a Redis that failed is left alone, so that it cannot hold up whoever writes.
    REST: Final = 5.0

    def __init__(self, settings: Settings) -> None:
        self._redis = _redis(settings)
        self._resting_until = 0.0

    def announce(self) -> None:
        if time.monotonic() < self._resting_until:
            return
        try:
            self._redis.publish(_CHANNEL, "")
        except Exception as error:
            self._resting_until = time.monotonic() + self.REST
            _log.warning("Redis was not told of new bars (%s): listeners find them in the store", type(error).__name__)


class QuoteCache:
    """The latest quote of each symbol in Redis, computed by the first listener that needs it.

    It is kept with the position of the bars that it was made of: one of other bars is none.
    """

    def __init__(self, settings: Settings) -> None:
        self._redis = _redis(settings)

    def quote(self, symbol: str, made_of: Position, compute: Callable[[], Quote]) -> Quote:
        """The quote of `symbol` made of the bars up to `made_of`, kept or computed now."""
        key, about = f"quantkit:quote:{symbol}", list(made_of)
        try:
            kept = json.loads(self._redis.get(key) or "{}")
            if kept.get("made_of") == about:
                return Quote.from_dict(kept["quote"])
        except Exception as error:
            _log.debug("quote of %s from Redis: %s", symbol, type(error).__name__)
        quote = compute()
        try:
            self._redis.set(key, json.dumps({"made_of": about, "quote": quote.to_dict()}), ex=_DAY)
        except Exception as error:
            _log.debug("quote of %s to Redis: %s", symbol, type(error).__name__)
        return quote


def quote_cache(settings: Settings) -> QuoteCache | None:
    """The cache of quotes where a Redis is set; None without one."""
    return None if settings.redis_url is None else QuoteCache(settings)


def check_redis(settings: Settings) -> str:
    """Version of the Redis that is set.

    Raises
    ------
    SettingsError
        It is none, or does not answer; never repeats the address, which may hold a password.
    """
    try:
        return str(_redis(settings).info("server")["redis_version"])
    except SettingsError:
        raise
    except Exception as error:
        raise SettingsError(f"QUANTKIT_REDIS_URL: Redis does not answer there ({type(error).__name__})") from None


def _redis(settings: Settings) -> Any:
    import redis

    assert settings.redis_url is not None
    try:
        return redis.Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_connect_timeout=_SECONDS_TO_CONNECT, socket_timeout=_SECONDS_TO_CONNECT, decode_responses=True,
        )  # fmt: skip
    except ValueError:
        raise SettingsError("QUANTKIT_REDIS_URL cannot be used; expected redis://:password@host:6379/0") from None


class Watch:
    """Quotes as bars arrive: an iterator, a context manager, and closable from any thread.

    Parameters
    ----------
    symbols : iterable of str
    store : Store
    settings : Settings
    quote : callable
        The latest quote of a symbol.
    initial : bool
        Begin with the quote of each symbol as it stands.
    """

    def __init__(
        self, symbols: Iterable[str], store: Store, settings: Settings, quote: Callable[[str], Quote], *, initial: bool
    ) -> None:
        self.symbols = tuple(symbols)
        self._store, self._quote = store, quote
        self._closed = threading.Event()
        self._asking = threading.Lock()
        # Before the position is read: what is written in between is then heard of.
        self._listener = listen(settings, store)
        self._cache = quote_cache(settings)
        self._position = store.live.position()
        self._moved: dict[str, Position] = dict.fromkeys(self.symbols, self._position) if initial else {}

    def __iter__(self) -> Iterator[Quote]:
        return self

    def __next__(self) -> Quote:
        """Wait for the next quote.

        Raises
        ------
        StopIteration
            It was closed.
        """
        with self._asking:
            while not self._closed.is_set():
                self._look()
                while self._moved and not self._closed.is_set():
                    symbol = next(iter(self._moved))
                    made_of = self._moved.pop(symbol)
                    try:
                        return self._quote_of(symbol, made_of)
                    except NoDataError:
                        continue  # nothing there yet
                self._listener.wait(self._closed)
            self._listener.close()
        raise StopIteration

    def close(self) -> None:
        """End it: whoever waits for the next quote is let go."""
        self._closed.set()
        if self._asking.acquire(blocking=False):
            self._listener.close()
            self._asking.release()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_closed"):
            self.close()

    def _look(self) -> None:
        try:
            moved, self._position = self._store.live.moved(self.symbols, self._position)
        except StoreError as error:
            # A database that is started again meanwhile is no reason to stop showing prices.
            _log.warning("watching %s: %s", ", ".join(self.symbols), error)
            self._closed.wait(_PATIENCE)
            return
        for symbol, position in moved.items():
            self._moved[symbol] = position

    def _quote_of(self, symbol: str, made_of: Position) -> Quote:
        if self._cache is None:
            return self._quote(symbol)
        return self._cache.quote(symbol, made_of, lambda: self._quote(symbol))
