"""The vendors' stand-ins, and desks and providers that ask them."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from standins import Truth
from standins.alphavantage import AlphaVantageStandin
from standins.massive import MassiveStandin
from standins.yahoo import YahooStandin
from vendor_questions import KEY, LAST, NOW

from quantkit import Desk
from quantkit.settings import Settings


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
