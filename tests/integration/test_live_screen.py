"""The Stock screen while a recorded session is replayed: what it shows is what the desk says by then."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pandas as pd
import pytest
from recording import playing
from traitlets import dlink

from quantkit import Desk
from quantkit.core.errors import StoreError
from quantkit.data.live import LiveBar
from quantkit.data.replay import recorded_session, rewind
from quantkit.ui import question as question_module
from quantkit.ui.background import Background
from quantkit.ui.charts.fan import FanChart
from quantkit.ui.live import Live
from quantkit.ui.prediction_state import PredictionState
from quantkit.ui.question import Question
from quantkit.ui.risk_state import RiskState
from quantkit.ui.state import StockState


class QuickDesk:
    """The real desk, asked for the naive forecast, one volatility and the risk of a short past."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __getattr__(self, name: str):
        return getattr(self._desk, name)

    def predict(self, symbol: str, **question):
        return self._desk.predict(symbol, **(question | {"model": "naive"}))

    def volatility(self, symbol: str, **question):
        return self._desk.volatility(symbol, ["ewma"], **question)

    def risk(self, symbol: str, **question):
        return self._desk.risk(symbol, **(question | {"period": "1d"}))


def until(holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


@pytest.fixture
def desk(tmp_path) -> Iterator[Desk]:
    with Desk.open(home=tmp_path, watchlist="MSFT,AAPL") as desk:
        desk.history("MSFT", interval="1m", period="1d")
        rewind(desk.settings, desk.store, ["MSFT"])
        yield desk


@pytest.fixture
def play(desk: Desk) -> Iterator[Callable[[float], None]]:
    """Plays the recorded session at a speed until the test ends."""
    with ExitStack() as stack:
        yield lambda speed: stack.enter_context(playing(desk, "MSFT", speed))


def test_candles_quote_watchlist_forecast_and_risk_move_with_the_market(desk: Desk, play) -> None:
    state = StockState(QuickDesk(desk))
    try:
        state.open("symbol=MSFT&interval=1m&period=1d&overlays=forecast,sma20")
        state.background.settle(60.0)
        began = state.bars
        assert state.status == "replay"
        assert began.index[-1] < recorded_session("MSFT").index[0]
        play(1200.0)
        until(lambda: len(state.bars) >= len(began) + 5, "five more bars")
        until(lambda: state.forecast is not None and state.forecast.as_of > began.index[-1], "a forecast of newer bars")
        until(lambda: state.risk is not None and state.risk.as_of > began.index[-1], "the risk of newer bars")
        row = next(each for each in state.watch if each.symbol == "MSFT")
        assert row.quote.timestamp >= recorded_session("MSFT").index[0].normalize()
        assert row.closes[-1] == row.quote.close
        until(lambda: state.indicators.index[-1] > began.index[-1], "indicators of newer bars")
        shown = state.bars
        truth = recorded_session("MSFT").reindex(shown.index).dropna()
        settled = truth.index[:-1]  # the last one may be forming
        pd.testing.assert_frame_equal(
            shown.loc[settled, ["open", "high", "low", "close", "volume"]],
            truth.loc[settled, ["open", "high", "low", "close", "volume"]], check_freq=False,
        )  # fmt: skip
        pd.testing.assert_frame_equal(shown.loc[began.index], began, check_freq=False)
        assert "REPLAY" in state.pill
    finally:
        state.close()


def test_a_price_moves_on_where_its_bars_cannot_be_read(desk: Desk, play) -> None:
    class Unreadable(QuickDesk):
        fails = False

        def history(self, symbol: str, **question):
            if self.fails:
                raise StoreError("the database is locked")
            return self._desk.history(symbol, **question)

    asked = Unreadable(desk)
    state = StockState(asked)
    with ExitStack() as stack:
        stack.callback(state.close)
        state.open("symbol=MSFT&interval=1m&period=1d")
        state.background.settle()
        before, bars = state.quote, state.bars
        asked.fails = True
        play(600.0)
        until(lambda: state.quote.timestamp > before.timestamp, "the price")
        assert state.bars is bars
        asked.fails = False
        until(lambda: len(state.bars) > len(bars), "the bars")


def test_a_forecast_waits_until_the_page_has_painted_its_candle(desk: Desk) -> None:
    state = StockState(QuickDesk(desk))
    minutes = recorded_session("MSFT").index.as_unit("us").asi8

    def put(number: int) -> None:
        desk.store.live.put(
            [LiveBar("MSFT", int(minutes[number]), 240.0, 241.0, 239.0, 240.5, 1.0)], [], source="replay"
        )
        until(lambda: state.bars.index[-1].value // 1000 == minutes[number], f"bar {number}")

    with ExitStack() as stack:
        stack.callback(state.close)
        state.open("symbol=MSFT&interval=1m&period=1d")
        state.background.settle()
        put(0)
        until(lambda: state.forecast.as_of == state.bars.index[-1], "a forecast, though no page says what it paints")
        state.painted = state.news
        put(1)
        time.sleep(0.5)
        assert state.painted < state.news
        assert state.forecast.as_of == state.bars.index[-2]
        state.painted = state.news
        assert not state.forecasting, "others' candles go first for a moment"
        until(lambda: state.forecast.as_of == state.bars.index[-1], "the forecast, once its candle is painted")


def test_the_predictions_screen_moves_on_with_every_complete_bar(desk: Desk, play, monkeypatch) -> None:
    monkeypatch.setattr(question_module, "LONGEST_REST", 1.0)
    state = PredictionState(QuickDesk(desk))
    fan = FanChart()
    for name in ("bars", "quote"):
        dlink((state, name), (fan, name))
    dlink((state.forecast, "answer"), (fan, "forecast"))
    try:
        state.open("symbol=MSFT&interval=1m&model=naive&models=naive,drift&horizon=2")
        until(lambda: state.hindcast.answer is not None and state.leaderboard.answer is not None, "the first answers")
        began, quote = state.forecast.answer.as_of, state.quote
        assert fan.shown_forecast is state.forecast.answer
        board = state.leaderboard.answer
        play(1200.0)
        until(lambda: state.quote.timestamp > quote.timestamp, "a newer price")
        until(lambda: state.forecast.answer.as_of >= began + pd.Timedelta(minutes=3), "forecasts of newer bars")
        assert not state.forecast.busy  # what only follows the market is not announced
        until(lambda: state.hindcast.answer.as_of > began, "the walk of newer bars")
        until(lambda: state.leaderboard.answer is not board, "a leaderboard of newer bars")
        made = state.forecast.answer
        assert made.last_price == desk.history("MSFT", interval="1m", period="1d").loc[made.as_of, "close"]
    finally:
        state.close()


def test_volatility_and_value_at_risk_move_on_the_risk_screen(desk: Desk, play) -> None:
    state = RiskState(QuickDesk(desk))
    try:
        state.open("symbol=MSFT&interval=1m&period=max")
        until(lambda: state.report.answer is not None and state.history.answer is not None, "the first answers", 120.0)
        report, pill = state.report.answer, state.pill
        play(1200.0)
        until(lambda: state.pill != pill, "a newer price")
        until(lambda: state.report.answer.as_of > report.as_of, "the risk of newer bars", 120.0)
        assert state.report.answer.value_at_risk_95 != report.value_at_risk_95
    finally:
        state.close()


def test_what_follows_the_market_takes_its_share_of_the_time_and_no_more() -> None:
    background, asked = Background(), []

    def slow(progress):
        asked.append(time.monotonic())
        time.sleep(0.2)
        return len(asked)

    question = Question(background, "slow", share=0.25)
    question.refresh(slow)
    assert question.busy  # nothing is shown yet: somebody waits
    until(lambda: question.answer == 1, "the first answer")
    for _ in range(5):
        question.refresh(slow)
    assert not question.busy
    until(lambda: question.answer == 2, "the newest of five")
    time.sleep(0.3)
    background.close()
    assert len(asked) == 2
    assert asked[1] - asked[0] >= 0.79


def test_a_page_that_nobody_sees_hears_seldom_and_catches_up_when_it_is_seen(desk: Desk, play) -> None:
    heard: list[float] = []
    live = Live(desk, lambda quotes: heard.append(quotes["MSFT"].close))
    try:
        live.visible = False
        live.follow(["MSFT", "AAPL"])
        play(1200.0)
        until(lambda: len(heard) >= 1, "a first word")
        live._delivered = time.monotonic()
        seen = len(heard)
        live.visible = True
        until(lambda: len(heard) > seen, "news as soon as it is seen")
    finally:
        live.close()


def test_a_page_that_paints_slowly_gets_what_is_newest_and_never_a_queue(desk: Desk, play) -> None:
    heard: list[pd.Timestamp] = []

    async def watch() -> None:
        told: list[int] = []
        live = Live(desk, lambda quotes: heard.append(quotes["MSFT"].timestamp), told.append)
        try:
            live.follow(["MSFT"])
            play(1200.0)  # twenty bars a second
            while not told:
                await asyncio.sleep(0.01)
            live.painted = told[-1]
            for _ in range(4):
                await asyncio.sleep(0.5)  # the page is at work
                before = len(heard)
                assert told[-1] <= live.painted + 1
                live.painted = told[-1]
                assert len(heard) == before + 1  # the newest, at once
            assert heard[-1] - heard[-2] >= pd.Timedelta(minutes=5)
            assert told[-1] == len(heard)
        finally:
            live.close()

    asyncio.run(watch())
    assert heard == sorted(heard)


def test_watching_ends_with_the_screen(desk: Desk) -> None:
    live = Live(desk, lambda quotes: None)
    live.follow(["MSFT"])
    until(lambda: any(each.name == "quantkit-live" for each in threading.enumerate()), "a watching thread")
    live.follow([])
    until(lambda: not any(each.name == "quantkit-live" for each in threading.enumerate()), "its end")
