"""What the store's statements share: upserts on either database, times as microseconds, JSON without NaN, frames."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from quantkit.core.errors import StoreError
from quantkit.core.schema import TIME_DTYPE

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

__all__ = ["frame", "index", "insert", "micro", "micros", "now", "stamp", "to_json", "upsert"]


def insert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An insert into `table` that knows ``ON CONFLICT``, in the dialect of `connection`."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def upsert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert `rows`, or overwrite the columns they name in the rows of the same primary key."""
    statement = insert(connection, table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)


def frame(connection: sa.Connection, wanted: sa.Select[Any], *, times: tuple[str, ...] = ()) -> pd.DataFrame:
    """The rows of `wanted`, typed by its columns whether or not there are any; those in `times` become timestamps."""
    columns = list(wanted.selected_columns)
    found = [tuple(row) for row in connection.execute(wanted)]
    read = pd.DataFrame.from_records(found, columns=[column.name for column in columns])
    for column in columns:
        name = column.name
        if name in times:
            read[name] = pd.to_datetime(read[name].astype("Int64"), unit="us", utc=True).astype(TIME_DTYPE)
        elif isinstance(column.type, sa.Double):
            read[name] = read[name].astype("float64")
        elif isinstance(column.type, sa.Text):
            read[name] = read[name].astype("str")
    return read


def to_json(value: Mapping[str, Any], name: str) -> str:
    """`value` as JSON that gives the same bits back.

    Raises
    ------
    StoreError
        It holds NaN, an infinity, or something that JSON has no form for.
    """
    try:
        return json.dumps(dict(value), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise StoreError(f"{name} cannot be kept as JSON ({error}); NaN must be None, times must be text") from None


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def micro(moment: pd.Timestamp) -> int:
    """A timestamp as microseconds since 1970."""
    # Timestamp.value would be nanoseconds, whatever its unit.
    return int(moment.tz_convert("UTC").as_unit("us").asm8.astype(np.int64))


def micros(moments: pd.DatetimeIndex) -> np.ndarray:
    """Timestamps as microseconds since 1970, int64."""
    return np.asarray(moments.tz_convert("UTC").as_unit("us").asi8)


def stamp(moment: int) -> pd.Timestamp:
    """Microseconds since 1970 as a timestamp."""
    return pd.Timestamp(moment, unit="us", tz="UTC").as_unit("us")


def index(moments: np.ndarray, name: str) -> pd.DatetimeIndex:
    """Microseconds since 1970 as an index, without a copy."""
    return pd.DatetimeIndex(moments.view("M8[us]"), name=name).tz_localize("UTC")
