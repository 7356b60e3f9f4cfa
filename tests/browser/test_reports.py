"""Reports as a reader has them: in a browser at a desk and on a telephone, sorted without a script, and as PDF."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quantkit import Desk
from quantkit.reporting.batch import Run, run_batch, symbol_jobs

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    with Desk.open(home=tmp_path_factory.mktemp("home")) as desk:
        jobs = symbol_jobs(["NVDA", "AAPL"], model="naive", models=["naive"])
        return run_batch(desk, jobs, date="2023-09-21", out=tmp_path_factory.mktemp("out"))


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_a_page_fits_the_screen_and_asks_nobody_for_anything(browser, run, size):
    for name in ("AAPL.html", "index.html"):
        page = browser.new_page(viewport={"width": size[0], "height": size[1]}, java_script_enabled=True)
        asked, said = [], []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, said=said: said.append(message.text))
        address = (run.folder / name).as_uri()
        page.goto(address)
        assert asked == [address]
        assert said == []
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        # The newest end of a chart that is wider than the screen is the one that shows.
        box = page.locator(".latest, .wide").first.bounding_box()
        assert box["x"] + box["width"] <= size[0]
        page.close()


def test_the_index_sorts_without_a_script(browser, run):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((run.folder / "index.html").as_uri())

    def order() -> list[str]:
        rows = page.locator(".sorted tbody tr").all()
        placed = sorted(rows, key=lambda row: row.bounding_box()["y"])
        return [row.locator("a").inner_text() for row in placed]

    assert order() == ["AAPL", "NVDA"]
    page.get_by_text("Price", exact=True).first.click()
    assert order() == ["NVDA", "AAPL"]
    page.get_by_text("Session", exact=True).first.click()
    assert order() == ["AAPL", "NVDA"]
    page.locator("a", has_text="NVDA").first.click()
    assert page.title() == "NVDA · 2023-09-21"
    context.close()


def test_a_page_prints_to_a_few_sheets(run):
    from quantkit.reporting.pdf import print_pages

    (printed,) = print_pages([Path(run.folder / "AAPL.html")])
    content = printed.read_bytes()
    assert content.startswith(b"%PDF-")
    assert 2 <= len(re.findall(rb"/Type /Page\b", content)) <= 6
