"""Losses from a peak: how deep, how long, and when.

Wealth starts at 1 before the first return, so that a loss in the first period is a drawdown too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError
from quantkit.core.results import Result
from quantkit.risk.arrays import Array, Returns, applied, matrix

__all__ = ["Drawdown", "drawdown_series", "drawdown_table", "max_drawdown", "max_drawdown_duration", "worst_drawdowns"]

# Compounding returns made from prices does not come back to the old peak to the last bit.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Drawdown(Result):
    """One fall from a peak and the way back.

    Attributes
    ----------
    peak : Timestamp or None
        Last period at the peak; None where wealth fell from before the first return.
    trough : Timestamp
        Period of the lowest wealth.
    recovery : Timestamp or None
        First period back at the peak; None where that has not come yet.
    depth : float
        ``trough / peak - 1``, in [-1, 0).
    periods : int
        Spent below the peak.
    """

    peak: pd.Timestamp | None
    trough: pd.Timestamp
    recovery: pd.Timestamp | None
    depth: float
    periods: int

    def __post_init__(self) -> None:
        if not -1.0 <= self.depth < 0.0:
            raise DataError(f"drawdown depth {self.depth} is not in [-1, 0)")


def drawdown_series(returns: Returns) -> Any:
    """``wealth / highest wealth so far - 1`` after each period, same shape as `returns`, in [-1, 0].

    References
    ----------
    Magdon-Ismail, M. and Atiya, A. (2004). Maximum drawdown. Risk 17(10).
    """
    values = _below_peak(matrix(returns, minimum=1))
    if isinstance(returns, pd.DataFrame):
        return pd.DataFrame(values, index=returns.index, columns=returns.columns)
    return pd.Series(values[:, 0], index=returns.index, name=returns.name)


def max_drawdown(returns: Returns) -> Any:
    """Deepest drawdown, a return in [-1, 0]; 0 where wealth never fell.

    ``min_t (wealth[t] / max_{s <= t} wealth[s] - 1)``.

    References
    ----------
    Magdon-Ismail, M. and Atiya, A. (2004). Maximum drawdown. Risk 17(10).

    Examples
    --------
    >>> times = pd.date_range("2024-01-01", periods=3, tz="UTC", unit="us")
    >>> round(max_drawdown(pd.Series([0.25, -0.2, -0.1], index=times)), 10)
    -0.28
    """
    return applied(returns, max_drawdown_of, minimum=1)


def max_drawdown_duration(returns: Returns) -> Any:
    """Longest run of periods spent below an earlier peak, ended by the recovery or by the last period.

    ``max_t (t - last s <= t at the highest wealth so far)``.

    References
    ----------
    Bacon, C. (2008). Practical Portfolio Performance Measurement and Attribution, 2nd ed., chapter 4.
    """
    return applied(returns, _duration, minimum=1)


def worst_drawdowns(returns: pd.Series, *, top: int = 5) -> tuple[Drawdown, ...]:
    """The `top` deepest drawdowns of a Series, deepest first; they do not overlap."""
    below = _below_peak(matrix(returns, minimum=1))[:, 0]
    times = returns.index
    under = np.concatenate([[False], below < -_ROUNDING, [False]])
    edges = np.flatnonzero(np.diff(under.astype(np.int8)))
    episodes = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        trough = int(start + np.argmin(below[start:stop]))
        episodes.append(
            Drawdown(
                peak=times[start - 1] if start > 0 else None,
                trough=times[trough],
                recovery=times[stop] if stop < len(times) else None,
                depth=float(below[trough]),
                periods=int(stop - start),
            )
        )
    return tuple(sorted(episodes, key=lambda each: (each.depth, each.trough))[:top])


def drawdown_table(returns: pd.Series, *, top: int = 5) -> pd.DataFrame:
    """:func:`worst_drawdowns` as a frame: ``peak trough recovery depth periods``; NaT where there is none."""
    columns = ["peak", "trough", "recovery", "depth", "periods"]
    rows = [[getattr(each, column) for column in columns] for each in worst_drawdowns(returns, top=top)]
    frame = pd.DataFrame(rows, columns=columns, index=pd.RangeIndex(1, len(rows) + 1, name="rank"))
    times = dict.fromkeys(columns[:3], returns.index.dtype)
    return frame.astype({**times, "depth": np.float64, "periods": np.int64})


def max_drawdown_of(values: Array) -> Array:
    """Deepest drawdown of each column of a checked (T, N) matrix."""
    return _below_peak(values).min(axis=0)


def _below_peak(values: Array) -> Array:
    wealth = (1.0 + values).cumprod(axis=0)
    peak = np.maximum(np.maximum.accumulate(wealth, axis=0), 1.0)
    return wealth / peak - 1.0


def _duration(values: Array) -> Array:
    under = _below_peak(values) < -_ROUNDING
    steps = np.arange(1, len(values) + 1)[:, None]
    last_at_peak = np.maximum.accumulate(np.where(under, 0, steps), axis=0)
    return (steps - last_at_peak).max(axis=0).astype(np.float64)
