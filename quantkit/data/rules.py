"""The rules of cleaning, each a small function whose docstring names the fault that it meets.

They run in the order in which they stand here. A rule that *refuses* sends rows to quarantine, one that *repairs*
changes rows and says how many, one that *flags* changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

import numpy as np
import pandas as pd

from quantkit.core.calendars import exchange_timezone, on_calendar
from quantkit.core.registry import Registry
from quantkit.core.schema import BAR_COLUMNS, Interval

__all__ = ["RULES", "Rows", "Rule"]

PRICES: Final = ("open", "high", "low", "close")
_DAY: Final = 86_400_000_000
_GRID: Final = {"1d": _DAY, "1m": 60_000_000}
_NEVER: Final = np.iinfo(np.int64).min
_READABLE: Final = (pd.Timestamp("1900-01-01").value // 1000, pd.Timestamp("2201-01-01").value // 1000)
#: Half a unit of float32, which several vendors store prices in, is 6e-8 of the price.
_FLOAT32: Final = 1e-6
#: What a close must leave its neighbours by to be a spike, whatever the series' own scale, as a logarithm.
_SPIKE: Final = {"1d": 0.10, "1m": 0.02}
_WICK: Final = {"1d": 0.40, "1m": 0.10}
_SPLITS: Final = np.log([2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 50])


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows on their way through the rules.

    Attributes
    ----------
    time : ndarray of int64, shape (T,)
        Label, in microseconds of UTC; the smallest integer where it is not known.
    stamp : ndarray of int64, shape (T,)
        Time as the vendor gave it.
    columns : dict of ndarray of float64
        By column of a bars frame.
    position : ndarray of int64, shape (T,)
        Row in what was given.
    fault : ndarray of object or None
        Name of the rule by which a reader could make nothing of a row; None where it could.
    dividends : tuple of ndarray, or None
        Ex-dates in microseconds and amounts per share of today, by which missing adjusted closes are to be computed;
        None where they are not known to be all.
    """

    time: np.ndarray
    stamp: np.ndarray
    columns: dict[str, np.ndarray]
    position: np.ndarray
    fault: np.ndarray | None
    interval: Interval
    calendar: str
    dividends: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.time)

    def take(self, which: np.ndarray) -> Rows:
        """The rows of a mask or of positions."""
        return replace(
            self,
            time=self.time[which],
            stamp=self.stamp[which],
            columns={name: column[which] for name, column in self.columns.items()},
            position=self.position[which],
            fault=None if self.fault is None else self.fault[which],
        )

    def with_column(self, name: str, column: np.ndarray) -> Rows:
        """The same rows with another column `name`."""
        return replace(self, columns={**self.columns, name: column})

    @property
    def index(self) -> pd.DatetimeIndex:
        """Labels in UTC."""
        return pd.DatetimeIndex(self.time.view("datetime64[us]"), name="time").tz_localize("UTC")


@dataclass(frozen=True, slots=True)
class Rule:
    """What one rule does.

    Attributes
    ----------
    kind : {"refuses", "repairs", "flags"}
    reason : str
        Why a row is concerned, as a person reads it in a report.
    apply : callable
        From ``Rows`` to a mask of the rows concerned; a rule that repairs gives ``(Rows, how many)``.
    """

    kind: Literal["refuses", "repairs", "flags"]
    reason: str
    apply: Callable[[Rows], np.ndarray] | Callable[[Rows], tuple[Rows, int]]


RULES: Final[Registry[Rule]] = Registry("cleaning rule")


_Apply = TypeVar("_Apply", Callable[[Rows], np.ndarray], Callable[[Rows], tuple[Rows, int]])


def _rule(kind: Literal["refuses", "repairs", "flags"], reason: str) -> Callable[[_Apply], _Apply]:
    def register(function: _Apply) -> _Apply:
        RULES.add(function.__name__)(Rule(kind, reason, function))
        return function

    return register


def _faulty(rows: Rows, name: str) -> np.ndarray:
    return np.zeros(len(rows), dtype=bool) if rows.fault is None else np.asarray(rows.fault == name)


@_rule("refuses", "it has not as many fields as the header")
def wrong_field_count(rows: Rows) -> np.ndarray:
    """A line cut short, or with a separator too many: which value belongs where is a guess."""
    return _faulty(rows, "wrong_field_count")


@_rule("refuses", "its time cannot be read, or lies outside 1900 to 2200")
def unreadable_time(rows: Rows) -> np.ndarray:
    """A missing date, junk in its place, or an epoch in the wrong unit."""
    outside = (rows.time < _READABLE[0]) | (rows.time >= _READABLE[1])
    return np.asarray(_faulty(rows, "unreadable_time") | outside)


@_rule("refuses", "one of its values is not a number")
def unreadable_number(rows: Rows) -> np.ndarray:
    """Text where a number belongs. The row is not kept without it: the same slip may have moved the other values."""
    return _faulty(rows, "unreadable_number")


@_rule("refuses", "it holds no value at all")
def empty_row(rows: Rows) -> np.ndarray:
    """An all-null row, which vendors send for a holiday or a minute without a trade."""
    empty = np.ones(len(rows), dtype=bool)
    for column in BAR_COLUMNS:
        empty &= np.isnan(rows.columns[column])
    return empty


@_rule("refuses", "its close is missing")
def no_close(rows: Rows) -> np.ndarray:
    """NaN prices with a real volume, as on the last daily bar while the session is still settling."""
    return np.asarray(np.isnan(rows.columns["close"]))


@_rule("refuses", "a price is zero, negative or infinite")
def price_not_positive(rows: Rows) -> np.ndarray:
    """A zero for a missing price, or a sign error."""
    bad = np.zeros(len(rows), dtype=bool)
    for name in PRICES:
        bad |= (rows.columns[name] <= 0) | np.isinf(rows.columns[name])
    return bad


@_rule("refuses", "its volume is negative or infinite")
def bad_volume(rows: Rows) -> np.ndarray:
    """A volume that overflowed, or a difference of cumulative volumes across a reset."""
    return np.asarray((rows.columns["volume"] < 0) | np.isinf(rows.columns["volume"]))


@_rule("repairs", "its adjusted close was zero, negative or infinite, and is now missing")
def bad_adj_close(rows: Rows) -> tuple[Rows, int]:
    """An adjusted close that long dividends have driven below zero: the quoted prices beside it are still good."""
    adjusted = rows.columns["adj_close"]
    bad = (adjusted <= 0) | np.isinf(adjusted)
    return (rows.with_column("adj_close", np.where(bad, np.nan, adjusted)) if bad.any() else rows), int(bad.sum())


def _extremes(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    top = bottom = rows.columns["close"]
    for name in ("open", "high", "low"):
        top, bottom = np.fmax(top, rows.columns[name]), np.fmin(bottom, rows.columns[name])
    return top, bottom


@_rule("repairs", "its high or low missed another price of the bar by the rounding of a 32-bit number")
def rounded_high_low(rows: Rows) -> tuple[Rows, int]:
    """High and close that were one number, rounded apart by a vendor that stores 32-bit prices and adjusts them."""
    high, low = rows.columns["high"], rows.columns["low"]
    top, bottom = _extremes(rows)
    raised = (high < top) & (high >= top * (1 - _FLOAT32))
    lowered = (low > bottom) & (low <= bottom * (1 + _FLOAT32))
    count = int((raised | lowered).sum())
    if not count:
        return rows, 0
    return rows.with_column("high", np.where(raised, top, high)).with_column(
        "low", np.where(lowered, bottom, low)
    ), count


@_rule("refuses", "its high is below another price of the bar")
def high_not_highest(rows: Rows) -> np.ndarray:
    """High below low, or below the open or close: swapped columns, a bad tick in one of them."""
    return rows.columns["high"] < _extremes(rows)[0]


@_rule("refuses", "its low is above another price of the bar")
def low_not_lowest(rows: Rows) -> np.ndarray:
    """Low above the open or close."""
    return rows.columns["low"] > _extremes(rows)[1]


@_rule("repairs", "its time was moved to the label of its bar")
def off_grid(rows: Rows) -> tuple[Rows, int]:
    """A daily bar stamped with the exchange's midnight, its open or its close instead of the session; a minute bar
    stamped with the second of its last trade. A session is the date on the exchange's own clock, never the UTC date.
    """
    off = rows.time % _GRID[rows.interval] != 0
    count = int(off.sum())
    if not count:
        return rows, 0
    if rows.interval == "1m":
        return replace(rows, time=rows.time - rows.time % _GRID["1m"]), count
    local = rows.take(off).index.tz_convert(exchange_timezone(rows.calendar)).tz_localize(None)
    time = rows.time.copy()
    time[off] = local.normalize().as_unit("us").asi8
    return replace(rows, time=time), count


@_rule("repairs", "it stood before an earlier one")
def unsorted(rows: Rows) -> tuple[Rows, int]:
    """Rows out of order, as pages of an answer put together. Counted: rows that do not come after their predecessor."""
    count = int((np.diff(rows.time) < 0).sum())
    if not count and not (np.diff(rows.time) == 0).any():
        return rows, 0
    return rows.take(np.lexsort((rows.position, rows.stamp, rows.time))), count


def _repeated(rows: Rows) -> np.ndarray:
    """Mask of sorted rows that share their label with a neighbour."""
    same = np.diff(rows.time) == 0
    return np.append(same, False) | np.insert(same, 0, False) if len(rows) else np.zeros(0, dtype=bool)


@_rule("repairs", "it was there more than once, equal in every value")
def exact_duplicate(rows: Rows) -> tuple[Rows, int]:
    """The same row twice, as where two pages of an answer overlap."""
    repeated = np.flatnonzero(_repeated(rows))
    if not len(repeated):
        return rows, 0
    frame = pd.DataFrame({"time": rows.time[repeated], **{k: v[repeated] for k, v in rows.columns.items()}})
    surplus = repeated[frame.duplicated(keep="last").to_numpy()]
    keep = np.ones(len(rows), dtype=bool)
    keep[surplus] = False
    return rows.take(keep), len(surplus)


@_rule("repairs", "it is the live row of the last bar, merged into it")
def live_duplicate(rows: Rows) -> tuple[Rows, int]:
    """A second row for the bar that is still forming, stamped with the time of the last trade.

    Open is the earlier row's, close and adjusted close the later's, high, low and volume the extremes of both. Only
    the last bar is merged: two rows for an older one are a conflict.
    """
    first = int(np.searchsorted(rows.time, rows.time[-1])) if len(rows) else 0
    last = len(rows) - 1
    if last - first < 1 or len(np.unique(rows.stamp[first:])) < last - first + 1:
        return rows, 0
    merged = rows.take(np.arange(first + 1))
    columns = {name: column.copy() for name, column in merged.columns.items()}
    forming = {name: column[first:] for name, column in rows.columns.items()}
    stated = {name: column[~np.isnan(column)] for name, column in forming.items()}
    prices = np.concatenate([stated[name] for name in PRICES])
    for name, choose in (("open", lambda known: known[0]), ("close", lambda known: known[-1]),
                         ("high", lambda known: prices.max()), ("low", lambda known: prices.min()),
                         ("volume", np.max), ("adj_close", lambda known: known[-1])):  # fmt: skip
        columns[name][first] = choose(stated[name]) if len(stated[name]) else np.nan
    return replace(merged, columns=columns), last - first


@_rule("refuses", "another row for the same time says otherwise; the one that came last is kept")
def conflicting_duplicate(rows: Rows) -> np.ndarray:
    """Two rows for one time with different values. Which is right cannot be known, so the other goes to quarantine,
    where it can be seen, and the series keeps no hole.
    """
    return np.append(np.diff(rows.time) == 0, False) if len(rows) else np.zeros(0, dtype=bool)


@_rule("repairs", "its adjusted close was missing, and is now computed from the dividends")
def adj_close_from_dividends(rows: Rows) -> tuple[Rows, int]:
    """A vendor that adjusts for splits but not for dividends.

    Every dividend D multiplies the closes before its ex-date by 1 - D / c, c being the last of them: the convention of
    CRSP and of Yahoo.
    """
    missing = np.isnan(rows.columns["adj_close"])
    if rows.dividends is None or not missing.any():
        return rows, 0
    close, factor = rows.columns["close"], np.ones(len(rows))
    for day, paid in zip(*rows.dividends, strict=True):
        before = int(np.searchsorted(rows.time, day))
        if 0 < before < len(rows) and 0 < paid < close[before - 1]:
            factor[:before] *= 1 - paid / close[before - 1]
    adjusted = np.where(missing, close * factor, rows.columns["adj_close"])
    return rows.with_column("adj_close", adjusted), int(missing.sum())


@_rule("flags", "its exchange's calendar has no bar at this time")
def off_calendar(rows: Rows) -> np.ndarray:
    """Eastern time read as local or as UTC, a daylight-saving slip, extended hours, a holiday's placeholder."""
    return ~on_calendar(rows.index, interval=rows.interval, calendar=rows.calendar)


@_rule("flags", "nothing was traded in it")
def zero_volume(rows: Rows) -> np.ndarray:
    """Volume 0 in a series that is traded: a price carried over, or a volume that the vendor lost."""
    volume = rows.columns["volume"]
    return volume == 0 if (volume > 0).any() else np.zeros(len(rows), dtype=bool)


@_rule("flags", "its close is known, but not its whole candle")
def incomplete_candle(rows: Rows) -> np.ndarray:
    """Open, high or low missing in a series of candles, as on a last bar still settling. Nothing is invented for it."""
    missing = np.zeros(len(rows), dtype=bool)
    for name in ("open", "high", "low"):
        missing |= np.isnan(rows.columns[name])
    return missing if not missing.all() else np.zeros(len(rows), dtype=bool)


@_rule("flags", "its adjusted close is missing, while other rows have one")
def missing_adj_close(rows: Rows) -> np.ndarray:
    """A hole in the adjusted closes: returns across it would mix adjusted with quoted prices."""
    missing = np.isnan(rows.columns["adj_close"])
    return missing if not missing.all() else np.zeros(len(rows), dtype=bool)


def _steps(rows: Rows) -> np.ndarray:
    return np.diff(np.log(rows.columns["close"]))


def _scale(steps: np.ndarray) -> float:
    """Standard deviation of the normal distribution whose median absolute value is that of `steps`."""
    return float(np.median(np.abs(steps))) / 0.6745


@_rule("flags", "its close or its wick leaves both neighbours by far, and comes back at once")
def spike(rows: Rows) -> np.ndarray:
    """A single-bar spike: a bad tick in the close, or in the high or low alone. It may be real, so it stays."""
    flagged = np.zeros(len(rows), dtype=bool)
    if len(rows) < 3:
        return flagged
    steps = _steps(rows)
    scale = _scale(steps)
    there, back = steps[:-1], steps[1:]
    smaller = np.minimum(np.abs(there), np.abs(back))
    far = smaller > max(_SPIKE[rows.interval], 8 * scale)
    flagged[1:-1] = far & (there * back < 0) & (np.abs(there + back) < 0.3 * smaller)

    close = rows.columns["close"]
    before, after = np.insert(close[:-1], 0, close[0]), np.append(close[1:], close[-1])
    for name, sign, beyond in (("high", 1, np.fmax), ("low", -1, np.fmin)):
        around = beyond(beyond(close, rows.columns["open"]), beyond(before, after))
        wick = sign * np.log(rows.columns[name] / around)
        flagged |= wick > max(_WICK[rows.interval], 20 * scale, 8 * float(np.median(np.abs(wick))))
    return flagged


@_rule("flags", "it is about a hundred times what stands around it, or a hundredth")
def hundredfold(rows: Rows) -> np.ndarray:
    """Pence taken for pounds, in one price, one row or a whole stretch. The shorter stretch is the one flagged."""
    close = rows.columns["close"]
    flagged = np.zeros(len(rows), dtype=bool)
    for name in ("open", "high", "low"):
        apart = np.flatnonzero(np.abs(rows.columns[name] - close) > 0.9 * close)
        ratio = np.log(rows.columns[name][apart] / close[apart])
        flagged[apart] |= np.abs(np.abs(ratio) - np.log(100)) < 0.25
    steps = _steps(rows)
    jumps = np.abs(np.abs(steps) - np.log(100)) < 0.25
    if jumps.any():
        level = np.cumsum(np.insert(np.where(jumps, np.sign(steps), 0), 0, 0))
        levels, counts = np.unique(level, return_counts=True)
        flagged |= level != levels[counts.argmax()]
    return flagged


@_rule("flags", "its price is a whole multiple or fraction of the one before, as after a split that was not applied")
def suspected_split(rows: Rows) -> np.ndarray:
    """A split unapplied or applied twice: the close and the open move together by a ratio that splits have."""
    flagged = np.zeros(len(rows), dtype=bool)
    steps = _steps(rows)
    large = np.flatnonzero(np.abs(steps) > 0.6)
    if not len(large):
        return flagged
    large = large[np.abs(steps[large]) > 8 * _scale(steps)]
    nearest = np.abs(np.abs(steps[large])[:, None] - _SPLITS).min(axis=1, initial=np.inf)
    gap = np.log(rows.columns["open"][large + 1] / rows.columns["close"][large])
    together = np.isnan(gap) | (np.abs(gap - steps[large]) < 0.1)
    flagged[large[(nearest < 0.05) & together] + 1] = True
    return flagged
