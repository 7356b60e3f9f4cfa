"""The store: bars with every earlier version, what was refused and repaired, and answers by fingerprint.

Several processes read and write at once; each method is one short transaction. Nothing that a past answer was computed
from is overwritten: a changed bar keeps its earlier version, and ``bars(as_of=...)`` answers as the store stood then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from quantkit.core.calendars import parse_time
from quantkit.core.errors import DataError
from quantkit.core.schema import BAR_COLUMNS, Interval, check_bars, check_interval, check_symbol
from quantkit.data import series, sql, tables
from quantkit.data.base import Instrument
from quantkit.data.connections import BUSY_TIMEOUT, Database
from quantkit.data.ledger import Ledger
from quantkit.data.live import Live, announce, stamp_after
from quantkit.data.runs import Runs
from quantkit.data.series import Columns, Written
from quantkit.data.tasks import Tasks
from quantkit.settings import Settings

if TYPE_CHECKING:
    from quantkit.data.postgres import PostgresDatabase

__all__ = ["Change", "Store", "Written"]

_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """One write that changed bars of a series, somewhere from `first` to `last`; `seq` rises with every one."""

    seq: int
    symbol: str
    interval: Interval
    first: pd.Timestamp
    last: pd.Timestamp


class Store:
    """What quantkit remembers; open it with :meth:`open`.

    Every method may raise ``StoreError``, a sentence that names the file and says what to do, and then has changed
    nothing.
    """

    def __init__(self, database: Database | PostgresDatabase) -> None:
        self._database = database
        self.url = database.url
        #: Published forecasts.
        self.ledger = Ledger(database)
        #: Bars of many symbols as they arrive.
        self.live = Live(database)
        #: What the collector and the reports did.
        self.runs = Runs(database)
        #: What computations say while they run.
        self.tasks = Tasks(database)

    @classmethod
    def open(cls, settings: Settings, *, busy_timeout: float = BUSY_TIMEOUT) -> Store:
        """The store under ``settings.home`` or at ``settings.database_url``, created or migrated as needed.

        Parameters
        ----------
        settings : Settings
        busy_timeout : float
            Seconds to wait for another process's transaction before giving up.

        Raises
        ------
        SettingsError
            ``database_url`` is no PostgreSQL URL.
        StoreError
            The database cannot be opened, is damaged, or was made by a newer quantkit.
        """
        if settings.database_url is not None:
            from quantkit.data.postgres import PostgresDatabase

            return cls(PostgresDatabase(settings.database_url.get_secret_value(), busy_timeout=busy_timeout))
        return cls(Database(settings.database, busy_timeout=busy_timeout))

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.url}>"

    # Instruments

    def put_instrument(self, instrument: Instrument) -> None:
        """Keep what is known of a symbol, in place of what was."""
        row = asdict(instrument) | {"intervals": ",".join(instrument.intervals)}
        row["symbol"] = check_symbol(instrument.symbol)
        with self._database.write() as connection:
            sql.upsert(connection, tables.instruments, [row])

    def instrument(self, symbol: str) -> Instrument | None:
        """What is known of `symbol`; None if nothing is."""
        found = self._instruments(tables.instruments.c.symbol == check_symbol(symbol))
        return found[0] if found else None

    def instruments(self) -> list[Instrument]:
        """Every symbol kept, in alphabetical order."""
        return self._instruments(sa.true())

    def _instruments(self, wanted: sa.ColumnElement[bool]) -> list[Instrument]:
        table = tables.instruments
        with self._database.read() as connection:
            rows = connection.execute(sa.select(table).where(wanted).order_by(table.c.symbol)).mappings().all()
        return [Instrument(**{**row, "intervals": tuple(row["intervals"].split(","))}) for row in rows]

    # Bars

    def put_bars(
        self,
        symbol: str,
        interval: Interval,
        bars: pd.DataFrame,
        *,
        source: str,
        known: pd.DatetimeIndex | pd.Timestamp | None = None,
        since: pd.Timestamp | None = None,
        replacing: bool = False,
    ) -> Written:
        """Merge `bars` with those that stand, all of them or none.

        A bar that stands already with the same values is left alone, so that putting twice is putting once; one
        with other values replaces it, and the version before is kept.

        Parameters
        ----------
        symbol : str
        interval : {"1d", "1m"}
        bars : DataFrame, shape (T, 6)
            A bars frame, see ``core.schema``.
        source : str
            Who supplied them; a bar that is unchanged keeps its first one.
        known : DatetimeIndex of length T, Timestamp or None
            Since when a new bar counts as known, for ``as_of``: the close of its session for embedded or backfilled
            ones; None is now. Corrections count from now whatever it says.
        since : Timestamp, optional
            `bars` restate the series (a split, a dividend, another vendor): from this moment on they count, corrections
            too, and none of them before it, so that no ``as_of`` finds bars of two scales side by side.
        replacing : bool
            `bars` take the place of everything that stands, of what they do not hold too.

        Returns
        -------
        Written
            ``inserted``, ``corrected``, ``unchanged``.

        Raises
        ------
        DataError
            `bars` is not a bars frame, or `known` is not one time for each bar.
        """
        symbol, interval = check_symbol(symbol), check_interval(interval)
        check_bars(bars, name=symbol)
        if bars.empty:
            return Written(0, 0, 0)
        times = sql.micros(bars.index)
        known_at, restated = _known(known, len(bars), symbol), None if since is None else sql.micro(since)
        new = Columns(times, np.ascontiguousarray(bars[list(BAR_COLUMNS)].to_numpy().T))
        with self._database.write() as connection:
            now = stamp_after(connection)
            if replacing:
                series.rewind(connection, symbol, interval, series.EARLIEST, now if restated is None else restated)
            written, touched = series.merge(
                connection, symbol, interval, new, source=source, known=known_at, now=now, since=restated
            )
            if len(touched):
                change = {"symbol": symbol, "interval": interval, "at": now}
                announce(connection, [change | {"first": int(touched[0]), "last": int(touched[-1])}])
        if len(touched):
            self.ledger.score(symbol, interval, arrived=sql.stamp(int(touched[0])))
        return written

    def bars(
        self,
        symbol: str,
        interval: Interval = "1d",
        *,
        start: Any = None,
        end: Any = None,
        as_of: Any = None,
    ) -> pd.DataFrame:
        """Bars from `start` to `end`, both included; empty where there are none.

        Parameters
        ----------
        symbol : str
        interval : {"1d", "1m"}
        start, end : Timestamp, date, str or None
            UTC; None is as far as there are bars.
        as_of : Timestamp, date, str or None
            Answer as the store stood at that moment: bars not known yet are absent, bars corrected since have their
            value of then. None is now, with everything stored.

        Returns
        -------
        DataFrame, shape (T, 6)
            A bars frame, with ``symbol`` and ``interval`` in ``attrs``.
        """
        symbol, interval = check_symbol(symbol), check_interval(interval)
        first = None if start is None else sql.micro(parse_time(start, name="start"))
        last = None if end is None else sql.micro(parse_time(end, name="end"))
        with self._database.read() as connection:
            if as_of is None:
                times, values = series.read(connection, symbol, interval, first, last)
            else:
                moment = sql.micro(parse_time(as_of, name="as_of"))
                times, values = series.read_as_of(connection, symbol, interval, first, last, moment)
        frame = pd.DataFrame(values.T, index=sql.index(times, "time"), columns=list(BAR_COLUMNS), copy=False)
        frame.attrs = {"symbol": symbol, "interval": interval}
        return frame

    def bar_ends(self, symbol: str, interval: Interval = "1d") -> tuple[pd.Timestamp, pd.Timestamp] | None:
        """Time of the first and of the last bar; None without any."""
        table = tables.bars
        of = (table.c.symbol == check_symbol(symbol)) & (table.c.interval == check_interval(interval))
        # Each end by itself is one step in the index; both in one statement would walk through all of it.
        wanted = sa.select(
            sa.select(sa.func.min(table.c.time)).where(of).scalar_subquery(),
            sa.select(sa.func.max(table.c.time)).where(of).scalar_subquery(),
        )
        with self._database.read() as connection:
            first, last = connection.execute(wanted).one()
        return None if first is None else (sql.stamp(first), sql.stamp(last))

    def bar_range(self, symbol: str, interval: Interval = "1d") -> tuple[pd.Timestamp, pd.Timestamp, int] | None:
        """Time of the first and of the last bar, and how many there are, which takes counting; None without any."""
        ends = self.bar_ends(symbol, interval)
        if ends is None:
            return None
        table = tables.bars
        of = (table.c.symbol == symbol) & (table.c.interval == interval)
        with self._database.read() as connection:
            count = connection.execute(sa.select(sa.func.count()).select_from(table).where(of)).scalar_one()
        return (*ends, int(count))

    def bar_sources(self, symbol: str, interval: Interval = "1d") -> dict[str, int]:
        """How many of the bars that stand came from each source."""
        table = tables.bars
        of = (table.c.symbol == check_symbol(symbol)) & (table.c.interval == check_interval(interval))
        wanted = sa.select(table.c.source, sa.func.count()).where(of).group_by(table.c.source).order_by(table.c.source)
        with self._database.read() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(wanted)}

    def bar_history(self, symbol: str, interval: Interval = "1d") -> pd.DataFrame:
        """Every version of a bar that was replaced.

        Returns
        -------
        DataFrame
            Columns ``time``, the six of a bars frame, ``source``, ``known_at``, ``replaced_at``; by time, then by age.
        """
        table = tables.bars_history
        names = ("time", *BAR_COLUMNS, "source", "known_at", "replaced_at")
        of = (table.c.symbol == check_symbol(symbol)) & (table.c.interval == check_interval(interval))
        return self._frame(table, names, of, (table.c.time, table.c.id), times=("time", "known_at", "replaced_at"))

    def changes_since(self, seq: int) -> list[Change]:
        """Writes that changed bars after the one numbered `seq`, oldest first."""
        table = tables.changes
        wanted = sa.select(table).where(table.c.seq > seq).order_by(table.c.seq)
        with self._database.read() as connection:
            rows = connection.execute(wanted).all()
        return [Change(row.seq, row.symbol, row.interval, sql.stamp(row.first), sql.stamp(row.last)) for row in rows]

    def last_change(self) -> int:
        """Number of the latest write that changed bars; 0 before the first."""
        with self._database.read() as connection:
            return connection.execute(sa.select(sa.func.max(tables.changes.c.seq))).scalar() or 0

    def mark_fetched(self, symbol: str, interval: Interval, provider: str, *, at: pd.Timestamp | None = None) -> None:
        """Note that `provider` has been asked for all it has of a series: just now, or `at` another time."""
        row = {
            "symbol": check_symbol(symbol),
            "interval": check_interval(interval),
            "provider": provider,
            "at": sql.now() if at is None else sql.micro(at),
        }
        with self._database.write() as connection:
            sql.upsert(connection, tables.fetches, [row])

    def fetched(self, symbol: str, interval: Interval) -> tuple[str, pd.Timestamp] | None:
        """Who was asked last for a series, and when; None if nobody was."""
        table = tables.fetches
        of = (table.c.symbol == check_symbol(symbol)) & (table.c.interval == check_interval(interval))
        with self._database.read() as connection:
            row = connection.execute(sa.select(table.c.provider, table.c.at).where(of)).one_or_none()
        return None if row is None else (row.provider, sql.stamp(row.at))

    # What cleaning refused and repaired, and what companies did

    def put_quarantine(self, rows: pd.DataFrame) -> int:
        """Keep rows that were refused, each once.

        Parameters
        ----------
        rows : DataFrame
            Columns ``symbol interval time rule reason text source line``; `time` is NaT where it could not be read,
            `line` is NA where there is no file.

        Returns
        -------
        int
            How many were not kept before.
        """
        if rows.empty:
            return 0
        now = sql.now()
        stamps = pd.to_datetime(rows["time"], utc=True)
        kept = []
        for row, stamp in zip(rows.to_dict("records"), stamps, strict=True):
            about = {
                "symbol": check_symbol(row["symbol"]),
                "interval": str(row["interval"]),
                "time": None if pd.isna(stamp) else sql.micro(stamp),
                "rule": str(row["rule"]),
                "reason": str(row["reason"]),
                "text": None if pd.isna(row["text"]) else str(row["text"]).replace("\0", "\ufffd"),
                "source": str(row["source"]),
                "line": None if pd.isna(row["line"]) else int(row["line"]),
            }
            digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
            kept.append(about | {"digest": digest, "at": now})
        count = sa.select(sa.func.count()).select_from(tables.quarantine)
        with self._database.write() as connection:
            before = connection.execute(count).scalar_one()
            connection.execute(
                sql.insert(connection, tables.quarantine).on_conflict_do_nothing(index_elements=["digest"]), kept
            )
            return connection.execute(count).scalar_one() - before

    def quarantine(self, symbol: str | None = None) -> pd.DataFrame:
        """Rows that were refused, in the columns of :meth:`put_quarantine`, oldest refusal first."""
        table = tables.quarantine
        names = ("symbol", "interval", "time", "rule", "reason", "text", "source", "line")
        of = sa.true() if symbol is None else table.c.symbol == check_symbol(symbol)
        frame = self._frame(table, names, of, (table.c.id,), times=("time",))
        return frame.astype({"line": "Int64", "text": "str"})

    def put_repairs(
        self, symbol: str, interval: Interval, counts: Mapping[str, int], *, source: str, add: bool = False
    ) -> None:
        """Keep how often each rule repaired something in a series from `source`.

        Parameters
        ----------
        counts : mapping of rule to count
            Of the whole series; it replaces what was kept, so that reading the same file twice counts once.
        add : bool
            `counts` are of newly arrived rows only and add up with what was kept.
        """
        now = sql.now()
        about = {"symbol": check_symbol(symbol), "interval": check_interval(interval), "source": source, "at": now}
        rows = [{**about, "rule": rule, "count": int(count)} for rule, count in counts.items()]
        table = tables.repairs
        with self._database.write() as connection:
            if not add:
                same = [table.c[name] == about[name] for name in ("symbol", "interval", "source")]
                connection.execute(table.delete().where(*same))
            if rows:
                insert = sql.insert(connection, table)
                total = table.c.count + insert.excluded.count
                connection.execute(
                    insert.on_conflict_do_update(
                        index_elements=list(table.primary_key), set_={"count": total, "at": now}
                    ),
                    rows,
                )

    def repairs(self, symbol: str | None = None) -> pd.DataFrame:
        """How often each rule repaired something: columns ``symbol interval rule count source``."""
        table = tables.repairs
        of = sa.true() if symbol is None else table.c.symbol == check_symbol(symbol)
        return self._frame(table, ("symbol", "interval", "rule", "count", "source"), of, tuple(table.primary_key))

    def put_actions(self, symbol: str, actions: pd.DataFrame, *, source: str, at: pd.Timestamp | None = None) -> None:
        """Keep splits, dividends and earnings reports, told just now or `at` another time.

        Parameters
        ----------
        actions : DataFrame
            Columns ``time``, ``kind`` (``split``, ``dividend`` or ``earnings``), ``value``; one that stands with the
            same value keeps the time it was first told.
        """
        if actions.empty:
            return
        symbol, now = check_symbol(symbol), sql.now() if at is None else sql.micro(at)
        stamps = pd.to_datetime(actions["time"], utc=True)
        rows = [
            {"symbol": symbol, "time": sql.micro(stamp), "kind": str(kind), "value": float(value), "source": source,
             "at": now}
            for stamp, kind, value in zip(stamps, actions["kind"], actions["value"], strict=True)
        ]  # fmt: skip
        table = tables.actions
        with self._database.write() as connection:
            insert = sql.insert(connection, table)
            told = {name: insert.excluded[name] for name in ("value", "source", "at")}
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=list(table.primary_key), set_=told, where=table.c.value != insert.excluded.value
                ),
                rows,
            )

    def actions(self, symbol: str) -> pd.DataFrame:
        """Splits, dividends, earnings reports by time: columns ``time kind value source at``, the last of when told."""
        table = tables.actions
        of = table.c.symbol == check_symbol(symbol)
        names = ("time", "kind", "value", "source", "at")
        return self._frame(table, names, of, (table.c.time, table.c.kind), times=("time", "at"))

    # Quotes and results

    def put_quote(self, symbol: str, quote: Mapping[str, Any]) -> None:
        """Keep the latest quote (JSON-safe, without NaN) in place of the one before."""
        row = {"symbol": check_symbol(symbol), "quote": sql.to_json(quote, f"the quote of {symbol}"), "at": sql.now()}
        with self._database.write() as connection:
            sql.upsert(connection, tables.quotes, [row])

    def quote(self, symbol: str) -> dict[str, Any] | None:
        """The latest quote kept; None without one."""
        table = tables.quotes
        with self._database.read() as connection:
            text = connection.execute(sa.select(table.c.quote).where(table.c.symbol == check_symbol(symbol))).scalar()
        return None if text is None else json.loads(text)

    def put_result(
        self, fingerprint: str, *, question: Mapping[str, Any], answer: Mapping[str, Any], seconds: float
    ) -> None:
        """Keep an answer (JSON-safe, without NaN) and the seconds it took; the first one under a fingerprint stays."""
        row = {
            "fingerprint": fingerprint,
            "question": sql.to_json(question, f"the question of result {fingerprint}"),
            "answer": sql.to_json(answer, f"the answer of result {fingerprint}"),
            "computed_in": float(seconds),
            "at": sql.now(),
        }
        with self._database.write() as connection:
            connection.execute(
                sql.insert(connection, tables.results).on_conflict_do_nothing(index_elements=["fingerprint"]), [row]
            )

    def result(self, fingerprint: str) -> dict[str, Any] | None:
        """The answer kept under `fingerprint`, the same bits as were put; None without one."""
        table = tables.results
        with self._database.read() as connection:
            text = connection.execute(sa.select(table.c.answer).where(table.c.fingerprint == fingerprint)).scalar()
        return None if text is None else json.loads(text)

    # The whole

    def listen(self) -> Any:
        """PostgreSQL's connection that hears of every change of bars; None where ``data_version`` is what there is."""
        return None if isinstance(self._database, Database) else self._database.listen()

    def data_version(self) -> int:
        """A number that is another one after any connection, in this process or another, has committed."""
        return self._database.data_version()

    def backup(self, path: str | Path) -> None:
        """Write a consistent copy to `path`, which must not exist, while everything keeps running."""
        self._database.backup(Path(path).expanduser().absolute())

    def check(self) -> list[str]:
        """What is wrong with the database itself; empty when it is sound. Reads all of it."""
        return self._database.check()

    def prune(self, *, keep_results_days: int) -> int:
        """Drop results older than that and the traces of tasks long over; bars and their history always stay.

        Returns
        -------
        int
            Results dropped.
        """
        now = sql.now()
        changes = tables.changes
        with self._database.write() as connection:
            dropped = connection.execute(
                tables.results.delete().where(tables.results.c.at < now - keep_results_days * _DAY)
            ).rowcount
            connection.execute(tables.tasks.delete().where(tables.tasks.c.at < now - _DAY))
            newest = connection.execute(sa.select(sa.func.max(changes.c.seq))).scalar()
            connection.execute(changes.delete().where(changes.c.at < now - 7 * _DAY, changes.c.seq != newest))
            found = connection.execute(sa.select(changes.c.symbol, changes.c.interval).distinct()).all()
        for symbol, interval in found:
            with self._database.write() as connection:
                series.pack(connection, symbol, interval)
        return int(dropped)

    def _frame(
        self,
        table: sa.Table,
        names: Iterable[str],
        of: sa.ColumnElement[bool],
        order: tuple[sa.ColumnElement[Any], ...],
        *,
        times: tuple[str, ...] = (),
    ) -> pd.DataFrame:
        wanted = sa.select(*(table.c[name] for name in names)).where(of).order_by(*order)
        with self._database.read() as connection:
            return sql.frame(connection, wanted, times=times)


def _known(known: pd.DatetimeIndex | pd.Timestamp | None, count: int, symbol: str) -> np.ndarray | None:
    if known is None:
        return None
    if isinstance(known, pd.Timestamp):
        return np.full(count, sql.micro(known))
    if len(known) != count or known.hasnans:
        raise DataError(f"{symbol}: `known` holds {len(known)} times for {count} bars; expected one for each, no NaT")
    return sql.micros(known)
