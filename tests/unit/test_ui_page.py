"""The bridge to the page, the panels and the controls: what is said, how it is written, what is let in."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.ui import Chip, IntervalButtons, NowPanel, Page, RangeButtons, Watchlist, exports, query_string
from quantkit.ui.formats import compact, percent, price, price_decimals, signed
from quantkit.ui.page import read_command
from quantkit.ui.panels import notice
from quantkit.ui.state import WatchRow
from quantkit.ui.theme import DARK, LIGHT, Tokens

HOSTILE = "<script>alert(1)</script>'\""


class Elements(HTMLParser):
    """Names of the elements in a piece of HTML, and the text of the whole."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.add(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


def said(page: Page) -> dict[str, Any]:
    """What the page's script reads out of the widget."""
    found = re.search(r"data-qk-message='([^']*)'", page._message.value)
    assert found is not None
    return json.loads(html.unescape(found.group(1)))


def test_a_message_repeats_what_was_said_before() -> None:
    page = Page()
    page.say(symbol="AAPL", query="symbol=AAPL")
    page.say(pill="SAMPLE · 2023-09-21")
    assert said(page) == {
        "state": "loading", "symbol": "AAPL", "query": "symbol=AAPL", "error": "", "pill": "SAMPLE · 2023-09-21",
    }  # fmt: skip


def test_a_linked_trait_is_said_by_itself() -> None:
    page = Page()
    page.title = "MSFT 234.53"
    page.watchlist = ["KO"]
    assert said(page)["title"] == "MSFT 234.53"
    assert said(page)["watchlist"] == ["KO"]


def test_a_list_that_nobody_has_chosen_is_not_said() -> None:
    page = Page()
    page.watchlist = None
    page.title = "AAPL"
    assert "watchlist" not in said(page)
    page.watchlist = []
    assert said(page)["watchlist"] == []


def test_a_screen_is_ready_only_once_its_figure_is_drawn_and_stays_so() -> None:
    page = Page()
    assert said(page)["state"] == "loading"
    page.ready = True
    assert said(page)["state"] == "ready"
    page.ready = False
    page.failed = True
    assert said(page)["state"] == "ready"
    broken = Page()
    broken.failed = True
    assert said(broken)["state"] == "error"


def test_text_from_outside_cannot_leave_its_attribute() -> None:
    page = Page()
    page.say(error=HOSTILE, symbol="AAPL")
    assert said(page)["error"] == HOSTILE
    assert Elements(page._message.value).names == {"span"}


def test_a_transfer_is_said_once_and_has_its_own_number() -> None:
    page = Page()
    page.download("a.csv", "x,y\n1,2\n")
    first = said(page)["download"]
    assert first == {"id": 1, "name": "a.csv", "mime": "text/csv", "base64": "eCx5CjEsMgo="}
    page.copy("https://example.org")
    assert said(page)["copy"] == {"id": 2, "text": "https://example.org"}
    assert "download" not in said(page)
    page.title = "later"
    assert "copy" not in said(page)


def test_commands_of_the_page_reach_the_screen_checked() -> None:
    page, heard = Page(), []
    page.on_command(heard.append)
    page._command.value = json.dumps({"n": 1, "symbol": "msft", "theme": "light", "visible": False, "width": 871.6})
    assert heard == [{"n": 1, "symbol": "MSFT", "theme": "light", "visible": False, "width": 871}]
    assert (page.theme, page.visible, page.width) == ("light", False, 871)


def test_a_command_that_was_heard_is_not_obeyed_again() -> None:
    page, heard = Page(), []
    page.on_command(heard.append)
    for number in (4, 4, 3, 5):
        page.receive(json.dumps({"n": number, "retry": True}))
    assert [command["n"] for command in heard] == [4, 5]


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{", '"symbol"', "[" * 5000, '{"symbol": "' + "A" * 20_000 + '"}', '{"symbol": 7}',
        '{"theme": ["dark"]}', '{"width": true}', '{"width": 1e99}', '{"watchlist": "AAPL"}', '{"retry": "yes"}',
        '{"symbol": "<img src=x onerror=alert(1)>"}', '{"visible": 1}', '{"n": true, "theme": "<b>"}',
    ],
)  # fmt: skip
def test_a_malformed_command_changes_nothing(text: str) -> None:
    page, heard = Page(), []
    page.on_command(heard.append)
    page.receive(text)
    assert [{k: v for k, v in command.items() if k != "n"} for command in heard] in ([], [{}])
    assert page.theme == "dark"


@given(st.text(max_size=300) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_command_can_break_the_reader(text: str) -> None:
    assert set(read_command(text)) <= {"n", "symbol", "theme", "visible", "width", "watchlist", "retry"}


def test_symbols_of_a_stored_watchlist_are_checked_one_by_one() -> None:
    asked = json.dumps({"watchlist": ["AAPL", "<b>", 3, "aapl", "brk-b", *[f"X{n}" for n in range(200)]]})
    kept = read_command(asked)["watchlist"]
    assert kept[:2] == ["AAPL", "BRK-B"]
    assert len(kept) <= 100


def test_outside_voila_there_is_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOILA_PREHEAT", raising=False)
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    assert query_string() == ""


def test_the_token_never_gets_into_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOILA_PREHEAT", "False")
    monkeypatch.setenv("QUERY_STRING", "symbol=KO&token=s3cret&overlays=")
    assert query_string() == "symbol=KO&overlays="


def test_the_panel_shows_the_desk_s_figures_to_the_last_digit(shared_desk) -> None:
    quote, forecast = shared_desk.quote("AAPL"), shared_desk.predict("AAPL", model="naive")
    panel = NowPanel()
    panel.bars = shared_desk.history("AAPL", period="max")
    panel.instrument = shared_desk.market.instrument("AAPL")
    panel.quote, panel.forecast = quote, forecast
    words = Elements(panel._quote.value + panel._forecast.value + panel._session.value).words
    year = shared_desk.history("AAPL", period="1y")
    for figure in (
        f"{quote.close:,.2f}", f"{quote.change:+,.2f}", f"{quote.change_percent * 100:+.2f}%", "as of 2023-09-21",
        f"{quote.open:,.2f}", f"{quote.high:,.2f}", f"{quote.low:,.2f}", "63.0M",
        f"{forecast.predicted_price:,.2f}", f"{forecast.steps[0].lower:,.2f} – {forecast.steps[0].upper:,.2f}",
        f"{forecast.predicted_volatility * 100:.2f}%", "2023-09-22", forecast.in_words(),
        f"{year['low'].min():,.2f} – {year['high'].max():,.2f}",
    ):  # fmt: skip
        assert figure in words
    assert "tomorrow" not in words.lower()


def test_a_forecast_that_stands_on_another_bar_than_the_quote_says_which(shared_desk) -> None:
    panel = NowPanel()
    panel.instrument, panel.quote = shared_desk.market.instrument("MSFT"), shared_desk.quote("MSFT")
    panel.forecast = shared_desk.predict("MSFT", model="naive", interval="1m")
    assert "2022-06-15 12:29 EDT" in panel._forecast.value


def test_a_panel_waits_fails_and_recovers_in_its_own_place(shared_desk) -> None:
    panel = NowPanel()
    panel.instrument, panel.quote = shared_desk.market.instrument("AAPL"), shared_desk.quote("AAPL")
    panel.forecasting = True
    assert "qk-busy" in panel._forecast.value
    panel.forecasting, panel.forecast_error = False, HOSTILE
    assert Elements(panel._forecast.value).names == {"p"}
    assert HOSTILE in Elements(panel._forecast.value).words
    assert panel._retry.layout.display is None
    asked = []
    panel.on_retry(lambda: asked.append(True))
    panel._retry.click()
    assert asked == [True]
    panel.forecast_error = ""
    assert panel._retry.layout.display == "none"


def test_names_from_a_vendor_are_written_as_text(shared_desk) -> None:
    from dataclasses import replace

    panel = NowPanel()
    panel.instrument = shared_desk.market.instrument("AAPL")
    panel.quote = replace(shared_desk.quote("AAPL"), name=HOSTILE, source=HOSTILE)
    assert not Elements(panel._quote.value + panel._session.value).names & {"script", "img"}
    assert HOSTILE in Elements(panel._quote.value).words
    assert "<script" not in notice(HOSTILE, "fault")


def test_the_watchlist_formats_by_currency_and_obeys_only_symbols(shared_desk) -> None:
    asked: list[str] = []
    table = Watchlist(choose=asked.append)
    table.watch = (WatchRow("AAPL", shared_desk.quote("AAPL"), (1.0, 2.0)), WatchRow("TSLA", fault=HOSTILE))
    first, second = table.rows
    assert (first["lastText"], first["changeText"], first["kind"], first["trend"]) == ("173.93", "-0.89%", "down", "up")
    assert (second["lastText"], second["fault"]) == ("–", HOSTILE)
    for content in ({"choose": "msft"}, {"choose": "<b>"}, {"choose": None}, "choose", {"run": "rm"}):
        table.receive(content)
    assert asked == ["MSFT"]
    assert "is not a symbol" in table.fault


def test_a_range_button_that_is_chosen_already_still_answers() -> None:
    ranges, asked = RangeButtons(), []
    ranges.on_again(lambda: asked.append(True))
    ranges._handle_custom_msg({"event": "click"}, [])
    assert asked == [True]
    ranges.exact = False
    assert "qk-loose" in ranges._dom_classes
    ranges.exact = True
    assert "qk-loose" not in ranges._dom_classes


def test_there_is_an_interval_to_choose_only_where_there_are_two(shared_desk) -> None:
    buttons = IntervalButtons()
    buttons.instrument = shared_desk.market.instrument("AAPL")
    assert buttons.layout.display == "none"
    buttons.instrument = shared_desk.market.instrument("MSFT")
    assert buttons.layout.display is None
    assert Chip("Forecast").value


def test_csv_of_the_chart_is_what_the_page_is_told_to_save(shared_desk) -> None:
    import base64

    from quantkit.ui import CandleChart

    chart, page = CandleChart(shared_desk.history("AAPL", period="max"), period="1mo"), Page()
    table, csv, _ = exports(chart, page)
    csv.click()
    sent = said(page)["download"]
    assert sent["name"] == "AAPL-1d-20230822-20230921.csv"
    assert base64.b64decode(sent["base64"]).decode() == chart.csv
    table.value = True
    assert "<table" in chart.table.value


def test_numbers_are_written_one_way() -> None:
    assert price(3783.22) == "3,783.22"
    assert price(float("nan")) == "–"
    assert signed(-0.001) == "0.00"
    assert signed(1234.5) == "+1,234.50"
    assert percent(-0.0133, sign=True) == "-1.33%"
    assert [compact(value) for value in (999, 1_000, 12_345, 63_047_900, 4.5e9)] == [
        "999", "1.00K", "12.3K", "63.0M", "4.50B",
    ]  # fmt: skip
    assert (price_decimals("JPY", 2500.0), price_decimals("GBX", 10_000.0), price_decimals("USD", 0.3)) == (0, 2, 4)


@pytest.mark.parametrize("tokens", [DARK, LIGHT])
def test_text_can_be_read_on_every_ground(tokens: Tokens) -> None:
    for ink in (tokens.text, tokens.muted, tokens.up, tokens.down, tokens.accent, tokens.forecast):
        for ground in (tokens.panel, tokens.background):
            assert contrast(ink, ground) >= 4.5, (ink, ground)


def contrast(one: str, other: str) -> float:
    """WCAG 2.1 contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_year_s_range_is_left_out_where_only_minutes_are_known(shared_desk) -> None:
    panel = NowPanel()
    panel.bars = shared_desk.history("AZN.L", period="max", interval="1m")
    panel.instrument, panel.quote = shared_desk.market.instrument("AZN.L"), shared_desk.quote("AZN.L")
    assert "52 w range" not in panel._session.value
    assert "London · GBX" in panel._quote.value
    assert isinstance(panel.bars, pd.DataFrame)
