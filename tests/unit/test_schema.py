import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import DataError, UsageError
from quantkit.core.schema import (
    BAR_COLUMNS,
    check_bars,
    check_interval,
    check_level,
    check_prices,
    check_returns,
    check_symbol,
    check_symbols,
    empty_bars,
)


def bars(rows: int = 5) -> pd.DataFrame:
    index = pd.date_range("2023-01-02", periods=rows, freq="D", tz="UTC", name="time")
    close = np.linspace(10.0, 11.0, rows)
    values = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 100.0, "adj_close": close}
    return pd.DataFrame(values, index=index).astype(float)


@pytest.mark.parametrize("symbol", ["AAPL", "^GSPC", "BRK-B", "AZN.L", "9988.HK", "EURUSD=X"])
def test_yahoos_spellings_are_symbols(symbol):
    assert check_symbol(symbol.lower()) == symbol


@pytest.mark.parametrize("symbol", ["", " ", "A B", "../etc", "<script>", "A" * 16, ".L", None, 3, "AAPL;DROP", "ÄPL"])
def test_anything_else_is_refused_with_what_is_accepted(symbol):
    with pytest.raises(UsageError, match="such as AAPL"):
        check_symbol(symbol)


def test_a_long_hostile_symbol_is_not_repeated_whole():
    with pytest.raises(UsageError) as refused:
        check_symbol("x" * 100_000)
    assert len(str(refused.value)) < 250


def test_symbols_are_split_checked_and_named_once():
    assert check_symbols("aapl, msft;AAPL") == ["AAPL", "MSFT"]
    with pytest.raises(UsageError, match="at least 2"):
        check_symbols(["AAPL"], at_least=2)


def test_a_percentage_given_as_a_level_is_named_as_such():
    with pytest.raises(UsageError, match=r"did you mean 0\.95"):
        check_level(95)
    for level in (0, 1, True, "0.95", float("nan")):
        with pytest.raises(UsageError, match="strictly between 0 and 1"):
            check_level(level)
    with pytest.raises(UsageError, match="choose from 1d, 1m"):
        check_interval("1h")


def test_good_bars_and_no_bars_pass():
    assert check_bars(bars()).shape == (5, len(BAR_COLUMNS))
    check_bars(empty_bars())


@pytest.mark.parametrize(
    ("column", "row", "value", "said"),
    [
        ("close", 2, np.nan, "close is not a positive number at 2023-01-04"),
        ("close", 1, -1.0, "close is not a positive number at 2023-01-03"),
        ("high", 3, 9.0, "high is below another price of its bar at 2023-01-05"),
        ("low", 0, 10.5, "low is above another price of its bar at 2023-01-02"),
    ],
)
def test_the_first_bad_row_and_column_are_named(column, row, value, said):
    broken = bars()
    broken.iloc[row, broken.columns.get_loc(column)] = value
    with pytest.raises(DataError, match=said):
        check_bars(broken, name="AAPL")


def test_index_faults_are_named():
    with pytest.raises(DataError, match="does not come after"):
        check_bars(bars().iloc[::-1])
    with pytest.raises(DataError, match="in UTC"):
        check_bars(bars().tz_localize(None))
    with pytest.raises(DataError, match="column 'volume' is missing"):
        check_bars(bars().drop(columns="volume"))
    with pytest.raises(DataError, match="at least 10"):
        check_bars(bars(), minimum=10)


def test_prices_and_returns_name_the_first_bad_entry():
    prices = bars()[["close"]].rename(columns={"close": "AAPL"})
    assert check_prices(prices) is prices
    prices = prices.copy()
    prices.iloc[2, 0] = np.nan
    with pytest.raises(DataError, match="AAPL is not a positive number at 2023-01-04"):
        check_prices(prices)
    with pytest.raises(DataError, match="return of at least -1"):
        check_returns(pd.Series([0.1, -1.5], index=prices.index[:2], name="X"))
