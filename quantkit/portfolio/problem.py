"""One question to an objective: estimates, limits and parameters, all per period, in arrays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from quantkit.portfolio.constraints import Array, Feasible
from quantkit.portfolio.critical_line import CriticalLine, DegenerateLineError, EmptyLineError, trace
from quantkit.portfolio.programs import InfeasibleProgramError, Program, factor_of

__all__ = ["NoExcessReturnError", "Problem"]


class NoExcessReturnError(InfeasibleProgramError):
    """No feasible portfolio is expected to earn more than the risk-free rate."""


@dataclass(eq=False)
class Problem:
    """What an objective sees.

    Attributes
    ----------
    mu : array, shape (N,)
        Expected returns per period.
    cov : array, shape (N, N)
        Positive definite, per period.
    feasible : Feasible
    returns : array, shape (T, N)
        History, for objectives that look at scenarios.
    risk_free : float
        Per period.
    target_return, target_volatility : float or None
        Per period.
    risk_aversion : float
    level : float
        Of the tail, in (0, 1).
    demand : str
        The objective's target in words.
    notes : list of str
        What an objective has to say about its answer.
    lines : dict
        Critical lines that were traced already, by the bytes of their means; problems that share `cov` and limits may
        share it.
    """

    mu: Array
    cov: Array
    feasible: Feasible
    returns: Array
    risk_free: float = 0.0
    target_return: float | None = None
    target_volatility: float | None = None
    risk_aversion: float = 2.5
    level: float = 0.95
    demand: str = ""
    notes: list[str] = field(default_factory=list)
    lines: dict[bytes, CriticalLine | None] = field(default_factory=dict)

    @cached_property
    def excess(self) -> Array:
        """Expected returns above the risk-free rate; what is not invested earns exactly that."""
        return self.mu - self.risk_free

    @cached_property
    def volatilities(self) -> Array:
        """Standard deviations of the assets."""
        return np.sqrt(np.diag(self.cov))

    @cached_property
    def scale(self) -> float:
        """Typical volatility, by which programs are divided: daily variances of 1e-4 are below solvers' tolerances."""
        return float(np.sqrt(np.mean(np.diag(self.cov))))

    @cached_property
    def factor(self) -> Array:
        """``F`` with ``F.T @ F = cov / scale**2``."""
        return factor_of(self.cov / self.scale**2)

    @property
    def line(self) -> CriticalLine | None:
        """The critical line of the excess returns; None where the limits are beyond it or it cannot be traced."""
        return self._line(self.excess) if self.feasible.on_critical_line else None

    def costless_line(self, mu: Array | None = None) -> CriticalLine | None:
        """The line for objectives to which trading costs do not matter, of `mu` or of the excess returns."""
        if not replace(self.feasible, cost=0.0).on_critical_line:
            return None
        return self._line(self.excess if mu is None else mu)

    def _line(self, mu: Array) -> CriticalLine | None:
        key = mu.tobytes()
        if key not in self.lines:
            try:
                self.lines[key] = trace(mu, self.cov, replace(self.feasible, cost=0.0))
            except EmptyLineError as error:
                raise InfeasibleProgramError(str(error)) from error
            except DegenerateLineError:
                self.lines[key] = None
        return self.lines[key]

    def program(self, *, ratio: bool = False) -> Program:
        """The limits as a convex program in units of :attr:`scale`."""
        error = self.feasible.tracking_error
        scaled = replace(self.feasible, tracking_error=None if error is None else error / self.scale)
        return Program.over(scaled, self.factor, ratio=ratio)

    def variance_of(self, program: Program) -> Any:
        """Variance in units of ``scale**2`` as a cvxpy expression."""
        import cvxpy as cp

        return cp.sum_squares(self.factor @ program.weights)

    def gain_of(self, program: Program) -> Any:
        """Expected excess return after costs in units of :attr:`scale` as a cvxpy expression."""
        return (self.excess / self.scale) @ program.weights - program.cost / self.scale
