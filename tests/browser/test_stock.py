"""The Stock screen in a real browser: what is drawn is what Desk says, and everything one can do to it."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from accessibility import check_accessible
from drawn import CANDLES

from quantkit import Desk

pytestmark = pytest.mark.browser

READOUT = ".qk-readout"
TICKS = "[...document.querySelectorAll('.qk-plot .axis')[0].querySelectorAll('.tick text')].map((t) => t.textContent)"
ASKS_OTHERS = re.compile(r"^(https?|wss?)://(?!127\.0\.0\.1)").match


@pytest.fixture(scope="module")
def server(serve_screen: Callable[..., Any]) -> Iterator[Any]:
    with serve_screen("stock") as running:
        yield running


@dataclass
class Screen:
    """A page that shows the Stock screen, and what went wrong in it."""

    page: Any
    errors: list[str]
    foreign: list[str]

    def said(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.fixture
def open_stock(server: Any, visit: Callable[..., Any]) -> Callable[..., Any]:
    """Opens the Stock screen in a browser of its own and waits until it is drawn."""

    def start(query: str = "symbol=AAPL", *, width: int = 1440, height: int = 900, **options: Any) -> Any:
        visitor = visit(width, height, **options)
        visitor.open(server.address("stock", query))
        return visitor

    return start


@pytest.fixture(scope="module")
def one_page(server: Any, browser: Any) -> Iterator[Screen]:
    """One visit for all tests that don't ask for an address of their own: a kernel takes seconds to start."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    screen = Screen(page, [], [])
    page.on("pageerror", lambda error: screen.errors.append(str(error)))
    page.on("console", lambda said: screen.errors.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: screen.foreign.append(asked.url) if ASKS_OTHERS(asked.url) else None)
    page.goto(server.address("stock", "symbol=AAPL&period=6mo"), wait_until="commit")
    page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=60_000)
    yield screen
    context.close()


@pytest.fixture
def screen(one_page: Screen) -> Iterator[Screen]:
    """AAPL's last six months with nothing under the pointer, whatever the test before has left behind."""
    page = one_page.page
    page.mouse.move(2, 2)
    if one_page.said("document.querySelector('.qk-readout').textContent.includes('2023-09-21') === false"):
        page.click('tr[data-symbol="AAPL"]')
        wait_for(one_page, READOUT, "2023-09-21")
    page.click('.qk-segments button:has-text("6M")')
    page.wait_for_function(f"{TICKS}.includes('2023-07') && {TICKS}.includes('2023-08')")
    yield one_page
    errors, one_page.errors = one_page.errors, []
    assert errors == []
    assert one_page.foreign == []


def choose_range(screen: Screen, name: str, label: str) -> None:
    """Press a range button and wait until the time axis carries a label that ends so."""
    screen.page.click(f'.qk-segments button:has-text("{name}")')
    screen.page.wait_for_function(f"{TICKS}.some((t) => t.endsWith('{label}'))")


def text(visitor: Any, selector: str) -> str:
    return " ".join(visitor.page.inner_text(selector).split())


def eventually(visitor: Any, read: Callable[[], str], part: str, what: str, seconds: float = 20) -> str:
    """What `read` gives once it holds `part`: the parts of a page follow one change in messages of their own."""
    end = time.monotonic() + seconds
    while part not in (said := read()):
        assert time.monotonic() < end, f"{what} says {said!r}, not {part!r}"
        visitor.page.wait_for_timeout(50)
    return said


def wait_for(visitor: Any, selector: str, part: str) -> str:
    """Text of `selector` once it holds `part`."""
    return eventually(visitor, lambda: text(visitor, selector), part, selector)


def wait_for_address(visitor: Any, part: str) -> None:
    eventually(visitor, lambda: address(visitor), part, "the address")


def readout_of(bar: Any) -> list[str]:
    """How the readout writes the four prices of a bar."""
    return [f"{name}{value:,.2f}" for name, value in zip("OHLC", (bar.open, bar.high, bar.low, bar.close), strict=True)]


def address(visitor: Any) -> str:
    return visitor.said("location.search")


def test_the_last_candle_is_desk_s_last_bar_in_words_and_in_pixels(screen: Screen, shared_desk: Desk) -> None:
    choose_range(screen, "1M", "Sep")
    bars, quote = shared_desk.history("AAPL", period="max"), shared_desk.quote("AAPL")
    said = wait_for(screen, READOUT, "2023-09-21")
    for figure in (*readout_of(bars.iloc[-1]), "V63.0M"):
        assert figure in said
    assert text(screen, "[data-qk-last]") == f"{quote.close:,.2f}"
    assert f"{quote.change:+,.2f} ({quote.change_percent * 100:+.2f}%) as of 2023-09-21" in text(screen, ".qk-change")
    screen.page.wait_for_timeout(500)
    ticks = screen.said(
        """() => {
          const number = (text) => text.match(/-?[\\d.]+/g).map(Number);
          const axis = document.querySelectorAll('.qk-plot .axis')[1];
          const ticks = [...axis.querySelectorAll('.tick')].map((tick) =>
            [number(tick.getAttribute('transform'))[1], Number(tick.textContent.replace(/,/g, ''))]);
          return ticks;
        }"""
    )
    candle = screen.said(CANDLES)[-1]
    (y0, p0), (y1, p1) = ticks[0], ticks[-1]
    price = lambda y: p0 + (y - y0) * (p1 - p0) / (y1 - y0)  # noqa: E731
    last, pixel = bars.iloc[-1], abs((p1 - p0) / (y1 - y0))
    assert price(candle["high"]) == pytest.approx(last.high, abs=pixel)
    assert price(candle["open"]) == pytest.approx(last.open, abs=pixel)
    assert price(candle["close"]) == pytest.approx(last.close, abs=pixel)
    assert candle["colour"] == "rgb(239, 83, 80)"


def test_a_deep_link_opens_its_view_and_the_address_keeps_it(open_stock: Any, shared_desk: Desk) -> None:
    visitor = open_stock("symbol=msft&period=5d&interval=1m")
    last = shared_desk.history("MSFT", period="5d", interval="1m").iloc[-1]
    said = wait_for(visitor, READOUT, "EDT")
    assert f"C{last.close:,.2f}" in said
    assert text(visitor, ".qk-name").startswith("MSFT")
    assert visitor.page.input_value("#qk-symbol") == "MSFT"
    assert text(visitor, ".qk-segments .mod-active >> nth=0") == "5D"
    assert "SAMPLE" in text(visitor, "#qk-pill")
    assert address(visitor) == "?symbol=MSFT&period=5d&interval=1m"


def test_a_click_in_the_watchlist_switches_everything(screen: Screen, shared_desk: Desk) -> None:
    screen.page.click('tr[data-symbol="NVDA"]')
    bar, quote = shared_desk.history("NVDA", period="max").iloc[-1], shared_desk.quote("NVDA")
    said = wait_for(screen, READOUT, f"C{bar.close:,.2f}")
    assert all(figure in said for figure in readout_of(bar))
    assert wait_for(screen, "[data-qk-last]", f"{quote.close:,.2f}") == f"{quote.close:,.2f}"
    wait_for_address(screen, "symbol=NVDA")
    screen.page.wait_for_selector('tr.on[data-symbol="NVDA"]')
    eventually(screen, lambda: screen.page.input_value("#qk-symbol"), "NVDA", "the search box")
    eventually(screen, screen.page.title, "NVDA", "the title")


def test_the_watchlist_shows_desk_s_quotes(screen: Screen, shared_desk: Desk) -> None:
    for symbol in ("AAPL", "MSFT", "^GSPC"):
        quote = shared_desk.quote(symbol)
        row = wait_for(screen, f'tr[data-symbol="{symbol}"]', f"{quote.close:,.2f}")
        assert f"{quote.change_percent * 100:+.2f}%" in row
    assert screen.page.locator(".qk-spark polyline").count() == 8
    screen.page.click('th button:has-text("Chg")')
    first = screen.page.locator(".qk-watch tbody tr").first
    changes = {symbol: shared_desk.quote(symbol).change_percent for symbol in shared_desk.settings.watchlist}
    assert first.get_attribute("data-symbol") == max(changes, key=changes.__getitem__)


def test_a_symbol_typed_in_the_header_is_shown(screen: Screen, shared_desk: Desk) -> None:
    screen.page.keyboard.press("/")
    screen.page.keyboard.type("ko")
    screen.page.keyboard.press("Enter")
    said = wait_for(screen, READOUT, f"C{shared_desk.quote('KO').close:,.2f}")
    assert "indicative, adjusted" in said
    wait_for(screen, ".qk-venue", "indicative, adjusted")
    wait_for_address(screen, "symbol=KO")


def test_an_unknown_symbol_is_said_and_never_an_empty_chart(open_stock: Any) -> None:
    visitor = open_stock("symbol=TSLA")
    said = text(visitor, "#qk-banner")
    assert "TSLA is not in the sample; QUANTKIT_PROVIDER=yahoo make run fetches it." in said
    assert "Showing AAPL instead." in said
    assert "2023-09-21" in text(visitor, READOUT)
    assert len(visitor.said(CANDLES)) > 100
    visitor.page.fill("#qk-symbol", "AAPK")
    visitor.page.keyboard.press("Enter")
    assert "Still showing AAPL." in wait_for(visitor, "#qk-banner", "AAPK")
    visitor.page.click('tr[data-symbol="MSFT"]')
    visitor.page.wait_for_selector("#qk-banner", state="hidden")


@pytest.mark.parametrize(
    "query",
    [
        "symbol=%3Cscript%3Ewindow.hit%3D1%3C/script%3E&overlays=%3Cimg%20src=x%20onerror=window.hit=1%3E",
        "symbol=%22%3E%3Cimg%20src=x%20onerror=window.hit=1%3E&period=%3Csvg%20onload=window.hit=1%3E&interval='%22",
    ],
)
def test_a_script_in_the_address_is_only_text(open_stock: Any, query: str) -> None:
    visitor = open_stock(query)
    assert visitor.said("window.hit") is None
    assert visitor.page.locator("#qk-banner img, #qk-banner script, #qk-banner svg").count() == 0
    assert len(text(visitor, "#qk-banner")) > 20
    assert "2023-09-21" in text(visitor, READOUT)
    assert visitor.errors == []


def test_range_buttons_show_their_span_and_bring_it_back(screen: Screen) -> None:
    choose_range(screen, "5Y", "2020")
    wait_for_address(screen, "period=5y")
    choose_range(screen, "1M", "Sep")
    screen.page.locator(".qk-plot").dblclick(position={"x": 300, "y": 200})
    screen.page.wait_for_function(f"{TICKS}.includes('2015')")
    screen.page.wait_for_selector(".qk-loose")
    choose_range(screen, "1M", "Sep")
    screen.page.wait_for_selector(".qk-loose", state="detached")


def test_the_crosshair_reads_the_bar_under_it(screen: Screen, shared_desk: Desk) -> None:
    choose_range(screen, "1M", "Sep")
    bars = shared_desk.history("AAPL", period="1mo")
    area = screen.page.locator(".qk-plot .plotarea_background").bounding_box()
    # 22 bars and room for six more steps: the middle of the eleventh bar from the left.
    screen.page.mouse.move(area["x"] + area["width"] * 10.5 / 28, area["y"] + 80)
    bar = bars.iloc[10]
    said = wait_for(screen, READOUT, f"{bar.name:%Y-%m-%d}")
    assert all(figure in said for figure in readout_of(bar))
    assert text(screen, ".qk-cross-date") == f"{bar.name:%Y-%m-%d}"
    screen.page.mouse.move(10, 10)
    wait_for(screen, READOUT, "2023-09-21")


def test_wheel_and_drag_move_within_the_history_and_never_out_of_it(screen: Screen) -> None:
    choose_range(screen, "1Y", "2022-11")
    seen = lambda: screen.said("document.querySelector('.qk-plot').getAttribute('aria-label')")  # noqa: E731
    area = screen.page.locator(".qk-plot .plotarea_background").bounding_box()
    middle = area["x"] + area["width"] / 2, area["y"] + area["height"] / 3
    before = seen()
    screen.page.mouse.move(*middle)
    screen.page.mouse.wheel(0, -400)
    screen.page.wait_for_timeout(600)
    zoomed = seen()
    assert bars_in(zoomed) < bars_in(before)
    screen.page.mouse.down()
    screen.page.mouse.move(middle[0] + 300, middle[1], steps=8)
    screen.page.mouse.up()
    screen.page.wait_for_timeout(600)
    panned = seen()
    assert abs(bars_in(panned) - bars_in(zoomed)) <= 2
    assert panned != zoomed
    for _ in range(4):
        screen.page.mouse.down()
        screen.page.mouse.move(middle[0] - 4000, middle[1], steps=4)
        screen.page.mouse.up()
        screen.page.mouse.move(*middle)
    screen.page.wait_for_timeout(600)
    assert "to 2023-09-21" in seen()
    assert bars_in(seen()) >= 1


def bars_in(caption: str) -> int:
    return int(caption.split(" bars")[0].rsplit(" ", 1)[1])


def test_a_drag_shifts_the_picture_and_the_scale_follows(screen: Screen) -> None:
    page, box = screen.page, screen.page.locator(".qk-plot .plotarea_events").first.bounding_box()
    moved = "[...document.querySelectorAll('.qk-plot g')].filter((group) => group.style.transform).length"
    edges = "document.querySelector('.qk-plot svg.svg-figure').style.clipPath"
    before, x, y = screen.said(CANDLES)[0]["x"], box["x"] + box["width"] / 2, box["y"] + box["height"] / 3
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20, y)
    page.mouse.move(x + 60, y)
    page.wait_for_function(f"{moved} > 2 && {edges} !== ''")
    page.mouse.up()
    page.wait_for_function(f"{moved} === 0 && {edges} === ''")
    assert screen.said(CANDLES)[0]["x"] != before


def test_another_range_draws_each_path_once(screen: Screen) -> None:
    """Two scales and the data change, and a mark that followed each of them would be drawn three times over."""
    choose_range(screen, "1M", "Sep")
    screen.page.wait_for_timeout(1000)
    screen.said(
        """() => {
          const filled = [...document.querySelectorAll('.qk-plot path.line[d]')].filter((path) => path.style.fill);
          window.__drawn = filled.map(() => 0);
          filled.forEach((path, at) => new MutationObserver((all) => { window.__drawn[at] += all.length; })
            .observe(path, { attributes: true, attributeFilter: ['d'] }));
        }"""
    )
    for name, label in (("1Y", "2022-11"), ("6M", "2023-06")):  # bars that were not drawn yet, and some of those
        choose_range(screen, name, label)
        screen.page.wait_for_timeout(1000)
        assert screen.said("window.__drawn.splice(0, 4, 0, 0, 0, 0)") == [1, 1, 1, 1]


def test_the_chart_can_be_read_with_the_keyboard_alone(screen: Screen, shared_desk: Desk) -> None:
    bars = shared_desk.history("AAPL", period="6mo")
    screen.page.focus(".qk-plot")
    for _ in range(3):
        screen.page.keyboard.press("ArrowLeft")
    bar = bars.iloc[-4]
    assert all(figure in wait_for(screen, READOUT, f"{bar.name:%Y-%m-%d}") for figure in readout_of(bar))
    screen.page.keyboard.press("0")
    screen.page.wait_for_function(
        "document.querySelector('.qk-plot').getAttribute('aria-label').includes('from 2013-01-02 to 2023-09-21')"
    )


def test_csv_is_desk_history(screen: Screen, shared_desk: Desk) -> None:
    choose_range(screen, "1Y", "2022-11")
    with screen.page.expect_download() as waiting:
        screen.page.click('button:has-text("CSV")')
    expected = shared_desk.history("AAPL", period="1y")
    assert waiting.value.suggested_filename == f"AAPL-1d-{expected.index[0]:%Y%m%d}-20230921.csv"
    rows = list(csv.DictReader(Path(waiting.value.path()).read_text().splitlines()))
    assert [row["time"] for row in rows] == [str(stamp) for stamp in expected.index]
    for name in expected.columns:
        assert [float(row[name]) for row in rows] == expected[name].tolist()


def test_a_picture_of_the_chart_can_be_saved(screen: Screen) -> None:
    with screen.page.expect_download() as waiting:
        screen.page.click('button:has-text("PNG")')
    content = Path(waiting.value.path()).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 10_000


def test_the_table_twin_holds_what_is_drawn(screen: Screen, shared_desk: Desk) -> None:
    choose_range(screen, "1M", "Sep")
    screen.page.click('button:has-text("Table")')
    screen.page.wait_for_selector(".qk-table-twin tbody tr")
    rows = screen.said(
        "[...document.querySelectorAll('.qk-table-twin tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))"
    )
    bars = shared_desk.history("AAPL", period="1mo").iloc[::-1]
    assert [row[0] for row in rows] == [f"{day:%Y-%m-%d}" for day in bars.index]
    assert [row[4] for row in rows] == [f"{close:,.2f}" for close in bars["close"]]
    screen.page.click('button:has-text("Table")')


def test_the_forecast_arrives_beside_the_chart_as_desk_made_it(screen: Screen, server: Any) -> None:
    screen.page.wait_for_selector("[data-qk-forecast]", timeout=120_000)
    said = text(screen, ".qk-now")
    with Desk.open(home=server.home) as desk:
        forecast = desk.predict("AAPL")
    step = forecast.steps[0]
    for figure in (
        f"Predicted next {step.mean:,.2f}", "Next session 2023-09-22", f"{step.lower:,.2f} – {step.upper:,.2f}",
        f"{forecast.predicted_volatility * 100:.2f}%", forecast.in_words(),
    ):  # fmt: skip
        assert figure in said
    screen.page.wait_for_function("document.querySelectorAll('.qk-plot .area[style*=\"0.16\"]').length === 3")
    chip = '.qk-chip-button:has-text("Forecast")'
    screen.page.click(chip)
    screen.page.wait_for_selector("[data-qk-forecast]", state="detached")
    wait_for_address(screen, "overlays=")
    screen.page.click(chip)
    screen.page.wait_for_selector("[data-qk-forecast]")


def test_the_watchlist_is_kept_between_visits(server: Any, visit: Callable[..., Any]) -> None:
    visitor = visit()
    visitor.open(server.address("stock", "symbol=AAPL"))
    visitor.page.wait_for_selector('tr[data-symbol="AAPL"]')
    visitor.page.fill(".qk-watch-add input", "tsla")
    visitor.page.keyboard.press("Enter")
    wait_for(visitor, ".qk-watch .fault", "TSLA is not in the sample")
    visitor.page.fill(".qk-watch-add input", "xom")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector('tr[data-symbol="XOM"]')
    visitor.page.hover('tr[data-symbol="AMZN"]')
    visitor.page.click('tr[data-symbol="AMZN"] .qk-watch-remove')
    visitor.page.wait_for_selector('tr[data-symbol="AMZN"]', state="detached")
    wait_for_address(visitor, "symbol=AAPL")
    visitor.open(server.address("stock", "symbol=MSFT"))
    visitor.page.wait_for_selector('tr[data-symbol="XOM"]')
    assert visitor.page.locator('tr[data-symbol="AMZN"]').count() == 0


def test_the_theme_recolours_the_chart(screen: Screen) -> None:
    colours = f"new Set(({CANDLES})().map((candle) => candle.colour))"
    screen.page.click("#qk-theme")
    screen.page.wait_for_function(f"{colours}.has('rgb(0, 121, 107)') && !{colours}.has('rgb(38, 166, 154)')")
    assert screen.said("getComputedStyle(document.querySelector('.qk-now')).backgroundColor") == "rgb(255, 255, 255)"
    screen.page.click("#qk-theme")
    screen.page.wait_for_function(f"{colours}.has('rgb(38, 166, 154)')")


@pytest.mark.parametrize("query", ["symbol=TSLA", "symbol=MSFT&period=5d&interval=1m"])
def test_nothing_scrolls_sideways_on_a_phone(open_stock: Any, query: str) -> None:
    visitor = open_stock(query, width=390, height=844, has_touch=True)
    visitor.page.wait_for_timeout(500)
    assert visitor.said("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    boxes = [visitor.page.locator(name).first.bounding_box() for name in (".qk-main", ".qk-now", ".qk-side")]
    assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]
    assert {round(box["width"]) for box in boxes} == {374}
    assert len(visitor.said(CANDLES)) > 20


def test_controls_have_names_and_no_default_grey(screen: Screen) -> None:
    nameless = screen.said(
        """[...document.querySelectorAll('#qk-cells button, #qk-cells input, #qk-cells [tabindex="0"]')]
           .filter((e) => e.getClientRects().length && !e.closest('.qk-bridge'))
           .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.title)).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    grounds = screen.said(
        """[...new Set([...document.querySelectorAll('#qk-cells button')].filter((e) => e.getClientRects().length)
           .map((e) => getComputedStyle(e).backgroundColor))]"""
    )
    assert set(grounds) <= {"rgba(0, 0, 0, 0)", "rgb(26, 33, 48)"}


def test_indicators_and_comparison_are_the_desks_and_are_in_the_address(screen: Screen, shared_desk: Desk) -> None:
    page = screen.page
    page.click('.qk-toolbar button:has-text("Indicators")')
    page.click('.qk-overlays button:has-text("SMA 20")')
    page.click('.qk-overlays button:has-text("RSI 14")')
    values = shared_desk.indicators("AAPL", ["sma20", "rsi"]).iloc[-1]
    page.mouse.move(2, 2)
    wait_for(screen, READOUT, f"SMA 20{values['sma20']:,.2f}")
    wait_for(screen, READOUT, f"RSI{values['rsi']:.1f}")
    page.wait_for_selector(".qk-pane path.line")
    wait_for_address(screen, "overlays=forecast,sma20,rsi")
    field = page.locator(".qk-overlays input[type=text]")
    field.fill("NVDA")
    field.press("Enter")
    wait_for(screen, READOUT, "NVDA")
    wait_for_address(screen, "compare=NVDA")
    field.fill("NOPE")
    field.press("Enter")
    wait_for(screen, ".qk-overlays [role=alert]", "NOPE is not in the sample")
    field.fill("")
    field.press("Enter")
    page.click('.qk-overlays button:has-text("SMA 20")')
    page.click('.qk-overlays button:has-text("RSI 14")')
    page.click('.qk-toolbar button:has-text("Indicators")')
    page.wait_for_function("!location.search.includes('sma20') && !location.search.includes('rsi')")


def test_axe_finds_nothing_serious_and_the_keyboard_reaches_everything(screen: Screen) -> None:
    check_accessible(screen.page)
