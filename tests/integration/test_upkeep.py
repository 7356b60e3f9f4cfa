"""Stored series kept up to date by the real clients: who is asked, how often, and what a desk makes of the answer."""

from __future__ import annotations

import logging
import threading
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from standins import Truth
from vendor_questions import KEY, LAST, NOW

from quantkit.core.errors import (
    ProviderError,
    ThrottledError,
    UnknownSymbolError,
)


def sources(desk, symbol):
    """Whose rows stand in the store, read from the table itself."""
    import sqlite3

    connection = sqlite3.connect(desk.settings.database)
    found = {row[0] for row in connection.execute("SELECT DISTINCT source FROM bars WHERE symbol = ?", (symbol,))}
    connection.close()
    return found


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
    with pytest.raises(ThrottledError, match=r"ask again in .* or name another provider"):
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


def test_earnings_are_asked_for_once_a_week_and_cost_no_series_anything(alphavantage, yahoo, truth, open_at):
    desk = open_at(yahoo, alphavantage)
    clock = iter(range(10**6))

    def later(days):
        # A clock that goes on: reports are told just after the visit for bars.
        desk.market.upkeep.now = lambda: NOW + pd.Timedelta(days=days, seconds=next(clock))

    def asked():
        return sum(each.query.get("function") == "EARNINGS" for each in alphavantage.requests)

    later(0)
    told = desk.actions("AAPL")
    reports = told[told["kind"] == "earnings"]
    assert set(reports["time"]) == set(truth["AAPL"].daily.index[::-63])
    assert (set(reports["source"]), asked()) == ({"alphavantage"}, 1)
    assert told["time"].is_monotonic_increasing
    bars = yahoo.asked()
    later(6)
    desk.actions("AAPL")
    assert asked() == 1
    later(8)
    desk.actions("AAPL")
    assert asked() == 2
    # A report that is new is no split: nothing of the series is fetched again because of it.
    assert yahoo.asked() <= bars + 2
    starts = [int(each.query["period1"]) for each in yahoo.requests if "period1" in each.query]
    assert min(starts[1:]) > pd.Timestamp("2026-05-01").timestamp()


@pytest.mark.parametrize("trouble", ["cap", "premium", "few"])
def test_without_earnings_there_are_the_other_actions(trouble, alphavantage, yahoo, truth, open_at):
    truth["AAPL"].pay("2026-06-10", 0.30)
    alphavantage.say = "" if trouble == "few" else trouble
    desk = open_at(yahoo, alphavantage, alphavantage_per_day=5 if trouble == "few" else 25)
    told = desk.actions("AAPL")
    assert told["kind"].tolist() == ["dividend"]
    assert len(alphavantage.requests) == (trouble != "few"), "the last requests of a day are left for prices"
    # What was no answer is asked again; that a plan has no earnings is one, for a week.
    alphavantage.say = ""
    desk.market.providers[1].circuit.succeeded()
    assert ("earnings" in set(desk.actions("AAPL")["kind"])) == (trouble == "cap")
