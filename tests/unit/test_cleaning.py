import io
import time

import numpy as np
import pandas as pd
import pytest
from exchange_calendars import get_calendar

from quantkit.core.calendars import on_calendar, sessions_between
from quantkit.core.schema import BAR_COLUMNS, check_bars
from quantkit.data.cleaning import QUARANTINE_COLUMNS, RULES, clean

NAN = float("nan")


def day(text):
    return pd.Timestamp(text, tz="UTC")


def bars(count=60, *, seed=0, start="2023-01-03"):
    """Valid daily candles on XNYS sessions."""
    rng = np.random.default_rng(seed)
    index = sessions_between(day(start), day(start) + pd.Timedelta(days=2 * count + 10))[:count].rename("time")
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    opened = close * np.exp(rng.normal(0, 0.003, count))
    return pd.DataFrame(
        {
            "open": opened,
            "high": np.maximum(opened, close) * 1.004,
            "low": np.minimum(opened, close) * 0.996,
            "close": close,
            "volume": rng.integers(1, 10**6, count).astype(float),
            "adj_close": close * 0.98,
        },
        index=index,
    )


def cleaned(frame, **changes):
    result = clean(frame, **({"symbol": "AAPL", "interval": "1d", "calendar": "XNYS", "source": "test"} | changes))
    check_bars(result.bars)
    return result


def rules_of(table):
    return table["rule"].tolist()


def test_valid_bars_pass_bit_for_bit():
    valid = bars()
    result = cleaned(valid)
    pd.testing.assert_frame_equal(result.bars, valid, check_exact=True, check_freq=False)
    assert result.quarantine.empty
    assert list(result.quarantine.columns) == list(QUARANTINE_COLUMNS)
    assert result.flags.empty
    assert result.repairs == {}
    assert result.bars.attrs == {"symbol": "AAPL", "interval": "1d", "calendar": "XNYS", "source": "test"}


@pytest.mark.parametrize(
    ("rule", "damage"),
    [
        ("empty_row", dict.fromkeys(BAR_COLUMNS, NAN)),
        ("no_close", {"open": NAN, "high": NAN, "low": NAN, "close": NAN}),
        ("no_close", {"close": NAN}),
        ("price_not_positive", {"close": -1.0, "low": -1.0}),
        ("price_not_positive", {"open": 0.0, "low": 0.0}),
        ("price_not_positive", {"high": np.inf}),
        ("bad_volume", {"volume": -5.0}),
        ("bad_volume", {"volume": np.inf}),
        ("high_not_highest", {"high": 1.0}),
        ("low_not_lowest", {"low": 500.0}),
    ],
)
def test_a_row_that_breaks_the_shape_goes_to_quarantine_under_its_rule(rule, damage):
    frame = bars()
    at = frame.index[30]
    for column, value in damage.items():
        frame.loc[at, column] = value
    if rule == "low_not_lowest":
        frame.loc[at, "high"] = 600.0
    result = cleaned(frame)
    assert rules_of(result.quarantine) == [rule]
    row = result.quarantine.iloc[0]
    assert (row["symbol"], row["interval"], row["time"], row["source"]) == ("AAPL", "1d", at, "test")
    assert row["reason"] == RULES[rule].reason
    assert "volume=" in row["text"]
    assert len(result.bars) == len(frame) - 1
    assert at not in result.bars.index


def test_every_refusal_is_kept_in_the_order_of_the_rows_with_line_and_text():
    frame = bars(4).assign(line=[2, 3, 4, 5], text=["a", "b" * 1000, "c", "d"])
    frame.iloc[1, frame.columns.get_loc("close")] = NAN
    frame.iloc[3, frame.columns.get_loc("volume")] = -1.0
    quarantine = cleaned(frame).quarantine
    assert quarantine["line"].tolist() == [3, 5]
    assert quarantine["text"].tolist() == ["b" * 200, "d"]
    assert rules_of(quarantine) == ["no_close", "bad_volume"]


def test_unreadable_times_and_numbers_are_refused_not_guessed():
    frame = pd.DataFrame(
        {"close": ["10", "11", "twelve", "13", "14"]},
        index=["2023-01-03", "soon", "2023-01-05", "1066-10-14", 20230109],
    )
    result = cleaned(frame)
    assert rules_of(result.quarantine) == ["unreadable_time", "unreadable_number", "unreadable_time", "unreadable_time"]
    assert pd.isna(result.quarantine["time"].iloc[0])
    assert result.bars["close"].tolist() == [10.0]


def test_rows_out_of_order_are_sorted_and_counted():
    valid = bars(10)
    result = cleaned(valid.iloc[[0, 2, 1, 3, 4, 9, 5, 6, 7, 8]])
    assert result.bars.equals(valid)
    assert result.repairs == {"unsorted": 2}


def test_equal_rows_are_merged_and_counted_even_with_nan_in_them():
    valid = bars(10)
    valid.loc[valid.index[4], "adj_close"] = NAN
    result = cleaned(pd.concat([valid, valid.iloc[3:6]]))
    assert result.bars.equals(valid)
    assert result.repairs["exact_duplicate"] == 3
    assert result.quarantine.empty


def test_two_different_rows_for_one_time_keep_the_later_and_quarantine_the_other():
    valid = bars(10)
    other = valid.iloc[[4]].copy()
    other["close"] *= 1.001
    result = cleaned(pd.concat([valid, other]).sort_index(kind="stable"))
    assert rules_of(result.quarantine) == ["conflicting_duplicate"]
    assert result.bars["close"].iloc[4] == other["close"].iloc[0]
    assert len(result.bars) == 10


def test_a_bad_row_never_displaces_the_good_one_for_its_time():
    valid = bars(10)
    bad = valid.iloc[[4]].assign(close=NAN)
    result = cleaned(pd.concat([valid, bad]))
    assert result.bars.equals(valid)
    assert rules_of(result.quarantine) == ["no_close"]


def test_a_live_row_of_the_last_day_is_merged_into_it():
    valid = bars(10)
    last = valid.index[-1]
    live = valid.iloc[[-1]].copy()
    live.index = pd.DatetimeIndex([last + pd.Timedelta(hours=20, seconds=1)], name="time")
    live["high"] += 5.0
    live["close"] += 4.0
    live["volume"] += 1000.0
    result = cleaned(pd.concat([valid, live]))
    merged = result.bars.iloc[-1]
    assert result.bars.index[-1] == last
    assert len(result.bars) == 10
    assert merged["open"] == valid["open"].iloc[-1]
    assert merged["low"] == valid["low"].iloc[-1]
    assert merged[["high", "close", "volume"]].tolist() == live[["high", "close", "volume"]].iloc[0].tolist()
    assert result.repairs == {"off_grid": 1, "live_duplicate": 1}
    assert result.quarantine.empty


def test_a_second_row_for_an_older_day_is_a_conflict_not_a_live_row():
    valid = bars(10)
    stray = valid.iloc[[4]].copy() * 1.001
    stray.index = stray.index + pd.Timedelta(hours=20)
    result = cleaned(pd.concat([valid, stray]))
    assert rules_of(result.quarantine) == ["conflicting_duplicate"]


def test_an_unsettled_last_row_yields_to_the_live_one():
    """Yahoo: NaN prices with a real volume on the last daily bar, and a live row for the same day off the grid."""
    valid = bars(10)
    unsettled = valid.copy()
    unsettled.loc[unsettled.index[-1], ["open", "high", "low", "close", "adj_close"]] = NAN
    live = valid.iloc[[-1]].set_axis(valid.index[-1:] + pd.Timedelta(hours=21), axis=0)
    result = cleaned(pd.concat([unsettled, live]))
    assert result.bars.equals(valid)
    assert rules_of(result.quarantine) == ["no_close"]


@pytest.mark.parametrize(
    ("calendar", "stamp"),
    [
        ("XNYS", "2023-07-03T04:00:00Z"),
        ("XNYS", "2023-07-03T20:00:00Z"),
        ("XNYS", "2023-07-03T00:00:00Z"),
        ("XHKG", "2023-07-02T16:00:00Z"),
        ("XLON", "2023-07-02T23:00:00Z"),
    ],
)
def test_a_daily_stamp_becomes_the_session_on_the_exchanges_own_clock(calendar, stamp):
    frame = pd.DataFrame({"close": [10.0]}, index=pd.DatetimeIndex([stamp]))
    assert cleaned(frame, calendar=calendar).bars.index[0] == day("2023-07-03")


def test_a_minute_stamped_with_its_last_trade_is_moved_to_its_start():
    frame = pd.DataFrame({"close": [10.0]}, index=pd.DatetimeIndex(["2023-07-03T15:00:37Z"]))
    result = cleaned(frame, interval="1m")
    assert result.bars.index[0] == day("2023-07-03 15:00")
    assert result.repairs == {"off_grid": 1}


def test_rounding_of_32_bits_is_repaired_and_a_real_contradiction_is_not():
    frame = bars(10)
    top = frame[["open", "close"]].max(axis=1)
    frame["high"] = np.where(
        np.arange(10) == 3, top * (1 - 5e-8), np.where(np.arange(10) == 5, top * 0.999, frame["high"])
    )
    result = cleaned(frame)
    assert result.repairs == {"rounded_high_low": 1}
    assert result.bars["high"].iloc[3] == top.iloc[3]
    assert rules_of(result.quarantine) == ["high_not_highest"]


def test_a_negative_adjusted_close_costs_the_adjustment_not_the_bar():
    frame = bars(10)
    frame.loc[frame.index[2], "adj_close"] = -0.01
    result = cleaned(frame)
    assert len(result.bars) == 10
    assert np.isnan(result.bars["adj_close"].iloc[2])
    assert result.repairs == {"bad_adj_close": 1}
    assert rules_of(result.flags) == ["missing_adj_close"]


@pytest.mark.parametrize("column", ["close", "high", "low"])
def test_a_spike_that_reverts_is_flagged_and_kept(column):
    frame = bars()
    at = frame.index[30]
    factor = {"close": 1.4, "high": 3.0, "low": 0.3}[column]
    frame.loc[at, column] *= factor
    frame.loc[at, "high"] = frame.loc[at, ["open", "high", "close"]].max()
    result = cleaned(frame)
    assert result.bars.equals(frame)
    assert result.flags[["time", "rule"]].to_numpy().tolist() == [[at, "spike"]]


def test_a_lasting_move_is_not_a_spike():
    frame = bars()
    prices = ["open", "high", "low", "close", "adj_close"]
    frame.loc[frame.index[30] :, prices] *= 1.4
    assert cleaned(frame).flags.empty


@pytest.mark.parametrize("stretch", [slice(30, 31), slice(50, None), slice(0, 10)])
def test_pence_taken_for_pounds_are_flagged_where_they_are_fewer(stretch):
    frame = bars()
    prices = ["open", "high", "low", "close", "adj_close"]
    frame.loc[frame.index[stretch], prices] *= 100
    result = cleaned(frame)
    assert result.bars.equals(frame)
    found = result.flags.query("rule == 'hundredfold'")["time"]
    assert found.tolist() == frame.index[stretch].tolist()


def test_one_price_in_another_unit_is_flagged():
    frame = bars()
    frame.loc[frame.index[7], "high"] *= 100
    assert "hundredfold" in rules_of(cleaned(frame).flags)


def test_a_split_that_was_not_applied_is_flagged_where_it_happens():
    frame = bars()
    frame.loc[: frame.index[29], ["open", "high", "low", "close"]] *= 4
    flags = cleaned(frame).flags
    assert flags[["time", "rule"]].to_numpy().tolist() == [[frame.index[30], "suspected_split"]]


def test_zero_volume_is_flagged_only_where_the_series_trades():
    frame = bars()
    frame.loc[frame.index[5], "volume"] = 0.0
    assert rules_of(cleaned(frame).flags) == ["zero_volume"]
    assert cleaned(frame.assign(volume=0.0)).flags.empty


def test_a_time_off_the_calendar_is_flagged():
    holiday = bars(10).iloc[[0]].set_axis(pd.DatetimeIndex(["2023-07-04"], tz="UTC"), axis=0)
    flags = cleaned(pd.concat([bars(10), holiday])).flags
    assert flags[["time", "rule"]].to_numpy().tolist() == [[day("2023-07-04"), "off_calendar"]]
    minutes = pd.DataFrame({"close": [10.0, 10.0]}, index=pd.DatetimeIndex(["2023-07-03T13:29Z", "2023-07-03T13:30Z"]))
    assert cleaned(minutes, interval="1m").flags["time"].tolist() == [day("2023-07-03 13:29")]


@pytest.mark.parametrize("calendar", ["XNYS", "XHKG", "XLON", "24/7"])
def test_the_minutes_of_a_calendar_are_those_of_exchange_calendars(calendar):
    exchange = get_calendar(calendar, start="2021-11-01", end="2021-12-31")
    every = pd.date_range("2021-11-22", "2021-12-03", freq="min", tz="UTC")
    expected = every.isin(exchange.sessions_minutes(exchange.sessions[0], exchange.sessions[-1]))
    assert np.array_equal(on_calendar(every, interval="1m", calendar=calendar), expected)
    days = pd.date_range("2021-11-22", "2021-12-27", tz="UTC")
    assert np.array_equal(on_calendar(days, calendar=calendar), days.tz_localize(None).isin(exchange.sessions))


def test_a_bar_without_its_candle_is_flagged_and_nothing_is_invented_for_it():
    frame = bars()
    frame.loc[frame.index[-1], ["open", "high", "low"]] = NAN
    result = cleaned(frame)
    assert result.bars.equals(frame)
    assert rules_of(result.flags) == ["incomplete_candle"]
    assert cleaned(frame[["close", "adj_close"]]).flags.empty


def test_nothing_in_nothing_out():
    result = cleaned(bars().iloc[:0])
    assert result.bars.empty
    check_bars(result.bars)
    assert cleaned(pd.DataFrame({"close": [NAN]}, index=[day("2023-01-03")])).bars.empty


def test_what_came_in_is_never_changed_and_what_goes_out_can_be():
    frame = bars()
    frame.iloc[3, 0] = NAN
    before = frame.copy(deep=True)
    result = cleaned(frame)
    result.bars.iloc[0, 3] = 1.0
    assert frame.equals(before)


def test_every_rule_explains_itself():
    assert len(RULES) >= 20
    for name, rule in RULES.items():
        assert rule.apply.__doc__, name
        assert rule.reason


def test_cleaning_costs_less_than_half_of_parsing_the_same_rows():
    """Both in one run and in processor time, so that a busy machine does not matter."""
    rng = np.random.default_rng(1)
    count = 200_000
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-4, count)))
    index = pd.date_range("2022-01-03", periods=count, freq="min", tz="UTC")
    frame = pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1.0}, index=index)
    text = frame.to_json(orient="split", date_format="iso")
    started = time.process_time()
    pd.read_json(io.StringIO(text), orient="split")
    parsing = time.process_time() - started
    scrambled = frame.iloc[rng.permutation(count)]
    started = time.process_time()
    assert len(cleaned(scrambled, interval="1m", calendar="24/7").bars) == count
    assert time.process_time() - started < 0.5 * parsing


def test_missing_adjusted_closes_are_computed_from_the_dividends_and_counted():
    """Two dividends by hand: 1 - D / close of the session before, multiplied backwards."""
    frame = bars(6).assign(adj_close=NAN)
    days, close = frame.index, frame["close"].to_numpy()
    paid = pd.DataFrame({"time": [days[2], days[4]], "value": [1.0, 2.0]})
    result = cleaned(frame, dividends=paid)
    second = 1 - 2.0 / close[3]
    first = (1 - 1.0 / close[1]) * second
    np.testing.assert_allclose(result.bars["adj_close"], close * [first, first, second, second, 1, 1], rtol=1e-15)
    assert result.repairs == {"adj_close_from_dividends": 6}
    assert cleaned(frame).bars["adj_close"].isna().all()
