"""Features are what their documentation says, and know nothing of what comes after them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantkit.forecast.direct import STEPS, believed
from quantkit.forecast.features import FEATURES, WARM_UP, feature_table


@pytest.fixture(scope="module")
def bars(bars_of):
    rng = np.random.default_rng(5)
    frame = bars_of(0.01 * rng.standard_t(5, size=300))
    return frame.assign(volume=rng.uniform(1e5, 1e6, size=len(frame)))


def test_every_feature_is_documented_and_complete_after_the_warm_up(bars):
    table = feature_table(bars)
    assert list(table.columns) == list(FEATURES)
    assert all(FEATURES.values())
    assert table.iloc[:WARM_UP].isna().all(axis=None)
    assert table.iloc[WARM_UP:].notna().all(axis=None)


@pytest.mark.parametrize("interval", ["1d", "1m"])
def test_a_row_is_the_same_bits_whatever_comes_after(interval, sample_bars):
    frame = sample_bars("MSFT", interval).iloc[:1200]
    whole = feature_table(frame).to_numpy()
    garbage = frame.copy()
    garbage.iloc[701:] = 1e6 * np.random.default_rng(0).random((len(frame) - 701, frame.shape[1]))
    for other in (feature_table(garbage).to_numpy(), feature_table(frame.iloc[:701]).to_numpy()):
        assert other[:701].tobytes() == whole[:701].tobytes()
    assert feature_table(garbage).to_numpy()[701:].tobytes() != whole[701:].tobytes()


def test_oscillators_and_volatility_agree_with_pandas(bars):
    table, close = feature_table(bars), bars["close"]
    returns = np.log(close).diff()
    rms = (returns**2).rolling(20).mean() ** 0.5
    np.testing.assert_allclose(table["volatility_20"].iloc[30:], rms.iloc[30:], rtol=1e-10)
    fast, slow = (close.ewm(span=span, adjust=False).mean() for span in (12, 26))
    np.testing.assert_allclose(table["macd"].iloc[WARM_UP:], ((fast - slow) / close).iloc[WARM_UP:], atol=1e-12)
    moves = returns.fillna(0.0)
    up, down = (side.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean() for side in (moves, -moves))
    np.testing.assert_allclose(table["rsi_14"].iloc[WARM_UP:], (100 * up / (up + down)).iloc[WARM_UP:], rtol=1e-10)
    relative = bars["volume"] / bars["volume"].rolling(20).mean()
    np.testing.assert_allclose(table["volume_relative"].iloc[25:], relative.iloc[25:], rtol=1e-10)


def test_a_series_without_volume_has_average_volume(bars):
    close_only = bars.assign(open=np.nan, high=np.nan, low=np.nan, volume=np.nan)
    table = feature_table(close_only)
    assert (table["volume_relative"].iloc[WARM_UP:] == 1.0).all()
    others = [name for name in FEATURES if name != "volume_relative"]
    pd.testing.assert_frame_equal(table[others], feature_table(bars)[others])


def test_a_jump_between_sessions_is_no_feature_of_a_minute(sample_bars):
    frame = sample_bars("MSFT", "1m").iloc[:1000]
    opens = np.flatnonzero(np.diff(frame.index.asi8) > 3_600_000_000) + 1
    jumped = frame.copy()
    jumped.iloc[opens[0] :, :4] *= 1.5
    before, after = feature_table(frame), feature_table(jumped)
    assert before["session_minute"].iloc[opens[0]] == 0.0
    assert (before["lag_1"].iloc[opens] == 0.0).all()
    np.testing.assert_allclose(after.iloc[WARM_UP:], before.iloc[WARM_UP:], rtol=1e-6, atol=1e-9)


def test_belief_follows_the_evidence():
    rng = np.random.default_rng(1)
    signal, noise = rng.normal(size=2500), rng.normal(size=2500)
    assert believed(0.3 * signal + noise, 0.3 * signal) > 0.9
    assert believed(noise, 0.05 * signal) < 0.6
    assert believed(-0.3 * signal + noise, 0.3 * signal) < 0.05
    assert believed(noise, np.zeros(2500)) == 0.0


@pytest.mark.parametrize("name", ["forest", "xgboost"])
def test_a_direct_model_expects_no_change_beyond_what_it_learned(name, bars):
    from quantkit.forecast import FORECASTERS

    path = FORECASTERS[name]().fit(bars).predict(STEPS + 3)
    assert (path[STEPS:] == 0.0).all()
    assert (path[:STEPS] != 0.0).all()
