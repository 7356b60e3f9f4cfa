"""What kept running, or ran by the clock: the collector and the reports, and how each run ended."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import sqlalchemy as sa

from quantkit.data import sql
from quantkit.data.tables import runs

if TYPE_CHECKING:
    from quantkit.data.connections import Database
    from quantkit.data.postgres import PostgresDatabase

__all__ = ["Runs"]


class Runs:
    """Runs in a store's database; ``store.runs``."""

    def __init__(self, database: Database | PostgresDatabase) -> None:
        self._database = database

    def begin(self, kind: str, parameters: Mapping[str, Any]) -> int:
        """Note that a run of this process has begun; its number."""
        row = {
            "kind": kind,
            "parameters": sql.to_json({**parameters, "pid": os.getpid()}, f"the parameters of a {kind} run"),
            "started_at": sql.now(),
            "status": "running",
        }
        with self._database.write() as connection:
            return int(connection.execute(runs.insert().values(row).returning(runs.c.id)).scalar_one())

    def end(self, number: int, status: Literal["ended", "failed", "killed"], message: str = "") -> None:
        """Note how a run ended."""
        values = {"ended_at": sql.now(), "status": status, "message": message[:500]}
        with self._database.write() as connection:
            connection.execute(runs.update().where(runs.c.id == number).values(values))

    def bury(self, kind: str) -> int:
        """Mark the runs of `kind` whose process is gone as killed; how many there were."""
        import psutil

        table = self.table(kind)
        dead = [
            row.id
            for row in table[table["status"] == "running"].itertuples()
            if not psutil.pid_exists(json.loads(row.parameters)["pid"])
        ]
        for number in dead:
            self.end(number, "killed", "it ended without saying so")
        return len(dead)

    def table(self, kind: str | None = None) -> pd.DataFrame:
        """Every run, the latest last: ``id kind parameters started_at ended_at status message``."""
        of = sa.true() if kind is None else runs.c.kind == kind
        with self._database.read() as connection:
            return sql.frame(
                connection, sa.select(runs).where(of).order_by(runs.c.id), times=("started_at", "ended_at")
            )
