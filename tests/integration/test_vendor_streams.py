"""The vendors' streams, from real WebSocket servers on loopback: events, junk, silence, and every way to end."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pandas as pd
import pytest
from vendor_questions import provider_on

from quantkit.core.errors import (
    KeyRefusedError,
    NotEntitledError,
    VendorDownError,
)


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
