"""The Stock screen while a recorded session is replayed: what it shows is what the desk says by then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pandas as pd
import pytest

from quantkit import Desk
from quantkit.data.collector import Collector
from quantkit.data.replay import ReplayProvider, recorded_session, rewind
from quantkit.ui.live import Live
from quantkit.ui.state import StockState


class QuickDesk:
    """The real desk, asked for the naive forecast and for the risk of a short past."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __getattr__(self, name: str):
        return getattr(self._desk, name)

    def predict(self, symbol: str, **question):
        return self._desk.predict(symbol, model="naive", **question)

    def risk(self, symbol: str, **question):
        return self._desk.risk(symbol, period="1d", **question)


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
    """Plays the recorded session at a speed, in a thread of its own."""
    stop, threads = threading.Event(), []

    def start(speed: float) -> None:
        provider = ReplayProvider(desk.settings, speed=speed, start={"MSFT": recorded_session("MSFT").index[0]})
        collector = Collector(desk.settings, desk.store, provider, ["MSFT"], say=lambda text: None, recorded=True)
        threads.append(threading.Thread(target=collector.stream, args=(stop,)))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(30)


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


def test_watching_ends_with_the_screen(desk: Desk) -> None:
    live = Live(desk, lambda quotes: None)
    live.follow(["MSFT"])
    until(lambda: any(each.name == "quantkit-live" for each in threading.enumerate()), "a watching thread")
    live.follow([])
    until(lambda: not any(each.name == "quantkit-live" for each in threading.enumerate()), "its end")
