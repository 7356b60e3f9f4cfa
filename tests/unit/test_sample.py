import importlib.util
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantkit.core.calendars import on_calendar, sessions_between
from quantkit.core.errors import NoDataError, UnknownSymbolError, UsageError
from quantkit.core.schema import check_bars, is_close_only
from quantkit.data import PROVIDERS, HistoryQuery
from quantkit.data import sample as sample_module
from quantkit.data.cleaning import clean
from quantkit.data.sample import SampleProvider
from quantkit.desk import Desk

FOLDER = Path(sample_module.__file__).parent / "sample"
CANDLES = ("AAPL", "AMZN", "GOOG", "META", "NFLX", "NVDA")
CLOSES = (
    "AMD", "BAC", "BBY", "CVX", "GE", "HD", "JNJ", "JPM", "KO", "LLY", "MRK", "PEP", "PFE", "PG", "RRC", "UNH", "WMT",
    "XOM",
)  # fmt: skip
ALIGNED = [*CANDLES, "MSFT", *CLOSES]
EVERY = [(each.symbol, interval) for each in SampleProvider().catalogue() for interval in each.intervals]


def day(text):
    return pd.Timestamp(text, tz="UTC")


@pytest.fixture(scope="module")
def series():
    provider = SampleProvider()

    def read(symbol, interval="1d", **bounds):
        query = HistoryQuery(symbol, interval, **bounds)
        return provider.normalise(provider.extract(provider.build(query)), query).bars

    return read


@pytest.fixture(scope="module")
def builder():
    path = Path(__file__).parents[2] / "tools" / "build_sample.py"
    if not path.exists():
        pytest.skip("installed without the clone around it")
    spec = importlib.util.spec_from_file_location("build_sample", path)
    module = sys.modules["build_sample"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("symbol", "interval", "rows", "first", "last"),
    [(symbol, "1d", 2699, "2013-01-02", "2023-09-21") for symbol in CANDLES]
    + [(symbol, "1d", 8313, "1990-01-02", "2022-12-28") for symbol in [*CLOSES, "^GSPC"]]
    + [
        ("MSFT", "1d", 9140 + 135, "1986-03-13", "2022-12-28"),
        ("MSFT", "1m", 7440, "2022-05-18 16:00", "2022-06-15 16:29"),
        ("AZN.L", "1m", 9180, "2022-05-19 07:00", "2022-06-15 15:29"),
        ("9988.HK", "1m", 6270, "2022-05-19 01:30", "2022-06-15 07:59"),
    ],
)
def test_every_series_has_the_rows_and_the_range_that_its_source_has(series, symbol, interval, rows, first, last):
    bars = series(symbol, interval)
    assert (len(bars), bars.index[0], bars.index[-1]) == (rows, day(first), day(last))


def test_the_catalogue_is_what_is_on_disk():
    assert len(EVERY) == 29
    files = {(path.stem, path.parent.name) for path in FOLDER.rglob("*.parquet")}
    assert files == set(EVERY)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 1_700_000
    sources = (FOLDER / "SOURCES.md").read_text()
    for symbol, interval in EVERY:
        assert f"| {symbol} | " in sources
        assert f"| {interval} |" in sources


@pytest.mark.parametrize(("symbol", "interval"), EVERY)
def test_every_series_is_whole_on_its_calendar_and_passes_cleaning_untouched(series, symbol, interval):
    bars = series(symbol, interval)
    check_bars(bars, name=symbol)
    calendar = bars.attrs["calendar"]
    if interval == "1d":
        assert bars.index.equals(sessions_between(bars.index[0], bars.index[-1], calendar))
    else:
        assert on_calendar(bars.index, interval="1m", calendar=calendar).all()
    cleaned = clean(bars, symbol=symbol, interval=interval, calendar=calendar, source="sample")
    assert cleaned.bars.equals(bars)
    assert cleaned.bars.index.equals(bars.index)
    assert cleaned.quarantine.empty
    assert cleaned.repairs == {}


def test_25_symbols_align_without_a_gap(series):
    adjusted = pd.DataFrame({symbol: series(symbol)["adj_close"] for symbol in ALIGNED})
    adjusted = adjusted.loc[day("2013-01-02") : day("2022-12-28")]
    assert adjusted.shape == (2516, 25)
    assert adjusted.notna().all(axis=None)
    assert series("^GSPC").index.intersection(adjusted.index).equals(adjusted.index)


def test_adjusted_closes_meet_the_close_at_the_end_and_move_like_the_market(series):
    index = series("^GSPC")["close"].pct_change()
    for symbol in ALIGNED:
        bars = series(symbol)
        assert bars["adj_close"].iloc[-1] == pytest.approx(bars["close"].iloc[-1], rel=1e-12)
        assert bars["adj_close"].pct_change().corr(index) > 0.2, symbol
    aapl = series("AAPL")
    assert aapl["close"].pct_change().abs().max() < 0.2, "the 4:1 split of 2020 is applied"
    assert aapl["adj_close"].iloc[0] / aapl["close"].iloc[0] == pytest.approx(0.8563, abs=1e-4)
    assert series("AMZN")["adj_close"].equals(series("AMZN")["close"].rename("adj_close"))


def test_minutes_end_their_sessions_where_the_daily_bars_do(series):
    minutes, daily = series("MSFT", "1m"), series("MSFT")
    by_day = minutes.groupby(minutes.index.normalize())
    whole = by_day.size()[lambda count: count == 390].index
    assert len(whole) == 18
    assert whole[-1] == day("2022-06-14")
    apart = (by_day["close"].last() / daily["close"] - 1).loc[whole].abs()
    assert apart.max() < 0.00075
    assert (by_day["high"].max()[whole] <= daily["high"][whole] * 1.0005).all()
    assert (minutes["volume"] == 0).sum() == 12
    assert minutes["adj_close"].isna().all()


def test_microsofts_last_closes_are_whole_cents_that_only_dividends_part_from_the_adjusted(series):
    bars = series("MSFT")
    tail = bars.loc[day("2022-06-16") :]
    assert tail[["open", "high", "low", "volume"]].isna().all(axis=None)
    assert bars.loc[: day("2022-06-15"), ["open", "high", "low", "volume"]].notna().all(axis=None)
    cents = tail["close"] * 100
    assert (cents - cents.round()).abs().max() < 1e-9
    factor = tail["adj_close"] / tail["close"]
    stretches = [
        factor[: day("2022-08-16")],
        factor[day("2022-08-17") : day("2022-11-15")],
        factor[day("2022-11-16") :],
    ]
    assert all(np.ptp(stretch) < 2 * 0.0006 / 210 for stretch in stretches)
    dividends = [
        (1 - before.median() / after.median()) * bars["close"].asof(after.index[0] - pd.Timedelta(days=1))
        for before, after in pairwise(stretches)
    ]
    assert dividends == pytest.approx([0.62, 0.68], abs=0.002)


def test_the_recovery_of_quoted_closes_gives_back_the_shipped_ones(series, builder, capsys):
    bars = series("MSFT")
    # 233.434 is skfolio's last value; its series has three decimals.
    adjusted = (bars["adj_close"] * (233.434 / bars["close"].iloc[-1])).loc[day("2013-01-02") :].round(3)
    recovered = builder.quoted_closes(adjusted, bars.loc[: day("2022-06-15"), "close"])
    assert recovered.equals(bars.loc[day("2022-06-16") :, "close"].rename(None))
    wrong = bars.loc[: day("2022-06-15"), "close"] * 1.001
    with pytest.raises(SystemExit, match="differ"):
        builder.quoted_closes(adjusted, wrong)


@pytest.mark.parametrize(("symbol", "interval"), [("AAPL", "1d"), ("MSFT", "1d"), ("^GSPC", "1d"), ("AZN.L", "1m")])
def test_the_build_script_writes_the_shipped_bytes_again(series, builder, symbol, interval):
    assert builder.encode(series(symbol, interval)) == (FOLDER / interval / f"{symbol}.parquet").read_bytes()


def test_instruments_say_what_the_numbers_cannot():
    known = {each.symbol: each for each in SampleProvider().catalogue()}
    assert list(known) == sorted(known)
    assert (known["AAPL"].name, known["AAPL"].currency, known["AAPL"].calendar) == ("Apple", "USD", "XNYS")
    assert (known["AZN.L"].currency, known["AZN.L"].calendar, known["AZN.L"].intervals) == ("GBX", "XLON", ("1m",))
    assert (known["9988.HK"].currency, known["9988.HK"].calendar) == ("HKD", "XHKG")
    assert known["^GSPC"].name == "S&P 500"
    assert {symbol for symbol, each in known.items() if each.price_basis == "adjusted"} == set(CLOSES)
    assert known["MSFT"].intervals == ("1d", "1m")
    assert all(each.source == "sample" for each in known.values())
    json.dumps([each.name for each in known.values()])


def test_bounds_are_included_and_attributes_travel(series):
    bars = series("AAPL", start=day("2023-09-18"), end=day("2023-09-20"))
    assert [f"{time:%F}" for time in bars.index] == ["2023-09-18", "2023-09-19", "2023-09-20"]
    assert bars.attrs["symbol"] == "AAPL"
    assert bars.attrs["source"] == "sample"
    assert is_close_only(series("^GSPC"))
    assert not is_close_only(series("MSFT"))


def test_an_unknown_symbol_is_named_with_its_nearest_and_with_how_to_get_it():
    provider = PROVIDERS["sample"](None)
    with pytest.raises(UnknownSymbolError) as error:
        provider.build(HistoryQuery("TSLA"))
    assert "TSLA is not in the sample; QUANTKIT_PROVIDER=yahoo make run fetches it" in str(error.value)
    for asked, offered in (("APPL", "AAPL (Apple)"), ("GOOGL", "GOOG (Alphabet)"), ("NETFLIX", "NFLX (Netflix)")):
        with pytest.raises(UnknownSymbolError) as error:
            provider.build(HistoryQuery(asked))
        assert offered in str(error.value)
    with pytest.raises(UsageError, match="not a symbol"):
        provider.build(HistoryQuery("../../etc/passwd"))


def test_an_interval_that_a_symbol_lacks_is_refused_with_those_that_have_it():
    with pytest.raises(NoDataError, match=r"AAPL has no 1m bars in the sample, only 1d; .*9988.HK, AZN.L, MSFT"):
        SampleProvider().build(HistoryQuery("AAPL", "1m"))


def test_what_there_is_is_known_before_a_bar_is_read_and_is_what_is_stored_then(tmp_path):
    with Desk.open(home=tmp_path) as desk:
        before = desk.symbols().set_index("symbol")
        for symbol, row in before.iterrows():
            bars = desk.history(symbol, period="max", interval=row["intervals"].split(", ")[0])
            assert (row["first"], row["last"]) == (bars.index[0], bars.index[-1])
        pd.testing.assert_frame_equal(desk.symbols().set_index("symbol"), before)
