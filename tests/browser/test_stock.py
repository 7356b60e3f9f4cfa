"""The Stock screen in a real browser: what is drawn is what Desk says, and everything one can do to it."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quantkit import Desk

pytestmark = pytest.mark.browser

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
READOUT = ".qk-readout"


@pytest.fixture(scope="module")
def server(serve: Callable[..., Any]) -> Iterator[Any]:
    with serve(DASHBOARDS) as running:
        yield running


@pytest.fixture
def open_stock(server: Any, visit: Callable[..., Any]) -> Callable[..., Any]:
    """Opens the Stock screen and waits until it is drawn; nothing foreign may be asked for, nothing may be logged."""

    def start(query: str = "symbol=AAPL", *, width: int = 1440, height: int = 900, **options: Any) -> Any:
        visitor = visit(width, height, **options)
        visitor.open(server.address("stock", query))
        return visitor

    return start


def text(visitor: Any, selector: str) -> str:
    return " ".join(visitor.page.inner_text(selector).split())


def wait_for(visitor: Any, selector: str, part: str, seconds: float = 20) -> str:
    """Text of `selector` once it holds `part`."""
    end = time.monotonic() + seconds
    while part not in (said := text(visitor, selector)):
        assert time.monotonic() < end, f"{selector} says {said!r}, not {part!r}"
        visitor.page.wait_for_timeout(50)
    return said


def readout_of(bar: Any) -> list[str]:
    """How the readout writes the four prices of a bar."""
    return [f"{name}{value:,.2f}" for name, value in zip("OHLC", (bar.open, bar.high, bar.low, bar.close), strict=True)]


def address(visitor: Any) -> str:
    return visitor.said("location.search")


def test_the_last_candle_is_desk_s_last_bar_in_words_and_in_pixels(open_stock: Any, shared_desk: Desk) -> None:
    visitor = open_stock("symbol=AAPL&period=1mo")
    bars, quote = shared_desk.history("AAPL", period="max"), shared_desk.quote("AAPL")
    said = wait_for(visitor, READOUT, "2023-09-21")
    for figure in (*readout_of(bars.iloc[-1]), "V63.0M"):
        assert figure in said
    assert text(visitor, "[data-qk-last]") == f"{quote.close:,.2f}"
    assert f"{quote.change:+,.2f} ({quote.change_percent * 100:+.2f}%) as of 2023-09-21" in text(visitor, ".qk-change")
    visitor.page.wait_for_timeout(500)
    drawn = visitor.said(
        """() => {
          const number = (text) => text.match(/-?[\\d.]+/g).map(Number);
          const axis = document.querySelectorAll('.qk-plot .axis')[1];
          const ticks = [...axis.querySelectorAll('.tick')].map((tick) =>
            [number(tick.getAttribute('transform'))[1], Number(tick.textContent.replace(/,/g, ''))]);
          const sticks = [...document.querySelectorAll('.qk-plot .stick')].map((stick) => {
            const [x, y] = number(stick.getAttribute('transform'));
            const body = number(stick.querySelector('.stick_body').getAttribute('d'));
            return { x, high: y, open: y + body[1], close: y + body[1] + body[5], colour: stick.style.fill };
          }).sort((a, b) => a.x - b.x);
          return { ticks, last: sticks[sticks.length - 1] };
        }"""
    )
    (y0, p0), (y1, p1) = drawn["ticks"][0], drawn["ticks"][-1]
    price = lambda y: p0 + (y - y0) * (p1 - p0) / (y1 - y0)  # noqa: E731
    last, pixel = bars.iloc[-1], abs((p1 - p0) / (y1 - y0))
    assert price(drawn["last"]["high"]) == pytest.approx(last.high, abs=pixel)
    assert price(drawn["last"]["open"]) == pytest.approx(last.open, abs=pixel)
    assert price(drawn["last"]["close"]) == pytest.approx(last.close, abs=pixel)
    assert drawn["last"]["colour"] == "rgb(239, 83, 80)"
    assert visitor.foreign == []
    assert visitor.errors == []


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


def test_a_click_in_the_watchlist_switches_everything(open_stock: Any, shared_desk: Desk) -> None:
    visitor = open_stock()
    visitor.page.click('tr[data-symbol="NVDA"]')
    bar, quote = shared_desk.history("NVDA", period="max").iloc[-1], shared_desk.quote("NVDA")
    said = wait_for(visitor, READOUT, f"C{bar.close:,.2f}")
    assert all(figure in said for figure in readout_of(bar))
    assert text(visitor, "[data-qk-last]") == f"{quote.close:,.2f}"
    assert "symbol=NVDA" in address(visitor)
    assert visitor.page.get_attribute('tr[data-symbol="NVDA"]', "class") == "on"
    assert visitor.page.input_value("#qk-symbol") == "NVDA"
    assert visitor.page.title().startswith("NVDA")
    assert visitor.errors == []


def test_the_watchlist_shows_desk_s_quotes(open_stock: Any, shared_desk: Desk) -> None:
    visitor = open_stock()
    for symbol in ("AAPL", "MSFT", "^GSPC"):
        quote = shared_desk.quote(symbol)
        row = wait_for(visitor, f'tr[data-symbol="{symbol}"]', f"{quote.close:,.2f}")
        assert f"{quote.change_percent * 100:+.2f}%" in row
    assert visitor.page.locator(".qk-spark polyline").count() == 8
    visitor.page.click('th button:has-text("Chg")')
    first = visitor.page.locator(".qk-watch tbody tr").first
    changes = {symbol: shared_desk.quote(symbol).change_percent for symbol in shared_desk.settings.watchlist}
    assert first.get_attribute("data-symbol") == max(changes, key=changes.__getitem__)


def test_a_symbol_typed_in_the_header_is_shown(open_stock: Any, shared_desk: Desk) -> None:
    visitor = open_stock()
    visitor.page.keyboard.press("/")
    visitor.page.keyboard.type("ko")
    visitor.page.keyboard.press("Enter")
    said = wait_for(visitor, READOUT, f"C{shared_desk.quote('KO').close:,.2f}")
    assert "indicative, adjusted" in said
    assert "indicative, adjusted" in text(visitor, ".qk-venue")
    assert "symbol=KO" in address(visitor)


def test_an_unknown_symbol_is_said_and_never_an_empty_chart(open_stock: Any) -> None:
    visitor = open_stock("symbol=TSLA")
    said = text(visitor, "#qk-banner")
    assert "TSLA is not in the sample; QUANTKIT_PROVIDER=yahoo make run fetches it." in said
    assert "Showing AAPL instead." in said
    assert "2023-09-21" in text(visitor, READOUT)
    assert visitor.page.locator(".qk-plot .stick").count() > 100
    visitor.page.fill("#qk-symbol", "AAPK")
    visitor.page.keyboard.press("Enter")
    assert "Still showing AAPL." in wait_for(visitor, "#qk-banner", "AAPK")
    visitor.page.click('tr[data-symbol="MSFT"]')
    visitor.page.wait_for_selector("#qk-banner", state="hidden")


@pytest.mark.parametrize(
    "query",
    [
        "symbol=%3Cscript%3Ewindow.hit%3D1%3C/script%3E",
        "symbol=%22%3E%3Cimg%20src=x%20onerror=window.hit=1%3E",
        "period=%3Csvg%20onload=window.hit=1%3E&interval='%22",
        "overlays=%3Cimg%20src=x%20onerror=window.hit=1%3E",
    ],
)
def test_a_script_in_the_address_is_only_text(open_stock: Any, query: str) -> None:
    visitor = open_stock(query)
    assert visitor.said("window.hit") is None
    assert visitor.page.locator("#qk-banner img, #qk-banner script, #qk-banner svg").count() == 0
    assert len(text(visitor, "#qk-banner")) > 20
    assert "2023-09-21" in text(visitor, READOUT)
    assert visitor.errors == []


def test_range_buttons_show_their_span_and_bring_it_back(open_stock: Any) -> None:
    visitor = open_stock()
    ticks = (
        "[...document.querySelectorAll('.qk-plot .axis')[0].querySelectorAll('.tick text')].map((t) => t.textContent)"
    )
    visitor.page.click('.qk-segments button:has-text("5Y")')
    visitor.page.wait_for_function(f"{ticks}.includes('2020')")
    assert "period=5y" in address(visitor)
    visitor.page.click('.qk-segments button:has-text("1M")')
    visitor.page.wait_for_function(f"{ticks}.some((t) => t.endsWith('Sep'))")
    plot = visitor.page.locator(".qk-plot")
    plot.dblclick(position={"x": 300, "y": 200})
    visitor.page.wait_for_function(f"{ticks}.includes('2015')")
    visitor.page.wait_for_selector(".qk-loose")
    visitor.page.click('.qk-segments button:has-text("1M")')
    visitor.page.wait_for_function(f"{ticks}.some((t) => t.endsWith('Sep'))")
    visitor.page.wait_for_selector(".qk-loose", state="detached")


def test_the_crosshair_reads_the_bar_under_it(open_stock: Any, shared_desk: Desk) -> None:
    visitor = open_stock("symbol=AAPL&period=1mo")
    bars = shared_desk.history("AAPL", period="1mo")
    area = visitor.page.locator(".qk-plot .plotarea_background").bounding_box()
    # 22 bars and room for six more steps: the middle of the eleventh bar from the left.
    visitor.page.mouse.move(area["x"] + area["width"] * 10.5 / 28, area["y"] + 80)
    bar = bars.iloc[10]
    said = wait_for(visitor, READOUT, f"{bar.name:%Y-%m-%d}")
    assert all(figure in said for figure in readout_of(bar))
    assert text(visitor, ".qk-cross-date") == f"{bar.name:%Y-%m-%d}"
    visitor.page.mouse.move(10, 10)
    wait_for(visitor, READOUT, "2023-09-21")


def test_wheel_and_drag_move_within_the_history_and_never_out_of_it(open_stock: Any) -> None:
    visitor = open_stock("symbol=AAPL&period=1y")
    seen = lambda: visitor.said("document.querySelector('.qk-plot').getAttribute('aria-label')")  # noqa: E731
    area = visitor.page.locator(".qk-plot .plotarea_background").bounding_box()
    middle = area["x"] + area["width"] / 2, area["y"] + area["height"] / 3
    before = seen()
    visitor.page.mouse.move(*middle)
    visitor.page.mouse.wheel(0, -400)
    visitor.page.wait_for_timeout(600)
    zoomed = seen()
    assert bars_in(zoomed) < bars_in(before)
    visitor.page.mouse.down()
    visitor.page.mouse.move(middle[0] + 300, middle[1], steps=8)
    visitor.page.mouse.up()
    visitor.page.wait_for_timeout(600)
    panned = seen()
    assert abs(bars_in(panned) - bars_in(zoomed)) <= 2
    assert panned != zoomed
    for _ in range(4):
        visitor.page.mouse.down()
        visitor.page.mouse.move(middle[0] - 4000, middle[1], steps=4)
        visitor.page.mouse.up()
        visitor.page.mouse.move(*middle)
    visitor.page.wait_for_timeout(600)
    assert "to 2023-09-21" in seen()
    assert bars_in(seen()) >= 1
    assert visitor.errors == []


def bars_in(caption: str) -> int:
    return int(caption.split(" bars")[0].rsplit(" ", 1)[1])


def test_the_chart_can_be_read_with_the_keyboard_alone(open_stock: Any, shared_desk: Desk) -> None:
    visitor = open_stock("symbol=AAPL&period=6mo")
    bars = shared_desk.history("AAPL", period="6mo")
    visitor.page.focus(".qk-plot")
    for _ in range(3):
        visitor.page.keyboard.press("ArrowLeft")
    bar = bars.iloc[-4]
    assert all(figure in wait_for(visitor, READOUT, f"{bar.name:%Y-%m-%d}") for figure in readout_of(bar))
    visitor.page.keyboard.press("0")
    visitor.page.wait_for_function(
        "document.querySelector('.qk-plot').getAttribute('aria-label').includes('from 2013-01-02 to 2023-09-21')"
    )


def test_csv_is_desk_history(open_stock: Any, shared_desk: Desk) -> None:
    visitor = open_stock("symbol=AAPL&period=1y")
    with visitor.page.expect_download() as waiting:
        visitor.page.click('button:has-text("CSV")')
    expected = shared_desk.history("AAPL", period="1y")
    assert waiting.value.suggested_filename == f"AAPL-1d-{expected.index[0]:%Y%m%d}-20230921.csv"
    rows = list(csv.DictReader(Path(waiting.value.path()).read_text().splitlines()))
    assert [row["time"] for row in rows] == [str(stamp) for stamp in expected.index]
    for name in expected.columns:
        assert [float(row[name]) for row in rows] == expected[name].tolist()


def test_a_picture_of_the_chart_can_be_saved(open_stock: Any) -> None:
    visitor = open_stock()
    with visitor.page.expect_download() as waiting:
        visitor.page.click('button:has-text("PNG")')
    content = Path(waiting.value.path()).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 10_000


def test_the_table_twin_holds_what_is_drawn(open_stock: Any, shared_desk: Desk) -> None:
    visitor = open_stock("symbol=AAPL&period=1mo")
    visitor.page.click('button:has-text("Table")')
    visitor.page.wait_for_selector(".qk-table-twin tbody tr")
    rows = visitor.said(
        "[...document.querySelectorAll('.qk-table-twin tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))"
    )
    bars = shared_desk.history("AAPL", period="1mo").iloc[::-1]
    assert [row[0] for row in rows] == [f"{day:%Y-%m-%d}" for day in bars.index]
    assert [row[4] for row in rows] == [f"{close:,.2f}" for close in bars["close"]]


def test_the_forecast_arrives_beside_the_chart_as_desk_made_it(open_stock: Any, server: Any) -> None:
    visitor = open_stock("symbol=AAPL")
    visitor.page.wait_for_selector("[data-qk-forecast]", timeout=120_000)
    said = text(visitor, ".qk-now")
    with Desk.open(home=server.log.parent) as desk:
        forecast = desk.predict("AAPL")
    step = forecast.steps[0]
    for figure in (
        f"Predicted next {step.mean:,.2f}", "Next session 2023-09-22", f"{step.lower:,.2f} – {step.upper:,.2f}",
        f"{forecast.predicted_volatility * 100:.2f}%", forecast.in_words(),
    ):  # fmt: skip
        assert figure in said
    shades = (
        "[...document.querySelectorAll('.qk-plot .curve .area')].filter((p) => (p.getAttribute('d') || '').length > 9)"
    )
    visitor.page.wait_for_function(f"{shades}.length === 3")
    visitor.page.click('.qk-chip-button:has-text("Forecast")')
    visitor.page.wait_for_selector("[data-qk-forecast]", state="detached")
    assert "overlays=" in address(visitor)


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
    assert "symbol=AAPL" in address(visitor)
    visitor.open(server.address("stock", "symbol=MSFT"))
    visitor.page.wait_for_selector('tr[data-symbol="XOM"]')
    assert visitor.page.locator('tr[data-symbol="AMZN"]').count() == 0


def test_the_theme_recolours_the_chart(open_stock: Any) -> None:
    visitor = open_stock()
    colours = "new Set([...document.querySelectorAll('.qk-plot .stick')].map((stick) => stick.style.fill))"
    visitor.page.click("#qk-theme")
    visitor.page.wait_for_function(f"{colours}.has('rgb(0, 121, 107)') && !{colours}.has('rgb(38, 166, 154)')")
    assert visitor.said("getComputedStyle(document.querySelector('.qk-now')).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("query", ["symbol=AAPL", "symbol=TSLA", "symbol=MSFT&period=5d&interval=1m"])
def test_nothing_scrolls_sideways_on_a_phone(open_stock: Any, query: str) -> None:
    visitor = open_stock(query, width=390, height=844, has_touch=True)
    visitor.page.wait_for_timeout(500)
    assert visitor.said("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    boxes = [visitor.page.locator(name).first.bounding_box() for name in (".qk-main", ".qk-now", ".qk-side")]
    assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]
    assert {round(box["width"]) for box in boxes} == {374}
    assert visitor.page.locator(".qk-plot .stick").count() > 20


def test_controls_have_names_and_no_default_grey(open_stock: Any) -> None:
    visitor = open_stock()
    nameless = visitor.said(
        """[...document.querySelectorAll('#qk-cells button, #qk-cells input, #qk-cells [tabindex="0"]')]
           .filter((e) => e.getClientRects().length && !e.closest('.qk-bridge'))
           .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.title)).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    grounds = visitor.said(
        """[...new Set([...document.querySelectorAll('#qk-cells button')].filter((e) => e.getClientRects().length)
           .map((e) => getComputedStyle(e).backgroundColor))]"""
    )
    assert set(grounds) <= {"rgba(0, 0, 0, 0)", "rgb(26, 33, 48)"}
