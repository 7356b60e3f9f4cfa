"""Correlation, contributions and stress of portfolios."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import DataError, UsageError
from quantkit.risk import (
    Contributions,
    Correlation,
    Stress,
    correlation,
    expected_shortfall,
    measures,
    portfolio_returns,
    risk_contributions,
    rolling_correlation,
    stress,
    value_at_risk,
)
from quantkit.risk.correlation import covariance, nearest_correlation
from quantkit.risk.scenarios import Episode


@pytest.fixture(scope="module")
def returns() -> pd.DataFrame:
    """Two groups of three symbols, shuffled."""
    rng = np.random.default_rng(6)
    index = pd.date_range("2018-01-01", periods=1500, freq="D", tz="UTC", unit="us", name="time")
    groups = rng.normal(0, 0.01, (1500, 2))
    values = {f"{'TECH' if at % 2 else 'OIL'}{at}": groups[:, at % 2] + rng.normal(0, 0.005, 1500) for at in range(6)}
    return pd.DataFrame(values, index=index)


@pytest.mark.parametrize("method", ["pearson", "spearman", "ewma", "ledoit_wolf"])
def test_clustering_puts_what_moves_together_side_by_side(method: str, returns: pd.DataFrame) -> None:
    found = correlation(returns, method=method)
    kinds = [symbol[:3] for symbol in found.order]
    assert kinds in (["OIL"] * 3 + ["TEC"] * 3, ["TEC"] * 3 + ["OIL"] * 3)
    assert list(found.matrix.index) == list(found.matrix.columns) == list(found.order)
    assert len(found.merges) == 5
    assert Correlation.from_dict(found.to_dict()) == found
    assert found.repaired == 0


def test_pearson_and_spearman_equal_pandas(returns: pd.DataFrame) -> None:
    for method in ("pearson", "spearman"):
        expected = returns.corr(method=method)
        found = correlation(returns, method=method).matrix
        np.testing.assert_allclose(found.loc[expected.index, expected.columns], expected, rtol=1e-10)
    np.testing.assert_allclose(covariance(returns), returns.cov(), rtol=1e-10)


def test_ledoit_wolf_shrinks_and_says_how_far(returns: pd.DataFrame) -> None:
    short = returns.iloc[:30]
    plain, shrunk = correlation(short), correlation(short, method="ledoit_wolf")
    assert 0 < shrunk.shrinkage < 1
    assert shrunk.average < plain.average
    assert np.isnan(plain.shrinkage)


def test_nearest_correlation_is_highams_example() -> None:
    # Higham (2002), section 4: the nearest to this matrix has 0.7607 and 0.1573.
    raw = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    found = nearest_correlation(raw)
    np.testing.assert_allclose(found, [[1, 0.7607, 0.1573], [0.7607, 1, 0.7607], [0.1573, 0.7607, 1]], atol=5e-5)
    assert np.linalg.eigvalsh(found)[0] > -1e-12


def test_a_pairwise_matrix_that_is_not_semi_definite_is_repaired_and_says_so() -> None:
    rng = np.random.default_rng(0)
    index = pd.date_range("2020-01-01", periods=90, freq="D", tz="UTC", unit="us")
    a, b, c = (np.full(90, np.nan) for _ in range(3))
    base = rng.normal(0, 0.01, 90)
    a[:60] = base[:60]
    b[:30], b[60:] = base[:30], base[60:]
    c[30:60], c[60:] = base[30:60], -base[60:]
    ragged = pd.DataFrame({"A": a, "B": b, "C": c}, index=index)
    found = correlation(ragged, pairwise=True)
    assert found.smallest_eigenvalue < -0.5
    assert found.repaired > 0.1
    assert "repaired" in found.in_words()
    assert np.linalg.eigvalsh(found.matrix)[0] > -1e-10
    assert found.observations == 30
    with pytest.raises(DataError, match="not a return"):
        correlation(ragged)


def test_results_show_themselves(returns: pd.DataFrame) -> None:
    weights = {"OIL0": 0.5, "TECH1": 0.5}
    shown = (correlation(returns), risk_contributions(returns, weights), stress(returns, weights, episodes=(CRISIS,)))
    assert all("<table" in each._repr_html_() for each in shown)


def test_rolling_correlation_of_a_pair(returns: pd.DataFrame) -> None:
    found = rolling_correlation(returns["OIL0"], returns["OIL2"], window=60)
    expected = returns["OIL0"].rolling(60).corr(returns["OIL2"]).iloc[59:]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_correlation_refuses_what_has_none(returns: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="FLAT: the returns are all 0"):
        correlation(returns.assign(FLAT=0.0))
    with pytest.raises(UsageError, match="at least 2 symbols"):
        correlation(returns[["OIL0"]])
    with pytest.raises(UsageError, match="choose from pearson"):
        correlation(returns, method="kendall")


def test_contributions_are_derivatives_of_the_total(returns: pd.DataFrame) -> None:
    weights = dict(zip(returns.columns, (0.3, 0.2, 0.2, 0.2, 0.2, -0.1), strict=True))
    found = risk_contributions(returns, weights)
    held = portfolio_returns(returns, weights)
    assert found.volatility == pytest.approx(measures.volatility(held, periods_per_year=1), rel=1e-12)
    assert found.value_at_risk == pytest.approx(value_at_risk(held), rel=1e-12)
    assert found.expected_shortfall == pytest.approx(expected_shortfall(held), rel=1e-12)
    step = 1e-6
    for symbol in ("OIL0", "TECH5"):
        moved = held + step * returns[symbol]
        slope = (measures.volatility(moved, periods_per_year=1) - found.volatility) / step
        assert found.table.loc[symbol, "marginal_volatility"] == pytest.approx(slope, rel=1e-4)
        slope = (expected_shortfall(moved) - found.expected_shortfall) / step
        assert found.table.loc[symbol, "marginal_expected_shortfall"] == pytest.approx(slope, rel=1e-3)
    assert Contributions.from_dict(found.to_dict()) == found


def test_marginal_var_of_normal_returns_is_beta_times_var() -> None:
    rng = np.random.default_rng(3)
    index = pd.date_range("2000-01-01", periods=20_000, freq="h", tz="UTC", unit="us")
    mixed = rng.standard_normal((20_000, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.2], [0, 0, 0.7]]) * 0.01
    frame = pd.DataFrame(mixed, index=index, columns=list("ABC"))
    found = risk_contributions(frame, {"A": 0.5, "B": 0.3, "C": 0.2}).table
    share = found["volatility"] / found["volatility"].sum()
    np.testing.assert_allclose(found["value_at_risk"] / found["value_at_risk"].sum(), share, atol=0.02)


def test_a_hedge_reduces_risk(returns: pd.DataFrame) -> None:
    found = risk_contributions(returns, {"OIL0": 0.8, "TECH1": 0.7, "OIL2": -0.5}).table
    assert found.loc["OIL2", "volatility"] < 0
    assert found.loc["OIL2", "expected_shortfall"] > 0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"OIL0": 0.5, "TECH1": 0.4}, "sum to 0.9, not to 1: OIL0 0.5, TECH1 0.4"),
        ({"OIL0": 0.5, "AAPL": 0.5}, "no returns for AAPL"),
        ({"OIL0": float("nan"), "TECH1": 1.0}, "weight of OIL0 is not a number"),
    ],
)
def test_weights_that_make_no_portfolio_are_refused(weights: dict, message: str, returns: pd.DataFrame) -> None:
    for ask in (portfolio_returns, risk_contributions, stress):
        with pytest.raises(UsageError, match=message):
            ask(returns, weights)


def test_mixed_currencies_are_refused(returns: pd.DataFrame) -> None:
    weights = {"OIL0": 0.5, "TECH1": 0.5}
    currencies = dict.fromkeys(returns.columns, "USD") | {"TECH1": "EUR"}
    with pytest.raises(DataError, match="one currency is needed; got TECH1 in EUR, OIL0 in USD"):
        portfolio_returns(returns, weights, currencies=currencies)
    unused = dict.fromkeys(returns.columns, "USD") | {"TECH3": "EUR"}
    assert len(portfolio_returns(returns, weights, currencies=unused)) == 1500


CRISIS = Episode("crisis", pd.Timestamp("2019-03-01", tz="UTC"), pd.Timestamp("2019-04-01", tz="UTC"))
LONG_AGO = Episode("long ago", pd.Timestamp("2010-03-01", tz="UTC"), pd.Timestamp("2010-04-01", tz="UTC"))


def test_an_episode_is_bought_at_its_start_and_held(returns: pd.DataFrame) -> None:
    found = stress(returns, {"OIL0": 0.6, "TECH1": 0.4}, episodes=(CRISIS, LONG_AGO), value=1000.0)
    replayed, absent = found.scenarios
    inside = returns.loc["2019-03-02":"2019-04-01", ["OIL0", "TECH1"]]
    grown = (1 + inside).prod() - 1
    assert replayed.total == pytest.approx(0.6 * grown["OIL0"] + 0.4 * grown["TECH1"], rel=1e-12)
    assert replayed.profit == pytest.approx(1000 * replayed.total)
    assert (replayed.start, replayed.end) == (inside.index[0], inside.index[-1])
    assert np.isnan(absent.total)
    assert absent.note == "the data does not cover it"
    assert Stress.from_dict(found.to_dict()) == found


def test_a_symbol_without_prices_then_is_proxied_by_beta_and_named(returns: pd.DataFrame) -> None:
    market = returns[["OIL0", "TECH1", "OIL2", "TECH3"]].mean(axis=1).rename("^GSPC")
    young = returns.copy()
    young.loc[:"2019-06-01", "TECH1"] = np.nan
    weights = {"OIL0": 0.5, "TECH1": 0.5}
    alone = stress(young, weights, episodes=(CRISIS,)).scenarios[0]
    assert np.isnan(alone.total)
    assert "no prices then: TECH1" in alone.note
    found = stress(young, weights, benchmark=market, episodes=(CRISIS,))
    replayed = found.scenarios[0]
    assert replayed.proxied == ("TECH1",)
    beta = found.betas.loc["TECH1", "^GSPC"]
    known = young["TECH1"].dropna()
    beside = market.loc[known.index]
    assert beta == pytest.approx(known.cov(beside) / beside.var(), rel=1e-9)
    inside = market.loc["2019-03-02":"2019-04-01"]
    assert replayed.parts["TECH1"] == pytest.approx(0.5 * ((1 + beta * inside).prod() - 1), rel=1e-9)


def test_factor_shocks_go_through_beta(returns: pd.DataFrame) -> None:
    factors = returns[["OIL0", "TECH1"]].rename(columns={"OIL0": "oil", "TECH1": "tech"})
    found = stress(
        returns, {"OIL2": 0.5, "TECH3": 0.5}, factors=factors, shocks={"oil": -0.2, "tech": 0.1}, episodes=()
    )
    expected = 0.5 * (found.betas @ pd.Series({"oil": -0.2, "tech": 0.1})).sum()
    assert found.scenarios[0].total == pytest.approx(expected, rel=1e-12)
    assert found.betas.loc["OIL2", "oil"] > 0.6
    assert abs(found.betas.loc["OIL2", "tech"]) < 0.1
    with pytest.raises(UsageError, match="choose from oil, tech"):
        stress(returns, {"OIL2": 1.0}, factors=factors, shocks={"gold": 0.1}, episodes=())
    with pytest.raises(DataError, match="repeat each other"):
        stress(returns, {"OIL2": 1.0}, factors=factors.assign(more=factors["oil"] * 2), episodes=())


def test_own_scenarios_list_what_stands_still(returns: pd.DataFrame) -> None:
    found = stress(returns, {"OIL0": 0.6, "TECH1": 0.4}, own={"ban": {"OIL0": -0.5}}, episodes=(), value=100.0)
    scenario = found.scenarios[0]
    assert scenario.total == pytest.approx(-0.3)
    assert scenario.profit == pytest.approx(-30)
    assert scenario.note == "taken as unchanged: TECH1"
    with pytest.raises(UsageError, match="TECH3 is not held"):
        stress(returns, {"OIL0": 1.0}, own={"x": {"TECH3": -0.5}}, episodes=())
    with pytest.raises(UsageError, match="at least -1"):
        stress(returns, {"OIL0": 1.0}, own={"x": {"OIL0": -1.5}}, episodes=())
