"""Indicators on the Stock screen: the address, the state, the chips, and what the desk says."""

from __future__ import annotations

import pandas as pd
import pytest

from quantkit.core.indicators import INDICATORS
from quantkit.ui import OverlayChips, StockState
from quantkit.ui.query import StockQuery


@pytest.fixture
def state(shared_desk):
    state = StockState(shared_desk)
    state.show_forecast = False
    yield state
    state.close()


def test_the_address_names_the_overlays_and_what_is_drawn_is_the_desks(state, shared_desk):
    state.open("symbol=AAPL&overlays=sma50,bollinger,log")
    state.background.settle()
    pd.testing.assert_frame_equal(state.indicators, shared_desk.indicators("AAPL", ["sma50", "bollinger"]))
    assert (state.log, state.show_forecast) == (True, False)
    assert "overlays=sma50,bollinger,log" in state.query
    state.symbol = "JPM"
    state.background.settle()
    assert state.indicators.index.equals(state.bars.index)
    state.overlays = ("forecast",)
    assert state.indicators is None
    assert not state.log


def test_an_indicator_of_a_session_waits_for_minute_bars(state):
    state.open("symbol=MSFT&overlays=vwap&interval=1d")
    state.background.settle()
    assert state.indicators is None
    assert state.error == ""
    state.interval = "1m"
    state.background.settle()
    assert list(state.indicators) == ["vwap"]


def test_chips_and_overlays_are_one_thing():
    chips = OverlayChips()
    assert chips.layout.display == "none"
    chips.value = ("forecast", "sma20")
    assert chips.opener.value, "what is on is in sight"
    assert chips.chips["sma20"].value
    chips.chips["rsi"].value = True
    assert chips.value == ("forecast", "sma20", "rsi")
    chips.chips["sma20"].value = False
    assert chips.value == ("forecast", "rsi")
    assert chips.chips["vwap"].layout.display == "none"
    chips.interval = "1m"
    assert chips.chips["vwap"].layout.display is None


@pytest.mark.parametrize("name", [*INDICATORS, "log"])
def test_every_overlay_survives_the_address(name):
    query, faults = StockQuery.parse(f"overlays={name}")
    assert (query.overlays, faults) == ((name,), [])
    assert StockQuery.parse(query.to_query())[0] == query
