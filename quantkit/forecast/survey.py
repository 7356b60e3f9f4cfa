"""Leaderboards of many symbols side by side: which models beat naive more often than luck would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError
from quantkit.core.fingerprint import fingerprint as fingerprint_of
from quantkit.core.results import Result
from quantkit.forecast.base import SIGNIFICANCE
from quantkit.forecast.leaderboard import Leaderboard

__all__ = ["Survey", "survey_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Survey(Result):
    """Leaderboards of several symbols, asked the same question.

    Attributes
    ----------
    interval : str
    horizon : int
    boards : tuple of Leaderboard
        One a symbol.
    failures : dict of str to str
        Reason by symbol, for those without a leaderboard.
    as_of : Timestamp
        Of the most recent leaderboard.
    fingerprint : str
    """

    interval: str
    horizon: int
    boards: tuple[Leaderboard, ...]
    failures: dict[str, str]
    as_of: pd.Timestamp
    fingerprint: str

    def to_frame(self) -> pd.DataFrame:
        """One row a model, the most often better than naive first.

        Columns ``symbols`` (on which it could be used), ``beats`` (naive, adjusted within each symbol), ``by_luck``
        (how many that would be at most without any skill, in the mean), ``in_set`` (of the model confidence set),
        ``median_skill``, ``coverage`` (mean) and ``failed``.
        """
        rows: dict[str, list[tuple[bool, bool, float, float]]] = {}
        failed: dict[str, int] = {}
        for board in self.boards:
            for row in board.rows:
                failed[row.model] = failed.get(row.model, 0) + bool(row.failure)
                found = rows.setdefault(row.model, [])
                if not row.failure:
                    found.append((row.p_value < SIGNIFICANCE, row.in_confidence_set, row.skill, row.coverage))
        table = pd.DataFrame(
            [
                {
                    "model": model,
                    "symbols": len(found),
                    "beats": sum(each[0] for each in found),
                    "by_luck": 0.0 if model == "naive" else SIGNIFICANCE * len(found),
                    "in_set": sum(each[1] for each in found),
                    "median_skill": float(np.median([each[2] for each in found])) if found else np.nan,
                    "coverage": float(np.mean([each[3] for each in found])) if found else np.nan,
                    "failed": failed[model],
                }
                for model, found in rows.items()
            ]
        )
        return table.sort_values(["beats", "median_skill"], ascending=False, kind="stable").set_index("model")

    def in_words(self) -> str:
        """How often which models beat naive, and how often luck alone would."""
        table = self.to_frame()
        better = [f"{model} on {row.beats}" for model, row in table.iterrows() if row.beats]
        count = len(self.boards)
        said = f"Beats naive: {', '.join(better)}" if better else "No model is shown to beat naive on any"
        missing = f" Without a leaderboard: {', '.join(self.failures)}." if self.failures else ""
        return (
            f"{said} of {count} symbols, {self.horizon} ahead; without any skill a model would on about "
            f"{SIGNIFICANCE * count:.1f}.{missing}"
        )

    def _repr_html_(self) -> str:
        frame = self.to_frame().to_html(float_format=lambda value: f"{value:.4g}")
        return f"<p>{escape(self.in_words())}</p>{frame}"


def survey_of(boards: Mapping[str, Leaderboard], failures: Mapping[str, str]) -> Survey:
    """What leaderboards of one question say together.

    Raises
    ------
    DataError
        Not one symbol has a leaderboard; with the reasons.
    """
    if not boards:
        reasons = "; ".join(failures.values()) or "no symbol was named"
        raise DataError(f"not one symbol has a leaderboard: {reasons}")
    found = tuple(boards.values())
    return Survey(
        interval=found[0].interval,
        horizon=found[0].horizon,
        boards=found,
        failures=dict(failures),
        as_of=max(board.as_of for board in found),
        fingerprint=fingerprint_of({"kind": "survey", "boards": [board.fingerprint for board in found]}),
    )
