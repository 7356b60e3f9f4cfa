"""The real client of each vendor against a stand-in that speaks its form, faults included."""

from __future__ import annotations

import time

import pandas as pd
import pytest
from standins import Truth
from standins.alphavantage import AlphaVantageStandin
from standins.massive import MassiveStandin
from standins.yahoo import YahooStandin
from vendor_questions import KEY, LAST, history, provider_on, tidy

from quantkit.core.calendars import sessions_between
from quantkit.core.errors import (
    KeyRefusedError,
    NonsenseError,
    NotEntitledError,
    ThrottledError,
    UnknownSymbolError,
    VendorDownError,
)
from quantkit.core.schema import BAR_COLUMNS
from quantkit.data.base import EarningsQuery, QuoteQuery
from quantkit.settings import Settings


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


def test_alphavantages_earnings_stand_on_the_days_they_were_reported(alphavantage, truth, vendor_settings):
    provider, query = provider_on(vendor_settings(alphavantage), "alphavantage"), EarningsQuery("AAPL")
    told = provider.normalise(provider.extract(provider.build(query)), query).actions
    assert set(told["kind"]) == {"earnings"}
    days = truth["AAPL"].daily.index[::-63][:8]
    assert dict(zip(told["time"], told["value"], strict=True)) == {day: 1.5 + i / 10 for i, day in enumerate(days)}
    # A fund has none; and an answer in another form is said to be one.
    assert provider.normalise({}, query).actions.empty
    with pytest.raises(NonsenseError, match="earnings of AAPL have not the form"):
        provider.normalise({"quarterlyEarnings": "soon"}, query)


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


def test_times_from_the_wrong_zone_are_flagged(yahoo, truth, vendor_settings):
    yahoo.shift = pd.Timedelta(hours=-16)
    flags = tidy(history(provider_on(vendor_settings(yahoo), "yahoo"))).flags
    assert (flags["rule"] == "off_calendar").sum() > 50


def test_the_columns_are_those_of_a_bars_frame(yahoo, vendor_settings):
    assert list(history(provider_on(vendor_settings(yahoo), "yahoo")).bars.columns) == list(BAR_COLUMNS)


def test_a_ticker_that_massive_does_not_find_is_named_whatever_was_asked_of_it(massive, vendor_settings, monkeypatch):
    monkeypatch.setattr(massive, "answer", lambda question: (404, {"status": "NOT_FOUND"}))
    with pytest.raises(UnknownSymbolError, match=r"^AAPL is not known to massive"):
        history(provider_on(vendor_settings(massive), "massive"))
