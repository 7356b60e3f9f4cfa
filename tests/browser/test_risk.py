"""The Risk screen in a real browser: what is drawn is what Desk says, and what one can do to it."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from accessibility import check_accessible
from drawn import RED_DOTS

from quantkit import Desk

pytestmark = pytest.mark.browser

TILE = "[data-qk-tile='{}'] b"
SECONDS = 90


@pytest.fixture(scope="module")
def server(serve_screen: Callable[..., Any]) -> Iterator[Any]:
    with serve_screen("risk") as running:
        yield running


@pytest.fixture(scope="module")
def one_page(server: Any, visit_once: Callable[..., Any]) -> Any:
    visitor = visit_once()
    visitor.open(server.address("risk", "symbol=AAPL&level=0.99"), seconds=90)
    return visitor


@pytest.fixture
def screen(one_page: Any) -> Iterator[Any]:
    yield one_page
    errors, one_page.errors[:] = list(one_page.errors), []
    assert errors == []
    assert one_page.foreign == []


def tile(screen: Any, name: str, expected: str) -> None:
    selector = TILE.format(name)
    screen.wait_for(selector, expected, SECONDS)


def load(screen: Any, file: Path) -> None:
    with screen.page.expect_file_chooser() as chooser:
        screen.page.click(".qk-upload")
    chooser.value.set_files(file)


def percent(value: float) -> str:
    return f"{value * 100:,.2f}%"


def test_the_tiles_of_a_deep_link_are_desk_s_figures(screen: Any, shared_desk: Desk) -> None:
    report = shared_desk.risk("AAPL", level=0.99)
    tile(screen, "VaR", percent(report.value_at_risk["auto"]))
    assert screen.text(TILE.format("ES")) == percent(report.expected_shortfall["auto"])
    assert screen.text(TILE.format("Volatility")) == percent(report.annual_volatility)
    assert screen.text(TILE.format("Sharpe")) == f"{report.sharpe:.2f}"
    assert screen.text(TILE.format("Sortino")) == f"{report.sortino:.2f}"
    assert screen.text(TILE.format("Max drawdown")) == percent(report.max_drawdown)
    assert screen.text(TILE.format("Beta")) == f"{report.beta:.2f}"
    assert f"{report.value_at_risk_currency['auto']:+.2f} USD" in screen.text("[data-qk-tile='VaR']")
    assert screen.said("location.search") == "?symbol=AAPL&level=0.99"


def p_value(test: Any) -> str:
    return "–" if math.isnan(test.p_value) else f"{test.p_value:.3f}"


def test_every_method_stands_beside_its_tests(screen: Any, shared_desk: Desk) -> None:
    report = shared_desk.risk("AAPL", level=0.99)
    for method, row in report.backtests.rows.items():
        said = screen.text(f".qk-methods tr:has(th:text-is('{method}'))")
        for figure in (percent(report.value_at_risk[method]), f"{row.breaches}", p_value(row.kupiec),
                       p_value(row.independence), row.zone, row.verdict):  # fmt: skip
            assert figure in said or math.isnan(report.value_at_risk[method]), (method, figure, said)


def test_every_breach_is_a_red_dot(screen: Any, shared_desk: Desk) -> None:
    row = shared_desk.risk("AAPL", level=0.99).backtests.rows["auto"]
    screen.page.wait_for_function(f"({RED_DOTS})() === {row.breaches}", timeout=60_000)


def test_the_level_changes_everything_that_stands_on_it(screen: Any, shared_desk: Desk) -> None:
    screen.page.select_option(".qk-field:has-text('Level') select", label="95 %")
    tile(screen, "VaR", percent(shared_desk.risk("AAPL").value_at_risk["auto"]))
    screen.wait_for_address("?symbol=AAPL")
    screen.page.select_option(".qk-field:has-text('Method') select", label="evt")
    tile(screen, "VaR", percent(shared_desk.risk("AAPL").value_at_risk["evt"]))
    screen.wait_for_address("method=evt")
    assert "qk-result" in screen.said("document.querySelector('.qk-methods tr.on').closest('.qk-result').className")


def test_the_months_and_the_drawdowns_are_desk_s(screen: Any, shared_desk: Desk) -> None:
    months = shared_desk.risk_history("AAPL").months
    year = screen.wait_for(".qk-months tr:has(th:text-is('2022'))", "2022").split()
    assert year[1:] == [f"{value * 100:+.1f}" for value in months.loc[2022]]
    deepest = shared_desk.risk("AAPL").drawdowns[0]
    assert f"{deepest.depth * 100:.2f}% {deepest.peak:%Y-%m-%d} {deepest.trough:%Y-%m-%d}" in screen.text(
        ".qk-answer:has(h2:has-text('Worst drawdowns')) tbody"
    )


def test_an_unknown_symbol_is_refused_in_place_and_the_screen_lives(screen: Any, shared_desk: Desk) -> None:
    screen.page.fill("#qk-symbol", "TSLA")
    screen.page.press("#qk-symbol", "Enter")
    said = screen.wait_for("#qk-banner", "TSLA is not in the sample")
    assert "Still showing AAPL." in said
    assert screen.text(TILE.format("Max drawdown")) == percent(shared_desk.risk("AAPL").max_drawdown)
    screen.page.fill("#qk-symbol", "MSFT")
    screen.page.press("#qk-symbol", "Enter")
    tile(screen, "Max drawdown", percent(shared_desk.risk("MSFT").max_drawdown))
    screen.wait_for_address("symbol=MSFT")
    screen.page.wait_for_selector("#qk-banner", state="hidden")


def test_holdings_become_a_portfolio_and_a_cell_names_a_pair(screen: Any, shared_desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "holdings.csv"
    file.write_text("symbol,shares\nAAPL,10\n<img src=x onerror=window.hit=1>,1\n")
    load(screen, file)
    assert "row 3 of the holdings" in screen.wait_for(".qk-area-tools", "is not a symbol").lower()
    assert screen.said("window.hit") is None
    file.write_text("symbol,shares\nAAPL,10\nMSFT,5\nXOM,20\n")
    load(screen, file)
    held = shared_desk.holdings(file.read_text())
    report = shared_desk.risk(held.weights, position_value=held.value)
    screen.wait_for(".qk-whose", "Portfolio", SECONDS)
    tile(screen, "Max drawdown", percent(report.max_drawdown))
    order = shared_desk.correlation(list(held.weights), period="5y").order
    shown = shared_desk.rolling_correlation(order[0], order[1])
    panel = ".qk-answer:has(h2:has-text('Rolling correlation'))"
    screen.wait_for(f"{panel} .qk-readout", f"{shown.iloc[-1]:.2f}")
    screen.page.wait_for_selector(".qk-map .heatmapcell", timeout=30_000)
    screen.page.locator(".qk-map .heatmapcell").nth(2).click()
    other = shared_desk.rolling_correlation(order[0], order[2]).iloc[-1]
    screen.wait_for(f"{panel} .qk-readout", f"{other:.2f}")
    contributions = shared_desk.contributions(held.weights)
    for symbol, row in contributions.table.iterrows():
        said = screen.text(f".qk-answer:has(h2:has-text('Risk contributions')) tr:has(th:text-is('{symbol}'))")
        assert percent(row["volatility"] / contributions.volatility) in said
    screen.wait_for_address("holdings=AAPL")


def test_the_csv_of_a_chart_is_what_is_drawn(screen: Any, shared_desk: Desk) -> None:
    with screen.page.expect_download() as got:
        screen.page.click(".qk-answer:has(h2:has-text('Underwater')) button:has-text('CSV')")
    rows = list(csv.reader(Path(got.value.path()).read_text().splitlines()))
    assert float(min(float(row[1]) for row in rows[1:])) < -0.1
    screen.page.click(".qk-answer:has(h2:has-text('Underwater')) button:has-text('Table')")
    screen.wait_for(".qk-answer:has(h2:has-text('Underwater')) .qk-table-twin", "CSV holds them all")


def test_on_a_phone_nothing_scrolls_sideways_and_a_script_in_the_address_is_text(server: Any, visit: Any) -> None:
    visitor = visit(390, 844)
    visitor.open(
        server.address("risk", "symbol=MSFT&level=7&method=%3Cimg%20src=x%20onerror=window.hit=1%3E"), seconds=90
    )
    assert "level '7' is not a number from 0.51 to 0.999" in visitor.wait_for("#qk-banner", "evel '7'").lower()
    assert visitor.said("window.hit") is None
    assert visitor.said("document.documentElement.scrollWidth") == 390


def test_axe_finds_nothing_serious_and_the_keyboard_reaches_everything(screen: Any) -> None:
    check_accessible(screen.page)
