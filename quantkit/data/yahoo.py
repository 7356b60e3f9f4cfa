"""Yahoo, through yfinance: its cookies, crumb and browser's handshake, but the chart itself as Yahoo sends it.

``yfinance.Ticker.history`` drops, merges and rescales rows before anyone sees them; cleaning is ours, and audited, so
only yfinance's client is used and its answer is read here.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote, urlsplit

import numpy as np
import pandas as pd

from quantkit.core.calendars import calendar_of
from quantkit.core.errors import (
    NoDataError,
    NonsenseError,
    ThrottledError,
    UnknownSymbolError,
    VendorDownError,
)
from quantkit.core.schema import TIME_DTYPE, check_interval, check_symbol
from quantkit.data.base import PROVIDERS, Extract, HistoryQuery, Instrument, QuoteQuery, StreamEvent
from quantkit.data.pacing import Limit
from quantkit.data.sockets import listen
from quantkit.data.vendor import Vendor, actions_frame, read_json, retry_after, within

__all__ = ["ChartRequest", "YahooProvider"]

_HOST: Final = "https://query2.finance.yahoo.com"
_STREAM: Final = "wss://streamer.finance.yahoo.com/?version=2"
_FIRST: Final = pd.Timestamp("1927-01-01", tz="UTC")
#: Minutes come for eight days in one answer, and reach thirty days back.
_MINUTES_AT_ONCE: Final = pd.Timedelta(days=7)
_MINUTES_BACK: Final = pd.Timedelta(days=29)
#: Currencies of which Yahoo quotes a hundredth, by its own name for it.
_HUNDREDTHS: Final = {"GBp": "GBX", "ZAc": "ZAC", "ILA": "ILA"}
_RESUBSCRIBE: Final = 15.0


@dataclass(frozen=True, slots=True)
class ChartRequest:
    """Questions to ask of the chart of one symbol, one for each span of time that comes in one answer."""

    symbol: str
    params: tuple[dict[str, Any], ...]


@PROVIDERS.add("yahoo")
class YahooProvider(Vendor):
    """Yahoo Finance: every exchange, without a key; unofficial, and quick to throttle."""

    name: str = "yahoo"

    def limits(self) -> tuple[Limit, ...]:
        """Yahoo states none; this stays below what is seen to be throttled."""
        return (Limit(5, 1), Limit(200, 60))

    def build(self, query: HistoryQuery | QuoteQuery) -> ChartRequest:
        """The spans that answer `query`."""
        symbol, now = check_symbol(query.symbol), pd.Timestamp.now("UTC")
        if isinstance(query, QuoteQuery):
            return ChartRequest(symbol, (_span("1d", now - pd.Timedelta(days=7), now),))
        interval = check_interval(query.interval)
        end = min(query.end or now, now)
        if interval == "1d":
            # A session's label is 00:00 UTC; east of London it opens before that, and elsewhere after.
            start = (query.start or _FIRST) - pd.Timedelta(days=1)
            return ChartRequest(symbol, (_span("1d", start, end + pd.Timedelta(days=1)),))
        start = max(query.start or now - _MINUTES_AT_ONCE, now - _MINUTES_BACK)
        edges = pd.date_range(start, max(end, start), freq=_MINUTES_AT_ONCE, inclusive="left").tolist() or [start]
        edges.append(end + pd.Timedelta(minutes=1))
        return ChartRequest(symbol, tuple(_span("1m", *span) for span in pairwise(edges)))

    def extract(self, request: ChartRequest) -> list[dict[str, Any]]:
        """Yahoo's ``result`` for each span.

        Raises
        ------
        UnknownSymbolError, NoDataError, ThrottledError, VendorDownError, NonsenseError
            With Yahoo's own words.
        """
        return [self.ask(partial(self._chart, request.symbol, params)) for params in request.params]

    def normalise(self, raw: list[dict[str, Any]], query: HistoryQuery | QuoteQuery) -> Extract:
        """Yahoo's parallel lists as bars; a second row for one session keeps its own time, for cleaning to merge."""
        symbol = check_symbol(query.symbol)
        interval = query.interval if isinstance(query, HistoryQuery) else "1d"
        try:
            meta = raw[0]["meta"]
            instrument = _instrument(symbol, meta)
            zone = str(meta["exchangeTimezoneName"])
            bars = pd.concat([_bars(each, interval, zone) for each in raw]) if len(raw) > 1 else _bars(
                raw[0], interval, zone
            )  # fmt: skip
            actions = actions_frame({action for each in raw for action in _actions(each, zone)})
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise NonsenseError(f"yahoo's chart of {symbol} has not the form it should ({error!r})") from None
        if isinstance(query, QuoteQuery):
            return Extract(instrument, bars.iloc[-1:], actions)
        return Extract(instrument, within(bars, query), actions)

    def stream(self, symbols: Sequence[str], *, stop: threading.Event) -> Iterator[StreamEvent | None]:
        """Prices as Yahoo pushes them; see ``base.Streaming``."""
        wanted = [check_symbol(each) for each in symbols]
        subscription = json.dumps({"subscribe": wanted})
        url = self.settings.yahoo_stream_url or _STREAM
        for text in listen(
            self.name, url, stop=stop, hello=[subscription], again=(subscription, _RESUBSCRIBE),
            timeout=self.settings.vendor_timeout,
        ):  # fmt: skip
            event = None if text is None else _event(text, set(wanted))
            if text is None or event is not None:
                yield event

    def _chart(self, symbol: str, params: dict[str, Any]) -> dict[str, Any]:
        from curl_cffi.requests.exceptions import RequestException
        from yfinance.exceptions import YFException, YFRateLimitError

        data, session = self._client()
        session.retry_after = None
        try:
            response = data.get(
                f"{_HOST}/v8/finance/chart/{quote(symbol, safe='')}", params=params,
                timeout=self.settings.vendor_timeout,
            )  # fmt: skip
            status, text = response.status_code, response.text
        except YFRateLimitError:
            raise ThrottledError(
                "yahoo answers no more questions for now: Too Many Requests", retry_after=session.retry_after
            ) from None
        except (RequestException, OSError, YFException) as error:
            raise VendorDownError(f"yahoo does not answer: {self.words(error)}") from None
        return self._result(symbol, status, text)

    def _result(self, symbol: str, status: int, text: str) -> dict[str, Any]:
        if "Will be right back" in text:
            raise VendorDownError("yahoo is down: 'Will be right back'")
        if status >= 500 or status in (401, 403):
            raise VendorDownError(f"yahoo answered with status {status}: {self.words(text[:120])}")
        body = read_json(self, text)
        chart = body.get("chart") if isinstance(body, dict) else None
        error = chart.get("error") if isinstance(chart, dict) else None
        if error:
            said = self.words(error.get("description") or error) if isinstance(error, dict) else self.words(error)
            if status == 404 or (isinstance(error, dict) and error.get("code") == "Not Found"):
                raise UnknownSymbolError(f"{symbol} is not known to yahoo: {said!r}")
            raise NoDataError(f"yahoo has no such data of {symbol}: {said!r}")
        results = chart.get("result") if isinstance(chart, dict) else None
        if status != 200 or not isinstance(results, list) or not results or not isinstance(results[0], dict):
            raise NonsenseError(f"yahoo's chart of {symbol} has not the form it should: {self.words(text[:120])}")
        named = (results[0].get("meta") or {}).get("symbol")
        if str(named).upper() != symbol:
            raise NonsenseError(f"yahoo was asked for {symbol} and answered with {self.words(named)}")
        return dict(results[0])

    def _client(self) -> tuple[Any, Any]:
        def make() -> tuple[Any, Any]:
            from yfinance.data import YfData

            session = _session(self.settings.yahoo_url, self.settings.vendor_timeout)
            # YfData(...) would be the process's one instance, and hand this session to every other user of yfinance.
            return type.__call__(YfData, session=session), session

        return self._once("client", make)


def _session(base: str | None, timeout: float) -> Any:
    """A browser-like session that sends what is meant for Yahoo to `base`, and remembers a Retry-After."""
    from curl_cffi.requests import Session

    class YahooSession(Session):
        retry_after: float | None = None

        def request(self, method: Any, url: str, **options: Any) -> Any:  # type: ignore[override]
            parts = urlsplit(url)
            if base is not None and (parts.hostname or "").endswith("yahoo.com"):
                url = base + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            # Cookies and crumb are asked for with half a minute's patience, whatever the question's is.
            response = super().request(method, url, **{**options, "timeout": timeout})
            asked = response.headers.get("Retry-After")
            if response.status_code == 429 and asked is not None:
                self.retry_after = retry_after(asked)
            return response

    return YahooSession(impersonate="chrome")


def _span(interval: str, start: pd.Timestamp, end: pd.Timestamp) -> dict[str, Any]:
    return {
        "period1": int(start.timestamp()), "period2": int(end.timestamp()), "interval": interval,
        "includePrePost": "false", "events": "div,splits,capitalGains",
    }  # fmt: skip


def _instrument(symbol: str, meta: dict[str, Any]) -> Instrument:
    currency = str(meta.get("currency") or "USD")
    return Instrument(
        symbol=symbol,
        name=str(meta.get("longName") or meta.get("shortName") or symbol),
        currency=_HUNDREDTHS.get(currency, currency.upper()),
        calendar=calendar_of(symbol),
        source="yahoo",
        intervals=("1d", "1m"),
    )


def _bars(result: dict[str, Any], interval: str, zone: str) -> pd.DataFrame:
    stamps = np.asarray(result.get("timestamp") or [], dtype=np.int64)
    indicators = result["indicators"]
    given = dict((indicators.get("quote") or [{}])[0])
    given["adj_close"] = ((indicators.get("adjclose") or [{}])[0] or {}).get("adjclose")
    columns = {
        # None becomes NaN; a list of another length than the times is nonsense, and raises.
        name: np.full(len(stamps), np.nan) if given.get(name) is None else np.asarray(given[name], dtype=np.float64)
        for name in ("open", "high", "low", "close", "volume", "adj_close")
    }
    index = pd.DatetimeIndex((stamps * 1_000_000).view("M8[us]"), name="time").tz_localize("UTC")
    if interval == "1d":
        labels = index.tz_convert(zone).tz_localize(None).normalize().tz_localize("UTC").astype(TIME_DTYPE)
        index = labels.where(~labels.duplicated(), index).rename("time")
    return pd.DataFrame(columns, index=index)


def _actions(result: dict[str, Any], zone: str) -> Iterator[tuple[pd.Timestamp, str, float]]:
    events = result.get("events") or {}

    def session(event: dict[str, Any]) -> pd.Timestamp:
        local = pd.Timestamp(int(event["date"]), unit="s", tz="UTC").tz_convert(zone)
        return local.tz_localize(None).normalize().tz_localize("UTC")

    for event in (events.get("dividends") or {}).values():
        yield session(event), "dividend", float(event["amount"])
    for event in (events.get("splits") or {}).values():
        yield session(event), "split", float(event["numerator"]) / float(event["denominator"])


def _event(text: str, wanted: set[str]) -> StreamEvent | None:
    """The price in one message; None for junk and for symbols nobody asked for."""
    from google.protobuf.message import DecodeError
    from yfinance.pricing_pb2 import PricingData

    price = PricingData()
    try:
        price.ParseFromString(base64.b64decode(json.loads(text)["message"], validate=True))
    except (ValueError, KeyError, TypeError, binascii.Error, DecodeError):
        return None
    if price.id not in wanted or price.time <= 0 or not price.price > 0 or not np.isfinite(price.price):
        return None
    return StreamEvent(
        symbol=price.id,
        time=pd.Timestamp(price.time, unit="ms", tz="UTC").as_unit("us"),
        # A 32-bit number has seven digits; the rest are noise of its conversion.
        price=float(f"{price.price:.7g}"),
        size=float(price.last_size) or None,
        day_volume=float(price.day_volume) or None,
        source="yahoo",
    )
