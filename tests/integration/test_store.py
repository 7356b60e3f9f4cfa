"""The store, on either database: what is put comes back, corrections keep what was, bulk reads answer like rows."""

from __future__ import annotations

import itertools
import json
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from quantkit.core.errors import DataError, StoreError, UsageError
from quantkit.core.schema import BAR_COLUMNS, check_bars
from quantkit.data import series, tables
from quantkit.data.base import Instrument
from quantkit.data.live import LiveBar
from quantkit.data.store import Store
from quantkit.data.ticks import MINUTE
from quantkit.settings import Settings

APPLE = Instrument("AAPL", "Apple Inc.", "USD", "XNYS", "sample", intervals=("1d", "1m"))


@pytest.fixture
def settings(any_settings):
    return any_settings


@pytest.fixture
def store(settings):
    with Store.open(settings) as opened:
        yield opened


@contextmanager
def raw(settings: Settings) -> Iterator[sa.Connection]:
    """The database without the store in between."""
    if settings.database_url is None:
        url = sa.URL.create("sqlite", database=str(settings.database))
    else:
        url = sa.make_url(settings.database_url.get_secret_value()).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def scalar(settings: Settings, statement: str) -> object:
    with raw(settings) as connection:
        return connection.exec_driver_sql(statement).scalar()


def bars_of(count: int, *, start: str = "2020-01-01", step: str = "1D", seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(random.normal(0, 0.01, count).cumsum())
    spread = 1 + random.uniform(0, 0.02, count)
    columns = {
        "open": close * random.uniform(0.99, 1.01, count),
        "high": close * spread * 1.02,
        "low": close / spread / 1.02,
        "close": close,
        "volume": random.integers(0, 10**9, count).astype(float),
        "adj_close": np.where(random.uniform(size=count) < 0.2, np.nan, close * 0.9),
    }
    index = pd.date_range(start, periods=count, freq=step, unit="us", tz="UTC", name="time")
    return check_bars(pd.DataFrame(columns, index=index))


def same_bits(left: pd.DataFrame, right: pd.DataFrame) -> bool:
    return (
        left.index.equals(right.index)
        and left.index.dtype == right.index.dtype
        and list(left.columns) == list(right.columns)
        and all(left[name].to_numpy().tobytes() == right[name].to_numpy().tobytes() for name in left.columns)
    )


# Bars


def test_bars_come_back_bit_for_bit(store):
    bars = bars_of(300)
    assert store.put_bars("AAPL", "1d", bars, source="sample") == (300, 0, 0)
    found = store.bars("AAPL")
    assert same_bits(found, bars)
    assert found.index.dtype == "datetime64[us, UTC]"
    assert found.index.name == "time"
    check_bars(found)


def test_putting_twice_is_putting_once(store):
    bars = bars_of(300)
    store.put_bars("AAPL", "1d", bars, source="sample")
    seq = store.last_change()
    assert store.put_bars("AAPL", "1d", bars, source="other") == (0, 0, 300)
    assert store.bar_history("AAPL").empty
    assert store.last_change() == seq


def test_a_close_only_series_keeps_its_gaps_as_nan(store):
    bars = bars_of(50)
    bars[["open", "high", "low", "volume"]] = np.nan
    store.put_bars("^GSPC", "1d", bars, source="sample")
    assert same_bits(store.bars("^GSPC"), bars)


def test_a_range_includes_both_ends(store):
    bars = bars_of(30)
    store.put_bars("AAPL", "1d", bars, source="sample")
    found = store.bars("AAPL", start="2020-01-05", end="2020-01-09")
    assert same_bits(found, bars["2020-01-05":"2020-01-09"])
    assert len(found) == 5
    assert store.bars("AAPL", start="2021-01-01").empty
    assert store.bars("AAPL", start="2020-01-09", end="2020-01-05").empty


def test_no_bars_are_an_empty_bars_frame(store):
    check_bars(store.bars("AAPL"))
    assert store.bars("AAPL").empty
    assert store.bar_range("AAPL") is None


def test_intervals_and_symbols_do_not_mix(store):
    daily, minutes, other = bars_of(20), bars_of(25, step="1min", seed=1), bars_of(22, seed=2)
    store.put_bars("AAPL", "1d", daily, source="sample")
    store.put_bars("AAPL", "1m", minutes, source="sample")
    store.put_bars("MSFT", "1d", other, source="sample")
    assert same_bits(store.bars("AAPL"), daily)
    assert same_bits(store.bars("AAPL", "1m"), minutes)
    assert same_bits(store.bars("MSFT"), other)
    assert store.bar_range("AAPL", "1m") == (minutes.index[0], minutes.index[-1], 25)


def test_rows_that_are_no_bars_frame_are_refused_and_nothing_is_stored(store):
    bars = bars_of(5)
    with pytest.raises(DataError, match="AAPL: high is below"):
        store.put_bars("AAPL", "1d", bars.assign(high=bars["low"]), source="sample")
    with pytest.raises(DataError, match="one for each"):
        store.put_bars("AAPL", "1d", bars, source="sample", known=bars.index[:2])
    with pytest.raises(UsageError, match="not a symbol"):
        store.put_bars("a b", "1d", bars, source="sample")
    assert store.bars("AAPL").empty


def test_vendors_resolutions_of_time_make_the_same_rows(store):
    bars = bars_of(10)
    store.put_bars("AAPL", "1d", bars, source="sample")
    for unit in ("s", "ms", "ns"):
        again = bars.set_axis(bars.index.as_unit(unit).rename("time"))
        assert store.put_bars("AAPL", "1d", again, source="sample") == (0, 0, 10)


# Corrections and the past


def test_a_bar_that_changes_keeps_its_earlier_version(store):
    bars = bars_of(10)
    store.put_bars("AAPL", "1d", bars, source="sample")
    changed = bars.copy()
    changed.iloc[3, changed.columns.get_loc("volume")] += 1
    assert store.put_bars("AAPL", "1d", changed, source="yahoo") == (0, 1, 9)
    assert same_bits(store.bars("AAPL"), changed)
    kept = store.bar_history("AAPL")
    assert len(kept) == 1
    assert kept.loc[0, "time"] == bars.index[3]
    assert kept.loc[0, "volume"] == bars["volume"].iloc[3]
    assert kept.loc[0, "source"] == "sample"


def test_a_number_that_appears_or_goes_is_a_correction(store):
    bars = bars_of(4).assign(adj_close=np.nan)
    store.put_bars("AAPL", "1d", bars, source="sample")
    assert store.put_bars("AAPL", "1d", bars.assign(adj_close=bars["close"]), source="sample").corrected == 4
    assert store.put_bars("AAPL", "1d", bars, source="sample").corrected == 4
    assert len(store.bar_history("AAPL")) == 8


def test_as_of_answers_as_the_store_stood(store):
    first, second, third = bars_of(6, seed=1), bars_of(8, seed=2), bars_of(8, seed=3)
    moments = [pd.Timestamp.now("UTC")]
    for version in (first, second, third):
        store.put_bars("AAPL", "1d", version, source="sample")
        moments.append(pd.Timestamp.now("UTC"))
    assert store.bars("AAPL", as_of=moments[0]).empty
    for moment, version in zip(moments[1:], (first, second, third), strict=True):
        assert same_bits(store.bars("AAPL", as_of=moment), version)
    assert same_bits(store.bars("AAPL", as_of=moments[1], start="2020-01-03", end="2020-01-04"), first.iloc[2:4])


def test_the_very_moment_of_a_correction_sees_the_new_value(store):
    bars = bars_of(1)
    store.put_bars("AAPL", "1d", bars, source="sample")
    store.put_bars("AAPL", "1d", bars.assign(volume=7.0), source="sample")
    moment = store.bar_history("AAPL").loc[0, "replaced_at"]
    assert store.bars("AAPL", as_of=moment)["volume"].tolist() == [7.0]
    assert same_bits(store.bars("AAPL", as_of=moment - pd.Timedelta(microseconds=1)), bars)


def test_a_backfilled_bar_is_known_from_its_close_and_its_correction_from_now(store):
    bars = bars_of(5)
    known = bars.index + pd.Timedelta(hours=21)
    store.put_bars("AAPL", "1d", bars, source="sample", known=known)
    assert len(store.bars("AAPL", as_of=known[2])) == 3
    assert len(store.bars("AAPL", as_of=known[2] - pd.Timedelta(microseconds=1))) == 2
    before = pd.Timestamp.now("UTC")
    store.put_bars("AAPL", "1d", bars.assign(volume=1.0), source="sample", known=known)
    assert same_bits(store.bars("AAPL", as_of=known[4]), bars)
    assert same_bits(store.bars("AAPL", as_of=before), bars)
    assert store.bars("AAPL", as_of=pd.Timestamp.now("UTC"))["volume"].eq(1.0).all()


def test_a_clock_that_is_set_back_loses_no_version(store, monkeypatch):
    versions = [bars_of(3, seed=seed) for seed in range(4)]
    for clock, version in zip([1_000, 5_000, 2_000, 3_000], versions, strict=True):
        monkeypatch.setattr("quantkit.data.sql.now", lambda clock=clock: clock * 10**9)
        store.put_bars("AAPL", "1d", version, source="sample")
    moments = store.bar_history("AAPL")["replaced_at"].drop_duplicates().sort_values()
    assert len(moments) == 3
    for moment, version in zip(moments, versions[1:], strict=True):
        assert same_bits(store.bars("AAPL", as_of=moment), version)


def test_a_stream_that_is_between_two_minutes_writes_a_batch_in_few_statements(store):
    """Symbol by symbol, as where bars are corrected, 500 of them would take a second and fall behind for ever."""
    symbols = [f"S{number}" for number in range(100)]
    start = 1_600_000_000_000_000 // MINUTE * MINUTE
    bars = [
        [LiveBar(symbol, start + minute * MINUTE, 1.0, 1.0, 1.0, 1.0, 1.0) for symbol in symbols] for minute in (0, 1)
    ]
    store.live.put(bars[0][:50], [], source="s")
    statements = []
    engine = store._database._engine
    sa.event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    # The first minute of one half with the second one of the other.
    assert store.live.put(bars[0][50:] + bars[1][:50], [], source="s") == 100
    assert len(statements) < 10
    assert {store.bar_range(symbol, "1m")[2] for symbol in symbols[:50]} == {2}


# Blocks


def test_a_long_series_reads_the_same_from_blocks_as_from_rows(store, settings):
    bars = bars_of(3 * series.BLOCK + 100, step="1min")
    store.put_bars("AAPL", "1m", bars, source="sample")
    assert scalar(settings, "SELECT count(*) FROM bars_blocks") == 2
    assert same_bits(store.bars("AAPL", "1m"), bars)
    for first, last in [(0, 5), (100, series.BLOCK), (series.BLOCK - 1, 2 * series.BLOCK + 1), (17, 3 * series.BLOCK)]:
        found = store.bars("AAPL", "1m", start=bars.index[first], end=bars.index[last])
        assert same_bits(found, bars.iloc[first : last + 1])
    with raw(settings) as connection:
        connection.exec_driver_sql("DELETE FROM bars_blocks")
    assert same_bits(store.bars("AAPL", "1m"), bars)


def test_a_correction_inside_a_block_is_read_at_once(store):
    bars = bars_of(3 * series.BLOCK, step="1min")
    store.put_bars("AAPL", "1m", bars, source="sample")
    moment = pd.Timestamp.now("UTC")
    changed = bars.copy()
    changed.iloc[[5, series.BLOCK + 5], changed.columns.get_loc("volume")] = 1.0
    touched = changed.iloc[[5, series.BLOCK + 5]]
    assert store.put_bars("AAPL", "1m", touched, source="sample") == (0, 2, 0)
    assert same_bits(store.bars("AAPL", "1m"), changed)
    assert same_bits(store.bars("AAPL", "1m", as_of=moment), bars)


def test_bars_that_fill_gaps_inside_and_between_blocks_are_read_at_once(store, settings):
    bars = bars_of(3 * series.BLOCK + 1000, step="1min")
    late = np.zeros(len(bars), dtype=bool)
    late[[3, series.BLOCK, series.BLOCK + 1, 2 * series.BLOCK + 1]] = True
    late[series.BLOCK + 800 : series.BLOCK + 900] = True
    store.put_bars("AAPL", "1m", bars[~late], source="sample")
    for part in np.array_split(np.flatnonzero(late), 5):
        store.put_bars("AAPL", "1m", bars.iloc[part], source="sample")
    assert same_bits(store.bars("AAPL", "1m"), bars)
    with raw(settings) as connection:
        found = connection.exec_driver_sql("SELECT start, stop, length(payload) / 56 FROM bars_blocks ORDER BY start")
        blocks = found.all()
        for start, stop, count in blocks:
            held = sa.select(sa.func.count()).where(tables.bars.c.time.between(start, stop))
            assert connection.execute(held).scalar() == count
    assert all(before[1] < after[0] for before, after in itertools.pairwise(blocks))


def test_prune_packs_a_series_that_grew_bar_by_bar_and_keeps_every_bar(store, settings):
    bars = bars_of(series.BLOCK + 600, step="1min")
    for part in np.array_split(np.arange(len(bars)), 20):
        store.put_bars("AAPL", "1m", bars.iloc[part], source="sample")
    store.prune(keep_results_days=1)
    assert scalar(settings, "SELECT count(*) FROM bars_blocks") == 1
    assert same_bits(store.bars("AAPL", "1m"), bars)


# Instruments, fetches, refusals, repairs, actions, quotes


def test_instruments_come_back_and_the_latest_word_counts(store):
    msft = replace(APPLE, symbol="MSFT", price_basis="adjusted", intervals=("1d",))
    store.put_instrument(msft)
    store.put_instrument(APPLE)
    assert store.instruments() == [APPLE, msft]
    store.put_instrument(APPLE.with_source("files"))
    assert store.instrument("AAPL") == APPLE.with_source("files")
    assert store.instrument("TSLA") is None


def test_who_was_asked_and_when_is_remembered(store):
    assert store.fetched("AAPL", "1d") is None
    store.mark_fetched("AAPL", "1d", "sample")
    provider, when = store.fetched("AAPL", "1d")
    assert provider == "sample"
    assert abs(pd.Timestamp.now("UTC") - when) < pd.Timedelta(minutes=1)
    assert store.fetched("AAPL", "1m") is None


def refused() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": ["IBM", "IBM", "AAPL"],
            "interval": ["1d", "1d", "1m"],
            "time": pd.to_datetime(["2020-01-02", None, "2020-01-03"], utc=True).as_unit("us"),
            "rule": ["high_below_low", "no_time", "nan_close"],
            "reason": ["high 1 is below low 2", "the 35th of May is no date", "close is NaN"],
            "text": ["2020-01-02,1,1,2,1.5", "2020-05-35,1,1,1,1", None],
            "source": ["files", "files", "yahoo"],
            "line": pd.array([17, 18, None], dtype="Int64"),
        }
    )


def test_refused_rows_are_kept_once_with_their_reason(store):
    assert store.put_quarantine(refused()) == 3
    assert store.put_quarantine(refused()) == 0
    found = store.quarantine()
    expected = refused().astype({"text": "str"})
    pd.testing.assert_frame_equal(found, expected)
    assert store.quarantine("IBM")["line"].tolist() == [17, 18]
    assert store.quarantine("MSFT").empty
    assert list(store.quarantine("MSFT").columns) == list(expected.columns)
    assert store.put_quarantine(refused().iloc[:0]) == 0


def test_repairs_of_a_whole_series_count_once_and_new_ones_add_up(store):
    for _ in range(2):
        store.put_repairs("AAPL", "1d", {"merged_duplicate": 3, "filled_adj_close": 1}, source="yahoo")
    store.put_repairs("AAPL", "1d", {"merged_duplicate": 2}, source="yahoo", add=True)
    store.put_repairs("MSFT", "1d", {"merged_duplicate": 9}, source="yahoo")
    found = store.repairs("AAPL")
    assert dict(zip(found["rule"], found["count"], strict=True)) == {"filled_adj_close": 1, "merged_duplicate": 5}
    assert len(store.repairs()) == 3
    store.put_repairs("AAPL", "1d", {}, source="yahoo")
    assert store.repairs("AAPL").empty


def test_actions_come_back_by_time_and_once(store):
    actions = pd.DataFrame(
        {
            "time": pd.to_datetime(["2020-08-31", "2020-05-08"], utc=True),
            "kind": ["split", "dividend"],
            "value": [4.0, 0.82],
        }
    )
    for _ in range(2):
        store.put_actions("AAPL", actions, source="yahoo")
    found = store.actions("AAPL")
    assert found["kind"].tolist() == ["dividend", "split"]
    assert found["value"].tolist() == [0.82, 4.0]
    assert found["time"].tolist() == [pd.Timestamp("2020-05-08", tz="UTC"), pd.Timestamp("2020-08-31", tz="UTC")]
    assert store.actions("MSFT").empty


def test_the_latest_quote_replaces_the_one_before(store):
    assert store.quote("AAPL") is None
    store.put_quote("AAPL", {"close": 1.5, "volume": None})
    store.put_quote("AAPL", {"close": 2.5, "volume": 7})
    assert store.quote("AAPL") == {"close": 2.5, "volume": 7}


# Results and tasks


def test_an_answer_comes_back_with_the_same_bits(store):
    awkward = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, 1 / 3, 123456789.123456789, 2**53 + 1]
    answer = {"values": awkward, "nothing": None, "nested": {"name": "Ångström \ud83d\ude80", "flag": True}}
    store.put_result("f" * 32, question={"kind": "risk"}, answer=answer, seconds=0.5)
    found = store.result("f" * 32)
    assert [struct.pack("<d", value) for value in found["values"][:-1]] == [
        struct.pack("<d", value) for value in awkward[:-1]
    ]
    assert found["values"][-1] == 2**53 + 1
    assert json.dumps(found) == json.dumps(answer)
    assert store.result("0" * 32) is None


def test_the_first_answer_under_a_fingerprint_stays(store):
    store.put_result("a" * 32, question={}, answer={"value": 1}, seconds=0.1)
    store.put_result("a" * 32, question={}, answer={"value": 2}, seconds=0.1)
    assert store.result("a" * 32) == {"value": 1}


@pytest.mark.parametrize("value", [math.nan, math.inf, pd.Timestamp("2020-01-01"), object()])
def test_an_answer_that_json_cannot_carry_is_refused(store, value):
    with pytest.raises(StoreError, match="cannot be kept as JSON"):
        store.put_result("a" * 32, question={}, answer={"value": value}, seconds=0.1)
    assert store.result("a" * 32) is None


def test_prune_drops_old_answers_only(store, monkeypatch):
    store.put_result("n" * 32, question={}, answer={}, seconds=0.1)
    with monkeypatch.context() as patch:
        patch.setattr("quantkit.data.sql.now", lambda: 1_500_000_000_000_000)
        store.put_result("o" * 32, question={}, answer={}, seconds=0.1)
        store.put_bars("AAPL", "1d", bars_of(3), source="sample")
    assert store.prune(keep_results_days=90) == 1
    assert store.result("o" * 32) is None
    assert store.result("n" * 32) == {}
    assert len(store.bars("AAPL")) == 3
    assert store.last_change() == 1


def test_progress_and_cancel_go_through_the_store(store):
    assert store.tasks.progress("k") is None
    assert not store.tasks.cancelled("k")
    store.tasks.cancel("k")
    assert store.tasks.progress("k") is None
    store.tasks.report("k", 3, 10, "fitting")
    progress = store.tasks.progress("k")
    assert (progress.done, progress.total, progress.doing) == (3, 10, "fitting")
    assert abs(pd.Timestamp.now("UTC") - progress.updated) < pd.Timedelta(minutes=1)
    assert store.tasks.cancelled("k")
    store.tasks.forget("k")
    assert store.tasks.progress("k") is None
    assert not store.tasks.cancelled("k")


def test_a_listener_learns_that_something_changed_and_what(store, settings):
    with Store.open(settings) as listener:
        version, seq = listener.data_version(), listener.last_change()
        assert listener.data_version() == version
        store.put_bars("AAPL", "1d", bars_of(5), source="sample")
        store.put_bars("MSFT", "1m", bars_of(2, step="1min"), source="sample")
        assert listener.data_version() != version
        changes = listener.changes_since(seq)
        assert [(each.symbol, each.interval) for each in changes] == [("AAPL", "1d"), ("MSFT", "1m")]
        assert (changes[0].first, changes[0].last) == (bars_of(5).index[0], bars_of(5).index[-1])
        assert listener.changes_since(changes[-1].seq) == []


# The whole


def test_what_was_put_is_there_after_reopening(settings):
    bars = bars_of(10)
    with Store.open(settings) as store:
        store.put_bars("AAPL", "1d", bars, source="sample")
    with Store.open(settings) as store:
        assert same_bits(store.bars("AAPL"), bars)
        where = f"sqlite:///{settings.database}" if settings.database_url is None else "postgresql://quantkit@/q"
        assert store.url.startswith(where)


def test_a_home_with_awkward_characters_works(tmp_path):
    home = tmp_path / "it's 100% mine? #1 ünï"
    with Store.open(Settings.load(home=home)) as store:
        store.put_bars("AAPL", "1d", bars_of(3), source="sample")
        store.data_version()
        store.backup(home / "copy.db")
    assert sorted(each.name for each in home.iterdir()) == ["copy.db", "quantkit.db"]


def test_a_backup_is_a_store_of_its_own(store, settings, tmp_path):
    bars = bars_of(50)
    store.put_bars("AAPL", "1d", bars, source="sample")
    home = tmp_path / "restored"
    store.backup(home / "quantkit.db")
    store.put_bars("AAPL", "1d", bars.assign(volume=0.0), source="sample")
    with Store.open(Settings.load(home=home)) as restored:
        assert same_bits(restored.bars("AAPL"), bars)
        assert restored.check() == []
    with pytest.raises(StoreError, match="exists already"):
        store.backup(home / "quantkit.db")


def test_an_older_database_is_migrated_by_itself_and_kept(settings, monkeypatch):
    bars = bars_of(5)
    with Store.open(settings) as store:
        store.put_bars("AAPL", "1d", bars, source="sample")
    monkeypatch.setattr(tables, "SCHEMA_VERSION", tables.SCHEMA_VERSION + 1)
    monkeypatch.setitem(
        tables.MIGRATIONS,
        tables.SCHEMA_VERSION - 1,
        lambda connection: connection.exec_driver_sql("ALTER TABLE instruments ADD COLUMN sector TEXT"),
    )
    with Store.open(settings) as store:
        assert same_bits(store.bars("AAPL"), bars)
    with raw(settings) as connection:
        assert "sector" in [column["name"] for column in sa.inspect(connection).get_columns("instruments")]
    kept = int(settings.database_url is None)  # an administrator of PostgreSQL keeps backups of his own
    assert len(list(settings.home.glob("*.backup"))) == kept
    Store.open(settings).close()
    assert len(list(settings.home.glob("*.backup"))) == kept


def test_a_migration_that_fails_leaves_the_database_as_it_was(settings, monkeypatch):
    bars = bars_of(5)
    with Store.open(settings) as store:
        store.put_bars("AAPL", "1d", bars, source="sample")

    def fails(connection):
        connection.exec_driver_sql("DROP TABLE bars")
        connection.exec_driver_sql("SELECT nonsense FROM nowhere")

    with monkeypatch.context() as patch:
        patch.setattr(tables, "SCHEMA_VERSION", tables.SCHEMA_VERSION + 1)
        patch.setitem(tables.MIGRATIONS, tables.SCHEMA_VERSION - 1, fails)
        with pytest.raises(StoreError, match="nowhere"):
            Store.open(settings)
    with Store.open(settings) as store:
        assert same_bits(store.bars("AAPL"), bars)


def test_every_bar_column_is_a_column_of_both_tables():
    for table in (tables.bars, tables.bars_history):
        assert [column.name for column in table.columns if column.name in BAR_COLUMNS] == list(BAR_COLUMNS)
