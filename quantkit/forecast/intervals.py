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

__all__ = ["FAN", "Calibration", "Calibrator", "calibrate", "tail_quantile"]

#: Levels of the fan that charts draw.
FAN: Final = (0.5, 0.8, 0.95)
#: Residuals that a quantile is taken from, the most recent known ones.
POOL: Final = 1000
#: Fewest known residuals behind an interval.
_FEWEST: Final = 20
#: Learning rate of a tail probability, relative to the one asked for and per step ahead: the largest of those tried
#: that costs at most half a percent of interval score on simulated random walks (docs/proof/forecasts.md). Overlapping
#: outcomes miss in runs: without the division the band at step 5 breathes so much that its interval score is worse
#: than a constant's.
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
    return Calibrator(medians.shape[1], levels=levels, steps=steps, gamma=gamma, pool=pool).extend(medians, outcomes)


class Calibrator:
    """:func:`calibrate`, able to go on: the state of its recursion after the origins that it has seen.

    Parameters
    ----------
    horizon : int
    levels, steps, gamma, pool
        As for :func:`calibrate`.
    """

    def __init__(
        self,
        horizon: int,
        *,
        levels: Sequence[float] = FAN,
        steps: Sequence[int] | None = None,
        gamma: float = GAMMA,
        pool: int = POOL,
    ) -> None:
        wanted = range(1, horizon + 1) if steps is None else steps
        self._steps = [_Step(step, tuple(levels), gamma, pool) for step in wanted]
        width = np.empty((0, horizon, len(levels)))
        flat = np.empty((0, horizon))
        self._done = Calibration(tuple(levels), lower=width, upper=width, probability_up=flat, sigma=flat)

    def extend(self, medians: np.ndarray, outcomes: Outcomes) -> Calibration:
        """Intervals at every origin; those beyond the ones seen before are new, the others as they were."""
        done, before = self._done, len(self._done.sigma)
        count, horizon = medians.shape
        lower, upper = (np.full((count - before, horizon, len(done.levels)), np.nan) for _ in range(2))
        up, sigma = (np.full((count - before, horizon), np.nan) for _ in range(2))
        for each in self._steps:
            at = each.step - 1
            each.run(before, medians, outcomes, lower[:, at], upper[:, at], up[:, at], sigma[:, at])
        self._done = Calibration(
            levels=done.levels,
            lower=np.concatenate([done.lower, lower]),
            upper=np.concatenate([done.upper, upper]),
            probability_up=np.concatenate([done.probability_up, up]),
            sigma=np.concatenate([done.sigma, sigma]),
        )
        return self._done


class _Step:
    """The recursion at one step ahead; residuals in units of the scale at their origin."""

    def __init__(self, step: int, levels: tuple[float, ...], gamma: float, pool: int) -> None:
        self.step = step
        self.pool = pool
        self.target = [(1.0 - level) / 2.0 for level in levels]
        self.gamma = [gamma * target / step for target in self.target]
        self.below, self.above = list(self.target), list(self.target)
        self.ordered: list[float] = []
        self.recent: deque[float] = deque()
        self.total = self.squares = 0.0
        # Of the origins whose outcomes are not known yet, the oldest first.
        self.pending: deque[tuple[list[float], list[float]] | None] = deque()

    def run(
        self,
        first: int,
        medians: np.ndarray,
        outcomes: Outcomes,
        lower: np.ndarray,
        upper: np.ndarray,
        up: np.ndarray,
        sigma: np.ndarray,
    ) -> None:
        """Fill the columns of one step for the origins from index `first` on, oldest first."""
        start = max(first - self.step, 0)
        median = medians[start:, self.step - 1]
        scales = outcomes.scale[start:] * self.step**0.5
        residuals = ((outcomes.returns[start:, self.step - 1] - median) / scales).tolist()
        shift = (median / scales).tolist()
        for row in range(len(medians) - first):
            here = row + first - start
            if len(self.pending) == self.step:
                residual, bounds = residuals[here - self.step], self.pending.popleft()
                if residual == residual:
                    self._learn(residual, bounds)
            if len(self.ordered) < _FEWEST or shift[here] != shift[here]:
                self.pending.append(None)
                continue
            quantiles = self._bounds()
            self.pending.append(quantiles)
            scale = scales[here]
            lower[row] = median[here] + scale * np.array(quantiles[0])
            upper[row] = median[here] + scale * np.array(quantiles[1])
            up[row] = self._probability_above(-shift[here])
            sigma[row] = scale * self._deviation()

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
