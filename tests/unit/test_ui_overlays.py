"""Indicators on the Stock screen: the address, the state, the chips, and what the desk says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from traitlets import dlink

from quantkit.core.indicators import INDICATORS
from quantkit.ui import CandleChart, OverlayChips, StockState
from quantkit.ui.charts.layers import ActionLayer, per_candle
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


def test_compared_symbols_are_rebased_to_what_is_in_sight(state, shared_desk):
    state.open("symbol=AAPL&period=1y&compare=NVDA,GOOG")
    state.background.settle()
    assert list(state.compared) == ["AAPL", "NVDA", "GOOG"]
    chart = CandleChart(state.bars, period="1y")
    chart.compared = state.compared
    drawn, last = chart._drawn, chart._drawn.candles.last
    first = drawn.seen.start
    for line, symbol in zip(chart.compare.lines.y, state.compared, strict=True):
        prices = shared_desk.prices([symbol], period="max")[symbol].reindex(state.bars.index).to_numpy()
        np.testing.assert_allclose(line, 100.0 * prices[last] / prices[last[first]], rtol=1e-12)
    assert [name for name, _, _ in chart.pointer.meta["extra"]] == ["AAPL", "NVDA", "GOOG"]
    chart.show(100, 400)
    assert chart.compare.lines.y[0][chart._drawn.seen.start] == pytest.approx(100.0)
    assert "compare=NVDA,GOOG" in state.query


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("NOPE", "NOPE is not in the sample"),
        ("a,b,c,d,e", "5 symbols to compare with; at most 4"),
        ("<b>", "'<b>' is not a symbol"),
    ],
)
def test_what_cannot_be_compared_is_said_beside_the_field(state, asked, said):
    state.open("symbol=AAPL")
    state.background.settle()
    state.compare = asked
    state.background.settle()
    assert said in state.compare_error
    assert state.compared is None
    state.compare = "AAPL"
    state.background.settle()
    assert (state.compare_error, state.compared) == ("", None), "itself is nothing to compare with"


def test_dividends_are_marked_and_read_at_the_candle_in_which_they_were_paid(state, shared_desk):
    chart = CandleChart()
    for name in ("period", "bars", "actions"):
        dlink((state, name), (chart, name))
    state.open("symbol=AAPL&period=1y&overlays=sma20")
    state.background.settle()
    told = shared_desk.actions("AAPL")
    assert set(told["source"]) == {"implied"}
    layer = next(each for each in chart.layers if isinstance(each, ActionLayer))
    days = {chart.bars.index[int(at)] for at in layer.letters.x if at >= chart.scales.x.min}
    assert days == set(told.loc[told["time"] >= "2022-09-21", "time"])
    assert set(layer.letters.text) == {"D"}
    paid = per_candle(chart._drawn, "dividend")
    assert np.nansum(paid[chart._drawn.seen]) == pytest.approx(0.23 + 0.23 + 0.24 + 0.24, abs=1e-3)
    # Many bars to a candle: what was paid within it adds up.
    chart.period = "max"
    assert np.nansum(per_candle(chart._drawn, "dividend")) == pytest.approx(told["value"].sum())
    assert ["Dividend", chart._tokens.accent, 2] in chart.pointer.meta["extra"]
    state.symbol = "AMZN"
    state.background.settle()
    assert list(layer.letters.text) == []


def test_a_split_stands_at_the_first_bar_from_its_day_on(shared_desk):
    bars = shared_desk.history("AAPL", period="6mo")
    told = pd.DataFrame({
        "time": [bars.index[-30] - pd.Timedelta(hours=9), pd.Timestamp("1990-01-02", tz="UTC")],
        "kind": "split", "value": [4.0, 3.0], "source": "test",
    })  # fmt: skip
    told.attrs = {"symbol": "AAPL"}
    chart = CandleChart(bars, period="max")
    chart.actions = told
    ratios = chart._drawn.actions["split"]
    assert np.flatnonzero(np.isfinite(ratios)).tolist() == [len(bars) - 30]
    assert np.nanprod(per_candle(chart._drawn, "split")) == 4.0


def test_an_earnings_report_is_marked_and_its_figure_read(shared_desk):
    bars = shared_desk.history("AAPL", period="6mo")
    told = pd.DataFrame({
        "time": [bars.index[-30], bars.index[-30], bars.index[-93]], "kind": ["earnings", "dividend", "earnings"],
        "value": [1.26, 0.24, 1.52], "source": "test",
    })  # fmt: skip
    told.attrs = {"symbol": "AAPL"}
    chart = CandleChart(bars, period="max")
    chart.actions = told
    layer = next(each for each in chart.layers if isinstance(each, ActionLayer))
    # What falls on one candle stands side by side.
    assert list(layer.letters.text) == ["E", "ED"]
    assert layer.letters.colors == [chart._tokens.text] * 2
    values = per_candle(chart._drawn, "earnings")
    assert values[np.isfinite(values)].tolist() == [1.52, 1.26]
    assert [each[0] for each in chart.pointer.meta["extra"]] == ["Earnings", "Dividend"]
