"""The frame around a screen: alerts of the latest reports, and a page that does not get its widgets."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest

from quantkit.reporting.alerts import Alert
from quantkit.serve.bundle import PATIENCE

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(serve, notebooks, tmp_path_factory):
    """A server of one small notebook, and its home."""
    folder, home = tmp_path_factory.mktemp("dashboards"), tmp_path_factory.mktemp("home")
    for notebook in (notebooks / "plain.ipynb", *Path(__file__).with_name("frame").glob("*.ipynb")):
        shutil.copy(notebook, folder)
    with serve(folder, QUANTKIT_HOME=str(home)) as server:
        yield server, home


def breach(symbol: str) -> Alert:
    day = pd.Timestamp("2023-09-20", tz="UTC")
    return Alert("var_breach", symbol, day, "2023-09-20", f"{symbol} fell by 4.0 %, beyond its VaR.", -0.04, -0.02)


def lose_patience(guest) -> None:
    """Wait until the page looks for its widget, and let the time pass in which that may still come."""
    guest.page.wait_for_selector("text=Loading widget...", state="attached", timeout=60_000)
    guest.page.wait_for_timeout(300)
    guest.page.clock.fast_forward((PATIENCE + 1) * 1000)


def test_alerts_of_the_latest_run_stand_in_every_pages_header(served, visit):
    server, home = served
    guest = visit()
    guest.open(server.address("plain"))
    assert guest.page.locator("#qk-alerts").count() == 0
    run = home / "reports" / "2023-09-20"
    run.mkdir(parents=True)
    found = [breach("AAPL"), breach("<img src=x onerror=alert(1)>")]
    (run / "run.json").write_text(json.dumps({"date": "2023-09-20", "alerts": [each.to_dict() for each in found]}))
    guest.open(server.address("plain"))
    guest.page.click("#qk-alerts summary")
    listed = guest.text("#qk-alerts section")
    assert "AAPL VaR breach AAPL fell by 4.0 %, beyond its VaR." in listed
    assert "<img src=x onerror=alert(1)>" in listed
    assert guest.page.locator("#qk-alerts img").count() == 0
    assert guest.page.get_attribute("#qk-alerts section > a", "href").endswith("/reports/2023-09-20/index.html")
    guest.page.keyboard.press("Escape")
    assert not guest.page.is_visible("#qk-alerts section")
    guest.page.goto(server.base)
    assert "2 alerts, 2023-09-20" in guest.page.get_attribute("#qk-alerts summary", "title")


def test_a_page_that_did_not_get_its_widgets_tries_another_kernel(served, visit):
    server, home = served
    (home / "lost").write_text("1")
    guest = visit()
    guest.page.clock.install()
    guest.page.goto(server.address("lost"))
    lose_patience(guest)
    guest.page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=60_000)
    assert guest.text(".plain") == "there"
    assert (home / "lost").read_text() == "0"


def test_a_page_waits_for_a_kernel_that_is_slow_to_describe_its_widgets(served, visit):
    server, home = served
    (home / "lost").write_text("1")
    guest = visit()
    guest.page.goto(server.address("lost"))
    guest.page.wait_for_selector("text=Loading widget...", state="attached", timeout=60_000)
    guest.page.wait_for_timeout(5000)  # ipywidgets' own patience is 4 s for all, then 2 s for each
    assert guest.page.locator("text=Loading widget...").count() == 1
    assert guest.errors == []


def test_a_screen_whose_line_to_its_kernel_is_still_being_laid_is_not_called_ready(served, visit):
    server, _ = served
    guest = visit()
    guest.page.goto(server.address("bridge"))
    guest.page.wait_for_selector(".line", state="attached", timeout=60_000)
    guest.page.wait_for_timeout(3500)  # it looks after 1.5 s, and four times a second from then on
    assert guest.said("document.documentElement.dataset.qk") == "loading"


def test_what_changes_while_a_page_is_being_laid_is_not_lost(serve, visit, tmp_path):
    shutil.copy(Path(__file__).with_name("frame") / "late.ipynb", tmp_path)
    guest = visit()

    def late(route):
        time.sleep(1)
        route.continue_()

    # The widgets' class comes a second after their states.
    guest.page.route(re.compile(r"/anywidget/static/(?!remoteEntry).*\.js"), late)
    with serve(tmp_path, QUANTKIT_NO_BUNDLE="1") as server:
        guest.open(server.address("late"))
        # Their states were asked for when they opened, and then by the page, of all as often.
        guest.page.wait_for_function(
            "new Set([...document.querySelectorAll('.late')].map((each) => each.textContent)).size === 1"
        )
        assert guest.text(".late >> nth=0") not in {"not asked", "asked 1 times"}


def test_a_page_that_gets_none_again_says_so(served, visit):
    server, home = served
    (home / "lost").write_text("2")
    guest = visit()
    guest.page.clock.install()
    guest.page.goto(server.address("lost"))
    with guest.page.expect_navigation(wait_until="commit", timeout=60_000):
        lose_patience(guest)
    lose_patience(guest)
    guest.page.wait_for_selector('html[data-qk="error"]', state="attached", timeout=60_000)
    assert "did not come up" in guest.text("#qk-overlay")
    (home / "lost").write_text("0")
    guest.page.click("#qk-reload")
    guest.page.wait_for_selector(".plain", timeout=60_000)
