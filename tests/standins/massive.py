"""Massive's aggregates, splits, dividends and ticker details, and its stream with authentication and status frames."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from standins.server import HttpStandin, Question, StreamStandin
from standins.truth import Truth


class MassiveStandin(HttpStandin):
    """`key` is the only one it takes; without `stream` the plan has none.

    Attributes
    ----------
    page : int
        Most bars in one answer, whatever `limit` says; the rest follows by ``next_url``.
    entitled : bool
        False: every question for data is refused with 403 ``NOT_AUTHORIZED``.
    delayed : bool
        Answers say ``DELAYED``.
    """

    def __init__(self, truth: Truth, *, key: str = "demo-key", streaming: bool = True) -> None:
        super().__init__()
        self.truth, self.key, self.streaming = truth, key, streaming
        self.page = 50_000
        self.entitled = True
        self.delayed = False
        self.stream = StreamStandin(self._greet, self._heard)
        self.stream_url = self.stream.url

    def answer(self, question: Question) -> Any:
        if question.headers.get("Authorization") != f"Bearer {self.key}":
            return 401, {"status": "ERROR", "request_id": "r", "error": "Unknown API Key"}
        if not self.entitled:
            return 403, {
                "status": "NOT_AUTHORIZED", "request_id": "r",
                "message": "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing",
            }  # fmt: skip
        parts = question.path.strip("/").split("/")
        if parts[:3] == ["v2", "aggs", "ticker"]:
            return 200, self._aggregates(parts, question.query)
        if parts[:3] == ["v3", "reference", "splits"]:
            return 200, self._actions(question.query, "splits", "execution_date")
        if parts[:3] == ["v3", "reference", "dividends"]:
            return 200, self._actions(question.query, "dividends", "ex_dividend_date")
        if parts[:3] == ["v3", "reference", "tickers"] and (listing := self.truth.listings.get(parts[3])) is not None:
            about = {"ticker": parts[3], "name": listing.name, "market": "stocks", "currency_name": "usd",
                     "primary_exchange": "XNAS"}  # fmt: skip
            return 200, {"status": "OK", "request_id": "r", "results": about}
        return 404, {"status": "NOT_FOUND", "request_id": "r", "message": "Ticker not found."}

    def _aggregates(self, parts: list[str], query: dict[str, str]) -> dict[str, Any]:
        symbol, _, span, first, last = parts[3], parts[5], parts[6], parts[7], parts[8]
        status = "DELAYED" if self.delayed else "OK"
        empty = {"ticker": symbol, "queryCount": 0, "resultsCount": 0, "adjusted": True, "status": status,
                 "request_id": "r", "count": 0}  # fmt: skip
        listing = self.truth.listings.get(symbol)
        if listing is None:
            return empty
        bars = listing.daily if span == "day" else listing.minutes
        stamps = bars.index.tz_localize(None).tz_localize("America/New_York") if span == "day" else bars.index
        millis = stamps.as_unit("ms").asi8
        inside = (millis >= _moment(first, end=False)) & (millis <= _moment(last, end=True))
        offset = int(query.get("cursor", 0))
        rows, millis = bars[inside][offset:], millis[inside][offset:]
        if not len(rows):
            return empty
        shown = slice(0, self.page)
        results = [
            {"v": volume, "vw": (high + low) / 2, "o": opened, "c": close, "h": high, "l": low, "t": int(at), "n": 1000}
            for at, opened, high, low, close, volume in zip(
                millis[shown], *(rows[name][shown] for name in ("open", "high", "low", "close", "volume")), strict=True
            )
        ]
        answer = {**empty, "queryCount": len(results), "resultsCount": len(results), "count": len(results),
                  "results": results}  # fmt: skip
        if len(rows) > self.page:
            path = "/".join(parts)
            answer["next_url"] = f"https://api.massive.com/{path}?cursor={offset + self.page}"
        return answer

    def _actions(self, query: dict[str, str], what: str, dated: str) -> dict[str, Any]:
        listing = self.truth.listings.get(query.get("ticker", ""))
        since = query.get(f"{dated}.gte", "1900-01-01")
        results = []
        for day, value in sorted(getattr(listing, what, {}).items(), reverse=True):
            on = f"{day:%Y-%m-%d}"
            if on < since:
                continue
            if what == "splits":
                results.append({"id": "x", "ticker": listing.symbol, dated: on, "split_from": 1, "split_to": value})
            else:
                paid = value
                for split, ratio in listing.splits.items():
                    paid *= ratio if day < split else 1.0
                results.append({"id": "x", "ticker": listing.symbol, dated: on, "cash_amount": paid, "currency": "USD",
                                "dividend_type": "CD", "frequency": 4})  # fmt: skip
        return {"status": "OK", "request_id": "r", "results": results}

    def _greet(self, stream: StreamStandin, connection: Any) -> None:
        connection.send(json.dumps([{"ev": "status", "status": "connected", "message": "Connected Successfully"}]))

    def _heard(self, stream: StreamStandin, connection: Any, message: dict[str, Any]) -> None:
        if message["action"] == "auth":
            if message["params"] != self.key:
                said = {"ev": "status", "status": "auth_failed", "message": "authentication failed"}
            elif not self.streaming:
                said = {"ev": "status", "status": "auth_failed",
                        "message": "Your plan doesn't include websocket access."}  # fmt: skip
            else:
                said = {"ev": "status", "status": "auth_success", "message": "authenticated"}
            connection.send(json.dumps([said]))
        elif message["action"] == "subscribe":
            for each in message["params"].split(","):
                connection.send(
                    json.dumps([{"ev": "status", "status": "success", "message": f"subscribed to: {each}"}])
                )
                stream.subscribed.add(each.split(".", 1)[1])

    def send(self, symbol: str, price: float, at: pd.Timestamp, *, size: float = 100.0) -> None:
        """A trade to whoever listens."""
        trade = {"ev": "T", "sym": symbol, "i": "1", "x": 4, "p": price, "s": size, "c": [14], "t": _millis(at), "q": 1,
                 "z": 3}  # fmt: skip
        self.stream.send_text(json.dumps([trade]))

    def send_minute(self, symbol: str, start: pd.Timestamp, bar: tuple[float, float, float, float, float],
                    *, day_volume: float = 0.0) -> None:  # fmt: skip
        """A finished minute (open, high, low, close, volume) to whoever listens."""
        opened, high, low, close, volume = bar
        minute = {"ev": "AM", "sym": symbol, "v": volume, "av": day_volume, "op": opened, "vw": close, "o": opened,
                  "c": close, "h": high, "l": low, "a": close, "z": 100, "s": _millis(start),
                  "e": _millis(start) + 60_000}  # fmt: skip
        self.stream.send_text(json.dumps([minute]))

    def start(self) -> None:
        super().start()
        self.stream.start()

    def stop(self) -> None:
        self.stream.stop()
        super().stop()


def _millis(at: pd.Timestamp) -> int:
    return int(at.timestamp() * 1000)


def _moment(text: str, *, end: bool) -> int:
    if text.isdecimal():
        return int(text)
    day = pd.Timestamp(text, tz="America/New_York")
    return _millis(day + pd.Timedelta(days=1)) - 1 if end else _millis(day)
