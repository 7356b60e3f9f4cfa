"""Intervals on series whose truth is known, and on minute bars with their session gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from quantkit.core.errors import DataError
from quantkit.forecast import evaluate, predict
from quantkit.forecast.intervals import calibrate, tail_quantile
from quantkit.forecast.target import Outcomes, close_returns, local_scale, outcomes_of, session_gaps


def outcomes(returns: np.ndarray, *, horizon: int = 1, scale: float | None = None) -> Outcomes:
    count = len(returns) - horizon
    rows = np.arange(count)
    sums = np.column_stack([[returns[t + 1 : t + 1 + h].sum() for t in range(count)] for h in range(1, horizon + 1)])
    scales = local_scale(returns)[:count] if scale is None else np.full(count, scale)
    return Outcomes(rows=rows, returns=sums, scale=scales)


def covered(known: Outcomes, bands, scored: slice, step: int = 1) -> list[float]:
    return [
        evaluate.coverage(
            known.returns[scored, step - 1], bands.lower[scored, step - 1, at], bands.upper[scored, step - 1, at]
        )
        for at in range(len(bands.levels))
    ]


def test_the_quantile_of_a_sample_covers_the_next_value_with_its_probability():
    rng = np.random.default_rng(0)
    below = [rng.normal() < tail_quantile(sorted(rng.normal(size=39)), 0.05) for _ in range(8000)]
    assert np.mean(below) == pytest.approx(0.05, abs=0.008)


def test_beyond_the_sample_the_tail_is_stretched_and_finite():
    sample = sorted(np.random.default_rng(1).normal(size=50).tolist())
    inside, outside, far = (tail_quantile(sample, p) for p in (0.02, 0.001, 0.0))
    assert far < outside < sample[0] <= inside
    assert outside == pytest.approx(sample[0] * stats.norm.ppf(0.001) / stats.norm.ppf(1 / 51))
    assert np.isfinite(far)


def test_coverage_is_nominal_where_returns_are_independent():
    known = outcomes(0.01 * np.random.default_rng(2).standard_t(4, size=3000), horizon=3)
    bands = calibrate(np.zeros_like(known.returns), known)
    for step in (1, 3):
        np.testing.assert_allclose(covered(known, bands, slice(500, None), step), [0.5, 0.8, 0.95], atol=0.025)


def test_bounds_of_known_noise_are_its_quantiles():
    known = outcomes(np.random.default_rng(3).normal(size=4000), scale=1.0)
    bands = calibrate(np.zeros_like(known.returns), known, gamma=0.0)
    np.testing.assert_allclose(bands.upper[2000:, 0].mean(axis=0), stats.norm.ppf([0.75, 0.9, 0.975]), atol=0.08)
    np.testing.assert_allclose(bands.lower[2000:, 0].mean(axis=0), stats.norm.ppf([0.25, 0.1, 0.025]), atol=0.08)
    assert bands.sigma[2000:, 0].mean() == pytest.approx(1.0, abs=0.03)


def test_skewed_noise_gets_a_skewed_interval():
    noise = np.random.default_rng(4).exponential(size=2000) - 1.0
    known = outcomes(noise, scale=1.0)
    bands = calibrate(np.zeros_like(known.returns), known)
    assert bands.upper[-1, 0, 2] > 2 * -bands.lower[-1, 0, 2]
    assert bands.probability_up[-1, 0] == pytest.approx(np.exp(-1), abs=0.04)


def test_adapting_restores_the_coverage_that_a_changed_world_takes_away():
    rng = np.random.default_rng(5)
    noise = np.concatenate([rng.normal(size=1200), 1.6 * rng.normal(size=600)])
    known = outcomes(noise, scale=1.0)
    centre = np.zeros_like(known.returns)
    later = slice(1300, None)
    rigid = covered(known, calibrate(centre, known, gamma=0.0), later)
    adaptive = covered(known, calibrate(centre, known), later)
    for level, without, with_it in zip((0.5, 0.8, 0.95), rigid, adaptive, strict=True):
        assert abs(with_it - level) < abs(without - level)
    assert abs(adaptive[0] - 0.5) < 0.03


def test_a_biased_model_has_an_interval_around_what_comes():
    known = outcomes(0.5 + np.random.default_rng(6).normal(size=1500), scale=1.0)
    bands = calibrate(np.zeros_like(known.returns), known)
    np.testing.assert_allclose(covered(known, bands, slice(500, None)), [0.5, 0.8, 0.95], atol=0.03)
    middle = (bands.upper[500:, 0, 2] + bands.lower[500:, 0, 2]) / 2
    assert middle.mean() == pytest.approx(0.5, abs=0.15)


def test_nothing_is_said_before_twenty_outcomes_are_known():
    known = outcomes(np.random.default_rng(7).normal(size=200), horizon=4, scale=1.0)
    bands = calibrate(np.zeros_like(known.returns), known)
    for step in range(1, 5):
        first = int(np.argmax(~np.isnan(bands.upper[:, step - 1, 0])))
        # The outcome of the 20th origin (index 19) at `step` is known `step` rows later.
        assert first == 19 + step


def test_scale_is_the_root_of_riskmetrics_variance():
    returns = 0.01 * np.random.default_rng(8).normal(size=300)
    weights = 0.94 ** np.arange(300)[::-1]
    assert local_scale(returns)[-1] == pytest.approx(np.sqrt((weights * returns**2).sum() / weights.sum()), rel=1e-10)


def minute_bars(days: int, per_day: int = 200, *, jump: float = 0.01, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    sessions = pd.bdate_range("2024-01-08", periods=days, tz="UTC")
    times = pd.DatetimeIndex(
        [session + pd.Timedelta(hours=14, minutes=30 + at) for session in sessions for at in range(per_day)],
        name="time",
    ).as_unit("us")
    returns = 0.0003 * rng.normal(size=len(times))
    returns[::per_day] = jump * rng.normal(size=days)
    close = 50 * np.exp(np.cumsum(returns))
    return pd.DataFrame(
        {"open": close, "high": close, "low": close, "close": close, "volume": 100.0, "adj_close": np.nan}, index=times
    )


def test_a_return_across_a_session_gap_is_not_a_minute_return():
    bars = minute_bars(5)
    returns = close_returns(bars)
    assert np.flatnonzero(np.isnan(returns)).tolist() == [0, 200, 400, 600, 800]
    assert np.nanmax(np.abs(returns)) < 0.0015
    known = outcomes_of(bars, np.arange(190, 300), 3)
    assert np.isnan(known.returns[7:10, 2]).all()
    assert np.isfinite(known.returns[10, 2])


def test_daily_bars_have_no_session_gaps(sample_bars):
    assert not session_gaps(sample_bars("AAPL").index).any()


def test_a_lunch_break_is_a_session_gap(sample_bars):
    bars = sample_bars("9988.HK", "1m")
    opens = pd.Series(bars.index[session_gaps(bars.index)].tz_convert("Asia/Hong_Kong"))
    assert set(opens.dt.strftime("%H:%M")) == {"09:30", "13:00"}


@pytest.mark.parametrize("model", ["naive", "arima", "auto"])
def test_minute_forecasts_stay_within_the_sessions_volatility(model, sample_bars):
    bars = sample_bars("MSFT", "1m")
    forecast = predict(bars, model=model, interval="1m", symbol="MSFT", currency="USD")
    assert forecast.predicted_volatility < 0.0015
    assert (forecast.steps[0].timestamp - forecast.as_of) == pd.Timedelta(minutes=1)
    assert abs(forecast.coverage - 0.95) < 0.04


def test_a_step_over_night_is_as_wide_as_past_nights_and_its_coverage_is_not_claimed():
    bars = minute_bars(8, per_day=390)
    inside = predict(bars.iloc[:-30], model="naive", interval="1m", symbol="T")
    across = predict(bars, model="naive", interval="1m", symbol="T")
    assert across.steps[0].timestamp.date() > across.as_of.date()
    assert across.predicted_volatility > 10 * inside.predicted_volatility
    assert across.predicted_volatility == pytest.approx(0.01, rel=0.6)
    assert np.isnan(across.coverage)
    assert inside.coverage == pytest.approx(0.95, abs=0.05)
    assert across.to_dict()["coverage"] is None


def test_a_horizon_longer_than_the_sessions_is_refused():
    with pytest.raises(DataError, match="within one session"):
        predict(minute_bars(20, per_day=40), model="naive", interval="1m", horizon=45, symbol="T")
