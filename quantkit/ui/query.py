"""What the address of a screen can say, read as carefully as anything else that comes from outside."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode

from quantkit.core.calendars import check_period
from quantkit.core.errors import UsageError
from quantkit.core.indicators import INDICATORS
from quantkit.core.schema import Interval, check_interval, check_symbol, check_symbols

__all__ = ["OVERLAYS", "StockQuery", "choice_of", "number_between", "read_view", "whole_between"]

View = TypeVar("View")

#: Names that ``overlays`` may list: the forecast, every indicator, and a logarithmic price scale.
OVERLAYS: Final[tuple[str, ...]] = ("forecast", *INDICATORS, "log")
#: Symbols that one may be compared with.
MOST_COMPARED: Final = 4
_LONGEST: Final = 2_000


def read_view(text: str, default: View, readers: Mapping[str, Callable[[str], Any]]) -> tuple[View, list[str]]:
    """A view (a frozen dataclass) from a query string, and a sentence for everything in it that cannot be used.

    Parameters
    ----------
    default : View
        Whose fields stand where the text says nothing, or nothing usable.
    readers : mapping of field to callable
        Each gives the field's value, or raises ``UsageError``; other keys of the text are ignored.
    """
    query, faults = default, []
    if len(text) > _LONGEST:
        return query, [f"the address holds {len(text)} characters of state; at most {_LONGEST} are read"]
    for key, value in parse_qsl(text, keep_blank_values=True, max_num_fields=None):
        if key not in readers:
            continue
        try:
            query = replace(query, **{key: readers[key](value)})  # type: ignore[type-var]
        except UsageError as error:
            faults.append(str(error))
    return query, faults


def number_between(name: str, low: float, high: float) -> Callable[[str], float]:
    """Reads a number in [low, high]; ``UsageError`` names it and the range."""

    def read(text: object) -> float:
        try:
            value = float(str(text))
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise UsageError(f"{name} {str(text)[:40]!r} is not a number from {low:g} to {high:g}")
        return value

    return read


def whole_between(name: str, low: int, high: int) -> Callable[[str], int]:
    """Reads a whole number in [low, high]."""

    def read(text: object) -> int:
        value = number_between(name, low, high)(str(text))
        if value != int(value):
            raise UsageError(f"{name} {str(text)[:40]!r} is not a whole number")
        return int(value)

    return read


def choice_of(name: str, choices: Iterable[str]) -> Callable[[str], str]:
    """Reads one of `choices`."""
    known = tuple(choices)

    def read(text: str) -> str:
        if text not in known:
            raise UsageError(f"unknown {name} {text[:40]!r}; choose from {', '.join(known)}")
        return text

    return read


@dataclass(frozen=True, slots=True)
class StockQuery:
    """One view of the Stock screen.

    Attributes
    ----------
    symbol : str
    period : str
        One of ``quantkit.core.calendars.PERIODS``.
    interval : {"1d", "1m"}
    overlays : tuple of str
        Of ``OVERLAYS``.
    compare : tuple of str
        Symbols beside it, at most four.
    """

    symbol: str = "AAPL"
    period: str = "6mo"
    interval: Interval = "1d"
    overlays: tuple[str, ...] = ("forecast",)
    compare: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, default: StockQuery | None = None) -> tuple[StockQuery, list[str]]:
        """Read a query string: the view, and a sentence for everything in it that cannot be used.

        Keys that are not ours are ignored; a malformed value leaves the default of its key.

        Examples
        --------
        >>> StockQuery.parse("symbol=msft&period=1y&utm_source=mail")[0].to_query()
        'symbol=MSFT&period=1y&interval=1d'
        >>> StockQuery.parse("period=2w")[1]
        ["unknown period '2w'; choose from 1d, 5d, 1mo, 6mo, ytd, 1y, 5y, max"]
        """
        return read_view(text, default or cls(), {
            "symbol": check_symbol, "period": check_period, "interval": check_interval, "overlays": check_overlays,
            "compare": check_compared,
        })  # fmt: skip

    def to_query(self) -> str:
        """The view as a query string that :meth:`parse` gives back."""
        values = {"symbol": self.symbol, "period": self.period, "interval": self.interval}
        if self.overlays != StockQuery().overlays:
            values["overlays"] = ",".join(self.overlays)
        if self.compare:
            values["compare"] = ",".join(self.compare)
        return urlencode(values, safe=",^=")


def check_compared(names: str | Iterable[str]) -> tuple[str, ...]:
    """Symbols to compare with, each once; ``UsageError`` for a malformed one, or a fifth."""
    listed = [name for name in (names.replace(" ", ",").split(",") if isinstance(names, str) else names) if name]
    chosen = tuple(check_symbols(list(dict.fromkeys(listed)))) if listed else ()
    if len(chosen) > MOST_COMPARED:
        raise UsageError(f"{len(chosen)} symbols to compare with; at most {MOST_COMPARED} are drawn")
    return chosen


def check_overlays(names: str | Iterable[str]) -> tuple[str, ...]:
    """Overlay names, each once; ``UsageError`` with the choices for an unknown one."""
    listed = names.split(",") if isinstance(names, str) else list(names)
    chosen = tuple(dict.fromkeys(name.strip().lower() for name in listed if name.strip()))
    for name in chosen:
        if name not in OVERLAYS:
            raise UsageError(f"unknown overlay {name[:40]!r}; choose from {', '.join(OVERLAYS)}")
    return chosen
