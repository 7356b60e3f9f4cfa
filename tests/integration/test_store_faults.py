"""The store when its file is not as it should be: one sentence that names it and says what to do, no data harmed."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantkit.core.errors import StoreError
from quantkit.data.store import Store
from quantkit.settings import Settings

NOBODY = 65534


def bars_of(count: int, *, volume: float = 1.0) -> pd.DataFrame:
    flat = 100.0 + 0.001 * np.arange(count)
    index = pd.date_range("2000-01-01", periods=count, freq="1min", unit="us", tz="UTC", name="time")
    columns = dict.fromkeys(("open", "high", "low", "close"), flat)
    return pd.DataFrame({**columns, "volume": volume, "adj_close": flat}, index=index)


@pytest.fixture
def filled(settings) -> Settings:
    with Store.open(settings) as store:
        store.put_bars("AAPL", "1m", bars_of(5000), source="sample")
    return settings


@pytest.fixture
def public_home() -> Iterator[Path]:
    """A folder that an unprivileged user can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="quantkit-store-"))
    folder.chmod(0o755)
    yield folder / "home"
    for each in (folder, *folder.rglob("*")):
        each.chmod(0o755)
    shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions count inside, also for root."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


def one_sentence(error: StoreError, path: Path) -> str:
    said = str(error)
    assert str(path) in said
    assert "\n" not in said
    assert "sqlalche.me" not in said
    assert "SELECT" not in said
    return said


def test_a_file_that_is_no_database_is_left_alone(settings):
    settings.home.mkdir()
    settings.database.write_bytes(b"These are my notes, not a database.\n" * 300)
    before = settings.database.read_bytes()
    with pytest.raises(StoreError) as caught:
        Store.open(settings)
    assert "is not a SQLite database" in one_sentence(caught.value, settings.database)
    assert settings.database.read_bytes() == before
    assert [each.name for each in settings.home.iterdir()] == ["quantkit.db"]


def test_a_database_of_another_program_is_left_alone(settings):
    settings.home.mkdir()
    with sqlite3.connect(settings.database) as raw:
        raw.execute("CREATE TABLE recipes (name TEXT)")
    raw.close()
    before = settings.database.read_bytes()
    with pytest.raises(StoreError) as caught:
        Store.open(settings)
    assert "recipes" in one_sentence(caught.value, settings.database)
    assert settings.database.read_bytes() == before


def test_an_empty_file_becomes_a_store(settings):
    settings.home.mkdir()
    settings.database.touch()
    with Store.open(settings) as store:
        assert store.put_bars("AAPL", "1m", bars_of(3), source="sample").inserted == 3


def test_damaged_pages_are_named_as_such_and_not_made_worse(filled):
    # Beside a block a damaged row is not looked at: what is read here is the rows themselves.
    with closing(sqlite3.connect(filled.database)) as raw, raw:
        raw.execute("DELETE FROM bars_blocks")
    whole = filled.database.read_bytes()
    for start in (len(whole) // 3, len(whole) // 2):
        damaged = bytearray(whole)
        damaged[start : start + 65536] = b"\xa5" * 65536
        filled.database.write_bytes(damaged)
        with pytest.raises(StoreError) as caught, Store.open(filled) as store:
            store.bars("AAPL", "1m")
        said = one_sentence(caught.value, filled.database)
        assert "is damaged" in said
        assert "backup" in said
        with Store.open(filled) as store:
            assert store.check() != []
            with pytest.raises(StoreError, match="is damaged"):
                store.put_bars("AAPL", "1m", bars_of(5000, volume=2.0), source="sample")
        assert filled.database.read_bytes() == bytes(damaged)


def test_a_file_cut_short_is_named_as_damaged(filled):
    whole = filled.database.read_bytes()
    filled.database.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="is damaged") as caught, Store.open(filled) as store:
        store.bars("AAPL", "1m")
    one_sentence(caught.value, filled.database)


def test_a_database_of_a_newer_quantkit_is_left_alone(filled):
    with sqlite3.connect(filled.database) as raw:
        raw.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    raw.close()
    with pytest.raises(StoreError, match=r"made by a newer quantkit \(schema 99") as caught:
        Store.open(filled)
    one_sentence(caught.value, filled.database)
    with sqlite3.connect(filled.database) as raw:
        assert raw.execute("SELECT count(*) FROM bars").fetchone() == (5000,)
    raw.close()


def test_a_home_that_is_a_file_or_under_one_says_so(tmp_path):
    (tmp_path / "file").touch()
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="QUANTKIT_HOME") as caught:
            Store.open(Settings.load(home=home))
        one_sentence(caught.value, home)


def test_a_database_that_is_a_folder_says_so(settings):
    settings.database.mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(settings)


def test_an_unwritable_home_says_so(public_home):
    settings = Settings.load(home=public_home)
    public_home.parent.chmod(0o555)
    with unprivileged(), pytest.raises(StoreError, match="QUANTKIT_HOME") as caught:
        Store.open(settings)
    one_sentence(caught.value, public_home)
    public_home.mkdir(mode=0o555)
    with unprivileged(), pytest.raises(StoreError, match="QUANTKIT_HOME") as caught:
        Store.open(settings)
    one_sentence(caught.value, settings.database)
    assert list(public_home.iterdir()) == []


def test_a_read_only_database_refuses_to_write_and_keeps_what_it_has(public_home):
    settings = Settings.load(home=public_home)
    with Store.open(settings) as store:
        store.put_bars("AAPL", "1m", bars_of(100), source="sample")
    before = settings.database.read_bytes()
    settings.database.chmod(0o444)
    public_home.chmod(0o777)
    with unprivileged(), Store.open(settings) as store:
        assert len(store.bars("AAPL", "1m")) == 100
        with pytest.raises(StoreError, match="cannot be written") as caught:
            store.put_bars("AAPL", "1m", bars_of(100, volume=2.0), source="sample")
    assert "QUANTKIT_HOME" in one_sentence(caught.value, settings.database)
    assert settings.database.read_bytes() == before


def test_a_lock_held_too_long_says_so_and_reading_goes_on(filled):
    holder = sqlite3.connect(filled.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with Store.open(filled, busy_timeout=0.2) as store:
        with pytest.raises(StoreError, match=r"locked by another program for more than 0\.2 s") as caught:
            store.put_bars("AAPL", "1m", bars_of(10, volume=2.0), source="sample")
        one_sentence(caught.value, filled.database)
        assert len(store.bars("AAPL", "1m")) == 5000
        holder.execute("COMMIT")
        assert store.put_bars("AAPL", "1m", bars_of(10, volume=2.0), source="sample").corrected == 10
    holder.close()


def test_a_file_that_may_not_grow_loses_nothing_and_goes_on_when_it_may(filled):
    with Store.open(filled) as store:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, limits[1]))
        try:
            with pytest.raises(StoreError, match=r"free some space|has space") as caught:
                store.put_bars("AAPL", "1m", bars_of(50_000, volume=2.0), source="sample")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        one_sentence(caught.value, filled.database)
        pd.testing.assert_frame_equal(store.bars("AAPL", "1m"), bars_of(5000), check_freq=False)
        assert store.check() == []
        assert store.put_bars("AAPL", "1m", bars_of(50_000, volume=2.0), source="sample") == (45_000, 5000, 0)


def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_space(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("a small disk cannot be mounted here; RLIMIT_FSIZE stands in for it in the test before")
    settings = Settings.load(home=disk / "home")
    try:
        with Store.open(settings) as store:
            store.put_bars("AAPL", "1m", bars_of(2000), source="sample")
        with Store.open(settings) as store:
            with pytest.raises(StoreError, match="free some space") as caught:
                store.put_bars("AAPL", "1m", bars_of(50_000, volume=2.0), source="sample")
            one_sentence(caught.value, settings.database)
            (disk / "ballast").write_bytes(bytes(2**20))  # which the undone write must have given back
            store.put_bars("AAPL", "1m", bars_of(2050), source="sample")
            (disk / "more ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 100_000))
            with pytest.raises(StoreError, match="free some space"):
                store.backup(disk / "backup.db")
            assert not list(disk.glob("backup*"))
            pd.testing.assert_frame_equal(store.bars("AAPL", "1m"), bars_of(2050), check_freq=False)
            assert store.check() == []
            (disk / "ballast").unlink()
            assert store.put_bars("AAPL", "1m", bars_of(2100), source="sample") == (50, 0, 2050)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_writer_killed_in_the_middle_leaves_all_of_its_put_or_none(filled):
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_store_faults import bars_of\n"
        "from quantkit.data.store import Store\n"
        "from quantkit.settings import Settings\n"
        "store = Store.open(Settings.load(home=sys.argv[1]))\n"
        "for volume in range(2, 10**6):\n"
        "    store.put_bars('AAPL', '1m', bars_of(1000, volume=float(volume)), source='sample')\n"
        "    print(volume, flush=True)\n"
    )
    for delay in (0.0, 0.03):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(filled.home), str(Path(__file__).parent)], stdout=subprocess.PIPE
        )
        writer.stdout.readline()
        with Store.open(filled) as store:
            version = store.data_version()
            while store.data_version() == version:
                time.sleep(0.001)
            time.sleep(delay)
            writer.kill()
            writer.wait()
            writer.stdout.close()
            bars = store.bars("AAPL", "1m")
            assert len(bars) == 5000
            bars = bars.iloc[:1000]
            assert len(set(bars["volume"])) == 1
            assert store.check() == []
            kept = store.bar_history("AAPL", "1m")
            assert len(set(kept.groupby("time").size())) == 1
