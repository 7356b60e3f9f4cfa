import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantkit.core.errors import DataError, UnknownSymbolError, UsageError
from quantkit.core.schema import check_bars, is_close_only
from quantkit.data import PROVIDERS, HistoryQuery
from quantkit.data.files import import_file, read_table, write_table
from quantkit.data.sample import SampleProvider
from quantkit.data.store import Store


def day(text):
    return pd.Timestamp(text, tz="UTC")


def sample(symbol, interval="1d"):
    provider, query = SampleProvider(), HistoryQuery(symbol, interval)
    return provider.normalise(provider.extract(provider.build(query)), query).bars


@pytest.fixture
def read(tmp_path):
    def write_and_read(text, *, file="prices.csv", encoding="utf-8", symbol="IBM", **options):
        path = tmp_path / file
        path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
        imported = read_table(path, symbol=symbol, **options)
        check_bars(imported.bars)
        return imported

    return write_and_read


#: The same two days as each of these writes them.
FORMS = {
    "Yahoo's site": "Date,Open,High,Low,Close,Adj Close,Volume\n"
    "2023-01-03,130.28,130.9,124.17,125.07,124.5,112117500\n2023-01-04,126.89,128.66,125.08,126.36,125.8,89113600\n",
    "yfinance.Ticker.history": "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n"
    "2023-01-03 00:00:00-05:00,130.28,130.9,124.17,125.07,112117500,0.0,0.0\n"
    "2023-01-04 00:00:00-05:00,126.89,128.66,125.08,126.36,89113600,0.0,0.0\n",
    "yfinance.download": "Price,Close,High,Low,Open,Volume\nTicker,IBM,IBM,IBM,IBM,IBM\nDate,,,,,\n"
    "2023-01-03,125.07,130.9,124.17,130.28,112117500\n2023-01-04,126.36,128.66,125.08,126.89,89113600\n",
    "yfinance.download of two": "Ticker,IBM,IBM,IBM,IBM,IBM,MSFT\nPrice,Open,High,Low,Close,Volume,Close\nDate,,,,,,\n"
    "2023-01-03,130.28,130.9,124.17,125.07,112117500,9\n2023-01-04,126.89,128.66,125.08,126.36,89113600,9\n",
    "Nasdaq's site": "Date,Close/Last,Volume,Open,High,Low\n01/04/2023,$126.36,89113600,$126.89,$128.66,$125.08\n"
    "01/03/2023,$125.07,112117500,$130.28,$130.90,$124.17\n",
    "Investing.com": '\ufeff"Date","Price","Open","High","Low","Vol.","Change %"\n'
    '"Jan 04, 2023","126.36","126.89","128.66","125.08","89.1136M","1.03%"\n'
    '"Jan 03, 2023","125.07","130.28","130.90","124.17","112.1175M","-3.74%"\n',
    "Alpha Vantage": "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient\n"
    "2023-01-04,126.89,128.66,125.08,126.36,125.8,89113600,0,1\n2023-01-03,130.28,130.9,124.17,125.07,124.5,112117500,0,1\n",
    "Stooq": "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
    "IBM.US,D,20230103,000000,130.28,130.9,124.17,125.07,112117500,0\n"
    "IBM.US,D,20230104,000000,126.89,128.66,125.08,126.36,89113600,0\n",
    "semicolons and decimal commas": "Date;Open;High;Low;Close;Volume\n"
    "03.01.2023;130,28;130,90;124,17;125,07;112.117.500\n"
    "04.01.2023;126,89;128,66;125,08;126,36;89.113.600\n",
    "tabs and month names": "DATE\tOPEN\tHIGH\tLOW\tLAST\tSHARE VOLUME\n"
    "03-Jan-2023\t130.28\t130.9\t124.17\t125.07\t112,117,500\n"
    "04-Jan-2023\t126.89\t128.66\t125.08\t126.36\t89,113,600\n",
    "seconds since 1970": "time,open,high,low,close,volume\n1672704000,130.28,130.9,124.17,125.07,112117500\n"
    "1672790400,126.89,128.66,125.08,126.36,89113600\n",
    "milliseconds at the open": "t,o,h,l,c,v,timestamp\nx,130.28,130.9,124.17,125.07,112117500,1672756200000\n"
    "x,126.89,128.66,125.08,126.36,89113600,1672842600000\n",
    "a pandas index without a name": ",open,high,low,close,volume\n2023-01-03,130.28,130.9,124.17,125.07,112117500.0\n"
    "2023-01-04,126.89,128.66,125.08,126.36,89113600.0\n",
    "a title and blank lines above": "Daily prices of IBM\n\nDate,Open,High,Low,Close,Volume\n\n"
    "2023-01-03,130.28,130.9,124.17,125.07,112117500\n2023-01-04,126.89,128.66,125.08,126.36,89113600\n",
    "day first with a time": "Date,Open,High,Low,Close,Volume\n"
    "03/01/2023 16:00:00,130.28,130.9,124.17,125.07,112117500\n"
    "04/01/2023 16:00:00,126.89,128.66,125.08,126.36,89113600\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_the_usual_forms_of_a_price_file_are_read_alike(read, form):
    imported = read(FORMS[form])
    assert imported.bars.index.tolist() == [day("2023-01-03"), day("2023-01-04")]
    assert imported.bars.iloc[0, :5].tolist() == [130.28, 130.9, 124.17, 125.07, 112117500.0]
    assert imported.bars.iloc[1, :5].tolist() == [126.89, 128.66, 125.08, 126.36, 89113600.0]
    adjusted = (
        [124.5, 125.8] if "adj" in form.lower() or form in ("Yahoo's site", "Alpha Vantage") else [np.nan, np.nan]
    )
    assert imported.bars["adj_close"].tolist() == pytest.approx(adjusted, nan_ok=True)
    assert imported.cleaned.quarantine.empty
    assert imported.interval == "1d"


def test_windows_and_utf16_files_are_read_too(read):
    text = "Date,Open,High,Low,Close,Volume,Währung\r\n2023-01-03,1,2,0.5,1.5,10,€\r\n2023-01-04,1,2,0.5,1.5,10,€\r\n"
    for encoding in ("utf-16", "cp1252", "utf-8-sig"):
        assert len(read(text, encoding=encoding).bars) == 2


@pytest.mark.parametrize(
    ("dates", "expected", "form"),
    [
        (["12/01/2023", "13/01/2023"], ["2023-01-12", "2023-01-13"], "day first"),
        (["01/12/2023", "01/13/2023"], ["2023-01-12", "2023-01-13"], "month first"),
        (["03/01/2023", "04/01/2023", "05/01/2023"], ["2023-01-03", "2023-01-04", "2023-01-05"], "day first"),
        (["01/03/2023", "01/04/2023", "01/05/2023"], ["2023-01-03", "2023-01-04", "2023-01-05"], "month first"),
        (["02/03/2023"], ["2023-02-03"], "month first"),
        (["02.03.2023"], ["2023-03-02"], "day first"),
    ],
)
def test_day_or_month_first_is_decided_over_the_whole_column_and_said(read, dates, expected, form):
    imported = read("Date,Close\n" + "".join(f"{date},10\n" for date in dates))
    assert [f"{time:%F}" for time in imported.bars.index] == expected
    assert form in imported.readings
    assert form in imported.in_words()


def test_a_date_that_fits_no_reading_of_its_column_is_quarantined(read):
    imported = read("Date,Close\n13/01/2023,10\n16/01/2023,10\n01/17/2023,10\n")
    assert imported.cleaned.quarantine[["line", "rule"]].to_numpy().tolist() == [[4, "unreadable_time"]]


def test_minutes_are_told_from_their_spacing_and_their_clock_from_the_calendar(read):
    local = "Datetime,Close\n" + "".join(f"2023-07-05 09:{minute},10\n" for minute in range(30, 60))
    imported = read(local)
    assert imported.interval == "1m"
    assert imported.bars.index[0] == day("2023-07-05 13:30")
    assert "America/New_York" in imported.readings
    utc = "Datetime,Close\n" + "".join(f"2023-07-05 19:{minute},10\n" for minute in range(30, 60))
    assert read(utc).bars.index[0] == day("2023-07-05 19:30")
    either = "Datetime,Close\n" + "".join(f"2023-07-05 14:{minute},10\n" for minute in range(30, 60))
    assert read(either).bars.index[0] == day("2023-07-05 18:30"), "open on both clocks: the exchange's own"
    assert read(utc, timezone="Europe/Berlin").bars.index[0] == day("2023-07-05 17:30")
    written = "Datetime,Close\n" + "".join(f"2023-07-05T09:{minute}:00-04:00,10\n" for minute in range(30, 60))
    assert read(written).bars.index[0] == day("2023-07-05 13:30")
    hong_kong = "Date,Time,Close\n" + "".join(f"2023-07-05,0930{s:02d},10\n" for s in (0,)) + "2023-07-05,093100,10\n"
    assert read(hong_kong, symbol="9988.HK").bars.index.tolist() == [day("2023-07-05 01:30"), day("2023-07-05 01:31")]


@pytest.mark.parametrize(("step", "words"), [("5min", "5 minutes"), ("7D", "7 days"), ("1h", "60 minutes")])
def test_bars_of_another_spacing_are_refused_and_their_spacing_is_named(read, step, words):
    times = pd.date_range("2023-01-03 15:00", periods=12, freq=step)
    with pytest.raises(DataError, match=f"{words} apart; quantkit keeps daily and one-minute bars"):
        read("Date,Close\n" + "".join(f"{time},10\n" for time in times))


def test_bad_rows_are_quarantined_with_their_line_and_their_own_text(read):
    imported = read(
        "Date,Open,High,Low,Close,Volume\n"
        "2023-01-03,10,11,9,10,100\n"
        "2023-01-04,10,9,11,10,100\n"
        "2023-01-05,10,11,9,,100\n"
        "\n"
        "2023-01-06,10,11,9\n"
        "2023-01-09,10,11,9,10,100,7\n"
        "2023-01-10,ten,11,9,10,100\n"
        "2023-01-11,10,11,9,10,100\n"
        "2023-01-11,10,11,9,10.5,100\n"
        '2023-01-12,"10,11,9,10,100\n'
        "2023-01-13,10,11,9,10,100\n"
        "Total,,,,,\n"
    )
    assert [f"{time:%F}" for time in imported.bars.index] == ["2023-01-03", "2023-01-11", "2023-01-13"]
    assert imported.bars["close"].tolist() == [10.0, 10.5, 10.0]
    refused = imported.cleaned.quarantine
    assert dict(zip(refused["line"], refused["rule"], strict=True)) == {
        3: "high_not_highest",
        4: "no_close",
        6: "wrong_field_count",
        7: "wrong_field_count",
        8: "unreadable_number",
        9: "conflicting_duplicate",
        11: "wrong_field_count",
        13: "unreadable_time",
    }
    assert refused.set_index("line")["text"][8] == "2023-01-10,ten,11,9,10,100"
    assert (refused["source"] == "files").all()
    report = imported.in_words()
    assert "3 bars" in report
    for line in refused["line"]:
        assert f"line {line}: " in report


def test_a_report_lists_ten_lines_and_counts_the_rest(read):
    broken = "".join(f"2023-01-{date:02d},-1\n" for date in range(4, 29))
    report = read("Date,Close\n2023-01-03,10\n" + broken).in_words()
    assert report.count("price_not_positive") == 10
    assert "and 15 more" in report


def test_a_close_is_enough_and_an_adjusted_one_alone_says_so(read):
    close_only = read("Date,Close\n2023-01-03,10\n2023-01-04,11\n")
    assert is_close_only(close_only.bars)
    assert close_only.instrument.price_basis == "quoted"
    adjusted = read("Date,Adj Close\n2023-01-03,10\n2023-01-04,11\n")
    assert adjusted.instrument.price_basis == "adjusted"
    assert adjusted.bars["close"].tolist() == adjusted.bars["adj_close"].tolist() == [10.0, 11.0]


def test_the_instrument_is_what_was_asked_for(read):
    imported = read("Date,Close\n2023-01-03,10\n", symbol="azn.l", name="Astra", currency="GBX")
    assert (imported.instrument.symbol, imported.instrument.calendar) == ("AZN.L", "XLON")
    assert (imported.instrument.name, imported.instrument.currency) == ("Astra", "GBX")
    assert imported.bars.attrs["source"] == "files"
    assert read("Date,Close\n2023-01-03,10\n").instrument.name == "IBM"


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", DataError, "prices.csv is empty"),
        ("\n\n  \n", DataError, "prices.csv is empty"),
        ("Date,Close\n", DataError, "no rows under it"),
        ("Foo,Close\n1,2\n", DataError, "no column of dates; it has Foo, Close; understood are date, datetime"),
        ("Date,Bar\n2023-01-03,2\n", DataError, "no column of closes; it has Date, Bar; understood are close"),
        ("2023-01-03,1,2,0.5,1.5\n", DataError, "no column of dates"),
        ("Date,Close\nsoon,1\nlater,2\n", DataError, "not one of its 2 rows can be used; line 2: its time"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", DataError, "not a text file"),
        ("Date,Close\n2023-01-03," + "1" * 200_000 + "\n", DataError, "line 2 is longer than"),
        (FORMS["yfinance.download of two"].replace("IBM", "AAPL"), DataError, "holds AAPL, MSFT, not IBM"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(read, text, error, said):
    with pytest.raises(error, match=said):
        read(text)


def test_a_path_that_cannot_be_used_says_why(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_table(tmp_path / "missing.csv", symbol="IBM")
    with pytest.raises(UsageError, match=r"ends in one of .csv, .parquet"):
        read_table(tmp_path / "prices.xlsx", symbol="IBM")
    with pytest.raises(UsageError, match="not a symbol"):
        read_table(tmp_path / "missing.csv", symbol="I B M")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="not a file"):
        read_table(tmp_path / "folder.csv", symbol="IBM")
    (tmp_path / "not.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match="is not a parquet file"):
        read_table(tmp_path / "not.parquet", symbol="IBM")
    (tmp_path / "m.csv").write_text("Time,Close\n2023-07-05 09:30,1\n2023-07-05 09:31,1\n")
    with pytest.raises(UsageError, match="unknown time zone 'Mars/Olympus'"):
        read_table(tmp_path / "m.csv", symbol="IBM", timezone="Mars/Olympus")


def test_hostile_text_is_neither_run_nor_repeated_at_length(read, tmp_path):
    danger = "__import__('os').system('touch " + str(tmp_path / "pwned") + "')"
    imported = read(f"Date,Close,\x1b[31m{'x' * 5000}\n2023-01-03,10,\n2023-01-04,\x1b[2J={danger}{'y' * 5000},\n")
    assert len(imported.bars) == 1
    assert not (tmp_path / "pwned").exists()
    report = imported.in_words()
    assert "\x1b" not in report
    assert len(report) < 1000
    assert imported.cleaned.quarantine["text"].str.len().max() <= 200
    with pytest.raises(DataError) as error:
        read("x" * 50_000 + "\n1\n")
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize(
    ("symbol", "interval"), [("AAPL", "1d"), ("MSFT", "1d"), ("^GSPC", "1d"), ("MSFT", "1m"), ("9988.HK", "1m")]
)
def test_what_is_exported_is_imported_bit_for_bit(tmp_path, symbol, interval, suffix):
    bars = sample(symbol, interval)
    imported = read_table(write_table(bars, tmp_path / f"bars.{suffix}"), symbol=symbol)
    pd.testing.assert_frame_equal(imported.bars, bars, check_exact=True, check_freq=False)
    assert imported.interval == interval
    assert imported.cleaned.repairs == {}
    assert [path.name for path in tmp_path.iterdir()] == [f"bars.{suffix}"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["csv", "parquet"]),
    st.lists(st.tuples(*[st.floats(5e-324, 1.7e308)] * 2, st.floats(0, 1e300), st.booleans()), min_size=1, max_size=25),
)
def test_any_number_survives_export_and_import(tmp_path, suffix, rows):
    index = pd.date_range("2023-01-02", periods=len(rows), tz="UTC", name="time").as_unit("us")
    low, high = np.array([sorted(row[:2]) for row in rows]).T
    bars = pd.DataFrame(
        {"open": low, "high": high, "low": low, "close": high, "volume": [row[2] for row in rows], "adj_close": low},
        index=index,
    )
    bars.loc[[row[3] for row in rows], ["open", "volume", "adj_close"]] = np.nan
    back = read_table(write_table(bars, tmp_path / f"x.{suffix}"), symbol="X", interval="1d").bars
    assert back.equals(bars)
    assert back.index.equals(bars.index)


def test_parquet_carries_the_instrument_and_other_peoples_parquet_is_read_too(tmp_path):
    imported = read_table(write_table(sample("9988.HK", "1m"), tmp_path / "ours.parquet"), symbol="MINE")
    assert (imported.instrument.name, imported.instrument.currency) == ("Alibaba", "HKD")
    theirs = sample("AAPL").tail(5)[["open", "close"]].rename(columns=str.title)
    theirs.index = theirs.index.tz_localize(None).tz_localize("America/New_York").rename("Date")
    theirs.to_parquet(tmp_path / "theirs.parquet")
    back = read_table(tmp_path / "theirs.parquet", symbol="AAPL").bars
    assert back["close"].equals(sample("AAPL")["close"].tail(5))
    assert back.index.equals(sample("AAPL").index[-5:])
    texts = pd.DataFrame({"date": ["2023-01-03", "2023-01-04", "2023-01-05"], "close": ["1,000.5", "x", "7"]})
    texts.to_parquet(tmp_path / "texts.parquet")
    imported = read_table(tmp_path / "texts.parquet", symbol="X")
    assert imported.bars["close"].tolist() == [1000.5, 7.0]
    assert imported.cleaned.quarantine["line"].tolist() == [2]


def test_an_export_is_whole_or_not_there(tmp_path):
    bars = sample("AAPL").tail(5)
    with pytest.raises(UsageError, match="ends in one of"):
        write_table(bars, tmp_path / "bars.xlsx")
    with pytest.raises(UsageError, match="cannot be written"):
        write_table(bars, tmp_path / "nowhere" / "bars.csv")
    broken = bars.assign(high=0.5)
    with pytest.raises(DataError, match="high is below"):
        write_table(broken, tmp_path / "bars.csv")
    assert list(tmp_path.iterdir()) == []


def test_an_imported_file_is_a_symbol_like_any_other(tmp_path, settings):
    path = tmp_path / "ibm.csv"
    path.write_text(
        "Date,Open,High,Low,Close,Volume\n2023-01-03,10,11,9,10,5\n2023-01-04,1,0,2,1,5\n2023-01-05,10,11,9,10,5\n"
    )
    with Store.open(settings) as store:
        imported = import_file(store, path, symbol="ibm", currency="EUR")
        assert store.bars("IBM").equals(imported.bars)
        assert store.instrument("IBM").source == "files"
        assert store.instrument("IBM").currency == "EUR"
        assert store.quarantine("IBM")["line"].tolist() == [3]
        minutes = write_table(sample("MSFT", "1m"), tmp_path / "minutes.csv")
        assert import_file(store, minutes, symbol="IBM").interval == "1m"
        assert set(store.instrument("IBM").intervals) == {"1d", "1m"}
        store.put_instrument(SampleProvider().catalogue()[0])
        taken = SampleProvider().catalogue()[0].symbol
        with pytest.raises(UsageError, match=f"{taken} is in the store already, from sample"):
            import_file(store, path, symbol=taken)


def test_the_files_provider_says_how_a_symbol_is_imported():
    provider = PROVIDERS["files"](None)
    assert provider.catalogue() == []
    with pytest.raises(UnknownSymbolError, match=r"quantkit data import prices.csv --symbol IBM"):
        provider.build(HistoryQuery("IBM"))
    assert json.dumps(list(PROVIDERS))
