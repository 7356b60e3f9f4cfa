"""Convex programs over a set of weights, for what the critical line does not take: cvxpy states, Clarabel solves.

Every limit is linear in the weights and homogeneous in a scale ``k``, so that ratios (Sharpe, diversification) and
risk budgets are solved over ``y = k w`` by one and the same statement of the limits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from quantkit.core.errors import ComputeError
from quantkit.portfolio.constraints import Array, Feasible

__all__ = ["InfeasibleProgramError", "Program", "factor_of", "solve"]

#: Clarabel's own are 1e-8, which is not enough for objectives that agree to 1e-6 with other libraries.
TOLERANCES: Final = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11, "max_iter": 400}


class InfeasibleProgramError(ComputeError):
    """The solver has shown that no weights meet the limits."""


def factor_of(cov: Array) -> Array:
    """Matrix F with ``F.T @ F = cov``, by eigenvalues, so that a singular covariance has one too."""
    values, vectors = np.linalg.eigh(cov)
    keep = values > 0.0
    return (vectors[:, keep] * np.sqrt(values[keep])).T


def solve(problem: Any) -> None:
    """Solve a cvxpy problem to tight tolerances.

    Raises
    ------
    InfeasibleProgramError
        It has no solution.
    ComputeError
        The solver gave up.
    """
    import cvxpy as cp

    with warnings.catch_warnings():
        # Tolerances beyond what the arithmetic reaches end as 'inaccurate'; the limits are checked by the caller.
        warnings.simplefilter("ignore", UserWarning)
        try:
            problem.solve(solver=cp.CLARABEL, **TOLERANCES)
        except cp.SolverError as error:
            raise ComputeError(f"the convex program could not be solved: {error}") from error
    if problem.status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE):
        raise InfeasibleProgramError("no portfolio meets the limits")
    if problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        raise ComputeError(f"the convex program could not be solved: {problem.status}")


@dataclass(eq=False)
class Program:
    """Weights, their scale, and the limits on them.

    Attributes
    ----------
    weights : cvxpy.Variable, shape (N,)
        ``y = k w``.
    scale : cvxpy.Variable or 1
        ``k``; 1 where the program is not a ratio.
    cost : cvxpy expression
        Of trading, per period, times `scale`.
    limits : list of cvxpy constraints
    """

    weights: Any
    scale: Any
    cost: Any
    limits: list[Any]

    @classmethod
    def over(cls, feasible: Feasible, factor: Array, *, ratio: bool = False) -> Program:
        """State the limits of `feasible`; `factor` is the covariance's, for tracking error."""
        import cvxpy as cp

        y = cp.Variable(feasible.size)
        k: Any = cp.Variable(nonneg=True) if ratio else 1.0
        limits = [y >= feasible.lower * k, y <= feasible.upper * k]
        low, high = feasible.net
        limits += [cp.sum(y) == low * k] if low == high else [cp.sum(y) >= low * k, cp.sum(y) <= high * k]
        for group in feasible.groups:
            inside = group.member @ y
            if group.lower == group.upper:
                limits.append(inside == group.lower * k)
            else:
                limits += [inside >= group.lower * k, inside <= group.upper * k]
        if feasible.gross is not None:
            limits.append(cp.norm1(y) <= feasible.gross * k)
        cost: Any = 0.0
        if feasible.trades:
            traded = cp.norm1(y - feasible.current * k)
            if feasible.turnover is not None:
                limits.append(traded <= feasible.turnover * k)
            cost = feasible.cost * traded
        if feasible.tracking_error is not None:
            limits.append(cp.norm(factor @ (y - feasible.benchmark * k)) <= feasible.tracking_error * k)
        return cls(weights=y, scale=k, cost=cost, limits=limits)

    def minimise(self, objective: Any, *further: Any) -> Array:
        """Weights of the least `objective` under the limits and `further` ones."""
        import cvxpy as cp

        try:
            solve(cp.Problem(cp.Minimize(objective), [*self.limits, *further]))
        except InfeasibleProgramError:
            raise
        except ComputeError:
            # A cone that the limits leave empty can end in a numerical failure instead of a proof.
            fixed = [] if isinstance(self.scale, float) else [self.scale == 1.0]
            solve(cp.Problem(cp.Minimize(0), [*self.limits, *fixed]))
            raise
        return self.solution()

    def solution(self) -> Array:
        """Weights of the solved program."""
        scale = float(self.scale.value) if hasattr(self.scale, "value") else 1.0
        if scale <= 0.0:
            raise ComputeError("the convex program ended with a portfolio of no size")
        return np.asarray(self.weights.value, dtype=np.float64) / scale

    def path(self, variance: Any, demand: Callable[[Any], Any], values: Array) -> list[Array]:
        """Weights of the least `variance` for each of `values` put into `demand`: one statement, solved again."""
        import cvxpy as cp

        level = cp.Parameter()
        problem = cp.Problem(cp.Minimize(variance), [*self.limits, demand(level)])
        found = []
        for value in values:
            level.value = float(value)
            solve(problem)
            found.append(self.solution())
        return found
