"""What a portfolio is chosen for: a registry of objectives, each from estimates and limits to weights.

With bounds, sectors and gross exposure over a fixed budget, everything quadratic is read off the critical line,
exactly. Limits on turnover or tracking error, costs and a free budget go to a convex program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from quantkit.core.errors import ComputeError, UsageError
from quantkit.core.registry import Registry
from quantkit.portfolio.constraints import Array
from quantkit.portfolio.hierarchical import hierarchical_risk_parity
from quantkit.portfolio.problem import NoExcessReturnError, Problem
from quantkit.portfolio.programs import InfeasibleProgramError
from quantkit.portfolio.risk_budget import equal_risk
from quantkit.portfolio.tail_loss import least_cvar

__all__ = ["OBJECTIVES", "Objective"]


@dataclass(frozen=True, slots=True)
class Objective:
    """A way to choose weights.

    Attributes
    ----------
    choose : callable
        From a :class:`~quantkit.portfolio.problem.Problem` to weights, shape (N,), that meet its limits.
    summary : str
        One line for lists of choices.
    uses_mean : bool
        Whether expected returns matter.
    needs : str
        Name of the target that must be given; empty where none is.
    """

    choose: Callable[[Problem], Array]
    summary: str
    uses_mean: bool = False
    needs: str = ""

    def __call__(self, problem: Problem) -> Array:
        """Weights, shape (N,).

        Raises
        ------
        InfeasibleProgramError
            No weights meet the limits.
        UsageError
            A target is missing.
        """
        if self.needs and getattr(problem, self.needs) is None:
            raise UsageError(f"{self.needs} is not given; expected an annual decimal such as 0.1")
        return self.choose(problem)


#: Objectives by name.
OBJECTIVES: Final[Registry[Objective]] = Registry("objective")


def _objective(name: str, *, uses_mean: bool = False, needs: str = "") -> Callable[[Callable[[Problem], Array]], None]:
    def register(choose: Callable[[Problem], Array]) -> None:
        summary = (choose.__doc__ or "").strip().splitlines()[0]
        OBJECTIVES.add(name)(Objective(choose, summary, uses_mean=uses_mean, needs=needs))

    return register


@_objective("max_sharpe", uses_mean=True)
def _max_sharpe(problem: Problem) -> Array:
    """Highest expected excess return per unit of volatility.

    Maximises ``(mu - f)' w / sqrt(w' C w)``: the tangency portfolio, read off the critical line.

    References
    ----------
    Sharpe, W. (1994). The Sharpe ratio. Journal of Portfolio Management 21(1). Tobin, J. (1958). Liquidity preference
    as behavior towards risk. Review of Economic Studies 25(2).
    """
    line = problem.line
    if line is not None:
        found = line.tangency()
        if found is None:
            raise NoExcessReturnError("no feasible portfolio is expected to earn more than the risk-free rate")
        return found
    return _highest_ratio(problem)


def _highest_ratio(problem: Problem) -> Array:
    program = problem.program(ratio=True)
    # Any positive gain would do; this one makes the program's weights of the order of one.
    gain = float(np.abs(problem.excess).max()) / problem.scale or 1.0
    try:
        return program.minimise(problem.variance_of(program), problem.gain_of(program) >= gain)
    except (InfeasibleProgramError, ComputeError):
        best = _highest_return(problem)
        moved = problem.feasible.cost * np.abs(best - problem.feasible.current).sum()
        if problem.excess @ best - moved <= 0.0:
            raise NoExcessReturnError(
                "no feasible portfolio is expected to earn more than the risk-free rate"
            ) from None
        raise


def _highest_return(problem: Problem) -> Array:
    program = problem.program()
    return program.minimise(-problem.gain_of(program))


@_objective("min_volatility")
def _min_volatility(problem: Problem) -> Array:
    """Least volatility.

    Minimises ``sqrt(w' C w)``; needs no expected returns.

    References
    ----------
    Markowitz, H. (1952). Portfolio selection. Journal of Finance 7(1).
    """
    line = problem.costless_line()
    if line is not None:
        return line.least_variance
    program = problem.program()
    return program.minimise(problem.variance_of(program))


@_objective("target_return", uses_mean=True, needs="target_return")
def _target_return(problem: Problem) -> Array:
    """Least volatility among portfolios with at least the expected return `target_return`.

    Minimises ``w' C w`` subject to ``mu' w >= target_return``.

    References
    ----------
    Markowitz, H. (1952). Portfolio selection. Journal of Finance 7(1).
    """
    assert problem.target_return is not None
    target = problem.target_return - problem.risk_free
    if problem.line is not None:
        try:
            return problem.line.at_mean(target)
        except ValueError:
            raise InfeasibleProgramError("no feasible portfolio is expected to earn the target return") from None
    program = problem.program()
    return program.minimise(problem.variance_of(program), problem.gain_of(program) >= target / problem.scale)


@_objective("target_volatility", uses_mean=True, needs="target_volatility")
def _target_volatility(problem: Problem) -> Array:
    """Highest expected return among portfolios of at most the volatility `target_volatility`.

    Maximises ``mu' w`` subject to ``sqrt(w' C w) <= target_volatility``.

    References
    ----------
    Markowitz, H. (1952). Portfolio selection. Journal of Finance 7(1).
    """
    assert problem.target_volatility is not None
    if problem.line is not None:
        try:
            return problem.line.at_volatility(problem.target_volatility)
        except ValueError:
            raise InfeasibleProgramError("every feasible portfolio is more volatile than the target") from None
    import cvxpy as cp

    program = problem.program()
    most = cp.norm(problem.factor @ program.weights) <= problem.target_volatility / problem.scale
    return program.minimise(-problem.gain_of(program), most)


@_objective("max_utility", uses_mean=True)
def _max_utility(problem: Problem) -> Array:
    """Highest expected return less half the risk aversion times the variance.

    Maximises ``mu' w - risk_aversion / 2 * w' C w``.

    References
    ----------
    Markowitz, H. (1959). Portfolio Selection: Efficient Diversification of Investments.
    """
    if problem.line is not None:
        return problem.line.at_utility(problem.risk_aversion)
    program = problem.program()
    # Divided by scale**2, return and variance are of comparable size.
    penalty = problem.risk_aversion / 2.0 * problem.variance_of(program)
    return program.minimise(penalty - problem.gain_of(program) / problem.scale)


@_objective("min_cvar")
def _min_cvar(problem: Problem) -> Array:
    """Least mean loss in the worst days of the history (1 - level of them).

    Minimises ``a + mean(max(-r[t]' w - a, 0)) / (1 - level)`` over ``w`` and ``a``, a linear program.

    References
    ----------
    Rockafellar, R. and Uryasev, S. (2000). Optimization of conditional value-at-risk. Journal of Risk 2(3).
    """
    if problem.feasible.tracking_error is None:
        return least_cvar(problem.returns, problem.feasible, problem.level)
    import cvxpy as cp

    program = problem.program()
    count = len(problem.returns)
    edge = cp.Variable()
    beyond = cp.maximum(-(problem.returns / problem.scale) @ program.weights - edge, 0.0)
    return program.minimise(edge + cp.sum(beyond) / (count * (1.0 - problem.level)))


@_objective("max_diversification")
def _max_diversification(problem: Problem) -> Array:
    """Highest ratio of the weighted mean volatility to the portfolio's own (Choueifaty and Coignard, 2008).

    Maximises ``s' w / sqrt(w' C w)`` with ``s`` the assets' volatilities.

    References
    ----------
    Choueifaty, Y. and Coignard, Y. (2008). Toward maximum diversification. Journal of Portfolio Management 35(1).
    """
    line = problem.costless_line(problem.volatilities)
    if line is not None:
        found = line.tangency()
        if found is not None:
            return found
    program = problem.program(ratio=True)
    spread = (problem.volatilities / problem.scale) @ program.weights
    return program.minimise(problem.variance_of(program), spread >= 1.0)


@_objective("risk_parity")
def _risk_parity(problem: Problem) -> Array:
    """Every asset contributes the same share of the variance, as nearly as the limits allow.

    ``w[i] (C w)[i] / (w' C w) = 1 / N`` for every asset.

    References
    ----------
    Maillard, S., Roncalli, T. and Teïletche, J. (2010). The properties of equally weighted risk contribution
    portfolios. Journal of Portfolio Management 36(4). Spinu, F. (2013). An algorithm for computing risk parity
    weights. SSRN 2297383.
    """
    feasible = problem.feasible
    held = feasible.upper > 0.0
    if not held.any():
        raise UsageError("risk_parity holds long positions only, but no upper bound is above 0")
    if held.all():
        weights = equal_risk(problem.cov) * _invested(problem)
        if feasible.tracking_error is None and not feasible.violations(weights, tolerance=1e-10):
            return weights
    import cvxpy as cp

    # Over y = k w this is least volatility for a given sum of log weights, which without limits is equal risk.
    program = problem.program(ratio=True)
    spread = cp.sum(cp.log(program.weights[np.flatnonzero(held)])) / int(held.sum())
    problem.notes.append("equal risk does not meet the constraints: contributions are as equal as they allow")
    return program.minimise(problem.variance_of(program) / 2.0 - spread)


@_objective("hrp")
def _hrp(problem: Problem) -> Array:
    """Hierarchical risk parity: capital split down a tree of correlations (López de Prado, 2016).

    Assets are ordered by clustering the distance ``d[i,j] = sqrt((1 - corr[i,j]) / 2)``. Down that order, a half gets
    ``1 - v / (v + v_other)`` of what both have, ``v`` the variance of its inverse-variance portfolio.

    References
    ----------
    López de Prado, M. (2016). Building diversified portfolios that outperform out of sample. Journal of Portfolio
    Management 42(4).
    """
    return _within(problem, hierarchical_risk_parity(problem.cov), "hrp")


@_objective("equal_weight")
def _equal_weight(problem: Problem) -> Array:
    """The same weight in every asset, 1/N.

    ``w[i] = 1 / N``: nothing is estimated, so nothing is estimated wrongly. It is what all others are held against.

    References
    ----------
    DeMiguel, V., Garlappi, L. and Uppal, R. (2009). Optimal versus naive diversification. Review of Financial Studies
    22(5).
    """
    size = problem.feasible.size
    return _within(problem, np.full(size, 1.0 / size), "equal_weight")


@_objective("inverse_volatility")
def _inverse_volatility(problem: Problem) -> Array:
    """Weights in proportion to one over volatility.

    ``w[i] = (1 / s[i]) / sum_j (1 / s[j])``: equal risk, were all correlations the same.

    References
    ----------
    Maillard, S., Roncalli, T. and Teïletche, J. (2010). The properties of equally weighted risk contribution
    portfolios. Journal of Portfolio Management 36(4).
    """
    inverse = 1.0 / problem.volatilities
    return _within(problem, inverse / inverse.sum(), "inverse_volatility")


def _invested(problem: Problem) -> float:
    low, high = problem.feasible.net
    return float(np.clip(1.0, low, high))


def _within(problem: Problem, weights: Array, name: str) -> Array:
    """`weights` for the budget, or where they break a limit the nearest ones, by squared distance, that do not."""
    import cvxpy as cp

    weights = weights * _invested(problem)
    feasible = problem.feasible
    if feasible.tracking_error is None and not feasible.violations(weights, tolerance=1e-10):
        return weights
    program = problem.program()
    found = program.minimise(cp.sum_squares(program.weights - weights))
    if np.abs(found - weights).max() > 1e-6:
        problem.notes.append(f"{name} does not meet the constraints: these are the nearest weights that do")
    return found
