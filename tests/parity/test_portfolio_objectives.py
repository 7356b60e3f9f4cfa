"""Objectives against PyPortfolioOpt, skfolio and, for what neither has, the definition itself, on the real sample."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantkit.core.returns import simple_returns
from quantkit.data.base import HistoryQuery
from quantkit.data.sample import SampleProvider
from quantkit.portfolio import OBJECTIVES, Constraints, optimize
from quantkit.portfolio.hierarchical import hierarchical_risk_parity
from quantkit.portfolio.objectives import Objective
from quantkit.portfolio.problem import Problem
from quantkit.portfolio.tail_loss import conditional_value_at_risk

TWENTY = "AAPL AMD BAC BBY CVX GE HD JNJ JPM KO LLY MRK MSFT PEP PFE PG RRC UNH WMT XOM".split()
RELATIVE = 1e-6


@lru_cache(maxsize=1)
def sample_prices() -> pd.DataFrame:
    provider = SampleProvider()

    def close(symbol: str) -> pd.Series:
        query = HistoryQuery(symbol)
        return provider.normalise(provider.extract(provider.build(query)), query).bars["adj_close"]

    return pd.DataFrame({symbol: close(symbol) for symbol in TWENTY}).dropna()


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    return sample_prices().loc["2014":"2018"]


@pytest.fixture(scope="module")
def returns(prices: pd.DataFrame) -> pd.DataFrame:
    return simple_returns(prices)


def skfolio() -> Any:
    """The package, from the environment or from the folder of peers beside it."""
    peers = Path(sys.prefix) / "peers"
    if str(peers) not in sys.path:
        sys.path.append(str(peers))
    try:
        import skfolio
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"skfolio is neither installed nor in {peers}")
    return skfolio


def posed(returns: pd.DataFrame, constraints: Constraints | None = None, **given: Any) -> Problem:
    return Problem(
        mu=returns.mean().to_numpy(),
        cov=returns.cov().to_numpy(),
        feasible=(constraints or Constraints()).resolve(list(returns.columns), current=given.pop("current", None)),
        returns=returns.to_numpy(),
        **given,
    )


def sharpe(weights: np.ndarray, problem: Problem) -> float:
    return float(problem.excess @ weights / np.sqrt(weights @ problem.cov @ weights))


def close_to(ours: float, theirs: float) -> None:
    assert abs(ours - theirs) <= RELATIVE * abs(theirs), (ours, theirs)


def frontier(problem: Problem, bounds: tuple[float, float] = (0, 1)) -> Any:
    """PyPortfolioOpt on the same estimates, in units of percent: its tolerances are absolute."""
    import cvxpy as cp
    from pypfopt import EfficientFrontier

    tight = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
    return EfficientFrontier(
        problem.mu * 100, problem.cov * 1e4, weight_bounds=bounds, solver=cp.CLARABEL, solver_options=tight
    )


@pytest.mark.parametrize("bounds", [(0, 1), (0, 0.12), (-0.1, 0.3)])
def test_max_sharpe_is_pyportfolioopts(returns: pd.DataFrame, bounds: tuple[float, float]) -> None:
    problem = posed(returns, Constraints(bounds=bounds), risk_free=2e-5)
    model = frontier(problem, bounds)
    model.max_sharpe(risk_free_rate=2e-3)
    close_to(sharpe(OBJECTIVES["max_sharpe"](problem), problem), sharpe(np.array(model.weights), problem))


@pytest.mark.parametrize("bounds", [(0, 1), (0, 0.12), (-0.1, 0.3)])
def test_min_volatility_is_pyportfolioopts(returns: pd.DataFrame, bounds: tuple[float, float]) -> None:
    problem = posed(returns, Constraints(bounds=bounds))
    model = frontier(problem, bounds)
    model.min_volatility()
    ours, theirs = OBJECTIVES["min_volatility"](problem), np.array(model.weights)
    close_to(ours @ problem.cov @ ours, theirs @ problem.cov @ theirs)


def test_target_return_is_pyportfolioopts(returns: pd.DataFrame) -> None:
    problem = posed(returns, target_return=7e-4)
    model = frontier(problem)
    model.efficient_return(7e-2)
    ours, theirs = OBJECTIVES["target_return"](problem), np.array(model.weights)
    close_to(ours @ problem.cov @ ours, theirs @ problem.cov @ theirs)
    close_to(float(problem.mu @ ours), 7e-4)


def test_target_volatility_is_pyportfolioopts(returns: pd.DataFrame) -> None:
    problem = posed(returns, target_volatility=0.009)
    model = frontier(problem)
    model.efficient_risk(0.9)
    ours = OBJECTIVES["target_volatility"](problem)
    close_to(float(problem.mu @ ours), float(problem.mu @ np.array(model.weights)))
    assert np.sqrt(ours @ problem.cov @ ours) <= 0.009 * (1 + 1e-9)


def test_max_utility_is_pyportfolioopts(returns: pd.DataFrame) -> None:
    problem = posed(returns, risk_aversion=8.0)
    model = frontier(problem)
    # In percent, mean - aversion / 2 * variance has the aversion divided by 100.
    model.max_quadratic_utility(risk_aversion=0.08)

    def utility(w: np.ndarray) -> float:
        return float(problem.mu @ w - 4.0 * w @ problem.cov @ w)

    close_to(utility(OBJECTIVES["max_utility"](problem)), utility(np.array(model.weights)))


def test_min_cvar_is_pyportfolioopts(returns: pd.DataFrame) -> None:
    import cvxpy as cp
    from pypfopt import EfficientCVaR

    problem = posed(returns)
    model = EfficientCVaR(None, returns * 100, beta=0.95, solver=cp.HIGHS)
    model.min_cvar()
    ours = conditional_value_at_risk(problem.returns @ OBJECTIVES["min_cvar"](problem), 0.95)
    theirs = conditional_value_at_risk(problem.returns @ np.array(model.weights), 0.95)
    close_to(ours, theirs)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_cvar_is_the_minimum_of_rockafellar_and_uryasevs_function(returns: pd.DataFrame, level: float) -> None:
    losses = -returns["AAPL"].to_numpy()
    least = min(edge + np.maximum(losses - edge, 0).mean() / (1 - level) for edge in losses)
    assert conditional_value_at_risk(-losses, level) == pytest.approx(least, rel=1e-12)


def test_hrp_without_optimal_ordering_is_pyportfolioopts(returns: pd.DataFrame) -> None:
    from pypfopt import HRPOpt

    theirs = pd.Series(HRPOpt(returns).optimize(linkage_method="single")).reindex(returns.columns)
    ours = hierarchical_risk_parity(returns.cov().to_numpy(), linkage="single", optimal_ordering=False)
    np.testing.assert_allclose(ours, theirs.to_numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("linkage", ["single", "complete", "average", "ward"])
def test_hrp_with_optimal_ordering_is_skfolios(returns: pd.DataFrame, linkage: str) -> None:
    skfolio()
    from skfolio.cluster import HierarchicalClustering, LinkageMethod
    from skfolio.distance import PearsonDistance
    from skfolio.optimization import HierarchicalRiskParity

    model = HierarchicalRiskParity(
        distance_estimator=PearsonDistance(),
        hierarchical_clustering_estimator=HierarchicalClustering(linkage_method=LinkageMethod(linkage)),
    ).fit(returns)
    ours = hierarchical_risk_parity(returns.cov().to_numpy(), linkage=linkage)  # type: ignore[arg-type]
    np.testing.assert_allclose(ours, model.weights_, rtol=0, atol=1e-12)


TIGHT = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}


@pytest.mark.parametrize("objective", ["max_sharpe", "min_volatility", "min_cvar"])
def test_mean_risk_objectives_are_skfolios(returns: pd.DataFrame, objective: str) -> None:
    skfolio()
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk, ObjectiveFunction

    model = MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_RATIO
        if objective == "max_sharpe"
        else ObjectiveFunction.MINIMIZE_RISK,
        risk_measure=RiskMeasure.CVAR if objective == "min_cvar" else RiskMeasure.VARIANCE,
        solver_params=TIGHT,
    ).fit(returns)
    problem = posed(returns)
    ours, theirs = OBJECTIVES[objective](problem), model.weights_
    measure = {
        "max_sharpe": lambda w: sharpe(w, problem),
        "min_volatility": lambda w: float(w @ problem.cov @ w),
        "min_cvar": lambda w: conditional_value_at_risk(problem.returns @ w, 0.95),
    }[objective]
    close_to(measure(ours), measure(theirs))


@pytest.mark.parametrize("bounds", [(0, 1), (0, 0.1)])
def test_max_diversification_is_skfolios(returns: pd.DataFrame, bounds: tuple[float, float]) -> None:
    skfolio()
    from skfolio.optimization import MaximumDiversification

    model = MaximumDiversification(max_weights=bounds[1], solver_params=TIGHT).fit(returns)
    problem = posed(returns, Constraints(bounds=bounds))

    def ratio(w: np.ndarray) -> float:
        return float(w @ problem.volatilities / np.sqrt(w @ problem.cov @ w))

    close_to(ratio(OBJECTIVES["max_diversification"](problem)), ratio(model.weights_))


@pytest.mark.parametrize("most", [1.0, 0.06])
def test_risk_parity_is_skfolios(returns: pd.DataFrame, most: float) -> None:
    skfolio()
    from skfolio.optimization import RiskBudgeting

    model = RiskBudgeting(max_weights=most, solver_params=TIGHT).fit(returns)
    problem = posed(returns, Constraints(bounds=(0, most)))
    ours, theirs = OBJECTIVES["risk_parity"](problem), model.weights_

    def spread(w: np.ndarray) -> float:
        """What is minimised over the cone of portfolios: log volatility less the mean log weight."""
        return float(np.log(w @ problem.cov @ w) / 2 - np.log(w).mean())

    close_to(spread(ours), spread(theirs))
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_inverse_volatility_and_equal_weight_are_skfolios(returns: pd.DataFrame) -> None:
    skfolio()
    from skfolio.optimization import EqualWeighted, InverseVolatility

    problem = posed(returns)
    for name, model in (("inverse_volatility", InverseVolatility()), ("equal_weight", EqualWeighted())):
        np.testing.assert_allclose(OBJECTIVES[name](problem), model.fit(returns).weights_, rtol=1e-12)


def test_transaction_costs_are_skfolios(returns: pd.DataFrame) -> None:
    skfolio()
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk, ObjectiveFunction

    held = np.zeros(20)
    held[:4] = 0.25
    # 60 basis points over 20 periods are 3 basis points a period.
    problem = posed(
        returns,
        Constraints(cost_bps=60.0, holding_periods=20),
        current=dict(zip(TWENTY, held, strict=True)),
        risk_aversion=8.0,
    )
    model = MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_UTILITY,
        risk_measure=RiskMeasure.VARIANCE,
        risk_aversion=4.0,
        transaction_costs=3e-4,
        previous_weights=held,
        solver_params=TIGHT,
    ).fit(returns)

    def utility(w: np.ndarray) -> float:
        return float(problem.mu @ w - 4.0 * w @ problem.cov @ w - 3e-4 * np.abs(w - held).sum())

    close_to(utility(OBJECTIVES["max_utility"](problem)), utility(model.weights_))


@pytest.mark.parametrize(
    "objective", ["max_sharpe", "min_volatility", "max_diversification", "max_utility", "min_cvar"]
)
def test_the_critical_line_and_the_convex_program_agree(returns: pd.DataFrame, objective: str) -> None:
    limits = Constraints(
        bounds=(-0.1, 0.2),
        gross=1.3,
        sectors=dict.fromkeys(("CVX", "XOM", "RRC"), "oil"),
        sector_bounds={"oil": (0.05, 0.1)},
    )
    problem = posed(returns, limits, risk_aversion=6.0)
    exact = OBJECTIVES[objective](problem)
    # A budget that is a range beyond the critical line's reach, and the same to 1e-12, goes to the convex program.
    wide = posed(returns, Constraints(**{**plain(limits), "net": (1.0, 1.0 + 1e-12)}), risk_aversion=6.0)
    assert not wide.feasible.on_critical_line
    solved = OBJECTIVES[objective](wide)
    measure = {
        "max_sharpe": lambda w: sharpe(w, problem),
        "max_utility": lambda w: float(problem.mu @ w - 3.0 * w @ problem.cov @ w),
        "max_diversification": lambda w: float(w @ problem.volatilities / np.sqrt(w @ problem.cov @ w)),
        "min_cvar": lambda w: conditional_value_at_risk(problem.returns @ w, 0.95),
    }.get(objective, lambda w: float(w @ problem.cov @ w))
    close_to(measure(exact), measure(solved))
    assert not problem.feasible.violations(exact, tolerance=1e-9)


def plain(limits: Constraints) -> dict[str, Any]:
    return {name: getattr(limits, name) for name in ("bounds", "gross", "sectors", "sector_bounds", "net")}


def test_the_linear_and_the_conic_statement_of_min_cvar_agree(returns: pd.DataFrame) -> None:
    even = dict.fromkeys(TWENTY, 0.05)
    limits = Constraints(bounds=(-0.05, 0.2), gross=1.2, turnover=0.6, net=(0.9, 1.0))
    linear = posed(returns, limits, current=even)
    # A tracking error that never binds makes the same question conic.
    loose = Constraints(
        bounds=(-0.05, 0.2), gross=1.2, turnover=0.6, net=(0.9, 1.0), tracking_error=5.0, benchmark_weights=even
    )
    conic = posed(returns, loose, current=even)
    found = [OBJECTIVES["min_cvar"](each) for each in (linear, conic)]
    close_to(*(conditional_value_at_risk(linear.returns @ w, 0.95) for w in found))
    assert not linear.feasible.violations(found[0], tolerance=1e-8)


def test_every_objective_is_an_entry_with_a_summary() -> None:
    for name, objective in OBJECTIVES.items():
        assert isinstance(objective, Objective)
        assert objective.summary.endswith("."), name


def test_optimize_reaches_the_same_optimum_as_its_objective(prices: pd.DataFrame, returns: pd.DataFrame) -> None:
    found = optimize(prices, expected_returns="historical", covariance="sample")
    np.testing.assert_allclose(found.weights, OBJECTIVES["max_sharpe"](posed(returns)), atol=1e-12)
    assert found.sharpe == pytest.approx(sharpe(found.weights.to_numpy(), posed(returns)) * np.sqrt(252), rel=1e-12)
