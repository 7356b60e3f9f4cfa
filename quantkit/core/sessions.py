"""Minute bars gathered into the sessions they belong to."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quantkit.core.calendars import exchange_timezone
from quantkit.core.schema import BAR_COLUMNS, TIME_DTYPE

__all__ = ["session_bars", "session_labels"]


def session_labels(times: pd.DatetimeIndex, calendar: str) -> pd.DatetimeIndex:
    """Date, on the exchange's own clock, of each minute, as 00:00 UTC."""
    local = times.tz_convert(exchange_timezone(calendar)).normalize().tz_localize(None)
    return pd.DatetimeIndex(local.tz_localize("UTC").astype(TIME_DTYPE), name="time")


def session_bars(minutes: pd.DataFrame, calendar: str) -> pd.DataFrame:
    """One daily bar for each session in `minutes` (a bars frame); first and last may be partial sessions."""
    if minutes.empty:
        return minutes.copy()
    # A quote gathers its sessions on every bar: pandas' groupby takes ten times as long.
    labels = session_labels(minutes.index, calendar)
    starts = np.flatnonzero(np.diff(labels.asi8, prepend=np.iinfo(np.int64).min))
    columns = {name: minutes[name].to_numpy(dtype=float) for name in BAR_COLUMNS}
    gathered = {
        "open": _first(columns["open"], starts),
        "high": np.fmax.reduceat(columns["high"], starts),
        "low": np.fmin.reduceat(columns["low"], starts),
        "close": _last(columns["close"], starts),
        "volume": np.add.reduceat(np.nan_to_num(columns["volume"]), starts),
        "adj_close": _last(columns["adj_close"], starts),
    }
    daily = pd.DataFrame(gathered, index=labels[starts])
    daily.attrs = {**minutes.attrs, "interval": "1d"}
    return daily


def _first(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """First value that is one in each run that begins at `starts`; NaN where there is none."""
    at = np.where(np.isnan(values), len(values), np.arange(len(values)))
    return np.append(values, np.nan)[np.minimum.reduceat(at, starts)]


def _last(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    at = np.where(np.isnan(values), -1, np.arange(len(values)))
    return np.append(values, np.nan)[np.maximum.reduceat(at, starts)]
