"""Estimates against PyPortfolioOpt and skfolio; Black-Litterman against the tables of He and Litterman (1999)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantkit.core.returns import simple_returns
from quantkit.portfolio.moments import estimate_moments
from quantkit.portfolio.views import black_litterman, implied_returns

COUNTRIES = ["Australia", "Canada", "France", "Germany", "Japan", "UK", "USA"]
CORRELATION = np.array([
    [1.000, 0.488, 0.478, 0.515, 0.439, 0.512, 0.491],
    [0.488, 1.000, 0.664, 0.655, 0.310, 0.608, 0.779],
    [0.478, 0.664, 1.000, 0.861, 0.355, 0.783, 0.668],
    [0.515, 0.655, 0.861, 1.000, 0.354, 0.777, 0.653],
    [0.439, 0.310, 0.355, 0.354, 1.000, 0.405, 0.306],
    [0.512, 0.608, 0.783, 0.777, 0.405, 1.000, 0.652],
    [0.491, 0.779, 0.668, 0.653, 0.306, 0.652, 1.000],
])  # fmt: skip
VOLATILITY = np.array([0.160, 0.203, 0.248, 0.271, 0.210, 0.200, 0.187])
MARKET = np.array([0.016, 0.022, 0.052, 0.055, 0.116, 0.124, 0.615])
COV = CORRELATION * np.outer(VOLATILITY, VOLATILITY)
GERMANY = [0.0, 0.0, -0.295, 1.0, 0.0, -0.705, 0.0]
CANADA = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0]
# The inputs are printed with three digits, which leaves a little more than half a unit in the outputs' last one.
PRINTED = 0.056


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    returns = rng.normal(0.0004, 0.008, (600, 1)) + rng.normal(0.0002, 0.012, (600, 6))
    index = pd.bdate_range("2020-01-01", periods=600, tz="UTC").astype("datetime64[us, UTC]")
    return pd.DataFrame(100 * np.cumprod(1 + returns, axis=0), index=index, columns=list("ABCDEF"))


def test_equilibrium_returns_are_those_of_he_and_litterman() -> None:
    np.testing.assert_allclose(100 * implied_returns(COV, MARKET), [3.9, 6.9, 8.4, 9.0, 4.3, 6.8, 7.6], atol=PRINTED)


@pytest.mark.parametrize(
    ("picks", "values", "mu", "weights"),
    [
        (
            [GERMANY],
            [0.05],
            [4.3, 7.6, 9.3, 11.0, 4.5, 7.0, 8.1],
            [1.5, 2.1, -4.0, 35.4, 11.0, -9.5, 58.6],
        ),
        (
            [GERMANY, CANADA],
            [0.05, 0.03],
            [4.4, 8.7, 9.5, 11.2, 4.6, 7.0, 7.5],
            [1.5, 41.9, -3.4, 33.6, 11.0, -8.2, 18.8],
        ),
    ],
    ids=["table 4", "table 5"],
)
def test_black_litterman_is_he_and_littermans_to_the_printed_digits(
    picks: list, values: list, mu: list, weights: list
) -> None:
    found = black_litterman(implied_returns(COV, MARKET), COV, np.array(picks), np.array(values))
    np.testing.assert_allclose(100 * found.mu, mu, atol=PRINTED)
    np.testing.assert_allclose(100 * np.linalg.solve(2.5 * found.cov, found.mu), weights, atol=PRINTED)


def test_a_view_without_confidence_leaves_the_prior_bit_for_bit() -> None:
    prior = implied_returns(COV, MARKET)
    found = black_litterman(prior, COV, np.array([GERMANY]), np.array([0.05]), confidences=np.array([0.0]))
    assert found.mu is prior
    assert found.cov is COV


def test_a_certain_view_holds_exactly() -> None:
    found = black_litterman(
        implied_returns(COV, MARKET), COV, np.array([GERMANY]), np.array([0.05]), confidences=np.array([1.0])
    )
    assert found.mu @ np.array(GERMANY) == pytest.approx(0.05, abs=1e-12)


@pytest.mark.parametrize("name", ["sample", "ledoit_wolf", "ewma"])
def test_covariances_are_pyportfolioopts(prices: pd.DataFrame, name: str) -> None:
    from pypfopt.risk_models import risk_matrix

    theirs = risk_matrix(prices, method={"sample": "sample_cov", "ewma": "exp_cov"}.get(name, name), frequency=1)
    ours = estimate_moments(prices, covariance=name).cov
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@pytest.mark.parametrize("name", ["historical", "ewma", "capm"])
def test_expected_returns_are_pyportfolioopts(prices: pd.DataFrame, name: str) -> None:
    from pypfopt.expected_returns import return_model

    method = {"historical": "mean_historical_return", "ewma": "ema_historical_return", "capm": "capm_return"}[name]
    theirs = return_model(prices, method=method, frequency=1, compounding=False)
    ours = estimate_moments(prices, expected_returns=name).mu
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_capm_with_a_benchmark_is_pyportfolioopts(prices: pd.DataFrame) -> None:
    from pypfopt.expected_returns import capm_return

    market = prices.mean(axis=1).rename("market")
    theirs = capm_return(prices, market.to_frame(), risk_free_rate=0.0, frequency=1, compounding=False)
    ours = estimate_moments(prices, expected_returns="capm", benchmark=market).mu
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_james_stein_is_skfolios(prices: pd.DataFrame) -> None:
    peers = Path(sys.prefix) / "peers"
    if str(peers) not in sys.path:
        sys.path.append(str(peers))
    if os.environ.get("CI") != "true":
        pytest.importorskip("skfolio")
    from skfolio.moments import EmpiricalCovariance, ShrunkMu, ShrunkMuMethods

    returns = simple_returns(prices)
    model = ShrunkMu(covariance_estimator=EmpiricalCovariance(), method=ShrunkMuMethods.JAMES_STEIN).fit(returns)
    assert 0.0 < model.beta_ < 1.0
    ours = estimate_moments(prices, expected_returns="james_stein", covariance="sample").mu
    np.testing.assert_allclose(ours, model.mu_, rtol=1e-10)


def test_bayes_stein_is_jorions_formula(prices: pd.DataFrame) -> None:
    returns = simple_returns(prices)
    mean, inverse = returns.mean().to_numpy(), np.linalg.inv(returns.cov().to_numpy())
    ones, count, size = np.ones(6), len(returns), 6
    target = ones @ inverse @ mean / (ones @ inverse @ ones)
    gap = mean - target
    share = (size + 2) / ((size + 2) + count * gap @ inverse @ gap)
    ours = estimate_moments(prices, expected_returns="bayes_stein", covariance="sample").mu
    np.testing.assert_allclose(ours, (1 - share) * mean + share * target, rtol=1e-12)
