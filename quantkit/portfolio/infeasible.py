"""When no portfolio meets the limits: which of them cannot hold together, and what comes nearest."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quantkit.core.errors import ComputeError
from quantkit.portfolio.constraints import Array
from quantkit.portfolio.problem import Problem
from quantkit.portfolio.programs import InfeasibleProgramError, solve

__all__ = ["Diagnosis", "diagnose"]

# Relaxed by exactly the least amount, the set is a single point, which no solver likes.
_ROOM = 1e-7
# Limits that are tried one by one.
_FEW = 60


@dataclass(frozen=True, slots=True, eq=False)
class Diagnosis:
    """Why a problem has no solution.

    Attributes
    ----------
    binding : tuple of str
        A set of limits, in words, that cannot hold together with the budget; up to 60 of them irreducible: any one
        left out, the rest can.
    relaxed : dict of limit to float
        Least changes with which a portfolio exists, in the limit's own unit (per period for return and volatility).
    weights : array, shape (N,)
        A portfolio that meets the limits so relaxed.
    problem : Problem
        The same question under the limits so relaxed.
    """

    binding: tuple[str, ...]
    relaxed: dict[str, float]
    weights: Array
    problem: Problem


def diagnose(problem: Problem, needs: str = "") -> Diagnosis:
    """Find the least relaxation and a smallest set of limits in conflict.

    The sum over all limits of how far each is relaxed, divided by the range of values its quantity can take, is
    minimised. The budget and long-only are never relaxed. Limits that share a name ("every asset at most 10 %") are
    relaxed together.

    Parameters
    ----------
    problem : Problem
    needs : str
        ``target_return`` or ``target_volatility`` where the objective demands that too.

    Raises
    ------
    ComputeError
        Budget and long-only alone have no portfolio, which no relaxation mends.
    """
    elastic = _Elastic(problem, needs)
    try:
        weights, slack = elastic.relax()
    except InfeasibleProgramError:
        raise ComputeError("the budget cannot be met at all, whatever else is given up") from None
    tight = [name for name, amount in slack.items() if amount > 1e-7 * elastic.spans[name]]
    room = {name: slack[name] * (1.0 + _ROOM) + _ROOM * elastic.spans[name] for name in tight}
    return Diagnosis(
        binding=elastic.conflict(tight),
        relaxed={name: slack[name] for name in tight},
        weights=weights,
        problem=_relaxed(problem, room, needs),
    )


class _Elastic:
    """Every limit with a slack of its own, one for each name."""

    def __init__(self, problem: Problem, needs: str) -> None:
        import cvxpy as cp

        self.cp = cp
        self.prices: dict[str, float] = {}
        self.problem = problem
        feasible = problem.feasible
        self.weights = cp.Variable(feasible.size)
        w = self.weights
        low, high = feasible.net
        self.hard = [cp.sum(w) == low] if low == high else [cp.sum(w) >= low, cp.sum(w) <= high]
        long = np.flatnonzero(feasible.lower >= 0.0)
        if len(long):
            self.hard.append(w[long] >= 0.0)
        #: Left side, right side and name of every limit ``left <= right``; gathered by name.
        self.sides: list[tuple[Any, Any, str]] = []
        self.spans: dict[str, float] = {}
        grouped: dict[str, list[tuple[Array, float]]] = {}
        for limit in feasible.limits():
            grouped.setdefault(limit.name, []).append((limit.coefficients, limit.upper))
            self.spans[limit.name] = limit.span
        for name, members in grouped.items():
            self._add(np.array([row for row, _ in members]) @ w, np.array([most for _, most in members]), name)
        box = np.maximum(np.abs(feasible.lower), np.abs(feasible.upper))
        if feasible.gross is not None:
            self._add(cp.norm1(w), feasible.gross, feasible.gross_name, float(box.sum()))
        traded = cp.norm1(w - feasible.current)
        if feasible.turnover is not None:
            self._add(traded, feasible.turnover, feasible.turnover_name, float((box + np.abs(feasible.current)).sum()))
        loss = problem.volatilities.max() / problem.scale
        if feasible.tracking_error is not None:
            beside = cp.norm(problem.factor @ (w - feasible.benchmark))
            self._add(beside, feasible.tracking_error / problem.scale, feasible.tracking_name, 2.0 * loss)
        if needs == "target_return":
            assert problem.target_return is not None
            gain = (problem.excess @ w - feasible.cost * traded) / problem.scale
            target = (problem.target_return - problem.risk_free) / problem.scale
            self._add(-gain, -target, problem.demand, float(np.ptp(problem.mu)) / problem.scale or 1.0)
        if needs == "target_volatility":
            assert problem.target_volatility is not None
            risk = cp.norm(problem.factor @ w)
            self._add(risk, problem.target_volatility / problem.scale, problem.demand, loss)
        # Those two are stated in units of `scale`; what is said of them is not.
        self.units = dict.fromkeys(self.spans, 1.0)
        for name in (feasible.tracking_name, problem.demand):
            if name in self.units:
                self.units[name] = problem.scale
                self.spans[name] *= problem.scale

    def _add(self, left: Any, right: Any, name: str, span: float | None = None) -> None:
        self.sides.append((left, right, name))
        if span is not None:
            self.spans[name] = span

    def relax(self) -> tuple[Array, dict[str, float]]:
        """Weights and slacks, in each limit's unit, of the least sum of relative slacks."""
        cp = self.cp
        slack = {name: cp.Variable(nonneg=True) for _, _, name in self.sides}
        soft = [left <= right + slack[name] * (self.spans[name] / self.units[name]) for left, right, name in self.sides]
        solve(cp.Problem(cp.Minimize(cp.sum(cp.hstack(list(slack.values())))), [*self.hard, *soft]))
        for (_, _, name), limit in zip(self.sides, soft, strict=True):
            price = float(np.abs(limit.dual_value).sum()) * self.spans[name] / self.units[name]
            self.prices[name] = self.prices.get(name, 0.0) + price
        found = {name: float(each.value) * self.spans[name] for name, each in slack.items()}
        return np.asarray(self.weights.value), found

    def conflict(self, tight: Collection[str]) -> tuple[str, ...]:
        """A conflicting set, made irreducible by leaving out one limit after the other; relaxed ones are tried last.

        Limits that cost nothing in :meth:`relax` take no part in the conflict. Where more than 60 are left they are
        given as they are: each trial solves a program.
        """
        dear = max(self.prices.values())
        names = [name for _, _, name in self.sides]
        paid = [name for name in names if self.prices[name] > 1e-6 * dear or name in tight]
        if self._possible(paid):
            paid = names
        kept = [name for name in paid if name not in tight] + [name for name in paid if name in tight]
        if len(kept) <= _FEW:
            for name in list(kept):
                if not self._possible([each for each in kept if each != name]):
                    kept.remove(name)
        return tuple(sorted(kept, key=names.index))

    def _possible(self, names: Collection[str]) -> bool:
        cp = self.cp
        chosen = [left <= right for left, right, name in self.sides if name in names]
        try:
            solve(cp.Problem(cp.Minimize(0), [*self.hard, *chosen]))
        except InfeasibleProgramError:
            return False
        return True


def _relaxed(problem: Problem, amounts: dict[str, float], needs: str) -> Problem:
    feasible = problem.feasible
    lower, upper = feasible.lower.copy(), feasible.upper.copy()
    groups = []
    for limit in feasible.limits():
        by = amounts.get(limit.name, 0.0)
        at = limit.asset
        if at is None or not by:
            continue
        if limit.coefficients[at] > 0:
            upper[at] += by
        else:
            lower[at] = lower[at] - by if lower[at] < 0.0 else max(lower[at] - by, 0.0)
    for group in feasible.groups:
        more, less = (amounts.get(name, 0.0) for name in feasible.group_names(group))
        groups.append(group._replace(lower=group.lower - less, upper=group.upper + more))
    set_free = replace(
        feasible,
        lower=lower,
        upper=upper,
        groups=tuple(groups),
        gross=_more(feasible.gross, amounts.get(feasible.gross_name)),
        turnover=_more(feasible.turnover, amounts.get(feasible.turnover_name)),
        tracking_error=_more(feasible.tracking_error, amounts.get(feasible.tracking_name)),
    )
    own = amounts.get(problem.demand, 0.0)
    target_return, target_volatility = problem.target_return, problem.target_volatility
    if needs == "target_return" and target_return is not None:
        target_return -= own
    if needs == "target_volatility" and target_volatility is not None:
        target_volatility += own
    return replace(
        problem, feasible=set_free, target_return=target_return, target_volatility=target_volatility, notes=[], lines={}
    )


def _more(limit: float | None, by: float | None) -> float | None:
    return limit if limit is None or by is None else limit + by
