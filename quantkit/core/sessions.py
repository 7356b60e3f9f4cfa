"""Minute bars gathered into the sessions they belong to."""

from __future__ import annotations

import pandas as pd

from quantkit.core.calendars import exchange_timezone
from quantkit.core.schema import TIME_DTYPE

__all__ = ["session_bars", "session_labels"]


def session_labels(times: pd.DatetimeIndex, calendar: str) -> pd.DatetimeIndex:
    """Date, on the exchange's own clock, of each minute, as 00:00 UTC."""
    local = times.tz_convert(exchange_timezone(calendar)).normalize().tz_localize(None)
    return pd.DatetimeIndex(local.tz_localize("UTC").astype(TIME_DTYPE), name="time")


def session_bars(minutes: pd.DataFrame, calendar: str) -> pd.DataFrame:
    """One daily bar for each session in `minutes` (a bars frame); first and last may be partial sessions."""
    grouped = minutes.groupby(session_labels(minutes.index, calendar))
    daily = grouped.agg({
        "open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "adj_close": "last",
    })  # fmt: skip
    daily.attrs = {**minutes.attrs, "interval": "1d"}
    return daily
