"""Intervals that keep their promise: adaptive conformal inference on signed, scaled walk-forward residuals.

At every origin the residuals whose outcomes are known there, each divided by the volatility at its own origin, give
the two tail quantiles; the tail probabilities asked for are corrected after every known miss or hit (Gibbs and
Candès, 2021), separately in each tail and for each step ahead. Nothing is looked at before it is known.

References
----------
Gibbs, I. and Candès, E. (2021). Adaptive conformal inference under distribution shift. NeurIPS 34.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from quantkit.forecast.target import Outcomes

__all__ = ["FAN", "Calibration", "calibrate", "tail_quantile"]

#: Levels of the fan that charts draw.
FAN: Final = (0.5, 0.8, 0.95)
#: Residuals that a quantile is taken from, the most recent known ones.
POOL: Final = 1000
#: Fewest known residuals behind an interval.
_FEWEST: Final = 20
#: Learning rate of a tail probability, relative to the one asked for and per step ahead. Overlapping outcomes miss in
#: runs: without the division the band at step 5 breathes so much that its interval score is worse than a constant's.
GAMMA: Final = 0.05
_SMALLEST: Final = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Intervals and probabilities at every origin, each from outcomes known there.

    Attributes
    ----------
    levels : tuple of float
    lower, upper : array, shape (origins, horizon, levels)
        Cumulative log-returns; NaN where too little is known yet.
    probability_up : array, shape (origins, horizon)
        That the cumulative log-return is positive.
    sigma : array, shape (origins, horizon)
        Standard deviation of the cumulative log-return.
    """

    levels: tuple[float, ...]
    lower: np.ndarray
    upper: np.ndarray
    probability_up: np.ndarray
    sigma: np.ndarray


def tail_quantile(ordered: Sequence[float], probability: float) -> float:
    """Quantile of an ordered sample at position ``probability (n + 1)``, linear in between.

    A new value of an exchangeable sequence falls below it with exactly that probability. Beyond the extremes, where
    conformal inference would answer with infinity, the extreme is stretched like the tail of a normal distribution,
    at most to probability 0.0001.

    Parameters
    ----------
    ordered : sequence of float, increasing
    probability : float
    """
    count = len(ordered)
    position = probability * (count + 1.0)
    if position < 1.0:
        return ordered[0] * _stretch(probability, count)
    if position > count:
        return ordered[-1] * _stretch(1.0 - probability, count)
    below = int(position)
    if below == count:
        return ordered[-1]
    share = position - below
    return ordered[below - 1] * (1.0 - share) + ordered[below] * share


def _stretch(tail: float, count: int) -> float:
    from scipy.special import ndtri

    return float(ndtri(max(tail, _SMALLEST)) / ndtri(1.0 / (count + 1.0)))


def calibrate(
    medians: np.ndarray,
    outcomes: Outcomes,
    *,
    levels: Sequence[float] = FAN,
    steps: Sequence[int] | None = None,
    gamma: float = GAMMA,
    pool: int = POOL,
) -> Calibration:
    """Intervals around `medians` at every origin and step.

    Parameters
    ----------
    medians : array, shape (origins, horizon)
        Cumulative expected log-returns; NaN where the model had failed.
    outcomes : Outcomes
        Of the same origins.
    levels : sequence of float, increasing
        A wider level always contains a narrower one.
    steps : sequence of int, optional
        Steps to do, 1 for the next bar; all by default, the others stay NaN.
    gamma : float
        Learning rate: a miss moves a tail probability ``p`` by ``gamma p / step``; 0 keeps the quantiles as they are.
    pool : int
        Most recent known residuals that quantiles are taken from.
    """
    levels = tuple(levels)
    count, horizon = medians.shape
    lower = np.full((count, horizon, len(levels)), np.nan)
    upper = np.full((count, horizon, len(levels)), np.nan)
    up = np.full((count, horizon), np.nan)
    sigma = np.full((count, horizon), np.nan)
    for step in range(1, horizon + 1) if steps is None else steps:
        _Step(step, medians, outcomes, levels, gamma, pool).run(
            lower[:, step - 1], upper[:, step - 1], up[:, step - 1], sigma[:, step - 1]
        )
    return Calibration(levels=levels, lower=lower, upper=upper, probability_up=up, sigma=sigma)


class _Step:
    """The recursion at one step ahead; residuals in units of the scale at their origin."""

    def __init__(
        self, step: int, medians: np.ndarray, outcomes: Outcomes, levels: tuple[float, ...], gamma: float, pool: int
    ) -> None:
        self.step = step
        self.pool = pool
        self.median = medians[:, step - 1]
        self.scale = outcomes.scale * step**0.5
        self.residuals = ((outcomes.returns[:, step - 1] - self.median) / self.scale).tolist()
        self.target = [(1.0 - level) / 2.0 for level in levels]
        self.gamma = [gamma * target / step for target in self.target]
        self.below, self.above = list(self.target), list(self.target)
        self.ordered: list[float] = []
        self.recent: deque[float] = deque()
        self.total = self.squares = 0.0

    def run(self, lower: np.ndarray, upper: np.ndarray, up: np.ndarray, sigma: np.ndarray) -> None:
        """Fill the columns of one step, oldest origin first."""
        bounds: list[tuple[list[float], list[float]] | None] = []
        shift = (self.median / self.scale).tolist()
        for origin in range(len(self.residuals)):
            known = origin - self.step
            if known >= 0 and self.residuals[known] == self.residuals[known]:
                self._learn(self.residuals[known], bounds[known])
            if len(self.ordered) < _FEWEST or shift[origin] != shift[origin]:
                bounds.append(None)
                continue
            quantiles = self._bounds()
            bounds.append(quantiles)
            scale = self.scale[origin]
            lower[origin] = self.median[origin] + scale * np.array(quantiles[0])
            upper[origin] = self.median[origin] + scale * np.array(quantiles[1])
            up[origin] = self._probability_above(-shift[origin])
            sigma[origin] = scale * self._deviation()

    def _learn(self, residual: float, bounds: tuple[list[float], list[float]] | None) -> None:
        if bounds is not None:
            for at, target in enumerate(self.target):
                self.below[at] += self.gamma[at] * (target - (residual < bounds[0][at]))
                self.above[at] += self.gamma[at] * (target - (residual > bounds[1][at]))
        insort(self.ordered, residual)
        self.recent.append(residual)
        self.total += residual
        self.squares += residual * residual
        if len(self.recent) > self.pool:
            oldest = self.recent.popleft()
            del self.ordered[bisect_left(self.ordered, oldest)]
            self.total -= oldest
            self.squares -= oldest * oldest

    def _bounds(self) -> tuple[list[float], list[float]]:
        # An interval holds its median and every narrower interval; the measured coverage is that of these bounds.
        low = high = 0.0
        lower, upper = [], []
        for below, above in zip(self.below, self.above, strict=True):
            low = min(low, tail_quantile(self.ordered, min(max(below, _SMALLEST), 0.5)))
            high = max(high, tail_quantile(self.ordered, 1.0 - min(max(above, _SMALLEST), 0.5)))
            lower.append(low)
            upper.append(high)
        return lower, upper

    def _deviation(self) -> float:
        count = len(self.ordered)
        return max(self.squares / count - (self.total / count) ** 2, 0.0) ** 0.5

    def _probability_above(self, threshold: float) -> float:
        """Share of residuals above `threshold`, ties counted half, never exactly 0 or 1."""
        beyond = len(self.ordered) - bisect_right(self.ordered, threshold)
        ties = len(self.ordered) - beyond - bisect_left(self.ordered, threshold)
        return (beyond + 0.5 * ties + 0.5) / (len(self.ordered) + 1.0)
