"""What only PostgreSQL can do wrong: servers that are away, passwords in messages, order of commits, COPY."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import psycopg
import pytest

from quantkit.core.errors import SettingsError, StoreError
from quantkit.data.store import Store
from quantkit.settings import Settings


def bars_of(count: int, *, volume: float = 1.0) -> pd.DataFrame:
    flat = 100.0 + 0.001 * np.arange(count)
    index = pd.date_range("2000-01-01", periods=count, freq="1min", unit="us", tz="UTC", name="time")
    columns = dict.fromkeys(("open", "high", "low", "close"), flat)
    return pd.DataFrame({**columns, "volume": volume, "adj_close": np.nan}, index=index)


@pytest.fixture
def settings(postgres_url, tmp_path):
    return Settings.load(home=tmp_path / "home", database_url=postgres_url)


@pytest.mark.parametrize("url", ["mysql://me:hunter2@localhost/q", "hunter2", "postgresql://me:hunter2@host:port/q"])
def test_a_url_of_something_else_is_refused_without_its_password(tmp_path, url):
    with pytest.raises(SettingsError, match="expected postgresql://user:password@host") as caught:
        Store.open(Settings.load(home=tmp_path, database_url=url))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_server_that_is_away_is_named_without_its_password(tmp_path):
    url = "postgresql://me:hunter2@127.0.0.1:1/q"
    with pytest.raises(StoreError, match=r"postgresql://me@127\.0\.0\.1:1/q cannot be reached") as caught:
        Store.open(Settings.load(home=tmp_path, database_url=url))
    assert "\n" not in str(caught.value)
    shown = []
    error: BaseException | None = caught.value
    while error is not None and not error.__suppress_context__:
        shown.append(str(error))
        error = error.__cause__ or error.__context__
    assert "hunter2" not in " ".join([str(caught.value), *shown])


def test_a_database_that_does_not_exist_says_so(tmp_path, postgres_server):
    with pytest.raises(StoreError, match=r"nowhere does not exist|cannot be reached.*nowhere"):
        Store.open(Settings.load(home=tmp_path, database_url=postgres_server.format("nowhere")))


def test_the_postgres_spelling_of_some_hosts_is_understood(settings, tmp_path):
    url = settings.database_url.get_secret_value().replace("postgresql://", "postgres://")
    with Store.open(Settings.load(home=tmp_path, database_url=url)) as store:
        assert "postgresql://" in store.url


def test_another_programs_tables_are_left_alone(settings):
    with psycopg.connect(settings.database_url.get_secret_value()) as raw:
        raw.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreError, match="recipes"):
        Store.open(settings)


def test_a_connection_that_the_server_ended_is_replaced(settings):
    with Store.open(settings) as store:
        store.put_bars("AAPL", "1m", bars_of(5), source="sample")
        with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as raw:
            raw.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert len(store.bars("AAPL", "1m")) == 5


def test_a_lock_held_too_long_says_so_and_reading_goes_on(settings):
    with Store.open(settings, busy_timeout=0.2) as store, Store.open(settings) as holder:
        store.put_bars("AAPL", "1m", bars_of(5), source="sample")
        with holder._database.write():
            with pytest.raises(StoreError, match=r"locked by another program for more than 0\.2 s"):
                store.put_bars("AAPL", "1m", bars_of(6), source="sample")
            assert len(store.bars("AAPL", "1m")) == 5
        assert store.put_bars("AAPL", "1m", bars_of(6), source="sample").inserted == 1


def test_numbers_of_changes_become_visible_in_their_order(settings):
    """A listener that has seen number 5 never looks for number 4 again."""
    seen: list[int] = []
    over = threading.Event()

    def listen() -> None:
        with Store.open(settings) as listener:
            while not over.is_set():
                seen.extend(change.seq for change in listener.changes_since(seen[-1] if seen else 0))

    def write(symbol: str) -> None:
        with Store.open(settings) as writer:
            for volume in range(1, 16):
                writer.put_bars(symbol, "1m", bars_of(300, volume=float(volume)), source="sample")

    Store.open(settings).close()
    listener = threading.Thread(target=listen)
    listener.start()
    writers = [threading.Thread(target=write, args=(f"W{number}",)) for number in range(4)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join(120)
    with Store.open(settings) as store:
        last = store.last_change()
        while listener.is_alive() and (not seen or seen[-1] < last):
            over.wait(0.01)
        over.set()
        listener.join(30)
        assert seen == [change.seq for change in store.changes_since(0)]
        assert len(seen) == 4 * 15


def test_copy_and_statements_load_the_same_rows(settings, monkeypatch):
    bars = bars_of(1000)
    bars.iloc[::7, [0, 1, 2, 4]] = np.nan
    with Store.open(settings) as store:
        store.put_bars("COPIED", "1m", bars, source="sample")
        monkeypatch.setattr("quantkit.data.series._COPY_FROM", 10**9)
        store.put_bars("SENT", "1m", bars, source="sample")
    with psycopg.connect(settings.database_url.get_secret_value()) as raw:
        columns = "time, open, high, low, close, volume, adj_close, source, known_at > 0, ingested_at > 0"
        rows = {
            symbol: raw.execute(f"SELECT {columns} FROM bars WHERE symbol = %s ORDER BY time", (symbol,)).fetchall()
            for symbol in ("COPIED", "SENT")
        }
    assert rows["COPIED"] == rows["SENT"]
    assert len(rows["SENT"]) == 1000


def test_a_vendors_text_with_a_zero_byte_is_kept(settings):
    rows = pd.DataFrame(
        {"symbol": ["IBM"], "interval": ["1d"], "time": [pd.NaT], "rule": ["r"], "reason": ["x"], "text": ["a\0b"],
         "source": ["files"], "line": [1]}
    )  # fmt: skip
    with Store.open(settings) as store:
        assert store.put_quarantine(rows) == 1
        assert store.quarantine("IBM")["text"].tolist() == ["a�b"]
