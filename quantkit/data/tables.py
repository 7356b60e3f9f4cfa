"""The store's tables, their version, and the steps that bring an older database to it.

Times are int64 microseconds since 1970 in UTC, a missing number is NULL, JSON is text: nothing here is SQLite's own, so
that another database is another engine and not another schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from quantkit.core.errors import StoreError

__all__ = ["MIGRATIONS", "SCHEMA_VERSION", "create_or_migrate", "metadata", "schema_version"]

#: Raised by one with every change of a table; ``MIGRATIONS`` then holds the step from the version before.
SCHEMA_VERSION: Final = 3

#: ``MIGRATIONS[n]`` brings a database of version n to n + 1, inside the transaction that records it.
MIGRATIONS: Final[dict[int, Callable[[sa.Connection], None]]] = {}

metadata = sa.MetaData()

# Ordered by its bytes, as SQLite orders it, whatever the language of the server.
_Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_Time = sa.BigInteger
# SQLite counts up by itself only in a column declared INTEGER.
_Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _prices() -> list[sa.Column[Any]]:
    names = ("open", "high", "low", "close", "volume", "adj_close")
    return [sa.Column(name, sa.Double, nullable=name != "close") for name in names]


def _series() -> list[sa.Column[Any]]:
    return [sa.Column("symbol", _Text, primary_key=True), sa.Column("interval", _Text, primary_key=True)]


meta = sa.Table("meta", metadata, sa.Column("name", _Text, primary_key=True), sa.Column("value", _Text, nullable=False))

instruments = sa.Table(
    "instruments",
    metadata,
    sa.Column("symbol", _Text, primary_key=True),
    sa.Column("name", _Text, nullable=False),
    sa.Column("currency", _Text, nullable=False),
    sa.Column("calendar", _Text, nullable=False),
    sa.Column("source", _Text, nullable=False),
    sa.Column("price_basis", _Text, nullable=False),
    sa.Column("intervals", _Text, nullable=False),
)

bars = sa.Table(
    "bars",
    metadata,
    *_series(),
    sa.Column("time", _Time, primary_key=True, autoincrement=False),
    *_prices(),
    sa.Column("source", _Text, nullable=False),
    sa.Column("known_at", _Time, nullable=False),
    sa.Column("ingested_at", _Time, nullable=False),
    sqlite_with_rowid=False,
)

#: Earlier versions of bars: what stood in ``bars`` from `known_at` until just before `replaced_at`.
bars_history = sa.Table(
    "bars_history",
    metadata,
    sa.Column("id", _Counter, primary_key=True),
    sa.Column("symbol", _Text, nullable=False),
    sa.Column("interval", _Text, nullable=False),
    sa.Column("time", _Time, nullable=False),
    *_prices(),
    sa.Column("source", _Text, nullable=False),
    sa.Column("known_at", _Time, nullable=False),
    sa.Column("ingested_at", _Time, nullable=False),
    sa.Column("replaced_at", _Time, nullable=False),
    sa.Index("bars_history_by_time", "symbol", "interval", "time"),
    sqlite_autoincrement=True,
)

#: Copies of runs of ``bars`` as columns, for bulk reads: derived, dropped and rebuilt with the rows they copy.
bars_blocks = sa.Table(
    "bars_blocks",
    metadata,
    *_series(),
    sa.Column("start", _Time, primary_key=True, autoincrement=False),
    sa.Column("stop", _Time, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)

#: One row for every write that changed bars: what a listener that has seen `seq` must read again.
changes = sa.Table(
    "changes",
    metadata,
    sa.Column("seq", _Counter, primary_key=True),
    sa.Column("symbol", _Text, nullable=False),
    sa.Column("interval", _Text, nullable=False),
    sa.Column("first", _Time, nullable=False),
    sa.Column("last", _Time, nullable=False),
    sa.Column("at", _Time, nullable=False),
    sqlite_autoincrement=True,
)

fetches = sa.Table(
    "fetches",
    metadata,
    *_series(),
    sa.Column("provider", _Text, nullable=False),
    sa.Column("at", _Time, nullable=False),
)

#: `digest` is of all the other columns but `at`, so that the same refusal is kept once.
quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("id", _Counter, primary_key=True),
    sa.Column("digest", _Text, nullable=False, unique=True),
    sa.Column("symbol", _Text, nullable=False, index=True),
    sa.Column("interval", _Text, nullable=False),
    sa.Column("time", _Time),
    sa.Column("rule", _Text, nullable=False),
    sa.Column("reason", _Text, nullable=False),
    sa.Column("text", _Text),
    sa.Column("source", _Text, nullable=False),
    sa.Column("line", sa.BigInteger),
    sa.Column("at", _Time, nullable=False),
    sqlite_autoincrement=True,
)

repairs = sa.Table(
    "repairs",
    metadata,
    *_series(),
    sa.Column("rule", _Text, primary_key=True),
    sa.Column("source", _Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("at", _Time, nullable=False),
)

actions = sa.Table(
    "actions",
    metadata,
    sa.Column("symbol", _Text, primary_key=True),
    sa.Column("time", _Time, primary_key=True, autoincrement=False),
    sa.Column("kind", _Text, primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("source", _Text, nullable=False),
    sa.Column("at", _Time, nullable=False),
)

quotes = sa.Table(
    "quotes",
    metadata,
    sa.Column("symbol", _Text, primary_key=True),
    sa.Column("quote", _Text, nullable=False),
    sa.Column("at", _Time, nullable=False),
)

results = sa.Table(
    "results",
    metadata,
    sa.Column("fingerprint", _Text, primary_key=True),
    sa.Column("question", _Text, nullable=False),
    sa.Column("answer", _Text, nullable=False),
    sa.Column("computed_in", sa.Double, nullable=False),
    sa.Column("at", _Time, nullable=False, index=True),
)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("key", _Text, primary_key=True),
    sa.Column("done", sa.BigInteger),
    sa.Column("total", sa.BigInteger),
    sa.Column("doing", _Text, nullable=False, server_default=""),
    sa.Column("cancelled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("at", _Time, nullable=False),
)

#: The ledger: every published step of a forecast, from the bar `origin` for the bar `time`, complete at `due_at`.
forecasts = sa.Table(
    "forecasts",
    metadata,
    sa.Column("fingerprint", _Text, primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("symbol", _Text, nullable=False),
    sa.Column("interval", _Text, nullable=False),
    sa.Column("model", _Text, nullable=False),
    sa.Column("level", sa.Double, nullable=False),
    sa.Column("origin", _Time, nullable=False),
    sa.Column("time", _Time, nullable=False),
    sa.Column("due_at", _Time, nullable=False),
    sa.Column("mean", sa.Double, nullable=False),
    sa.Column("median", sa.Double, nullable=False),
    sa.Column("lower", sa.Double, nullable=False),
    sa.Column("upper", sa.Double, nullable=False),
    sa.Column("naive", sa.Double, nullable=False),
    sa.Column("probability_up", sa.Double),
    sa.Column("published_at", _Time, nullable=False),
    sa.Column("backfilled", sa.Boolean, nullable=False),
    sa.Index("forecasts_by_time", "symbol", "interval", "time"),
)

#: What came of a published step, in the units it was published in.
forecast_outcomes = sa.Table(
    "forecast_outcomes",
    metadata,
    sa.Column("fingerprint", _Text, primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("actual", sa.Double, nullable=False),
    sa.Column("scored_at", _Time, nullable=False),
)


def _append_only(table: sa.Table) -> None:
    """Have the database itself refuse to change, delete or replace a row of `table`."""
    name = table.name
    refuse = f"BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: {name}'); END"
    same = " AND ".join(f"{key.name} = NEW.{key.name}" for key in table.primary_key)
    statements = {
        "sqlite": [
            f"CREATE TRIGGER {name}_no_update BEFORE UPDATE ON {name} {refuse}",
            f"CREATE TRIGGER {name}_no_delete BEFORE DELETE ON {name} {refuse}",
            # INSERT OR REPLACE deletes without telling the trigger above.
            f"CREATE TRIGGER {name}_no_replace BEFORE INSERT ON {name} "  # noqa: S608 - names of our own
            f"BEGIN SELECT RAISE(IGNORE) FROM {name} WHERE {same}; END",
        ],
        "postgresql": [
            "CREATE OR REPLACE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$",
            f"CREATE TRIGGER {name}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()",
        ],
    }
    for dialect, each in statements.items():
        for statement in each:
            sa.event.listen(table, "after_create", sa.DDL(statement).execute_if(dialect=dialect))


_append_only(forecasts)
_append_only(forecast_outcomes)


def _open_ledger(connection: sa.Connection) -> None:
    """Version 2: the ledger in the form it is written in; version 1 had the table, and nothing that wrote to it."""
    connection.execute(sa.text("DROP TABLE forecasts"))
    metadata.create_all(connection, tables=[forecasts, forecast_outcomes])


MIGRATIONS[1] = _open_ledger

#: The bar of a series that is not complete yet, as a stream has it; `seq` rises with every change of any of them. It is
#: kept out of ``bars``: what stands there was complete, and every change of it is a correction worth keeping.
forming = sa.Table(
    "forming",
    metadata,
    *_series(),
    sa.Column("time", _Time, nullable=False),
    *_prices(),
    sa.Column("source", _Text, nullable=False),
    sa.Column("seq", _Time, nullable=False, index=True),
    sa.Column("at", _Time, nullable=False),
)

MIGRATIONS[2] = lambda connection: metadata.create_all(connection, tables=[forming])

#: What the collector and the reports did, and how it ended.
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", _Counter, primary_key=True),
    sa.Column("kind", _Text, nullable=False),
    sa.Column("parameters", _Text, nullable=False),
    sa.Column("started_at", _Time, nullable=False),
    sa.Column("ended_at", _Time),
    sa.Column("status", _Text, nullable=False),
    sa.Column("message", _Text, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)


def schema_version(connection: sa.Connection) -> int | None:
    """Version of the schema that `connection` finds; None for a database with nothing in it.

    Raises
    ------
    StoreError
        There are tables, but not quantkit's.
    """
    inspector = sa.inspect(connection)
    if not inspector.has_table("meta"):
        if found := inspector.get_table_names():
            raise StoreError(
                f"holds tables of another program ({', '.join(sorted(found)[:3])}); "
                "name a folder of quantkit's own in QUANTKIT_HOME, or a database of its own in QUANTKIT_DATABASE_URL"
            )
        return None
    version = connection.execute(sa.select(meta.c.value).where(meta.c.name == "schema_version")).scalar_one_or_none()
    if version is None or not version.isdecimal():
        raise StoreError("does not say which version of quantkit made it; put a backup in its place")
    return int(version)


def create_or_migrate(connection: sa.Connection) -> None:
    """Bring the database to ``SCHEMA_VERSION`` inside the transaction that `connection` is in."""
    found = schema_version(connection)
    if found is None:
        metadata.create_all(connection)
        connection.execute(meta.insert().values(name="schema_version", value=str(SCHEMA_VERSION)))
        return
    for version in range(found, SCHEMA_VERSION):
        MIGRATIONS[version](connection)
    connection.execute(meta.update().where(meta.c.name == "schema_version").values(value=str(SCHEMA_VERSION)))
