"""What a market data provider is: three separable steps, of which only one touches the network or the disk.

``build`` turns a query into a request, ``extract`` fetches the vendor's own form, ``normalise`` turns that into a
bars frame (not cleaned yet: see ``cleaning``). Tests can then feed a recorded answer to ``normalise``, and a loopback
stand-in to ``extract``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

import pandas as pd

from quantkit.core.registry import Registry
from quantkit.core.schema import Interval

if TYPE_CHECKING:
    from quantkit.settings import Settings

__all__ = [
    "PROVIDERS", "EarningsQuery", "Extract", "HistoryQuery", "Instrument", "PriceBasis", "Provider", "QuoteQuery",
    "Status", "StreamBar", "StreamEvent", "Streaming",
]  # fmt: skip

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
class QuoteQuery:
    """The last session of one symbol as it stands: one daily bar, perhaps still forming.

    The three steps of a vendor's provider take it like a ``HistoryQuery``.
    """

    symbol: str


@dataclass(frozen=True, slots=True)
class EarningsQuery:
    """The days on which a company reported its quarters' earnings, where a vendor tells them."""

    symbol: str


@dataclass(frozen=True, slots=True)
class Extract:
    """What one fetch brought, in quantkit's shapes but as the vendor meant it.

    Attributes
    ----------
    instrument : Instrument
    bars : DataFrame
        The columns of a bars frame, rows not yet checked: ``cleaning.clean`` decides what is kept.
    actions : DataFrame
        Splits (new shares for one) and dividends (per share of today): columns ``time`` (the first session with it,
        UTC), ``kind`` (``split`` or ``dividend``), ``value``. In answer to an ``EarningsQuery``, of ``kind``
        ``earnings``: the day of each report, and the earnings a share that it told.
    adjust : bool
        The vendor has no adjusted close of its own, and `actions` hold every dividend from the first bar on: cleaning
        computes it.
    """

    instrument: Instrument
    bars: pd.DataFrame
    actions: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"time": [], "kind": [], "value": []}))
    adjust: bool = False


class StreamBar(NamedTuple):
    """One finished minute as the vendor itself aggregated it."""

    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One message of a vendor's stream: a trade (or a price that changed), or a minute that the vendor closed.

    Attributes
    ----------
    symbol : str
        In quantkit's spelling.
    time : Timestamp
        UTC; of the trade, or the start of the minute in `bar`.
    price : float
        Of the trade, or the close of `bar`.
    size : float or None
        Shares traded at `price`, where the vendor says.
    day_volume : float or None
        Shares traded in the session so far, where the vendor says; it may lag, and it starts again every session.
    bar : StreamBar or None
        The minute from `time` on, where the vendor sends minutes; such an event is not a trade.
    source : str
        Name of the provider.
    """

    symbol: str
    time: pd.Timestamp
    price: float
    size: float | None = None
    day_volume: float | None = None
    bar: StreamBar | None = None
    source: str = ""


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


@runtime_checkable
class Streaming(Protocol):
    """A provider that can also be listened to."""

    name: str

    def stream(self, symbols: Sequence[str], *, stop: threading.Event) -> Iterator[StreamEvent | None]:
        """The events of one connection, in the order in which they arrive: late and out-of-order ones included.

        Yields None about once a second while nothing arrives, so that the listener can close minutes, look at the
        clock and judge whether the silence is one (only it knows whether an exchange is open). Ends when `stop` is
        set. Reconnecting, and filling in what was missed meanwhile, is for whoever listens.

        Raises
        ------
        ProviderError
            ``VendorDownError`` when the connection cannot be made, breaks, or is closed by the vendor, also cleanly;
            ``KeyRefusedError``, ``NotEntitledError``, ``ThrottledError`` where the vendor says so.
        """


#: Classes made from ``Settings``, by the name used in ``QUANTKIT_PROVIDER``.
PROVIDERS: Registry[Callable[[Settings], Provider]] = Registry("provider")
