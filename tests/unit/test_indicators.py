import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import UnknownChoiceError, UsageError
from quantkit.core.indicators import INDICATORS, bollinger_bands, ema, indicators, macd, relative_strength_index, vwap


def series(values) -> pd.Series:
    index = pd.date_range("2024-01-01", periods=len(values), tz="UTC", unit="us")
    return pd.Series(np.asarray(values, dtype=float), index=index)


@pytest.fixture(scope="module")
def walk() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 400)))
    index = pd.date_range("2024-01-02 14:30", periods=400, freq="1min", tz="UTC", unit="us")
    bars = pd.DataFrame(
        {"open": close, "high": close * 1.001, "low": close * 0.999, "close": close,
         "volume": rng.integers(0, 500, 400).astype(float), "adj_close": close}, index=index,
    )  # fmt: skip
    bars.attrs.update(interval="1m", calendar="XNYS")
    return bars


def test_rsi_is_that_of_a_published_example():
    # StockCharts ChartSchool, "Relative Strength Index (RSI)", the spreadsheet's first 15 days and what follows.
    close = series([44.34, 44.09, 44.15, 43.61, 44.33, 44.83, 45.10, 45.42, 45.84, 46.08, 45.89, 46.03, 45.61, 46.28,
                    46.28, 46.00, 46.03, 46.41, 46.22, 45.64])  # fmt: skip
    found = relative_strength_index(close)
    assert found.iloc[:14].isna().all()
    # Its prices are printed rounded to the cent, its results are not computed from the rounded ones.
    np.testing.assert_allclose(found.iloc[14:], [70.53, 66.32, 66.55, 69.41, 66.36, 57.97], atol=0.12)


def test_rsi_of_one_direction_and_of_none():
    assert relative_strength_index(series(np.arange(1.0, 40.0))).iloc[-1] == 100.0
    assert relative_strength_index(series(np.arange(40.0, 1.0, -1.0))).iloc[-1] == 0.0
    assert relative_strength_index(series(np.full(40, 5.0))).iloc[-1] == 50.0


def test_ema_is_its_recursion_and_macd_the_difference_of_two(walk):
    close = walk["close"]
    mean = close.iloc[0]
    for value in close.iloc[1:]:
        mean += 2.0 / 13.0 * (value - mean)
    assert ema(close, 12).iloc[-1] == pytest.approx(mean, rel=1e-12)
    found = macd(close)
    np.testing.assert_allclose(found["macd"], ema(close, 12) - ema(close, 26))
    np.testing.assert_allclose(found["histogram"], found["macd"] - found["signal"])
    assert found["signal"].first_valid_index() == close.index[25 + 8]


def test_bands_hold_their_window(walk):
    last = walk["close"].iloc[-20:]
    bands = bollinger_bands(walk["close"]).iloc[-1]
    assert bands["middle"] == pytest.approx(last.mean())
    assert bands["upper"] - bands["lower"] == pytest.approx(4.0 * last.std(ddof=0))


def test_vwap_begins_anew_with_every_session(walk):
    second = walk.set_axis(walk.index + pd.Timedelta(days=1))
    both = pd.concat([walk, second])
    found = vwap(both, "XNYS").to_numpy()
    np.testing.assert_allclose(found[400:], vwap(walk, "XNYS").to_numpy())
    typical = (walk["high"] + walk["low"] + walk["close"]) / 3.0
    assert found[399] == pytest.approx(np.average(typical, weights=walk["volume"]))


@pytest.mark.parametrize("name", list(INDICATORS))
def test_the_future_changes_nothing_before_it(walk, name):
    broken = walk.copy()
    broken.iloc[300:] *= np.random.default_rng(0).uniform(0.1, 9.0, (100, 6))
    before, after = (indicators(bars, [name]).iloc[:300] for bars in (walk, broken))
    pd.testing.assert_frame_equal(before, after, check_exact=True)
    assert after.iloc[-1].notna().all()


def test_columns_say_what_they_are_and_the_unknown_is_refused(walk):
    assert list(indicators(walk, ["sma20", "macd", "sma20"])) == ["sma20", "macd.macd", "macd.signal", "macd.histogram"]
    with pytest.raises(UnknownChoiceError, match="unknown indicator 'sma21'"):
        indicators(walk, ["sma21"])
    walk = walk.copy()
    walk.attrs = {"interval": "1d"}
    with pytest.raises(UsageError, match="vwap counts from a session's first bar"):
        indicators(walk, ["vwap"])
