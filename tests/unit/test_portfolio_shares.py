"""Whole shares, against every combination that the money could buy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import UsageError
from quantkit.portfolio import Shares, whole_shares


def best_by_trying(
    weights: pd.Series, prices: dict[str, float], capital: float, held: np.ndarray, rate: float
) -> float:
    price = np.array(list(prices.values()))
    wanted = weights.to_numpy() * capital
    least = np.inf
    for number in product(*(range(int(capital / each) + 1) for each in price)):
        value = np.array(number) * price
        cash = capital - value.sum() - rate * np.abs(np.array(number) - held) @ price
        if cash >= -1e-9:
            least = min(least, np.abs(value - wanted).sum() + abs(value.sum() - wanted.sum()))
    return float(least)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cost_bps", [0.0, 50.0])
def test_no_other_number_of_shares_comes_nearer(seed: int, cost_bps: float) -> None:
    rng = np.random.default_rng(seed)
    weights = pd.Series(rng.dirichlet(np.ones(3)), index=list("ABC"))
    prices = dict(zip("ABC", rng.uniform(20, 120, 3).round(2), strict=True))
    held = rng.integers(0, 4, 3).astype(float)
    found = whole_shares(weights, prices, 1000.0, current_shares=dict(zip("ABC", held, strict=True)), cost_bps=cost_bps)
    missed = found.deviation * 1000.0 + found.leftover_cash + found.costs
    best = best_by_trying(weights, prices, 1000.0, held, cost_bps / 1e4)
    assert missed == pytest.approx(best, rel=2e-3)
    assert (found.shares == found.shares.round()).all()


def test_it_is_pyportfolioopts_allocation() -> None:
    from pypfopt.discrete_allocation import DiscreteAllocation

    rng = np.random.default_rng(2)
    weights = pd.Series(rng.dirichlet(np.ones(10)), index=[f"S{at}" for at in range(10)])
    prices = pd.Series(rng.uniform(10, 300, 10).round(2), index=weights.index)
    theirs, left = DiscreteAllocation(dict(weights), prices, total_portfolio_value=10_000).lp_portfolio()
    value = pd.Series(theirs, dtype=float).reindex(weights.index).fillna(0.0) * prices
    ours = whole_shares(weights, prices, 10_000)
    score = (value - weights * 10_000).abs().sum() + left
    assert ours.deviation * 10_000 + ours.leftover_cash <= score * (1 + 2e-3)


def test_positions_costs_and_cash_are_the_capital() -> None:
    weights = pd.Series({"A": 0.7, "B": 0.3})
    found = whole_shares(weights, {"A": 33.0, "B": 7.0}, 500.0, current_shares={"A": 3}, cost_bps=20)
    assert found.value.sum() + found.costs + found.leftover_cash == pytest.approx(500.0)
    assert found.trades["A"] == found.shares["A"] - 3
    assert found.costs == pytest.approx(0.002 * (found.trades.abs() @ pd.Series({"A": 33.0, "B": 7.0})))
    assert Shares.from_dict(found.to_dict()) == found


def test_parts_of_shares_leave_nothing_over() -> None:
    weights = pd.Series({"A": 0.7, "B": 0.3})
    found = whole_shares(weights, {"A": 33.0, "B": 7.0}, 500.0, fractional=True)
    np.testing.assert_allclose(found.weights, weights, atol=1e-9)
    assert found.leftover_cash == pytest.approx(0.0, abs=1e-6)


def test_a_short_position_is_a_negative_number_of_shares() -> None:
    found = whole_shares(pd.Series({"A": 1.3, "B": -0.3}), {"A": 10.0, "B": 5.0}, 1000.0)
    assert found.shares.to_dict() == {"A": 130.0, "B": -60.0}
    assert found.leftover_cash == pytest.approx(0.0, abs=1e-9)


def test_cash_that_is_wanted_is_kept() -> None:
    found = whole_shares(pd.Series({"A": 0.25, "B": 0.25}), {"A": 10.0, "B": 5.0}, 1000.0)
    assert found.leftover_cash == pytest.approx(500.0)


def test_a_share_dearer_than_the_capital_is_not_bought() -> None:
    found = whole_shares(pd.Series({"A": 0.5, "B": 0.5}), {"A": 5000.0, "B": 7.0}, 100.0)
    assert found.shares["A"] == 0.0
    assert 0.0 <= found.leftover_cash < 100.0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"capital": 0.0}, "capital"),
        ({"prices": {"A": 1.0}}, "price of B"),
        ({"prices": {"A": 1.0, "B": float("nan")}}, "price of B"),
        ({"current_shares": {"C": 1}}, "current_shares hold C"),
    ],
)
def test_what_cannot_be_bought_is_said(asked: dict, said: str) -> None:
    given = {"weights": pd.Series({"A": 0.5, "B": 0.5}), "prices": {"A": 1.0, "B": 2.0}, "capital": 10.0, **asked}
    with pytest.raises(UsageError, match=said):
        whole_shares(**given)
