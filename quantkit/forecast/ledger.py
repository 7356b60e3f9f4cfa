"""The track record: forecasts as they were published, before anybody knew, beside what came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from quantkit.core.calendars import known_at
from quantkit.core.errors import DataError
from quantkit.core.fingerprint import fingerprint as fingerprint_of
from quantkit.core.results import Result
from quantkit.core.schema import Interval
from quantkit.forecast.base import Forecast

__all__ = ["PublishedStep", "TrackRecord", "TrackSummary", "ledger_rows", "track_record"]


@dataclass(frozen=True, slots=True, eq=False)
class PublishedStep(Result):
    """One step of a published forecast; prices in the units of the day it was published.

    Attributes
    ----------
    fingerprint : str
        Of the forecast.
    model : str
    step : int
    level : float
    published_at : Timestamp
    as_of : Timestamp
        Bar that the forecast stood on.
    time : Timestamp
        Bar that it was for.
    naive : float
        Close of the bar that it stood on.
    mean, median, lower, upper : float
    probability_up : float
        NaN where none was published: it is for the next bar only.
    actual : float
        Close of the bar that it was for; NaN until that is complete.
    """

    fingerprint: str
    model: str
    step: int
    level: float
    published_at: pd.Timestamp
    as_of: pd.Timestamp
    time: pd.Timestamp
    naive: float
    mean: float
    median: float
    lower: float
    upper: float
    probability_up: float = float("nan")
    actual: float = float("nan")

    @property
    def hit(self) -> bool | None:
        """Whether the interval held the outcome; None until that is known."""
        return None if np.isnan(self.actual) else self.lower <= self.actual <= self.upper

    @property
    def error(self) -> float:
        """``log(actual / median)``, the error that skill is measured on; NaN until the outcome is known."""
        return float(np.log(self.actual / self.median))


@dataclass(frozen=True, slots=True, eq=False)
class TrackSummary(Result):
    """What the scored steps of one model add up to; NaN where there is nothing to say.

    The same forecast published twice, at another level or reaching further, counts once: the first publication does.

    Attributes
    ----------
    model : str
    count : int
        Steps scored.
    pending : int
        Steps published whose bar has not come.
    level : float
        Mean level of the scored intervals: what `coverage` is to be held against.
    coverage : float
        Share of outcomes inside the interval.
    mae : float
        Mean absolute log-return error of the median.
    skill : float
        ``1 - MAE / MAE of naive``.
    direction : float
        Share of next-bar moves whose direction had been called.
    """

    model: str
    count: int
    pending: int
    level: float
    coverage: float
    mae: float
    skill: float
    direction: float


@dataclass(frozen=True, slots=True, eq=False)
class TrackRecord(Result):
    """Every forecast of a symbol that was published before its outcome was known.

    Attributes
    ----------
    symbol, interval : str
    model : str
        The one asked about; empty for all.
    rows : tuple of PublishedStep
        Oldest publication first.
    summaries : tuple of TrackSummary
        One a model, the most often scored first.
    backfilled : int
        Steps left out because their outcome was known already when they were published.
    as_of : Timestamp or None
        Latest bar that a forecast was scored on.
    fingerprint : str
    """

    symbol: str
    interval: str
    model: str
    rows: tuple[PublishedStep, ...]
    summaries: tuple[TrackSummary, ...]
    backfilled: int
    as_of: pd.Timestamp | None
    fingerprint: str

    def to_frame(self) -> pd.DataFrame:
        """One row a published step, with ``hit`` and ``error``."""
        names = [name for name in PublishedStep.__dataclass_fields__ if name != "fingerprint"]
        rows = [{name: getattr(row, name) for name in (*names, "hit", "error")} for row in self.rows]
        return pd.DataFrame(rows, columns=[*names, "hit", "error"])

    def in_words(self) -> str:
        """One sentence a model, and how many were left out."""
        said = [
            f"{each.model}: {each.count} scored, {each.coverage:.1%} inside intervals of {each.level:.1%}, "
            f"skill {each.skill:+.1%} against naive."
            for each in self.summaries
            if each.count
        ]
        if not said:
            waiting = sum(each.pending for each in self.summaries)
            said = [
                f"No forecast of {self.symbol} that was published before its outcome was known has been scored yet"
                + (f"; {waiting} wait for their bar." if waiting else ".")
            ]
        if self.backfilled:
            said.append(f"{self.backfilled} whose outcome was known at publication are left out.")
        return " ".join(said)

    def _repr_html_(self) -> str:
        """Table of the models under a caption in words, for JupyterLab."""
        shown = {"count": "{}", "pending": "{}", "level": "{:.1%}", "coverage": "{:.1%}", "mae": "{:.3%}",
                 "skill": "{:+.1%}", "direction": "{:.1%}"}  # fmt: skip
        header = "".join(f"<th scope='col'>{name}</th>" for name in ("model", *shown))
        body = ""
        for row in self.summaries:
            values = ((form, getattr(row, name)) for name, form in shown.items())
            cells = "".join(f"<td>{'–' if value != value else form.format(value)}</td>" for form, value in values)
            body += f"<tr><th scope='row'>{escape(row.model)}</th>{cells}</tr>"
        return (
            f"<table><caption style='text-align:left'><b>{escape(self.symbol)}</b> published forecasts<br>"
            f"{escape(self.in_words())}</caption><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"
        )


def ledger_rows(forecast: Forecast, *, calendar: str) -> pd.DataFrame:
    """One row a step, as :meth:`quantkit.data.ledger.Ledger.publish` takes them.

    Parameters
    ----------
    forecast : Forecast
    calendar : str
        Exchange whose sessions say when each step's bar is complete.
    """
    if not forecast.fingerprint:
        raise DataError(f"the forecast of {forecast.symbol} has no fingerprint to be published under")
    times = pd.DatetimeIndex([step.timestamp for step in forecast.steps])
    up = forecast.trend_probability if forecast.trend == "UP" else 1.0 - forecast.trend_probability
    rows = pd.DataFrame(
        [
            {
                "step": step.step, "time": step.timestamp, "mean": step.mean, "median": step.median,
                "lower": step.lower, "upper": step.upper, "probability_up": up if step.step == 1 else np.nan,
            }
            for step in forecast.steps
        ]
    )  # fmt: skip
    same = {"fingerprint": forecast.fingerprint, "symbol": forecast.symbol, "interval": forecast.interval,
            "model": forecast.model, "level": forecast.level, "origin": forecast.as_of,
            "naive": forecast.last_price}  # fmt: skip
    interval: Interval = forecast.interval  # type: ignore[assignment]
    return rows.assign(due_at=known_at(times, interval=interval, calendar=calendar), **same)


def track_record(
    published: pd.DataFrame, *, symbol: str, interval: Interval = "1d", model: str | None = None
) -> TrackRecord:
    """What published forecasts have been worth.

    Parameters
    ----------
    published : DataFrame
        As :meth:`quantkit.data.ledger.Ledger.record` gives it; rows that are ``backfilled`` are only counted.
    symbol, interval, model
        What was asked about.
    """
    kept = published[~published["backfilled"].astype(bool)]
    kept = kept[kept["model"] == model] if model is not None else kept
    backfilled = int((published["backfilled"] & (True if model is None else published["model"] == model)).sum())
    rows = tuple(_steps(kept))
    scored = [row for row in rows if row.hit is not None]
    models = list(dict.fromkeys(row.model for row in rows))
    summaries = [_summary(name, [row for row in rows if row.model == name]) for name in models]
    summaries.sort(key=lambda each: -each.count)
    figures = kept[["step", "naive", "median", "lower", "upper", "actual"]].astype(float).reset_index(drop=True)
    question = {"kind": "track_record", "symbol": symbol, "interval": interval, "model": model,
                "backfilled": backfilled, "rows": [row.fingerprint for row in rows]}  # fmt: skip
    return TrackRecord(
        symbol=symbol,
        interval=interval,
        model=model or "",
        rows=rows,
        summaries=tuple(summaries),
        backfilled=backfilled,
        as_of=max((row.time for row in scored), default=None),
        fingerprint=fingerprint_of(question, figures),
    )


def _steps(published: pd.DataFrame) -> Iterator[PublishedStep]:
    for row in published.to_dict("records"):
        numbers = {name: float(row[name]) for name in
                   ("level", "naive", "mean", "median", "lower", "upper", "probability_up", "actual")}  # fmt: skip
        yield PublishedStep(
            fingerprint=row["fingerprint"],
            model=row["model"],
            step=int(row["step"]),
            published_at=row["published_at"],
            as_of=row["origin"],
            time=row["time"],
            **numbers,
        )


def _summary(model: str, rows: list[PublishedStep]) -> TrackSummary:
    scored = [row for row in rows if row.hit is not None]
    # The first publication of a figure counts; asking again, or for another level, is no further evidence for it.
    bands = {(row.as_of, row.step, row.level): row for row in reversed(scored)}.values()
    points = {(row.as_of, row.step): row for row in reversed(scored)}.values()
    waiting = {(row.as_of, row.step) for row in rows if row.hit is None}
    errors = np.array([abs(row.error) for row in points])
    naive = np.array([abs(np.log(row.actual / row.naive)) for row in points])
    called = [
        (row.actual > row.naive) == (row.probability_up >= 0.5)
        for row in points
        if row.probability_up == row.probability_up and row.actual != row.naive
    ]
    return TrackSummary(
        model=model,
        count=len(points),
        pending=len(waiting),
        level=_mean([row.level for row in bands]),
        coverage=_mean([bool(row.hit) for row in bands]),
        mae=_mean(errors),
        skill=1.0 - float(errors.mean() / naive.mean()) if naive.any() else float("nan"),
        direction=_mean(called),
    )


def _mean(values: list[bool] | list[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
