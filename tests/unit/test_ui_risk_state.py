"""The Risk and Portfolio screens' states without a widget: what is asked, what arrives, what is said when it cannot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.core.errors import DataError, UsageError
from quantkit.core.progress import silent
from quantkit.ui.background import Background
from quantkit.ui.portfolio_query import PortfolioQuery, read_sectors, read_views
from quantkit.ui.portfolio_state import PortfolioState
from quantkit.ui.question import Question, time_left
from quantkit.ui.risk_state import RiskQuery, RiskState, read_weights, write_weights
from quantkit.ui.tables import Cell, table_html


@pytest.fixture
def risk(shared_desk) -> Iterator[RiskState]:
    made = RiskState(shared_desk)
    yield made
    made.close()


@pytest.fixture
def portfolio(shared_desk) -> Iterator[PortfolioState]:
    made = PortfolioState(shared_desk)
    yield made
    made.close()


def test_a_deep_link_is_asked_as_it_says(risk: RiskState, shared_desk) -> None:
    risk.open("symbol=msft&level=0.99&risk_free=0.02&period=1y")
    risk.background.settle(120)
    report = shared_desk.risk("MSFT", level=0.99, risk_free=0.02, period="1y")
    assert risk.report.answer.value_at_risk == report.value_at_risk
    assert risk.history.answer.fingerprint == shared_desk.risk_history("MSFT", period="1y", risk_free=0.02).fingerprint
    assert risk.query == "symbol=MSFT&period=1y&level=0.99&risk_free=0.02"
    assert not risk.busy
    assert not risk.error


def test_an_unknown_symbol_of_an_address_is_said_beside_the_default(risk: RiskState) -> None:
    risk.open("symbol=TSLA&period=1y")
    risk.background.settle(120)
    assert "TSLA is not in the sample" in risk.error
    assert "Showing AAPL instead." in risk.error
    assert risk.history.answer.symbol == "AAPL"
    assert not risk.failed


@pytest.mark.parametrize("bad", ["level=2", "horizon=1.5", "horizon=21", "method=x", "holdings=AAPL:x", "position=-1",
                                 "risk_free=nan", "holdings=AAPL:1,MSFT:-1"])  # fmt: skip
def test_what_an_address_cannot_mean_is_a_sentence_and_leaves_the_default(bad: str) -> None:
    query, faults = RiskQuery.parse(bad)
    assert query == RiskQuery()
    assert len(faults) == 1


@given(st.dictionaries(st.sampled_from(["AAPL", "MSFT", "^GSPC", "BRK-B"]), st.floats(0.01, 5.0), min_size=1))
def test_weights_come_back_from_the_address(weights: dict[str, float]) -> None:
    once = read_weights(write_weights(weights))
    assert sum(weight for _, weight in once) == pytest.approx(1.0)
    again = read_weights(write_weights(once))
    assert dict(again) == pytest.approx(dict(once), rel=1e-6)


@given(st.text(max_size=300))
def test_no_text_breaks_the_readers_of_an_address(text: str) -> None:
    RiskQuery.parse(text)
    PortfolioQuery.parse(text)
    for read in (read_sectors, read_views, read_weights):
        with suppress(UsageError):
            read(text)


def test_a_portfolio_s_address_comes_back() -> None:
    text = ("symbols=AAPL,MSFT,XOM&objective=target_return&target=0.12&most=0.5&sectors=Tech: AAPL MSFT <= 60"
            "&views=AAPL 12 @ 70&capital=5000")  # fmt: skip
    query, faults = PortfolioQuery.parse(text)
    assert faults == []
    assert PortfolioQuery.parse(query.to_query()) == (query, [])


def test_a_tab_s_symbol_joins_the_portfolio() -> None:
    query, _ = PortfolioQuery.parse("symbol=NVDA")
    assert query.symbols == ("NVDA", *PortfolioQuery().symbols)


def test_taking_a_point_of_the_frontier_asks_for_its_weights(portfolio: PortfolioState, shared_desk) -> None:
    portfolio.open("symbols=AAPL,MSFT,XOM")
    portfolio.background.settle(120)
    points = portfolio.frontier.answer.points["expected_return"]
    for wanted in (points.iloc[0], points.iloc[25], points.iloc[-1]):
        portfolio.take_point(float(wanted))
        portfolio.background.settle(120)
        assert portfolio.allocation.error == ""
        assert portfolio.objective == "target_return"
        on_curve = portfolio.frontier.answer.weights_at(portfolio.target)
        assert portfolio.allocation.answer.weights.to_dict() == pytest.approx(on_curve.to_dict(), abs=1e-9)
    assert f"target={portfolio.target:.10g}" in portfolio.query


def test_unknown_symbols_are_refused_with_their_reasons_and_the_others_join(portfolio: PortfolioState) -> None:
    portfolio.open("symbols=AAPL,MSFT")
    portfolio.background.settle(120)
    portfolio.add("KO, TSLA foo! AZN.L")
    portfolio.background.settle(120)
    assert portfolio.symbols == ("AAPL", "MSFT", "KO")
    assert "TSLA is not in the sample" in portfolio.asset_error
    assert "'foo!' is not a symbol" in portfolio.asset_error


def test_a_cancelled_question_says_so_and_can_be_asked_again() -> None:
    background, started, go = Background(), threading.Event(), threading.Event()
    question = Question(background, "walk")

    def slow(progress=silent) -> int:
        started.set()
        go.wait(30)
        progress(1, 2, "walking")
        return 7

    question.ask(slow)
    assert started.wait(30)
    question.cancel()
    assert not question.busy
    assert question.error == "Cancelled: walk was not worked out."
    go.set()
    background.settle()
    assert question.answer is None
    question.again()
    background.settle()
    assert question.answer == 7
    assert question.error == ""
    background.close()


def test_a_question_that_fails_keeps_the_answer_before() -> None:
    background = Background()
    question = Question(background, "walk")
    question.ask(lambda progress: 1)
    background.settle()

    def broken(progress) -> int:
        raise DataError("<b>too short</b>")

    question.ask(broken)
    background.settle()
    assert (question.answer, question.error, question.busy) == (1, "<b>too short</b>.", False)
    background.close()


def test_time_left_is_said_in_words() -> None:
    assert time_left(3.0, 0.5) == "about 3 s left"
    assert time_left(3.0, 0.001) == ""


def test_everything_in_a_table_is_escaped(shared_desk) -> None:
    import pandas as pd

    frame = pd.DataFrame({"<i>a": ["<script>hit()</script>", None]}, index=["<b>x", "y"])
    for cells in ({}, {"<i>a": Cell("<u>", left=True)}):
        html = table_html(frame, cells, caption="<img>", label="<s>")
        assert not any(tag in html for tag in ("<script", "<img", "<b>x", "<i>a", "<u>", "<s>"))
