"""The candle chart without a browser: what its bqplot marks hold, and how it moves."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from quantkit.core.calendars import PERIODS
from quantkit.core.errors import DataError, UsageError
from quantkit.core.indicators import indicators
from quantkit.ui import CandleChart
from quantkit.ui.charts.layers import Layer
from quantkit.ui.charts.overlays import IndicatorLayer
from quantkit.ui.charts.shapes import BODY, Bars, Candlesticks
from quantkit.ui.charts.ticks import price_ticks, time_ticks
from quantkit.ui.theme import DARK, LIGHT


@pytest.fixture(scope="module")
def aapl(shared_desk) -> pd.DataFrame:
    return shared_desk.history("AAPL", period="max")


def rows(points, count: int) -> np.ndarray:
    """Pieces of a path, each of `count` points; after the last there is no gap."""
    return np.append(points, np.nan).reshape(-1, count) if len(points) else np.empty((0, count))


def candles_of(mark) -> pd.DataFrame:
    """The candles that a path of them draws, by bar number: wick, gap, body, gap."""
    x, y = (rows(each, Candlesticks.POINTS) for each in (mark.x, mark.y))
    assert np.isnan(y[:, [2, 8]]).all()
    assert (x[:, 0] == x[:, 1]).all()
    low, high, opened, close = y[:, 0], y[:, 1], y[:, 3], y[:, 4]
    assert (y[:, 3:8] == np.column_stack([opened, close, close, opened, opened])).all()
    return pd.DataFrame({"open": opened, "high": high, "low": low, "close": close}, index=x[:, 0])


def drawn(chart: CandleChart) -> pd.DataFrame:
    """Every candle of both marks, by bar number."""
    return pd.concat([candles_of(mark) for mark in chart.candles.sticks.marks]).sort_index()


def test_every_candle_in_sight_is_a_bar_of_the_history(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl, period="6mo")
    candles = drawn(chart)
    inside = candles.loc[chart.visible.start : chart.visible.stop - 1]
    expected = chart.visible_bars[["open", "high", "low", "close"]]
    assert len(inside) == len(expected) > 100
    assert np.array_equal(inside.to_numpy(), expected.to_numpy())


def test_a_changed_bar_changes_its_candle(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl)
    other = aapl.copy()
    other.attrs = aapl.attrs
    other.iloc[-1, other.columns.get_loc("high")] += 5
    chart.update(other)
    assert drawn(chart).loc[len(aapl) - 1, "high"] == aapl["high"].iloc[-1] + 5


def test_rising_bars_are_in_the_rising_mark_and_falling_ones_in_the_other(aapl: pd.DataFrame) -> None:
    sticks = CandleChart(aapl).candles.sticks
    rising, falling = candles_of(sticks.rising), candles_of(sticks.falling)
    assert (rising["close"] >= rising["open"]).all()
    assert (falling["close"] < falling["open"]).all()
    assert sticks.rising.colors == sticks.rising.fill_colors == [DARK.up]
    assert sticks.falling.colors == sticks.falling.fill_colors == [DARK.down]


def test_a_body_lies_within_its_wick_also_where_a_vendor_says_otherwise(shared_desk) -> None:
    for symbol, interval in (("AAPL", "1d"), ("MSFT", "1d"), ("AZN.L", "1m"), ("^GSPC", "1d")):
        chart = CandleChart(shared_desk.history(symbol, period="max", interval=interval), period="max")
        candles = drawn(chart)
        assert np.isfinite(candles.to_numpy()).all()
        assert (candles["high"] >= candles[["open", "low", "close"]].max(axis=1)).all()
        assert (candles["low"] <= candles[["open", "high", "close"]].min(axis=1)).all()


def test_candles_of_both_marks_are_equally_wide_however_few_there_are(aapl: pd.DataFrame) -> None:
    for period, size in (("5d", 1), ("max", None)):
        chart = CandleChart(aapl, period=period)
        size = size or chart._drawn.candles.size
        for mark in chart.candles.sticks.marks:
            x = rows(mark.x, Candlesticks.POINTS)
            np.testing.assert_allclose(x[:, 5] - x[:, 4], BODY * size)


def test_volume_stands_under_its_candle_in_its_colour(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl, period="6mo")
    last = aapl.iloc[-2]
    rises = last["close"] >= last["open"]
    mark = chart.volume.bars.rising if rises else chart.volume.bars.falling
    x, y = rows(mark.x, Bars.POINTS), rows(mark.y, Bars.POINTS)
    (at,) = np.flatnonzero(np.isclose((x[:, 1] + x[:, 2]) / 2, len(aapl) - 2))
    assert y[at].tolist()[:4] == [0.0, last["volume"], last["volume"], 0.0]
    assert mark.fill_colors == [DARK.up if rises else DARK.down]


def test_a_close_only_series_is_a_line(shared_desk) -> None:
    bars = shared_desk.history("^GSPC", period="max")
    chart = CandleChart(bars, period="6mo")
    assert chart.candles.line.visible
    assert not any(mark.visible for mark in (*chart.candles.sticks.marks, *chart.volume.marks))
    at = np.asarray(chart.candles.line.x) == len(bars) - 1
    assert np.asarray(chart.candles.line.y)[at] == bars["close"].iloc[-1]
    assert "line of closes" in chart.caption


def test_a_stretch_without_quotes_is_a_line_that_sets_off_from_the_last_candle(shared_desk) -> None:
    bars = shared_desk.history("MSFT", period="max")
    chart = CandleChart(bars, period="1y")
    gone = int(np.argmax(bars["open"].isna().to_numpy()))
    line = pd.Series(np.asarray(chart.candles.line.y), index=np.asarray(chart.candles.line.x))
    assert np.isnan(line.loc[gone - 2])
    assert line.loc[gone - 1] == bars["close"].iloc[gone - 1]
    assert line.loc[gone] == bars["close"].iloc[gone]
    assert gone not in drawn(chart).index
    assert gone - 1 in drawn(chart).index


def test_at_most_some_hundred_candles_are_sent_for_any_history(aapl: pd.DataFrame) -> None:
    many = pd.concat([aapl] * 100)
    many.index = pd.date_range("1990-01-01", periods=len(many), freq="min", tz="UTC", name="time").as_unit("us")
    many.attrs = {**aapl.attrs, "interval": "1m"}
    chart = CandleChart(many, period="max")
    assert len(many) > 250_000
    assert len(drawn(chart)) <= 800
    chart.show(100_000, 100_100)
    assert chart._drawn is not None
    assert chart._drawn.candles.size == 1
    assert len(drawn(chart)) <= 800


@pytest.mark.parametrize("period", PERIODS)
def test_a_range_button_shows_just_what_desk_calls_that_period(shared_desk, aapl: pd.DataFrame, period: str) -> None:
    chart = CandleChart(aapl, period=period)
    expected = shared_desk.history("AAPL", period=period)
    pd.testing.assert_frame_equal(chart.visible_bars, expected)
    assert chart.at_period


def test_csv_is_desk_history_to_the_last_bit(shared_desk, aapl: pd.DataFrame) -> None:
    import io

    chart = CandleChart(aapl, period="1y")
    read = pd.read_csv(io.StringIO(chart.csv), index_col="time")
    expected = shared_desk.history("AAPL", period="1y")
    assert list(read.index) == [str(time) for time in expected.index]
    assert np.array_equal(read.to_numpy(), expected.to_numpy())


def test_the_brush_moves_the_view_and_the_view_the_brush(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl)
    chart.navigator.brush.selected = np.array([100.0, 200.0])
    assert (chart.scales.x.min, chart.scales.x.max) == (100.0, 200.0)
    assert not chart.at_period
    chart.period = "1y"
    assert np.allclose(chart.navigator.brush.selected, [chart.scales.x.min, chart.scales.x.max])
    assert chart.at_period
    chart.navigator.brush.selected = None
    assert chart.navigator.brush.selected is not None


def test_what_the_browser_does_to_the_scale_is_followed(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl)
    chart.scales.x.set_state({"min": 500.5, "max": 600.5})
    assert chart.visible == slice(501, 601)
    shown = chart.visible_bars
    assert chart.scales.price.min < shown["low"].min()
    assert chart.scales.price.max > shown["high"].max()
    assert {500.5, 600.5} == set(chart.navigator.brush.selected)


def test_one_cannot_get_lost(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl)
    for low, high in ((-9e9, -8e9), (9e9, 9e9 + 1), (-9e9, 9e9), (50, 50)):
        chart.show(low, high)
        least, most = chart.limits
        assert least <= chart.scales.x.min < chart.scales.x.max <= most
        assert len(chart.visible_bars) > 0


def test_a_range_button_brings_the_view_back(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl, period="1mo")
    chart.show(10, 60)
    chart.look()
    assert len(chart.visible_bars) == 22


def test_the_fan_stands_on_the_bar_it_was_made_from(shared_desk, aapl: pd.DataFrame) -> None:
    forecast = shared_desk.predict("AAPL", model="naive")
    chart = CandleChart(aapl, forecast=forecast)
    origin = len(aapl) - 1
    assert list(chart.fan.mean.x) == [origin + step for step in range(6)]
    assert list(chart.fan.mean.y) == [forecast.last_price, *(step.mean for step in forecast.steps)]
    levels = sorted((band.level for band in forecast.fan), reverse=True)
    widths = [np.ptp(np.asarray(mark.y)[:, -1]) for mark in chart.fan.bands]
    assert levels == [0.95, 0.8, 0.5]
    assert widths == sorted(widths, reverse=True)
    widest = max(forecast.fan, key=lambda band: band.level)
    assert list(np.asarray(chart.fan.bands[0].y)[0, 1:]) == list(widest.lower)
    assert chart.scales.price.min < min(widest.lower)
    chart.show_forecast = False
    assert not any(mark.visible for mark in chart.fan.marks)


@pytest.mark.parametrize("interval", ["1d", "1m"])
def test_the_fan_stays_on_its_bar_when_others_have_come(shared_desk, interval: str) -> None:
    bars = shared_desk.history("MSFT", period="max", interval=interval)
    known = bars.iloc[:-3]
    known.attrs = bars.attrs
    forecast = shared_desk.predict("MSFT", model="naive", interval=interval)
    chart = CandleChart(known, forecast=dataclasses.replace(forecast, as_of=known.index[-1]), period="1mo")
    began = list(chart.fan.mean.x)
    assert began[0] == len(known) - 1
    chart.bars = bars
    assert list(chart.fan.mean.x) == began


def test_prices_keep_their_places_while_newer_bars_fit_among_them(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl.iloc[:-2], period="6mo")
    before = chart.scales.price.min, chart.scales.price.max
    middle = aapl.copy()
    middle.iloc[-2:, :4] = float(aapl["close"].iloc[-3])
    chart.bars = middle.iloc[:-1]
    assert (chart.scales.price.min, chart.scales.price.max) == before
    beyond = middle.copy()
    beyond.iloc[-1, :4] = 2.0 * before[1]
    chart.bars = beyond
    assert chart.scales.price.max > 2.0 * before[1]
    chart.bars = middle  # the forming bar has come back, and a third of the height is enough again
    assert chart.scales.price.max < 1.1 * before[1]
    chart.show(len(aapl) - 20, len(aapl))  # whoever looks closer sees closer
    seen = chart.visible_bars
    assert chart.scales.price.max < seen["high"].max() + 0.1 * np.ptp(seen[["low", "high"]].to_numpy())


def test_the_navigator_is_drawn_again_once_newer_bars_can_be_seen_in_it(shared_desk) -> None:
    minutes = shared_desk.history("MSFT", period="max", interval="1m")
    assert 5_000 < len(minutes) < 8_000, "half of a thousandth is three or four of them"
    chart = CandleChart(minutes.iloc[:-4], period="1d")
    drawn = []
    for left in (3, 2, 1, 0):
        newer = minutes.iloc[: len(minutes) - left]
        newer.attrs = minutes.attrs
        chart.bars = newer
        drawn.append(int(chart.navigator.line.x[-1]))
    assert drawn[0] == len(minutes) - 5
    assert len(minutes) - 3 <= drawn[-1] <= len(minutes) - 1
    assert chart.navigator.x.max == pytest.approx(chart.limits[1], abs=2.0)


def test_a_forecast_that_arrives_draws_its_fan_alone(shared_desk, aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl, period="6mo")
    sent = [mark.x for mark in (*chart.candles.marks, *chart.volume.marks)]
    chart.forecast = shared_desk.predict("AAPL", model="naive")
    assert chart.fan.mean.visible
    assert chart.fan.mean.y[0] == aapl["close"].iloc[-1]
    assert all(mark.x is x for mark, x in zip((*chart.candles.marks, *chart.volume.marks), sent, strict=True))


def test_a_forecast_of_another_symbol_is_never_drawn(shared_desk, aapl: pd.DataFrame) -> None:
    forecast = shared_desk.predict("AAPL", model="naive")
    chart = CandleChart(aapl, forecast=forecast)
    chart.bars = shared_desk.history("MSFT", period="max")
    assert not any(mark.visible for mark in chart.fan.marks)


def test_a_theme_recolours_everything(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl)
    chart.theme = "light"
    assert chart.candles.sticks.rising.colors == [LIGHT.up]
    assert chart.figure.background_style["fill"] == LIGHT.panel
    assert [mark.fill_colors for mark in chart.volume.marks] == [[LIGHT.up], [LIGHT.down]]
    assert chart.pointer.tokens["panel"] == LIGHT.panel


def test_a_series_known_in_adjusted_form_says_so(shared_desk) -> None:
    chart = CandleChart(shared_desk.history("KO", period="max"))
    assert chart.pointer.meta["note"] == "indicative, adjusted"
    assert "indicative, adjusted" in chart.caption
    chart.show_table = True
    assert "indicative, adjusted" in chart.table.value


def test_the_readout_holds_what_is_drawn(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl, period="6mo")
    table = np.frombuffer(chart.pointer.rows).reshape(-1, 9)
    last = aapl.iloc[-1]
    assert table[-1].tolist() == [
        len(aapl) - 1, *[aapl.index[-1].timestamp() * 1000] * 2, 1, last.open, last.high, last.low, last.close,
        last.volume,
    ]  # fmt: skip


def test_minutes_are_told_on_the_clock_of_their_exchange(shared_desk) -> None:
    chart = CandleChart(shared_desk.history("AZN.L", period="max", interval="1m"), period="1d")
    assert chart.pointer.meta["zone"] == "BST"
    first = pd.Timestamp(chart.series.clock[0], unit="ms")
    assert (first.hour, first.minute) == (8, 0)


def test_the_table_holds_the_bars_in_sight_and_escapes_what_came_from_outside(aapl: pd.DataFrame) -> None:
    hostile = aapl.copy()
    hostile.attrs = {**aapl.attrs, "symbol": "<script>alert(1)</script>", "currency": "<b>"}
    chart = CandleChart(hostile, period="1mo")
    chart.show_table = True
    assert chart.table.value.count("<tr>") == 23
    assert f"{aapl['close'].iloc[-1]:,.2f}" in chart.table.value
    assert "<script>" not in chart.table.value
    assert "&lt;script&gt;" in chart.table.value
    assert "<" not in chart.file_stem


def test_what_is_no_bars_frame_is_refused_by_row_and_column(aapl: pd.DataFrame) -> None:
    broken = aapl.copy()
    broken.iloc[7, broken.columns.get_loc("close")] = np.nan
    with pytest.raises(DataError, match="close"):
        CandleChart(broken)
    with pytest.raises(UsageError, match="6mo"):
        CandleChart(aapl, period="2w")


def test_a_chart_of_nothing_is_an_empty_chart(aapl: pd.DataFrame) -> None:
    chart = CandleChart()
    assert chart.caption == "Price chart without data."
    assert chart.csv.strip() == "time,open,high,low,close,volume,adj_close"
    chart.bars = aapl.iloc[:1]
    assert len(chart.visible_bars) == 1


def test_readiness_waits_for_the_screen(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl)
    assert not chart.ready
    chart.pointer.set_state({"painted": chart.generation})
    assert chart.ready
    chart.bars = aapl.iloc[:-1]
    assert not chart.ready


def test_an_overlay_is_a_layer_and_nothing_else(aapl: pd.DataFrame) -> None:
    import bqplot as bq

    class Highest(Layer):
        def __init__(self, scales) -> None:
            super().__init__()
            self.seen = 0

        def draw(self, view) -> None:
            self.seen += 1

        def extent(self, view):
            return 1.0, 1000.0

        def paint(self, tokens) -> None:
            self.marks = self.marks or [bq.Lines]

    chart = CandleChart(aapl, layers=[Highest])
    (layer,) = (each for each in chart.layers if isinstance(each, Highest))
    assert layer.seen > 0
    assert chart.scales.price.max > 1000


def test_newer_bars_leave_what_one_looks_at(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl.iloc[:-2], period="6mo")
    width = chart.scales.x.max - chart.scales.x.min
    generation = chart.generation
    forming = aapl.iloc[:-1].copy()
    forming.iloc[-1] *= 1.001
    forming.attrs = aapl.attrs
    chart.bars = forming
    assert chart.generation == generation, "no other series: the page does not become unready"
    assert chart.scales.x.max - chart.scales.x.min == pytest.approx(width)
    assert chart.visible.stop == len(forming), "who looked at the last bar looks at the new last bar"
    chart.bars = aapl
    assert drawn(chart).iloc[-2].tolist() == aapl[["open", "high", "low", "close"]].iloc[-2].tolist()
    chart.show(100, 200)
    before = (chart.scales.x.min, chart.scales.x.max)
    longer = pd.concat([aapl, aapl.iloc[-1:].set_axis(aapl.index[-1:] + pd.Timedelta(days=1))])
    longer.attrs = aapl.attrs
    chart.bars = longer
    assert (chart.scales.x.min, chart.scales.x.max) == before, "who looks at the past is left there"
    corrected = longer.copy()
    corrected.iloc[500, 3] *= 2
    corrected.attrs = aapl.attrs
    chart.bars = corrected
    assert chart.generation == generation + 1, "a past that has changed is another series"


def test_indicators_are_drawn_at_the_last_bar_of_each_candle(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl, period="max")
    values = indicators(aapl, ["sma50", "bollinger", "macd"])
    chart.indicators = values
    lines = next(each for each in chart.layers if isinstance(each, IndicatorLayer)).lines
    candles = chart._drawn.candles
    assert candles.size > 1
    np.testing.assert_array_equal(lines.y[0], values["sma50"].to_numpy()[candles.last])
    assert lines.y.shape == (4, len(candles))
    compare, rsi, macd = chart.panes
    assert compare.widget.children == ()
    assert (rsi.widget.layout.display, macd.widget.layout.display) == ("none", None)
    heights = values["macd.histogram"].fillna(0).to_numpy()[candles.last]
    for mark, chosen in ((macd.bars.rising, heights >= 0), (macd.bars.falling, heights < 0)):
        np.testing.assert_array_equal(rows(mark.y, Bars.POINTS)[:, 1], heights[chosen])
    assert [label for label, _, _ in chart.pointer.meta["extra"]][:2] == ["SMA 50", "BB low"]
    assert len(macd.axis.tick_values) in (3, 5)
    sent = np.frombuffer(chart.pointer.rows).reshape(len(candles), -1)
    np.testing.assert_array_equal(sent[:, 9], values["sma50"].to_numpy()[candles.last])
    chart.bars = aapl.iloc[:-5]
    assert chart.pointer.meta["extra"] == [], "indicators of another series are not drawn over this one"


def test_a_logarithmic_scale_draws_logarithms_and_says_prices(aapl: pd.DataFrame) -> None:
    chart = CandleChart(aapl, period="max")
    before = chart.scales.price.max
    chart.log = True
    highest = 10.0 ** np.nanmax(chart.candles.sticks.rising.y)
    np.testing.assert_allclose(highest, chart._drawn.candles.high.max(), rtol=0.05)
    assert chart.scales.price.max < np.log10(before) + 0.2
    said = sorted(float(text.replace(",", "")) for text in chart.axes.price.tick_labels.values())
    np.testing.assert_allclose(said, sorted(10.0**chart.axes.price.tick_values))
    assert chart.pointer.meta["log"]
    chart.log = False
    assert chart.scales.price.max == before
    assert chart.axes.price.tick_labels is None


@pytest.mark.parametrize(
    ("bars", "labels"),
    [
        (22, ["28 Aug", "05 Sep", "11 Sep", "18 Sep"]),
        (130, ["2023-04", "2023-05", "2023-06", "2023-07", "2023-08", "2023-09"]),
        (2699, ["2014", "2015", "2016", "2017", "2018", "2019", "2020", "2021", "2022", "2023"]),
    ],
)
def test_the_time_axis_is_labelled_by_the_span(aapl: pd.DataFrame, bars: int, labels: list[str]) -> None:
    index = aapl.index[-bars:].tz_localize(None)
    position, said = time_ticks(np.arange(bars, dtype=float), index, most=10)
    assert said == labels
    for at, label in zip(position, said, strict=True):
        assert label in (index[int(at)].strftime(form) for form in ("%d %b", "%Y-%m", "%Y"))


def test_price_ticks_are_round_and_inside() -> None:
    ticks = price_ticks(0.0123, 0.0187)
    assert len(ticks) >= 4
    assert (ticks >= 0.0123).all()
    assert (ticks <= 0.0187).all()
    assert price_ticks(5.0, 5.0).tolist() == [5.0]


def test_importing_ui_loads_no_widget_library() -> None:
    asked = "import sys, quantkit.ui, quantkit.ui.theme; print([m for m in sys.modules if 'widgets' in m])"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
