import pandas as pd
import pytest
from exchange_calendars import get_calendar

from quantkit.core.calendars import (
    _exchange,
    calendar_of,
    known_at,
    next_bars,
    parse_time,
    period_start,
    periods_per_year,
    sessions_between,
)
from quantkit.core.errors import UsageError


def day(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def test_the_next_sessions_skip_weekends_and_holidays():
    # 2023-11-23 is Thanksgiving; New York closes.
    assert [f"{t:%m-%d}" for t in next_bars(day("2023-11-21"), 4)] == ["11-22", "11-24", "11-27", "11-28"]


def test_the_next_minutes_cross_the_night():
    following = next_bars(day("2022-06-14 19:58"), 3, interval="1m")
    assert [f"{t:%d %H:%M}" for t in following] == ["14 19:59", "15 13:30", "15 13:31"]


def test_minutes_of_hong_kong_leave_out_lunch():
    following = next_bars(day("2022-06-14 03:59"), 1, interval="1m", calendar="XHKG")
    assert following[0] == day("2022-06-14 05:00")


@pytest.mark.parametrize(
    ("period", "start"),
    [("1d", "2023-09-21"), ("5d", "2023-09-15"), ("1mo", "2023-08-22"), ("ytd", "2023-01-01"), ("1y", "2022-09-22")],
)
def test_periods_count_back_from_the_last_bar(period, start):
    assert period_start(period, day("2023-09-21")) == day(start)


def test_max_has_no_start_and_unknown_periods_are_refused():
    assert period_start("max", day("2023-09-21")) is None
    with pytest.raises(UsageError, match="choose from 1d, 5d, 1mo"):
        period_start("3y", day("2023-09-21"))


def test_a_daily_bar_is_known_at_its_sessions_close_in_winter_and_in_summer():
    closes = known_at(pd.DatetimeIndex([day("2023-01-03"), day("2023-07-03"), day("2023-07-05")]))
    assert [f"{t:%H:%M}" for t in closes] == ["21:00", "17:00", "20:00"]  # 3 July closes early


def test_a_date_off_the_calendar_is_known_at_its_end_and_a_minute_after_it():
    assert known_at(pd.DatetimeIndex([day("2023-01-01")]))[0] == day("2023-01-02")
    assert known_at(pd.DatetimeIndex([day("2023-01-03 14:30")]), interval="1m")[0] == day("2023-01-03 14:31")


def test_symbols_know_their_exchange_and_its_year():
    assert [calendar_of(s) for s in ("AAPL", "AZN.L", "9988.HK")] == ["XNYS", "XLON", "XHKG"]
    assert periods_per_year("1d") == 252
    assert periods_per_year("1m") == 252 * 390
    assert len(sessions_between(day("2022-01-01"), day("2022-12-31"))) == 251


@pytest.mark.parametrize("value", ["", "tomorrow", "2023-13-01", "1492-01-01", None, 5, "9" * 100])
def test_what_is_not_a_date_is_refused(value):
    with pytest.raises(UsageError, match="ISO 8601"):
        parse_time(value)


def test_dates_become_utc():
    assert parse_time("2023-09-21T09:30:00-04:00") == day("2023-09-21 13:30")


@pytest.mark.parametrize(("calendar", "last"), [
    ("XNYS", "2021-11-26 17:58"), ("XHKG", "2022-01-31 03:58"), ("24/7", "2022-06-14 23:58"),
])  # fmt: skip
def test_minutes_ahead_are_those_of_exchange_calendars_without_gathering_all_of_them(calendar, last):
    # Half days, lunch breaks and midnights; one year of the library's own calendar, since all of it takes a while.
    theirs = get_calendar(calendar, start="2021-06-01", end="2022-12-31").minutes
    following = next_bars(day(last), 900, interval="1m", calendar=calendar)
    assert following.equals(theirs[theirs > day(last)][:900].as_unit("us").rename("time"))
    # They are a hundred megabytes in every visitor's kernel once they are there.
    assert not any("minutes" in name for name in vars(_exchange(calendar)))
