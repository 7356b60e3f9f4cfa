"""The live path: bars of many symbols from their arrival to a reader in another process, and what that costs.

One collector, its stream in the same process, as fast as 500 symbols send one bar each a second; a reader in another
process asks the store for what moved. Beside it: one transaction for each bar, as a store without batches would write.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from quantkit.data import sql
from quantkit.data.base import StreamBar, StreamEvent
from quantkit.data.collector import Collector
from quantkit.data.live import LiveBar
from quantkit.data.store import Store
from quantkit.settings import Settings

Row = dict[str, Any]

SYMBOLS = tuple(f"S{number:03d}" for number in range(500))
SECONDS = float(os.environ.get("BENCH_LIVE_SECONDS", "30"))
ONE_BY_ONE = 200


class Sends:
    """A stream of one complete bar of each symbol a second; the bar's volume says when it arrived."""

    name, status = "bench", "live"

    def __init__(self, seconds: float) -> None:
        self.seconds, self.sent = seconds, 0

    def catalogue(self) -> list[Any]:
        return []

    def build(self, query: Any) -> Any:
        return query

    extract = build

    def normalise(self, raw: Any, query: Any) -> Any:
        raise NotImplementedError

    def stream(self, symbols: Sequence[str], *, stop: threading.Event) -> Iterator[StreamEvent | None]:
        began, apart = time.monotonic(), 1 / len(symbols)
        minute = pd.Timestamp("2020-01-01", tz="UTC")
        for second in range(int(self.seconds)):
            moment = minute + pd.Timedelta(minutes=second)
            for number, symbol in enumerate(symbols):
                due = began + second + number * apart
                if (wait := due - time.monotonic()) > 0.002:
                    time.sleep(wait)
                if stop.is_set():
                    return
                self.sent += 1
                arrived = float(sql.now())
                yield StreamEvent(symbol, moment, 100.0, bar=StreamBar(100.0, 101.0, 99.0, 100.0, arrived), source="b")


def read(home: str, ready: Any, over: Any, found: Any) -> None:
    """Seconds from each bar's arrival to this process having read it."""
    waited: list[float] = []
    with Store.open(Settings.load(home=home)) as store:
        seq, version = store.last_change(), store.data_version()
        ready.set()
        while not over.is_set():
            if (now := store.data_version()) == version:
                time.sleep(0.005)
                continue
            version = now
            changes = store.changes_since(seq)
            for change in changes[:: max(len(changes) // 5, 1)]:
                bars = store.bars(change.symbol, "1m", start=change.last)
                if len(bars):
                    waited.append((sql.now() - bars["volume"].iloc[-1]) / 1e6)
            if changes:
                seq = changes[-1].seq
    found.put(waited)


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as home:
        settings = Settings.load(home=Path(home))
        with Store.open(settings) as store:
            single = _one_by_one(store)
            waited, cpu, grown, sent, stored = _stream(settings, store)
    p95 = float(np.quantile(waited, 0.95))
    return [
        {"what": f"500 symbols x 1 bar a second for {SECONDS:g} s: arrival to readable elsewhere, p95", "ours": p95,
         "peer": 0.1, "ratio": p95 / 0.1, "budget": 1.0, "unit": "s"},
        {"what": "the same, median", "ours": float(np.median(waited)), "peer": p95, "unit": "s",
         "ratio": float(np.median(waited)) / p95, "budget": None},
        {"what": f"processor's share of the collector for {sent} bars ({stored} stored) / one of two cores",
         "ours": cpu, "peer": SECONDS, "ratio": cpu / SECONDS, "budget": 1.0, "unit": "s"},
        {"what": "a bar in a batch / in a transaction of its own", "ours": cpu / max(sent, 1), "peer": single,
         "ratio": cpu / max(sent, 1) / single, "budget": None, "unit": "s"},
        {"what": "memory at the end / after a third of the time", "ours": grown[1], "peer": grown[0],
         "ratio": grown[1] / grown[0], "budget": 1.1, "unit": "MB"},
    ]  # fmt: skip


def _one_by_one(store: Store) -> float:
    began = time.perf_counter()
    for number in range(ONE_BY_ONE):
        store.live.put([LiveBar("ONE", number * 60_000_000, 1.0, 1.0, 1.0, 1.0, 1.0)], [], source="bench")
    return (time.perf_counter() - began) / ONE_BY_ONE


def _stream(settings: Settings, store: Store) -> tuple[list[float], float, tuple[float, float], int, int]:
    spawn = multiprocessing.get_context("spawn")
    ready, over, found = spawn.Event(), spawn.Event(), spawn.Queue()
    reader = spawn.Process(target=read, args=(str(settings.home), ready, over, found))
    reader.start()
    ready.wait(60)
    provider, me, memory = Sends(SECONDS), psutil.Process(), []
    collector = Collector(settings, store, provider, SYMBOLS, recorded=True)  # type: ignore[arg-type]
    before = sum(me.cpu_times()[:2])
    collecting = threading.Thread(target=collector.stream, args=(threading.Event(),))
    collecting.start()
    began = time.monotonic()
    while collecting.is_alive():
        collecting.join(1.0)
        if time.monotonic() - began > SECONDS / 3:
            memory.append(me.memory_info().rss / 2**20)
    cpu = sum(me.cpu_times()[:2]) - before
    time.sleep(0.3)
    over.set()
    waited = found.get(timeout=60)
    reader.join(60)
    stored = sum((store.bar_range(symbol, "1m") or (0, 0, 0))[2] for symbol in SYMBOLS)
    return waited, cpu, (memory[0], memory[-1]), provider.sent, stored


if __name__ == "__main__":
    for each in run():
        print({key: round(value, 5) if isinstance(value, float) else value for key, value in each.items()})
