"""Bars of many symbols as they arrive: complete ones, and the one that each symbol's stream is forming.

One transaction writes what a whole stream brought in a few hundredths of a second, and one query tells a listener which
of its symbols have moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from quantkit.core.schema import BAR_COLUMNS, Interval, check_interval, check_symbol
from quantkit.data import series, sql
from quantkit.data.series import Columns
from quantkit.data.tables import bars, bars_blocks, bars_history, changes, forming

if TYPE_CHECKING:
    from quantkit.data.connections import Database
    from quantkit.data.postgres import PostgresDatabase

__all__ = ["START", "Live", "LiveBar", "Position", "announce", "stamp_after"]

#: Symbols in one ``IN``: below every database's limit of parameters.
_AT_ONCE = 500
_CHANNEL = "quantkit_changes"


class LiveBar(NamedTuple):
    """One bar of a stream: `time` in microseconds since 1970, prices, and the volume so far."""

    symbol: str
    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Position(NamedTuple):
    """How far a listener has read: the last number of ``changes``, and of bars that form."""

    change: int
    forming: int


#: Before anything was written.
START = Position(0, 0)


class Live:
    """Bars of a store's database as they arrive; ``store.live``."""

    def __init__(self, database: Database | PostgresDatabase) -> None:
        self._database = database

    def put(
        self, complete: Sequence[LiveBar], still_forming: Sequence[LiveBar], *, source: str, interval: Interval = "1m"
    ) -> int:
        """Write what a stream brought, all of it or nothing.

        Parameters
        ----------
        complete : sequence of LiveBar
            Known from now on. One that stands already with the same values is left alone; one with others keeps its
            earlier version.
        still_forming : sequence of LiveBar
            In place of the bar that was forming; no version of it is kept.
        source : str
        interval : {"1d", "1m"}

        Returns
        -------
        int
            Complete bars that were new or corrected.
        """
        if not complete and not still_forming:
            return 0
        interval = check_interval(interval)
        by_symbol: dict[str, dict[int, LiveBar]] = {}
        for bar in complete:
            by_symbol.setdefault(bar.symbol, {})[bar.time] = bar
        with self._database.write() as connection:
            now = stamp_after(connection)
            present = _present(connection, by_symbol, interval) if by_symbol else set()
            rows: list[dict[str, Any]] = []
            touched: list[dict[str, Any]] = []
            for symbol, held in by_symbol.items():
                times = sorted(held)
                if symbol in present:
                    at = _columns([held[time] for time in times])
                    _, moved = series.merge(connection, symbol, interval, at, source=source, known=None, now=now)
                    if not len(moved):
                        continue
                    first, last, count = int(moved[0]), int(moved[-1]), len(moved)
                else:
                    about = {"interval": interval, "source": source, "known_at": now, "ingested_at": now}
                    rows += [about | _values(held[time]) for time in times]
                    first, last, count = times[0], times[-1], len(times)
                touched.append({"symbol": symbol, "interval": interval, "first": first, "last": last, "at": now,
                                "count": count})  # fmt: skip
            if rows:
                connection.execute(bars.insert(), rows)
                over = sa.and_(
                    forming.c.symbol == sa.bindparam("of"), forming.c.interval == interval,
                    forming.c.time <= sa.bindparam("upto"),
                )  # fmt: skip
                ended = [{"of": each["symbol"], "upto": each["last"]} for each in touched]
                connection.execute(forming.delete().where(over), ended)
            changed = sum(each.pop("count") for each in touched)
            if still_forming:
                # By the clock, since the row that holds the last number goes when its bar is complete.
                last = connection.execute(sa.select(sa.func.max(forming.c.seq))).scalar() or 0
                about = {"interval": interval, "source": source, "at": now, "seq": max(last + 1, now)}
                latest = {bar.symbol: bar for bar in still_forming}
                sql.upsert(connection, forming, [about | _values(bar) for bar in latest.values()])
            announce(connection, touched)
        return changed

    def forming(self, symbol: str, interval: Interval = "1m") -> pd.DataFrame:
        """The bar that is forming, as a bars frame of one row; of none where none is."""
        of = (forming.c.symbol == check_symbol(symbol)) & (forming.c.interval == check_interval(interval))
        wanted = sa.select(forming.c.time, *(forming.c[name] for name in BAR_COLUMNS)).where(of)
        with self._database.read() as connection:
            found = [tuple(row) for row in connection.execute(wanted)]
        values = np.array([row[1:] for row in found], dtype=np.float64).reshape(len(found), len(BAR_COLUMNS))
        times = np.array([row[0] for row in found], dtype=np.int64)
        return pd.DataFrame(values, index=sql.index(times, "time"), columns=list(BAR_COLUMNS))

    def position(self) -> Position:
        """Where everything written so far ends."""
        wanted = sa.select(
            sa.select(sa.func.max(changes.c.seq)).scalar_subquery(),
            sa.select(sa.func.max(forming.c.seq)).scalar_subquery(),
        )
        with self._database.read() as connection:
            change, moving = connection.execute(wanted).one()
        return Position(change or 0, moving or 0)

    def moved(self, symbols: Iterable[str], since: Position) -> tuple[dict[str, Position], Position]:
        """Which of `symbols` have new bars, or a forming one that moved, after `since`.

        However much was written meanwhile, each symbol is told once: who reads late reads the latest.

        Returns
        -------
        moved : dict of str to Position
            By symbol, its own last numbers (0 where nothing of that kind moved).
        position : Position
            What to give as `since` the next time.
        """
        wanted = sorted(set(symbols))
        found: dict[str, Position] = {}
        with self._database.read() as connection:
            ends = [since.change, since.forming]
            for which, table in enumerate((changes, forming)):
                newest = connection.execute(sa.select(sa.func.max(table.c.seq))).scalar() or 0
                if newest <= since[which]:
                    continue
                ends[which] = newest
                for start in range(0, len(wanted), _AT_ONCE):
                    of = table.c.symbol.in_(wanted[start : start + _AT_ONCE]) & (table.c.seq > since[which])
                    query = sa.select(table.c.symbol, sa.func.max(table.c.seq)).where(of).group_by(table.c.symbol)
                    for symbol, seq in connection.execute(query):
                        held = found.get(symbol, START)
                        found[symbol] = held._replace(**{Position._fields[which]: seq})
        return found, Position(*ends)

    def rewind(self, symbol: str, first: pd.Timestamp, interval: Interval = "1m") -> int:
        """Take the bars from `first` on away, as if they were not known yet; ``as_of`` still answers with them."""
        symbol, interval, start = check_symbol(symbol), check_interval(interval), sql.micro(first)
        with self._database.write() as connection:
            now = stamp_after(connection)
            count = series.rewind(connection, symbol, interval, start, now)
            announce(connection, [{"symbol": symbol, "interval": interval, "first": start, "last": start, "at": now}])
        return count

    def prune(self, *, source: str) -> int:
        """Drop the earlier versions that `source` left, a replay of data that is at hand anyway."""
        with self._database.write() as connection:
            return connection.execute(bars_history.delete().where(bars_history.c.source == source)).rowcount


def stamp_after(connection: sa.Connection) -> int:
    """Now, but after every stamp before it: of two versions the later one must win at every ``as_of``."""
    last = connection.execute(sa.select(changes.c.at).order_by(changes.c.seq.desc()).limit(1)).scalar()
    return max(sql.now(), (last or 0) + 1)


def announce(connection: sa.Connection, touched: list[dict[str, Any]]) -> None:
    """Number changes of bars for whoever listens; PostgreSQL also tells them, once the transaction is committed."""
    if touched:
        connection.execute(changes.insert(), touched)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {_CHANNEL}")


def _present(connection: sa.Connection, by_symbol: dict[str, dict[int, LiveBar]], interval: str) -> set[str]:
    """Symbols of which one of these very bars is stored already, or may lie within a block."""
    symbols, times = list(by_symbol), sorted({time for held in by_symbol.values() for time in held})
    found: set[str] = set()
    for start in range(0, len(symbols), _AT_ONCE):
        some = symbols[start : start + _AT_ONCE]
        # By time and not by range: a stream of many symbols is always between two minutes.
        stored = bars.c.symbol.in_(some) & (bars.c.interval == interval) & bars.c.time.in_(times)
        for symbol, time in connection.execute(sa.select(bars.c.symbol, bars.c.time).where(stored)):
            if time in by_symbol[symbol]:
                found.add(symbol)
        packed = bars_blocks.c.symbol.in_(some) & (bars_blocks.c.interval == interval)
        within = sa.select(bars_blocks.c.symbol).where(packed, bars_blocks.c.stop >= times[0])
        found.update(connection.execute(within.distinct()).scalars())
    return found


def _values(bar: LiveBar) -> dict[str, Any]:
    return {**bar._asdict(), "adj_close": None}


def _columns(held: Sequence[LiveBar]) -> Columns:
    values = np.array([[*bar[2:], np.nan] for bar in held], dtype=np.float64).T
    return Columns(np.array([bar.time for bar in held], dtype=np.int64), np.ascontiguousarray(values))
