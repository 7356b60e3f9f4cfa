"""Desk.watch on each bus: SQLite's counter, PostgreSQL's NOTIFY, Redis; the latest, never a queue."""

from __future__ import annotations

import json
import threading
import time

import pandas as pd
import pytest

from quantkit import Desk
from quantkit.core.errors import SettingsError, UnknownSymbolError, UsageError
from quantkit.data import bus
from quantkit.data.base import Instrument
from quantkit.data.live import START, LiveBar, Position
from quantkit.data.store import Store
from quantkit.settings import Settings

FIRST = int(pd.Timestamp("2023-01-03 14:30", tz="UTC").timestamp()) * 1_000_000
MINUTE = 60_000_000


@pytest.fixture(params=["sqlite", "postgresql", "sqlite+redis"])
def settings(request, tmp_path):
    where = {"home": tmp_path / "home"}
    if "postgresql" in request.param:
        where["database_url"] = request.getfixturevalue("postgres_url")
    if "redis" in request.param:
        where["redis_url"] = request.getfixturevalue("redis_url")
    return Settings.load(**where)


@pytest.fixture
def desk(settings):
    with Desk.open(settings) as opened:
        for symbol in ("9988.HK", "AZN.L"):
            hold(opened, symbol)
        yield opened


def hold(desk: Desk, symbol: str) -> None:
    """Have a symbol with one bar in the store, without the sample's thousands."""
    desk.store.put_instrument(Instrument(symbol, symbol, "USD", "XNYS", "files", intervals=("1m",)))
    desk.store.live.put([bar(-10, 90.0, symbol)], [], source="files")


def bar(number: int, close: float, symbol: str = "9988.HK") -> LiveBar:
    return LiveBar(symbol, FIRST + number * MINUTE, 100.0, 200.0, 50.0, close, 10.0)


class Writer:
    """Another process's store, as the collector has it."""

    def __init__(self, settings: Settings) -> None:
        self.store = Store.open(settings)
        self.announcer = bus.announcer(settings)

    def put(self, complete: list[LiveBar], forming: list[LiveBar] = ()) -> None:
        self.store.live.put(complete, forming, source="sample")
        self.announcer.announce()


@pytest.fixture
def writer(settings):
    opened = Writer(settings)
    yield opened
    opened.store.close()


def in_thread(work) -> tuple[threading.Thread, list]:
    found: list = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return thread, found


def test_a_bar_that_another_process_writes_arrives_as_a_quote(desk, writer):
    with desk.watch(["9988.HK"]) as watch:
        for number in range(3):
            thread, found = in_thread(lambda: next(watch))
            writer.put([bar(number, 100.0 + number)])
            thread.join(60)
            assert found[0].close == 100.0 + number
            assert found[0].timestamp == pd.Timestamp(FIRST + number * MINUTE, unit="us", tz="UTC")


def test_the_bar_that_forms_moves_the_quote_and_then_closes(desk, writer):
    with desk.watch("9988.HK") as watch:
        closes = []
        for complete, forming in (
            ([], [bar(0, 101.0)]), ([], [bar(0, 102.0)]), ([bar(0, 103.0)], [bar(1, 104.0)]), ([bar(1, 105.0)], []),
        ):  # fmt: skip
            writer.put(complete, forming)
            closes.append(next(watch).close)
        assert closes == [101.0, 102.0, 104.0, 105.0]
        # What is forming is in the quote alone: answers are made of complete bars.
        assert desk.history("9988.HK", interval="1m", start="2023-01-03T14:30Z")["close"].tolist() == [103.0, 105.0]
        assert desk.store.live.forming("9988.HK").empty


def test_a_slow_listener_gets_the_latest_and_never_a_queue(desk, writer):
    with desk.watch(["9988.HK", "AZN.L"]) as watch:
        for number in range(40):
            writer.put([bar(number, 100.0 + number)], [bar(number, 70.0, "AZN.L")])
        quotes = {quote.symbol: quote for quote in (next(watch), next(watch))}
        assert quotes["9988.HK"].close == 139.0
        assert quotes["AZN.L"].close == 70.0
        thread, found = in_thread(lambda: next(watch))
        thread.join(0.6)
        assert found == []
        writer.put([bar(40, 55.0)])
        thread.join(60)
        assert found[0].close == 55.0


def test_only_the_symbols_asked_for_arrive(desk, writer):
    with desk.watch(["AZN.L"]) as watch:
        writer.put([bar(0, 100.0)])
        writer.put([bar(0, 99.0, "AZN.L")])
        assert next(watch).symbol == "AZN.L"


def test_it_can_begin_with_what_stands(desk):
    with desk.watch(["9988.HK", "AZN.L"], initial=True) as watch:
        assert [next(watch).symbol, next(watch).symbol] == ["9988.HK", "AZN.L"]


@pytest.mark.parametrize("how", ["watch", "desk"])
def test_whoever_waits_is_let_go_when_it_is_closed_elsewhere(desk, how):
    watch = desk.watch(["9988.HK"])
    thread, found = in_thread(lambda: list(watch))
    time.sleep(0.1)
    (watch if how == "watch" else desk).close()
    thread.join(30)
    assert found == [[]]
    assert list(watch) == []


def test_unknown_symbols_are_refused_at_once(desk):
    with pytest.raises(UnknownSymbolError):
        desk.watch(["NOPE"])
    with pytest.raises(UsageError):
        desk.watch(["a b"])


def test_positions_tell_what_moved_once(desk, writer):
    live = desk.store.live
    start = live.position()
    writer.put([bar(0, 100.0)], [bar(0, 99.0, "AZN.L")])
    moved, after = live.moved(["9988.HK", "AZN.L", "AAPL"], start)
    assert set(moved) == {"9988.HK", "AZN.L"}
    assert live.moved(["9988.HK", "AZN.L"], after) == ({}, after)
    assert set(live.moved(["9988.HK"], START)[0]) == {"9988.HK"}
    writer.put([bar(0, 100.0)])
    assert live.moved(["9988.HK"], after)[0] == {}


def test_a_symbol_whose_forming_bar_was_completed_moves_again_with_the_next_one(desk, writer):
    """The number of a forming bar must not begin again when the row that held the last one is gone."""
    live = desk.store.live
    writer.put([], [bar(0, 101.0)])
    position = live.position()
    writer.put([bar(0, 101.0)])
    _, position = live.moved(["9988.HK"], position)
    writer.put([], [bar(1, 102.0)])
    assert set(live.moved(["9988.HK"], position)[0]) == {"9988.HK"}


# Redis alone


@pytest.mark.parametrize("settings", ["sqlite+redis"], indirect=True)
def test_the_latest_quote_is_kept_in_redis_and_computed_once(settings, desk, writer):
    import redis

    with desk.watch(["9988.HK"]) as first:
        writer.put([bar(0, 123.0)])
        assert next(first).close == 123.0
    kept = json.loads(redis.Redis.from_url(settings.redis_url.get_secret_value()).get("quantkit:quote:9988.HK"))
    assert kept["quote"]["close"] == 123.0
    cache = bus.quote_cache(settings)
    found = cache.quote("9988.HK", Position(*kept["made_of"]), lambda: pytest.fail("it was computed again"))
    assert found.close == 123.0


def test_without_its_redis_a_watch_still_moves_and_nobody_waits(tmp_path):
    from databases import redis_server

    with redis_server() as (url, process):
        settings = Settings.load(home=tmp_path / "home", redis_url=url)
        writer = Writer(settings)
        with Desk.open(settings) as desk:
            hold(desk, "AZN.L")
            watch = desk.watch(["AZN.L"])
            process.kill()
            process.wait(30)
            writer.put([bar(0, 55.0, "AZN.L")])
            while (quote := next(watch)).close != 55.0:
                pass
            assert quote.symbol == "AZN.L"
        writer.store.close()


def test_a_redis_that_cannot_be_used_is_named_without_its_password(tmp_path):
    settings = Settings.load(home=tmp_path, redis_url="redis://:hunter2@127.0.0.1:1/0")
    with pytest.raises(SettingsError, match="QUANTKIT_REDIS_URL") as caught:
        bus.check_redis(settings)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError, match="expected redis://") as caught:
        bus.check_redis(Settings.load(home=tmp_path, redis_url="hunter2"))
    assert "hunter2" not in str(caught.value)
