"""Constraints, infeasibility, allocation, and what bad input gets for an answer."""

from __future__ import annotations

import json
import pickle
import time

import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import DataError, InfeasibleError, QuantkitError, UnknownChoiceError, UsageError
from quantkit.portfolio import (
    OBJECTIVES,
    Allocation,
    Frontier,
    Moments,
    Stability,
    efficient_frontier,
    estimate_moments,
    frontier_of,
    optimize,
    stability,
)
from quantkit.portfolio.moments import EXPECTED_RETURNS
from quantkit.portfolio.universe import prepare


def walk(count: int = 500, names: str = "ABCDEF", seed: int = 1, start: str = "2020-01-01") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    size = len(names)
    returns = rng.normal(0.0005, 0.008, (count, 1)) + rng.normal(np.linspace(0, 6e-4, size), 0.012, (count, size))
    index = pd.bdate_range(start, periods=count, tz="UTC").astype("datetime64[us, UTC]").rename("time")
    return pd.DataFrame(100 * np.cumprod(1 + returns, axis=0), index=index, columns=list(names))


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    return walk()


def target_of(objective: str) -> dict[str, float]:
    return {OBJECTIVES[objective].needs: 0.2} if OBJECTIVES[objective].needs else {}


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_an_allocation_comes_back_from_json_with_the_same_bits(prices: pd.DataFrame, objective: str) -> None:
    found = optimize(prices, objective=objective, capital=10_000.0, **target_of(objective))
    back = Allocation.from_dict(json.loads(json.dumps(found.to_dict())))
    assert back == found
    assert back.weights.to_numpy().tobytes() == found.weights.to_numpy().tobytes()
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-9)
    assert objective in found._repr_html_()
    assert len(found.to_frame()) == 6


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_the_same_question_has_the_same_bits_and_fingerprint(prices: pd.DataFrame, objective: str) -> None:
    asked = {"objective": objective, "constraints": {"bounds": [0, 0.5]}, **target_of(objective)}
    assert optimize(prices, **asked) == optimize(prices.copy(), **asked)


def test_the_fingerprint_changes_with_whatever_changes_the_answer(prices: pd.DataFrame) -> None:
    asked = [
        {},
        {"constraints": {"bounds": [0, 0.5]}},
        {"risk_free": 0.01},
        {"objective": "min_volatility"},
        {"covariance": "sample"},
        {"views": {"A": 0.1}},
        {"capital": 1000.0},
        {"current_weights": {"A": 1.0}},
    ]
    assert len({optimize(prices, **each).fingerprint for each in asked}) == len(asked)
    assert optimize(prices.iloc[:-1]).fingerprint != optimize(prices).fingerprint
    assert optimize(prices, fingerprint="given").fingerprint == "given"


def test_kept_moments_give_the_same_weights(prices: pd.DataFrame) -> None:
    kept = Moments.from_dict(json.loads(json.dumps(estimate_moments(prices).to_dict())))
    assert optimize(prices, moments=kept).weights.equals(optimize(prices).weights)


def test_a_frontier_comes_back_from_json(prices: pd.DataFrame) -> None:
    found = frontier_of(estimate_moments(prices), risk_free=0.02, points=7)
    assert Frontier.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert "corner portfolios" in found._repr_html_()
    line = found.capital_market_line([0.0, 0.1])
    assert line.iloc[1] > line.iloc[0]
    assert line.iloc[0] == pytest.approx(0.0198, abs=1e-4)
    top = found.corner_points["expected_return"].iloc[0]
    with pytest.raises(InfeasibleError, match="which reaches from"):
        found.weights_at(top + 0.01)


def test_the_frontiers_line_touches_it_at_the_tangency(prices: pd.DataFrame) -> None:
    found = frontier_of(estimate_moments(prices), risk_free=0.02, points=200)
    assert found.tangency is not None
    mean, volatility = found.point(found.tangency)
    assert found.capital_market_line([volatility]).iloc[0] == pytest.approx(mean, abs=1e-12)
    line = found.capital_market_line(found.points["volatility"]).to_numpy()
    assert (line >= found.points["expected_return"].to_numpy() - 1e-12).all()


def test_without_a_positive_excess_return_there_is_a_frontier_but_no_tangency() -> None:
    mu = pd.Series({"A": -0.001, "B": -0.002})
    cov = pd.DataFrame(np.diag([1e-4, 2e-4]), index=mu.index, columns=mu.index)
    found = efficient_frontier(mu, cov)
    assert found.tangency is None
    assert Frontier.from_dict(found.to_dict()) == found
    with pytest.raises(InfeasibleError, match="more than the risk-free rate"):
        found.capital_market_line([0.1])


def test_max_sharpe_refuses_when_nothing_beats_the_risk_free_rate(prices: pd.DataFrame) -> None:
    for constraints in (None, {"cost_bps": 5}, {"net": [0.5, 1]}):
        with pytest.raises(InfeasibleError, match="risk-free rate of 300"):
            optimize(prices, risk_free=3.0, constraints=constraints)


def test_an_infeasible_cap_is_named_and_the_nearest_portfolio_given(prices: pd.DataFrame) -> None:
    with pytest.raises(InfeasibleError, match="every asset at most 10 %") as caught:
        optimize(prices, constraints={"bounds": [0, 0.1]})
    assert caught.value.binding == ("every asset at most 10 %",)
    assert caught.value.relaxed["every asset at most 10 %"] == pytest.approx(1 / 6 - 0.1, abs=1e-6)
    assert sum(caught.value.nearest.values()) == pytest.approx(1.0)
    np.testing.assert_allclose(list(caught.value.nearest.values()), 1 / 6, atol=1e-5)
    assert caught.value.exit_code == 5
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.binding, again.relaxed, str(again)) == (caught.value.binding, caught.value.relaxed, str(caught.value))


def test_only_the_limits_that_conflict_are_named(prices: pd.DataFrame) -> None:
    limits = {
        "bounds": [0, 0.3],
        "asset_bounds": {"A": [0.0, 0.9]},
        "sectors": {"A": "tech", "B": "tech", "C": "oil", "D": "oil"},
        "sector_bounds": {"tech": [0.0, 0.2], "oil": [0.0, 0.15]},
        "gross": 1.5,
    }
    with pytest.raises(InfeasibleError) as caught:
        optimize(prices, constraints=limits)
    # tech 20 % + oil 15 % + E 30 % + F 30 % is 95 %.
    assert set(caught.value.binding) == {"every asset at most 30 %", "tech at most 20 %", "oil at most 15 %"}
    assert sum(caught.value.relaxed.values()) <= 0.05 + 1e-6
    mended = optimize(prices, constraints=limits, infeasible="nearest")
    assert mended.relaxed
    assert mended.binding == caught.value.binding
    assert "No portfolio met the constraints" in mended.in_words()
    assert mended.weights.sum() == pytest.approx(1.0, abs=1e-6)
    assert Allocation.from_dict(mended.to_dict()) == mended


def test_many_limits_of_single_assets_are_told_in_a_few_seconds() -> None:
    many = walk(count=120, names="".join(chr(0x4E00 + at) for at in range(200)))
    many.columns = [f"S{at}" for at in range(200)]
    limits = {"bounds": [0, 0.1], "asset_bounds": {f"S{at}": [0.01, 0.1] for at in range(150)}}
    start = time.process_time()
    with pytest.raises(InfeasibleError, match=r"and \d+ more") as caught:
        optimize(many, constraints=limits)
    assert time.process_time() - start < 20
    # 150 times 1 % is 150 %: at least 50 of them have to give.
    assert len(caught.value.binding) > 100
    assert sum(caught.value.relaxed.values()) == pytest.approx(0.5, abs=1e-4)


def test_long_only_and_the_budget_are_never_relaxed(prices: pd.DataFrame) -> None:
    asked = {"objective": "target_return", "target_return": 9.0, "infeasible": "nearest"}
    found = optimize(prices, constraints={"bounds": [0, 0.5]}, **asked)
    assert found.weights.min() >= -1e-9
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-6)
    assert list(found.relaxed) == ["expected return at least 900 % a year"]
    assert found.relaxed["expected return at least 900 % a year"] == pytest.approx(
        9.0 - found.expected_return, rel=1e-3
    )


@pytest.mark.parametrize(
    ("objective", "constraints", "named"),
    [
        ("min_volatility", {"turnover": 0.1, "bounds": [0, 0.3]}, "turnover at most 10 %"),
        ("min_cvar", {"turnover": 0.1, "bounds": [0, 0.3]}, "turnover at most 10 %"),
        (
            "risk_parity",
            {"tracking_error": 0.001, "bounds": [0, 0.3], "benchmark_weights": {"A": 1.0}},
            "tracking error at most 0.1 % a year",
        ),
        ("max_utility", {"bounds": [-1, 1], "gross": 0.5}, "gross exposure at most 50 %"),
        ("hrp", {"bounds": [0.3, 1]}, "every asset at least 30 %"),
    ],
)
def test_every_kind_of_limit_can_be_what_is_infeasible(
    prices: pd.DataFrame, objective: str, constraints: dict, named: str
) -> None:
    with pytest.raises(InfeasibleError) as caught:
        optimize(prices, objective=objective, constraints=constraints, current_weights={"A": 1.0})
    assert named in caught.value.binding
    assert caught.value.nearest


def test_turnover_is_held_to(prices: pd.DataFrame) -> None:
    held = dict.fromkeys("ABCDEF", 1 / 6)
    free = optimize(prices, current_weights=held)
    found = optimize(prices, current_weights=held, constraints={"turnover": 0.3})
    assert free.turnover > 0.3
    assert found.turnover == pytest.approx(0.3, abs=1e-6)
    assert found.sharpe < free.sharpe
    with pytest.raises(UsageError, match="current_weights are not given"):
        optimize(prices, constraints={"turnover": 0.3})


def test_costs_keep_holdings_where_they_are(prices: pd.DataFrame) -> None:
    held = dict.fromkeys("ABCDEF", 1 / 6)
    asked = {"objective": "max_utility", "current_weights": held}
    cheap, dear = (optimize(prices, constraints={"cost_bps": cost}, **asked).turnover for cost in (1.0, 500.0))
    assert dear < cheap
    assert dear == pytest.approx(0.0, abs=1e-6)


def test_a_dollar_neutral_portfolio_earns_the_risk_free_rate_beside_its_own(prices: pd.DataFrame) -> None:
    found = optimize(prices, constraints={"net": 0, "bounds": [-1, 1], "gross": 1}, risk_free=0.03)
    assert found.weights.sum() == pytest.approx(0.0, abs=1e-9)
    assert found.weights.abs().sum() <= 1 + 1e-9
    own = float(found.weights @ found.moments.mu) * 252
    assert found.expected_return == pytest.approx(own + 252 * (1.03 ** (1 / 252) - 1), rel=1e-9)


def test_a_heuristic_outside_its_limits_is_moved_to_the_nearest_weights_inside(prices: pd.DataFrame) -> None:
    found = optimize(prices, objective="equal_weight", constraints={"asset_bounds": {"A": [0.5, 1.0]}})
    np.testing.assert_allclose(found.weights, [0.5, *[0.1] * 5], atol=1e-6)
    assert any("nearest weights" in note for note in found.notes)


def test_risk_contributions_are_equal_under_risk_parity(prices: pd.DataFrame) -> None:
    found = optimize(prices, objective="risk_parity")
    np.testing.assert_allclose(found.risk_contributions, 1 / 6, atol=1e-9)


def test_one_asset_has_all_of_the_capital() -> None:
    only = walk(names="A", seed=2)
    for name in OBJECTIVES:
        reachable = {"target_return": 0.01, "target_volatility": 0.9}.get(OBJECTIVES[name].needs)
        asked = {OBJECTIVES[name].needs: reachable} if reachable else {}
        assert optimize(only, objective=name, **asked).weights.to_dict() == {"A": pytest.approx(1.0)}
    assert len(frontier_of(estimate_moments(only), points=2).corners) == 1


def test_a_ticker_given_twice_counts_once(prices: pd.DataFrame) -> None:
    doubled = pd.concat([prices, prices[["A"]]], axis=1)
    found = optimize(doubled)
    assert found.weights.equals(optimize(prices).weights)
    assert "given twice, used once: A" in found.moments.notes


def test_an_asset_with_no_overlap_is_left_out_with_the_reason(prices: pd.DataFrame) -> None:
    late = walk(names="Z", start="2030-01-01")
    both = pd.concat([prices, late]).sort_index()
    found = optimize(both)
    assert list(found.dropped) == ["Z"]
    assert "does not overlap" in found.dropped["Z"]
    assert found.weights.index.tolist() == list("ABCDEF")
    with pytest.raises(DataError, match="share"):
        optimize(both[["Z"]].iloc[:20])


def test_an_asset_with_a_short_history_is_left_out(prices: pd.DataFrame) -> None:
    short = prices.copy()
    short.loc[short.index[:-30], "B"] = np.nan
    found = optimize(short)
    assert "history too short: 30 prices" in found.dropped["B"]
    assert "B is left out" in found._repr_html_()


def test_days_on_which_one_asset_has_no_price_are_left_out_and_said(prices: pd.DataFrame) -> None:
    holes = prices.copy()
    holes.iloc[[10, 20, 30], 2] = np.nan
    found = estimate_moments(holes)
    assert found.observations == len(prices) - 4
    assert found.notes == ("3 days on which an asset has no price are left out",)
    many = prices.copy()
    many.iloc[5:200, 2] = np.nan
    assert "no price" in estimate_moments(many).dropped["C"]


def test_a_price_that_never_changes_is_left_out(prices: pd.DataFrame) -> None:
    assert optimize(prices.assign(D=7.0)).dropped == {"D": "its price never changes"}


@pytest.mark.parametrize("bad", [-3.0, 0.0, np.inf])
def test_a_price_that_is_not_positive_is_named(prices: pd.DataFrame, bad: float) -> None:
    broken = prices.copy()
    broken.iloc[17, 3] = bad
    with pytest.raises(DataError, match=r"D is .* at 2020-01-24"):
        optimize(broken)


def test_a_singular_covariance_is_repaired_and_said(prices: pd.DataFrame) -> None:
    twins = prices.assign(G=2 * prices["A"], H=3 * prices["A"])
    found = optimize(twins, covariance="sample")
    assert any("is singular" in note for note in found.moments.notes)
    assert np.linalg.eigvalsh(found.moments.cov).min() > 0
    assert found.weights.sum() == pytest.approx(1.0)
    exact = efficient_frontier(found.moments.mu, found.moments.cov)
    assert exact.exact
    with pytest.raises(DataError, match="not positive definite"):
        efficient_frontier(pd.Series({"A": 0.1, "B": 0.2}), pd.DataFrame(1.0, index=["A", "B"], columns=["A", "B"]))


def test_600_assets_of_250_days_have_an_answer() -> None:
    rng = np.random.default_rng(5)
    returns = rng.normal(0.0003, 0.01, (250, 1)) + rng.normal(0, 0.015, (250, 600))
    index = pd.bdate_range("2022-01-03", periods=251, tz="UTC").astype("datetime64[us, UTC]")
    path = np.vstack([np.ones(600), np.cumprod(1 + returns, axis=0)])
    many = pd.DataFrame(path, index=index, columns=[f"S{at}" for at in range(600)])
    for covariance in ("ledoit_wolf", "sample"):
        found = optimize(many, covariance=covariance)
        assert found.weights.sum() == pytest.approx(1.0)
        assert found.weights.min() >= 0
        assert any("singular" in note for note in found.moments.notes) == (covariance == "sample")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"objective": "max_shape"}, "did you mean max_sharpe"),
        ({"objective": "target_return"}, "expected an annual decimal"),
        ({"target_return": 0.1}, "is used by the objective target_return only"),
        ({"expected_returns": "capn"}, "did you mean capm"),
        ({"covariance": "shrunk"}, "choose from"),
        ({"constraints": {"bound": 1}}, "unknown constraint 'bound'"),
        ({"constraints": {"bounds": [1, 0]}}, "its least is above its most"),
        ({"constraints": {"bounds": "wide"}}, "is not a pair"),
        ({"constraints": {"asset_bounds": {"ZZZ": [0, 1]}}}, "constraints name ZZZ"),
        ({"constraints": {"sector_bounds": {"tech": [0, 1]}}}, "which no asset has"),
        ({"constraints": {"tracking_error": 0.1}}, "needs benchmark_weights"),
        ({"constraints": {"gross": -1}}, "at least 0"),
        ({"constraints": {"holding_periods": 0}}, "whole number"),
        ({"constraints": [1]}, "are not a mapping"),
        ({"views": {"ZZZ": 0.1}}, "views name ZZZ"),
        ({"views": {"A": 0.1}, "expected_returns": "capm"}, "black_litterman only"),
        ({"views": [{"assets": {"A": 1}, "expected_return": 0.1, "confidence": 2}]}, "from 0 to 1"),
        ({"views": 3}, "expected a list of views"),
        ({"level": 95}, "did you mean 0.95"),
        ({"risk_aversion": -1}, "risk_aversion"),
        ({"capital": -5.0}, "capital -5.0 is not a positive number"),
        ({"infeasible": "maybe"}, "choose from raise, nearest"),
        ({"min_history": 0}, "min_history"),
    ],
)
def test_a_malformed_question_says_what_is_accepted(prices: pd.DataFrame, asked: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        optimize(prices, **asked)


def test_an_unknown_choice_lists_the_choices() -> None:
    with pytest.raises(UnknownChoiceError, match="bayes_stein"):
        EXPECTED_RETURNS["mean"]


@pytest.mark.parametrize("points", [1, 0, 2000, 2.5, True])
def test_a_frontier_of_a_senseless_number_of_points_is_refused(points: object) -> None:
    mu = pd.Series({"A": 0.1})
    with pytest.raises(UsageError, match="whole number from 2 to 1000"):
        efficient_frontier(mu, pd.DataFrame([[1.0]], index=mu.index, columns=mu.index), points=points)  # type: ignore[arg-type]


def test_views_move_weights_their_way(prices: pd.DataFrame) -> None:
    # Without a view, the prior of equal market weights is what max_sharpe gives back.
    neutral = optimize(prices, expected_returns="black_litterman")
    np.testing.assert_allclose(neutral.weights, 1 / 6, atol=1e-9)
    keen = optimize(prices, views={"B": 0.5})
    keener = optimize(prices, views=[{"assets": {"B": 1}, "expected_return": 0.5, "confidence": 0.9}])
    assert keener.weights["B"] > keen.weights["B"] > 1 / 6
    ignored = optimize(prices, views=[{"assets": {"B": 1}, "expected_return": 0.5, "confidence": 0.0}])
    assert ignored.weights.equals(neutral.weights)


def test_a_forecast_without_skill_gives_the_prior(prices: pd.DataFrame) -> None:
    # The prevailing mean is what skill is measured against, so drift has exactly none.
    found = estimate_moments(prices, expected_returns="forecast", model="drift", horizon=5)
    prior = estimate_moments(prices, expected_returns="black_litterman")
    assert found.mu.equals(prior.mu)
    assert found.cov.equals(prior.cov)
    assert any("no out-of-sample skill" in note for note in found.notes)


def test_a_forecast_with_skill_is_a_view() -> None:
    # Prices that fall back: naive, no change, beats the prevailing mean when the trend has just turned.
    base = walk(count=700, names="ABC", seed=4)
    turned = base.copy()
    drift = np.r_[np.full(350, 0.004), np.full(350, -0.0001)]
    turned["A"] = 100 * np.exp(np.cumsum(drift + np.random.default_rng(1).normal(0, 0.003, 700)))
    found = estimate_moments(turned, expected_returns="forecast", model="naive", horizon=5)
    assert any("has out-of-sample skill for A" in note for note in found.notes)
    prior = estimate_moments(turned, expected_returns="black_litterman")
    assert found.mu["A"] < prior.mu["A"]


def test_a_benchmark_that_does_not_cover_the_prices_is_refused(prices: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="have no level"):
        estimate_moments(prices, expected_returns="capm", benchmark=prices["A"].iloc[-50:])


def test_stability_says_how_far_weights_move(prices: pd.DataFrame) -> None:
    shaky = stability(prices, draws=20)
    steady = stability(prices, objective="equal_weight", draws=5)
    assert shaky.moved > 0.1
    assert steady.moved == 0.0
    assert (shaky.mean_shift > 0).all()
    assert (shaky.lower <= shaky.upper).all()
    assert shaky == stability(prices, draws=20)
    assert Stability.from_dict(json.loads(json.dumps(shaky.to_dict()))) == shaky
    with pytest.raises(UsageError, match="draws"):
        stability(prices, draws=0)


def test_a_universe_keeps_nothing_rather_than_something_wrong() -> None:
    with pytest.raises(DataError, match="no asset is given"):
        prepare(walk()[[]])
    naive = walk()
    naive.index = naive.index.tz_localize(None)
    with pytest.raises(DataError, match="UTC"):
        prepare(naive)
    with pytest.raises(QuantkitError):
        prepare(walk(count=10))
