"""What a market data provider is: three separable steps, of which only one touches the network or the disk.

``build`` turns a query into a request, ``extract`` fetches the vendor's own form, ``normalise`` turns that into a
bars frame (not cleaned yet: see ``cleaning``). Tests can then feed a recorded answer to ``normalise``, and a loopback
stand-in to ``extract``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pandas as pd

from quantkit.core.registry import Registry
from quantkit.core.schema import Interval

if TYPE_CHECKING:
    from quantkit.settings import Settings

__all__ = ["PROVIDERS", "Extract", "HistoryQuery", "Instrument", "PriceBasis", "Provider", "Status"]

Status = Literal["live", "delayed", "replay", "sample", "stale", "offline"]
PriceBasis = Literal["quoted", "adjusted"]


@dataclass(frozen=True, slots=True)
class Instrument:
    """What is known of a symbol beside its bars.

    Attributes
    ----------
    symbol, name : str
    currency : str
        ISO 4217, or ``GBX`` for pence.
    calendar : str
        ISO 10383 exchange code, see ``quantkit.core.calendars``.
    source : str
        Provider that supplied it.
    price_basis : {"quoted", "adjusted"}
        ``adjusted`` when only prices adjusted for splits and dividends are known; currency figures on such a series
        are called indicative.
    intervals : tuple of {"1d", "1m"}
    """

    symbol: str
    name: str
    currency: str
    calendar: str
    source: str
    price_basis: PriceBasis = "quoted"
    intervals: tuple[Interval, ...] = ("1d",)

    def with_source(self, source: str) -> Instrument:
        """The same instrument as another provider knows it."""
        return replace(self, source=source)


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Bars wanted of one symbol; `start` and `end` (both included) are UTC, None for all there is."""

    symbol: str
    interval: Interval = "1d"
    start: pd.Timestamp | None = None
    end: pd.Timestamp | None = None


@dataclass(frozen=True, slots=True)
class Extract:
    """What one fetch brought, in quantkit's shapes but as the vendor meant it.

    Attributes
    ----------
    instrument : Instrument
    bars : DataFrame
        The columns of a bars frame, rows not yet checked: ``cleaning.clean`` decides what is kept.
    actions : DataFrame
        Splits and dividends: columns ``time`` (UTC), ``kind`` (``split`` or ``dividend``), ``value``.
    """

    instrument: Instrument
    bars: pd.DataFrame
    actions: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"time": [], "kind": [], "value": []}))


class Provider(Protocol):
    """A source of market data; register a class with ``@PROVIDERS.add("name")``, made from ``Settings``."""

    name: str
    status: Status

    def catalogue(self) -> list[Instrument]:
        """Every instrument it can name beforehand; empty where the vendor's list is open."""

    def build(self, query: HistoryQuery) -> Any:
        """The request for `query`; pure. ``UnknownSymbolError`` where the catalogue is closed."""

    def extract(self, request: Any) -> Any:
        """What the vendor answers, in the vendor's form; the only step with input or output."""

    def normalise(self, raw: Any, query: HistoryQuery) -> Extract:
        """The vendor's form as bars; pure."""


#: Classes made from ``Settings``, by the name used in ``QUANTKIT_PROVIDER``.
PROVIDERS: Registry[Callable[[Settings], Provider]] = Registry("provider")
