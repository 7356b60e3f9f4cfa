"""Sessions of the exchanges, the bars that come next, and period strings such as ``1y``.

Everything about opening days comes from exchange_calendars; nothing here holds a holiday.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from quantkit.core.errors import UsageError
from quantkit.core.schema import TIME_DTYPE, Interval

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

__all__ = [
    "PERIODS",
    "calendar_of",
    "check_period",
    "exchange_timezone",
    "known_at",
    "next_bars",
    "on_calendar",
    "parse_time",
    "period_start",
    "periods_per_year",
    "session_hours",
    "sessions_between",
]

PERIODS: Final = ("1d", "5d", "1mo", "6mo", "ytd", "1y", "5y", "max")

#: Yahoo's suffix to the ISO 10383 code of the exchange. A symbol with none trades in New York.
_SUFFIXES: Final = {
    "L": "XLON", "HK": "XHKG", "DE": "XETR", "PA": "XPAR", "AS": "XAMS", "MI": "XMIL", "MC": "XMAD", "SW": "XSWX",
    "TO": "XTSE", "T": "XTKS", "AX": "XASX", "SS": "XSHG", "SZ": "XSHG", "KS": "XKRX", "NS": "XNSE", "BO": "XBOM",
    "ST": "XSTO", "CO": "XCSE", "HE": "XHEL", "OL": "XOSL", "BR": "XBRU", "LS": "XLIS", "VI": "XWBO", "SA": "BVMF",
    "SI": "XSES", "NZ": "XNZE", "WA": "XWAR", "IR": "XDUB", "MX": "XMEX", "TW": "XTAI",
}  # fmt: skip

_OFFSETS: Final = {
    "1mo": pd.DateOffset(months=1),
    "6mo": pd.DateOffset(months=6),
    "1y": pd.DateOffset(years=1),
    "5y": pd.DateOffset(years=5),
}


@lru_cache(maxsize=16)
def _exchange(code: str) -> ExchangeCalendar:
    from exchange_calendars import get_calendar
    from exchange_calendars.errors import InvalidCalendarName

    try:
        return get_calendar(code, start="1985-01-01")
    except InvalidCalendarName:
        raise UsageError(f"unknown calendar {code!r}; expected an ISO 10383 exchange code such as XNYS") from None
    except ValueError:  # an exchange whose record begins later than 1985
        return get_calendar(code)


@lru_cache(maxsize=16)
def _sessions(code: str) -> pd.DatetimeIndex:
    return _exchange(code).sessions.tz_localize("UTC").astype(TIME_DTYPE)


def calendar_of(symbol: str) -> str:
    """Exchange code of a symbol in Yahoo's spelling, by its suffix.

    Examples
    --------
    >>> calendar_of("AAPL"), calendar_of("AZN.L"), calendar_of("BTC-USD")
    ('XNYS', 'XLON', '24/7')
    """
    if symbol.endswith(("-USD", "-EUR", "-GBP")):
        return "24/7"
    if symbol.endswith("=X"):
        return "24/5"
    _, dot, suffix = symbol.rpartition(".")
    return _SUFFIXES.get(suffix, "XNYS") if dot else "XNYS"


def check_period(period: object) -> str:
    """Return `period` in lower case if it is one of ``PERIODS``; ``UsageError`` with the choices otherwise."""
    text = period.strip().lower() if isinstance(period, str) else period
    if text not in PERIODS:
        raise UsageError(f"unknown period {period!r}; choose from {', '.join(PERIODS)}")
    return text  # type: ignore[return-value]


def parse_time(value: object, *, name: str = "date") -> pd.Timestamp:
    """Return a date, datetime or ISO 8601 text as a UTC timestamp; text without a zone is read as UTC.

    Raises
    ------
    UsageError
        It is not a date, or lies outside 1900 to 2200.
    """
    if isinstance(value, (str, date, datetime, pd.Timestamp, np.datetime64)) and value != "":
        try:
            stamp = pd.Timestamp(value)
            if stamp is not pd.NaT:
                stamp = stamp.tz_localize("UTC") if stamp.tz is None else stamp.tz_convert("UTC")
                if 1900 <= stamp.year <= 2200:
                    return stamp.as_unit("us")
        except (ValueError, OverflowError):
            pass
    raise UsageError(f"{name} {str(value)[:40]!r} is not a date; expected ISO 8601 such as 2023-09-21")


def period_start(period: str, last: pd.Timestamp, calendar: str = "XNYS") -> pd.Timestamp | None:
    """First moment of `period` counted back from the bar at `last`; None for ``max``.

    ``1d`` and ``5d`` count sessions, months and years count the calendar (a bar exactly one year earlier is left
    out, so ``1y`` never holds the same date twice), ``ytd`` starts with the year of `last`.
    """
    period = check_period(period)
    if period == "max":
        return None
    day = last.tz_convert("UTC").normalize()
    if period == "ytd":
        return day.replace(month=1, day=1)
    if period in _OFFSETS:
        return day - _OFFSETS[period] + pd.Timedelta(days=1)
    count = int(period[:-1])
    sessions = _exchange(calendar).sessions
    at = int(sessions.searchsorted(day.tz_localize(None), side="right"))
    return sessions[max(at - count, 0)].tz_localize("UTC").as_unit("us")


def sessions_between(start: pd.Timestamp, end: pd.Timestamp, calendar: str = "XNYS") -> pd.DatetimeIndex:
    """Session labels (00:00 UTC) from `start` to `end`, both included."""
    sessions = _sessions(calendar)
    return sessions[sessions.searchsorted(start.normalize()) : sessions.searchsorted(end, side="right")]


def session_hours(start: pd.Timestamp, end: pd.Timestamp, calendar: str = "XNYS") -> pd.DataFrame:
    """When the sessions labelled `start` to `end` open and close: columns ``open close`` (UTC), indexed by label."""
    exchange = _exchange(calendar)
    labels = sessions_between(start, end, calendar)
    hours = exchange.schedule.loc[labels.tz_localize(None), ["open", "close"]]
    return hours.set_axis(labels.rename("time"), axis=0).astype(TIME_DTYPE)


def next_bars(last: pd.Timestamp, count: int, *, interval: Interval = "1d", calendar: str = "XNYS") -> pd.DatetimeIndex:
    """Labels of the `count` bars that follow the one at `last`: session dates, or minutes of the open market.

    Raises
    ------
    UsageError
        The calendar does not reach that far.
    """
    exchange = _exchange(calendar)
    if interval == "1d":
        sessions = exchange.sessions
        at = int(sessions.searchsorted(last.tz_convert("UTC").tz_localize(None).normalize(), side="right"))
        following = sessions[at : at + count].tz_localize("UTC")
    else:
        opened = exchange.sessions
        at = max(int(opened.searchsorted(last.tz_localize(None).normalize(), side="right")) - 2, 0)
        minutes = _minutes(exchange, at, at + 5 + 2 * (count // 200))
        following = minutes[minutes > last][:count]
    if len(following) < count:
        raise UsageError(f"calendar {calendar} ends {exchange.last_session.date()}: no {count} bars after {last}")
    return pd.DatetimeIndex(following.astype(TIME_DTYPE), name="time")


def _minutes(exchange: ExchangeCalendar, first: int, stop: int) -> pd.DatetimeIndex:
    """Minutes of the open market in the sessions numbered `first` to `stop`, lunch breaks left out.

    exchange_calendars would first gather all of the exchange's minutes since 1985, a hundred megabytes, and keep them.
    """
    hours = exchange.schedule.iloc[first:stop]
    parts = []
    for opens, lunch, after, closes in hours[["open", "break_start", "break_end", "close"]].itertuples(index=False):
        edges = [(opens, closes)] if pd.isna(lunch) else [(opens, lunch), (after, closes)]
        parts += [pd.date_range(begin, end, freq="min", inclusive="left", unit="us") for begin, end in edges]
    return parts[0].append(parts[1:])


def on_calendar(times: pd.DatetimeIndex, *, interval: Interval = "1d", calendar: str = "XNYS") -> np.ndarray:
    """Whether each time is one at which `calendar` can have a bar: a session's label, or a minute of the open market.

    Times before the calendar's first or after its last session count as on it, since it cannot say.

    Parameters
    ----------
    times : DatetimeIndex, shape (T,)
        UTC, in any order.

    Returns
    -------
    ndarray of bool, shape (T,)
    """
    exchange = _exchange(calendar)
    asked = times.as_unit("us").asi8

    def microseconds(moments: pd.Series | pd.DatetimeIndex) -> np.ndarray:
        return pd.DatetimeIndex(moments).as_unit("us").asi8

    sessions = microseconds(exchange.sessions)
    unknown = (asked < sessions[0]) | (asked > sessions[-1])
    if interval == "1d":
        at = np.clip(np.searchsorted(sessions, asked), 0, len(sessions) - 1)
        return np.asarray(unknown | (sessions[at] == asked))
    opens, closes = microseconds(exchange.opens), microseconds(exchange.closes)
    at = np.clip(np.searchsorted(opens, asked, side="right") - 1, 0, len(opens) - 1)
    trading = (opens[at] <= asked) & (asked < closes[at])
    # NaT, where a session has no break, is the smallest integer: nothing lies before its end.
    lunch, after = microseconds(exchange.break_starts), microseconds(exchange.break_ends)
    return np.asarray(unknown | (trading & ~((lunch[at] <= asked) & (asked < after[at]))))


def known_at(times: pd.DatetimeIndex, *, interval: Interval = "1d", calendar: str = "XNYS") -> pd.DatetimeIndex:
    """When each bar was complete: its session's close, or one minute after an intraday bar's start.

    A date that the calendar does not hold as a session counts as closed at the end of its UTC day.
    """
    if interval != "1d":
        return times + pd.Timedelta(minutes=1)
    closes = _exchange(calendar).closes
    found = closes.reindex(times.tz_localize(None).normalize())
    fallback = times.normalize() + pd.Timedelta(days=1)
    filled = pd.Series(found.to_numpy(), index=times)
    filled = pd.to_datetime(filled, utc=True)
    return pd.DatetimeIndex(filled.where(filled.notna(), pd.Series(fallback, index=times))).astype(TIME_DTYPE)


def exchange_timezone(calendar: str) -> str:
    """IANA name of the exchange's time zone, such as ``America/New_York``."""
    return str(_exchange(calendar).tz)


@lru_cache(maxsize=64)
def periods_per_year(interval: Interval = "1d", calendar: str = "XNYS") -> float:
    """Bars in a year, for annualising: 252 for daily bars, 252 x minutes of a regular session for one-minute bars.

    The round 252 is the convention of the literature for every exchange; ``24/7`` has 365 days.
    """
    days = 365.0 if calendar == "24/7" else 252.0
    if interval == "1d":
        return days
    exchange = _exchange(calendar)
    count = len(exchange.sessions)
    return days * float(np.median([len(_minutes(exchange, at, at + 1)) for at in range(count - 20, count)]))
