"""What computations say of themselves while they run, across processes: how far they are, and whether to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import sqlalchemy as sa

from quantkit.data import sql
from quantkit.data.tables import tasks

if TYPE_CHECKING:
    from quantkit.data.connections import Database
    from quantkit.data.postgres import PostgresDatabase

__all__ = ["TaskProgress", "Tasks"]


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """How far a computation is: `done` of `total` steps, what it was `doing`, and when it said so (`updated`)."""

    done: int
    total: int
    doing: str
    updated: pd.Timestamp


class Tasks:
    """Running computations in a store's database, each by its key; ``store.tasks``."""

    def __init__(self, database: Database | PostgresDatabase) -> None:
        self._database = database

    def report(self, key: str, done: int, total: int, doing: str = "") -> None:
        """Say how far the computation `key` is."""
        row = {"key": key, "done": int(done), "total": int(total), "doing": doing, "at": sql.now()}
        with self._database.write() as connection:
            sql.upsert(connection, tasks, [row])

    def progress(self, key: str) -> TaskProgress | None:
        """How far the computation `key` is; None if it has not said."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(tasks).where(tasks.c.key == key)).one_or_none()
        if row is None or row.done is None:
            return None
        return TaskProgress(row.done, row.total, row.doing, sql.stamp(row.at))

    def cancel(self, key: str) -> None:
        """Ask the computation `key` to stop, whichever process it runs in."""
        with self._database.write() as connection:
            sql.upsert(connection, tasks, [{"key": key, "cancelled": True, "at": sql.now()}])

    def cancelled(self, key: str) -> bool:
        """Whether someone has asked the computation `key` to stop."""
        with self._database.read() as connection:
            return bool(connection.execute(sa.select(tasks.c.cancelled).where(tasks.c.key == key)).scalar())

    def forget(self, key: str) -> None:
        """Drop the progress of `key` and any request to stop it."""
        with self._database.write() as connection:
            connection.execute(tasks.delete().where(tasks.c.key == key))
