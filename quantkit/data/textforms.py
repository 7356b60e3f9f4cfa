"""Numbers and dates in the forms in which people's files write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import pandas as pd

from quantkit.core.calendars import on_calendar

__all__ = ["NOT_A_TIME", "Moments", "decimal_mark", "read_moments", "read_number"]

NOT_A_TIME: Final = np.iinfo(np.int64).min

_ABSENT: Final = frozenset({"", "-", "--", "n/a", "na", "#n/a", "nan", "null", "none", "."})
_MULTIPLES: Final = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_FIGURE: Final = re.compile(
    r"(?P<minus>[-\u2212(]?)\s*(?:[A-Z]{0,2}[$€£¥₹])?\s*(?P<minus2>[-\u2212]?)"
    r"(?P<digits>[\d.,'\u00a0\u202f ]*\d[.,]?)\s*(?P<multiple>[KMBT]?)\s*[€£]?\)?",
    re.IGNORECASE,
)
_GROUPED: Final = {
    ".": re.compile(r"(?:\d+|\d{1,3}(?P<by>[,' \u00a0\u202f])(?:\d{2,3}(?P=by))*\d{3})?(?:\.\d*)?"),
    ",": re.compile(r"(?:\d+|\d{1,3}(?P<by>[.' \u00a0\u202f])(?:\d{2,3}(?P=by))*\d{3})?(?:,\d*)?"),
}
_SEPARATORS: Final = re.compile(r"[' \u00a0\u202f]")


def decimal_mark(texts: Iterable[str]) -> str:
    """``,`` if some of `texts` can only be read with a decimal comma and none only with a point; else ``.``.

    ``1,234`` says nothing; ``12,5`` and ``1.234,50`` say comma; ``12.50`` and ``1,234.5`` say point.
    """
    comma = False
    for text in texts:
        if re.search(r"\.\d*$", text) and not re.search(r"^\D*\d{1,3}(\.\d{3})+\D*$", text):
            return "."
        comma |= bool(re.search(r",(\d{1,2}|\d{4,})\D*$|\.\d{3},", text))
    return "," if comma else "."


def read_number(text: str, decimal: str = ".") -> float | None:
    """A number as people write it; NaN where the text says that there is none, None where it makes no sense.

    Understood: ``1,234.5``, ``$12.30``, ``12.3M``, ``(4.5)`` for minus, ``1e6``, ``n/a`` and its like.

    Examples
    --------
    >>> read_number("$1,234.50"), read_number("12.3M"), read_number("1.234,5", decimal=","), read_number("12 apples")
    (1234.5, 12300000.0, 1234.5, None)
    """
    text = text.strip()
    if text.lower() in _ABSENT:
        return float("nan")
    # Python would take "1_000", and "1.234" for one and a bit where a comma is the decimal mark.
    if "_" not in text and not (decimal == "," and "." in text):
        try:
            return float(text)
        except ValueError:
            pass
    found = _FIGURE.fullmatch(text) if len(text) <= 40 else None
    if found is None or not _GROUPED[decimal].fullmatch(found["digits"].strip()):
        return None
    digits = _SEPARATORS.sub("", found["digits"]).replace("." if decimal == "," else ",", "").replace(",", ".")
    minus = found["minus"] or found["minus2"]
    # By the decimal exponent, so that 12.3M is the number nearest to 12300000 and not a product of two roundings.
    power = round(np.log10(_MULTIPLES[found["multiple"].upper()]))
    value = float(f"{digits}e{power}")
    return -value if minus else value


@dataclass(frozen=True, slots=True)
class Moments:
    """A column of dates, read.

    Attributes
    ----------
    wall : ndarray of int64, shape (T,)
        Date and time of day as written, in microseconds; ``NOT_A_TIME`` where it cannot be read.
    offset : ndarray of float64, shape (T,)
        Microseconds that the writer's clock was ahead of UTC; NaN where no zone is written.
    form : str
        How the column was read, for the report.
    """

    wall: np.ndarray
    offset: np.ndarray
    form: str

    @property
    def utc(self) -> np.ndarray:
        """The moments in UTC; a wall time without a zone is read as UTC."""
        shift = np.nan_to_num(self.offset, nan=0.0).astype(np.int64)
        return np.where(self.wall == NOT_A_TIME, NOT_A_TIME, self.wall - shift)


_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
         "december"), start=1)
    for name in (names, names[:3], names[:4])
}  # fmt: skip
_ZONES: Final = {"z": 0, "utc": 0, "gmt": 0, "est": -300, "edt": -240}
_WEEKDAY: Final = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[, ]+)?"
_CLOCK: Final = (
    r"(?:(?:t|,?\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"\s*(?P<half>[ap]\.?m\.?)?)?\s*(?P<zone>z|utc|gmt|est|edt|[+-]\d{2}(?::?\d{2})?)?"
)
_FORMS: Final = tuple(
    (form, re.compile(_WEEKDAY + date + _CLOCK, re.IGNORECASE | re.ASCII))
    for form, date in (
        ("ISO 8601", r"(?P<y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})"),
        ("ISO 8601", r"(?P<y>(?:19|20|21)\d\d)(?P<m>\d\d)(?P<d>\d\d)"),
        ("numbers", r"(?P<a>\d{1,2})(?P<s>[-/. ])(?P<b>\d{1,2})(?P=s)(?P<y>\d{4}|\d\d)"),
        ("month names", r"(?P<d>\d{1,2})[- ./](?P<m>[a-z]{3,9})\.?[- ,./]+(?P<y>\d{4}|\d\d)"),
        ("month names", r"(?P<m>[a-z]{3,9})\.?[- ]+(?P<d>\d{1,2})(?:,[ ]*|[- ]+)(?P<y>\d{4}|\d\d)"),
    )
)
_EPOCH: Final = re.compile(r"-?(\d{1,19})(?:\.\d+)?", re.ASCII)
#: By the digits of the latest moment: seconds, then milli-, micro- and nanoseconds, up to the year 2286.
_EPOCH_UNITS: Final = {9: 1e6, 10: 1e6, 13: 1e3, 16: 1.0, 19: 1e-3}


def _epochs(texts: Sequence[str]) -> Moments | None:
    """A column of numbers since 1970; one unit for all, told by the longest."""
    found = [_EPOCH.fullmatch(text.strip()) if len(text) <= 40 else None for text in texts]
    numbers = [each for each in found if each]
    if 2 * len(numbers) <= len(texts):
        return None
    unit = _EPOCH_UNITS.get(max(len(each[1]) for each in numbers))
    if unit is None:
        return None
    wall = [
        NOT_A_TIME if each is None
        else round(float(each[0]) * unit) if "." in each[0]
        else int(each[0]) * int(unit) if unit >= 1 else int(each[0]) // 1000
        for each in found
    ]  # fmt: skip
    return Moments(wall=np.array(wall, dtype=np.int64), offset=np.zeros(len(wall)), form="time since 1970")


def _clock(found: re.Match[str]) -> tuple[int, float] | None:
    """Microseconds since midnight, and the offset from UTC in microseconds or NaN."""
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found["half"][0] in "pP" else 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    clock = ((hour * 60 + minute) * 60 + second) * 1_000_000 + int((found["fraction"] or "").ljust(6, "0")[:6] or 0)
    zone = (found["zone"] or "").lower()
    if not zone:
        return clock, float("nan")
    if zone in _ZONES:
        return clock, _ZONES[zone] * 6e7
    digits = zone[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return clock, (-minutes if zone[0] == "-" else minutes) * 6e7


def _microseconds(year: int, month: int, day: int) -> int:
    try:
        return (datetime(year, month, day) - datetime(1970, 1, 1)).days * 86_400_000_000
    except ValueError:
        return NOT_A_TIME


def read_moments(texts: Sequence[str], *, calendar: str = "XNYS") -> Moments:
    """Read a column of dates, each in one of the usual forms.

    ISO 8601 (``2023-01-03``, ``20230103``, with or without time and zone), numbers (``03/01/2023``), month names
    (``03-Jan-2023``, ``Jan 3, 2023``), and seconds, milliseconds, microseconds or nanoseconds since 1970.

    Whether ``03/01/2023`` starts with the day or the month is decided over the whole column: by the order in which more
    of the dates exist; both being possible, by the order that puts more of them on sessions of `calendar`; that being
    equal too, month first with slashes and day first with dots, dashes or blanks. ``form`` says which it was.
    """
    uniform = _all_iso(texts) or _epochs(texts)
    if uniform is not None:
        return uniform
    count = len(texts)
    offset = np.full(count, np.nan)
    first, second = np.full(count, NOT_A_TIME), np.full(count, NOT_A_TIME)
    forms: dict[str, int] = {}
    slashes = 0
    for row, text in enumerate(texts):
        text = text.strip()
        for form, pattern in _FORMS:
            found = pattern.fullmatch(text) if len(text) <= 64 else None
            clock = _clock(found) if found else None
            if found is None or clock is None:
                continue
            year = int(found["y"])
            year += (2000 if year < 70 else 1900) if len(found["y"]) == 2 else 0
            if form == "numbers":
                a, b = int(found["a"]), int(found["b"])
                days = _microseconds(year, a, b), _microseconds(year, b, a)
                slashes += found["s"] == "/"
            else:
                month = int(found["m"]) if found["m"].isdigit() else _MONTHS.get(found["m"].lower(), 0)
                days = (_microseconds(year, month, int(found["d"])),) * 2
            first[row], second[row] = (day + clock[0] if day != NOT_A_TIME else day for day in days)
            offset[row] = clock[1]
            forms[form] = forms.get(form, 0) + 1
            break
    form = max(forms, key=lambda each: forms[each]) if forms else "no known form"
    wall = first
    if forms.get("numbers"):
        month_first = _month_first(first, second, calendar, default=2 * slashes >= forms["numbers"])
        wall = first if month_first else second
        form = f"{form}, {'month' if month_first else 'day'} first"
    return Moments(wall=wall, offset=offset, form=form)


def _month_first(month: np.ndarray, day: np.ndarray, calendar: str, *, default: bool) -> bool:
    both = [int((each != NOT_A_TIME).sum()) for each in (month, day)]
    if both[0] != both[1]:
        return both[0] > both[1]

    def sessions(wall: np.ndarray) -> int:
        dates = pd.DatetimeIndex((wall - wall % 86_400_000_000).view("datetime64[us]")).tz_localize("UTC")
        return int(on_calendar(dates, calendar=calendar).sum())

    possible = (month != NOT_A_TIME) & (day != NOT_A_TIME)
    on_month, on_day = sessions(month[possible]), sessions(day[possible])
    return default if on_month == on_day else on_month > on_day


def _all_iso(texts: Sequence[str]) -> Moments | None:
    """The common case at a hundred times the speed: a whole column of ``2023-01-03`` or of ``2023-01-03T14:30:00Z``."""
    lengths = {len(text) for text in texts}
    if lengths == {10}:
        form, zone = "%Y-%m-%d", np.nan
    elif lengths == {20} and all(text[-1] == "Z" for text in texts):
        form, zone = "%Y-%m-%dT%H:%M:%SZ", 0.0
    else:
        return None
    parsed = pd.to_datetime(pd.Series(texts, dtype="str"), format=form, errors="coerce")
    if parsed.isna().any():
        return None
    wall = pd.DatetimeIndex(parsed).as_unit("us").asi8
    return Moments(wall=wall, offset=np.full(len(wall), zone), form="ISO 8601")
