"""The Predictions screen without a browser: what is asked when, what its charts are given, and what its tables say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.forecast import FORECASTERS, Forecast
from quantkit.ui.charts.explanation import ExplanationBars
from quantkit.ui.charts.fan import FanChart
from quantkit.ui.charts.walk_chart import WalkChart
from quantkit.ui.prediction_figures import ForecastTiles, RecordTable, Standings, StepTable, TrainPanel, Verdict
from quantkit.ui.prediction_layout import Menu, StepButtons
from quantkit.ui.prediction_state import PredictionQuery, PredictionState

QUICK = "models=naive,drift"


class QuietDesk:
    """The real desk, which counts what it is asked, and whose volatility and explanation take no fit."""

    def __init__(self, desk) -> None:
        self._desk = desk
        self.asked: list[str] = []

    def __getattr__(self, name: str):
        found = getattr(self._desk, name)
        if name in ("predict", "hindcast", "leaderboard", "explain", "volatility", "track_record"):
            self.asked.append(name)
        return found

    def volatility(self, symbol: str, **question):
        self.asked.append("volatility")
        return self._desk.volatility(symbol, models=["ewma"], **question)


@pytest.fixture
def quiet(shared_desk) -> QuietDesk:
    return QuietDesk(shared_desk)


@pytest.fixture
def state(quiet: QuietDesk) -> Iterator[PredictionState]:
    made = PredictionState(quiet, default=PredictionQuery(model="naive", models=("naive",)))
    yield made
    made.close()


def opened(state: PredictionState, query: str) -> PredictionState:
    state.open(query)
    state.background.settle(120)
    return state


@pytest.fixture(scope="module")
def drift(shared_desk) -> Forecast:
    return shared_desk.predict("AAPL", model="drift")


@given(
    symbol=st.sampled_from(["AAPL", "^GSPC", "BRK-B"]),
    model=st.sampled_from(sorted(FORECASTERS)),
    horizon=st.integers(1, 5),
    step=st.integers(1, 5),
    level=st.sampled_from([0.5, 0.8, 0.95, 0.99]),
    models=st.lists(st.sampled_from(sorted(FORECASTERS)), unique=True).map(tuple),
)
def test_an_address_gives_back_the_view_it_came_from(**view) -> None:
    asked = PredictionQuery(**view)
    read, faults = PredictionQuery.parse(asked.to_query())
    assert faults == []
    assert read == asked


@given(st.text())
def test_whatever_an_address_holds_there_is_a_view(text: str) -> None:
    view, _ = PredictionQuery.parse(text)
    assert PredictionQuery.parse(view.to_query())[0] == view


def test_an_address_that_cannot_be_used_is_said_and_the_rest_is_shown(state: PredictionState) -> None:
    opened(state, f"symbol=<script>&model=arma&horizon=9&level=2&model=drift&{QUICK}")
    assert (state.symbol, state.model, state.horizon) == ("AAPL", "drift", 5)
    assert "Unknown model 'arma'" in state.error
    assert "Horizon '9'" in state.error
    assert state.forecast.answer is not None


def test_every_answer_is_the_one_that_desk_gives(state: PredictionState, shared_desk) -> None:
    opened(state, f"symbol=AAPL&model=drift&horizon=3&level=0.8&step=2&{QUICK}")
    at = {"horizon": 3, "interval": "1d", "level": 0.8}
    assert state.forecast.answer == shared_desk.predict("AAPL", model="drift", **at)
    assert state.hindcast.answer == shared_desk.hindcast("AAPL", model="drift", step=2, **at)
    assert state.leaderboard.answer == shared_desk.leaderboard("AAPL", models=["naive", "drift"], **at)
    assert state.explanation.answer == shared_desk.explain("AAPL", model="drift")
    assert state.record.answer == shared_desk.track_record("AAPL")
    assert state.query == "symbol=AAPL&model=drift&horizon=3&interval=1d&level=0.8&step=2&models=naive,drift"
    assert "desk.predict('AAPL', model='drift', horizon=3, interval='1d', level=0.8)" in state.code
    assert not any(each.busy or each.error for each in state.questions)


def test_another_step_of_the_walk_asks_for_nothing_else(state: PredictionState, quiet: QuietDesk) -> None:
    opened(state, f"model=naive&{QUICK}")
    quiet.asked.clear()
    state.step = 4
    state.background.settle(60)
    assert quiet.asked == ["hindcast"]
    assert state.hindcast.answer.step == 4
    state.horizon = 2
    state.background.settle(60)
    assert state.step == 2
    assert state.hindcast.answer.step == 2


def test_an_unknown_symbol_leaves_what_is_shown_and_says_so(state: PredictionState) -> None:
    opened(state, f"model=naive&{QUICK}")
    state.choose("TSLA")
    state.background.settle(60)
    assert state.symbol == "AAPL"
    assert "TSLA is not in the sample" in state.error
    assert state.error.endswith("Still showing AAPL.")
    assert state.prices.error == ""
    assert state.forecast.answer.symbol == "AAPL"


def test_an_unknown_symbol_in_the_address_gives_way_to_the_default(state: PredictionState) -> None:
    opened(state, "symbol=NOSUCH&model=naive")
    assert state.symbol == "AAPL"
    assert "Showing AAPL instead." in state.error
    assert not state.failed


def test_a_model_that_cannot_forecast_minutes_gives_way_and_it_is_said(state: PredictionState) -> None:
    opened(state, f"symbol=MSFT&model=naive&{QUICK}")
    with state._settle():
        state.model = "sarima"
    state.models = ("naive",)
    state.interval = "1m"
    assert state.model == "auto"
    state.model = "drift"
    state.background.settle(120)
    assert "sarima" not in state.choices
    assert state.forecast.answer.interval == "1m"
    assert state.zone == "America/New_York"


def test_a_heavy_model_waits_until_somebody_asks(state: PredictionState, quiet: QuietDesk, monkeypatch) -> None:
    monkeypatch.setattr(FORECASTERS["drift"], "heavy", True)
    opened(state, "model=drift&models=naive")
    assert state.waiting == "drift"
    assert "predict" not in quiet.asked
    assert [row.model for row in state.leaderboard.answer.rows] == ["naive"]
    state.train()
    state.background.settle(60)
    assert state.waiting == ""
    assert state.forecast.answer.model == "drift"
    assert {row.model for row in state.leaderboard.answer.rows} == {"naive", "drift"}


def test_a_failed_forecast_is_a_sentence_and_is_tried_again(state: PredictionState, quiet: QuietDesk) -> None:
    from quantkit.core.errors import ComputeError

    def fails(*args, **question):
        raise ComputeError("the model ran <b>away</b>")

    quiet.predict = fails
    opened(state, "model=naive&models=naive")
    assert state.forecast.error == "The model ran <b>away</b>."
    assert state.bars is not None
    del quiet.predict
    state.retry()
    state.background.settle(60)
    assert state.forecast.error == ""
    assert state.hindcast.answer is not None


def test_the_fan_is_the_forecast_number_by_number(shared_desk, drift: Forecast) -> None:
    chart = FanChart()
    chart.update(shared_desk.history("AAPL", period="1y"), drift)
    assert chart.mean.y.tolist() == [drift.last_price, *(step.mean for step in drift.steps)]
    for band, mark in zip(sorted(drift.fan, key=lambda band: -band.level), chart.bands, strict=True):
        assert mark.y.tolist() == [[drift.last_price, *band.lower], [drift.last_price, *band.upper]]
    assert list(chart.words.text) == ["95%", "80%", "50%"]
    table = chart.frame.dropna(subset="mean")
    assert list(table.index) == [step.timestamp for step in drift.steps]
    assert table["lower"].tolist() == [step.lower for step in drift.steps]
    assert "drift to 2023-09-28" in chart.caption


def test_a_fan_on_other_bars_is_not_drawn(shared_desk, drift: Forecast) -> None:
    chart = FanChart()
    chart.update(shared_desk.history("NVDA", period="1y"), drift)
    assert len(chart.mean.x) == 0
    assert not any(band.visible for band in chart.bands)


def test_newer_bars_wait_for_the_forecast_that_stands_on_them(shared_desk, drift: Forecast) -> None:
    bars = shared_desk.history("AAPL", period="1y")
    newer = pd.concat([bars, bars.iloc[-1:].set_axis([drift.steps[0].timestamp])])
    newer.attrs = bars.attrs
    chart = FanChart()
    chart.update(bars, drift)
    drawn = sum(mark.x.size for mark in chart.sticks.marks)
    assert drawn > 0
    chart.bars = newer
    assert chart.mean.y[0] == drift.last_price
    assert sum(mark.x.size for mark in chart.sticks.marks) == drawn
    assert "to 2023-09-28" in chart.caption


def test_the_price_as_it_is_now_stands_at_its_step(shared_desk, drift: Forecast) -> None:
    chart = FanChart()
    chart.update(shared_desk.history("AAPL", period="1y"), drift)
    quote = shared_desk.quote("AAPL")
    chart.quote = quote
    assert chart.now.x.size == 0  # the bar that the forecast stands on
    opened = drift.steps[1].timestamp + pd.Timedelta(hours=15)
    chart.quote = replace(quote, timestamp=opened, close=171.5)
    assert (chart.now.x.tolist(), chart.now.y.tolist()) == ([chart.means.x[1]], [171.5])
    chart.quote = replace(quote, symbol="NVDA", timestamp=opened)
    assert chart.now.x.size == 0


def test_a_challenger_is_drawn_dashed_beside_naive(shared_desk, drift: Forecast) -> None:
    values = drift.to_dict() | {
        "model": "auto", "chosen": "naive", "challenger": "drift",
        "challenger_path": [step.median for step in drift.steps],
    }  # fmt: skip
    rival = Forecast.from_dict(values)
    chart = FanChart()
    chart.update(shared_desk.history("AAPL", period="1y"), rival)
    assert chart.challenger.line_style == "dashed"
    assert chart.challenger.y.tolist() == [rival.last_price, *rival.challenger_path]
    verdict = Verdict()
    verdict.forecast = rival
    assert "auto stays with naive" in verdict.value
    assert "Dashed: drift" in verdict.value


def test_the_walk_chart_marks_every_miss(shared_desk) -> None:
    past = shared_desk.hindcast("AAPL", model="drift", step=1, level=0.8)
    chart = WalkChart()
    chart.hindcast = past
    missed = (past.missed != 0).to_numpy()
    assert 20 < missed.sum() < 80
    # Each a piece of one point, with a gap after it.
    assert chart.misses.x[::2].tolist() == np.flatnonzero(missed).tolist()
    assert chart.misses.y[::2].tolist() == past.path["actual"][missed].tolist()
    assert np.isnan(chart.misses.y[1::2]).all()
    assert chart.band.y.tolist() == [past.path["lower"].tolist(), past.path["upper"].tolist()]
    chart.show_table = True
    assert "above" in chart.table.value
    assert past.in_words() in chart.caption


def test_explanation_bars_are_the_largest_parts_and_the_rest_together(shared_desk) -> None:
    told = shared_desk.explain("AAPL", model="arima")
    chart = ExplanationBars()
    chart.explanation = told
    sizes = [part.contribution_price for part in told.contributions]
    drawn = chart.bars.y.tolist()
    assert drawn[: min(len(sizes), 10)] == sorted(sizes, key=lambda size: -abs(size))[:10]
    assert sum(drawn) == pytest.approx(sum(sizes))
    assert sum(sizes) == pytest.approx(told.forecast_price - told.base_price)
    chart.explanation = shared_desk.explain("AAPL", model="naive")
    assert "qk-away" in chart._dom_classes


def test_tiles_and_steps_say_the_forecast_to_the_last_digit(drift: Forecast) -> None:
    tiles, steps = ForecastTiles(), StepTable()
    tiles.forecast, steps.answer = drift, drift
    assert f">{drift.predicted_price:,.2f}<" in tiles.value
    assert f"{drift.trend} {drift.trend_probability:.0%}" in tiles.value
    assert ("no edge" in tiles.value) == drift.no_edge
    for step in drift.steps:
        for figure in (f"{step.timestamp:%Y-%m-%d}", f"{step.mean:,.2f}", f"{step.lower:,.2f}", f"{step.upper:,.2f}"):
            assert f">{figure}<" in steps.value


def test_standings_say_in_words_what_beats_naive_and_escape_nothing_into_markup(shared_desk) -> None:
    table = Standings()
    table.leaderboard = shared_desk.leaderboard("AAPL", models=["naive", "drift"])
    rows = {row["name"]: row["cells"] for row in table.rows}
    assert rows["naive"][0]["badge"] == "benchmark"
    assert rows["drift"][-1]["text"] in ("beats naive", "not shown to beat naive")
    assert rows["naive"][-2]["sort"] is None
    json.dumps(table.rows, allow_nan=False)


def test_an_empty_ledger_says_why(shared_desk) -> None:
    shared_desk.predict("KO", model="naive")
    table = RecordTable()
    table.answer = shared_desk.track_record("KO")
    assert "No forecast of KO" in table.value
    assert "left out" in table.value


def test_a_menu_keeps_its_choice_when_its_options_change() -> None:
    menu = Menu("Model", ("auto", "naive", "drift"), "drift")
    menu.offered = ("auto", "drift")
    assert (menu.chosen, menu.value) == ("drift", "drift")
    steps = StepButtons(4)
    seen = []
    steps.observe(lambda change: seen.append(change.new), "chosen")
    steps.most = 5
    steps.chosen = 2
    steps.most = 3
    assert (steps.value, seen) == (2, [2])


def test_a_train_button_asks_for_its_model() -> None:
    asked: list[str] = []
    panel = TrainPanel(asked.append)
    panel.heavy = ("lstm", "gru")
    assert panel.layout.display is None
    panel.children[1].click()
    assert asked == ["gru"]
    panel.heavy = ()
    assert panel.layout.display == "none"


def test_the_notebook_is_at_most_eight_cells_of_wiring() -> None:
    notebook = json.loads((Path(__file__).parents[2] / "dashboards" / "predictions.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) <= 8
    assert not any(word in "".join(cells) for word in ("def ", "import numpy", "import pandas", "class "))
    assert all(not cell.get("outputs") for cell in notebook["cells"])
