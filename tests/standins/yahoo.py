"""Yahoo's chart, cookie and crumb addresses, and its stream of protobuf messages in JSON."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import numpy as np
import pandas as pd

from standins.server import HttpStandin, Question, StreamStandin
from standins.truth import Truth

_CHART = "/v8/finance/chart/"


class YahooStandin(HttpStandin):
    """``url`` replaces Yahoo's hosts, ``stream_url`` its streamer.

    Attributes
    ----------
    now : Timestamp or None
        Minute requests that reach further back than 30 days are refused as Yahoo does; None for no limit.
    live : tuple of (time, price, volume) or None
        A second row for the last day, stamped with the time of the last trade, off the grid.
    unsettled : bool
        The last daily row has NaN prices with a real volume.
    shift : Timedelta
        Added to every timestamp: a server that takes one time zone for another.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__()
        self.truth = truth
        self.now: pd.Timestamp | None = None
        self.live: tuple[pd.Timestamp, float, float] | None = None
        self.unsettled = False
        self.shift = pd.Timedelta(0)
        self.stream = StreamStandin(lambda *_: None, self._heard)
        self.stream_url = self.stream.url + "/?version=2"

    def counts(self, question: Question) -> bool:
        return question.path.startswith(_CHART)

    def answer(self, question: Question) -> Any:
        if question.path.endswith("/getcrumb"):
            return 200, "stand.in-crumb"
        if not question.path.startswith(_CHART):
            return 404, "<!doctype html><html><body>Not here</body></html>", {"Set-Cookie": "A3=stand-in; Path=/"}
        listing = self.truth.listings.get(question.path.removeprefix(_CHART))
        if listing is None:
            return 404, _refusal("Not Found", "No data found, symbol may be delisted")
        interval = question.query["interval"]
        start, stop = self._range(question.query, listing)
        if interval == "1m" and (fault := self._too_far(start, stop)):
            return 422, _refusal("Unprocessable Entity", fault)
        bars = listing.daily if interval == "1d" else listing.minutes
        stamps = (
            bars.index
            if interval == "1m"
            else bars.index.tz_localize(None).tz_localize(listing.timezone) + (pd.Timedelta(hours=9, minutes=30))
        )
        seconds = (stamps + self.shift).as_unit("s").asi8
        inside = (seconds >= start) & (seconds < stop)
        rows = bars[inside].copy()
        rows["adj_close"] = listing.adjusted_close()[inside] if interval == "1d" else np.nan
        seconds = seconds[inside]
        if self.unsettled and interval == "1d" and len(rows) and rows.index[-1] == bars.index[-1]:
            rows.loc[rows.index[-1], ["open", "high", "low", "close", "adj_close"]] = np.nan
        if self.live and interval == "1d" and len(rows):
            at, price, volume = self.live
            more = pd.DataFrame([[price] * 4 + [volume, price]], columns=rows.columns, index=[at])
            rows, seconds = pd.concat([rows, more]), np.append(seconds, int(at.timestamp()))
        return 200, {"chart": {"result": [self._result(listing, interval, rows, seconds, start, stop)], "error": None}}

    def _range(self, query: dict[str, str], listing: Any) -> tuple[int, int]:
        if "period1" in query:
            return int(query["period1"]), int(query["period2"])
        last = int(listing.daily.index[-1].timestamp()) + 86_400
        return last - {"1d": 1, "5d": 7, "1mo": 31}.get(query["range"], 40_000) * 86_400, last

    def _too_far(self, start: int, stop: int) -> str:
        if stop - start > 8 * 86_400:
            return "1m data not available for the requested range. Only 8 days worth of 1m granularity data are allowed"
        if self.now is not None and start < self.now.timestamp() - 30 * 86_400:
            return "1m data not available. The requested range must be within the last 30 days."
        return ""

    def _result(self, listing: Any, interval: str, rows: Any, seconds: Any, start: int, stop: int) -> dict[str, Any]:
        meta = {
            "currency": listing.currency, "symbol": listing.symbol, "exchangeName": listing.exchange,
            "instrumentType": "EQUITY", "exchangeTimezoneName": listing.timezone, "longName": listing.name,
            "regularMarketPrice": float(listing.daily["close"].iloc[-1]), "priceHint": 2, "dataGranularity": interval,
            "validRanges": ["1d", "5d", "1mo", "max"],
        }  # fmt: skip
        if interval == "1m":
            period = {"timezone": "EDT", "start": start, "end": stop, "gmtoffset": -14400}
            meta["tradingPeriods"] = [[period]]
        if not len(rows):
            return {"meta": meta, "indicators": {"quote": [{}]}}
        quote = {name: _numbers(rows[name]) for name in ("open", "high", "low", "close", "volume")}
        result = {"meta": meta, "timestamp": seconds.tolist(), "indicators": {"quote": [quote]}}
        if interval == "1d":
            result["indicators"]["adjclose"] = [{"adjclose": _numbers(rows["adj_close"])}]
        events: dict[str, Any] = {}
        for day, paid in listing.dividends.items():
            if start <= (at := _opening(day, listing)) < stop:
                events.setdefault("dividends", {})[str(at)] = {"amount": paid, "date": at}
        for day, ratio in listing.splits.items():
            if start <= (at := _opening(day, listing)) < stop:
                new, old = (ratio, 1) if ratio >= 1 else (1, 1 / ratio)
                split = {"date": at, "numerator": new, "denominator": old, "splitRatio": f"{new:g}:{old:g}"}
                events.setdefault("splits", {})[str(at)] = split
        return result | ({"events": events} if events else {})

    def _heard(self, stream: StreamStandin, connection: Any, message: dict[str, Any]) -> None:
        stream.subscribed |= set(message.get("subscribe", []))

    def send(
        self, symbol: str, price: float, at: pd.Timestamp, *, size: float | None = None,
        day_volume: float | None = None, market_hours: int = 1,
    ) -> None:  # fmt: skip
        """A price of `symbol` at `at` to whoever listens."""
        from yfinance.pricing_pb2 import PricingData

        message = PricingData(
            id=symbol, price=price, time=int(at.timestamp() * 1000), exchange="NMS", market_hours=market_hours,
            day_volume=int(day_volume or 0), last_size=int(size or 0),
        )  # fmt: skip
        coded = base64.b64encode(message.SerializeToString()).decode()
        self.stream.send_text(json.dumps({"type": "pricing", "message": coded}))

    def send_junk(self) -> None:
        """A message that is not one: not base64, then an empty one, then no JSON at all."""
        for text in ('{"message":"%%%"}', '{"message":""}', "nonsense"):
            self.stream.send_text(text)
            time.sleep(0.01)

    def start(self) -> None:
        super().start()
        self.stream.start()

    def stop(self) -> None:
        self.stream.stop()
        super().stop()


def _opening(day: pd.Timestamp, listing: Any) -> int:
    return int((day.tz_localize(None).tz_localize(listing.timezone) + pd.Timedelta(hours=9, minutes=30)).timestamp())


def _refusal(code: str, description: str) -> dict[str, Any]:
    return {"chart": {"result": None, "error": {"code": code, "description": description}}}


def _numbers(column: pd.Series) -> list[float | None]:
    return [None if np.isnan(each) else float(each) for each in column]
