"""Massive (Polygon until October 2025), through its own client: US shares, adjusted for splits but not dividends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pandas as pd

from quantkit.core.calendars import calendar_of
from quantkit.core.errors import (
    KeyRefusedError,
    NonsenseError,
    NotEntitledError,
    ThrottledError,
    UnknownSymbolError,
    VendorDownError,
)
from quantkit.core.schema import BAR_COLUMNS, TIME_DTYPE, check_interval, check_symbol
from quantkit.data.base import PROVIDERS, Extract, HistoryQuery, Instrument, QuoteQuery, StreamBar, StreamEvent
from quantkit.data.pacing import Limit
from quantkit.data.sockets import listen
from quantkit.data.vendor import Vendor, actions_frame, read_json, retry_after, within

__all__ = ["MassiveProvider"]

_STREAM: Final = "wss://socket.massive.com"
_ZONE: Final = "America/New_York"
_FIRST: Final = pd.Timestamp("2003-09-10", tz="UTC")
_MINUTES_BACK: Final = pd.Timedelta(days=30)
_COLUMNS: Final = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}

Raw = dict[str, list[dict[str, Any]]]


@PROVIDERS.add("massive")
class MassiveProvider(Vendor):
    """Massive: shares listed in the United States; five requests a minute and about two years without a paid plan."""

    name: str = "massive"
    key_setting: ClassVar[str] = "MASSIVE_API_KEY"

    def limits(self) -> tuple[Limit, ...]:
        """What the plan allows, by ``massive_per_minute``."""
        return (Limit(self.settings.massive_per_minute, 60),)

    def secrets(self) -> Iterable[Any]:
        """The key."""
        return (self.settings.massive_api_key,)

    def build(self, query: HistoryQuery | QuoteQuery) -> dict[str, tuple[str, dict[str, str]]]:
        """Paths and parameters of the bars, and of the splits and dividends that daily bars need.

        Raises
        ------
        NotEntitledError
            The symbol is not one of the United States' shares.
        """
        ticker, now = _spelled(check_symbol(query.symbol)), pd.Timestamp.now("UTC")
        if isinstance(query, QuoteQuery):
            return {"bars": _range(ticker, "day", now - pd.Timedelta(days=7), now)}
        end = min(query.end or now, now)
        if check_interval(query.interval) == "1m":
            return {"bars": _range(ticker, "minute", query.start or now - _MINUTES_BACK, end)}
        start = query.start or _FIRST
        since, about = f"{start:%Y-%m-%d}", {"ticker": ticker, "limit": "1000"}
        return {
            "bars": _range(ticker, "day", start, end),
            "splits": ("/v3/reference/splits", {**about, "execution_date.gte": since}),
            "dividends": ("/v3/reference/dividends", {**about, "ex_dividend_date.gte": since}),
        }

    def extract(self, request: dict[str, tuple[str, dict[str, str]]]) -> Raw:
        """Massive's ``results`` of each part, all pages.

        Raises
        ------
        UnknownSymbolError, KeyRefusedError, NotEntitledError, ThrottledError, VendorDownError, NonsenseError
            With Massive's own words.
        """
        raw: Raw = {}
        for part, (path, params) in request.items():
            raw[part] = self._pages(path, params)
            if part == "bars" and not raw[part]:
                ticker = path.split("/")[4]
                # An unknown ticker has an empty answer like a holiday's; its details tell the two apart.
                self.ask(partial(self._page, f"/v3/reference/tickers/{ticker}", {}))
                return raw
        return raw

    def normalise(self, raw: Raw, query: HistoryQuery | QuoteQuery) -> Extract:
        """Rows as bars; a daily bar's midnight in New York becomes its session's label."""
        symbol = check_symbol(query.symbol)
        daily = isinstance(query, QuoteQuery) or query.interval == "1d"
        try:
            rows = raw["bars"]
            stamps = np.fromiter((row["t"] for row in rows), dtype=np.int64, count=len(rows))
            columns = {
                name: np.array([row.get(key) for row in rows], dtype=np.float64) for name, key in _COLUMNS.items()
            }
            actions = actions_frame(_actions(raw))
        except (KeyError, TypeError, ValueError) as error:
            raise NonsenseError(f"massive's bars of {symbol} have not the form they should ({error!r})") from None
        index = pd.DatetimeIndex((stamps * 1000).view("M8[us]"), name="time").tz_localize("UTC")
        if daily:
            index = index.tz_convert(_ZONE).tz_localize(None).normalize().tz_localize("UTC").astype(TIME_DTYPE)
        bars = pd.DataFrame(columns, index=index.rename("time")).reindex(columns=list(BAR_COLUMNS))
        instrument = Instrument(symbol, symbol, "USD", calendar_of(symbol), self.name, intervals=("1d", "1m"))
        if isinstance(query, QuoteQuery):
            return Extract(instrument, bars.iloc[-1:])
        return Extract(instrument, within(bars, query), actions, adjust=daily and "dividends" in raw)

    def stream(self, symbols: Sequence[str], *, stop: threading.Event) -> Iterator[StreamEvent | None]:
        """Trades and finished minutes as Massive pushes them; see ``base.Streaming``."""
        key = self.key(self.settings.massive_api_key)
        spelled = {_spelled(check_symbol(each)): check_symbol(each) for each in symbols}
        subscription = ",".join(f"{kind}.{each}" for each in spelled for kind in ("AM", "T"))

        def answer(text: str) -> list[str]:
            replies = []
            for message in _messages(text):
                if message.get("ev") != "status":
                    continue
                if message.get("status") == "connected":
                    replies.append(json.dumps({"action": "auth", "params": key}))
                elif message.get("status") == "auth_success":
                    replies.append(json.dumps({"action": "subscribe", "params": subscription}))
                else:
                    self._status(message)
            return replies

        url = f"{self.settings.massive_stream_url or _STREAM}/stocks"
        for text in listen(self.name, url, stop=stop, answer=answer, timeout=self.settings.vendor_timeout):
            if text is None:
                yield None
                continue
            for message in _messages(text):
                if (event := _event(message, spelled)) is not None:
                    yield event

    def _attempt_key(self) -> None:
        self.key(self.settings.massive_api_key)

    def _status(self, message: dict[str, Any]) -> None:
        """Raise for a status frame that says the stream will not come."""
        said, status = self.words(message.get("message") or message.get("status")), message.get("status")
        if status == "auth_failed":
            if any(word in said.lower() for word in ("plan", "entitled", "access")):
                raise NotEntitledError(f"massive's stream is not in this plan: {said!r}")
            raise KeyRefusedError(f"massive refused the key; set {self.key_setting}: {said!r}")
        if status == "max_connections":
            raise ThrottledError(f"massive allows no further stream with this key: {said!r}")
        if status in ("error", "force_disconnect", "slow_consumer", "auth_timeout"):
            raise VendorDownError(f"massive ended its stream: {said!r}")

    def _pages(self, path: str, params: dict[str, str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        seen = set()
        while True:
            body = self.ask(partial(self._page, path, params))
            found = body.get("results") or []
            if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
                raise NonsenseError(f"massive's answer has not the form it should: {self.words(body)}")
            rows += found
            following = body.get("next_url")
            if not following or following in seen:
                return rows
            seen.add(following)
            parts = urlsplit(following)
            # Only its path and query: the key goes to the base that is set, whatever host an answer names.
            path, params = parts.path, dict(parse_qsl(parts.query))

    def _page(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        from urllib3.exceptions import HTTPError

        client = self._client()
        try:
            # The client's own methods retry at once, lose Retry-After, and take cut JSON for an empty answer.
            response = client.client.request("GET", client.BASE + path, fields=params, headers=client.headers)
            status, text = response.status, response.data.decode("utf-8", "replace")
        except (HTTPError, OSError) as error:
            raise VendorDownError(f"massive does not answer: {self.words(error)}") from None
        if status == 429:
            raise ThrottledError(
                f"massive answers no more questions for now: {self.words(text)}",
                retry_after=retry_after(response.headers.get("Retry-After")),
            )
        if status >= 500:
            raise VendorDownError(f"massive answered with status {status}: {self.words(text[:120])}")
        body = read_json(self, text)
        if not isinstance(body, dict):
            raise NonsenseError(f"massive's answer has not the form it should: {self.words(body)}")
        said = self.words(body.get("message") or body.get("error") or text)
        if status == 401:
            raise KeyRefusedError(f"massive refused the key; set {self.key_setting}: {said!r}")
        if status == 403 or body.get("status") == "NOT_AUTHORIZED":
            raise NotEntitledError(
                f"massive has this in other plans only: {said!r}; ask for less, upgrade, or name another provider "
                "beside it in QUANTKIT_PROVIDER"
            )
        if status == 404:
            raise UnknownSymbolError(f"{_ticker_of(path, params)} is not known to massive: {said!r}")
        if status != 200 or body.get("status") == "ERROR":
            raise NonsenseError(f"massive answered with status {status}: {said!r}")
        return body

    def _client(self) -> Any:
        def make() -> Any:
            from massive import RESTClient
            from urllib3 import Timeout

            key = self.key(self.settings.massive_api_key)
            options = {"retries": False, "timeout": Timeout(self.settings.vendor_timeout)}
            base = {"base": self.settings.massive_url} if self.settings.massive_url else {}
            return RESTClient(key, connection_pool_kw=options, **base)

        return self._once("client", make)


def _spelled(symbol: str) -> str:
    if symbol.startswith("^") or "=" in symbol or "." in symbol or calendar_of(symbol) != "XNYS":
        raise NotEntitledError(
            f"{symbol} is not among what massive carries here (shares listed in the United States); name another "
            "provider beside it in QUANTKIT_PROVIDER"
        )
    return symbol.replace("-", ".")


def _ticker_of(path: str, params: dict[str, str]) -> str:
    """The ticker that a question is about: after its kind in the path, or among the parameters."""
    parts = path.split("/")
    return params.get("ticker") or next(parts[at + 1] for at, part in enumerate(parts) if part.startswith("ticker"))


def _range(ticker: str, span: str, start: pd.Timestamp, end: pd.Timestamp) -> tuple[str, dict[str, str]]:
    if span == "day":
        first, last = f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}"
    else:
        first, last = str(int(start.timestamp() * 1000)), str(int(end.timestamp() * 1000))
    return (
        f"/v2/aggs/ticker/{ticker}/range/1/{span}/{first}/{last}",
        {"adjusted": "true", "sort": "asc", "limit": "50000"},
    )


def _actions(raw: Raw) -> Iterator[tuple[pd.Timestamp, str, float]]:
    """Splits as ratios, and dividends per share of today: Massive gives them per share of their day."""
    splits = [
        (pd.Timestamp(row["execution_date"], tz="UTC"), float(row["split_to"]) / float(row["split_from"]))
        for row in raw.get("splits", [])
    ]
    for day, ratio in splits:
        yield day, "split", ratio
    paid: dict[pd.Timestamp, float] = {}
    for row in raw.get("dividends", []):
        day = pd.Timestamp(row["ex_dividend_date"], tz="UTC")
        later = np.prod([ratio for on, ratio in splits if on > day])
        paid[day] = paid.get(day, 0.0) + float(row["cash_amount"]) / float(later)
    for day, value in paid.items():
        yield day, "dividend", value


def _messages(text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _event(message: dict[str, Any], spelled: dict[str, str]) -> StreamEvent | None:
    symbol = spelled.get(str(message.get("sym")))
    if symbol is None:
        return None
    try:
        if message["ev"] == "T":
            price, size, at = float(message["p"]), float(message["s"]), int(message["t"])
            return StreamEvent(symbol, _stamp(at), price, size=size, source="massive") if price > 0 else None
        if message["ev"] == "AM":
            bar = StreamBar(*(float(message[key]) for key in ("o", "h", "l", "c", "v")))
            volume = float(message.get("av") or 0) or None
            return StreamEvent(symbol, _stamp(int(message["s"])), bar.close, day_volume=volume, bar=bar,
                               source="massive")  # fmt: skip
    except (KeyError, TypeError, ValueError):
        pass
    return None


def _stamp(millis: int) -> pd.Timestamp:
    return pd.Timestamp(millis, unit="ms", tz="UTC").as_unit("us")
