"""The efficient set of a fixed budget, exactly: between two corner portfolios the weights move along a straight line.

cvxcla traces the corners; what lies between them is solved here in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantkit.core.errors import ComputeError, UsageError
from quantkit.portfolio.constraints import Array, Feasible

__all__ = ["CriticalLine", "DegenerateLineError", "EmptyLineError", "trace"]


class DegenerateLineError(ComputeError):
    """The corners cannot be traced (a singular block of the covariance); a convex solver still can answer."""


class EmptyLineError(ComputeError):
    """No portfolio meets the limits."""


@dataclass(frozen=True, slots=True, eq=False)
class CriticalLine:
    """Corner portfolios from the highest mean to the least variance, K of them over N assets.

    Attributes
    ----------
    weights : array, shape (K, N)
    mean : array, shape (K,)
        Of the returns that the line was traced on, decreasing.
    variance : array, shape (K,)
    cross : array, shape (K - 1,)
        Covariance of each corner with the next one.

    References
    ----------
    Markowitz, H. (1956). The optimization of a quadratic function subject to linear constraints. Naval Research
    Logistics Quarterly 3. Bailey, D. and López de Prado, M. (2013). An open-source implementation of the critical-line
    algorithm for portfolio optimization. Algorithms 6(1).
    """

    weights: Array
    mean: Array
    variance: Array
    cross: Array

    @property
    def least_variance(self) -> Array:
        """Weights of the portfolio of least variance."""
        return self.weights[-1]

    def between(self, corner: int, share: float) -> Array:
        """Weights at `share` of the way from `corner` to the next one."""
        if share <= 0.0 or corner == len(self.weights) - 1:
            return self.weights[corner]
        return (1.0 - share) * self.weights[corner] + share * self.weights[corner + 1]

    def at_mean(self, mean: float) -> Array:
        """Weights of least variance among those with at least this mean; ``ValueError`` above the highest."""
        if mean > self.mean[0] + 1e-12 * max(abs(self.mean[0]), abs(self.mean[0] - self.mean[-1])):
            raise ValueError(f"mean {mean} lies above the highest, {self.mean[0]}")
        if mean <= self.mean[-1]:
            return self.least_variance
        corner = int(np.searchsorted(-self.mean, -mean, side="right")) - 1
        corner = min(max(corner, 0), len(self.mean) - 2)
        drop = self.mean[corner] - self.mean[corner + 1]
        return self.between(corner, float(np.clip((self.mean[corner] - mean) / drop, 0.0, 1.0)) if drop > 0 else 0.0)

    def at_volatility(self, volatility: float) -> Array:
        """Weights of the highest mean among those of at most this volatility; ``ValueError`` below the least."""
        wanted = volatility**2
        if wanted < self.variance[-1] * (1.0 - 1e-12):
            raise ValueError(f"volatility {volatility} lies below the least, {self.variance[-1] ** 0.5}")
        if wanted >= self.variance[0]:
            return self.weights[0]
        corner = min(int(np.flatnonzero(self.variance > wanted)[-1]), len(self.mean) - 2)
        v0, v1, v2 = self._parabola()
        a, b, c = v2[corner], v1[corner], v0[corner] - wanted
        # The smaller root of a t^2 + 2 b t + c, in the form that does not cancel: variance falls along the segment.
        root = np.sqrt(max(b * b - a * c, 0.0))
        share = c / (-b + root) if -b + root > 0 else 1.0
        return self.between(corner, float(np.clip(share, 0.0, 1.0)))

    def tangency(self, rate: float = 0.0) -> Array | None:
        """Weights of the highest ``(mean - rate) / volatility``, maximised inside the segments, not at the corners.

        None where no mean lies above `rate`.
        """
        e0 = self.mean - rate
        if e0[0] <= 0.0:
            return None
        candidates = [(0, 0.0)]
        if len(e0) > 1:
            e1 = np.diff(e0)
            v0, v1, v2 = self._parabola()
            below = e0[:-1] * v2 - e1 * v1
            # d/dt of (e0 + e1 t) / sqrt(v0 + 2 v1 t + v2 t^2) vanishes where e1 v0 - e0 v1 = t (e0 v2 - e1 v1).
            with np.errstate(divide="ignore", invalid="ignore"):
                shares = np.where(below != 0.0, (e1 * v0 - e0[:-1] * v1) / below, 0.0)
            candidates += list(enumerate(np.clip(shares, 0.0, 1.0)))
            candidates.append((len(e0) - 1, 0.0))
        ratios = [self._ratio(corner, share, rate) for corner, share in candidates]
        return self.between(*candidates[int(np.argmax(ratios))])

    def at_utility(self, risk_aversion: float) -> Array:
        """Weights that maximise ``mean - risk_aversion / 2 * variance``."""
        if len(self.mean) == 1:
            return self.weights[0]
        e1 = np.diff(self.mean)
        v0, v1, v2 = self._parabola()
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.where(v2 > 0.0, (e1 / risk_aversion - v1) / v2, 0.0)
        shares = np.clip(shares, 0.0, 1.0)
        utility = self.mean[:-1] + e1 * shares - risk_aversion / 2 * (v0 + 2 * v1 * shares + v2 * shares**2)
        best = int(np.argmax(utility))
        return self.between(best, float(shares[best]))

    def _parabola(self) -> tuple[Array, Array, Array]:
        """Variance on each segment is ``v0 + 2 v1 t + v2 t^2`` for t from 0 to 1."""
        v0, end = self.variance[:-1], self.variance[1:]
        return v0, self.cross - v0, np.maximum(v0 + end - 2.0 * self.cross, 0.0)

    def _ratio(self, corner: int, share: float, rate: float) -> float:
        if corner == len(self.mean) - 1:
            excess, variance = self.mean[corner] - rate, self.variance[corner]
        else:
            v0, v1, v2 = (each[corner] for each in self._parabola())
            excess = self.mean[corner] - rate + share * (self.mean[corner + 1] - self.mean[corner])
            variance = v0 + 2 * v1 * share + v2 * share**2
        if variance <= 0.0:
            return np.inf if excess > 0 else -np.inf
        return float(excess / np.sqrt(variance))


def trace(mu: Array, cov: Array, feasible: Feasible) -> CriticalLine:
    """Trace the corner portfolios of `mu` and `cov` over a set that has a fixed budget.

    Parameters
    ----------
    mu : array, shape (N,)
    cov : array, shape (N, N)
        Positive definite.
    feasible : Feasible
        With ``on_critical_line``.

    Raises
    ------
    EmptyLineError
        No portfolio meets the limits.
    DegenerateLineError
        cvxcla could not trace the line.
    """
    from cvxcla import CLA
    from cvxcla.errors import CLAError, InfeasibleProblemError

    if not feasible.on_critical_line:
        raise UsageError("the critical line needs a fixed budget, and no limit on turnover, costs or tracking error")
    size = feasible.size
    pinned = [(group.member, group.lower) for group in feasible.groups if group.lower == group.upper]
    rows = [(group.member, group.upper) for group in feasible.groups if group.lower < group.upper]
    rows += [(-group.member, -group.lower) for group in feasible.groups if group.lower < group.upper]
    # A limit that the bounds already imply only makes the start degenerate.
    rows = [(row, most) for row, most in rows if np.maximum(row * feasible.lower, row * feasible.upper).sum() > most]
    scale = float(np.sqrt(np.mean(np.diag(cov)))) or 1.0
    gross = feasible.gross
    if gross is not None and gross >= np.maximum(np.abs(feasible.lower), np.abs(feasible.upper)).sum():
        gross = None
    if gross is not None and (feasible.lower >= 0.0).all():
        if feasible.net[0] > gross + 1e-12:
            raise EmptyLineError("gross exposure is below the budget")
        gross = None
    try:
        traced = CLA(
            mean=mu / scale,
            covariance=cov / scale**2,
            lower_bounds=feasible.lower,
            upper_bounds=feasible.upper,
            a=np.array([np.ones(size), *(row for row, _ in pinned)]),
            b=np.array([feasible.net[0], *(value for _, value in pinned)]),
            g=np.array([row for row, _ in rows]) if rows else None,
            h=np.array([most for _, most in rows]) if rows else None,
            leverage=gross,
        )
    except InfeasibleProblemError as error:
        raise EmptyLineError(str(error)) from error
    except (CLAError, np.linalg.LinAlgError) as error:
        raise DegenerateLineError(f"the critical line cannot be traced: {error}") from error
    weights = np.array([point.weights for point in traced.turning_points])
    weights = np.clip(weights, feasible.lower, feasible.upper)
    return _line(weights, mu, cov)


def _line(weights: Array, mu: Array, cov: Array) -> CriticalLine:
    mean = weights @ mu
    # Where several assets share the highest mean, the start is reported more than once.
    keep = np.r_[True, (np.abs(np.diff(weights, axis=0)).max(axis=1) > 1e-15)] if len(weights) > 1 else np.array([True])
    weights, mean = weights[keep], mean[keep]
    along = weights @ cov
    return CriticalLine(
        weights=weights,
        mean=mean,
        variance=np.einsum("kn,kn->k", along, weights),
        cross=np.einsum("kn,kn->k", along[:-1], weights[1:]),
    )
