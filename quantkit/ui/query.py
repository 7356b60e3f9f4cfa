"""What the address of the Stock screen can say, read as carefully as anything else that comes from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from quantkit.core.calendars import check_period
from quantkit.core.errors import UsageError
from quantkit.core.schema import Interval, check_interval, check_symbol

__all__ = ["OVERLAYS", "StockQuery"]

#: Names that ``overlays`` may list. An overlay is a file of its own and a name here.
OVERLAYS: Final[tuple[str, ...]] = ("forecast",)
_LONGEST: Final = 2_000


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
    """

    symbol: str = "AAPL"
    period: str = "6mo"
    interval: Interval = "1d"
    overlays: tuple[str, ...] = ("forecast",)

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
        query, faults = default or cls(), []
        if len(text) > _LONGEST:
            return query, [f"the address holds {len(text)} characters of state; at most {_LONGEST} are read"]
        readers: dict[str, Callable[[str], Any]] = {
            "symbol": check_symbol,
            "period": check_period,
            "interval": check_interval,
            "overlays": check_overlays,
        }
        for key, value in parse_qsl(text, keep_blank_values=True, max_num_fields=None):
            if key not in readers:
                continue
            try:
                query = replace(query, **{key: readers[key](value)})
            except UsageError as error:
                faults.append(str(error))
        return query, faults

    def to_query(self) -> str:
        """The view as a query string that :meth:`parse` gives back."""
        values = {"symbol": self.symbol, "period": self.period, "interval": self.interval}
        if self.overlays != StockQuery().overlays:
            values["overlays"] = ",".join(self.overlays)
        return urlencode(values, safe=",^=")


def check_overlays(names: str | Iterable[str]) -> tuple[str, ...]:
    """Overlay names, each once; ``UsageError`` with the choices for an unknown one."""
    listed = names.split(",") if isinstance(names, str) else list(names)
    chosen = tuple(dict.fromkeys(name.strip().lower() for name in listed if name.strip()))
    for name in chosen:
        if name not in OVERLAYS:
            raise UsageError(f"unknown overlay {name[:40]!r}; choose from {', '.join(OVERLAYS)}")
    return chosen
