"""The backtest: its accounting by hand, its blindness to the future, and what it says."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import Cancelled, DataError, UsageError
from quantkit.data.base import HistoryQuery
from quantkit.data.sample import SampleProvider
from quantkit.portfolio import OBJECTIVES, SAMPLE_NOTE, PortfolioBacktest, backtest, compare, estimate_moments
from quantkit.portfolio.account import Account, follow
from quantkit.portfolio.backtest import rebalance_rows
from quantkit.portfolio.evaluation import sharpe_difference
from quantkit.portfolio.forecast_views import walk_forecasts

QUICK = {"min_train": 60, "window": 120, "draws": 100}


def walk(count: int = 400, size: int = 4, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.0005, 0.008, (count, 1)) + rng.normal(np.linspace(0, 6e-4, size), 0.012, (count, size))
    index = pd.bdate_range("2020-01-01", periods=count, tz="UTC").astype("datetime64[us, UTC]").rename("time")
    return pd.DataFrame(100 * np.cumprod(1 + returns, axis=0), index=index, columns=list("ABCDEFGH")[:size])


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    return walk()


def test_trades_drift_and_costs_are_counted_as_by_hand() -> None:
    returns = np.array([[0.0, 0.0], [0.0, 0.0], [0.10, 0.0], [0.0, -0.05]])
    half = np.array([0.5, 0.5])
    found = follow({1: half, 3: half}, returns, start=1, cost=0.01, rate=0.0)
    # Buying everything trades 1 and costs 0.01; the first asset gains 10 % of 0.495.
    bought = 0.99
    grown = 0.495 * 1.1 + 0.495
    before = 0.495 * 1.1 + 0.495 * 0.95
    traded = abs(0.495 * 1.1 / before - 0.5) + abs(0.495 * 0.95 / before - 0.5)
    np.testing.assert_allclose(found.wealth, [bought, grown, before * (1 - 0.01 * traded)], rtol=1e-14)
    assert found.turnover == pytest.approx({1: 1.0, 3: traded})
    assert found.costs == pytest.approx(0.01 + 0.01 * traded)


def test_cash_earns_the_rate_and_a_short_position_owes() -> None:
    account = Account(np.zeros(2), 1.0, 0.0, rate=0.01)
    account.trade(np.array([0.5, -0.25]))
    assert account.cash == pytest.approx(0.75)
    account.drift(np.array([0.0, 0.2]))
    assert account.wealth == pytest.approx(0.5 - 0.25 * 1.2 + 0.75 * 1.01)


def test_one_over_n_is_what_following_it_by_hand_gives(prices: pd.DataFrame) -> None:
    found = backtest(prices, objective="equal_weight", cost_bps=20, **QUICK)
    decided = [row for row in rebalance_rows(prices.index, "1mo") if row >= 60 and row + 1 < len(prices)]
    values, wealth, rows = np.zeros(4), 1.0, []
    returns = prices.pct_change().to_numpy()
    for row in range(decided[0] + 1, len(prices)):
        if rows:
            values = values * (1 + returns[row])
            wealth = values.sum()
        if row - 1 in decided:
            wealth -= 0.002 * np.abs(wealth / 4 - values).sum()
            values = np.full(4, wealth / 4)
        rows.append(wealth)
    np.testing.assert_allclose(found.wealth["1/N"], rows, rtol=1e-12)
    np.testing.assert_allclose(found.wealth["equal_weight"], rows, rtol=1e-12)
    assert found.sharpe_difference == 0.0
    assert found.p_value == 1.0
    assert found.start == prices.index[decided[0] + 1]


def test_buying_and_holding_is_the_mean_of_the_prices(prices: pd.DataFrame) -> None:
    found = backtest(prices, objective="equal_weight", cost_bps=0, **QUICK)
    since = prices.loc[found.start :]
    np.testing.assert_allclose(found.wealth["buy_and_hold"], (since / since.iloc[0]).mean(axis=1), rtol=1e-12)


@pytest.mark.parametrize("objective", ["max_sharpe", "min_cvar", "risk_parity", "hrp", "max_diversification"])
def test_a_corrupted_future_changes_nothing_before_it(prices: pd.DataFrame, objective: str) -> None:
    # The day after a decision, so that one row of the future too many would show.
    at = rebalance_rows(prices.index, "1mo")[8] + 1
    corrupted = prices.copy()
    corrupted.iloc[at:] *= np.random.default_rng(9).uniform(0.2, 5.0, corrupted.iloc[at:].shape)
    honest, other = (backtest(each, objective=objective, **QUICK) for each in (prices, corrupted))
    before = prices.index[at - 1]
    assert honest.weights.loc[:before].equals(other.weights.loc[:before])
    assert honest.wealth.loc[:before].equals(other.wealth.loc[:before])
    assert honest.turnover.loc[:before].equals(other.turnover.loc[:before])
    assert not honest.weights.equals(other.weights)


def test_with_turnover_and_a_benchmark_the_future_is_unseen_too(prices: pd.DataFrame) -> None:
    # The day after a decision, so that one row of the future too many would show.
    at = rebalance_rows(prices.index, "1mo")[8] + 1
    corrupted = prices.copy()
    corrupted.iloc[at:] *= np.random.default_rng(9).uniform(0.2, 5.0, corrupted.iloc[at:].shape)
    asked = {"objective": "max_utility", "expected_returns": "capm", "constraints": {"turnover": 0.2}, **QUICK}
    honest, other = (backtest(each, benchmark=each.mean(axis=1), **asked) for each in (prices, corrupted))
    before = prices.index[at - 1]
    assert honest.weights.loc[:before].equals(other.weights.loc[:before])
    assert honest.wealth.loc[:before].equals(other.wealth.loc[:before])
    # The first purchase is free of the limit; later ones keep to it, but for the drift of the day in between.
    assert (honest.turnover.iloc[1:] < 0.25).all()


def test_forecasts_are_believed_only_on_outcomes_known_at_the_decision() -> None:
    prices = walk(count=700, seed=6)
    at = rebalance_rows(prices.index, "1mo")[24] + 1
    corrupted = prices.copy()
    corrupted.iloc[at:] *= np.random.default_rng(9).uniform(0.2, 5.0, corrupted.iloc[at:].shape)
    asked = {"objective": "max_sharpe", "expected_returns": "forecast", "model": "naive", "horizon": 10, **QUICK}
    honest, other = (backtest(each, **asked) for each in (prices, corrupted))
    before = prices.index[at - 1]
    assert honest.weights.loc[:before].equals(other.weights.loc[:before])
    # Naive beats the prevailing mean now and then, so that the prior is not all there is.
    prior = backtest(prices, **{**asked, "expected_returns": "black_litterman"})
    assert not honest.weights.loc[:before].equals(prior.weights.loc[:before])
    late = estimate_moments(prices.iloc[:at], expected_returns="forecast", model="naive", horizon=10)
    walked = walk_forecasts(prices, model="naive", horizon=10, whole=True).at(at - 1)
    again = estimate_moments(prices.iloc[:at], expected_returns="forecast", model="naive", horizon=10, forecasts=walked)
    assert again.mu.equals(late.mu)


def test_a_decision_trades_lag_sessions_later(prices: pd.DataFrame) -> None:
    for lag in (1, 3):
        found = backtest(prices, objective="min_volatility", lag=lag, **QUICK)
        decided = prices.index.get_indexer(found.weights.index)
        traded = prices.index.get_indexer(found.turnover.index)
        assert (traded - decided == lag).all()


def test_a_price_that_jumps_between_decision_and_trade_earns_nothing() -> None:
    calm = walk(seed=3)
    first = backtest(calm, objective="min_volatility", cost_bps=0, **QUICK)
    jumped = calm.copy()
    jumped.loc[first.start :] *= 1.5
    # The jump is in the return of the trade's own day, before whose close nothing is held.
    again = backtest(jumped, objective="min_volatility", cost_bps=0, **QUICK)
    assert again.wealth.iloc[0].equals(first.wealth.iloc[0])
    assert again.weights.iloc[0].equals(first.weights.iloc[0])


@pytest.mark.parametrize(("rebalance", "last"), [("1w", 4), ("1mo", 22), ("3mo", 64), ("6mo", 129), ("1y", 261)])
def test_the_first_rebalancing_is_the_last_session_of_its_period(rebalance: str, last: int) -> None:
    days = pd.bdate_range("2020-01-01", "2022-12-30", tz="UTC").astype("datetime64[us, UTC]")
    rows = rebalance_rows(days, rebalance)
    ends = {"1w": "2020-01-03", "1mo": "2020-01-31", "3mo": "2020-03-31", "6mo": "2020-06-30", "1y": "2020-12-31"}
    assert days[rows[0]] == pd.Timestamp(ends[rebalance], tz="UTC")
    assert rows[0] <= last
    assert rows[-1] < len(days) - 1


def test_costs_lower_wealth_and_are_told(prices: pd.DataFrame) -> None:
    free, dear = (backtest(prices, objective="max_sharpe", cost_bps=cost, **QUICK) for cost in (0, 100))
    assert free.weights.equals(dear.weights)
    assert (dear.wealth["max_sharpe"] < free.wealth["max_sharpe"]).all()
    assert free.measures.loc["max_sharpe", "costs"] == 0.0
    told = dear.measures.loc["max_sharpe", "costs"]
    assert told == pytest.approx(0.01 * dear.measures.loc["max_sharpe", "turnover"])


def test_a_result_comes_back_from_json_and_says_what_it_found(prices: pd.DataFrame) -> None:
    found = backtest(prices, objective="hrp", benchmark=prices["A"], notes=["hand-made"], **QUICK)
    assert PortfolioBacktest.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    html = found._repr_html_()
    assert "hand-made" in html
    assert "more than luck" in html
    assert list(found.measures.index) == ["hrp", "1/N", "buy_and_hold", "benchmark"]
    assert np.isnan(found.measures.loc["benchmark", "turnover"])
    assert found == backtest(prices, objective="hrp", benchmark=prices["A"], notes=["hand-made"], **QUICK)


def test_several_objectives_are_each_deflated_by_all_of_them(prices: pd.DataFrame) -> None:
    alone = backtest(prices, objective="max_sharpe", **QUICK)
    assert alone.trials == 1
    assert np.isnan(alone.deflated_sharpe)
    names = ["max_sharpe", "min_volatility", "hrp", "equal_weight"]
    together = compare(prices, objectives=names, trials=[0.01, 0.2], **QUICK)
    assert list(together) == names
    for found in together.values():
        assert found.trials == 6
        assert found.deflated_sharpe < found.probabilistic_sharpe
    assert together["max_sharpe"].wealth.equals(alone.wealth)
    assert len({found.fingerprint for found in together.values()} | {alone.fingerprint}) == 5


def test_a_decision_without_an_answer_keeps_what_is_held(prices: pd.DataFrame) -> None:
    found = backtest(prices, objective="target_return", target_return=0.9, expected_returns="historical", **QUICK)
    assert found.kept
    assert len(found.kept) + len(found.weights) >= len(rebalance_rows(prices.index[60:], "1mo"))
    assert "holdings were kept" in found._repr_html_()
    even = backtest(prices, objective="equal_weight", **QUICK)
    assert found.wealth["1/N"].equals(even.wealth["1/N"])
    never = backtest(prices, objective="max_sharpe", risk_free=5.0, **QUICK)
    np.testing.assert_allclose(never.weights, 0.25)
    assert len(never.weights) == 1


def test_progress_is_told_and_can_cancel(prices: pd.DataFrame) -> None:
    seen: list[tuple[int, int]] = []
    backtest(
        prices, objective="equal_weight", progress=lambda done, total, doing="": seen.append((done, total)), **QUICK
    )
    assert seen[0][0] == 0
    assert seen[-1] == (seen[0][1], seen[0][1])

    def cancel(done: int, total: int, doing: str = "") -> None:
        if done == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        backtest(prices, objective="equal_weight", progress=cancel, **QUICK)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"objective": "best"}, "unknown objective"),
        ({"rebalance": "2mo"}, "choose from 1w, 1mo, 3mo, 6mo, 1y"),
        ({"lag": 0}, "lag 0"),
        ({"cost_bps": -1}, "cost_bps"),
        ({"window": 30}, "shorter than min_train"),
        ({"expected_returns": "magic"}, "unknown estimator"),
        ({"constraints": {"asset_bounds": {"ZZZ": [0, 1]}}}, "ZZZ"),
    ],
)
def test_a_malformed_question_says_what_is_accepted(prices: pd.DataFrame, asked: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        backtest(prices, **{**QUICK, **asked})


def test_too_short_a_history_is_said() -> None:
    with pytest.raises(DataError, match="history too short"):
        backtest(walk(count=100), objective="hrp")
    with pytest.raises(DataError, match="no 1y ends"):
        backtest(walk(count=200), objective="hrp", rebalance="1y", **QUICK)


def test_identical_strategies_do_not_differ_and_better_ones_do() -> None:
    rng = np.random.default_rng(0)
    index = pd.bdate_range("2015-01-01", periods=1500, tz="UTC")
    base = pd.Series(rng.normal(0.0003, 0.01, 1500), index=index)
    asked = {"rate": 0.0, "periods_per_year": 252.0, "draws": 400}
    assert sharpe_difference(base, base, **asked).p_value == 1.0
    better = sharpe_difference(base + 0.001 + rng.normal(0, 0.002, 1500), base, **asked)
    assert better.p_value < 0.01
    assert better.lower > 0
    assert better.lower < better.difference < better.upper
    noise = sharpe_difference(base + rng.normal(0, 0.002, 1500), base, **asked)
    assert noise.p_value > 0.05


def sample(symbols: list[str], start: str) -> pd.DataFrame:
    provider = SampleProvider()

    def close(symbol: str) -> pd.Series:
        query = HistoryQuery(symbol, start=pd.Timestamp(start, tz="UTC"))
        return provider.normalise(provider.extract(provider.build(query)), query).bars["adj_close"]

    return pd.DataFrame({symbol: close(symbol) for symbol in symbols}).dropna()


def test_on_the_sample_the_hindsight_is_said() -> None:
    prices = sample(["AAPL", "JPM", "XOM", "KO"], "2018-01-01")
    prices.attrs["source"] = "sample"
    found = backtest(prices, objective="risk_parity", min_train=120, window=250, draws=50)
    assert SAMPLE_NOTE in found.notes
    assert SAMPLE_NOTE.replace("'", "&#x27;") in found._repr_html_()


def test_every_objective_can_be_walked_forward(prices: pd.DataFrame) -> None:
    found = compare(
        prices,
        objectives=list(OBJECTIVES),
        target_return=0.05,
        target_volatility=0.25,
        rebalance="3mo",
        constraints={"bounds": [0, 0.6]},
        **QUICK,
    )
    for name, each in found.items():
        np.testing.assert_allclose(each.weights.sum(axis=1), 1.0, atol=1e-7, err_msg=name)
        assert (each.weights.to_numpy() <= 0.6 + 1e-7).all()
