"""A vendor that knows the truth: trades as a function of time, streamed and kept as history, on a quick clock.

Run as a program it is `quantkit collect --stream` on that vendor, in a process that can be killed.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from quantkit.core.errors import VendorDownError
from quantkit.data.base import PROVIDERS, Extract, HistoryQuery, Instrument, StreamEvent

FIRST = int(pd.Timestamp("2022-06-14 13:30", tz="UTC").timestamp()) * 1_000_000
MINUTE = 60_000_000
STEP = 7_000_000  # between two trades of a symbol
SYMBOLS = ("MSFT", "AAPL")


@lru_cache(maxsize=4)
def trades(symbol: str, count: int = 100_000) -> pd.DataFrame:
    """Every trade there will ever be: time, when it arrives, price, size, the day's volume with it.

    Half an hour of ours on a clock three hundred times as quick: fifty kills on a busy machine take that long.
    """
    random = np.random.default_rng(SYMBOLS.index(symbol))
    time = FIRST + STEP * np.arange(count) + random.integers(0, STEP // 2, count)
    late = np.where(random.uniform(size=count) < 0.1, random.integers(0, 12_000_000, count), 0)
    size = random.integers(1, 1000, count).astype(float)
    price = np.round(100 * np.exp(random.normal(0, 1e-3, count).cumsum()), 2)
    return pd.DataFrame({"time": time, "arrives": time + late, "price": price, "size": size, "day": size.cumsum()})


def minutes(symbol: str, until: int) -> pd.DataFrame:
    """The bars that all trades before `until` make."""
    held = trades(symbol)
    held = held[held["time"] < until]
    grouped = held.groupby(held["time"] // MINUTE * MINUTE)
    bars = grouped["price"].agg(["first", "max", "min", "last"]).set_axis(["open", "high", "low", "close"], axis=1)
    bars["volume"] = grouped["size"].sum()
    bars["adj_close"] = np.nan
    bars.index = pd.DatetimeIndex(bars.index.to_numpy().view("M8[us]"), name="time").tz_localize("UTC")
    return bars


class Truth:
    """`born` is this machine's time at which the vendor's clock stood at ``FIRST``, `speed` how fast that one runs."""

    name = "truth"
    status = "live"

    def __init__(self, settings: object = None, *, born: float | None = None, speed: float | None = None) -> None:
        self.born = float(os.environ["TRUTH_BORN"]) if born is None else born
        self.speed = float(os.environ["TRUTH_SPEED"]) if speed is None else speed
        self.connections = 0
        self.asked: list[HistoryQuery] = []
        self.breaks_after: float | None = None  # seconds of a connection
        self.broken = threading.Event()

    def clock(self) -> int:
        return FIRST + int((time.time() - self.born) * self.speed * 1e6)

    def catalogue(self) -> list[Instrument]:
        return [Instrument(symbol, symbol, "USD", "XNYS", "truth", intervals=("1m",)) for symbol in SYMBOLS]

    def build(self, query: HistoryQuery) -> HistoryQuery:
        return query

    def extract(self, request: HistoryQuery) -> pd.DataFrame:
        self.asked.append(request)
        bars = minutes(request.symbol, self.clock())
        return bars if request.start is None else bars.loc[request.start :]

    def normalise(self, raw: pd.DataFrame, query: HistoryQuery) -> Extract:
        (instrument,) = (each for each in self.catalogue() if each.symbol == query.symbol)
        return Extract(instrument, raw)

    def stream(self, symbols: Sequence[str], *, stop: threading.Event) -> Iterator[StreamEvent | None]:
        self.connections += 1
        connected, began = self.clock(), time.monotonic()
        coming = pd.concat([trades(symbol).assign(symbol=symbol) for symbol in symbols])
        coming = coming[coming["arrives"] >= connected].sort_values("arrives", kind="stable")
        for row in coming.itertuples():
            while (wait := (row.arrives - self.clock()) / 1e6 / self.speed) > 0:
                if stop.wait(min(wait, 0.5)):
                    return
                if wait > 0.5:
                    yield None
            if self.broken.is_set() or (self.breaks_after and time.monotonic() - began > self.breaks_after):
                raise VendorDownError("truth: the connection broke")
            moment = pd.Timestamp(row.time, unit="us", tz="UTC")
            yield StreamEvent(row.symbol, moment, row.price, size=row.size, day_volume=row.day, source="truth")


PROVIDERS.add("truth")(Truth)

if __name__ == "__main__":
    from quantkit.cli import main

    sys.argv = ["quantkit", "collect", "--stream", "--symbols", ",".join(SYMBOLS)]
    main()
