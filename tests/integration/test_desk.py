import json

import numpy as np
import pandas as pd
import pytest

from quantkit import Desk
from quantkit.core.errors import DataError, NoDataError, UnknownChoiceError, UnknownSymbolError, UsageError
from quantkit.core.schema import check_bars, check_prices
from quantkit.portfolio import SAMPLE_NOTE

ALIGNED = (
    "AAPL AMD AMZN BAC BBY CVX GE GOOG HD JNJ JPM KO LLY META MRK MSFT NFLX NVDA PEP PFE PG RRC UNH WMT XOM".split()
)


def test_the_sample_lists_real_symbols_with_their_exchange(shared_desk):
    symbols = shared_desk.symbols().set_index("symbol")
    assert set(ALIGNED) | {"^GSPC", "AZN.L", "9988.HK"} == set(symbols.index)
    assert symbols.loc["AZN.L", ["currency", "calendar"]].tolist() == ["GBX", "XLON"]
    assert symbols.loc["MSFT", "intervals"] == "1d, 1m"


def test_history_is_a_checked_bars_frame_that_says_what_it_is(shared_desk):
    bars = check_bars(shared_desk.history("aapl", period="max"))
    assert (len(bars), bars.index[0], bars.index[-1]) == (
        2699, pd.Timestamp("2013-01-02", tz="UTC"), pd.Timestamp("2023-09-21", tz="UTC"),
    )  # fmt: skip
    assert bars.attrs["currency"] == "USD"
    assert bars.attrs["status"] == "sample"


@pytest.mark.parametrize(
    ("period", "first", "rows"),
    [("1d", "2023-09-21", 1), ("5d", "2023-09-15", 5), ("1mo", "2023-08-22", 22), ("ytd", "2023-01-03", 181),
     ("1y", "2022-09-22", 251)],
)  # fmt: skip
def test_a_period_counts_back_from_the_last_stored_bar(shared_desk, period, first, rows):
    bars = shared_desk.history("AAPL", period=period)
    assert (f"{bars.index[0]:%Y-%m-%d}", len(bars)) == (first, rows)


def test_start_and_end_are_both_included(shared_desk):
    bars = shared_desk.history("AAPL", start="2023-09-18", end="2023-09-20")
    assert [f"{t:%d}" for t in bars.index] == ["18", "19", "20"]
    minutes = shared_desk.history("MSFT", start="2022-06-14", end="2022-06-14", interval="1m")
    assert len(minutes) == 390


def test_twenty_five_symbols_align_without_a_hole(shared_desk):
    prices = check_prices(shared_desk.prices(ALIGNED, start="2013-01-02", end="2022-12-28"))
    assert prices.shape == (2516, 25)
    returns = np.log(prices).diff().dropna()
    # 1/N of stocks of one market: any misaligned or unadjusted series would fall out of line.
    assert returns.corr().to_numpy().min() > 0.05
    assert returns.abs().to_numpy().max() < 0.6


def test_prices_default_to_the_last_common_bar(shared_desk):
    prices = shared_desk.prices(["AAPL", "^GSPC"], period="1y")
    assert prices.index[-1] == pd.Timestamp("2022-12-28", tz="UTC")
    assert prices.attrs["currency"] == "USD"


def test_currencies_are_never_mixed_silently(shared_desk):
    with pytest.raises(DataError, match=r"AZN\.L in GBX"):
        shared_desk.prices(["MSFT", "AZN.L"], interval="1m", period="5d")


def test_a_quote_is_the_last_bar_with_its_change(shared_desk):
    quote, bars = shared_desk.quote("AAPL"), shared_desk.history("AAPL", period="5d")
    assert (quote.close, quote.previous_close) == (bars["close"].iloc[-1], bars["close"].iloc[-2])
    assert quote.change_percent == pytest.approx(bars["close"].pct_change().iloc[-1])
    assert quote.status == "sample"
    assert quote.age > pd.Timedelta(days=365)


def test_a_symbol_of_minutes_only_is_quoted_by_its_session(shared_desk):
    quote, minutes = shared_desk.quote("9988.HK"), shared_desk.history("9988.HK", period="1d", interval="1m")
    assert quote.close == minutes["close"].iloc[-1]
    assert quote.volume == minutes["volume"].sum()
    assert quote.timestamp == minutes.index[-1]


def test_an_unknown_symbol_offers_the_nearest_and_how_to_get_it_live(shared_desk):
    with pytest.raises(UnknownSymbolError, match=r"APPL.*AAPL"):
        shared_desk.history("APPL")
    with pytest.raises(UnknownSymbolError, match=r"TSLA is not in the sample; QUANTKIT_PROVIDER=yahoo make run"):
        shared_desk.quote("TSLA")


@pytest.mark.parametrize(
    ("question", "error", "said"),
    [
        ({"symbol": "A B"}, UsageError, "is not a symbol"),
        ({"symbol": "AAPL", "period": "3y"}, UsageError, "choose from 1d, 5d"),
        ({"symbol": "AAPL", "interval": "1h"}, UsageError, "choose from 1d, 1m"),
        ({"symbol": "AAPL", "start": "yesterday"}, UsageError, "ISO 8601"),
        ({"symbol": "AAPL", "start": "2023-02-01", "end": "2023-01-01"}, UsageError, "comes after"),
        ({"symbol": "AAPL", "period": "1y", "start": "2023-01-01"}, UsageError, "one or the other"),
        ({"symbol": "AAPL", "start": "2024-01-01"}, NoDataError, "it has 2013-01-02 to 2023-09-21"),
        ({"symbol": "AAPL", "interval": "1m"}, NoDataError, "it has 1d"),
        ({"symbol": "AAPL", "adjusted": False}, NoDataError, "adjusted=True"),
    ],
)
def test_bad_questions_are_refused_with_what_is_accepted(shared_desk, question, error, said):
    with pytest.raises(error, match=said):
        shared_desk.history(**question)


def test_as_of_answers_as_it_was_known_then(shared_desk):
    # The bar of the 20th is known at its close, 20:00 UTC.
    assert shared_desk.history("AAPL", as_of="2023-09-20T19:59").index[-1] == pd.Timestamp("2023-09-19", tz="UTC")
    assert shared_desk.history("AAPL", as_of="2023-09-20").index[-1] == pd.Timestamp("2023-09-20", tz="UTC")


def test_a_forecast_stands_on_the_last_bar_with_its_proof(shared_desk):
    forecast = shared_desk.predict("AAPL", model="naive", horizon=3, level=0.9)
    bars = shared_desk.history("AAPL", period="5d")
    assert (forecast.as_of, forecast.last_price) == (bars.index[-1], bars["close"].iloc[-1])
    assert [f"{s.timestamp:%Y-%m-%d}" for s in forecast.steps] == ["2023-09-22", "2023-09-25", "2023-09-26"]
    assert 0.8 < forecast.coverage < 1
    assert forecast.skill == 0
    json.dumps(forecast.to_dict(), allow_nan=False)


def test_a_forecast_of_the_past_knows_only_the_past(shared_desk):
    forecast = shared_desk.predict("AAPL", model="naive", as_of="2020-03-16")
    assert forecast.as_of == pd.Timestamp("2020-03-16", tz="UTC")


def test_the_second_face_to_ask_gets_the_first_ones_answer(desk, settings, monkeypatch):
    first = desk.predict("MSFT", model="drift", horizon=2)
    with Desk.open(settings) as other:
        monkeypatch.setattr(type(other), "compute", property(lambda self: pytest.fail("computed again")))
        assert other.predict("MSFT", model="drift", horizon=2) == first


@pytest.mark.parametrize(
    ("question", "error", "said"),
    [
        ({"model": "arma"}, UnknownChoiceError, "choose from"),
        ({"horizon": 0}, UsageError, "horizon 0"),
        ({"horizon": 1000}, UsageError, "horizon 1000"),
        ({"level": 95}, UsageError, r"did you mean 0\.95"),
    ],
)
def test_forecasts_that_make_no_sense_are_refused(shared_desk, question, error, said):
    with pytest.raises(error, match=said):
        shared_desk.predict("AAPL", **question)


def test_a_figure_that_two_answers_carry_is_one_number(shared_desk):
    forecast, report = shared_desk.predict("AAPL", model="naive"), shared_desk.risk("AAPL")
    assert forecast.predicted_volatility == report.predicted_volatility
    assert forecast.last_price == report.last_price == shared_desk.quote("AAPL").close


def test_risk_of_weights_and_of_their_only_symbol_agree(shared_desk):
    alone, whole = (shared_desk.risk(each, period="1y", benchmark=None) for each in ("KO", {"KO": 1.0}))
    assert alone.value_at_risk == whole.value_at_risk
    assert alone.sharpe == whole.sharpe


def test_a_benchmark_of_another_currency_is_refused_when_asked_for(shared_desk):
    assert shared_desk.risk("AZN.L", interval="1m", period="5d").benchmark == ""
    with pytest.raises(DataError, match="choose one of the same currency"):
        shared_desk.risk("MSFT", interval="1m", period="5d", benchmark="AZN.L")


def test_an_allocation_buys_whole_shares_at_the_close_it_was_decided_on(shared_desk):
    allocation = shared_desk.optimize(["AAPL", "KO"], capital=10_000)
    close = shared_desk.history("AAPL", start=allocation.as_of, end=allocation.as_of)["close"].iloc[0]
    shares = allocation.shares
    assert shares.value["AAPL"] == pytest.approx(shares.shares["AAPL"] * close)
    assert shares.value.sum() + shares.leftover_cash == pytest.approx(10_000)


def test_stability_is_of_the_weights_that_were_chosen(shared_desk):
    symbols = ["AAPL", "MSFT", "JPM", "XOM"]
    shaken = shared_desk.stability(symbols, draws=20)
    pd.testing.assert_series_equal(shaken.weights, shared_desk.optimize(symbols).weights, check_names=False)
    assert (shaken.lower <= shaken.upper).all()
    assert 0.0 < shaken.moved < 1.0


def test_a_backtest_on_the_sample_says_what_the_sample_is(shared_desk):
    backtest = shared_desk.backtest(["KO", "PG", "XOM"], "equal_weight", period="5y")
    assert any("hindsight" in note for note in backtest.notes)
    assert {"equal_weight", "1/N", "benchmark"} <= set(backtest.measures.index)


def test_an_allocation_lies_on_the_frontier_of_the_same_question(shared_desk):
    symbols = ["AAPL", "JNJ", "KO", "XOM"]
    allocation, frontier = shared_desk.optimize(symbols), shared_desk.frontier(symbols)
    np.testing.assert_allclose(allocation.weights, frontier.weights_at(allocation.expected_return), atol=1e-6)


def test_a_later_provider_answers_for_what_it_alone_knows(tmp_path):
    with Desk.open(home=tmp_path, provider=("files", "sample")) as desk:
        assert desk.quote("AAPL").source == "sample"


def test_the_default_benchmark_is_left_out_where_it_ends_before_the_returns_begin(shared_desk):
    report = shared_desk.risk("AAPL", period="6mo")
    assert report.benchmark == ""
    assert np.isnan(report.beta)
    with pytest.raises(DataError, match="do not overlap"):
        shared_desk.risk("AAPL", period="6mo", benchmark="JPM")


def test_the_default_benchmark_is_left_out_where_nobody_has_it(tmp_path, shared_desk):
    from quantkit.data.files import import_file, write_table

    write_table(shared_desk.history("KO", period="max"), tmp_path / "ko.csv")
    with Desk.open(home=tmp_path, provider=("files",)) as desk:
        import_file(desk.store, tmp_path / "ko.csv", symbol="MINE")
        assert desk.risk("MINE", period="1y").benchmark == ""
        with pytest.raises(UnknownSymbolError, match="SPY"):
            desk.risk("MINE", period="1y", benchmark="SPY")


def test_the_same_prices_from_another_source_are_another_question(tmp_path, shared_desk):
    from quantkit.data.files import import_file, write_table

    write_table(shared_desk.history("NVDA", period="max"), tmp_path / "nvda.parquet")
    with Desk.open(home=tmp_path, provider=("files",)) as desk:
        import_file(desk.store, tmp_path / "nvda.parquet", symbol="NVDA")
        mine, sample = desk.predict("NVDA", model="naive"), shared_desk.predict("NVDA", model="naive")
    assert mine.steps == sample.steps
    assert mine.fingerprint != sample.fingerprint


def test_the_caveat_of_the_sample_is_what_the_sample_says(shared_desk):
    symbols = shared_desk.symbols()
    span = {"start": "1997-12-31", "end": "2022-12-28"}
    stocks = symbols.symbol[symbols.intervals.str.contains("1d") & ~symbols.symbol.str.startswith("^")]
    long = [each for each in stocks if shared_desk.history(each, period="max").index[0].year <= 1990]
    even = shared_desk.prices(long, **span).pct_change().iloc[1:].mean(axis=1)
    index = shared_desk.history("^GSPC", **span)["close"]
    earned = (1.0 + even).prod() ** (252 / len(even)) - 1.0
    said = f"1/N of its {len(long)} long stocks, rebalanced daily without costs, earned {100 * earned:.1f} % a year"
    assert said in SAMPLE_NOTE
    rise = (index.iloc[-1] / index.iloc[0]) ** (252 / (len(index) - 1)) - 1.0
    assert f"the index file {100 * rise:.1f} %" in SAMPLE_NOTE
