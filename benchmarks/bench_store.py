"""The store beside pandas.read_sql on the same table and columns, interleaved in one run."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from quantkit.core.schema import BAR_COLUMNS
from quantkit.data.store import Store
from quantkit.settings import Settings

Row = dict[str, Any]

BULK = 1_000_000
DAILY = 8_000
REPEATS = 5


def bars_of(count: int, step: str) -> pd.DataFrame:
    random = np.random.default_rng(0)
    close = 100 * np.exp(random.normal(0, 1e-4, count).cumsum())
    index = pd.date_range("1990-01-01", periods=count, freq=step, unit="us", tz="UTC", name="time")
    columns = {
        "open": close * random.uniform(0.999, 1.001, count),
        "high": close * 1.002,
        "low": close * 0.998,
        "close": close,
        "volume": random.integers(0, 10**6, count).astype(float),
        "adj_close": close * 0.9,
    }
    return pd.DataFrame(columns, index=index)


def seconds(what: Callable[[], Any]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def row(what: str, ours: float, peer: float, budget: float | None) -> Row:
    return {"what": what, "ours": ours, "peer": peer, "ratio": ours / peer, "budget": budget, "unit": "s"}


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as home:
        settings = Settings.load(home=Path(home))
        with Store.open(settings) as store:
            bulk, daily = bars_of(BULK, "1min"), bars_of(DAILY, "1D")
            writing = [
                write_beside_to_sql(store, home, "BULK", "1m", bulk, 1),
                write_beside_to_sql(store, home, "DAILY", "1d", daily, REPEATS),
            ]
            reading = [
                read_beside_read_sql(store, settings, "BULK", "1m", bulk, 0.3),
                read_beside_read_sql(store, settings, "DAILY", "1d", daily, None),
                read_one_version_of_each(store, settings),
            ]
        opening = median(seconds(lambda: Store.open(settings).close()) for _ in range(REPEATS))
        connecting = median(seconds(lambda: _connect(settings)) for _ in range(REPEATS))
    return [
        *reading,
        *writing,
        row("open an existing store / sqlite3.connect and one query", opening, connecting, None),
    ]


def read_beside_read_sql(
    store: Store, settings: Settings, symbol: str, interval: Any, bars: pd.DataFrame, budget: float | None
) -> Row:
    columns = ", ".join(("time", *BAR_COLUMNS))
    query = f"SELECT {columns} FROM bars WHERE symbol = ? AND interval = ? ORDER BY time"  # noqa: S608
    ours, peer = [], []
    connection = sqlite3.connect(settings.database)
    pd.testing.assert_frame_equal(store.bars(symbol, interval), bars, check_exact=True, check_freq=False)
    for _ in range(REPEATS):
        ours.append(seconds(lambda: store.bars(symbol, interval)))
        peer.append(seconds(lambda: pd.read_sql(query, connection, params=(symbol, interval))))
    connection.close()
    return row(f"store: read {len(bars):,} bars / pandas.read_sql", median(ours), median(peer), budget)


def read_one_version_of_each(store: Store, settings: Settings) -> Row:
    """Reading as of a day goes row by row: the columnar blocks hold what stands now."""
    columns = ", ".join(("time", *BAR_COLUMNS))
    query = f"SELECT {columns} FROM bars WHERE symbol = 'BULK' AND known_at <= ? ORDER BY time"  # noqa: S608
    now = pd.Timestamp.now("UTC")
    connection = sqlite3.connect(settings.database)
    ours = [seconds(lambda: store.bars("BULK", "1m", as_of=now)) for _ in range(2)]
    peer = [seconds(lambda: pd.read_sql(query, connection, params=(2**62,))) for _ in range(2)]
    connection.close()
    return row(f"store: read {BULK:,} bars as of now / pandas.read_sql", min(ours), min(peer), None)


def write_beside_to_sql(store: Store, home: str, symbol: str, interval: Any, bars: pd.DataFrame, repeats: int) -> Row:
    ours, peer = [], []
    connection = sqlite3.connect(Path(home) / "peer.db")
    connection.execute("PRAGMA journal_mode=WAL")
    for repeat in range(repeats):
        name = symbol if repeat == 0 else f"{symbol}{repeat}"
        ours.append(seconds(lambda name=name: store.put_bars(name, interval, bars, source="benchmark")))
        plain = bars.reset_index().assign(symbol=name, interval=interval, source="benchmark")
        peer.append(seconds(lambda plain=plain: plain.to_sql("bars", connection, if_exists="append", index=False)))
    connection.close()
    return row(f"store: merge {len(bars):,} new bars / DataFrame.to_sql, no key", median(ours), median(peer), None)


def _connect(settings: Settings) -> None:
    connection = sqlite3.connect(settings.database)
    connection.execute("SELECT count(*) FROM meta").fetchone()
    connection.close()


if __name__ == "__main__":
    for each in run():
        print(each)
