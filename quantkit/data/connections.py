"""SQLite as several processes share it: write-ahead log, busy time-outs, ``BEGIN IMMEDIATE``, and errors as sentences.

One copy of SQLite per process and file, always: it guards a file with POSIX locks, which belong to the process, so that
a second copy of the library (ADBC carries its own) drops the first one's locks when it closes and deletes the log that
the first goes on writing to. Measured: rows committed after that are lost. For the same reason nothing here opens the
database's file by itself.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from quantkit.core.errors import StoreError
from quantkit.data import tables

__all__ = ["BUSY_TIMEOUT", "Database"]

#: Seconds that a connection waits for another's transaction; the longest of ours, a million corrections, takes 15.
BUSY_TIMEOUT = 30.0

_WRITING = "quantkit_writing"


class Database:
    """A SQLite file at the current schema version.

    Parameters
    ----------
    path : Path
        Created, with its folder, if it does not exist; migrated if it is older.
    busy_timeout : float
        Seconds to wait for another connection's lock.

    Raises
    ------
    StoreError
        It cannot be opened, created or migrated; names the file and says what to do.
    """

    def __init__(self, path: Path, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self.path = path
        self.busy_timeout = busy_timeout
        self.url = f"sqlite:///{path}"
        self._watch: sqlite3.Connection | None = None
        self._watching = Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{path.parent} cannot be created ({error.strerror}); set QUANTKIT_HOME to a folder you can write to"
            ) from None
        self._engine = sa.create_engine(
            sa.URL.create("sqlite+pysqlite", database=os.fspath(path)),
            connect_args={"timeout": busy_timeout, "isolation_level": None, "check_same_thread": False},
            pool_size=4,
            max_overflow=32,
        )
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "begin", _begin)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file; what is opened again later works as before."""
        with self._watching:
            if self._watch is not None:
                self._watch.close()
                self._watch = None
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection inside a transaction that sees one state of the database."""
        with self.errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A connection inside the one transaction that may write; committed at the end, undone by an exception."""
        with self.errors():
            try:
                with (
                    self._engine.connect().execution_options(**{_WRITING: True}) as connection,
                    connection.begin(),
                ):
                    yield connection
            except DBAPIError as error:
                if _code(error.orig) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                    self._give_back_space()
                raise

    def data_version(self) -> int:
        """A number that is another one after any other connection has committed, this object's own included."""
        with self.errors(), self._watching:
            if self._watch is None:
                self._watch = sqlite3.connect(
                    self.path, timeout=self.busy_timeout, isolation_level=None, check_same_thread=False
                )
            return int(self._watch.execute("PRAGMA data_version").fetchone()[0])

    def backup(self, path: Path) -> None:
        """Write a consistent, compact copy to `path`, which must not exist, while others go on reading and writing."""
        if path.exists():
            raise StoreError(f"{path} exists already; name a file that does not, so that no backup is overwritten")
        unfinished = path.with_name(path.name + ".unfinished")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.unlink(missing_ok=True)
            with self.errors(writing=path), self._engine.connect() as connection:
                raw: Any = connection.connection
                raw.execute("VACUUM INTO ?", (os.fspath(unfinished),))
            with unfinished.open("rb") as copy:
                os.fsync(copy.fileno())
            os.replace(unfinished, path)
        except OSError as error:
            raise StoreError(f"{path} cannot be written ({error.strerror}); name another place") from None
        finally:
            unfinished.unlink(missing_ok=True)

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file, page by page; empty when it is sound."""
        with self.read() as connection:
            found = [row[0] for row in connection.exec_driver_sql("PRAGMA quick_check(10)")]
        return [] if found == ["ok"] else found

    @contextmanager
    def errors(self, *, writing: Path | None = None) -> Iterator[None]:
        """Turn what the driver raises into a ``StoreError`` of one sentence about the file."""
        try:
            yield
        except DBAPIError as error:
            if not isinstance(error.orig, sqlite3.Error):
                raise
            raise StoreError(self._sentence(error.orig, writing or self.path)) from error.orig
        except sqlite3.Error as error:
            raise StoreError(self._sentence(error, writing or self.path)) from error

    def _prepare(self) -> None:
        try:
            with self.read() as connection:
                found = tables.schema_version(connection)
            if found is not None and found > tables.SCHEMA_VERSION:
                raise StoreError(
                    f"was made by a newer quantkit (schema {found}, this one knows {tables.SCHEMA_VERSION}); "
                    "upgrade quantkit, or set QUANTKIT_HOME to another folder"
                )
            self._use_write_ahead_log()
            if found == tables.SCHEMA_VERSION:
                return
            if found is not None:
                kept = self.path.with_name(f"{self.path.stem}-schema{found}-{time.time_ns()}.backup")
                self.backup(kept)
            with self.write() as connection:
                tables.create_or_migrate(connection)
        except StoreError as error:
            said = str(error)
            raise StoreError(said if said.startswith(str(self.path)) else f"{self.path} {said}") from error.__cause__

    def _use_write_ahead_log(self) -> None:
        # Changing the mode needs the file for oneself, and SQLite does not wait for that by itself.
        deadline = time.monotonic() + self.busy_timeout
        while True:
            try:
                with self._engine.connect() as connection:
                    raw: Any = connection.connection
                    if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                        raw.execute("PRAGMA journal_mode=WAL")
                    return
            except (DBAPIError, sqlite3.Error) as error:
                busy = _code(getattr(error, "orig", error)) == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    with self.errors():
                        raise
                time.sleep(0.02)

    def _give_back_space(self) -> None:
        # What an undone transaction had written stays in the log's file, on the disk that it has just filled.
        with suppress(DBAPIError, sqlite3.Error), self._engine.connect() as connection:
            raw: Any = connection.connection
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _sentence(self, error: sqlite3.Error, path: Path) -> str:
        match _code(error):
            case sqlite3.SQLITE_NOTADB:
                return (
                    f"{path} is not a SQLite database; move it away and quantkit starts a new one, "
                    "or put a backup in its place"
                )
            case sqlite3.SQLITE_CORRUPT:
                return (
                    f"{path} is damaged ({error}); put a backup in its place, or move it away and quantkit starts a "
                    "new one"
                )
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
                return (
                    f"{path} cannot be written ({error}); allow writing to the file and its folder, "
                    "or set QUANTKIT_HOME to a folder you can write to"
                )
            case sqlite3.SQLITE_CANTOPEN:
                return (
                    f"{path} cannot be opened ({error}); allow reading and writing in its folder, "
                    "or set QUANTKIT_HOME to a folder you can write to"
                )
            case sqlite3.SQLITE_FULL:
                return (
                    f"{path} cannot grow ({error}); the change was undone and nothing stored was harmed: "
                    "free some space and try again"
                )
            case sqlite3.SQLITE_IOERR:
                return (
                    f"{path} could not be read or written ({error}); the change was undone: check that its disk has "
                    "space and works, then try again"
                )
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return (
                    f"{path} has been locked by another program for more than {self.busy_timeout:g} s; "
                    "end that program or try again later"
                )
        return f"{path} refused a statement ({error})"


def _code(error: object) -> int:
    """SQLite's primary result code of an exception; 0 if it has none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _configure(connection: sqlite3.Connection, _: Any) -> None:
    # NORMAL in a write-ahead log can lose the last commits to a power cut, never the database's soundness.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA journal_size_limit=67108864")


def _begin(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later fails at once when another has written in between.
    writing = connection.get_execution_options().get(_WRITING)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
