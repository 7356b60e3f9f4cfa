"""Which day a report is for, and whether that day is one on which there is something to report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from quantkit.core.calendars import calendar_of, on_calendar, parse_time
from quantkit.core.errors import QuantkitError

if TYPE_CHECKING:
    from quantkit.desk import Desk

__all__ = ["is_session", "report_day"]


def report_day(desk: Desk, date: str | None, symbols: Sequence[str]) -> str:
    """The day asked for, or today; on recorded data, which has no today, the last day that it holds.

    Raises
    ------
    UsageError
        `date` is none.
    """
    if date is not None:
        return f"{parse_time(date):%Y-%m-%d}"
    if set(desk.settings.provider) <= {"sample", "replay"}:
        ends = [stored[1] for each in symbols or desk.settings.watchlist if (stored := _range(desk, each)) is not None]
        if ends:
            return f"{max(ends):%Y-%m-%d}"
    return f"{pd.Timestamp.now('UTC'):%Y-%m-%d}"


def is_session(desk: Desk, day: str, symbols: Sequence[str]) -> bool:
    """Whether any of the symbols' exchanges (New York's, without symbols) holds a session on `day`."""
    calendars = {_calendar(desk, each) for each in symbols} or {"XNYS"}
    times = pd.DatetimeIndex([parse_time(day)])
    return any(bool(on_calendar(times, calendar=each)[0]) for each in calendars)


def _range(desk: Desk, symbol: str) -> Any:
    try:
        desk.market.ensure(symbol)
        return desk.store.bar_range(symbol)
    except QuantkitError:
        return None


def _calendar(desk: Desk, symbol: str) -> str:
    try:
        return desk.market.instrument(symbol).calendar
    except QuantkitError:
        return calendar_of(symbol.upper())
