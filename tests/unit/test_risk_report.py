"""The risk report on real prices: one result that every face shows."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import DataError, UsageError
from quantkit.core.returns import prices_from, simple_returns
from quantkit.data.base import HistoryQuery
from quantkit.data.sample import SampleProvider
from quantkit.risk import RiskReport, expected_shortfall, measures, risk_report, value_at_risk


def bars_of(symbol: str) -> pd.DataFrame:
    provider, query = SampleProvider(), HistoryQuery(symbol)
    return provider.normalise(provider.extract(provider.build(query)), query).bars


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return bars_of("AAPL").iloc[-901:]


@pytest.fixture(scope="module")
def returns(bars: pd.DataFrame) -> pd.Series:
    return simple_returns(prices_from(bars)).rename("AAPL")


@pytest.fixture(scope="module")
def market() -> pd.Series:
    return simple_returns(prices_from(bars_of("^GSPC"))).rename("^GSPC")


@pytest.fixture(scope="module")
def report(returns: pd.Series, bars: pd.DataFrame, market: pd.Series) -> RiskReport:
    return risk_report(returns, bars=bars, benchmark=market, risk_free=0.02)


def test_it_carries_the_rest_fields(report: RiskReport) -> None:
    body = report.to_dict()
    for field in (
        "predicted_volatility", "value_at_risk_95", "value_at_risk_95_return", "value_at_risk_method", "volatility",
        "value_at_risk", "expected_shortfall", "backtests", "sharpe", "sortino", "calmar", "max_drawdown", "beta",
        "as_of", "fingerprint",
    ):  # fmt: skip
        assert body[field] is not None
    text = json.dumps(body, allow_nan=False)
    assert RiskReport.from_dict(json.loads(text)) == report


def test_the_headline_is_signed_profit_and_loss_of_one_share(report: RiskReport, bars: pd.DataFrame, returns) -> None:
    assert report.last_price == bars["close"].iloc[-1]
    assert report.value_at_risk_95_return == value_at_risk(returns, method=report.value_at_risk_method)
    assert report.value_at_risk_95 == report.value_at_risk_95_return * report.last_price
    assert report.value_at_risk_95 < 0
    assert report.value_at_risk_method == report.backtests.auto_method
    assert report.value_at_risk["auto"] == report.value_at_risk[report.value_at_risk_method]
    assert report.value_at_risk_currency["fhs"] == report.value_at_risk["fhs"] * report.last_price


def test_its_figures_are_those_of_the_functions(report: RiskReport, returns: pd.Series) -> None:
    rate = 1.02 ** (1 / 252) - 1
    assert report.sharpe == pytest.approx(
        measures.sharpe_ratio(returns, periods_per_year=252, risk_free=rate), rel=1e-9
    )
    assert report.max_drawdown == measures.max_drawdown(returns)
    for method in ("historical", "evt"):
        assert report.value_at_risk[method] == value_at_risk(returns, method=method)
        assert report.expected_shortfall[method] == expected_shortfall(returns, method=method)
    assert report.predicted_volatility == report.volatility["garch"] == report.term_structure.per_period[0]
    assert report.volatility_annual["rolling"] == pytest.approx(report.volatility["rolling"] * math.sqrt(252))


def test_a_benchmark_changes_nothing_but_what_stands_beside_it(report: RiskReport, returns, bars) -> None:
    alone = risk_report(returns, bars=bars, risk_free=0.02).to_dict()
    beside = {"benchmark", "benchmark_dropped", "beta", "alpha", "correlation", "tracking_error", "information_ratio",
              "up_capture", "down_capture", "fingerprint"}  # fmt: skip
    for name, value in report.to_dict().items():
        if name not in beside:
            assert alone[name] == value, name
    assert alone["beta"] is None
    assert alone["fingerprint"] != report.fingerprint


def test_returns_without_a_benchmark_day_are_counted(report: RiskReport, returns: pd.Series, market: pd.Series) -> None:
    assert report.benchmark_dropped == int((~returns.index.isin(market.index)).sum()) > 0


def test_the_same_question_has_the_same_bits_and_another_one_another_fingerprint(report, returns, bars, market) -> None:
    again = risk_report(returns, bars=bars, benchmark=market, risk_free=0.02)
    assert again == report
    other = risk_report(returns.iloc[:-1], origins=50)
    assert other.fingerprint != report.fingerprint


def test_a_short_over_five_days_keeps_the_headline_of_one_day_long(report: RiskReport, returns, bars) -> None:
    found = risk_report(returns, bars=bars, level=0.99, horizon=5, side="short", position_value=10_000.0)
    assert found.value_at_risk_95 == report.value_at_risk_95
    assert found.value_at_risk["historical"] == value_at_risk(returns, level=0.99, horizon=5, side="short")
    assert found.value_at_risk_currency["ewma"] == 10_000 * found.value_at_risk["ewma"]
    assert found.backtests.side == "short"


def test_a_short_series_says_what_it_cannot_answer(returns: pd.Series) -> None:
    found = risk_report(returns.iloc[:150], level=0.99)
    assert np.isnan(found.value_at_risk["evt"])
    assert "at least 500" in found.notes["value_at_risk.evt"]
    assert found.term_structure is None
    assert "at least 250" in found.notes["term_structure"]
    assert found.predicted_volatility_method == "ewma"
    assert "too few" in found.notes["auto"]
    assert np.isnan(found.value_at_risk_95)
    assert found.value_at_risk_95_return < 0
    assert found.to_frame().loc["historical", "verdict"] == "too few to tell"
    assert RiskReport.from_dict(found.to_dict()) == found


def test_it_shows_itself(report: RiskReport) -> None:
    assert "breaches in" in report.in_words()
    for shown in (report, report.backtests, report.term_structure):
        assert "<table" in shown._repr_html_()
    assert list(report.to_frame().index) == list(report.value_at_risk)
    assert report.measures()["sharpe"] == report.sharpe


def test_prices_that_never_move_give_zeros_and_reasons_and_never_infinity() -> None:
    index = pd.date_range("2020-01-01", periods=600, freq="D", tz="UTC", unit="us")
    found = risk_report(pd.Series(0.0, index=index, name="PEG"))
    assert np.isnan(found.sharpe)
    assert found.predicted_volatility == 0
    assert found.max_drawdown == 0
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"risk_free": -1.0}, "annual rate above -1"),
        ({"position_value": -5.0}, "side='short'"),
        ({"level": 95}, "did you mean 0.95"),
        ({"horizon": 30}, "1 to 20"),
        ({"origins": 0}, "at least 1"),
    ],
)
def test_questions_that_make_no_sense_are_refused(argument: dict, message: str, returns: pd.Series) -> None:
    with pytest.raises(UsageError, match=message):
        risk_report(returns, **argument)


def test_unusable_data_is_refused_by_name(returns: pd.Series, market: pd.Series) -> None:
    broken = returns.copy()
    broken.iloc[10] = np.nan
    with pytest.raises(DataError, match=f"AAPL.*{broken.index[10]:%Y-%m-%d}"):
        risk_report(broken)
    with pytest.raises(DataError, match="at least 100"):
        risk_report(returns.iloc[:99])
    with pytest.raises(DataError, match=r"\^GSPC covers .* do not overlap"):
        risk_report(returns, benchmark=market.loc[:"2000-01-01"], origins=10)


@pytest.mark.parametrize("count", [0, 1, 99])
def test_too_few_returns_are_refused_by_number(count: int) -> None:
    index = pd.date_range("2020-01-01", periods=count, tz="UTC")
    with pytest.raises(DataError, match=f"XYZ: {count} rows; at least 100 are needed"):
        risk_report(pd.Series(np.full(count, 0.01), index=index, name="XYZ"))
