"""Candles of a million bars beside pandas' groupby, and the kernel's part of moving in such a chart, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from quantkit.ui import CandleChart
from quantkit.ui.charts.aggregate import BarColumns, aggregate, bars_per_candle

Row = dict[str, Any]

BARS = 1_000_000
CANDLES = 800
REPEATS = 7
#: Seconds that DESIGN.md section 11 allows the Python side of a zoom or pan.
BUDGET = 0.030


def minutes(count: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    close = 100 * np.exp(random.normal(0, 1e-4, count).cumsum())
    index = pd.date_range("2015-01-05", periods=count, freq="min", tz="UTC", name="time").as_unit("us")
    columns = {"open": close * random.uniform(0.999, 1.001, count), "high": close * 1.002, "low": close * 0.998}
    volume = random.integers(0, 10**6, count).astype(float)
    bars = pd.DataFrame({**columns, "close": close, "volume": volume, "adj_close": close}, index=index)
    bars.attrs = {"symbol": "BULK", "interval": "1m", "calendar": "24/7", "currency": "USD"}
    return bars


def typical(what: Callable[[], Any], *, repeats: int = REPEATS) -> float:
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        what()
        taken.append(time.perf_counter() - began)
    return median(taken)


def run() -> list[Row]:
    bars = minutes(BARS)
    columns = BarColumns.from_frame(bars)
    size = bars_per_candle(BARS, CANDLES)
    said = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    ours = typical(lambda: aggregate(columns, size=size))
    peer = typical(lambda: bars.groupby(np.arange(BARS) // size).agg(said), repeats=3)

    chart = CandleChart(bars, period="max")
    chart.show(BARS / 2, BARS * 0.75)
    steps = iter(np.linspace(BARS * 0.10, BARS * 0.70, REPEATS))
    pan = typical(lambda: chart.show(start := next(steps), start + BARS / 4))
    widths = iter(BARS * 0.7 ** np.arange(1, 1 + REPEATS))
    zoom = typical(lambda: chart.show(0, next(widths)))
    load = typical(lambda: chart.update(bars, period="max"), repeats=3)
    rows = [
        ("1M bars to 800 candles (peer: pandas groupby)", ours, peer, None),
        ("pan step over 1M bars, kernel side", pan, None, BUDGET),
        ("zoom step over 1M bars, kernel side", zoom, None, BUDGET),
        ("1M bars taken in and drawn, kernel side", load, None, None),
    ]
    return [
        {"what": what, "ours": mine, "peer": other, "ratio": mine / other if other else None, "budget": budget,
         "unit": "s"}
        for what, mine, other, budget in rows
    ]  # fmt: skip
