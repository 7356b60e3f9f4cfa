"""The Predictions screen in a real browser: what is drawn is what Desk says, and everything one can do to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from accessibility import check_accessible
from drawn import RED_DOTS

from quantkit import Desk

pytestmark = pytest.mark.browser

# Quick models, so that the tests wait for the page and not for fits.
VIEW = "symbol=AAPL&model=drift&horizon=5&interval=1d&models=naive,drift"


@pytest.fixture(scope="module")
def server(serve_screen: Callable[..., Any]) -> Iterator[Any]:
    with serve_screen("predictions") as running:
        yield running


@pytest.fixture(scope="module")
def desk(server: Any) -> Iterator[Desk]:
    """On the store of the server: what the page has asked is answered from there."""
    with Desk.open(home=server.home) as opened:
        yield opened


@dataclass
class Screen:
    """A page that shows the Predictions screen, and what went wrong in it."""

    page: Any
    errors: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return " ".join(self.page.locator(selector).first.inner_text(timeout=20_000).split())

    def eventually(self, read: Callable[[], str], part: str, seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while part not in (said := read()):
            assert time.monotonic() < end, f"{said!r} does not hold {part!r}"
            self.page.wait_for_timeout(50)
        return said

    def wait(self, selector: str, part: str) -> str:
        """Text of `selector` once it holds `part`."""
        return self.eventually(lambda: self.text(selector), part)

    def address(self) -> str:
        return self.page.evaluate("location.search")

    def rows(self, table: str) -> list[list[str]]:
        """Texts of a table's cells."""
        script = "(t) => [...t.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
        return self.page.locator(table).first.evaluate(script)

    def panel(self, heading: str) -> str:
        """The panel under a heading; what stands behind a "?" is part of the heading too."""
        found = f"[.//h2[starts-with(normalize-space(.), '{heading}')]]"
        return f"xpath=//*[contains(@class, 'qk-answer')]{found} >> "


def open_page(browser: Any, address: str, **options: Any) -> Screen:
    context = browser.new_context(viewport=options.pop("viewport", {"width": 1440, "height": 900}), **options)
    screen = Screen(context.new_page())
    screen.page.on("pageerror", lambda error: screen.errors.append(str(error)))
    screen.page.on("console", lambda said: screen.errors.append(said.text) if said.type == "error" else None)
    screen.page.goto(address, wait_until="commit")
    screen.page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=60_000)
    return screen


@pytest.fixture(scope="module")
def one_page(server: Any, browser: Any) -> Iterator[Screen]:
    opened = open_page(browser, server.address("predictions", VIEW))
    yield opened
    opened.page.context.close()


@pytest.fixture
def screen(one_page: Screen) -> Iterator[Screen]:
    """One visit for all tests: a kernel takes seconds to start."""
    yield one_page
    errors, one_page.errors = one_page.errors, []
    assert errors == []


@pytest.fixture
def aapl(screen: Screen) -> Screen:
    """AAPL's view of five steps, whatever the test before has left behind."""
    if "symbol=AAPL&model=drift&horizon=5" not in screen.address():
        screen.page.fill("#qk-symbol", "AAPL")
        screen.page.keyboard.press("Enter")
        screen.eventually(screen.address, "symbol=AAPL")
        screen.page.select_option(".qk-toolbar select >> nth=0", label="drift")
        screen.page.click(".qk-toolbar .qk-steps button:text-is('5')")
    screen.wait(".qk-answer .qk-result", "From 173.93 USD")
    screen.wait("[data-qk-tile='Model']", "drift")
    screen.wait("[data-qk-verdict]", "5 steps ahead")
    return screen


def test_every_figure_is_desk_s_to_the_last_digit(aapl: Screen, desk: Desk) -> None:
    made = desk.predict("AAPL", model="drift")
    assert aapl.text("[data-qk-tile='Predicted next'] b") == f"{made.predicted_price:,.2f}"
    trend = aapl.text("[data-qk-tile='Trend']")
    assert f"{made.trend} {made.trend_probability:.0%}" in trend
    assert ("no edge" in trend) == made.no_edge
    assert aapl.text("[data-qk-tile='Volatility'] b") == f"{made.predicted_volatility * 100:.2f}%"
    assert aapl.text("[data-qk-tile='Coverage'] b") == f"{made.coverage * 100:.1f}%"
    rows = aapl.rows(aapl.panel("Next steps") + "table")
    assert [row[:5] for row in rows] == [
        [str(at.step), f"{at.timestamp:%Y-%m-%d}", f"{at.mean:,.2f}", f"{at.lower:,.2f}", f"{at.upper:,.2f}"]
        for at in made.steps
    ]
    assert aapl.text("[data-qk-verdict]") == made.in_words()


def test_the_leaderboard_is_desk_s_and_sorts(aapl: Screen, desk: Desk) -> None:
    table = ".qk-sortable table"
    aapl.page.wait_for_selector(f"{table} tr[data-name='naive'] .qk-badge", timeout=60_000)
    board = desk.leaderboard("AAPL", models=["naive", "drift"])
    for row, standing in zip(aapl.rows(table), board.rows, strict=True):
        figures = (f"{standing.mae * 100:.3f}%", f"{standing.rmse * 100:.3f}%", f"{standing.mase:.3f}")
        assert tuple(row[1:4]) == figures
        assert row[-1] == standing.verdict
    assert aapl.rows(table)[0][0] == board.rows[0].model
    aapl.page.click(".qk-sortable th button:text-is('MAE')")
    best = sorted(board.rows, key=lambda each: each.mae)
    assert [row[1] for row in aapl.rows(table)] == [f"{each.mae * 100:.3f}%" for each in best]
    aapl.page.focus(".qk-sortable th button:text-is('MAE')")
    aapl.page.keyboard.press("Enter")
    assert aapl.page.get_attribute(".qk-sortable th:has(button:text-is('MAE'))", "aria-sort") == "descending"
    assert [row[1] for row in aapl.rows(table)] == [f"{each.mae * 100:.3f}%" for each in best[::-1]]
    aapl.page.keyboard.press("Enter")


def test_fan_and_misses_are_where_the_prices_are(aapl: Screen, desk: Desk) -> None:
    made, past = desk.predict("AAPL", model="drift"), desk.hindcast("AAPL", model="drift", step=1)
    panel = aapl.panel("Forecast")
    aapl.page.wait_for_function("document.querySelectorAll('.qk-answer .object_grp').length >= 5")
    drawn = aapl.page.locator(f"{panel}.qk-figure").first.evaluate(
        """(figure) => {
          const number = (text) => text.match(/-?[\\d.]+/g).map(Number);
          const place = (mark) => number(mark.getAttribute('transform')).slice(0, 2);
          const ticks = [...figure.querySelectorAll('.axis')[1].querySelectorAll('.tick')]
            .map((tick) => [place(tick)[1], Number(tick.textContent.replace(/,/g, ''))]);
          const dots = [...figure.querySelectorAll('.object_grp:has(path)')].map(place).sort((a, b) => a[0] - b[0]);
          return { ticks, dots };
        }"""
    )
    (y0, p0), (y1, p1) = drawn["ticks"][0], drawn["ticks"][-1]
    pixel = abs((p1 - p0) / (y1 - y0))
    prices = [p0 + (y - y0) * (p1 - p0) / (y1 - y0) for _, y in drawn["dots"]]
    assert prices == pytest.approx([step.mean for step in made.steps], abs=pixel)
    missed = int((past.missed != 0).sum())
    aapl.page.wait_for_function(f"({RED_DOTS})() === {missed}")
    aapl.wait(f"{aapl.panel('Walk-forward')}.qk-readout", f"{past.path['median'].iloc[-1]:,.2f}")


def test_the_explanation_shows_parts_with_their_values(aapl: Screen, desk: Desk) -> None:
    told = desk.explain("AAPL", model="drift")
    assert told.in_words() in aapl.wait("[data-qk-explained]", "drift expects")
    part = told.contributions[0]
    aapl.wait(f"{aapl.panel('Explanation')}.qk-bars", part.feature)


def test_steps_level_and_walk_go_to_the_address_and_come_back(aapl: Screen, desk: Desk, server: Any) -> None:
    aapl.page.click(".qk-toolbar .qk-steps button:text-is('3')")
    aapl.page.select_option(".qk-toolbar select >> nth=1", label="80%")
    aapl.page.click(f"{aapl.panel('Walk-forward')}.qk-steps button:text-is('2')")
    aapl.eventually(aapl.address, "horizon=3&interval=1d&level=0.8&step=2")
    made = desk.predict("AAPL", model="drift", horizon=3, level=0.8)
    aapl.wait(aapl.panel("Next steps") + "table", "Lower 80%")
    aapl.eventually(lambda: str(aapl.rows(aapl.panel("Next steps") + "table")), f"{made.steps[-1].lower:,.2f}")
    assert len(aapl.rows(aapl.panel("Next steps") + "table")) == 3
    past = desk.hindcast("AAPL", model="drift", horizon=3, level=0.8, step=2)
    aapl.wait(f"{aapl.panel('Walk-forward')}.qk-readout", f"{past.path['upper'].iloc[-1]:,.2f}")
    aapl.page.select_option(".qk-toolbar select >> nth=1", label="95%")
    aapl.eventually(lambda: str("level" in aapl.address()), "False")


def test_what_is_drawn_can_be_read_and_taken_away(aapl: Screen, desk: Desk) -> None:
    panel = aapl.panel("Forecast")
    aapl.page.click(f"{panel}button:has-text('Table')")
    aapl.eventually(lambda: str(aapl.rows(f"{panel}.qk-table-twin table")[:5]), "2023-09-28")
    aapl.page.click(f"{panel}button:has-text('Table')")
    with aapl.page.expect_download() as given:
        aapl.page.click(f"{aapl.panel('Next steps')}button:has-text('CSV')")
    lines = Path(given.value.path()).read_text().splitlines()
    made = desk.predict("AAPL", model="drift")
    assert lines[0].startswith("time,step,mean,median,lower,upper")
    assert float(lines[-1].split(",")[2]) == made.steps[-1].mean
    with aapl.page.expect_download() as given:
        aapl.page.click(".qk-toolbar button:has-text('Notebook')")
    notebook = json.loads(Path(given.value.path()).read_text())
    assert "desk.predict('AAPL', model='drift', horizon=5" in notebook["cells"][1]["source"]


def test_a_typed_symbol_changes_everything_and_tabs_carry_it(screen: Screen, desk: Desk) -> None:
    screen.page.fill("#qk-symbol", "ko")
    screen.page.keyboard.press("Enter")
    screen.eventually(screen.address, "symbol=KO")
    made = desk.predict("KO", model="drift", horizon=int(screen.address().split("horizon=")[1][0]))
    screen.wait("[data-qk-tile='Predicted next']", f"{made.predicted_price:,.2f}")
    screen.wait("[data-qk-verdict]", made.in_words())
    screen.eventually(screen.page.title, "KO forecast")
    tabs = screen.page.evaluate("[...document.querySelectorAll('.qk-tabs a')].map(tab => tab.search)")
    assert set(tabs) == {"?symbol=KO"}
    screen.page.fill("#qk-symbol", "TSLA")
    screen.page.keyboard.press("Enter")
    screen.wait("#qk-banner", "TSLA is not in the sample")
    screen.wait("#qk-banner", "Still showing KO")
    screen.wait("[data-qk-tile='Predicted next']", f"{made.predicted_price:,.2f}")


def test_a_heavy_model_waits_for_a_click_and_slow_work_can_be_cancelled(screen: Screen) -> None:
    screen.page.select_option(".qk-toolbar select >> nth=0", label="lstm")
    screen.wait(".qk-answer > .qk-train", "starts when you ask")
    assert screen.page.locator(".qk-answer > .qk-train button").inner_text() == "Train lstm"
    screen.page.click(".qk-answer > .qk-train button")
    screen.page.click(screen.panel("Forecast") + "button:has-text('Cancel') >> visible=true")
    screen.wait(".qk-question .qk-fault >> visible=true", "Cancelled: forecast")
    assert screen.page.locator(".qk-question button:has-text('Retry') >> visible=true").count() >= 1
    screen.page.select_option(".qk-toolbar select >> nth=0", label="drift")
    screen.wait("[data-qk-tile='Model']", "drift")


def test_the_theme_recolours_charts(screen: Screen) -> None:
    colour = "[...document.querySelectorAll('.qk-plot .object_grp path')].map((dot) => dot.style.fill)"
    screen.page.click("#qk-theme")
    screen.page.wait_for_function(f"{colour}.includes('rgb(21, 101, 192)')")
    screen.page.click("#qk-theme")
    screen.page.wait_for_function(f"{colour}.includes('rgb(90, 169, 230)')")


def test_a_phone_and_a_hostile_address(server: Any, browser: Any) -> None:
    hostile = "symbol=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&models=naive&model=naive&horizon=3"
    phone = open_page(
        browser, server.address("predictions", hostile), viewport={"width": 390, "height": 844}, has_touch=True
    )
    phone.page.on("dialog", lambda dialog: phone.errors.append("a script ran"))
    phone.wait("#qk-banner", "is not a symbol")
    phone.wait("[data-qk-verdict]", "naive forecast expects no change")
    assert phone.page.evaluate("document.querySelectorAll('img[src=x]').length") == 0
    assert phone.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    boxes = [
        phone.page.locator(phone.panel(name) + "xpath=.").first.bounding_box()
        for name in ("Forecast", "Next", "Leader")
    ]
    assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]
    assert {round(box["width"]) for box in boxes} == {374}
    nameless = phone.page.evaluate(
        """[...document.querySelectorAll('#qk-cells :is(button, input, select, [tabindex="0"])')]
           .filter((e) => e.getClientRects().length && !e.closest('.qk-bridge'))
           .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.title || e.labels?.length))
           .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    assert phone.errors == []
    phone.page.context.close()


def test_axe_finds_nothing_serious_and_the_keyboard_reaches_everything(screen: Screen) -> None:
    check_accessible(screen.page)
