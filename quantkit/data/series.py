"""One symbol's bars of one interval inside a transaction: read, merged, packed.

Rows are the truth. Where there are many, runs of ``BLOCK`` of them are also kept as columns, in the bytes that numpy
works with: a row costs about a microsecond to fetch through the driver, a row in a block a twentieth. A block is
dropped in the same transaction that touches one of its rows, so that a reader never sees one without the other.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import repeat
from typing import Any, Final, NamedTuple

import numpy as np
import sqlalchemy as sa

from quantkit.core.schema import BAR_COLUMNS
from quantkit.data.tables import bars, bars_blocks, bars_history, forming

__all__ = ["BLOCK", "EARLIEST", "Columns", "Written", "merge", "pack", "read", "read_as_of", "rewind"]

#: Rows in a block.
BLOCK: Final = 2048
#: The newest rows stay out of blocks: vendors still change them.
_TAIL: Final = 256
EARLIEST, LATEST = -(2**63), 2**63 - 1
_BATCH: Final = 50_000
#: Rows from which COPY is quicker than statements sent in a pipeline.
_COPY_FROM: Final = 200

_ROW: Final = np.dtype([("time", np.int64), *((name, np.float64) for name in BAR_COLUMNS)])
_SHOWN: Final = (bars.c.time, *(bars.c[name] for name in BAR_COLUMNS))

_INSERT: Final = bars.insert().values({column.name: sa.bindparam(column.name) for column in bars.columns})
_THIS: Final = sa.and_(*(bars.c[name] == sa.bindparam(f"this_{name}") for name in ("symbol", "interval", "time")))
_NOW: Final = sa.bindparam("now", type_=sa.BigInteger)
_SINCE: Final = sa.bindparam("since", type_=sa.BigInteger)


def _not_before(since: sa.ColumnElement[int], moment: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    return sa.case((moment > since, moment), else_=since)


_SAME_BAR: Final = sa.and_(*(bars_history.c[name] == bars.c[name] for name in ("symbol", "interval", "time")))
_FIRST_KNOWN: Final = sa.select(sa.func.min(bars_history.c.known_at)).where(_SAME_BAR).correlate(bars).scalar_subquery()
_KEEP_VERSION: Final = bars_history.insert().from_select(
    [*bars.columns.keys(), "replaced_at"],
    sa.select(*bars.columns, _not_before(_SINCE, bars.c.known_at)).where(_THIS),
)
#: A bar that came late does not count before it came, whatever it is restated from.
_REPLACE: Final = (
    bars.update()
    .where(_THIS)
    .values({name: sa.bindparam(f"new_{name}") for name in (*BAR_COLUMNS, "source")})
    .values(known_at=_not_before(_SINCE, _FIRST_KNOWN), ingested_at=_NOW)
)


class Written(NamedTuple):
    """How many of the bars handed in were new, replaced another value, or stood there already."""

    inserted: int
    corrected: int
    unchanged: int


class Columns(NamedTuple):
    """Bars as arrays: `times` of shape (T,) in microseconds since 1970, `values` of shape (6, T), NaN where NULL."""

    times: np.ndarray
    values: np.ndarray


def read(
    connection: sa.Connection, symbol: str, interval: str, first: int | None = None, last: int | None = None
) -> Columns:
    """The bars as they stand, from `first` to `last`, both included, by time."""
    first, last = EARLIEST if first is None else first, LATEST if last is None else last
    within = _of(bars_blocks, symbol, interval) & (bars_blocks.c.stop >= first) & (bars_blocks.c.start <= last)
    about = sa.select(bars_blocks.c.start, bars_blocks.c.stop, sa.func.length(bars_blocks.c.payload))
    blocks = connection.execute(about.where(within).order_by(bars_blocks.c.start)).all()
    # The rows before each block, and after the last one.
    starts = [first, *(stop + 1 for _, stop, _ in blocks)]
    stops = [*(start - 1 for start, _, _ in blocks), last]
    loose = [_rows(connection, symbol, interval, *gap) for gap in zip(starts, stops, strict=True)]
    if not blocks:
        return loose[0]
    # One array of the right size, filled block by block: a million bars are read in the memory that they take.
    count = sum(len(part.times) for part in loose) + sum(length // _ROW.itemsize for _, _, length in blocks)
    all_of = Columns(np.empty(count, dtype=np.int64), np.empty((len(BAR_COLUMNS), count)))
    end = _fill(all_of, 0, loose[0])
    payloads = connection.execute(sa.select(bars_blocks.c.payload).where(within).order_by(bars_blocks.c.start))
    for (payload,), after in zip(payloads, loose[1:], strict=True):
        end = _fill(all_of, end, _clip(_unpack(payload), first, last))
        end = _fill(all_of, end, after)
    return Columns(all_of.times[:end], all_of.values[:, :end])


def read_as_of(
    connection: sa.Connection, symbol: str, interval: str, first: int | None, last: int | None, as_of: int
) -> Columns:
    """The bars as they stood at `as_of`: of each bar the version known then, none of those not known yet."""
    first, last = EARLIEST if first is None else first, LATEST if last is None else last
    past = bars_history
    earlier = sa.select(past.c.time, *(past.c[name] for name in BAR_COLUMNS)).where(
        _of(past, symbol, interval), past.c.time.between(first, last), past.c.known_at <= as_of,
        past.c.replaced_at > as_of,
    )  # fmt: skip
    standing = sa.select(*_SHOWN).where(
        _of(bars, symbol, interval), bars.c.time.between(first, last), bars.c.known_at <= as_of
    )
    both = standing.union_all(earlier)
    return _fetch(connection, both.order_by(both.selected_columns.time))


def merge(
    connection: sa.Connection,
    symbol: str,
    interval: str,
    new: Columns,
    *,
    source: str,
    known: np.ndarray | None,
    now: int,
    since: int | None = None,
) -> tuple[Written, np.ndarray]:
    """Put bars beside those that stand; a changed one moves the version before it to ``bars_history``.

    Parameters
    ----------
    known : ndarray of int64, or None
        Since when each counts that was not there; None is `now`.
    since : int, optional
        Since when the changed ones count, and before which no new one does; by default `now`, and no such bound.

    Returns
    -------
    written : Written
    touched : ndarray of int64
        Times of the bars inserted or corrected.
    """
    times, values = new
    old = read(connection, symbol, interval, int(times[0]), int(times[-1]))
    at = np.searchsorted(old.times, times)
    at_old = np.minimum(at, max(len(old.times) - 1, 0))
    present = old.times[at_old] == times if len(old.times) else np.zeros(len(times), dtype=bool)
    differs = np.zeros(len(times), dtype=bool)
    if present.any():
        before, after = old.values[:, at_old[present]], values[:, present]
        differs[present] = ~((before == after) | (np.isnan(before) & np.isnan(after))).all(axis=0)
    fresh = ~present
    if since is not None:
        _end_versions(connection, symbol, interval, int(times[0]), int(times[-1]), since)
    first_known = np.full(len(times), now)
    if known is not None:
        first_known = np.maximum(known, _ends(connection, symbol, interval, times))
    if since is not None:
        first_known = np.maximum(first_known, since)
    touched = times[fresh | differs]
    # What was forming is complete now, or older than what is.
    connection.execute(forming.delete().where(_of(forming, symbol, interval), forming.c.time <= int(times[-1])))
    if len(touched):
        dropped = _drop_blocks(connection, symbol, interval, touched)
        if differs.any():
            _correct(connection, symbol, interval, times[differs], values[:, differs], source, now, since)
        _insert(connection, symbol, interval, times[fresh], values[:, fresh], source, first_known[fresh], now)
        if not len(old.times) and not dropped:
            _write_blocks(connection, symbol, interval, Columns(times, values), keep=_TAIL)
        elif dropped or len(touched) >= BLOCK // 8:
            pack(connection, symbol, interval)
    return Written(int(fresh.sum()), int(differs.sum()), int((present & ~differs).sum())), touched


def rewind(connection: sa.Connection, symbol: str, interval: str, first: int, since: int) -> int:
    """Take the bars from `first` on away, as if they were not known at `since`; each stays as an earlier version.

    Returns
    -------
    int
        How many there were.
    """
    of = _of(bars, symbol, interval) & (bars.c.time >= first)
    moved = sa.select(*bars.columns, _not_before(_SINCE, bars.c.known_at)).where(of)
    _end_versions(connection, symbol, interval, first, LATEST, since)
    connection.execute(
        bars_history.insert().from_select([*bars.columns.keys(), "replaced_at"], moved), {"since": since}
    )
    connection.execute(bars_blocks.delete().where(_of(bars_blocks, symbol, interval), bars_blocks.c.stop >= first))
    connection.execute(forming.delete().where(_of(forming, symbol, interval)))
    return connection.execute(bars.delete().where(of)).rowcount


def _end_versions(connection: sa.Connection, symbol: str, interval: str, first: int, last: int, since: int) -> None:
    """Have no version of the bars from `first` to `last` count at `since` or later but the one that stands."""
    ending = _of(bars_history, symbol, interval) & bars_history.c.time.between(first, last)
    over = _not_before(_SINCE, bars_history.c.known_at)
    ended = bars_history.update().where(ending, bars_history.c.replaced_at > _SINCE).values(replaced_at=over)
    connection.execute(ended, {"since": since})
    corrected = _of(bars, symbol, interval) & bars.c.time.between(first, last) & sa.exists().where(_SAME_BAR)
    sooner = bars.update().where(corrected, bars.c.known_at > _SINCE)
    connection.execute(sooner.values(known_at=_not_before(_SINCE, _FIRST_KNOWN)), {"since": since})


def _ends(connection: sa.Connection, symbol: str, interval: str, times: np.ndarray) -> np.ndarray:
    """When the last version of each bar that was ever seen ended: one that comes again does not count before."""
    past = bars_history
    within = _of(past, symbol, interval) & past.c.time.between(int(times[0]), int(times[-1]))
    ended = sa.select(past.c.time, sa.func.max(past.c.replaced_at)).where(within, past.c.replaced_at > past.c.known_at)
    found = np.array(connection.execute(ended.group_by(past.c.time)).all(), dtype=np.int64).reshape(-1, 2)
    ends = np.full(len(times), EARLIEST)
    _, mine, theirs = np.intersect1d(times, found[:, 0], assume_unique=True, return_indices=True)
    ends[mine] = found[theirs, 1]
    return ends


def pack(connection: sa.Connection, symbol: str, interval: str) -> None:
    """Make blocks of every run of rows that is long enough and in none yet."""
    ranges = connection.execute(
        sa.select(bars_blocks.c.start, bars_blocks.c.stop)
        .where(_of(bars_blocks, symbol, interval))
        .order_by(bars_blocks.c.start)
    ).all()
    at = EARLIEST
    for start, stop in [*ranges, (LATEST, LATEST)]:
        while True:
            run = _rows(connection, symbol, interval, at, start - 1, limit=BLOCK + _TAIL)
            if len(run.times) < BLOCK + (_TAIL if start == LATEST else 0):
                break
            _write_blocks(connection, symbol, interval, Columns(run.times[:BLOCK], run.values[:, :BLOCK]))
            at = int(run.times[BLOCK - 1]) + 1
        at = stop + 1 if stop != LATEST else at


def _of(table: sa.Table, symbol: str, interval: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.symbol == symbol, table.c.interval == interval)


def _rows(
    connection: sa.Connection, symbol: str, interval: str, first: int, last: int, *, limit: int | None = None
) -> Columns:
    wanted = sa.select(*_SHOWN).where(_of(bars, symbol, interval), bars.c.time.between(first, last))
    return _fetch(connection, wanted.order_by(bars.c.time).limit(limit))


def _fetch(connection: sa.Connection, wanted: sa.Select[Any] | sa.CompoundSelect[Any]) -> Columns:
    # Straight from the driver's cursor into one array: no tuple outlives its row.
    cursor: Any = connection.execute(wanted).cursor
    rows = np.fromiter(cursor, dtype=_ROW)
    values = np.empty((len(BAR_COLUMNS), len(rows)))
    for row, name in enumerate(BAR_COLUMNS):
        values[row] = rows[name]
    return Columns(rows["time"].copy(), values)


def _insert(
    connection: sa.Connection,
    symbol: str,
    interval: str,
    times: np.ndarray,
    values: np.ndarray,
    source: str,
    known: np.ndarray,
    now: int,
) -> None:
    same = {"symbol": symbol, "interval": interval, "source": source, "ingested_at": now}
    each = {"time": times, "known_at": known, **dict(zip(BAR_COLUMNS, values, strict=True))}
    if connection.dialect.name == "postgresql" and len(times) >= _COPY_FROM:
        _copy(connection, bars, same, each)
    else:
        _execute_many(connection, _INSERT, same, each)


def _correct(
    connection: sa.Connection,
    symbol: str,
    interval: str,
    times: np.ndarray,
    values: np.ndarray,
    source: str,
    now: int,
    since: int | None,
) -> None:
    same = {"this_symbol": symbol, "this_interval": interval, "now": now, "since": now if since is None else since,
            "new_source": source}  # fmt: skip
    _execute_many(connection, _KEEP_VERSION, same, {"this_time": times})
    prices = {f"new_{name}": row for name, row in zip(BAR_COLUMNS, values, strict=True)}
    _execute_many(connection, _REPLACE, same, {"this_time": times, **prices})


def _execute_many(
    connection: sa.Connection,
    statement: sa.Insert | sa.Update,
    same: dict[str, Any],
    each: dict[str, np.ndarray],
) -> None:
    """Execute `statement` with the values of `same` and one of each array in `each`, as tuples made for the driver."""
    text, names = _compiled(statement, connection.dialect)
    count = len(next(iter(each.values())))
    for start in range(0, count, _BATCH):
        part = slice(start, start + _BATCH)
        columns = {name: _nullable(values[part]) for name, values in each.items()}
        rows = zip(*(columns.get(name) or repeat(same[name]) for name in names), strict=False)
        connection.exec_driver_sql(text, list(rows))


def _copy(connection: sa.Connection, table: sa.Table, same: dict[str, Any], each: dict[str, np.ndarray]) -> None:
    """Load rows by PostgreSQL's COPY, inside the transaction that `connection` is in."""
    driver: Any = connection.connection.driver_connection
    names = [column.name for column in table.columns]
    types = [{sa.Double: "float8", sa.BigInteger: "int8"}.get(type(table.c[name].type), "text") for name in names]
    columns = ", ".join(f'"{name}"' for name in names)
    count = len(next(iter(each.values())))
    with driver.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({columns}) FROM STDIN (FORMAT BINARY)') as load:
        load.set_types(types)
        for start in range(0, count, _BATCH):
            part = slice(start, start + _BATCH)
            listed = {name: _nullable(values[part]) for name, values in each.items()}
            for row in zip(*(listed.get(name) or repeat(same[name]) for name in names), strict=False):
                load.write_row(row)


@lru_cache(maxsize=16)
def _compiled(statement: sa.Insert | sa.Update, dialect: sa.Dialect) -> tuple[str, tuple[str, ...]]:
    compiled = statement.compile(dialect=dialect)
    return str(compiled), tuple(compiled.positiontup or ())


def _nullable(values: np.ndarray) -> list[Any]:
    listed = values.tolist()
    return [None if value != value else value for value in listed] if np.isnan(values).any() else listed


def _drop_blocks(connection: sa.Connection, symbol: str, interval: str, touched: np.ndarray) -> bool:
    ranges = connection.execute(
        sa.select(bars_blocks.c.start, bars_blocks.c.stop).where(
            _of(bars_blocks, symbol, interval),
            bars_blocks.c.stop >= int(touched[0]),
            bars_blocks.c.start <= int(touched[-1]),
        )
    ).all()
    hit = [
        start
        for start, stop in ranges
        if np.searchsorted(touched, start, side="left") < np.searchsorted(touched, stop, side="right")
    ]
    if hit:
        this = _of(bars_blocks, symbol, interval) & (bars_blocks.c.start == sa.bindparam("this"))
        connection.execute(bars_blocks.delete().where(this), [{"this": start} for start in hit])
    return bool(hit)


def _write_blocks(connection: sa.Connection, symbol: str, interval: str, run: Columns, *, keep: int = 0) -> None:
    for start in range(0, len(run.times) - keep - BLOCK + 1, BLOCK):
        part = slice(start, start + BLOCK)
        times = run.times[part]
        payload = times.astype("<i8").tobytes() + run.values[:, part].astype("<f8").tobytes()
        connection.execute(
            bars_blocks.insert().values(
                symbol=symbol, interval=interval, start=int(times[0]), stop=int(times[-1]), payload=payload
            )
        )


def _unpack(payload: bytes) -> Columns:
    count = len(payload) // (8 * (1 + len(BAR_COLUMNS)))
    times = np.frombuffer(payload, dtype="<i8", count=count)
    values = np.frombuffer(payload, dtype="<f8", offset=8 * count).reshape(len(BAR_COLUMNS), count)
    return Columns(times, values)


def _clip(block: Columns, first: int, last: int) -> Columns:
    part = slice(np.searchsorted(block.times, first, "left"), np.searchsorted(block.times, last, "right"))
    return Columns(block.times[part], block.values[:, part])


def _fill(whole: Columns, at: int, part: Columns) -> int:
    end = at + len(part.times)
    whole.times[at:end] = part.times
    whole.values[:, at:end] = part.values
    return end
