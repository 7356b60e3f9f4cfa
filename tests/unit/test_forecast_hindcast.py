"""Forecasts of the past beside what came: the path is the one that a forecast's coverage and skill are measured on."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.core.errors import UsageError
from quantkit.core.kept import forget
from quantkit.forecast import Hindcast, hindcast, predict


@pytest.fixture(scope="module")
def bars(bars_of):
    return bars_of(np.random.default_rng(7).normal(0.0, 0.01, 600))


def test_its_coverage_and_skill_are_those_of_the_forecast_at_every_step(bars) -> None:
    forecast = predict(bars, model="drift", horizon=3, symbol="X")
    for step in forecast.steps:
        past = hindcast(bars, model="drift", horizon=3, step=step.step, symbol="X")
        assert (past.coverage, past.skill) == (step.coverage, step.skill)
        assert past.coverage == (past.missed == 0).mean()


def test_a_row_is_an_origin_s_close_its_forecast_and_the_close_that_came(bars) -> None:
    past = hindcast(bars, model="naive", horizon=5, step=2)
    at = bars.index.get_indexer(past.path.index)
    assert past.path.index[-1] == bars.index[-1]
    assert past.origins == 250
    assert (past.path["origin"].to_numpy() == bars["close"].to_numpy()[at - 2]).all()
    assert (past.path["actual"].to_numpy() == bars["close"].to_numpy()[at]).all()
    assert past.path["median"].equals(past.path["origin"])
    assert (past.path["lower"] < past.path["median"]).all()


def test_nothing_said_at_an_origin_changes_with_what_comes_after_it(bars) -> None:
    shorter = bars.iloc[:-20]
    before = hindcast(shorter, model="drift", horizon=2)
    forget()
    broken = bars.copy()
    broken.iloc[-20:, :] *= 3.0
    after = hindcast(broken, model="drift", horizon=2)
    said = ["origin", "median", "lower", "upper"]
    both = before.path.index.intersection(after.path.index)
    assert len(both) > 200
    assert before.path.loc[both, said].equals(after.path.loc[both, said])


def test_minutes_whose_outcome_lies_beyond_a_session_gap_are_left_out(sample_bars) -> None:
    minutes = sample_bars("MSFT", "1m")
    past = hindcast(minutes, model="naive", horizon=5, interval="1m")
    at = minutes.index.get_indexer(past.path.index)
    assert 0 < past.origins < 250
    assert (minutes.index[at] - minutes.index[at - 5]).max().total_seconds() < 3600


def test_it_goes_to_json_and_back(bars) -> None:
    past = hindcast(bars, model="naive", horizon=1)
    assert Hindcast.from_dict(past.to_dict()) == past
    assert "250 forecasts 1 step ahead" in past.in_words()


@pytest.mark.parametrize("step", [0, 6, True, "1"])
def test_a_step_beyond_the_horizon_is_refused(bars, step) -> None:
    with pytest.raises(UsageError, match="from 1 to the horizon, 5"):
        hindcast(bars, model="naive", horizon=5, step=step)
