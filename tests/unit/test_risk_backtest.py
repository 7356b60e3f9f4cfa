"""Walk-forward VaR backtests: past only, honest counts, and auto's choice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import Cancelled, DataError, UnknownChoiceError
from quantkit.core.kept import forget
from quantkit.risk import VAR_METHODS, VarBacktests, backtest_var, value_at_risk, var_backtest


def clustered(count: int, seed: int = 3) -> pd.Series:
    rng = np.random.default_rng(seed)
    values, variance = np.empty(count), 1e-4
    for t in range(count):
        values[t] = np.sqrt(variance) * rng.standard_t(6) / np.sqrt(1.5)
        variance = 3e-6 + 0.12 * values[t] ** 2 + 0.85 * variance
    index = pd.date_range("2018-01-01", periods=count, freq="D", tz="UTC", unit="us", name="time")
    return pd.Series(values, index=index, name="XYZ")


@pytest.fixture(scope="module")
def returns() -> pd.Series:
    return clustered(900)


@pytest.fixture(scope="module")
def tested(returns: pd.Series) -> VarBacktests:
    return backtest_var(returns, level=0.95)


def test_every_method_and_auto_have_a_row_on_the_same_origins(tested: VarBacktests) -> None:
    assert list(tested.rows) == [*VAR_METHODS, "auto"]
    assert {row.origins + row.undefined for row in tested.rows.values()} == {400}
    assert len(tested.path) == len(tested.auto_methods) == 400
    for name, row in tested.rows.items():
        scored = tested.path[name].notna()
        breached = (tested.path["return"] < tested.path[name])[scored]
        assert row.breaches == int(breached.sum())
        assert row.expected == pytest.approx(0.05 * row.origins)


def test_a_figure_on_the_path_is_what_the_past_alone_gives(returns: pd.Series, tested: VarBacktests) -> None:
    when = tested.path.index[123]
    past = returns.loc[: when - pd.Timedelta(days=1)]
    for method in ("historical", "gaussian", "ewma"):
        assert tested.path.loc[when, method] == value_at_risk(past, method=method)


def test_corrupting_the_future_changes_nothing_decided_before(returns: pd.Series, tested: VarBacktests) -> None:
    corrupt = returns.copy()
    corrupt.iloc[-150:] = np.random.default_rng(0).uniform(-0.5, 0.9, 150)
    again = backtest_var(corrupt, level=0.95)
    cut = returns.index[-150]
    before = tested.path.index <= cut
    figures = tested.path.columns.drop("return")
    pd.testing.assert_frame_equal(again.path.loc[before, figures], tested.path.loc[before, figures], check_exact=True)
    assert again.auto_methods[: int(before.sum())] == tested.auto_methods[: int(before.sum())]
    assert not again.path.loc[~before, "ewma"].equals(tested.path.loc[~before, "ewma"])


def test_asked_twice_it_answers_the_same_bits_and_survives_json(returns: pd.Series, tested: VarBacktests) -> None:
    again = backtest_var(returns, level=0.95)
    assert again == tested
    assert VarBacktests.from_dict(tested.to_dict()) == tested


def test_ranking_is_by_quantile_loss_among_methods_with_a_figure_everywhere(tested: VarBacktests) -> None:
    losses = [tested.rows[name].quantile_loss for name in tested.ranking]
    assert losses == sorted(losses)
    assert all(tested.rows[name].undefined == 0 for name in tested.ranking)
    for name, row in tested.rows.items():
        scored = tested.path[[name, "return"]].dropna()
        gap = scored["return"] - scored[name]
        assert row.quantile_loss == pytest.approx(((0.05 - (gap < 0)) * gap).mean(), rel=1e-12)
        assert (row.rank is None) == (name not in tested.ranking)


def test_auto_is_remade_at_each_origin_from_earlier_ones(returns: pd.Series, tested: VarBacktests) -> None:
    assert set(tested.auto_methods[:100]) == {"historical"}
    for at in (100, 250, 399):
        shorter = backtest_var(returns.iloc[: 500 + at], level=0.95)
        assert shorter.auto_method == tested.auto_methods[at]
    for at, name in enumerate(tested.auto_methods):
        assert tested.path["auto"].iloc[at] == tested.path[name].iloc[at]


def test_auto_prefers_the_lowest_loss_among_methods_not_rejected(tested: VarBacktests) -> None:
    sound = [name for name in tested.ranking if not tested.rows[name].rejected]
    assert tested.auto_method == sound[0]
    assert tested.auto_note == ""


def test_auto_passes_over_a_rejected_method_even_if_its_loss_is_lowest() -> None:
    rng = np.random.default_rng(5)
    outcomes = rng.standard_normal(1000)
    bold = np.full(1000, -1.40)  # breached in 8 %
    noisy = np.where(rng.random(1000) < 0.5, -1.25, -2.9)  # breached in 5 %, never at the right place
    walks = {
        name: var_backtest._Walk(var, var, var * 1.2, [np.empty(0)] * 1000)
        for name, var in (("bold", bold), ("noisy", noisy))
    }
    losses = {name: var_backtest._loss(outcomes, walk.var, 0.05).mean() for name, walk in walks.items()}
    assert losses["bold"] < losses["noisy"]
    _, _, chosen, note = var_backtest._auto(walks, outcomes, 0.05)
    assert (chosen, note) == ("noisy", "")


def test_where_all_are_rejected_auto_says_so(returns: pd.Series) -> None:
    calm = returns.iloc[:500] * 0.1
    wild = pd.concat([calm, returns.iloc[500:] * 3])
    tested = backtest_var(wild, methods=["historical", "gaussian"], level=0.99)
    assert all(tested.rows[name].rejected for name in ("historical", "gaussian"))
    assert "every method is rejected" in tested.auto_note
    assert tested.auto_method == tested.ranking[0]


def test_a_horizon_is_tested_on_windows_that_do_not_overlap(returns: pd.Series) -> None:
    tested = backtest_var(returns, level=0.95, horizon=5, methods=["historical", "ewma"])
    assert set(np.diff(tested.path.index.asi8)) == {5 * 86_400_000_000}
    last = returns.iloc[-5:]
    assert tested.path["return"].iloc[-1] == pytest.approx((1 + last).prod() - 1, rel=1e-12)


@pytest.mark.parametrize("side", ["long", "short"])
def test_methods_are_estimated_on_the_side_asked(side: str, returns: pd.Series) -> None:
    skewed = (returns + 0.3 * returns.clip(lower=0)).rename("skewed")
    tested = backtest_var(skewed, side=side, methods=["student_t", "fhs", "evt"], origins=43)
    first = len(skewed) - 43
    # They are estimated where the past is a multiple of 21 returns.
    for length in range(-first % 21 + first, len(skewed), 21):
        for method in ("student_t", "fhs", "evt"):
            past = value_at_risk(skewed.iloc[:length], method=method, side=side)
            assert tested.path[method].iloc[length - first] == past


def test_a_new_return_costs_one_origin_and_the_answer_is_the_cold_one_to_the_last_bit() -> None:
    returns, steps = clustered(1300, seed=8), []
    forget()
    for length in (1200, 1201, 1203, 1300):
        steps.clear()
        warm = backtest_var(returns.iloc[:length], progress=lambda done, *_: steps.append(done))
        if length == 1200:
            assert len(steps) > 690, "the walk from 500 returns on"
        else:
            assert len(steps) - 1 == {1201: 1, 1203: 2, 1300: 97}[length]
        assert warm.rows["auto"].origins == length - 500
        forget()
        cold = backtest_var(returns.iloc[:length])
        assert cold.to_dict() == warm.to_dict()
        pd.testing.assert_frame_equal(cold.path, warm.path, check_exact=True)


def test_a_walk_longer_than_what_is_scored_goes_on_when_the_first_origin_moves() -> None:
    returns, asked = clustered(1300, seed=9), {"origins": 300, "methods": ["historical", "fhs"]}
    forget()
    backtest_var(returns.iloc[:1200], **asked)
    steps: list[int] = []
    warm = backtest_var(returns.iloc[:1201], **asked, progress=lambda done, *_: steps.append(done))
    assert len(steps) == 2
    assert warm.rows["fhs"].origins == 300
    forget()
    assert backtest_var(returns.iloc[:1201], **asked).to_dict() == warm.to_dict()


def test_later_returns_change_nothing_about_older_origins_wherever_the_walk_begins() -> None:
    returns, methods = clustered(1700, seed=11), ["student_t", "fhs"]
    shorter, longer = (backtest_var(returns.iloc[:end], methods=methods).path for end in (1400, 1700))
    both = shorter.index.intersection(longer.index)
    assert len(both) == 700
    pd.testing.assert_frame_equal(shorter.loc[both, methods], longer.loc[both, methods], check_exact=True)


def test_a_corrected_return_is_walked_anew() -> None:
    returns = clustered(800, seed=10)
    forget()
    backtest_var(returns, methods=["ewma"])
    other = returns.copy()
    other.iloc[700] *= 1.5
    warm = backtest_var(other, methods=["ewma"])
    forget()
    assert backtest_var(other, methods=["ewma"]).to_dict() == warm.to_dict()


def test_a_short_is_tested_on_minus_the_return(returns: pd.Series) -> None:
    tested = backtest_var(returns, side="short", methods=["historical"], origins=50)
    np.testing.assert_allclose(tested.path["return"], -returns.iloc[-50:], rtol=1e-12)
    assert (tested.path["historical"] < 0).all()


def test_a_shortfall_that_is_too_small_is_caught_and_a_right_one_is_not() -> None:
    rng = np.random.default_rng(8)
    index = pd.date_range("2015-01-01", periods=1500, freq="D", tz="UTC", unit="us")
    right = pd.Series(0.01 * rng.standard_normal(1500), index=index, name="right")
    found = backtest_var(right, methods=["gaussian"]).rows["gaussian"].shortfall
    assert found.p_value > 0.05
    # Losses beyond the VaR become half as large again, their number stays: only the shortfall is wrong.
    larger = right.where(right > right.quantile(0.025), right * 1.5)
    larger.iloc[:500] = right.iloc[:500]
    worse = backtest_var(larger, methods=["gaussian"], window=500, min_train=500, refit=1).rows["gaussian"]
    assert worse.shortfall.p_value < 0.01
    assert worse.shortfall.statistic < found.statistic
    assert not worse.rejected


def test_too_few_breaches_are_said(returns: pd.Series) -> None:
    tested = backtest_var(returns, level=0.999, methods=["historical"], origins=60)
    row = tested.rows["historical"]
    assert row.verdict == "too few to tell"
    assert "too few" in row.kupiec.note
    assert "too few" in row.independence.note
    assert np.isnan(row.independence.p_value)


def test_basel_is_named_only_at_99_percent_over_250_days(returns: pd.Series) -> None:
    assert backtest_var(returns, level=0.95, methods=["gaussian"]).rows["gaussian"].basel_zone is None
    assert backtest_var(returns, level=0.99, methods=["gaussian"], origins=249).rows["gaussian"].basel_zone is None
    full = backtest_var(returns, level=0.99, methods=["gaussian"])
    assert full.rows["gaussian"].basel_zone in {"green", "yellow", "red"}


def test_short_data_leaves_methods_out_with_the_reason(returns: pd.Series) -> None:
    tested = backtest_var(returns.iloc[:300])
    assert tested.rows["evt"].origins == 0
    assert "at least 500" in tested.rows["evt"].reason
    assert 0 < tested.rows["fhs"].origins < tested.rows["historical"].origins
    assert "fhs" not in tested.ranking
    with pytest.raises(DataError, match="too few"):
        backtest_var(returns.iloc[:60])


def test_it_can_be_cancelled_and_reports_progress(returns: pd.Series) -> None:
    seen = []

    def stop(done: int, total: int, doing: str = "") -> None:
        seen.append((done, total))
        if done == 20:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        backtest_var(returns, methods=["historical"], progress=stop)
    assert seen[-1] == (20, 400)


def test_unknown_methods_are_refused(returns: pd.Series) -> None:
    with pytest.raises(UnknownChoiceError, match="choose from historical"):
        backtest_var(returns, methods=["garch"])
