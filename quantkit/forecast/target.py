"""What is forecast: log-returns of ``close``, the outcomes that score them, and their local scale.

On daily bars every close-to-close return counts. On minute bars a return across a session gap (overnight, a lunch
break, a halt of more than half an hour) is not a one-minute return: it is NaN here, models see it as missing, and a
forecast whose steps cross a gap has no outcome to be scored on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

__all__ = ["SESSION_GAP", "Outcomes", "close_returns", "local_scale", "outcomes_of", "session_gaps"]

#: Longest time between two minute bars of one session.
SESSION_GAP: Final = pd.Timedelta(minutes=30)
_MICROSECONDS: Final = int(SESSION_GAP.total_seconds()) * 1_000_000


def session_gaps(times: pd.DatetimeIndex) -> np.ndarray:
    """Which bars open a new session, shape (T,) of bool; all False where bars are a day or more apart.

    The spacing is judged on the first hundred bars, so that no later bar changes what was said of an earlier one.
    """
    stamps = times.as_unit("us").asi8
    opens = np.zeros(len(stamps), dtype=bool)
    if len(stamps) > 1 and np.median(np.diff(stamps[:100])) <= _MICROSECONDS:
        opens[1:] = np.diff(stamps) > _MICROSECONDS
    return opens


def close_returns(bars: pd.DataFrame) -> np.ndarray:
    """Log-return of ``close`` at each bar, shape (T,); NaN at the first bar and across session gaps."""
    returns = np.empty(len(bars))
    if len(bars):
        returns[0] = np.nan
        returns[1:] = np.diff(np.log(bars["close"].to_numpy()))
        returns[session_gaps(bars.index)] = np.nan
    return returns


def local_scale(returns: np.ndarray) -> np.ndarray:
    """Standard deviation of the next return as it looks from each bar, shape (T,).

    The exponentially weighted one of ``quantkit.risk``, never below a tenth of the root mean square so far, so that a
    halted stock does not divide by nothing. NaN before the first twenty returns and where prices have not moved yet.

    Parameters
    ----------
    returns : array, shape (T,)
        Log-returns; NaN is skipped.
    """
    from quantkit.risk.tail_models import ewma_variance

    there = ~np.isnan(returns)
    count = np.cumsum(there)
    squares = returns[there] ** 2
    mean_square = np.cumsum(squares) / np.arange(1, len(squares) + 1)
    variance = np.maximum(ewma_variance(returns[there]), 0.01 * mean_square)
    scale = np.full(len(returns), np.nan)
    ready = count >= 20
    scale[ready] = np.sqrt(variance[count[ready] - 1])
    scale[scale == 0.0] = np.nan
    return scale


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What came after each origin.

    Attributes
    ----------
    rows : array of int, shape (n,)
        Positions of the origins in the bars, one apart.
    returns : array, shape (n, horizon)
        Cumulative log-return from the origin to each step; NaN where it is not known yet or crosses a session gap.
    scale : array, shape (n,)
        :func:`local_scale` at the origin.
    """

    rows: np.ndarray
    returns: np.ndarray
    scale: np.ndarray

    def known(self, origin: int, step: int) -> int:
        """How many of the oldest origins had their outcome at `step` known when `origin` (an index) was now."""
        return max(origin - step + 1, 0)


def outcomes_of(bars: pd.DataFrame, rows: np.ndarray, horizon: int) -> Outcomes:
    """Outcomes of steps 1 to `horizon` after each of `rows`, and the scale at each."""
    returns = close_returns(bars)
    ahead = np.concatenate([returns, np.full(horizon, np.nan)])
    cumulative = np.empty((len(rows), horizon))
    total = np.zeros(len(rows))
    for step in range(horizon):
        total = total + ahead[rows + 1 + step]
        cumulative[:, step] = total
    return Outcomes(rows=rows, returns=cumulative, scale=local_scale(returns)[rows])
