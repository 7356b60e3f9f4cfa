"""What holds for any estimates: budgets, bounds, shapes, and that more freedom never hurts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantkit.portfolio import OBJECTIVES, Constraints, efficient_frontier
from quantkit.portfolio.problem import NoExcessReturnError, Problem
from quantkit.portfolio.programs import InfeasibleProgramError
from quantkit.portfolio.tail_loss import conditional_value_at_risk

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@st.composite
def histories(draw: st.DrawFn, least: int = 2, most: int = 8) -> np.ndarray:
    """Returns of some assets over 150 days, with a common factor of any strength."""
    size = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    common = rng.normal(0.0004, 0.01, (150, 1)) * rng.uniform(-0.5, 1.5, size) * draw(st.floats(0.0, 2.0))
    own = rng.normal(0.0, 1.0, (150, size)) * rng.uniform(0.003, 0.04, size)
    return common + own + rng.normal(0.0003, 0.001, size)


def posed(returns: np.ndarray, constraints: Constraints | None = None, **asked: Any) -> Problem:
    mu, cov = returns.mean(axis=0), np.cov(returns, rowvar=False)
    symbols = [f"S{at}" for at in range(returns.shape[1])]
    line = np.sort(mu)
    given_targets = {
        "target_return": float((line[0] + 2 * line[-1]) / 3),
        "target_volatility": float(np.sqrt(np.diag(cov)).max()),
    }
    limits = (constraints or Constraints()).resolve(symbols, current=asked.pop("current", None))
    return Problem(mu, cov, limits, returns, **{**given_targets, **asked})


def value(objective: str, w: np.ndarray, problem: Problem) -> float:
    """What an objective makes as small as it can."""
    variance = float(w @ problem.cov @ w)
    return {
        "max_sharpe": lambda: -float(problem.excess @ w) / np.sqrt(variance),
        "min_volatility": lambda: variance,
        "target_return": lambda: variance,
        "target_volatility": lambda: -float(problem.mu @ w),
        "max_utility": lambda: problem.risk_aversion / 2 * variance - float(problem.mu @ w),
        "min_cvar": lambda: conditional_value_at_risk(problem.returns @ w, problem.level),
        "max_diversification": lambda: -float(problem.volatilities @ w) / np.sqrt(variance),
        "risk_parity": lambda: np.log(variance) / 2 - float(np.log(np.maximum(w, 1e-300)).mean()),
    }[objective]()


OPTIMISED = ["max_sharpe", "min_volatility", "target_return", "target_volatility", "max_utility", "min_cvar",
             "max_diversification", "risk_parity"]  # fmt: skip


def chosen(objective: str, problem: Problem) -> np.ndarray | None:
    try:
        return OBJECTIVES[objective](problem)
    except NoExcessReturnError:
        return None


@pytest.mark.parametrize("objective", list(OBJECTIVES))
@given(returns=histories())
@QUICK
def test_weights_sum_to_the_budget_and_bounds_hold(objective: str, returns: np.ndarray) -> None:
    most = 1.5 / returns.shape[1]
    problem = posed(returns, Constraints(bounds=(0.0, most)), target_return=float(returns.mean()))
    try:
        weights = chosen(objective, problem)
    except InfeasibleProgramError:
        assert objective in ("target_return", "target_volatility")
        return
    if weights is not None:
        assert abs(weights.sum() - 1.0) < 1e-8
        assert weights.min() > -1e-8
        assert weights.max() < most + 1e-8


@pytest.mark.parametrize("objective", OPTIMISED)
@given(returns=histories(least=3))
@QUICK
def test_a_further_constraint_never_improves_what_is_optimised(objective: str, returns: np.ndarray) -> None:
    size = returns.shape[1]
    free = posed(returns)
    best = chosen(objective, free)
    if best is None:
        return
    for further in (
        Constraints(bounds=(0.0, 2.0 / size)),
        Constraints(sectors={"S0": "one", "S1": "one"}, sector_bounds={"one": (0.3, 1.0)}),
        Constraints(turnover=0.8),
    ):
        current = None if further.turnover is None else {f"S{at}": 1.0 / size for at in range(size)}
        try:
            bound = chosen(objective, posed(returns, further, current=current))
        except InfeasibleProgramError:
            continue
        if bound is not None:
            ours, theirs = value(objective, best, free), value(objective, bound, free)
            assert ours <= theirs + 1e-7 * abs(theirs)


@pytest.mark.parametrize("objective", [*OPTIMISED, "equal_weight", "inverse_volatility"])
@given(returns=histories(least=3), seed=st.integers(0, 1000))
@QUICK
def test_permuting_the_assets_permutes_the_weights(objective: str, returns: np.ndarray, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(returns.shape[1])
    weights, shuffled = chosen(objective, posed(returns)), chosen(objective, posed(returns[:, order]))
    if weights is None or shuffled is None:
        assert weights is shuffled
        return
    np.testing.assert_allclose(shuffled, weights[order], atol=2e-7)


@given(returns=histories(least=2), factor=st.floats(0.01, 100.0))
@QUICK
def test_the_unit_of_returns_does_not_matter(returns: np.ndarray, factor: float) -> None:
    for objective in ("max_sharpe", "min_volatility", "max_diversification", "risk_parity", "min_cvar", "hrp"):
        weights, scaled = chosen(objective, posed(returns)), chosen(objective, posed(returns * factor))
        if weights is not None and scaled is not None:
            np.testing.assert_allclose(scaled, weights, atol=1e-6)


@given(returns=histories())
@QUICK
def test_the_frontier_is_monotone_and_convex(returns: np.ndarray) -> None:
    mu = pd.Series(returns.mean(axis=0), index=[f"S{at}" for at in range(returns.shape[1])])
    cov = pd.DataFrame(np.cov(returns, rowvar=False), index=mu.index, columns=mu.index)
    found = efficient_frontier(mu, cov, points=60)
    mean = found.points["expected_return"].to_numpy()
    volatility = found.points["volatility"].to_numpy()
    span = mean[-1] - mean[0]
    if span <= 1e-12:
        return
    assert (np.diff(mean) > 0).all()
    assert (np.diff(volatility) > -1e-14).all()
    # Convex: risk on a chord is at least the frontier's at the same return.
    assert (volatility[:-2] + volatility[2:] - 2 * volatility[1:-1] > -1e-12).all()
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0, atol=1e-12)
    assert found.weights.to_numpy().min() >= 0.0
    at = found.weights_at(float(mean[7]))
    np.testing.assert_allclose(at, found.weights.iloc[7], atol=1e-9)


@given(returns=histories())
@QUICK
def test_no_portfolio_at_random_beats_the_frontier(returns: np.ndarray) -> None:
    problem = posed(returns)
    line = problem.line
    assert line is not None
    for w in np.random.default_rng(0).dirichlet(np.ones(returns.shape[1]), 40):
        least = line.at_mean(float(problem.mu @ w))
        assert least @ problem.cov @ least <= w @ problem.cov @ w + 1e-15


@given(returns=histories(), level=st.floats(0.5, 0.99))
@QUICK
def test_cvar_is_between_the_mean_and_the_worst_loss_and_coherent(returns: np.ndarray, level: float) -> None:
    one, other = returns[:, 0], returns[:, 1]
    tail = conditional_value_at_risk(one, level)
    assert -one.mean() - 1e-12 <= tail <= -one.min() + 1e-12
    both = conditional_value_at_risk(one + other, level)
    assert both <= tail + conditional_value_at_risk(other, level) + 1e-12
    assert conditional_value_at_risk(3 * one, level) == pytest.approx(3 * tail)
