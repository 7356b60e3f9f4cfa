"""The Portfolio screen in a real browser: what is drawn is what Desk says, and what one can do to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from accessibility import check_accessible

from quantkit import Desk

pytestmark = pytest.mark.browser

SYMBOLS = ["AAPL", "MSFT", "JPM", "XOM"]
SECONDS = 90
TILE = "[data-qk-tile='{}'] b"


@pytest.fixture(scope="module")
def server(serve_screen: Callable[..., Any]) -> Iterator[Any]:
    with serve_screen("portfolio") as running:
        yield running


@pytest.fixture(scope="module")
def one_page(server: Any, visit_once: Callable[..., Any]) -> Any:
    visitor = visit_once()
    visitor.open(server.address("portfolio", "symbols=AAPL,MSFT,JPM,XOM&objective=min_volatility"), seconds=90)
    return visitor


@pytest.fixture
def screen(one_page: Any) -> Iterator[Any]:
    yield one_page
    errors, one_page.errors[:] = list(one_page.errors), []
    assert errors == []
    assert one_page.foreign == []


def percent(value: float) -> str:
    return f"{value * 100:,.2f}%"


def weight_of(screen: Any, symbol: str) -> str:
    return str(screen.text(f".qk-weights tr:has(th:text-is('{symbol}')) td >> nth=0"))


def shown(screen: Any, allocation: Any) -> None:
    """Every weight and every tile says what Desk says, to the last digit that is shown."""
    screen.wait_for(TILE.format("Volatility"), percent(allocation.volatility), SECONDS)
    screen.wait_for(TILE.format("Expected return"), percent(allocation.expected_return))
    for symbol, weight in allocation.weights.items():
        selector = f".qk-weights tr:has(th:text-is('{symbol}')) td >> nth=0"
        screen.wait_for(selector, percent(weight))
        assert weight_of(screen, symbol) == percent(weight)


def test_the_weights_of_a_deep_link_are_desk_s(screen: Any, shared_desk: Desk) -> None:
    allocation = shared_desk.optimize(SYMBOLS, "min_volatility", capital=100_000)
    shown(screen, allocation)
    for symbol, count in allocation.shares.shares.items():
        assert f"{count:,.6g}" in screen.text(f".qk-weights tr:has(th:text-is('{symbol}'))")
    assert screen.text(TILE.format("Cash left")) == f"{allocation.leftover_cash:,.2f}"


def test_the_backtest_stands_beside_1_n_with_its_caveats(screen: Any, shared_desk: Desk) -> None:
    found = shared_desk.backtest(SYMBOLS, "min_volatility", constraints={"bounds": (0.0, 1.0)}, risk_free=0.0)
    for strategy, row in found.measures.iterrows():
        said = screen.wait_for(f".qk-answer tr:has(th:text-is('{strategy}'))", percent(row["annual_return"]), SECONDS)
        assert f"{row['sharpe']:.2f}" in said
    assert "chosen with hindsight" in screen.text(".qk-caveat")


def test_a_click_on_the_frontier_takes_its_weights(screen: Any, shared_desk: Desk) -> None:
    before = weight_of(screen, "AAPL")
    box = screen.said(
        """() => {
          const curve = [...document.querySelectorAll('.qk-plot path.line')].sort((a, b) =>
            b.getAttribute('d').length - a.getAttribute('d').length).find((p) => p.closest('.qk-answer')
              .querySelector('h2').textContent.includes('frontier'));
          const at = curve.getPointAtLength(curve.getTotalLength() * 0.6).matrixTransform(curve.getScreenCTM());
          return { x: at.x, y: at.y };
        }"""
    )
    screen.page.mouse.move(box["x"], box["y"])
    screen.wait_for(".qk-answer:has(h2:has-text('frontier')) .qk-readout", "Frontier")
    screen.page.mouse.click(box["x"], box["y"])
    screen.wait_for_address("target=")
    target = float(screen.said("new URLSearchParams(location.search).get('target')"))
    taken = shared_desk.optimize(SYMBOLS, "target_return", target_return=target, capital=100_000)
    shown(screen, taken)
    assert weight_of(screen, "AAPL") != before
    on_curve = shared_desk.frontier(SYMBOLS).weights_at(target)
    assert weight_of(screen, "AAPL") == percent(on_curve["AAPL"])


def test_an_unknown_symbol_is_refused_in_place_with_the_reason(screen: Any) -> None:
    chips = screen.page.locator(".qk-symbol")
    assert chips.count() == 4
    screen.page.fill(".qk-field:has-text('Add') input", "TSLA, <img src=x onerror=window.hit=1>, KO")
    screen.page.press(".qk-field:has-text('Add') input", "Enter")
    said = screen.wait_for(".qk-area-tools", "TSLA is not in the sample", SECONDS)
    assert "is not a symbol" in said
    screen.page.wait_for_function("document.querySelectorAll('.qk-symbol').length === 5")
    assert screen.said("window.hit") is None
    screen.wait_for_address("KO")
    screen.page.click(".qk-symbol:has-text('KO')")
    screen.page.wait_for_function("document.querySelectorAll('.qk-symbol').length === 4")


def test_limits_that_cannot_hold_are_explained_and_the_screen_lives(screen: Any, shared_desk: Desk) -> None:
    screen.page.select_option(".qk-field:has-text('Objective') select", label="min_volatility")
    shown(screen, shared_desk.optimize(SYMBOLS, "min_volatility", capital=100_000))
    field = ".qk-field:has-text('Most') input"
    screen.page.fill(field, "20")
    screen.page.press(field, "Enter")
    panel = ".qk-answer:has(h2:has-text('Weights')) .qk-fault"
    said = screen.wait_for(panel, "every asset at most 20 %", SECONDS)
    assert "The nearest that exists" in said
    screen.page.fill(field, "40")
    screen.page.press(field, "Enter")
    shown(screen, shared_desk.optimize(SYMBOLS, "min_volatility", {"bounds": (0.0, 0.4)}, capital=100_000))
    screen.page.wait_for_selector(panel, state="hidden")


def test_a_hostile_address_is_said_and_a_phone_does_not_scroll_sideways(server: Any, visit: Callable[..., Any]) -> None:
    visitor = visit(390, 844)
    query = "symbols=AAPL,MSFT,TSLA&objective=%3Csvg%20onload=window.hit=1%3E&most=9"
    visitor.open(server.address("portfolio", query), seconds=90)
    said = visitor.wait_for("#qk-banner", "TSLA is not in the sample", SECONDS)
    assert "Showing AAPL, MSFT instead." in said
    assert visitor.said("window.hit") is None
    assert visitor.said("document.documentElement.scrollWidth") == 390
    assert visitor.errors == []


def test_axe_finds_nothing_serious_and_the_keyboard_reaches_everything(screen: Any) -> None:
    check_accessible(screen.page)
