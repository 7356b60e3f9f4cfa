"""How often a vendor is asked, and when not at all: limits and circuit breakers that every process under a home shares.

Both live in ``pacing.db`` beside the store, since a dashboard's kernels, the collector and the command line spend one
vendor's allowance together.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quantkit.core.errors import ProviderError, StoreError, ThrottledError, VendorDownError

__all__ = ["AllowanceSpentError", "Circuit", "CircuitState", "Limit", "Memory", "Pace", "span"]

#: Failures in a row before a vendor is left alone, and for how long at first and at most, in seconds.
_PATIENCE: Final = 3
_FIRST_PAUSE: Final = 30.0
_THROTTLED_PAUSE: Final = 60.0
_LONGEST_PAUSE: Final = 900.0
#: Seconds of waiting for a turn that nobody is told of.
_SILENTLY: Final = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` requests in any `seconds`."""

    count: int
    seconds: float


class AllowanceSpentError(ThrottledError):
    """Our own limit, kept so that the vendor need not say it; nothing was asked."""


class Pace:
    """One vendor's allowance.

    Parameters
    ----------
    home : Path
        Processes of the same home share it.
    vendor : str
    limits : sequence of Limit
        By rising length of time.
    """

    def __init__(self, home: Path, vendor: str, limits: Sequence[Limit]) -> None:
        from pyrate_limiter import Limiter, Rate, SQLiteBucket
        from pyrate_limiter.limiter import SingleBucketFactory

        self.vendor, self.limits = vendor, tuple(limits)
        home.mkdir(parents=True, exist_ok=True)
        rates = [Rate(limit.count, round(limit.seconds * 1000)) for limit in limits]
        try:
            self._bucket = SQLiteBucket.init_from_file(
                rates, table=f"asked_{vendor}", db_path=str(_file(home)), use_file_lock=True
            )
        except sqlite3.Error as error:
            raise StoreError(f"{_file(home)} cannot be opened ({error}); it may be deleted") from None
        # Leaking by ourselves: a thread of pyrate's would keep every process that asked once busy for ever.
        self._limiter = Limiter(SingleBucketFactory(self._bucket, schedule_leak=False))

    def take(self, *, patience: float) -> None:
        """Wait for the next free place, at most `patience` seconds.

        Raises
        ------
        AllowanceSpentError
            There is none in that time; says when there will be.
        """
        self._bucket.leak(self._bucket.now())
        if self._limiter.try_acquire(self.vendor, blocking=False):
            return
        limit = max(self.limits, key=self._wait)
        wait = self._wait(limit)
        if wait < patience:
            if wait > _SILENTLY:
                _log.warning("%s: waiting %s for its limit of %d requests in %s", self.vendor, span(wait), limit.count,
                             span(limit.seconds))  # fmt: skip
            with suppress(TimeoutError):
                if self._limiter.try_acquire(self.vendor, timeout=patience):
                    return
        raise AllowanceSpentError(
            f"{self.vendor}: all {limit.count} requests of {span(limit.seconds)} are used; "
            f"the next is free in {span(wait)}",
            retry_after=wait,
        )

    def left(self, limit: Limit | None = None) -> int:
        """Requests still free in the longest limit, or in `limit`."""
        limit = limit or self.limits[-1]
        return max(limit.count - len(self._taken(limit)), 0)

    def close(self) -> None:
        """Let go of the file."""
        self._bucket.close()

    def _taken(self, limit: Limit) -> list[int]:
        since = self._bucket.now() - limit.seconds * 1000
        taken: list[int] = []
        while (item := self._bucket.peek(len(taken))) is not None and item.timestamp > since:
            taken.append(item.timestamp)
        return taken

    def _wait(self, limit: Limit) -> float:
        """Seconds until `limit` has a free place."""
        taken = self._taken(limit)
        if len(taken) < limit.count:
            return 0.0
        return max(taken[limit.count - 1] / 1000 + limit.seconds - time.time(), 0.0)


@dataclass(frozen=True, slots=True)
class CircuitState:
    """Whether a vendor is asked: `until` (seconds since 1970) it is left alone, because of `reason`."""

    failures: int = 0
    until: float = 0.0
    reason: str = ""
    throttled: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the vendor is being left alone."""
        return time.time() < self.until

    def in_words(self) -> str:
        """For a person who asks how the vendor is."""
        if self.is_open:
            return f"left alone for another {span(self.until - time.time())}: {self.reason}"
        return f"{self.failures} failures in a row, the last: {self.reason}" if self.failures else "answers"


class Memory:
    """Small facts about vendors by name, shared like the limits."""

    def __init__(self, home: Path) -> None:
        self._path = _file(home)

    def get(self, name: str) -> str | None:
        """What was put under `name`."""
        with self.connection() as connection:
            row = connection.execute("SELECT value FROM memory WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, name: str, value: str) -> None:
        """Keep `value` in place of what was."""
        with self.connection() as connection:
            connection.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (name, value))

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """One short transaction that no other process's can come between."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("CREATE TABLE IF NOT EXISTS memory (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS circuits (vendor TEXT PRIMARY KEY, failures INTEGER NOT NULL,"
                    " until REAL NOT NULL, reason TEXT NOT NULL, throttled INTEGER NOT NULL)"
                )
                yield connection
                connection.execute("COMMIT")
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be used ({error}); it may be deleted") from None


class Circuit:
    """Leaves a vendor alone that has failed, so that nobody waits for it and it can recover.

    It opens at once when the vendor throttles, for as long as it asked for; after three failures in a row otherwise.
    The pause doubles while it goes on. After it one question is tried, and a success closes the circuit.
    """

    def __init__(self, home: Path, vendor: str) -> None:
        self.vendor = vendor
        self._memory = Memory(home)

    def state(self) -> CircuitState:
        """As every process sees it."""
        with self._memory.connection() as connection:
            return self._read(connection)

    def check(self) -> None:
        """Pass if the vendor may be asked.

        Raises
        ------
        ThrottledError, VendorDownError
            It is being left alone; says why and for how long.
        """
        state = self.state()
        if state.is_open:
            message = f"{self.vendor} is {state.in_words()}"
            if state.throttled:
                raise ThrottledError(message, retry_after=state.until - time.time())
            raise VendorDownError(message)

    def succeeded(self) -> None:
        """The vendor has answered."""
        with self._memory.connection() as connection:
            connection.execute("DELETE FROM circuits WHERE vendor = ?", (self.vendor,))

    def failed(self, error: ProviderError) -> None:
        """The vendor has failed with `error`, after whatever retries there were."""
        throttled = isinstance(error, ThrottledError)
        with self._memory.connection() as connection:
            failures = self._read(connection).failures + 1
            pause = 0.0
            if throttled:
                pause = getattr(error, "retry_after", None) or _THROTTLED_PAUSE * 2 ** min(failures - 1, 4)
            elif failures >= _PATIENCE:
                pause = min(_FIRST_PAUSE * 2 ** (failures - _PATIENCE), _LONGEST_PAUSE)
            row = (self.vendor, failures, time.time() + pause, str(error)[:300], throttled)
            connection.execute("INSERT OR REPLACE INTO circuits VALUES (?, ?, ?, ?, ?)", row)

    def _read(self, connection: sqlite3.Connection) -> CircuitState:
        row = connection.execute(
            "SELECT failures, until, reason, throttled FROM circuits WHERE vendor = ?", (self.vendor,)
        ).fetchone()
        return CircuitState() if row is None else CircuitState(row[0], row[1], row[2], bool(row[3]))


def _file(home: Path) -> Path:
    return home / "pacing.db"


def span(seconds: float) -> str:
    """A length of time as a person says it.

    Examples
    --------
    >>> span(1), span(60), span(86400), span(5400)
    ('a second', 'a minute', 'a day', '1.5 hours')
    """
    for length, name, one in ((86_400, "days", "a day"), (3_600, "hours", "an hour"), (60, "minutes", "a minute")):
        if seconds >= length:
            return one if seconds == length else f"{seconds / length:.2g} {name}"
    return "a second" if seconds == 1 else f"{seconds:.2g} seconds"
