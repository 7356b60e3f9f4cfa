"""How good a walk has been: point errors, direction, intervals and probabilities, each on known outcomes only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantkit.core.results import Result
from quantkit.forecast.intervals import Calibration
from quantkit.forecast.target import Outcomes
from quantkit.forecast.walk import Plan, Walk

__all__ = ["Scores", "brier", "coverage", "interval_score", "mean_absolute_error", "pinball", "score", "skill"]


@dataclass(frozen=True, slots=True, eq=False)
class Scores(Result):
    """Scores of one model at one step ahead, on cumulative log-returns; NaN where nothing could be scored.

    Attributes
    ----------
    model : str
    step : int
    origins : int
        Outcomes scored.
    mae, rmse : float
        Of the median.
    mase : float
        MAE over the mean absolute move of that many bars in the history before the first scored origin
        (Hyndman and Koehler, 2006).
    skill : float
        ``1 - MAE / MAE of naive``.
    direction : float
        Share of moves whose direction had been called; moves of exactly zero are left out.
    brier : float
        Mean squared error of the probability of UP; 0.25 is a coin's.
    pinball : float
        Mean quantile loss over the fan's bounds and the median.
    interval_score : float
        Winkler's: width plus ``2 / (1 - level)`` times what fell outside, at `level`.
    coverage : float
        Share of outcomes inside the interval at `level`.
    level : float
    """

    model: str
    step: int
    origins: int
    mae: float
    rmse: float
    mase: float
    skill: float
    direction: float
    brier: float
    pinball: float
    interval_score: float
    coverage: float
    level: float


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def mean_absolute_error(outcomes: np.ndarray, medians: np.ndarray) -> float:
    """Mean of ``|outcome - median|`` over the known outcomes."""
    return _mean(np.abs(outcomes - medians))


def skill(outcomes: np.ndarray, medians: np.ndarray) -> float:
    """``1 - MAE / MAE of naive`` on log-returns, where naive's median is zero; 0 where neither errs."""
    naive, model = mean_absolute_error(outcomes, np.zeros_like(outcomes)), mean_absolute_error(outcomes, medians)
    if naive == 0.0:
        return 0.0 if model == 0.0 else float("nan")
    return 1.0 - model / naive


def coverage(outcomes: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Share of known outcomes with ``lower <= outcome <= upper``; NaN where no bound or no outcome is known."""
    known = ~(np.isnan(outcomes) | np.isnan(lower))
    return _mean(((outcomes >= lower) & (outcomes <= upper))[known].astype(float))


def interval_score(outcomes: np.ndarray, lower: np.ndarray, upper: np.ndarray, *, level: float) -> float:
    """Mean of ``upper - lower + 2 / (1 - level) * (distance outside)``; smaller is better.

    References
    ----------
    Gneiting, T. and Raftery, A. E. (2007). Strictly proper scoring rules, prediction, and estimation. JASA 102(477).
    """
    outside = np.maximum(lower - outcomes, 0.0) + np.maximum(outcomes - upper, 0.0)
    return _mean(upper - lower + 2.0 / (1.0 - level) * outside)


def pinball(outcomes: np.ndarray, quantile: np.ndarray, *, probability: float) -> float:
    """Mean of ``max(p (y - q), (p - 1) (y - q))``, the loss that the true p-quantile minimises."""
    error = outcomes - quantile
    return _mean(np.maximum(probability * error, (probability - 1.0) * error))


def brier(outcomes: np.ndarray, probability_up: np.ndarray) -> float:
    """Mean of ``(probability - 1{outcome > 0})**2`` over moves other than zero."""
    moved = np.where(outcomes == 0.0, np.nan, outcomes)
    return _mean(np.where(np.isnan(moved), np.nan, (probability_up - (moved > 0.0)) ** 2))


def score(
    walk: Walk,
    fan: Calibration,
    asked: Calibration,
    outcomes: Outcomes,
    plan: Plan,
    returns: np.ndarray,
    *,
    step: int,
    level: float,
) -> Scores:
    """Scores of `walk` at `step`, on the origins that `plan` scores.

    Parameters
    ----------
    fan : Calibration
        Of the same walk, at several levels, for the quantile loss and the direction.
    asked : Calibration
        Of the same walk, with `level` among its levels.
    returns : array, shape (T,)
        :func:`~quantkit.forecast.target.close_returns` of all bars, for the scale of MASE.
    level : float
        That the interval is scored at.
    """
    scored = plan.scored(step)
    came = outcomes.returns[scored, step - 1]
    medians = walk.medians[scored, step - 1]
    up = fan.probability_up[scored, step - 1]
    losses = [pinball(came, medians, probability=0.5)]
    for at, each in enumerate(fan.levels):
        tail = (1.0 - each) / 2.0
        losses += [
            pinball(came, fan.lower[scored, step - 1, at], probability=tail),
            pinball(came, fan.upper[scored, step - 1, at], probability=1.0 - tail),
        ]
    at = asked.levels.index(level)
    lower, upper = asked.lower[scored, step - 1, at], asked.upper[scored, step - 1, at]
    errors = came - medians
    moves_called = ~np.isnan(came) & (came != 0.0) & ~np.isnan(up)
    called = (came[moves_called] > 0.0) == (up[moves_called] >= 0.5)
    before = returns[1 : plan.first + scored.start + 1]
    moves = np.convolve(before, np.ones(step), mode="valid") if len(before) >= step else before[:0]
    typical = _mean(np.abs(moves))
    mae = _mean(np.abs(errors))
    return Scores(
        model=walk.model,
        step=step,
        origins=int(np.count_nonzero(~np.isnan(errors))),
        mae=mae,
        rmse=_mean(errors**2) ** 0.5,
        mase=mae / typical if typical > 0.0 else float("nan"),
        skill=skill(came, medians),
        direction=_mean(called.astype(float)),
        brier=brier(came, up),
        pinball=float(np.mean(losses)),
        interval_score=interval_score(came, lower, upper, level=level),
        coverage=coverage(came, lower, upper),
        level=level,
    )
