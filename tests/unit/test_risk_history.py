"""What went through time beside a risk report, and holdings read from a person's file."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from quantkit import Desk
from quantkit.core.errors import DataError
from quantkit.core.returns import annualise_volatility
from quantkit.portfolio import read_holdings
from quantkit.risk import RiskHistory, risk_history


@pytest.fixture(scope="module")
def history(shared_desk: Desk) -> RiskHistory:
    return shared_desk.risk_history("AAPL")


def test_the_last_figures_of_the_history_are_the_report_s(history: RiskHistory, shared_desk: Desk) -> None:
    report = shared_desk.risk("AAPL")
    assert history.as_of == report.as_of
    for method in ("rolling", "ewma", "yang_zhang", "garch"):
        assert history.volatility[method].iloc[-1] == pytest.approx(report.volatility_annual[method], rel=1e-12)
    assert history.drawdown.min() == report.max_drawdown


def test_the_months_of_a_year_compound_to_the_year(history: RiskHistory) -> None:
    for year, row in history.months.iterrows():
        assert (1.0 + row.drop("Year")).prod() - 1.0 == pytest.approx(row["Year"], rel=1e-12), year


def test_every_return_is_in_the_histogram(history: RiskHistory) -> None:
    inside = [
        ((history.returns >= row.lower) & (history.returns < row.upper)).sum() for row in history.histogram.itertuples()
    ]
    inside[-1] += (history.returns == history.histogram["upper"].iloc[-1]).sum()
    assert inside == history.histogram["count"].tolist()


def test_a_history_comes_back_from_json_bit_for_bit(history: RiskHistory) -> None:
    back = RiskHistory.from_dict(history.to_dict())
    pd.testing.assert_series_equal(back.returns, history.returns, check_names=False, check_freq=False)
    assert back.volatility["garch"].tolist() == history.volatility["garch"].tolist()


def test_a_method_without_figures_is_left_out_with_the_reason() -> None:
    times = pd.date_range("2024-01-01", periods=200, tz="UTC", unit="us", name="time")
    returns = pd.Series(np.random.default_rng(1).normal(0, 0.01, 200), index=times, name="X")
    found = risk_history(returns)
    assert "yang_zhang" not in found.volatility
    assert "bars" in found.notes["volatility.yang_zhang"]
    assert found.volatility["rolling"].iloc[-1] == pytest.approx(
        annualise_volatility(returns.iloc[-21:].std(), periods_per_year=252.0)
    )


def test_shares_become_weights_at_the_latest_prices(shared_desk: Desk) -> None:
    held = shared_desk.holdings("Ticker;Quantity\naapl;10\nMSFT;5\nAAPL;10\n")
    apple, microsoft = 20 * shared_desk.quote("AAPL").close, 5 * shared_desk.quote("MSFT").close
    assert held.value == pytest.approx(apple + microsoft)
    assert held.weights["AAPL"] == pytest.approx(apple / (apple + microsoft))
    assert held.shares == {"AAPL": 20.0, "MSFT": 5.0}


def test_weights_in_per_cent_have_no_value_in_currency(shared_desk: Desk) -> None:
    held = shared_desk.holdings("symbol,weight\nAAPL,60%\nMSFT,40%\n")
    assert held.weights == {"AAPL": 0.6, "MSFT": 0.4}
    assert math.isnan(held.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "need a header"),
        ("name,price\nApple,3\n", "expected symbol and one of shares, value, weight"),
        ("symbol,shares\nAAPL,ten\n", "row 2 of the holdings: 'ten' is not a number"),
        ("symbol,shares\n<script>,1\n", "row 2 of the holdings: '<script>' is not a symbol"),
        ("symbol,shares\nAAPL\n", "row 2 of the holdings has 1 columns, not 2"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_holdings(text)


def test_holdings_in_two_currencies_are_refused(shared_desk: Desk) -> None:
    with pytest.raises(DataError, match=r"currencies are not mixed silently: AAPL in USD, AZN\.L in GBX"):
        shared_desk.holdings("symbol,shares\nAAPL,1\nAZN.L,1\n")
