"""What a report keeps beside its page: its figures in full, for the next report to say what changed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from quantkit.core.errors import DataError
from quantkit.core.results import Result
from quantkit.reporting.alerts import Alert

__all__ = ["Change", "Record", "changes", "file_stem", "previous_record", "read_record"]

Unit = Literal["price", "percent", "points", "number", "rank"]


@dataclass(frozen=True, slots=True, eq=False)
class Record(Result):
    """A report's figures.

    Attributes
    ----------
    kind : {"symbol", "portfolio"}
    name : str
        The symbol, or what the portfolio is called.
    title : str
        In words.
    date : str
        Day that the report is for, ISO 8601.
    as_of : Timestamp
        Last bar that it knew.
    figures : dict of float
        By path in the answers: ``risk.sharpe``.
    ranks : dict of float
        Of each model on the leaderboard, best first from 1.
    texts : dict of str
        What is no number: the forecast's trend and model.
    fingerprints : dict of str
        Of each answer.
    alerts : tuple of Alert
    closes : tuple of float
        The last closes, oldest first, for the index.
    fingerprint : str
        Of the whole report.
    """

    kind: str
    name: str
    title: str
    date: str
    as_of: pd.Timestamp
    figures: dict[str, float]
    ranks: dict[str, float]
    texts: dict[str, str]
    fingerprints: dict[str, str]
    alerts: tuple[Alert, ...]
    closes: tuple[float, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Change:
    """One figure then and now."""

    label: str
    path: str
    unit: Unit
    before: float
    now: float

    @property
    def difference(self) -> float:
        """Now less then; of a price, as a return."""
        return self.now / self.before - 1.0 if self.unit == "price" else self.now - self.before


_COMPARED: Final[tuple[tuple[str, str, Unit], ...]] = (
    ("Price", "forecast.last_price", "price"),
    ("Forecast, last step", "forecast.steps.-1.median", "price"),
    ("Probability of a rise", "probability_up", "points"),
    ("Volatility of the next session", "risk.predicted_volatility", "points"),
    ("95 % VaR of the next session", "risk.value_at_risk_95_return", "points"),
    ("Expected shortfall", "risk.expected_shortfall.auto", "points"),
    ("Below the highest price", "history.drawdown.values.-1", "points"),
    ("Deepest drawdown", "risk.max_drawdown", "points"),
    ("Sharpe ratio, 5 years", "risk.sharpe", "number"),
    ("Beta", "risk.beta", "number"),
)


def changes(before: Record, now: Record) -> list[Change]:
    """Figures of both reports side by side, then the models whose rank moved."""
    compared = [
        Change(label, path, unit, before.figures[path], now.figures[path])
        for label, path, unit in _COMPARED
        if path in before.figures and path in now.figures
    ]
    ranks = [
        Change(f"Rank of {model}", f"rank.{model}", "rank", before.ranks[model], rank)
        for model, rank in now.ranks.items()
        if model in before.ranks and before.ranks[model] != rank
    ]
    return compared + ranks


def file_stem(name: str) -> str:
    """A symbol as the stem of a file name: ``^`` and ``=`` are spelt out, since shells and URLs read them.

    Examples
    --------
    >>> file_stem("^GSPC"), file_stem("BRK-B"), file_stem("EURUSD=X")
    ('_GSPC', 'BRK-B', 'EURUSD_X')
    """
    kept = "".join(each if each.isalnum() or each in ".-" else "_" for each in name)
    return kept.lstrip(".")[:60] or "_"


def read_record(path: Path) -> Record:
    """The record in a file.

    Raises
    ------
    DataError
        It cannot be read; names the file.
    """
    try:
        return Record.from_dict(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} holds no report's record: {type(error).__name__} {error}") from None


def previous_record(out: Path, name: str, before: str) -> Record | None:
    """The newest record of `name` in the dated folders beside `out`'s that are older than the day `before`.

    A record that cannot be read is passed over: the page then compares with the one before it.
    """
    stem = file_stem(name)
    for day in sorted((each for each in _dated(out) if each < before), reverse=True):
        # Two names may come to one stem: the second of a run has a number.
        for path in (out / day / f"{stem}.json", *sorted((out / day).glob(f"{stem}-[0-9]*.json"))):
            try:
                found = read_record(path)
            except DataError:
                continue
            if found.name == name:
                return found
    return None


def _dated(out: Path) -> Iterable[str]:
    if not out.is_dir():
        return []
    return [each.name for each in out.iterdir() if len(each.name) == 10 and each.name[:4].isdecimal() and each.is_dir()]
