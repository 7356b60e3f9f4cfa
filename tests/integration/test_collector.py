"""The collector against a vendor that knows the truth: gaps, breaks, silence, kills; nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import truth_provider
from pydantic import SecretStr
from truth_provider import SYMBOLS, Truth

from quantkit.core.errors import UnknownSymbolError, UsageError, VendorDownError
from quantkit.data.collect import run_collect
from quantkit.data.collector import Collector
from quantkit.data.store import Store
from quantkit.settings import Settings

TESTS = Path(__file__).parents[1]
#: Seconds of the vendor's clock in one of ours.
SPEED = 300.0


def until(holds: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def count(store: Store, *symbols: str) -> int:
    """Minutes stored of the symbol that has the fewest."""
    held = [store.bar_range(symbol, "1m") for symbol in symbols or SYMBOLS]
    return min(0 if each is None else each[2] for each in held)


def assert_true(store: Store, *, symbols: tuple[str, ...] = SYMBOLS) -> None:
    """Every minute from the vendor's first to the last stored one is there once, and as the vendor has it."""
    for symbol in symbols:
        found = store.bars(symbol, "1m")
        last = int(found.index[-1].timestamp()) * 1_000_000 + truth_provider.MINUTE
        # The last minute may still wait for a late trade.
        expected = truth_provider.minutes(symbol, last).iloc[:-1]
        pd.testing.assert_frame_equal(found.iloc[:-1], expected, check_freq=False)


class Collecting:
    """A collector in a thread of this process."""

    def __init__(self, settings: Settings, provider: Truth, **options: object) -> None:
        self.store = Store.open(settings)
        self.stop = threading.Event()
        self.said: list[str] = []
        self.collector = Collector(settings, self.store, provider, SYMBOLS, say=self.said.append, **options)
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.collector.stream(self.stop)
        except BaseException as error:
            self.failure = error

    def __enter__(self) -> Collecting:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(60)
        assert not self.thread.is_alive()
        self.store.close()


def test_a_stream_joined_midway_becomes_whole_minutes_in_the_store(any_settings):
    provider = Truth(born=time.time() - 3.0, speed=SPEED)
    with Collecting(any_settings, provider) as run:
        until(lambda: count(run.store) > 25)
        run.stop.set()
        run.thread.join(60)
        assert_true(run.store)
        assert run.failure is None
        (row,) = run.store.runs.table("collect").itertuples()
        assert (row.kind, row.status) == ("collect", "ended")
        assert run.store.instrument("MSFT").source == "truth"
        # Trades that came late corrected a minute, and the version before is kept.
        assert run.store.quarantine().empty


def test_a_connection_that_breaks_is_made_again_and_what_was_missed_is_filled(settings):
    provider = Truth(born=time.time() - 1.0, speed=SPEED)
    with Collecting(settings, provider) as run:
        until(lambda: count(run.store) > 8)
        provider.broken.set()
        until(lambda: any("connecting again" in said for said in run.said))
        provider.broken.clear()
        reached = count(run.store)
        until(lambda: provider.connections > 1 and count(run.store) > reached + 10)
        run.stop.set()
        run.thread.join(60)
        assert_true(run.store)


def test_a_stream_that_stalls_without_closing_is_opened_again(settings):
    class Stalling(Truth):
        def stream(self, symbols, *, stop):
            if self.connections == 0:
                self.connections += 1
                while not stop.wait(0.05):
                    yield None
                return
            yield from super().stream(symbols, stop=stop)

    provider = Stalling(born=time.time() - 1.0, speed=SPEED)
    with Collecting(settings, provider, stall=0.3) as run:
        until(lambda: provider.connections > 1 and count(run.store) > 10)
        assert any("silent for 0.3 s" in said for said in run.said)
        run.stop.set()
        run.thread.join(60)
        assert_true(run.store)


def test_later_minutes_wait_until_the_gap_before_them_is_filled(settings):
    """Else a kill in between would leave a hole that nobody would look for."""

    class Slow(Truth):
        away = True

        def extract(self, request):
            if self.away:
                raise VendorDownError("truth: no history for now")
            return super().extract(request)

    provider = Slow(born=time.time() - 1.0, speed=SPEED)
    with Collecting(settings, provider) as run:
        until(lambda: run.collector.events > 20)
        assert count(run.store) == 0
        assert not run.store.live.forming("MSFT").empty
        provider.away = False
        until(lambda: count(run.store) > 10)
        run.stop.set()
        run.thread.join(60)
        assert_true(run.store, symbols=("MSFT",))


def test_a_vendor_without_history_still_fills_the_store_from_its_stream(settings, monkeypatch):
    class Deaf(Truth):
        def extract(self, request):
            raise VendorDownError("truth: no history")

    monkeypatch.setattr("quantkit.data.collector._ATTEMPTS", 1)
    provider = Deaf(born=time.time(), speed=SPEED)
    with Collecting(settings, provider) as run:
        until(lambda: count(run.store) > 5)
        found = run.store.bars("MSFT", "1m").iloc[1:-1]
        np.testing.assert_array_equal(np.diff(found.index.asi8), 60_000_000)
        assert any("not to be had" in said for said in run.said)


def test_polling_stores_complete_minutes_and_shows_the_one_that_forms(settings):
    provider = Truth(born=time.time() - 6.0, speed=SPEED)
    stop = threading.Event()
    with Store.open(settings) as store:
        collector = Collector(settings, store, provider, SYMBOLS)
        polling = threading.Thread(target=lambda: collector.poll(stop, every=1))
        polling.start()
        try:
            until(lambda: count(store) > 35)
            until(lambda: not store.live.forming("MSFT").empty)
        finally:
            stop.set()
            polling.join(60)
        assert_true(store)
        assert store.runs.table("collect")["status"].tolist() == ["ended"]
        # Only what the store lacks is asked for, after the first time.
        later = [query for query in provider.asked if query.symbol == "MSFT"][1:]
        assert all(query.start > pd.Timestamp("2022-06-14 13:40", tz="UTC") for query in later)


def test_a_symbol_that_cannot_be_polled_is_told_of_once_and_holds_up_no_other(settings):
    class Without(Truth):
        def extract(self, request):
            if request.symbol == "AAPL":
                raise UnknownSymbolError("AAPL is not known to truth")
            return super().extract(request)

    provider = Without(born=time.time() - 3.0, speed=SPEED)
    stop, said = threading.Event(), []
    with Store.open(settings) as store:
        collector = Collector(settings, store, provider, ["AAPL", "MSFT"], say=said.append)
        polling = threading.Thread(target=lambda: collector.poll(stop, every=1))
        polling.start()
        try:
            until(lambda: len([query for query in provider.asked if query.symbol == "MSFT"]) >= 3)
        finally:
            stop.set()
            polling.join(60)
        assert said == ["AAPL is not known to truth"]
        assert_true(store, symbols=("MSFT",))


def kill_and_go_on(settings: Settings, times: int, seed: int) -> None:
    """Kill the collector's process at random moments, then let one end by itself and compare with the truth."""
    chance = random.Random(seed)
    environment = {
        **os.environ, "QUANTKIT_HOME": str(settings.home), "QUANTKIT_PROVIDER": "truth",
        "TRUTH_BORN": str(time.time()), "TRUTH_SPEED": str(SPEED), "PYTHONPATH": str(TESTS),
    }  # fmt: skip
    if settings.database_url is not None:
        environment["QUANTKIT_DATABASE_URL"] = settings.database_url.get_secret_value()
    command = [sys.executable, str(TESTS / "truth_provider.py")]
    with Store.open(settings) as store:
        for number in range(times + 1):
            seen = store.live.position()
            process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
            try:
                until(lambda seen=seen, process=process: store.live.position() != seen or process.poll() is not None)
                if number < times:
                    time.sleep(chance.uniform(0.0, 0.7))
                    process.kill()
                    process.wait(30)
                    continue
                reached = count(store)
                until(lambda reached=reached: count(store) > reached + 5)
                process.terminate()
                assert process.wait(30) == 0, process.stderr.read()
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait(30)
                process.stderr.close()
        assert_true(store)
        statuses = store.runs.table("collect")["status"].value_counts().to_dict()
        assert statuses.get("ended") == 1
        assert store.check() == []


def test_killed_at_random_moments_it_loses_and_doubles_nothing(any_settings):
    times = 5 if any_settings.database_url is None else 2  # fifty on either in `make soak`
    kill_and_go_on(any_settings, times=times, seed=20_220_614)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_killed_fifty_times_it_loses_and_doubles_nothing(any_settings):
    kill_and_go_on(any_settings, times=50, seed=1)


# Replay


def collect(settings: Settings, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "QUANTKIT_HOME": str(settings.home)}
    if settings.database_url is not None:
        environment["QUANTKIT_DATABASE_URL"] = settings.database_url.get_secret_value()
    command = [sys.executable, "-m", "quantkit.cli", "collect", *options]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_the_replay_moves_a_watch_and_brings_back_every_minute(any_settings):
    from quantkit import Desk
    from quantkit.data.replay import recorded_session, restore

    session = recorded_session("MSFT")
    with Desk.open(any_settings) as desk:
        whole = desk.history("MSFT", period="max", interval="1m")
        before = pd.Timestamp.now("UTC")
        watch = desk.watch(["MSFT"])
        process = collect(any_settings, "--replay", "MSFT", "--speed", "3000")
        try:
            # What stood before is called a replay already while its minutes are being taken away.
            seen = [next(quote for quote in watch if quote.timestamp != whole.index[-1])]
            while seen[-1].timestamp < session.index[-60]:
                seen.append(next(watch))
            assert {quote.status for quote in seen} == {"replay"}
            assert len({quote.timestamp for quote in seen}) >= 3
            assert [quote.timestamp for quote in seen] == sorted(quote.timestamp for quote in seen)
            assert process.wait(60) == 0, process.stderr.read()
        finally:
            process.kill()
            process.wait(30)
            process.stderr.close()
        replayed = desk.history("MSFT", period="max", interval="1m")
        pd.testing.assert_frame_equal(replayed, whole.loc[: session.index[-1]], check_freq=False)
        # As it stood before the replay, the store still holds what the replay had taken away.
        pd.testing.assert_frame_equal(
            desk.history("MSFT", period="max", interval="1m", as_of=before), whole, check_freq=False
        )
        assert desk.quote("MSFT").status == "replay"
        assert restore(any_settings, desk.store) == ["MSFT"]
        pd.testing.assert_frame_equal(desk.history("MSFT", period="max", interval="1m"), whole, check_freq=False)
        assert desk.quote("MSFT").status == "sample"


def test_a_replay_that_was_killed_goes_on_where_it_stood(settings):
    from quantkit import Desk
    from quantkit.data.replay import recorded_session

    session = recorded_session("AZN.L")
    with Desk.open(settings) as desk:
        process = collect(settings, "--replay", "AZN.L", "--speed", "1800")
        until(lambda: count(desk.store, "AZN.L") > 0 and desk.quote("AZN.L").timestamp > session.index[60])
        process.kill()
        process.wait(30)
        process.stderr.close()
        stood = desk.history("AZN.L", period="max", interval="1m").index[-1]
        assert stood < session.index[-1]
        process = collect(settings, "--replay", "AZN.L", "--speed", "36000")
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert f"AZN.L from {stood + pd.Timedelta(minutes=1):%Y-%m-%d %H:%M}" in said
        found = desk.history("AZN.L", period="max", interval="1m").loc[session.index[0] :]
        pd.testing.assert_frame_equal(found, session, check_freq=False)


def test_what_cannot_be_collected_is_refused_in_a_sentence(settings):
    with pytest.raises(UsageError, match="name one way of collecting"):
        run_collect(settings)
    with pytest.raises(UsageError, match="has no stream"):
        run_collect(settings, stream=True)
    with pytest.raises(UsageError, match="the sample does not change"):
        run_collect(settings, every="60s")
    with pytest.raises(UsageError, match=r"AAPL has no recorded session; choose from 9988\.HK, AZN\.L, MSFT"):
        run_collect(settings, replay="AAPL")


def test_a_run_collects_where_something_changes(settings):
    from quantkit.serve.up import collects, programs

    ways = {name: collects(settings.model_copy(update={"provider": (name,)})) for name in ("sample", "replay", "yahoo")}
    assert ways == {"sample": (), "replay": ("--replay", "MSFT,AZN.L,9988.HK", "--loop"), "yahoo": ("--stream",)}
    replaying = settings.model_copy(update={"provider": ("replay",)})
    (program,) = [
        each for each in programs(replaying, settings.home, ip="127.0.0.1", port=0) if each.name == "collector"
    ]
    assert program.command[-2:] == ("--follow", str(os.getpid()))
    assert not any(each.name == "collector" for each in programs(settings, settings.home, ip="127.0.0.1", port=0))


def test_under_the_replay_provider_every_face_says_so(settings):
    from quantkit import Desk

    replaying = settings.model_copy(update={"provider": ("replay",)})
    with Desk.open(replaying) as desk:
        assert desk.quote("AZN.L").status == "replay"
        assert desk.quote("AAPL").status == "sample"
        stop = threading.Event()
        watch = desk.watch(["AZN.L", "9988.HK"])
        work = threading.Thread(
            target=lambda: run_collect(replaying, speed=3000, symbols="AZN.L,9988.HK", say=lambda _: None, stop=stop)
        )
        work.start()
        try:
            seen = {quote.symbol: quote.timestamp for quote, _ in zip(watch, range(12), strict=False)}
        finally:
            stop.set()
            work.join(60)
        assert set(seen) == {"AZN.L", "9988.HK"}
        assert seen["AZN.L"].date() == seen["9988.HK"].date()


def test_massives_own_client_feeds_it_minutes_through_a_dropped_connection(settings):
    from standins.massive import MassiveStandin
    from standins.truth import Truth as Listings

    from quantkit.data import PROVIDERS

    minute = pd.Timestamp.now("UTC").floor("min") - pd.Timedelta(minutes=30)
    with MassiveStandin(Listings.of("AAPL")) as massive:
        live = settings.model_copy(
            update={
                "provider": ("massive",), "massive_api_key": SecretStr(massive.key), "massive_url": massive.url,
                "massive_stream_url": massive.stream_url, "massive_per_minute": 1000,
            }
        )  # fmt: skip
        stop = threading.Event()
        with Store.open(live) as store:
            collector = Collector(live, store, PROVIDERS["massive"](live), ["AAPL"])
            work = threading.Thread(target=lambda: collector.stream(stop))
            work.start()
            try:
                for number in range(4):
                    massive.stream.wait_for("AAPL")
                    at = minute + pd.Timedelta(minutes=number)
                    massive.send_minute("AAPL", at, (10.0 + number, 20.0, 5.0, 11.0, 100.0))
                    until(lambda number=number: count(store, "AAPL") == number + 1)
                    if number == 1:
                        massive.stream.drop()
                        massive.stream.wait_for_connections(2)
                found = store.bars("AAPL", "1m")
            finally:
                stop.set()
                work.join(60)
            assert found["open"].tolist() == [10.0, 11.0, 12.0, 13.0]
            assert found.index[0] == minute
            assert not store.runs.table("collect")["message"].str.contains(massive.key).any()
