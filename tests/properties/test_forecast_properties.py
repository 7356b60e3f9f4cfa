"""Laws of forecasts that hold whatever the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantkit.forecast import evaluate, predict
from quantkit.forecast.arma import Arma, ArmaFilter
from quantkit.forecast.intervals import calibrate, tail_quantile
from quantkit.forecast.significance import diebold_mariano, holm
from quantkit.forecast.target import Outcomes
from quantkit.forecast.walk import bars_needed, plan_walk

numbers = st.floats(-1.0, 1.0).map(lambda x: round(x, 6))


def arrays(size: int):
    return hnp.arrays(float, size, elements=numbers)


@given(st.lists(numbers, min_size=1, max_size=60).map(sorted), st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_quantiles_rise_with_probability_once_zero_lies_between(sample, probabilities):
    # Beyond the extremes a quantile is stretched away from zero, which is where the median of a residual lies.
    sample = sorted([-1.5, *sample, 1.5])
    found = [tail_quantile(sample, p) for p in sorted(probabilities)]
    assert found == sorted(found)


@settings(deadline=None, max_examples=40)
@given(arrays(80), st.floats(0, 0.3))
def test_intervals_are_nested_and_hold_the_median(noise, gamma):
    known = Outcomes(rows=np.arange(80), returns=noise[:, None], scale=np.ones(80))
    medians = np.full((80, 1), 0.1)
    bands = calibrate(medians, known, gamma=gamma)
    said = ~np.isnan(bands.upper[:, 0, 0])
    assert said.any()
    lower, upper = bands.lower[said, 0], bands.upper[said, 0]
    assert (np.diff(upper, axis=1) >= 0).all()
    assert (np.diff(lower, axis=1) <= 0).all()
    assert (lower[:, 0] <= 0.1).all()
    assert (upper[:, 0] >= 0.1).all()
    assert ((bands.probability_up[said] > 0) & (bands.probability_up[said] < 1)).all()


@settings(deadline=None, max_examples=40)
@given(arrays(60), st.floats(0.001, 1000))
def test_intervals_scale_with_the_returns(noise, factor):
    noise = noise + 1e-3 * np.arange(60)
    plain, scaled = (
        calibrate(np.zeros((60, 1)), Outcomes(np.arange(60), unit * noise[:, None], np.full(60, unit)))
        for unit in (1.0, factor)
    )
    np.testing.assert_allclose(scaled.upper, factor * plain.upper, rtol=1e-7, atol=1e-12 * factor)


@given(arrays(40), arrays(40), arrays(40), st.sampled_from([0.5, 0.8, 0.95]))
def test_the_interval_score_is_two_quantile_losses(outcomes, one, other, level):
    lower, upper = np.minimum(one, other), np.maximum(one, other)
    tail = (1 - level) / 2
    losses = evaluate.pinball(outcomes, lower, probability=tail) + evaluate.pinball(
        outcomes, upper, probability=1 - tail
    )
    assert evaluate.interval_score(outcomes, lower, upper, level=level) == pytest.approx(losses / tail, abs=1e-12)


@given(arrays(50))
def test_skill_of_naive_is_zero_and_of_the_truth_one(outcomes):
    assert evaluate.skill(outcomes, np.zeros(50)) == 0
    if np.any(outcomes):
        assert evaluate.skill(outcomes, outcomes) == 1


@given(arrays(30), st.floats(0, 1))
def test_a_coins_brier_score_is_a_quarter(outcomes, probability):
    outcomes = outcomes + 1e-9
    assert evaluate.brier(outcomes, np.full(30, 0.5)) == pytest.approx(0.25)
    assert 0 <= evaluate.brier(outcomes, np.full(30, probability)) <= 1


@given(arrays(40), arrays(40), st.integers(1, 8))
def test_p_values_are_probabilities_and_scale_free(one, other, horizon):
    found = diebold_mariano(np.abs(one), np.abs(other), horizon=horizon)
    assert 0 <= found.p_value <= 1
    scaled = diebold_mariano(8 * np.abs(one), 8 * np.abs(other), horizon=horizon)
    assert scaled.p_value == pytest.approx(found.p_value, abs=1e-9)


@given(hnp.arrays(float, st.integers(1, 12), elements=st.floats(0, 1)))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(raw):
    adjusted = holm(raw)
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(raw * len(raw), 1) + 1e-12).all()
    order = np.argsort(raw, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


@given(st.integers(0, 4000), st.integers(1, 60), st.integers(40, 600))
def test_every_plan_has_enough_behind_its_first_origin_and_counts_what_it_promises(extra, horizon, origins):
    plan = plan_walk(bars_needed(horizon) + extra, horizon=horizon, origins=origins)
    assert plan.first >= 119
    assert 40 <= plan.origins <= origins
    for step in (1, horizon):
        scored = plan.scored(step)
        assert scored.stop - scored.start == plan.origins
        # The last scored outcome is that of the last bar, the first one has been calibrated on.
        assert plan.rows[scored.stop - 1] + step == plan.length - 1
        assert scored.start - step >= 20


@settings(deadline=None, max_examples=30)
@given(arrays(50), st.floats(-0.9, 0.9), st.floats(-0.9, 0.9))
def test_an_arma_forecast_fades_to_its_constant(values, phi, theta):
    model = ArmaFilter(Arma(0.3, (phi,), (theta,), 1.0, 0.0))
    model.observe(values)
    path = model.forecast(200)
    assert path[-1] == pytest.approx(0.3, abs=1e-6)
    np.testing.assert_allclose(np.diff(path[1:]), np.diff(path[:-1]) * phi, atol=1e-9)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.floats(-0.003, 0.003), st.sampled_from(["naive", "drift"]))
def test_the_trend_is_the_likelier_direction_and_near_a_coin_has_no_edge(bars_of, seed, drift, model):
    bars = bars_of(drift + 0.01 * np.random.default_rng(seed).standard_t(4, size=320))
    forecast = predict(bars, model=model, horizon=1)
    assert 0.5 <= forecast.trend_probability <= 1
    assert forecast.no_edge == (forecast.trend_probability <= 0.55)
    assert ("no edge" in forecast._repr_html_()) == forecast.no_edge


@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.sampled_from([2.0**-6, 0.5, 64.0]))
def test_the_unit_of_the_currency_does_not_matter(bars_of, seed, unit):
    bars = bars_of(0.01 * np.random.default_rng(seed).normal(size=300))
    columns = ["open", "high", "low", "close", "adj_close"]
    in_unit = bars.assign(**{name: bars[name] * unit for name in columns})
    one, other = (predict(each, model="arima", horizon=2) for each in (bars, in_unit))
    np.testing.assert_allclose([s.upper for s in other.steps], [s.upper * unit for s in one.steps], rtol=1e-6)
    assert other.trend_probability == pytest.approx(one.trend_probability, abs=0.01)
