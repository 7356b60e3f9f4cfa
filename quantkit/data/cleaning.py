"""From what a vendor or a file said to a bars frame: nothing silently dropped, nothing silently changed.

Rows that break the shape go to quarantine with the rule's name, repairs are counted by rule, suspicious rows are
flagged and left as they are. The rules themselves are in ``rules``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from quantkit.core.schema import BAR_COLUMNS, TIME_DTYPE, Interval, check_interval, check_symbol
from quantkit.data.rules import RULES, Rows

__all__ = ["FLAG_COLUMNS", "QUARANTINE_COLUMNS", "RULES", "Cleaned", "clean"]

QUARANTINE_COLUMNS: Final = ("symbol", "interval", "time", "rule", "reason", "text", "source", "line")
FLAG_COLUMNS: Final = ("time", "rule", "reason")
#: What a stranger's file can put into a message or the store.
_LONGEST_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What cleaning made of some rows.

    Attributes
    ----------
    bars : DataFrame
        A bars frame (``core.schema``), sorted, one row per time.
    quarantine : DataFrame
        Rows refused: ``symbol, interval, time`` (NaT where unreadable)``, rule, reason, text`` (the row as it came, at
        most 200 characters)``, source, line`` (Int64, of the file, where there is one).
    repairs : dict of str to int
        How many rows each rule changed or merged away.
    flags : DataFrame
        Rows kept but suspicious: ``time, rule, reason``; one time may have several.
    """

    bars: pd.DataFrame
    quarantine: pd.DataFrame
    repairs: dict[str, int]
    flags: pd.DataFrame


def clean(
    bars: pd.DataFrame,
    *,
    symbol: str,
    interval: Interval = "1d",
    calendar: str = "XNYS",
    source: str,
    dividends: pd.DataFrame | None = None,
) -> Cleaned:
    """Apply every rule to `bars`, in the order of ``RULES``.

    Parameters
    ----------
    bars : DataFrame
        Columns of a bars frame in any state: a missing one is NaN, text is read as numbers, the index may be unsorted,
        repeated, without a zone (then UTC) or not a date at all. Three more columns are understood: ``line`` (number
        in the file), ``text`` (the row as it came) and ``fault`` (name of the rule by which a reader has found that a
        row makes no sense).
    symbol, source : str
    interval : {"1d", "1m"}
    calendar : str
        ISO 10383 code, for session labels and for what is off the calendar.
    dividends : DataFrame, optional
        Columns ``time value``: every dividend per share of today since the first bar. Missing adjusted closes are then
        computed from them.

    Returns
    -------
    Cleaned
        Its ``bars`` pass ``core.schema.check_bars``, whatever came in.

    Examples
    --------
    >>> days = pd.DatetimeIndex(["2023-01-03", "2023-01-04"], tz="UTC")
    >>> cleaned = clean(pd.DataFrame({"close": [10.0, -1.0]}, index=days), symbol="IBM", source="files")
    >>> len(cleaned.bars), cleaned.quarantine["rule"].tolist()
    (1, ['price_not_positive'])
    """
    symbol, interval = check_symbol(symbol), check_interval(interval)
    rows = _rows(bars, interval, calendar)
    if dividends is not None:
        paid = (_microseconds(pd.DatetimeIndex(dividends["time"])), dividends["value"].to_numpy(np.float64))
        rows = replace(rows, dividends=paid)
    repairs: dict[str, int] = {}
    refused: list[pd.DataFrame] = []
    flags: list[pd.DataFrame] = []
    for name, rule in RULES.items():
        if not len(rows):
            break
        # Prices of any size come in; a ratio of two of them may overflow, and then answers the question all the same.
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            found = rule.apply(rows)
        if isinstance(found, tuple):
            rows, count = found
            if count:
                repairs[name] = count
        elif found.any():
            concerned = rows.take(found)
            told = {"time": concerned.index, "rule": name, "reason": rule.reason, "position": concerned.position}
            (refused if rule.kind == "refuses" else flags).append(pd.DataFrame(told))
            if rule.kind == "refuses":
                rows = rows.take(~found)

    kept = pd.DataFrame({name: rows.columns[name] for name in BAR_COLUMNS}, index=rows.index)
    kept.attrs = {**bars.attrs, "symbol": symbol, "interval": interval, "calendar": calendar, "source": source}
    return Cleaned(
        bars=kept,
        quarantine=_quarantine(bars, refused, symbol=symbol, interval=interval, source=source),
        repairs=repairs,
        flags=_flags(flags),
    )


def _rows(bars: pd.DataFrame, interval: Interval, calendar: str) -> Rows:
    fault = bars["fault"].to_numpy(dtype=object).copy() if "fault" in bars.columns else None
    columns = {}
    for name in BAR_COLUMNS:
        if name not in bars.columns:
            columns[name] = np.full(len(bars), np.nan)
            continue
        column = bars[name]
        numbers = pd.to_numeric(column, errors="coerce")
        columns[name] = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
        if not pd.api.types.is_numeric_dtype(column):
            junk = (numbers.isna() & column.notna()).to_numpy()
            if junk.any():
                fault = np.full(len(bars), None, dtype=object) if fault is None else fault
                fault[junk & pd.isna(fault)] = "unreadable_number"
    time = _microseconds(bars.index)
    return Rows(
        time=time,
        stamp=time,
        columns=columns,
        position=np.arange(len(bars)),
        fault=fault,
        interval=interval,
        calendar=calendar,
    )


def _microseconds(index: pd.Index) -> np.ndarray:
    if not isinstance(index, pd.DatetimeIndex):
        # Numbers would be read as nanoseconds since 1970, which no vendor means.
        texts = pd.Series(index).map(lambda each: None if isinstance(each, (int, float, np.number)) else each)
        index = pd.DatetimeIndex(pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601"))
    moments = index if index.tz is None else index.tz_convert("UTC").tz_localize(None)
    return np.asarray(moments.as_unit("us").asi8)


def _quarantine(
    bars: pd.DataFrame, refused: list[pd.DataFrame], *, symbol: str, interval: str, source: str
) -> pd.DataFrame:
    if not refused:
        types = dict.fromkeys(QUARANTINE_COLUMNS, "str") | {"time": TIME_DTYPE, "line": "Int64"}
        return pd.DataFrame({name: pd.Series(dtype=types[name]) for name in QUARANTINE_COLUMNS})
    table = pd.concat(refused, ignore_index=True).sort_values("position", ignore_index=True)
    came = bars.iloc[table["position"].to_numpy()]
    if "text" in came.columns:
        texts = came["text"].astype("str").tolist()
    else:
        given = came[[name for name in BAR_COLUMNS if name in came.columns]]
        texts = [
            f"{time} " + " ".join(f"{name}={value}" for name, value in zip(given.columns, row, strict=True))
            for time, row in zip(came.index, given.to_numpy(dtype=object), strict=True)
        ]
    table["symbol"], table["interval"], table["source"] = symbol, interval, source
    table["text"] = [text[:_LONGEST_TEXT] for text in texts]
    line = came["line"].to_numpy() if "line" in came.columns else np.full(len(came), None)
    table["line"] = pd.array(line, dtype="Int64")
    return table[list(QUARANTINE_COLUMNS)]


def _flags(flags: list[pd.DataFrame]) -> pd.DataFrame:
    if not flags:
        return pd.DataFrame(
            {"time": pd.Series(dtype=TIME_DTYPE), "rule": pd.Series(dtype="str"), "reason": pd.Series(dtype="str")}
        )
    table = pd.concat(flags, ignore_index=True).sort_values("time", kind="stable", ignore_index=True)
    return table[list(FLAG_COLUMNS)]
