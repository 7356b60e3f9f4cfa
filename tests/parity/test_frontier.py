"""The exact frontier against cvxpy point by point, and against the example that Bailey and López de Prado print."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantkit.core.returns import simple_returns
from quantkit.data.base import HistoryQuery
from quantkit.data.sample import SampleProvider
from quantkit.portfolio import Constraints, efficient_frontier

TWENTY = "AAPL AMD BAC BBY CVX GE HD JNJ JPM KO LLY MRK MSFT PEP PFE PG RRC UNH WMT XOM".split()

# Bailey, D. and López de Prado, M. (2013). Algorithms 6(1), 169-196: the example's CLA_Data.csv.
PAPER_MU = [1.175, 1.19, 0.396, 1.12, 0.346, 0.679, 0.089, 0.73, 0.481, 1.08]
PAPER_COV = """
0.40755159 0.03175842 0.05183923 0.05663904 0.0330226 0.00827775 0.02165938 0.01332419 0.0343476 0.02249903
0.03175842 0.9063047 0.03136385 0.02687256 0.01917172 0.00934384 0.02495043 0.00761036 0.02874874 0.01336866
0.05183923 0.03136385 0.19490901 0.04408485 0.03006772 0.01322738 0.03525971 0.0115493 0.0427563 0.02057303
0.05663904 0.02687256 0.04408485 0.19528471 0.02777345 0.00526665 0.01375808 0.00780878 0.02914176 0.01640377
0.0330226 0.01917172 0.03006772 0.02777345 0.34059105 0.00777055 0.02067844 0.00736409 0.02542657 0.01284075
0.00827775 0.00934384 0.01322738 0.00526665 0.00777055 0.15983874 0.02105575 0.00518686 0.01723737 0.00723779
0.02165938 0.02495043 0.03525971 0.01375808 0.02067844 0.02105575 0.68056711 0.01377882 0.04627027 0.01926088
0.01332419 0.00761036 0.0115493 0.00780878 0.00736409 0.00518686 0.01377882 0.95526918 0.0106553 0.00760955
0.0343476 0.02874874 0.0427563 0.02914176 0.02542657 0.01723737 0.04627027 0.0106553 0.31681584 0.01854318
0.02249903 0.01336866 0.02057303 0.01640377 0.01284075 0.00723779 0.01926088 0.00760955 0.01854318 0.11079287
"""
# Its Table 2: return and risk of every turning point, from the top, as printed.
PAPER_CORNERS = [
    (1.190, 0.952), (1.180, 0.546), (1.160, 0.417), (1.111, 0.267), (1.108, 0.265), (1.022, 0.230), (1.015, 0.228),
    (0.973, 0.220), (0.950, 0.216), (0.803, 0.205),
]  # fmt: skip
# And the weights of its first mixed corner and of the portfolio of least variance.
PAPER_LEAST = [
    0.03696858, 0.02690084, 0.09494243, 0.12577595, 0.07674608, 0.21935567, 0.02998710, 0.03596328, 0.06134984,
    0.29201023,
]  # fmt: skip


@pytest.fixture(scope="module")
def paper() -> tuple[pd.Series, pd.DataFrame]:
    names = pd.Index([f"X{at}" for at in range(1, 11)])
    cov = np.array(PAPER_COV.split(), dtype=float).reshape(10, 10)
    return pd.Series(PAPER_MU, index=names), pd.DataFrame(cov, index=names, columns=names)


@pytest.fixture(scope="module")
def moments() -> tuple[pd.Series, pd.DataFrame]:
    provider = SampleProvider()

    def close(symbol: str) -> pd.Series:
        query = HistoryQuery(symbol, start=pd.Timestamp("2013-01-01", tz="UTC"))
        return provider.normalise(provider.extract(provider.build(query)), query).bars["adj_close"]

    returns = simple_returns(pd.DataFrame({symbol: close(symbol) for symbol in TWENTY}).dropna())
    return returns.mean(), returns.cov()


def solved(mu: pd.Series, cov: pd.DataFrame, target: float, limits: list) -> float:
    """Least variance at `target`, by cvxpy, scaled so that its tolerances mean something; refined to its active set."""
    import cvxpy as cp

    scale = float(np.sqrt(np.mean(np.diag(cov))))
    factor = np.linalg.cholesky(cov.to_numpy() / scale**2).T
    w = cp.Variable(len(mu))
    gain = (mu.to_numpy() / scale) @ w
    problem = cp.Problem(
        cp.Minimize(cp.sum_squares(factor @ w)),
        [cp.sum(w) == 1, gain == target / scale, *(limit(w) for limit in limits)],
    )
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-14, tol_gap_rel=1e-14, tol_feas=1e-14, max_iter=500)
    return float(problem.value) * scale**2


def agree(found: pd.DataFrame, weights: pd.DataFrame, mu: pd.Series, cov: pd.DataFrame, limits: list) -> None:
    ours = found["volatility"].to_numpy() ** 2
    theirs = np.array([solved(mu, cov, target, limits) for target in found["expected_return"]])
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=0)
    np.testing.assert_allclose((weights.to_numpy() @ mu.to_numpy()), found["expected_return"], rtol=1e-10)


def test_the_frontier_is_cvxpys_at_200_points_to_1e_8_of_the_variance(moments: tuple[pd.Series, pd.DataFrame]) -> None:
    mu, cov = moments
    found = efficient_frontier(mu, cov, points=200)
    assert found.exact
    assert len(found.points) == 200
    agree(found.points, found.weights, mu, cov, [lambda w: w >= 0])


def test_with_sectors_and_gross_exposure_it_is_cvxpys_too(moments: tuple[pd.Series, pd.DataFrame]) -> None:
    import cvxpy as cp

    mu, cov = moments
    banks = np.array([float(symbol in ("BAC", "JPM")) for symbol in mu.index])
    limits = Constraints(
        bounds=(-0.1, 0.25),
        gross=1.4,
        sectors={"BAC": "banks", "JPM": "banks"},
        sector_bounds={"banks": (0.05, 0.2)},
    )
    found = efficient_frontier(mu, cov, points=40, constraints=limits)
    assert found.exact
    agree(
        found.points,
        found.weights,
        mu,
        cov,
        [
            lambda w: w >= -0.1,
            lambda w: w <= 0.25,
            lambda w: cp.norm1(w) <= 1.4,
            lambda w: banks @ w >= 0.05,
            lambda w: banks @ w <= 0.2,
        ],
    )


def test_point_by_point_it_reaches_the_exact_frontier(moments: tuple[pd.Series, pd.DataFrame]) -> None:
    mu, cov = moments
    exact = efficient_frontier(mu, cov, points=20)
    # Turnover of 2 from cash cannot bind, but it takes the question off the critical line.
    solved_points = efficient_frontier(mu, cov, points=20, constraints={"turnover": 2.0}, current_weights={})
    assert not solved_points.exact
    np.testing.assert_allclose(solved_points.points["volatility"], exact.points["volatility"], rtol=1e-6)
    np.testing.assert_allclose(solved_points.points["expected_return"], exact.points["expected_return"], rtol=1e-6)


def test_the_corners_are_the_papers(paper: tuple[pd.Series, pd.DataFrame]) -> None:
    found = efficient_frontier(*paper)
    printed = np.array(PAPER_CORNERS)
    corners = found.corner_points[["expected_return", "volatility"]].to_numpy()
    assert corners.shape == printed.shape
    np.testing.assert_allclose(corners, printed, rtol=0, atol=5.001e-4)
    np.testing.assert_allclose(found.min_volatility, PAPER_LEAST, rtol=0, atol=5.1e-9)


def test_the_highest_sharpe_ratio_is_the_papers(paper: tuple[pd.Series, pd.DataFrame]) -> None:
    found = efficient_frontier(*paper)
    assert found.tangency is not None
    mean, volatility = found.point(found.tangency)
    assert round(mean / volatility, 4) == 4.4535
    # It lies inside a segment: every corner has a lower one.
    assert (found.corner_points["sharpe"] < mean / volatility - 1e-6).all()


def test_the_tangency_is_that_of_a_fine_search(moments: tuple[pd.Series, pd.DataFrame]) -> None:
    mu, cov = moments
    found = efficient_frontier(mu, cov, points=1000)
    assert found.tangency is not None
    mean, volatility = found.point(found.tangency)
    assert mean / volatility >= found.points["sharpe"].max()
    assert mean / volatility == pytest.approx(found.points["sharpe"].max(), rel=1e-5)


def test_the_critical_line_is_pyportfolioopts_cla(paper: tuple[pd.Series, pd.DataFrame]) -> None:
    from pypfopt import CLA

    theirs = CLA(*paper)
    theirs.max_sharpe()
    found = efficient_frontier(*paper)
    assert found.tangency is not None
    np.testing.assert_allclose(found.tangency, theirs.weights.ravel(), atol=1e-6)
