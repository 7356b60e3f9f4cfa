"""Alpha Vantage's one address: everything a string, newest first, errors with status 200."""

from __future__ import annotations

from typing import Any

import pandas as pd

from standins.server import HttpStandin, Question
from standins.truth import Truth

_CAP = (
    "We have detected your API key as {key} and our standard API rate limit is 25 requests per day. Please subscribe "
    "to any of the premium plans at https://www.alphavantage.co/premium/ to instantly remove all daily rate limits."
)
_BURST = (
    "Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly "
    "(1 request per second). You may subscribe to any of the premium plans at https://www.alphavantage.co/premium/ "
    "to lift the free key rate limit (25 requests per day), raise the per-second burst limit, and instantly unlock "
    "all premium endpoints"
)
_NOTE = (
    "Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute and 100 calls per day."
)
_PREMIUM = (
    "Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to any of the premium plans"
)
_FULL = (
    "Thank you for using Alpha Vantage! The outputsize=full parameter value is a premium feature for the "
    "TIME_SERIES_DAILY endpoint. You may subscribe to any of the premium plans at https://www.alphavantage.co/premium/"
)
_INVALID = "Invalid API call. Please retry or visit the documentation (https://www.alphavantage.co/documentation/)."
_KEY = (
    "the parameter apikey is invalid or missing. Please claim your free API key on "
    "(https://www.alphavantage.co/support/#api-key). It should take less than 20 seconds."
)


class AlphaVantageStandin(HttpStandin):
    """`key` is the only one it takes; a `premium` one gets adjusted bars and ``outputsize=full``.

    Attributes
    ----------
    cap : int
        Requests it answers before the daily limit; they are counted from the first.
    say : {"", "cap", "burst", "note", "premium"}
        What it answers to everything, until it is set back.
    """

    def __init__(self, truth: Truth, *, key: str = "demo-key", premium: bool = False) -> None:
        super().__init__()
        self.truth, self.key, self.premium = truth, key, premium
        self.cap = 10**6
        self.say = ""

    def answer(self, question: Question) -> Any:
        query = question.query
        if self.say or len(self.requests) > self.cap:
            text = {"cap": _CAP, "burst": _BURST, "premium": _PREMIUM}.get(self.say or "cap", _NOTE)
            return 200, {"Note" if self.say == "note" else "Information": text.format(key=query.get("apikey"))}
        if query.get("apikey") != self.key:
            return 200, {"Error Message": _KEY}
        function = query.get("function", "")
        listing = self.truth.listings.get(query.get("symbol", ""))
        if function == "GLOBAL_QUOTE":
            return 200, {"Global Quote": {} if listing is None else _quote(listing)}
        if listing is None or not hasattr(self, f"_{function.lower()}"):
            return 200, {"Error Message": _INVALID}
        return getattr(self, f"_{function.lower()}")(listing, query)

    def _time_series_daily(self, listing: Any, query: dict[str, str]) -> Any:
        if query.get("outputsize") == "full" and not self.premium:
            return 200, {"Information": _FULL}
        rows = _sized(listing.as_traded(), query)
        series = {f"{at:%Y-%m-%d}": _strings(row) for at, row in rows[::-1].iterrows()}
        return 200, {"Meta Data": _meta(listing, rows, query, 5), "Time Series (Daily)": series}

    def _time_series_daily_adjusted(self, listing: Any, query: dict[str, str]) -> Any:
        if not self.premium:
            return 200, {"Information": _PREMIUM}
        rows = _sized(listing.as_traded(), query)
        adjusted = listing.adjusted_close()
        series = {}
        for at, row in rows[::-1].iterrows():
            split, paid = listing.splits.get(at, 1.0), listing.dividends.get(at, 0.0)
            for day, ratio in listing.splits.items():
                paid *= ratio if at < day else 1.0
            series[f"{at:%Y-%m-%d}"] = _strings(row, 4) | {
                "5. adjusted close": repr(float(adjusted[at])), "6. volume": f"{row['volume']:.0f}",
                "7. dividend amount": f"{paid:.4f}", "8. split coefficient": f"{split:.1f}",
            }  # fmt: skip
        return 200, {"Meta Data": _meta(listing, rows, query, 5), "Time Series (Daily)": series}

    def _earnings(self, listing: Any, query: dict[str, str]) -> Any:
        """Of the last eight quarters, each reported on a session of its own, the next one still to come."""
        days = listing.daily.index[::-63][:8]
        quarters = [
            {"fiscalDateEnding": f"{day - pd.Timedelta(days=30):%Y-%m-%d}", "reportedDate": f"{day:%Y-%m-%d}",
             "reportedEPS": f"{1.5 + at / 10:.2f}", "estimatedEPS": "1.40", "surprise": f"{0.1 + at / 10:.2f}",
             "surprisePercentage": f"{(10 + 10 * at) / 1.4:.4f}", "reportTime": "post-market"}
            for at, day in enumerate(days)
        ]  # fmt: skip
        coming = quarters[0] | {"reportedDate": "2099-01-31", "reportedEPS": "None", "surprise": "None"}
        annual = [{"fiscalDateEnding": "2022-09-30", "reportedEPS": "6.11"}]
        return 200, {"symbol": listing.symbol, "annualEarnings": annual, "quarterlyEarnings": [coming, *quarters]}

    def _time_series_intraday(self, listing: Any, query: dict[str, str]) -> Any:
        rows = _sized(listing.minutes, query)
        local = rows.set_axis(rows.index.tz_convert("US/Eastern"))
        series = {f"{at:%Y-%m-%d %H:%M:%S}": _strings(row) for at, row in local[::-1].iterrows()}
        return 200, {"Meta Data": _meta(listing, rows, query, 6), "Time Series (1min)": series}


def _sized(rows: pd.DataFrame, query: dict[str, str]) -> pd.DataFrame:
    return rows if query.get("outputsize") == "full" else rows[-100:]


def _strings(row: pd.Series, places: int = 5) -> dict[str, str]:
    texts = {"open": ".4f", "high": ".4f", "low": ".4f", "close": ".4f", "volume": ".0f"}
    return {f"{i}. {name}": format(row[name], texts[name]) for i, name in enumerate(list(texts)[:places], 1)}


def _meta(listing: Any, rows: pd.DataFrame, query: dict[str, str], last: int) -> dict[str, str]:
    intraday = {"Interval": "1min"} if last == 6 else {}
    size = "Full size" if query.get("outputsize") == "full" else "Compact"
    about = {"Information": "Prices", "Symbol": listing.symbol, "Last Refreshed": f"{rows.index[-1]:%Y-%m-%d}",
             **intraday, "Output Size": size, "Time Zone": "US/Eastern"}  # fmt: skip
    return {f"{i}. {name}": value for i, (name, value) in enumerate(about.items(), 1)}


def _quote(listing: Any) -> dict[str, str]:
    last, before = listing.daily.iloc[-1], listing.daily.iloc[-2]
    return {
        "01. symbol": listing.symbol, "02. open": f"{last['open']:.4f}", "03. high": f"{last['high']:.4f}",
        "04. low": f"{last['low']:.4f}", "05. price": f"{last['close']:.4f}", "06. volume": f"{last['volume']:.0f}",
        "07. latest trading day": f"{listing.daily.index[-1]:%Y-%m-%d}", "08. previous close": f"{before['close']:.4f}",
        "09. change": f"{last['close'] - before['close']:.4f}",
        "10. change percent": f"{100 * (last['close'] / before['close'] - 1):.4f}%",
    }  # fmt: skip
