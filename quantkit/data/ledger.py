"""The ledger: every forecast that a face published, and what came of it.

Rows are only ever added; triggers have the database itself refuse to change or delete one. A forecast whose outcome
was known already when it was published is marked as backfilled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import sqlalchemy as sa

from quantkit.core.errors import DataError
from quantkit.core.schema import Interval, check_interval, check_symbol
from quantkit.data import sql
from quantkit.data.tables import bars, forecast_outcomes, forecasts

if TYPE_CHECKING:
    from quantkit.data.connections import Database
    from quantkit.data.postgres import PostgresDatabase

__all__ = ["LEDGER_COLUMNS", "Ledger"]

#: What :meth:`Ledger.publish` takes, one row a step.
LEDGER_COLUMNS: Final = ("fingerprint", "step", "symbol", "interval", "model", "level", "origin", "time", "due_at",
                         "mean", "median", "lower", "upper", "naive", "probability_up")  # fmt: skip
_TIMES: Final = ("origin", "time", "due_at", "published_at", "scored_at")
#: A bar that was still forming when its forecast fell due is final once a later one is there; scoring as bars arrive
#: looks back this far, and :meth:`Ledger.record` at everything.
_LOOK_BACK: Final = 14 * 86_400_000_000


class Ledger:
    """Published forecasts in a store's database; ``store.ledger``."""

    def __init__(self, database: Database | PostgresDatabase) -> None:
        self._database = database

    def publish(self, steps: pd.DataFrame, *, now: pd.Timestamp | None = None) -> int:
        """Add the steps of forecasts, each once: what is there under a fingerprint and step stays as it is.

        Parameters
        ----------
        steps : DataFrame
            Columns ``fingerprint step symbol interval model level origin time due_at mean median lower upper naive
            probability_up``: `origin` is the bar stood on and `naive` its close, `time` the bar forecast and `due_at`
            when that is complete; `probability_up` is NaN where none was given.
        now : Timestamp, optional
            Moment of publication, by default this one. A step due by then is marked as backfilled.

        Returns
        -------
        int
            How many steps were not there before.
        """
        missing = [name for name in LEDGER_COLUMNS if name not in steps]
        if missing:
            raise DataError(f"the ledger needs the columns {', '.join(missing)} too")
        if steps.empty or self.has(str(steps["fingerprint"].iloc[-1]), int(steps["step"].iloc[-1])):
            return 0
        published_at = sql.now() if now is None else sql.micro(now)
        rows = [_row(row, published_at) for row in steps[list(LEDGER_COLUMNS)].to_dict("records")]
        count = sa.select(sa.func.count()).where(forecasts.c.fingerprint.in_({row["fingerprint"] for row in rows}))
        with self._database.write() as connection:
            before = connection.execute(count).scalar_one()
            insert = sql.insert(connection, forecasts)
            connection.execute(insert.on_conflict_do_nothing(index_elements=["fingerprint", "step"]), rows)
            return int(connection.execute(count).scalar_one() - before)

    def has(self, fingerprint: str, step: int = 1) -> bool:
        """Whether that step of that forecast has been published."""
        found = sa.select(forecasts.c.step).where(forecasts.c.fingerprint == fingerprint, forecasts.c.step == step)
        with self._database.read() as connection:
            return connection.execute(found).first() is not None

    def score(
        self,
        symbol: str,
        interval: Interval = "1d",
        *,
        arrived: pd.Timestamp | None = None,
        now: pd.Timestamp | None = None,
    ) -> int:
        """Add the outcomes of forecasts whose bar is there and complete; returns how many.

        Complete is a bar written after it was due, or followed by a later one. The outcome is in the units that the
        forecast was published in: a split in between changes the close of both bars, not their ratio.

        Parameters
        ----------
        symbol : str
        interval : {"1d", "1m"}
        arrived : Timestamp, optional
            Oldest bar that has just been written: only forecasts of about that time are looked at.
        now : Timestamp, optional
        """
        moment = sql.now() if now is None else sql.micro(now)
        of = (forecasts.c.symbol == check_symbol(symbol)) & (forecasts.c.interval == check_interval(interval))
        if arrived is not None:
            of &= forecasts.c.time >= sql.micro(arrived) - _LOOK_BACK
        wanted = _due(of, moment)
        with self._database.read() as connection:
            # Nearly always there is nothing to write, and then nobody is kept waiting for the right to.
            if connection.execute(wanted.limit(1)).first() is None:
                return 0
        with self._database.write() as connection:
            found = connection.execute(wanted).all()
            rows = [
                {"fingerprint": row.fingerprint, "step": row.step, "actual": _in_published_units(row),
                 "scored_at": moment}
                for row in found
            ]  # fmt: skip
            if rows:
                connection.execute(forecast_outcomes.insert(), rows)
        return len(rows)

    def record(self, symbol: str, interval: Interval = "1d", model: str | None = None) -> pd.DataFrame:
        """Published steps with their outcomes so far, oldest publication first.

        Returns
        -------
        DataFrame
            The columns of :meth:`publish`, ``published_at``, ``backfilled``, ``actual`` (NaN until it is known) and
            ``scored_at`` (NaT until then).
        """
        of = (forecasts.c.symbol == check_symbol(symbol)) & (forecasts.c.interval == check_interval(interval))
        if model is not None:
            of &= forecasts.c.model == model
        found = forecasts.outerjoin(forecast_outcomes, _same_step())
        wanted = (
            sa.select(*forecasts.c, forecast_outcomes.c.actual, forecast_outcomes.c.scored_at)
            .select_from(found)
            .where(of)
            .order_by(forecasts.c.published_at, forecasts.c.fingerprint, forecasts.c.step)
        )
        with self._database.read() as connection:
            return sql.frame(connection, wanted, times=_TIMES).astype({"backfilled": bool, "step": int})


def _same_step() -> sa.ColumnElement[bool]:
    return (forecast_outcomes.c.fingerprint == forecasts.c.fingerprint) & (forecast_outcomes.c.step == forecasts.c.step)


def _row(step: dict[str, Any], published_at: int) -> dict[str, Any]:
    times = {name: sql.micro(step[name]) for name in ("origin", "time", "due_at")}
    known = {name: None if isinstance(value, float) and value != value else value for name, value in step.items()}
    checked = {"symbol": check_symbol(step["symbol"]), "interval": check_interval(step["interval"])}
    return {
        **known, **times, **checked, "step": int(step["step"]), "published_at": published_at,
        "backfilled": times["due_at"] <= published_at,
    }  # fmt: skip


def _due(of: sa.ColumnElement[bool], moment: int) -> sa.Select[Any]:
    """Unscored steps with the closes of the bar forecast and of the one it was forecast from."""
    target, origin, later = bars.alias("target"), bars.alias("origin"), bars.alias("later")

    def same_series(table: sa.FromClause) -> sa.ColumnElement[bool]:
        return (table.c.symbol == forecasts.c.symbol) & (table.c.interval == forecasts.c.interval)

    joined = (
        forecasts.join(target, same_series(target) & (target.c.time == forecasts.c.time))
        .join(origin, same_series(origin) & (origin.c.time == forecasts.c.origin))
        .outerjoin(forecast_outcomes, _same_step())
    )
    followed = sa.exists().where(same_series(later), later.c.time > forecasts.c.time)
    return (
        sa.select(
            forecasts.c.fingerprint,
            forecasts.c.step,
            forecasts.c.naive,
            target.c.close.label("close"),
            origin.c.close.label("origin_close"),
        )
        .select_from(joined)
        .where(
            of,
            forecast_outcomes.c.fingerprint.is_(None),
            forecasts.c.due_at <= moment,
            (target.c.ingested_at >= forecasts.c.due_at) | followed,
        )
    )


def _in_published_units(row: Any) -> float:
    if row.origin_close == row.naive:
        return float(row.close)
    return float(row.naive * row.close / row.origin_close)
