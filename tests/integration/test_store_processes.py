"""Several real processes on one store: nothing lost, nothing doubled, no exception, no half of a put ever seen."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantkit.core.schema import check_bars
from quantkit.data.store import Store
from quantkit.settings import Settings

ROUNDS = 15
CHUNK = 40

_spawn = multiprocessing.get_context("spawn")


def bars_of(count: int, *, first: int = 0, volume: float = 1.0) -> pd.DataFrame:
    flat = 100.0 + np.arange(first, first + count)
    start = pd.Timestamp("2020-01-01", tz="UTC") + pd.Timedelta(minutes=first)
    index = pd.date_range(start, periods=count, freq="1min", unit="us", name="time")
    return pd.DataFrame(
        {**dict.fromkeys(("open", "high", "low", "close"), flat), "volume": volume, "adj_close": flat}, index=index
    )


def write(where: Settings, own: str, barrier: Any, failures: Any) -> None:
    """Put a series of its own, and the same bars of the shared series as everybody else."""
    try:
        with Store.open(where) as store:
            barrier.wait()
            for part in range(ROUNDS):
                chunk = bars_of(CHUNK, first=part * CHUNK)
                store.put_bars(own, "1m", chunk, source=own)
                store.put_bars("SHARED", "1m", chunk, source=own)
                # Every bar of one put has the same volume: a reader that sees two has seen half of a put.
                store.put_bars("WHOLE", "1m", bars_of(CHUNK, volume=float(part + 1)), source=own)
                store.put_result(f"{own}{part}", question={}, answer={"part": part}, seconds=0.0)
                store.tasks.report("task", part, ROUNDS)
    except BaseException as error:
        failures.put(f"{own}: {error!r}")
        raise


def look(where: Settings, barrier: Any, done: Any, failures: Any) -> None:
    """Read until the writers are done; every answer must be a valid one."""
    try:
        with Store.open(where) as store:
            barrier.wait()
            seen = 0
            while not done.is_set():
                shared = check_bars(store.bars("SHARED", "1m"), name="SHARED")
                assert len(shared) >= seen, f"{len(shared)} bars after {seen}"
                assert len(shared) % CHUNK == 0, f"{len(shared)} bars are no whole number of puts"
                seen = len(shared)
                assert len(set(store.bars("WHOLE", "1m")["volume"])) <= 1
                store.data_version()
    except BaseException as error:
        failures.put(f"reader: {error!r}")
        raise


def opened(where: Settings, barrier: Any, failures: Any) -> None:
    """Open a store that does not exist yet at the same time as others."""
    try:
        barrier.wait()
        with Store.open(where) as store:
            store.put_bars("AAPL", "1m", bars_of(50), source="sample")
    except BaseException as error:
        failures.put(repr(error))
        raise


def test_writers_and_a_reader_at_once_lose_and_double_nothing(any_settings):
    Store.open(any_settings).close()
    barrier, done, failures = _spawn.Barrier(3), _spawn.Event(), _spawn.Queue()
    writers = [_spawn.Process(target=write, args=(any_settings, own, barrier, failures)) for own in ("ONE", "TWO")]
    reader = _spawn.Process(target=look, args=(any_settings, barrier, done, failures))
    for process in (*writers, reader):
        process.start()
    for process in writers:
        process.join(120)
    done.set()
    reader.join(60)
    assert failures.empty(), failures.get()
    assert [process.exitcode for process in (*writers, reader)] == [0, 0, 0]
    with Store.open(any_settings) as store:
        for symbol in ("ONE", "TWO", "SHARED"):
            pd.testing.assert_frame_equal(store.bars(symbol, "1m"), bars_of(ROUNDS * CHUNK), check_freq=False)
            assert store.bar_history(symbol, "1m").empty
        for own in ("ONE", "TWO"):
            assert all(store.result(f"{own}{part}") == {"part": part} for part in range(ROUNDS))
        versions = store.bar_history("WHOLE", "1m").groupby("time").size()
        assert len(set(versions)) == 1
        assert store.check() == []


def test_processes_that_create_the_store_at_once_agree(any_settings):
    barrier, failures = _spawn.Barrier(3), _spawn.Queue()
    processes = [_spawn.Process(target=opened, args=(any_settings, barrier, failures)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert failures.empty(), failures.get()
    assert [process.exitcode for process in processes] == [0] * 3
    with Store.open(any_settings) as store:
        assert len(store.bars("AAPL", "1m")) == 50
        assert len(store.changes_since(0)) == 1


def test_threads_share_one_store(any_settings):
    with Store.open(any_settings) as store:
        failures = []

        def work(number: int) -> None:
            try:
                for part in range(ROUNDS):
                    store.put_bars(f"T{number}", "1m", bars_of(CHUNK, first=part * CHUNK), source="sample")
                    store.put_bars("SHARED", "1m", bars_of(CHUNK, first=part * CHUNK), source="sample")
                    assert len(store.bars(f"T{number}", "1m")) == (part + 1) * CHUNK
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert failures == []
        for symbol in ("SHARED", *(f"T{number}" for number in range(6))):
            assert store.bar_range(symbol, "1m")[2] == ROUNDS * CHUNK
        assert store.bar_history("SHARED", "1m").empty


def test_what_a_kernel_commits_outlives_a_bulk_read_beside_it(settings):
    """A second copy of SQLite in the process, as ADBC's driver is, would delete the log of commits when it closes."""
    bars = bars_of(20_000)
    with Store.open(settings) as store:
        store.put_bars("BULK", "1m", bars, source="sample")
        with Store.open(settings) as second:
            pd.testing.assert_frame_equal(second.bars("BULK", "1m"), bars, check_freq=False)
        store.put_bars("AAPL", "1m", bars_of(5), source="sample")
        count = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone())"
        seen = subprocess.run(
            [sys.executable, "-c", count, str(settings.database), "SELECT count(*) FROM bars WHERE symbol = 'AAPL'"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert seen.stdout.split() == ["5"]


def test_reading_and_writing_load_no_second_copy_of_sqlite(settings):
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_store_processes import bars_of\n"
        "from quantkit.data.store import Store\n"
        "from quantkit.settings import Settings\n"
        "with Store.open(Settings.load(home=sys.argv[1])) as store:\n"
        "    store.put_bars('AAPL', '1m', bars_of(20000), source='sample')\n"
        "    store.bars('AAPL', '1m')\n"
        "print(sorted(name for name in sys.modules if name.startswith(('adbc', 'apsw', 'duckdb'))))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(settings.home), str(Path(__file__).parent)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stdout.strip() == "[]", ran.stderr


@pytest.mark.soak
def test_many_processes_for_a_minute(any_settings):
    Store.open(any_settings).close()
    for _ in range(10):
        barrier, done, failures = _spawn.Barrier(6), _spawn.Event(), _spawn.Queue()
        writers = [_spawn.Process(target=write, args=(any_settings, f"W{i}", barrier, failures)) for i in range(4)]
        readers = [_spawn.Process(target=look, args=(any_settings, barrier, done, failures)) for _ in range(2)]
        for process in (*writers, *readers):
            process.start()
        for process in writers:
            process.join(120)
        done.set()
        for process in readers:
            process.join(60)
        assert failures.empty(), failures.get()
        with Store.open(any_settings) as store:
            assert store.check() == []
            assert store.bar_range("SHARED", "1m")[2] == ROUNDS * CHUNK
