"""What a forecast says, and what it refuses to say."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from quantkit.core.calendars import next_bars
from quantkit.core.errors import Cancelled, ComputeError, DataError, UnknownChoiceError, UsageError
from quantkit.core.kept import forget
from quantkit.forecast import FORECASTERS, Forecast, leaderboard, predict
from quantkit.forecast.auto import Auto
from quantkit.forecast.base import Forecaster
from quantkit.forecast.naive import Drift
from quantkit.forecast.target import Outcomes
from quantkit.forecast.walk import Walk


@pytest.fixture(scope="module")
def bars(bars_of):
    rng = np.random.default_rng(2)
    return bars_of(0.0004 + 0.012 * rng.standard_t(5, size=500))


@pytest.fixture(scope="module")
def momentum(bars_of):
    """AR(1) with phi = 0.5: the past says much about the next return."""
    shocks = 0.01 * np.random.default_rng(3).normal(size=600)
    for t in range(1, len(shocks)):
        shocks[t] += 0.5 * shocks[t - 1]
    return bars_of(shocks)


def ask(bars: pd.DataFrame, **question) -> Forecast:
    return predict(bars, **{"model": "naive", "symbol": "TEST", "currency": "USD", **question})


def test_naive_expects_the_last_price_and_a_mean_above_it_by_half_the_variance(bars):
    forecast = ask(bars)
    assert [step.median for step in forecast.steps] == [bars["close"].iloc[-1]] * 5
    next_step = forecast.steps[0]
    # The mean takes its variance from the interval's scale, the volatility shown from GARCH: near, not the same.
    half_variance = np.log(next_step.mean / next_step.median)
    assert half_variance == pytest.approx(forecast.predicted_volatility**2 / 2, rel=0.6)
    assert forecast.skill == 0


def test_the_median_compounds_the_expected_log_returns(bars):
    mean_return = Drift().fit(bars).drift_
    assert mean_return == pytest.approx(np.log(bars["close"].iloc[-1] / bars["close"].iloc[0]) / (len(bars) - 1))
    medians = [step.median for step in ask(bars, model="drift", horizon=4).steps]
    np.testing.assert_allclose(medians, bars["close"].iloc[-1] * np.exp(mean_return * np.arange(1, 5)), rtol=1e-13)


def test_steps_are_labelled_by_the_sessions_to_come(sample_bars):
    forecast = ask(sample_bars("AAPL"), horizon=10)
    expected = next_bars(forecast.as_of, 10, calendar="XNYS")
    assert [step.timestamp for step in forecast.steps] == list(expected)
    assert forecast.steps[0].timestamp == pd.Timestamp("2023-09-22", tz="UTC")


def test_a_wider_level_contains_a_narrower_one_and_the_fan_opens(bars):
    forecast = ask(bars)
    narrow, middle, wide = forecast.fan
    assert [band.level for band in forecast.fan] == [0.5, 0.8, 0.95]
    for step in range(5):
        edges = [wide.lower, middle.lower, narrow.lower, narrow.upper, middle.upper, wide.upper]
        at = [edge[step] for edge in edges]
        assert at == sorted(at)
    assert wide.upper[4] - wide.lower[4] > wide.upper[0] - wide.lower[0]
    assert (forecast.steps[2].lower, forecast.steps[2].upper) == (wide.lower[2], wide.upper[2])


def test_an_asked_level_leaves_the_fan_and_the_other_figures_as_they_are(bars):
    usual, asked = ask(bars), ask(bars, level=0.9)
    assert asked.fan == usual.fan
    assert asked.predicted_price == usual.predicted_price
    assert usual.fan[1].upper[0] < asked.steps[0].upper < usual.fan[2].upper[0]
    assert asked.coverage < usual.coverage


def test_step_one_does_not_depend_on_how_far_the_question_reaches(bars):
    near, far = ask(bars, model="drift", horizon=1), ask(bars, model="drift", horizon=3)
    assert near.steps[0].median == far.steps[0].median
    assert near.predicted_volatility == pytest.approx(far.predicted_volatility, rel=0.02)


def test_the_measured_coverage_is_near_the_level_on_real_prices(sample_bars):
    forecast = ask(sample_bars("MSFT"), origins=500)
    for band in forecast.fan:
        assert abs(band.coverage[0] - band.level) < 0.05
    assert forecast.origins == 500


def test_volatility_follows_the_market(bars_of):
    rng = np.random.default_rng(6)
    calm, wild = 0.005 * rng.normal(size=400), 0.03 * rng.normal(size=60)
    before, after = ask(bars_of(calm)), ask(bars_of(np.concatenate([calm, wild])))
    assert before.predicted_volatility == pytest.approx(0.005, rel=0.35)
    assert after.predicted_volatility == pytest.approx(0.03, rel=0.5)


def test_a_rising_market_is_called_up_from_signed_residuals(bars_of):
    rng = np.random.default_rng(7)
    rising = ask(bars_of(0.008 + 0.008 * rng.normal(size=400)))
    falling = ask(bars_of(-0.008 + 0.008 * rng.normal(size=400)))
    assert (rising.trend, falling.trend) == ("UP", "DOWN")
    assert rising.trend_probability > 0.75
    assert falling.trend_probability > 0.75
    assert not rising.no_edge


def test_auto_leaves_naive_where_another_model_beats_it(momentum):
    forecast = ask(momentum, model="auto", horizon=1)
    assert forecast.chosen in {"arima", "sarima"}
    assert forecast.challenger == ""
    assert forecast.steps[0].median != forecast.last_price
    assert forecast.beats_naive
    assert f"auto ({forecast.chosen}) beats naive" in forecast.in_words()


def test_auto_stays_with_naive_on_a_random_walk_and_names_the_challenger(bars_of):
    walk = bars_of(0.01 * np.random.default_rng(14).normal(size=600))
    forecast = ask(walk, model="auto", horizon=2)
    assert forecast.chosen == "naive"
    assert forecast.challenger in set(FORECASTERS) - {"naive", "auto", "blend"}
    assert len(forecast.challenger_path) == 2
    assert "No model is shown to beat naive" in forecast.in_words()
    assert forecast.skill <= 0


@pytest.mark.parametrize("step", [1, 3])
def test_auto_counts_an_outcome_from_the_origin_at_which_it_is_known(step):
    # A member that is right by a little every time, and once wrong by so much that no evidence is left.
    signs = np.where(np.random.default_rng(0).random(150) < 0.9, 1.0, -1.0)
    medians = np.full((150, step), 0.1)
    medians[100, :] = 50.0
    returns = np.repeat(0.1 * signs[:, None], step, axis=1)
    returns[100, :] = -50.0
    paths = np.diff(medians, axis=1, prepend=0.0)
    walks = {"naive": Walk("naive", np.zeros_like(paths)), "member": Walk("member", paths)}
    outcomes = Outcomes(rows=np.arange(150), returns=returns, scale=np.ones(150))
    chosen = Auto().weights(walks, outcomes, step=step, window=250)[:, 1]
    assert chosen[99 + step] == 1.0
    assert chosen[100 + step] == 0.0


def test_autos_skill_includes_the_cost_of_choosing(momentum):
    rows = leaderboard(momentum, horizon=1, symbol="TEST").to_frame()
    assert 0 < rows.loc["auto", "skill"] <= rows.loc["arima", "skill"] + 1e-12
    assert rows.loc["auto", "verdict"] == rows.loc["arima", "verdict"] == "beats naive"
    assert rows.loc["naive", "verdict"] == "the benchmark"


def test_leaderboard_and_forecast_show_the_same_figures(momentum):
    forecast = ask(momentum, model="auto", horizon=2)
    rows = leaderboard(momentum, horizon=2, symbol="TEST").to_frame()
    for contender in forecast.contenders:
        assert contender.skill == rows.loc[contender.model, "skill"]
        assert contender.p_value == rows.loc[contender.model, "p_value"]
    assert forecast.steps[1].coverage == rows.loc["auto", "coverage"]
    assert forecast.p_value == rows.loc["auto", "p_value"]


class Faulty(Drift):
    """Works until it has seen 500 bars."""

    refit_every = 50

    def fit(self, bars):
        if len(bars) > 500:
            raise ComputeError("singular matrix")
        return super().fit(bars)


@pytest.fixture
def faulty(monkeypatch):
    monkeypatch.setitem(FORECASTERS._choices, "faulty", Faulty)


@pytest.mark.usefixtures("faulty")
def test_a_model_that_fails_is_reported_with_its_reason_and_the_others_stand(momentum):
    board = leaderboard(momentum, horizon=1)
    assert list(board.failures) == ["faulty"]
    assert "singular matrix" in board.failures["faulty"]
    assert board.rows[-1].model == "faulty"
    assert np.isnan(board.rows[-1].mae)
    light = {name for name, kind in FORECASTERS.items() if not kind.heavy}
    assert {row.model for row in board.rows[:-1]} == light - {"faulty"}
    assert "failed: faulty" in board.in_words()
    forecast = ask(momentum, model="auto", horizon=1)
    assert forecast.chosen in {"arima", "sarima"}
    assert "singular matrix" in forecast.failures["faulty"]
    with pytest.raises(ComputeError, match=r"TEST: faulty failed: singular matrix \(at 20"):
        ask(momentum, model="faulty")


@pytest.mark.usefixtures("faulty")
def test_a_later_failure_takes_nothing_back_of_what_was_said_before(momentum):
    from quantkit.forecast.walk import plan_walk, walk_models

    plan = plan_walk(len(momentum), horizon=1)
    walks, _ = walk_models(["naive", "auto"], momentum, plan, step=1)
    failed = np.isnan(walks["faulty"].paths[:, 0])
    assert not failed[: 499 - plan.first].any()
    assert failed[-1]
    assert np.isfinite(walks["auto"].paths).all()


def test_who_asks_can_follow_and_cancel(bars):
    told = []
    forget()

    def watch(done: int, total: int, doing: str = "") -> None:
        assert 0 <= done <= total
        told.append(doing)
        if len(told) == 5:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        ask(bars, model="auto", progress=watch)
    assert {"naive"} <= set(told)


@pytest.mark.parametrize(
    ("question", "error", "said"),
    [
        ({"model": "arma"}, UnknownChoiceError, r"did you mean arima.*choose from naive, drift, arima"),
        ({"model": None}, UnknownChoiceError, "choose from"),
        ({"horizon": 0}, UsageError, "horizon 0 is not a whole number of bars from 1 to 60"),
        ({"horizon": 1000}, UsageError, "horizon 1000"),
        ({"horizon": True}, UsageError, "horizon True"),
        ({"horizon": 2.5}, UsageError, "horizon 2.5"),
        ({"level": 1}, UsageError, "level 1"),
        ({"level": 95}, UsageError, "did you mean 0.95"),
        ({"origins": 5}, UsageError, "origins 5 is not a whole number from 40"),
        ({"interval": "1h"}, UsageError, "1h"),
    ],
)
def test_a_question_without_sense_is_refused_with_what_is_accepted(bars, question, error, said):
    with pytest.raises(error, match=said):
        ask(bars, **question)


def test_a_model_refuses_bars_that_it_cannot_forecast(bars, monkeypatch):
    class Daily(Drift):
        intervals = ("1d",)

    monkeypatch.setitem(FORECASTERS._choices, "daily", Daily)
    with pytest.raises(UsageError, match="daily forecasts 1d bars, not 1m"):
        ask(bars, model="daily", interval="1m")


def test_too_short_a_history_says_how_much_is_needed(bars):
    assert ask(bars.iloc[:230]).origins == 40
    with pytest.raises(DataError, match=r"TEST: 229 bars are too few .* at least 230 are needed"):
        ask(bars.iloc[:229])


def test_a_short_history_is_forecast_with_fewer_origins_and_says_so(bars):
    assert ask(bars.iloc[:300]).origins == 110
    assert ask(bars).origins == 250


def test_constant_prices_are_refused(bars):
    flat = bars.assign(open=50.0, high=50.0, low=50.0, close=50.0, adj_close=50.0)
    for answer in (lambda: ask(flat), lambda: leaderboard(flat, symbol="TEST")):
        with pytest.raises(DataError, match="TEST: close is 50 on all of 501 bars"):
            answer()


def test_a_nan_close_names_its_row(bars):
    broken = bars.copy()
    broken.iloc[77, broken.columns.get_loc("close")] = np.nan
    with pytest.raises(DataError, match=f"close.*{broken.index[77].date()}"):
        ask(broken)


@pytest.mark.parametrize("model", list(FORECASTERS))
def test_a_halted_stock_has_a_forecast_with_a_width(bars_of, model):
    rng = np.random.default_rng(9)
    halted = bars_of(np.concatenate([0.01 * rng.normal(size=400), np.zeros(80)]))
    forecast = ask(halted, model=model)
    assert forecast.steps[0].lower < forecast.last_price < forecast.steps[0].upper
    assert forecast.predicted_volatility > 0


def test_a_series_that_was_flat_at_first_fails_where_it_cannot_be_estimated(bars_of):
    rng = np.random.default_rng(10)
    flat_then_moving = bars_of(np.concatenate([np.zeros(200), 0.01 * rng.normal(size=200)]))
    with pytest.raises(ComputeError, match=r"arima failed: arima: .* do not vary"):
        ask(flat_then_moving, model="arima")
    assert ask(flat_then_moving, model="auto").failures.keys() == {"arima", "sarima", "forest", "xgboost"}


def test_one_wild_bar_does_not_break_the_forecast(bars):
    wild = bars.copy()
    for column in ("open", "high", "low", "close", "adj_close"):
        wild.iloc[-30:, wild.columns.get_loc(column)] *= 0.02
    forecast = ask(wild, model="arima")
    assert all(0 < step.lower < step.median < step.upper < 100 for step in forecast.steps)


def test_a_series_known_only_in_adjusted_form_is_indicative(bars):
    assert not ask(bars).indicative
    adjusted = bars.copy()
    adjusted.attrs["price_basis"] = "adjusted"
    forecast = ask(adjusted)
    assert forecast.indicative
    assert "indicative" in forecast._repr_html_()


def test_the_fingerprint_is_the_callers_or_that_of_bars_and_question(bars):
    assert ask(bars, fingerprint="abc").fingerprint == "abc"
    computed = ask(bars).fingerprint
    assert re.fullmatch("[0-9a-f]{32}", computed)
    assert ask(bars, level=0.9).fingerprint != computed
    assert ask(bars.iloc[:-1]).fingerprint != computed


def test_what_is_not_asked_of_does_not_change_the_answer(bars):
    renamed = bars.assign(volume=np.nan)[["adj_close", "volume", "low", "high", "close", "open"]]
    first, second = ask(bars, fingerprint="x"), ask(renamed, fingerprint="x")
    assert first == second


def test_the_html_says_what_the_words_say_and_escapes_names(bars):
    forecast = ask(bars, model="drift", symbol="<i>&", level=0.9)
    html = forecast._repr_html_()
    assert "&lt;i&gt;&amp;" in html
    assert "<i>" not in html
    assert forecast.in_words().split(":")[0] in html
    assert html.count("<tr>") == 6
    board = leaderboard(bars, symbol="<i>")
    assert "&lt;i&gt;" in board._repr_html_()
    assert type(board).from_dict(board.to_dict()) == board


def test_models_say_whether_they_beat_naive():
    known = Forecast(
        symbol="T",
        model="naive",
        interval="1d",
        currency="USD",
        as_of=pd.Timestamp("2024-01-02", tz="UTC"),
        last_price=1.0,
        level=0.9,
        steps=(),
        predicted_price=1.0,
        predicted_volatility=0.01,
        trend="UP",
        trend_probability=0.5,
        coverage=0.9,
        skill=0.1,
        origins=250,
        fingerprint="",
    )
    assert "no change" in known.in_words()
    assert "beats naive" in replace(known, model="arima", p_value=0.01).in_words()
    assert "not shown to beat naive" in replace(known, model="arima", p_value=0.2).in_words()
    assert "not tested" in replace(known, model="arima").in_words()


def test_a_model_is_callable_without_arguments_and_inherits_the_protocols_defaults():
    for name, kind in FORECASTERS.items():
        assert Forecaster in kind.__mro__, name
        assert kind().refit_every >= 1


def test_asking_for_naive_loads_no_model_library():
    import subprocess
    import sys

    # scipy's own package loads its parts where they are first used.
    heavy = ("statsmodels", "arch", "sklearn", "xgboost", "keras", "jax", "shap", "scipy.special", "scipy.stats",
             "scipy.optimize", "scipy.signal", "scipy.linalg")  # fmt: skip
    code = f"import sys, quantkit.forecast; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_of_ones_own_does_not_change_what_auto_says_under_a_shared_fingerprint(monkeypatch):
    from quantkit.forecast.base import light_models

    before = light_models("1d")
    monkeypatch.setattr(FORECASTERS, "_choices", dict(FORECASTERS._choices))
    monkeypatch.setattr(FORECASTERS, "own", dict(FORECASTERS.own))
    FORECASTERS.add("mine")(type("Mine", (FORECASTERS["drift"],), {"__module__": "__main__"}))
    assert "mine" in FORECASTERS
    assert light_models("1d") == before
