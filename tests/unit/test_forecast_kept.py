"""A new bar costs one step of the walk, and the answer is the cold one to the last bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import Cancelled
from quantkit.core.kept import forget
from quantkit.forecast import FORECASTERS, leaderboard, predict
from quantkit.forecast.base import Composite
from quantkit.forecast.intervals import Calibrator, calibrate
from quantkit.forecast.naive import Drift
from quantkit.forecast.target import outcomes_of, session_gaps
from quantkit.forecast.walk import plan_walk, walk_models


@pytest.fixture(scope="module")
def bars(bars_of):
    shocks = 0.01 * np.random.default_rng(31).standard_t(5, size=640)
    for t in range(1, len(shocks)):
        shocks[t] += 0.4 * shocks[t - 1]
    return bars_of(shocks)


@pytest.fixture(scope="module", autouse=True)
def few_models():
    """Only quick models are registered: what is kept does not depend on how long it took."""
    with pytest.MonkeyPatch.context() as patch:
        quick = {
            name: kind
            for name, kind in FORECASTERS.items()
            if name in ("naive", "drift", "arima") or isinstance(kind(), Composite)
        }
        patch.setattr(FORECASTERS, "_choices", quick)
        yield


class Counting(Drift):
    """Drift estimated rarely, that counts what is asked of it."""

    refit_every = 125
    fits = 0
    updates = 0

    def fit(self, bars):
        Counting.fits += 1
        return super().fit(bars)

    def update(self, bars):
        Counting.updates += 1
        return super().update(bars)


@pytest.fixture
def counting(monkeypatch):
    monkeypatch.setitem(FORECASTERS._choices, "counting", Counting)
    forget()

    def since() -> tuple[int, int]:
        found = (Counting.fits, Counting.updates)
        Counting.fits = Counting.updates = 0
        return found

    since()
    return since


def cold(bars: pd.DataFrame, **question):
    forget()
    return predict(bars, symbol="TEST", currency="USD", **question)


def test_an_appended_bar_is_one_update_and_a_due_one_is_one_fit(bars, counting):
    predict(bars.iloc[:620], model="counting")
    fits, updates = counting()
    assert fits + updates > 400
    predict(bars.iloc[:621], model="counting")
    assert counting() == (0, 1)
    predict(bars.iloc[:624], model="counting")
    assert counting() == (0, 3)
    predict(bars.iloc[:625], model="counting")
    assert counting() == (1, 0)
    leaderboard(bars.iloc[:625], models=["counting"])
    assert counting() == (0, 0)


@pytest.mark.parametrize("change", [300, 619])
def test_a_corrected_bar_is_walked_anew(bars, counting, change):
    predict(bars.iloc[:620], model="counting")
    counting()
    corrected = bars.copy()
    corrected.iloc[change, corrected.columns.get_loc("close")] *= 1.0001
    warm = predict(corrected, model="counting", symbol="TEST", currency="USD")
    fits, updates = counting()
    assert fits + updates > 400
    assert warm == cold(corrected, model="counting")


@pytest.mark.parametrize(
    "question", [{"model": "arima"}, {"model": "auto", "level": 0.9}, {"model": "auto", "horizon": 1}]
)
def test_gone_on_with_bar_by_bar_it_is_the_cold_answer_bit_for_bit(bars, question):
    forget()
    warm = {end: predict(bars.iloc[:end], symbol="TEST", currency="USD", **question) for end in range(621, 630)}
    for end in (622, 625, 629):
        assert warm[end].to_dict() == cold(bars.iloc[:end], **question).to_dict()


def test_minute_bars_with_their_session_gaps_too(sample_bars):
    minutes = sample_bars("MSFT", "1m")
    gap = int(np.flatnonzero(session_gaps(minutes.index))[-1])
    part = minutes.iloc[gap - 600 : gap + 2]
    forget()
    for end in (598, 600, 601, 602):
        warm = predict(part.iloc[:end], interval="1m", horizon=2, symbol="TEST", currency="USD")
    assert warm == cold(part, interval="1m", horizon=2)


def test_a_leaderboard_goes_on_from_a_forecast_and_the_other_way_round(bars):
    forget()
    predict(bars.iloc[:-1], model="auto")
    warm = leaderboard(bars, level=0.8)
    forget()
    assert warm == leaderboard(bars, level=0.8)
    assert predict(bars, symbol="TEST", currency="USD") == cold(bars)


def test_what_was_abandoned_half_way_is_not_gone_on_with(bars):
    forget()
    predict(bars.iloc[:620], model="auto")

    def enough(done: int, total: int, doing: str = "") -> None:
        if doing == "arima":
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        predict(bars.iloc[:640], model="auto", progress=enough)
    warm = predict(bars.iloc[:640], symbol="TEST", currency="USD")
    assert warm == cold(bars.iloc[:640])


def test_two_series_of_one_length_do_not_meet(bars):
    forget()
    other = bars.copy()
    other[["open", "high", "low", "close", "adj_close"]] *= bars["close"].iloc[::-1].to_numpy()[:, None]
    first, second = (predict(each.iloc[:620], model="drift") for each in (bars, other))
    assert first.steps[0].median / first.last_price != second.steps[0].median / second.last_price
    warm = predict(bars, model="drift", symbol="TEST", currency="USD")
    assert warm == cold(bars, model="drift")


def test_another_set_of_models_is_another_choice(bars, monkeypatch):
    forget()
    monkeypatch.setitem(FORECASTERS._choices, "counting", Counting)
    predict(bars.iloc[:-1], model="auto")
    monkeypatch.undo()
    assert predict(bars, symbol="TEST", currency="USD") == cold(bars)


@pytest.mark.parametrize("name", [name for name in FORECASTERS if isinstance(FORECASTERS[name](), Composite)])
def test_weights_at_an_origin_do_not_depend_on_where_the_asking_begins(name, bars):
    plan = plan_walk(len(bars), horizon=2, origins=100)
    composite = FORECASTERS[name]()
    walks, outcomes = walk_models(composite.members("1d"), bars, plan, step=2)
    judged = {each: walks[each] for each in composite.members("1d")}
    whole = composite.weights(judged, outcomes, step=2, window=100)
    for since in (1, 60, len(plan.rows) - 1, len(plan.rows)):
        part = composite.weights(judged, outcomes, step=2, window=100, since=since)
        assert part.shape == (len(plan.rows) - since, whole.shape[1])
        assert part.tobytes() == whole[since:].tobytes()


def test_a_calibration_extended_in_parts_is_the_whole_one(bars):
    outcomes = outcomes_of(bars, np.arange(150, 600), 3)
    medians = 0.001 * np.random.default_rng(1).normal(size=(450, 3))
    whole, parts = calibrate(medians, outcomes), Calibrator(3)
    for end in (1, 2, 40, 41, 200, 450):
        # What is known changes with the bars: an origin's outcome is there some bars later.
        then = outcomes_of(bars.iloc[: 150 + end], np.arange(150, 150 + end), 3)
        found = parts.extend(medians[:end], then)
    for name in ("lower", "upper", "probability_up", "sigma"):
        assert getattr(found, name).tobytes() == getattr(whole, name).tobytes()


def test_the_level_asked_of_a_leaderboard_is_the_one_scored(bars):
    narrow, middle, wide = (
        leaderboard(bars, models=["naive"], horizon=1, level=each).rows[0] for each in (0.5, 0.8, 0.95)
    )
    assert narrow.coverage < 0.65 < middle.coverage < 0.88 < wide.coverage
    assert narrow.interval_score < middle.interval_score < wide.interval_score
