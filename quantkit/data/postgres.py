"""PostgreSQL as several processes share it: one writer at a time as in SQLite, NOTIFY, COPY, errors as sentences.

Writers take one advisory lock for the length of their transaction. Merging bars reads before it writes, and the numbers
of ``changes`` must become visible in their order, or a listener that has seen 5 would never look for 4; both come for
free when transactions that write follow each other, and both databases then behave alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError

from quantkit.core.errors import SettingsError, StoreError
from quantkit.data import tables
from quantkit.data.connections import BUSY_TIMEOUT, Database

__all__ = ["CHANNEL", "PostgresDatabase"]

#: NOTIFY goes out on this channel with every commit that changed bars.
CHANNEL: Final = "quantkit_changes"
#: Which of a database's advisory locks is ours: "quantkit" as a number.
_WRITER: Final = int.from_bytes(b"quantkit", "big") >> 1
_WRITING: Final = "quantkit_writing"
_SECONDS_TO_CONNECT: Final = 10
_CHUNK: Final = 20_000


class PostgresDatabase:
    """A PostgreSQL database at the current schema version; the same interface as the SQLite ``Database``.

    Parameters
    ----------
    url : str
        ``postgresql://user:password@host/database``; ``options=-csearch_path%3Dname`` puts the tables in a schema of
        their own.
    busy_timeout : float
        Seconds to wait for another process's transaction.

    Raises
    ------
    SettingsError
        `url` is no PostgreSQL URL.
    StoreError
        It cannot be reached, created or migrated; names the server and the database, never the password.
    """

    def __init__(self, url: str, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self._url = _parsed(url)
        shown = sa.URL.create(
            "postgresql", self._url.username, None, self._url.host, self._url.port, self._url.database
        )
        self.url = shown.render_as_string()
        self.busy_timeout = busy_timeout
        milliseconds = max(int(busy_timeout * 1000), 1)
        self._engine = sa.create_engine(
            self._url,
            # Positional parameters let rows go to the driver as tuples, without a dictionary for each.
            paramstyle="format",
            connect_args={"connect_timeout": _SECONDS_TO_CONNECT, "application_name": "quantkit"},
            pool_size=4,
            max_overflow=32,
            # A server that was restarted meanwhile is met by a new connection instead of an error.
            pool_pre_ping=True,
        )

        def configure(connection: Any, _: Any) -> None:
            connection.autocommit = True
            connection.execute(f"SET lock_timeout = {milliseconds}")
            connection.execute("SET timezone = 'UTC'")
            connection.execute("SET client_min_messages = 'error'")
            connection.autocommit = False

        sa.event.listen(self._engine, "connect", configure)
        sa.event.listen(self._engine, "begin", _begin)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the server; what is opened again later works as before."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection inside a transaction that sees one state of the database."""
        with self.errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A connection inside the one transaction that may write; committed at the end, undone by an exception."""
        with (
            self.errors(),
            self._engine.connect().execution_options(**{_WRITING: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def data_version(self) -> int:
        """A number that is another one after any transaction that wrote has ended, in whatever connection.

        It counts the transactions that have ended: those below the snapshot's upper end less those still running.
        """
        ended = (
            "SELECT pg_snapshot_xmax(s)::text::bigint - (SELECT count(*) FROM pg_snapshot_xip(s)) "
            "FROM pg_current_snapshot() s"
        )
        with self.read() as connection:
            return int(connection.exec_driver_sql(ended).scalar_one())

    def listen(self) -> Any:
        """A connection of its own (psycopg's) that hears ``CHANNEL``; the caller closes it."""
        import psycopg

        with self.errors():
            connection = psycopg.connect(
                self._url.set(drivername="postgresql").render_as_string(hide_password=False),
                autocommit=True, connect_timeout=_SECONDS_TO_CONNECT, application_name="quantkit",
            )  # fmt: skip
            connection.execute(f"LISTEN {CHANNEL}")
        return connection

    def backup(self, path: Path) -> None:
        """Write a consistent copy to `path` as a SQLite store, which a ``QUANTKIT_HOME`` around it serves as it is."""
        if path.exists():
            raise StoreError(f"{path} exists already; name a file that does not, so that no backup is overwritten")
        loading = path.with_name(path.name + ".loading")
        try:
            loading.unlink(missing_ok=True)
            copy = Database(loading)
            try:
                with self.read() as source, copy.write() as target:
                    target.execute(tables.meta.delete())
                    for table in tables.metadata.sorted_tables:
                        rows = source.execute(sa.select(table), execution_options={"yield_per": _CHUNK})
                        for part in rows.partitions():
                            target.execute(table.insert(), [row._asdict() for row in part])
                copy.backup(path)
            finally:
                copy.close()
        except OSError as error:
            raise StoreError(f"{path} cannot be written ({error.strerror}); name another place") from None
        finally:
            for leftover in path.parent.glob(loading.name + "*"):
                leftover.unlink(missing_ok=True)

    def check(self) -> list[str]:
        """What reading every row of every table finds wrong; empty when all can be read."""
        found = []
        for table in tables.metadata.sorted_tables:
            try:
                with self.read() as connection:
                    whole = sa.func.sum(sa.func.length(sa.cast(sa.literal_column(f'"{table.name}"'), sa.Text)))
                    connection.execute(sa.select(whole).select_from(table)).scalar()
            except StoreError as error:
                found.append(f"{table.name}: {error}")
        return found

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the driver raises into a ``StoreError`` of one sentence about the database."""
        import psycopg

        try:
            yield
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.Error):
                raise
            # The chain would carry the driver's own text, which may quote the whole address.
            raise StoreError(self._sentence(error.orig)) from None
        except psycopg.Error as error:
            raise StoreError(self._sentence(error)) from None

    def _prepare(self) -> None:
        try:
            with self.read() as connection:
                found = tables.schema_version(connection)
            if found is not None and found > tables.SCHEMA_VERSION:
                raise StoreError(
                    f"was made by a newer quantkit (schema {found}, this one knows {tables.SCHEMA_VERSION}); "
                    "upgrade quantkit, or name another database in QUANTKIT_DATABASE_URL"
                )
            if found != tables.SCHEMA_VERSION:
                with self.write() as connection:
                    tables.create_or_migrate(connection)
        except StoreError as error:
            said = str(error)
            raise StoreError(said if said.startswith(self.url) else f"{self.url} {said}") from None

    def _sentence(self, error: Any) -> str:
        said = self._without_secrets(str(error).strip().split("\n")[0])
        state = getattr(error, "sqlstate", None) or ""
        match state[:2], state:
            case _, "55P03":
                return (
                    f"{self.url} has been locked by another program for more than {self.busy_timeout:g} s; "
                    "end that program or try again later"
                )
            case "53", _:
                return (
                    f"{self.url} has no room left ({said}); the change was undone and nothing stored was harmed: "
                    "give the server space or connections and try again"
                )
            case _, "42501" | "25006":
                return f"{self.url} does not let this user do that ({said}); grant it the rights of the tables' owner"
            case "28", _:
                return f"{self.url} refuses this user ({said}); check user and password in QUANTKIT_DATABASE_URL"
            case _, "3D000":
                return f"{self.url} does not exist ({said}); create it, or name another in QUANTKIT_DATABASE_URL"
            case "XX" | "58", _:
                return f"{self.url} is damaged ({said}); restore it from a backup"
            case "57" | "08" | "", _:
                refused = re.search(r"FATAL:\s*(.*)", said)
                return (
                    f"{self.url} cannot be reached ({refused[1] if refused else said}); check that the server runs "
                    "and what QUANTKIT_DATABASE_URL says"
                )
        return f"{self.url} refused a statement ({said})"

    def _without_secrets(self, text: str) -> str:
        for secret in filter(None, (self._url.password, self._url.render_as_string(hide_password=False))):
            text = text.replace(str(secret), "***")
        return text


def _parsed(url: str) -> sa.URL:
    # What it says may hold a password: it is not repeated.
    wanted = "QUANTKIT_DATABASE_URL cannot be used; expected postgresql://user:password@host:5432/database"
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsError(wanted) from None
    if parsed.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise SettingsError(f"{wanted}, not {parsed.drivername}://") from None
    return parsed.set(drivername="postgresql+psycopg")


def _begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get(_WRITING):
        # Its statements must see what the writer before it committed: not the snapshot taken before it waited.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER})")
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
