"""What every registered model promises; a new model is covered by being registered."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import DataError
from quantkit.forecast import FORECASTERS, predict
from quantkit.forecast.base import Composite
from quantkit.forecast.intervals import calibrate
from quantkit.forecast.walk import plan_walk, walk_models

MODELS = list(FORECASTERS)
HORIZON = 3


@pytest.fixture(scope="module")
def bars(bars_of):
    rng = np.random.default_rng(11)
    shocks = 0.01 * rng.standard_t(5, size=420)
    returns = shocks.copy()
    for t in range(1, len(returns)):
        returns[t] += 0.6 * returns[t - 1]
    return bars_of(returns)


def corrupted(bars: pd.DataFrame, last_kept: int) -> pd.DataFrame:
    """The same bars up to row `last_kept`, and another world after it."""
    garbage = bars.copy()
    rng = np.random.default_rng(99)
    count = len(bars) - last_kept - 1
    close = np.exp(rng.uniform(-6, 12, size=count))
    for column in ("open", "high", "low", "close", "adj_close"):
        garbage.iloc[last_kept + 1 :, garbage.columns.get_loc(column)] = close
    garbage.iloc[last_kept + 1 :, garbage.columns.get_loc("volume")] = 0.0
    return garbage


@pytest.mark.parametrize("name", MODELS)
def test_a_model_forecasts_one_finite_log_return_for_every_step(name, bars):
    path = FORECASTERS[name]().fit(bars).predict(HORIZON)
    assert path.shape == (HORIZON,)
    assert np.isfinite(path).all()
    assert np.abs(path).max() < 0.1


@pytest.mark.parametrize("name", MODELS)
def test_shorter_horizons_are_the_beginning_of_longer_ones(name, bars):
    model = FORECASTERS[name]().fit(bars)
    np.testing.assert_array_equal(model.predict(1), model.predict(HORIZON)[:1])


@pytest.mark.parametrize("name", MODELS)
def test_fitting_twice_gives_the_same_bits(name, bars):
    first, second = (FORECASTERS[name]().fit(bars).predict(HORIZON) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_updating_bar_by_bar_or_at_once_gives_the_same_forecast(name, bars):
    slowly, at_once = (FORECASTERS[name]().fit(bars.iloc[:400]) for _ in range(2))
    for end in range(401, 411):
        slowly.update(bars.iloc[:end])
    at_once.update(bars.iloc[:410])
    np.testing.assert_allclose(slowly.predict(HORIZON), at_once.predict(HORIZON), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", MODELS)
def test_updating_with_nothing_new_changes_nothing(name, bars):
    model = FORECASTERS[name]().fit(bars)
    before = model.predict(HORIZON)
    assert model.update(bars).predict(HORIZON).tobytes() == before.tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_does_not_write_into_its_bars(name, bars):
    kept = bars.copy(deep=True)
    FORECASTERS[name]().fit(bars).predict(HORIZON)
    pd.testing.assert_frame_equal(bars, kept)


@pytest.mark.parametrize("name", MODELS)
def test_too_short_a_history_is_refused_with_what_is_needed(name, bars):
    kind = FORECASTERS[name]
    if kind.minimum > 1:
        with pytest.raises(DataError, match="needed"):
            kind().fit(bars.iloc[: kind.minimum - 1])


@pytest.mark.parametrize("name", MODELS)
def test_a_volume_that_is_not_known_does_not_break_a_model(name, bars):
    close_only = bars.assign(open=np.nan, high=np.nan, low=np.nan, volume=np.nan)
    assert np.isfinite(FORECASTERS[name]().fit(close_only).predict(HORIZON)).all()


PLAN = plan_walk(421, horizon=HORIZON, origins=100)


@pytest.fixture(scope="module")
def walked(bars):
    """The walk of every model over the bars, or over those that are garbage after a row; each walked once."""

    @cache
    def walk(last_kept: int | None = None):
        return walk_models(MODELS, bars if last_kept is None else corrupted(bars, last_kept), PLAN, step=HORIZON)

    return walk


@pytest.fixture(scope="module")
def predicted(bars):
    """The first forecast of a model."""
    return cache(lambda name: predict(bars, model=name, horizon=2, symbol="TEST", currency="USD"))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("last_kept", [374, 410])
def test_nothing_computed_at_an_origin_sees_beyond_it(name, walked, last_kept):
    seen, blind = walked(), walked(last_kept)
    until = last_kept - PLAN.first + 1
    assert until > 20
    paths = [walks[name].paths[:until] for walks, _ in (seen, blind)]
    assert not np.isnan(paths[0]).any()
    assert paths[0].tobytes() == paths[1].tobytes()

    bands = [calibrate(walks[name].medians, outcomes) for walks, outcomes in (seen, blind)]
    for said in ("lower", "upper", "probability_up", "sigma"):
        before, after = (getattr(each, said)[:until] for each in bands)
        assert before.tobytes() == after.tobytes(), said
        assert np.isfinite(before[-1]).all(), said
        # The corruption must really have reached what comes after, or this test could not fail.
        assert (
            getattr(bands[0], said)[until + HORIZON :].tobytes() != getattr(bands[1], said)[until + HORIZON :].tobytes()
        )


@pytest.mark.parametrize("name", MODELS)
def test_a_forecast_is_the_same_bit_for_bit_when_asked_again_and_after_json(name, bars, predicted):
    first, second = predicted(name), predict(bars, model=name, horizon=2, symbol="TEST", currency="USD")
    assert first.to_dict() == second.to_dict()
    assert type(first).from_dict(first.to_dict()) == first


@pytest.mark.parametrize("name", MODELS)
def test_a_forecast_carries_its_proof(name, predicted):
    forecast = predicted(name)
    assert forecast.model == name
    assert [step.step for step in forecast.steps] == [1, 2]
    assert all(step.lower <= step.median <= step.upper for step in forecast.steps)
    assert 0.8 < forecast.coverage <= 1
    assert -1 < forecast.skill < 1
    assert forecast.chosen in FORECASTERS
    assert not forecast.failures
    assert name == "naive" or 0 <= forecast.p_value <= 1
    assert forecast.predicted_price == forecast.steps[0].mean
    assert 0.5 <= forecast.trend_probability <= 1


@pytest.mark.parametrize("name", [name for name in FORECASTERS if isinstance(FORECASTERS[name](), Composite)])
def test_weights_of_a_composite_are_shares(name, walked):
    composite = FORECASTERS[name]()
    members = composite.members("1d")
    assert "naive" in members
    walks, outcomes = walked()
    weights = composite.weights({each: walks[each] for each in members}, outcomes, step=1, window=PLAN.origins)
    assert weights.shape == (len(PLAN.rows), len(members))
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights >= 0).all()
