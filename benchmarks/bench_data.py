"""Normalising and cleaning a million rows beside pandas.read_json parsing the same answer, interleaved in one run; and
what a refresh of many symbols asks of a vendor, counted by a stand-in of it.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from quantkit.data.base import HistoryQuery
from quantkit.data.cleaning import clean
from quantkit.data.massive import MassiveProvider
from quantkit.data.yahoo import YahooProvider
from quantkit.settings import Settings

ROWS = 1_000_000
SYMBOLS = 100
REPEATS = 3


def minutes(count: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    index = pd.date_range("2015-01-01", periods=count, freq="1min", tz="UTC", unit="us")
    close = np.round(100 * np.exp(random.normal(0, 1e-4, count).cumsum()), 2)
    return pd.DataFrame(
        {"open": close, "high": close * 1.001, "low": close * 0.999, "close": close,
         "volume": random.integers(1, 10**6, count).astype(float)},
        index=index,
    )  # fmt: skip


def yahoo_raw(bars: pd.DataFrame) -> Any:
    quote = {name: bars[name].tolist() for name in bars.columns}
    meta = {"currency": "USD", "symbol": "BTC-USD", "exchangeTimezoneName": "UTC"}
    return [{"meta": meta, "timestamp": (bars.index.asi8 // 1_000_000).tolist(), "indicators": {"quote": [quote]}}]


def massive_raw(bars: pd.DataFrame) -> Any:
    millis = (bars.index.asi8 // 1000).tolist()
    columns = [bars[name].tolist() for name in ("open", "high", "low", "close", "volume")]
    rows = [
        {"v": v, "vw": c, "o": o, "c": c, "h": h, "l": low, "t": t, "n": 100}
        for t, o, h, low, c, v in zip(millis, *columns, strict=True)
    ]
    return {"bars": rows}


def run() -> list[dict[str, Any]]:
    bars = minutes(ROWS)
    found = []
    with tempfile.TemporaryDirectory() as home:
        settings = Settings.load(home=Path(home))
        for provider, raw, parsed in (
            (YahooProvider(settings), yahoo_raw(bars), lambda raw: {**raw[0]["indicators"]["quote"][0],
                                                                    "timestamp": raw[0]["timestamp"]}),
            (MassiveProvider(settings), massive_raw(bars), lambda raw: raw["bars"]),
        ):  # fmt: skip
            text = json.dumps(parsed(raw))
            query = HistoryQuery("BTC-USD", "1m")
            ours, peer = [], []
            for _ in range(REPEATS):
                began = time.perf_counter()
                extract = provider.normalise(raw, query)
                cleaned = clean(extract.bars, symbol="BTC-USD", interval="1m", calendar="24/7", source="bench")
                ours.append(time.perf_counter() - began)
                assert len(cleaned.bars) == ROWS
                began = time.perf_counter()
                pd.read_json(io.StringIO(text))
                peer.append(time.perf_counter() - began)
            what = f"{provider.name}: normalise and clean {ROWS:,} minutes / pandas.read_json parsing them"
            found.append(
                {"what": what, "ours": median(ours), "peer": median(peer), "ratio": median(ours) / median(peer),
                 "budget": 0.5, "unit": "s"}
            )  # fmt: skip
    return [*found, *refresh()]


def refresh() -> list[dict[str, Any]]:
    """Requests for symbols that are up to date, and for the same after one more session."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from standins import Truth
    from standins.yahoo import YahooStandin

    from quantkit import Desk
    from quantkit.data.pacing import Limit

    symbols = [f"S{number}" for number in range(SYMBOLS)]
    last = pd.Timestamp("2026-06-30", tz="UTC")
    truth = Truth.of(*symbols, sessions=250, last=last, minutes=1)
    asked, seconds = [0], []
    with tempfile.TemporaryDirectory() as home, YahooStandin(truth) as yahoo:
        settings = Settings.load(home=Path(home), provider="yahoo", yahoo_url=yahoo.url)
        with patch.object(YahooProvider, "limits", lambda _: (Limit(10_000, 1),)), Desk.open(settings) as desk:
            for days in (0, 0, 1):
                if days:
                    for listing in truth.listings.values():
                        listing.grow(days)
                    last += pd.Timedelta(days=days)
                desk.market.upkeep.now = lambda last=last: last + pd.Timedelta(hours=26)
                began = time.perf_counter()
                for symbol in symbols:
                    desk.history(symbol)
                seconds.append(time.perf_counter() - began)
                asked.append(yahoo.asked())
    _, first, fresh, grown = np.diff([0, *asked])
    return [
        {"what": f"vendor calls of a refresh: {SYMBOLS} symbols up to date / their first fetch", "ours": float(fresh),
         "peer": float(first), "ratio": fresh / first, "budget": 0.0, "unit": "calls"},
        {"what": f"vendor calls of a refresh: {SYMBOLS} symbols that lack a session / symbols", "ours": float(grown),
         "peer": float(SYMBOLS), "ratio": grown / SYMBOLS, "budget": 1.0, "unit": "calls"},
        {"what": f"a refresh of {SYMBOLS} symbols up to date / their first fetch from loopback", "ours": seconds[1],
         "peer": seconds[0], "ratio": seconds[1] / seconds[0], "budget": None, "unit": "s"},
    ]  # fmt: skip


if __name__ == "__main__":
    for each in run():
        print(each)
