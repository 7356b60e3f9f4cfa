"""The real client of each vendor against a stand-in that speaks its form, faults included."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack, closing

import numpy as np
import pandas as pd
import pytest
from standins import Truth
from standins.alphavantage import AlphaVantageStandin
from standins.massive import MassiveStandin
from standins.yahoo import YahooStandin

from quantkit import Desk
from quantkit.core.calendars import sessions_between
from quantkit.core.errors import (
    KeyRefusedError,
    NonsenseError,
    NotEntitledError,
    ProviderError,
    ThrottledError,
    UnknownSymbolError,
    VendorDownError,
)
from quantkit.core.schema import BAR_COLUMNS
from quantkit.data.base import PROVIDERS, HistoryQuery, QuoteQuery
from quantkit.data.cleaning import clean
from quantkit.settings import Settings

KEY = "MARKER-KEY-7f3a91"
LAST = pd.Timestamp("2026-06-30", tz="UTC")
#: After the session of LAST has closed and settled.
NOW = pd.Timestamp("2026-07-01 02:00", tz="UTC")


@pytest.fixture
def truth():
    return Truth.of("AAPL", "MSFT", last=LAST)


@pytest.fixture
def yahoo(truth):
    with YahooStandin(truth) as standin:
        yield standin


@pytest.fixture
def alphavantage(truth):
    with AlphaVantageStandin(truth, key=KEY) as standin:
        yield standin


@pytest.fixture
def massive(truth):
    with MassiveStandin(truth, key=KEY) as standin:
        yield standin


@pytest.fixture
def vendor_settings(tmp_path):
    """Settings that send each vendor's questions to its stand-in, with limits that tests do not wait for."""

    def make(*standins, **more):
        given = {"provider": (), "home": tmp_path / "home", "vendor_timeout": 5, "massive_per_minute": 10_000}
        for each in standins:
            name = type(each).__name__.removesuffix("Standin").lower()
            given["provider"] += (name,)
            given[f"{name}_url"] = each.url
            if hasattr(each, "stream_url"):
                given[f"{name}_stream_url"] = each.stream_url
        return Settings.load(**given | {"alphavantage_api_key": KEY, "massive_api_key": KEY} | more)

    return make


@pytest.fixture
def open_at(vendor_settings):
    """A desk on stand-ins that believes it is another time."""
    with ExitStack() as stack:

        def opened(*standins, now=NOW, **more):
            desk = stack.enter_context(Desk.open(vendor_settings(*standins, **more)))
            desk.market.upkeep.now = lambda: now
            return desk

        yield opened


def provider_on(settings, name):
    return PROVIDERS[name](settings)


def history(provider, symbol="AAPL", interval="1d", **span):
    query = HistoryQuery(symbol, interval, **span)
    return provider.normalise(provider.extract(provider.build(query)), query)


def tidy(extract, interval="1d"):
    paid = extract.actions[extract.actions["kind"] == "dividend"] if extract.adjust else None
    return clean(extract.bars, symbol="AAPL", interval=interval, source="test", dividends=paid)


@pytest.mark.parametrize("name", ["yahoo", "alphavantage", "massive"])
def test_history_of_every_vendor_is_what_happened_in_todays_shares(name, request, truth, vendor_settings):
    standin = request.getfixturevalue(name)
    if name == "alphavantage":
        standin.premium = True
    truth["AAPL"].pay("2026-05-08", 0.25)
    truth["AAPL"].split("2026-04-01", 4)
    truth["AAPL"].pay("2026-06-10", 0.30)
    extract = history(provider_on(vendor_settings(standin, alphavantage_premium=True), name))
    found = tidy(extract)
    happened = truth["AAPL"].daily.assign(adj_close=truth["AAPL"].adjusted_close())
    pd.testing.assert_frame_equal(found.bars, happened, check_freq=False, rtol=1e-4)
    assert found.quarantine.empty
    assert set(found.repairs) <= {"adj_close_from_dividends"}
    told = {(f"{row.time:%Y-%m-%d}", row.kind): row.value for row in extract.actions.itertuples()}
    assert told == pytest.approx(
        {("2026-04-01", "split"): 4.0, ("2026-05-08", "dividend"): 0.25, ("2026-06-10", "dividend"): 0.30}
    )
    assert extract.instrument.source == name


@pytest.mark.parametrize("standin", [YahooStandin, AlphaVantageStandin, MassiveStandin])
def test_minutes_are_labelled_by_their_start_in_utc(standin, vendor_settings):
    now = pd.Timestamp.now("UTC")
    truth = Truth.of("AAPL", last=sessions_between(now - pd.Timedelta(days=10), now - pd.Timedelta(days=2))[-1])
    options = {} if standin is YahooStandin else {"key": KEY}
    with standin(truth, **options) as server:
        server.now = now
        settings = vendor_settings(server)
        extract = history(provider_on(settings, settings.provider[0]), interval="1m")
    found, minutes = tidy(extract, "1m").bars, truth["AAPL"].minutes
    assert found.index[-1] == minutes.index[-1]
    happened = minutes[minutes.index >= found.index[0]]
    assert len(happened) >= 100
    pd.testing.assert_frame_equal(found[["close"]], happened[["close"]], check_freq=False)
    assert extract.bars.index.dtype == "datetime64[us, UTC]"


@pytest.mark.parametrize("name", ["yahoo", "alphavantage"])
def test_the_latest_quote_is_one_request_and_one_bar(name, request, truth, vendor_settings):
    standin = request.getfixturevalue(name)
    truth["AAPL"].grow(len(pd.bdate_range(LAST, pd.Timestamp.now("UTC"))) + 5)
    provider = provider_on(vendor_settings(standin), name)
    asked, query = standin.asked(), QuoteQuery("AAPL")
    bars = provider.normalise(provider.extract(provider.build(query)), query).bars
    assert standin.asked() == asked + 1
    assert len(bars) == 1


def test_pages_of_massive_are_followed_to_the_end(massive, truth, vendor_settings):
    massive.page = 70
    found = history(provider_on(vendor_settings(massive), "massive")).bars
    assert found["close"].tolist() == truth["AAPL"].daily["close"].tolist()
    assert massive.asked("/v2/aggs") == 5


WORTH_ANOTHER = {"500": VendorDownError, "stall": VendorDownError, "truncated": NonsenseError, "half": VendorDownError,
                 "html": NonsenseError, "drop": VendorDownError}  # fmt: skip


@pytest.mark.parametrize("name", ["yahoo", "massive"])
@pytest.mark.parametrize("kind", list(WORTH_ANOTHER))
def test_a_fault_that_passes_is_tried_again_and_one_that_stays_is_named(name, kind, request, vendor_settings):
    standin = request.getfixturevalue(name)
    provider = provider_on(vendor_settings(standin, vendor_timeout=0.5 if kind == "stall" else 5), name)
    standin.fail(kind, times=1)
    assert len(history(provider).bars) == 300
    standin.fail(kind, times=20)
    with pytest.raises(WORTH_ANOTHER[kind], match=name):
        history(provider)


def test_alphavantage_is_tried_again_after_a_fault(alphavantage, vendor_settings):
    provider = provider_on(vendor_settings(alphavantage, vendor_timeout=1), "alphavantage")
    alphavantage.fail("stall")
    assert len(history(provider).bars) == 100


@pytest.mark.parametrize("name", ["yahoo", "alphavantage", "massive"])
def test_retry_after_is_honoured_by_every_process_of_the_home(name, request, vendor_settings):
    standin = request.getfixturevalue(name)
    settings = vendor_settings(standin)
    standin.fail("429", times=2, retry_after=120)
    with pytest.raises(ThrottledError) as refused:
        history(provider_on(settings, name))
    assert refused.value.retry_after == pytest.approx(120, abs=1)
    standin.heal()
    asked = standin.asked()
    other = provider_on(settings, name)
    with pytest.raises(ThrottledError, match="left alone for another"):
        history(other)
    assert standin.asked() == asked
    assert other.circuit.state().is_open


def test_a_short_retry_after_is_waited_for(massive, vendor_settings):
    massive.fail("429", retry_after=1)
    began = time.monotonic()
    assert len(history(provider_on(vendor_settings(massive), "massive")).bars) == 300
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(("name", "says"), [("yahoo", "delisted"), ("alphavantage", "Invalid API call"),
                                            ("massive", "Ticker not found")])  # fmt: skip
def test_an_unknown_symbol_is_told_with_the_vendors_words(name, says, request, vendor_settings):
    provider = provider_on(vendor_settings(request.getfixturevalue(name)), name)
    with pytest.raises(UnknownSymbolError, match=says):
        history(provider, "NOPE")
    assert not provider.circuit.state().failures


@pytest.mark.parametrize(
    ("name", "setting"), [("alphavantage", "ALPHAVANTAGE_API_KEY"), ("massive", "MASSIVE_API_KEY")]
)
def test_a_wrong_or_missing_key_names_its_setting_and_never_the_key(name, setting, request, vendor_settings):
    standin = request.getfixturevalue(name)
    wrong = {"alphavantage_api_key": "WRONG-4711", "massive_api_key": "WRONG-4711"}
    with pytest.raises(KeyRefusedError, match=setting) as refused:
        history(provider_on(vendor_settings(standin, **wrong), name))
    assert "WRONG" not in str(refused.value)
    none = dict.fromkeys(wrong, "")
    asked = standin.asked()
    with pytest.raises(KeyRefusedError, match=f"set {setting}"):
        history(provider_on(vendor_settings(standin, **none), name))
    assert standin.asked() == asked


@pytest.mark.parametrize(
    ("say", "kind", "match"),
    [
        ("cap", ThrottledError, "used up, 0 are left"),
        ("burst", ThrottledError, "one request a second"),
        ("note", ThrottledError, "5 calls per minute"),
        ("premium", NotEntitledError, "paid plans only"),
    ],
)
def test_alphavantages_refusals_are_told_apart_by_their_words(alphavantage, vendor_settings, say, kind, match):
    alphavantage.say = say
    provider = provider_on(vendor_settings(alphavantage), "alphavantage")
    with pytest.raises(kind, match=match) as refused:
        history(provider)
    assert KEY not in str(refused.value)
    if say == "cap":
        assert 0 < refused.value.retry_after <= 86_400
        assert provider.left == 24


def test_a_spent_allowance_is_never_asked_beyond(alphavantage, vendor_settings):
    settings = vendor_settings(alphavantage, alphavantage_per_day=2)
    first, second = provider_on(settings, "alphavantage"), provider_on(settings, "alphavantage")
    history(first)
    assert second.left == 1
    history(second)
    with pytest.raises(ThrottledError, match="all 2 requests of a day are used"):
        history(first)
    assert alphavantage.asked() == 2
    assert not first.circuit.state().is_open


def test_a_plan_without_the_data_is_told(massive, vendor_settings):
    massive.entitled = False
    with pytest.raises(NotEntitledError, match="not entitled to this data"):
        history(provider_on(vendor_settings(massive), "massive"))


@pytest.mark.parametrize("name", ["alphavantage", "massive"])
def test_an_exchange_that_a_vendor_does_not_carry_is_not_asked_for(name, request, vendor_settings):
    standin = request.getfixturevalue(name)
    with pytest.raises(NotEntitledError, match=r"9988\.HK is not among"):
        history(provider_on(vendor_settings(standin), name), "9988.HK")
    assert standin.asked() == 0


def test_two_yahoo_clients_in_one_process_do_not_share_a_session(yahoo, truth, tmp_path):
    from yfinance.data import SingletonMeta

    before = dict(SingletonMeta._instances)
    with YahooStandin(Truth.of("IBM", last=LAST)) as other:
        ours = provider_on(Settings.load(home=tmp_path / "a", yahoo_url=yahoo.url), "yahoo")
        theirs = provider_on(Settings.load(home=tmp_path / "b", yahoo_url=other.url), "yahoo")
        assert len(history(ours, "AAPL").bars) == len(history(theirs, "IBM").bars) == 300
        with pytest.raises(UnknownSymbolError):
            history(ours, "IBM")
    assert SingletonMeta._instances == before


# The market


@pytest.mark.parametrize("count", [12, pytest.param(100, marks=pytest.mark.soak)])
def test_an_up_to_date_symbol_costs_no_request_and_a_new_session_costs_one(yahoo, truth, open_at, count):
    symbols = [f"S{i}" for i in range(count)]
    truth.listings |= Truth.of(*symbols, sessions=30, last=LAST, minutes=1).listings
    desk = open_at(yahoo)
    yahoo_provider = desk.market.providers[0]
    yahoo_provider.limits = lambda: ()
    from quantkit.data.pacing import Limit, Pace

    yahoo_provider._lazy["pace"] = Pace(desk.settings.home, "tests", (Limit(10_000, 1),))
    for symbol in symbols:
        desk.history(symbol)
    assert yahoo.asked() == count
    for symbol in symbols:
        desk.history(symbol)
        desk.quote(symbol)
    assert yahoo.asked() == count
    for listing in truth.listings.values():
        listing.grow()
    desk.market.upkeep.now = lambda: pd.Timestamp("2026-07-02 02:00", tz="UTC")
    for symbol in symbols:
        assert desk.history(symbol).index[-1] == pd.Timestamp("2026-07-01", tz="UTC")
        desk.history(symbol)
    assert yahoo.asked() == 2 * count
    spans = {int(each.query["period1"]) for each in yahoo.requests if "period1" in each.query}
    assert max(spans) > pd.Timestamp("2026-06-20").timestamp()


def test_a_throttled_vendor_leaves_what_is_stored_marked_stale(yahoo, open_at):
    desk = open_at(yahoo)
    before = desk.history("AAPL")
    yahoo.fail("429", times=50)
    desk.market.upkeep.now = lambda: NOW + pd.Timedelta(days=5)
    after = desk.history("AAPL")
    assert after.equals(before)
    assert after.attrs["status"] == "stale"
    assert "Too Many Requests" in after.attrs["note"]
    assert after.attrs["age_seconds"] > 4 * 86_400
    quote = desk.quote("AAPL")
    assert quote.status == "stale"
    with pytest.raises(ThrottledError):
        desk.history("MSFT")


def test_delisted_or_empty_for_a_symbol_that_is_stored_is_staleness(yahoo, truth, open_at):
    desk = open_at(yahoo)
    desk.history("AAPL")
    del truth.listings["AAPL"]
    desk.market.upkeep.now = lambda: NOW + pd.Timedelta(days=5)
    assert desk.history("AAPL").attrs["status"] == "stale"


def test_the_next_vendor_is_asked_when_one_is_down_and_every_row_says_whose_it_is(yahoo, massive, open_at):
    desk = open_at(yahoo, massive)
    yahoo.fail("500", times=50)
    bars = desk.history("AAPL")
    assert bars.attrs["source"] == "massive"
    assert sources(desk, "AAPL") == {"massive"}
    assert desk.history("MSFT").attrs["source"] == "massive"


def test_the_next_vendor_is_never_asked_for_an_unknown_symbol(yahoo, massive, open_at):
    with pytest.raises(UnknownSymbolError, match="yahoo"):
        open_at(yahoo, massive).history("NOPE")
    assert massive.asked() == 0


def test_when_all_are_down_the_error_has_the_words_of_each(yahoo, massive, open_at):
    yahoo.fail("500", times=50)
    massive.entitled = False
    with pytest.raises(ProviderError, match=r"yahoo answered with status 500.*; massive .*not entitled"):
        open_at(yahoo, massive).history("AAPL")


def test_a_vendor_that_reaches_less_far_back_does_not_take_over_a_series(yahoo, alphavantage, open_at):
    desk = open_at(yahoo, alphavantage)
    before = desk.history("AAPL", period="max")
    yahoo.fail("500", times=50)
    desk.market.upkeep.now = lambda: NOW + pd.Timedelta(days=5)
    after = desk.history("AAPL", period="max")
    assert after.equals(before)
    assert after.attrs["status"] == "stale"
    assert "the two are not mixed" in after.attrs["note"]
    assert sources(desk, "AAPL") == {"yahoo"}


def test_a_split_since_the_last_visit_rewrites_the_series_and_keeps_the_old_version(yahoo, truth, open_at):
    desk = open_at(yahoo)
    before = desk.history("AAPL", period="max")
    truth["AAPL"].grow()
    truth["AAPL"].split("2026-07-01", 4)
    desk.market.upkeep.now = lambda: pd.Timestamp("2026-07-02 02:00", tz="UTC")
    after = desk.history("AAPL", period="max")
    np.testing.assert_allclose(after["close"].iloc[:-1], before["close"] / 4, rtol=1e-12)
    assert yahoo.asked() == 3
    # The first bar in new units was known when its session closed.
    eve = desk.store.bars("AAPL", as_of="2026-07-01T19:59:59Z")
    assert eve["close"].equals(before["close"])


def test_a_dividend_since_the_last_visit_moves_every_adjusted_close(massive, truth, open_at):
    desk = open_at(massive)
    desk.history("AAPL")
    truth["AAPL"].grow()
    truth["AAPL"].pay("2026-07-01", 1.5)
    desk.market.upkeep.now = lambda: pd.Timestamp("2026-07-02 02:00", tz="UTC")
    after = desk.history("AAPL", period="max")
    np.testing.assert_allclose(after["adj_close"], truth["AAPL"].adjusted_close(), rtol=1e-9)


def test_rows_before_a_vendors_reach_follow_a_split(yahoo, truth, open_at):
    desk = open_at(yahoo)
    before = desk.history("AAPL", period="max")
    truth["AAPL"].daily = truth["AAPL"].daily.iloc[100:]
    truth["AAPL"].grow()
    truth["AAPL"].split("2026-07-01", 2)
    desk.market.upkeep.now = lambda: pd.Timestamp("2026-07-02 02:00", tz="UTC")
    after = desk.history("AAPL", period="max")
    np.testing.assert_allclose(after["close"].iloc[:300], before["close"] / 2, rtol=1e-12)


def test_a_gap_is_asked_for_once_and_filled_when_the_vendor_has_it(yahoo, truth, open_at):
    whole = truth["AAPL"].daily
    truth["AAPL"].daily = whole.drop(whole.index[100:103])
    desk = open_at(yahoo)
    assert len(desk.history("AAPL", period="max")) == 297
    truth["AAPL"].daily = whole
    truth["AAPL"].grow()
    desk.market.upkeep.now = lambda: pd.Timestamp("2026-07-02 02:00", tz="UTC")
    assert len(desk.history("AAPL", period="max")) == 301
    assert yahoo.asked() == 2


def test_a_day_that_is_still_forming_is_in_the_quote_and_not_in_the_history(yahoo, truth, open_at):
    truth["AAPL"].grow()
    noon = pd.Timestamp("2026-07-01 16:00", tz="UTC")
    desk = open_at(yahoo, now=noon)
    assert desk.history("AAPL").index[-1] == LAST
    assert desk.quote("AAPL").timestamp == pd.Timestamp("2026-07-01", tz="UTC")
    assert desk.quote("AAPL").close == truth["AAPL"].daily["close"].iloc[-1]
    desk.market.upkeep.now = lambda: pd.Timestamp("2026-07-02 02:00", tz="UTC")
    assert desk.history("AAPL").index[-1] == pd.Timestamp("2026-07-01", tz="UTC")


def test_an_unsettled_last_row_and_a_live_one_become_one_bar(yahoo, truth, open_at):
    yahoo.unsettled = True
    yahoo.live = (LAST + pd.Timedelta(hours=20, seconds=1), 101.5, 5e6)
    desk = open_at(yahoo)
    bars = desk.history("AAPL", period="max")
    assert bars.index[-1] == LAST
    assert bars["close"].iloc[-1] == 101.5
    assert desk.store.quarantine("AAPL")["rule"].tolist() == ["no_close"]


def test_times_from_the_wrong_zone_are_flagged(yahoo, truth, vendor_settings):
    yahoo.shift = pd.Timedelta(hours=-16)
    flags = tidy(history(provider_on(vendor_settings(yahoo), "yahoo"))).flags
    assert (flags["rule"] == "off_calendar").sum() > 50


def test_no_key_in_anything_that_a_run_leaves(alphavantage, massive, open_at, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    desk = open_at(massive, alphavantage, massive_api_key=KEY, alphavantage_api_key=KEY)
    said = [repr(desk), repr(desk.settings), str(desk.settings.model_dump()), desk.history("AAPL").to_csv()]
    alphavantage.say = "cap"
    massive.fail("429", times=50)
    for symbol in ("MSFT", "NOPE", "9988.HK"):
        with pytest.raises(Exception) as failed:
            desk.history(symbol)
        said.append(repr(failed.value))
    stop = threading.Event()
    massive.heal()
    with closing(desk.market.providers[0].stream(["AAPL"], stop=stop)) as events:
        next(events)
    said += [caplog.text, *capfd.readouterr()]
    said += [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    assert "massive" in caplog.text or "urllib3" in caplog.text
    assert not [each[:200] for each in said if KEY in each]


# Streams


def collected(provider, symbols, count, *, during, timeout=30):
    """The first `count` events, with `during` called once the stream has begun to be read."""
    stop, events, began = threading.Event(), [], threading.Event()

    def act():
        began.wait(timeout)
        during()

    threading.Thread(target=act, daemon=True).start()
    deadline = time.monotonic() + timeout
    with closing(provider.stream(symbols, stop=stop)) as stream:
        began.set()
        for event in stream:
            if event is not None:
                events.append(event)
            if len(events) == count or time.monotonic() > deadline:
                stop.set()
    return events


AT = pd.Timestamp("2026-06-30 14:31:07.250", tz="UTC")


def test_yahoos_stream_gives_prices_and_ignores_junk(yahoo, vendor_settings):
    def send():
        yahoo.stream.wait_for("AAPL")
        yahoo.send_junk()
        yahoo.send("TSLA", 1.0, AT)
        yahoo.send("AAPL", 270.97, AT, size=100, day_volume=123_456)
        yahoo.send("AAPL", 270.98, AT)

    first, second = collected(provider_on(vendor_settings(yahoo), "yahoo"), ["AAPL"], 2, during=send)
    assert (first.symbol, first.time, first.price, first.size) == ("AAPL", AT, 270.97, 100)
    assert (first.day_volume, first.bar, first.source) == (123_456, None, "yahoo")
    assert (second.price, second.size, second.day_volume) == (270.98, None, None)


def test_massives_stream_authenticates_and_gives_trades_and_minutes(massive, truth, vendor_settings):
    start = AT.floor("min")

    def send():
        massive.stream.wait_for("AAPL", "BRK.B")
        massive.send("AAPL", 190.5, AT, size=20)
        massive.send_minute("BRK.B", start, (400.0, 402.0, 399.0, 401.0, 1500.0), day_volume=9000.0)

    trade, minute = collected(provider_on(vendor_settings(massive), "massive"), ["AAPL", "BRK-B"], 2, during=send)
    assert (trade.symbol, trade.price, trade.size, trade.time) == ("AAPL", 190.5, 20, AT)
    assert (minute.symbol, minute.time, minute.bar) == ("BRK-B", start, (400.0, 402.0, 399.0, 401.0, 1500.0))
    assert minute.day_volume == 9000.0


@pytest.mark.parametrize("name", ["yahoo", "massive"])
@pytest.mark.parametrize("end", ["close", "drop", "half_a_frame"])
def test_a_stream_that_ends_says_so_however_it_ends(name, end, request, vendor_settings):
    standin = request.getfixturevalue(name)

    def during():
        standin.stream.wait_for("AAPL")
        getattr(standin.stream, end)()

    with pytest.raises(VendorDownError, match=name):
        collected(provider_on(vendor_settings(standin), name), ["AAPL"], 1, during=during)


def test_a_quiet_stream_gives_its_listener_the_word(yahoo, vendor_settings):
    stop = threading.Event()
    with closing(provider_on(vendor_settings(yahoo), "yahoo").stream(["AAPL"], stop=stop)) as stream:
        assert next(stream) is None
        stop.set()
        assert list(stream) == []


def test_a_stream_that_is_refused_says_why(massive, vendor_settings):
    wrong = provider_on(vendor_settings(massive, massive_api_key="WRONG"), "massive")
    with pytest.raises(KeyRefusedError, match="MASSIVE_API_KEY"):
        collected(wrong, ["AAPL"], 1, during=lambda: None)
    massive.streaming = False
    with pytest.raises(NotEntitledError, match="websocket"):
        collected(provider_on(vendor_settings(massive), "massive"), ["AAPL"], 1, during=lambda: None)


def test_alphavantage_is_polled_within_its_allowance(alphavantage, vendor_settings):
    provider = provider_on(vendor_settings(alphavantage), "alphavantage")
    (event,) = collected(provider, ["AAPL"], 1, during=lambda: None)
    assert event.price > 0
    assert provider.left == 24
    assert alphavantage.asked("GLOBAL_QUOTE") == 1


def sources(desk, symbol):
    """Whose rows stand in the store, read from the table itself."""
    import sqlite3

    connection = sqlite3.connect(desk.settings.database)
    found = {row[0] for row in connection.execute("SELECT DISTINCT source FROM bars WHERE symbol = ?", (symbol,))}
    connection.close()
    return found


def test_the_columns_are_those_of_a_bars_frame(yahoo, vendor_settings):
    assert list(history(provider_on(vendor_settings(yahoo), "yahoo")).bars.columns) == list(BAR_COLUMNS)
