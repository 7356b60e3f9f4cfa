"""The frame around a screen: alerts of the latest reports, and a page that does not get its widgets."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from quantkit.reporting.alerts import Alert

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(serve, notebooks, tmp_path_factory):
    """A server of one small notebook, and its home."""
    folder, home = tmp_path_factory.mktemp("dashboards"), tmp_path_factory.mktemp("home")
    for name in ("plain", "lost"):
        shutil.copy(notebooks / f"{name}.ipynb", folder)
    with serve(folder, QUANTKIT_HOME=str(home)) as server:
        yield server, home


def breach(symbol: str) -> Alert:
    day = pd.Timestamp("2023-09-20", tz="UTC")
    return Alert("var_breach", symbol, day, "2023-09-20", f"{symbol} fell by 4.0 %, beyond its VaR.", -0.04, -0.02)


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
    guest.open(server.address("lost"))
    assert guest.text(".plain") == "there"
    assert (home / "lost").read_text() == "0"


def test_a_page_that_gets_none_again_says_so(served, visit):
    server, home = served
    (home / "lost").write_text("2")
    guest = visit()
    guest.open(server.address("lost"), until="error", seconds=90)
    assert "did not come up" in guest.text("#qk-overlay")
    (home / "lost").write_text("0")
    guest.page.click("#qk-reload")
    guest.page.wait_for_selector(".plain", timeout=60_000)
