"""Many bars to few candles."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.core.errors import UsageError
from quantkit.ui.charts.aggregate import BarColumns, aggregate, bars_per_candle


def random_bars(count: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    prices = 100 * np.exp(random.normal(0, 0.01, (count, 4)).cumsum(axis=0))
    index = pd.date_range("2000-01-03", periods=count, freq="min", tz="UTC", name="time").as_unit("us")
    columns = {"open": prices[:, 0], "high": prices.max(axis=1), "low": prices.min(axis=1), "close": prices[:, 3]}
    volume = random.integers(0, 1000, count).astype(float)
    return pd.DataFrame({**columns, "volume": volume, "adj_close": prices[:, 3]}, index=index)


def grouped(bars: pd.DataFrame, size: int) -> pd.DataFrame:
    """The same in pandas: groups of `size` bars counted from the first."""
    groups = bars.groupby(np.arange(len(bars)) // size)
    said = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    return groups.agg(said)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 400), size=st.integers(1, 60), seed=st.integers(0, 99), data=st.data())
def test_candles_are_the_groups_that_pandas_makes(count: int, size: int, seed: int, data: st.DataObject) -> None:
    bars = random_bars(count, seed)
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count))
    candles = aggregate(BarColumns.from_frame(bars), start, stop, size=size)
    expected = grouped(bars, size).iloc[start // size : -(-stop // size)]
    for name in ("open", "high", "low", "close"):
        assert np.array_equal(getattr(candles, name), expected[name].to_numpy())
    np.testing.assert_allclose(candles.volume, expected["volume"].to_numpy(), rtol=1e-12)
    assert candles.first[0] <= start
    assert candles.last[-1] >= stop - 1


@settings(max_examples=100, deadline=None)
@given(bars=st.integers(1, 3_000_000), limit=st.integers(2, 2000), offset=st.integers(0, 10_000))
def test_there_are_never_more_candles_than_asked_wherever_the_range_begins(bars: int, limit: int, offset: int) -> None:
    size = bars_per_candle(bars, limit)
    assert -(-(offset + bars) // size) - offset // size <= limit


def test_candles_keep_their_bars_while_one_pans() -> None:
    columns = BarColumns.from_frame(random_bars(1000))
    here, there = aggregate(columns, 100, 500, size=7), aggregate(columns, 203, 603, size=7)
    common = np.intersect1d(here.position, there.position)
    assert len(common) > 30
    for name in ("open", "high", "low", "close", "volume"):
        at_here, at_there = np.isin(here.position, common), np.isin(there.position, common)
        assert np.array_equal(getattr(here, name)[at_here], getattr(there, name)[at_there])


def test_candles_are_evenly_spaced_also_where_the_last_is_incomplete() -> None:
    candles = aggregate(BarColumns.from_frame(random_bars(103)), size=10)
    assert len(candles) == 11
    assert np.array_equal(np.unique(np.diff(candles.position)), [10.0])
    assert candles.last[-1] == 102


def test_what_is_missing_is_drawn_from_the_close_so_that_no_mark_goes_blank() -> None:
    bars = random_bars(20)
    bars.loc[bars.index[5], ["open", "high", "low", "volume"]] = np.nan
    bars.loc[bars.index[9], "high"] = np.nan
    columns = BarColumns.from_frame(bars)
    top = np.maximum.reduce([columns.open, columns.low, columns.close])
    assert np.isfinite([columns.open, columns.high, columns.low, columns.volume]).all()
    assert (columns.high >= top).all()
    assert not columns.quoted[5]
    assert columns.quoted[9]


def test_an_empty_range_makes_no_candles() -> None:
    columns = BarColumns.from_frame(random_bars(10))
    assert len(aggregate(columns, 10, 12, size=3)) == 0
    assert len(aggregate(columns, 4, 4)) == 0


def test_a_chart_of_one_candle_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 2"):
        bars_per_candle(10, 1)


def test_a_million_bars_become_candles_within_the_budget() -> None:
    columns = BarColumns.from_frame(random_bars(1_000_000))
    size = bars_per_candle(len(columns), 800)
    aggregate(columns, size=size)
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        candles = aggregate(columns, size=size)
        taken.append(time.perf_counter() - began)
    assert len(candles) <= 800
    print(f"1,000,000 bars to {len(candles)} candles: {min(taken) * 1000:.1f} ms")
