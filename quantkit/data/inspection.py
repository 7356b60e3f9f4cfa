"""What is known of a stored series: its holes, whose rows it holds, what cleaning did to it and what it suspects.

Flags are not stored but found again in what is: a correction takes its flag away, and a longer series shows more.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from quantkit.core.calendars import on_calendar, sessions_between
from quantkit.core.schema import Interval
from quantkit.core.sessions import session_labels
from quantkit.data.cleaning import clean
from quantkit.data.freshness import whole_gaps
from quantkit.data.store import Store

__all__ = ["Inspection", "inspect"]

_MINUTE = pd.Timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Inspection:
    """The state of one series.

    Attributes
    ----------
    bars : DataFrame
        What is stored, a bars frame.
    sources : dict of str to int
        Rows by the provider that they came from.
    sessions : int
        Sessions of the exchange's calendar from the first bar to the last.
    gaps : DatetimeIndex
        Those without any bar.
    absent : int
        Minutes without a bar in the other sessions: no trade, or never sent. 0 for daily bars.
    repairs : DataFrame
        Columns ``rule count source``.
    quarantine : DataFrame
        Rows refused: ``time rule reason text source``.
    flags : DataFrame
        Rows kept but suspicious: ``time rule reason``.
    """

    bars: pd.DataFrame
    sources: dict[str, int]
    sessions: int
    gaps: pd.DatetimeIndex
    absent: int
    repairs: pd.DataFrame
    quarantine: pd.DataFrame
    flags: pd.DataFrame


def inspect(store: Store, symbol: str, interval: Interval, *, calendar: str) -> Inspection:
    """Look a stored series over; asks no vendor.

    Raises
    ------
    UsageError
        Malformed symbol or interval.
    """
    bars = store.bars(symbol, interval)
    of = bars.attrs["symbol"]
    repairs, quarantine = store.repairs(of), store.quarantine(of)
    days = bars.index if interval == "1d" else session_labels(bars.index, calendar).unique()
    return Inspection(
        bars=bars,
        sources=store.bar_sources(of, interval),
        sessions=len(sessions_between(days[0], days[-1], calendar)) if len(days) else 0,
        gaps=whole_gaps(bars.index, interval, calendar),
        absent=0 if interval == "1d" else _absent(bars.index, calendar),
        repairs=repairs[repairs["interval"] == interval][["rule", "count", "source"]],
        quarantine=quarantine[quarantine["interval"] == interval][["time", "rule", "reason", "text", "source"]],
        flags=clean(bars, symbol=of, interval=interval, calendar=calendar, source="store").flags,
    )


def _absent(held: pd.DatetimeIndex, calendar: str) -> int:
    missing = 0
    for _, minutes in held.groupby(session_labels(held, calendar)).items():
        whole = pd.date_range(minutes[0], minutes[-1], freq=_MINUTE)
        missing += int(on_calendar(whole, interval="1m", calendar=calendar).sum()) - len(minutes)
    return max(missing, 0)
