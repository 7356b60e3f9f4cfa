"""Published forecasts: kept once, unchangeable, scored when their bar is complete."""

from __future__ import annotations

import sqlite3

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from quantkit import Desk
from quantkit.core.errors import DataError, StoreError, UnknownChoiceError, UnknownSymbolError
from quantkit.data.base import Instrument
from quantkit.data.store import Store
from quantkit.data.tables import forecast_outcomes, forecasts
from quantkit.forecast import Forecast, TrackRecord, ledger_rows, predict, track_record

TODAY = pd.Timestamp.now("UTC").normalize().as_unit("us")
DAY = pd.Timedelta(days=1)


def daily(count: int, last: pd.Timestamp, *, seed: int = 5) -> pd.DataFrame:
    """Bars of a market that never closes, up to `last`."""
    close = 100.0 * np.exp(0.01 * np.random.default_rng(seed).normal(size=count).cumsum())
    times = pd.date_range(end=last, periods=count, freq="D", name="time").as_unit("us")
    columns = {"open": close, "high": close * 1.001, "low": close * 0.999, "close": close, "volume": 1e6}
    return pd.DataFrame({**columns, "adj_close": close}, index=times)


@pytest.fixture
def live(settings):
    """A desk with one symbol whose last complete bar is yesterday's, and the bars that come after it."""
    bars = daily(303, TODAY + 2 * DAY)
    with Desk.open(settings) as desk:
        desk.store.put_instrument(
            Instrument(symbol="COIN", name="A coin", currency="USD", calendar="24/7", source="files", intervals=("1d",))
        )
        desk.store.put_bars("COIN", "1d", bars.iloc[:300], source="files")
        yield desk, bars


def scored(desk: Desk, now: pd.Timestamp) -> TrackRecord:
    desk.store.ledger.score("COIN", now=now)
    return desk.track_record("COIN")


def test_a_forecast_is_published_before_its_outcome_and_scored_when_the_bar_is_complete(live):
    desk, bars = live
    forecast = desk.predict("COIN", model="drift", horizon=2, level=0.8)
    record = desk.track_record("COIN")
    assert [row.time for row in record.rows] == [TODAY, TODAY + DAY]
    assert all(row.hit is None for row in record.rows)
    assert (record.backfilled, record.summaries[0].pending, record.summaries[0].count) == (0, 2, 0)
    assert "2 wait for their bar" in record.in_words()

    # Today's bar while it is forming is no outcome, even after the day: it may still be the one of this morning.
    desk.store.put_bars("COIN", "1d", bars.iloc[300:301], source="files")
    assert scored(desk, TODAY + 0.5 * DAY).summaries[0].count == 0
    assert scored(desk, TODAY + 1.5 * DAY).summaries[0].count == 0
    # One after it says that it is final.
    desk.store.put_bars("COIN", "1d", bars.iloc[301:302], source="files")
    assert scored(desk, TODAY + 0.9 * DAY).summaries[0].count == 0
    record = scored(desk, TODAY + 1.5 * DAY)
    first, second = record.rows
    came = bars["close"].iloc[300]
    assert (first.actual, first.hit, second.hit) == (
        came,
        forecast.steps[0].lower <= came <= forecast.steps[0].upper,
        None,
    )
    assert first.error == pytest.approx(np.log(came / forecast.steps[0].median))
    assert (first.naive, first.median, first.published_at < TODAY + DAY) == (
        forecast.last_price, forecast.steps[0].median, True,
    )  # fmt: skip
    summary = record.summaries[0]
    naive_error = abs(np.log(came / forecast.last_price))
    assert (summary.count, summary.pending, summary.level) == (1, 1, 0.8)
    assert summary.skill == pytest.approx(1 - abs(first.error) / naive_error)
    assert summary.direction == float((came > first.naive) == (forecast.trend == "UP"))
    assert record.as_of == TODAY
    assert TrackRecord.from_dict(record.to_dict()) == record
    assert "1 scored" in record.in_words()
    assert record._repr_html_().count("<tr>") == 2


def test_bars_that_arrive_score_by_themselves(live):
    desk, bars = live
    steps = ledger_rows(
        predict(bars.iloc[:299], model="naive", horizon=1, symbol="COIN", calendar="24/7"), calendar="24/7"
    )
    desk.store.ledger.publish(steps, now=TODAY - 0.5 * DAY)
    assert desk.store.ledger.record("COIN")["actual"].isna().all()
    desk.store.put_bars("COIN", "1d", bars.iloc[300:301], source="files")
    assert desk.store.ledger.record("COIN")["actual"].tolist() == [bars["close"].iloc[299]]


def test_publishing_twice_is_one_row_whoever_asks(live, settings):
    desk, _ = live
    first = desk.predict("COIN", model="drift", horizon=3)
    before = desk.store.ledger.record("COIN")
    assert desk.predict("COIN", model="drift", horizon=3) == first
    with Desk.open(settings) as other:
        other.predict("COIN", model="drift", horizon=3)
        pd.testing.assert_frame_equal(other.store.ledger.record("COIN"), before)
    assert len(before) == 3
    assert desk.store.ledger.publish(ledger_rows(first, calendar="24/7")) == 0


def test_what_is_published_stays_as_it_was_published(live):
    desk, _ = live
    rows = ledger_rows(desk.predict("COIN", model="drift", horizon=2), calendar="24/7")
    before = desk.store.ledger.record("COIN")
    desk.store.ledger.publish(rows.assign(median=1.0, level=0.5).iloc[:1])
    pd.testing.assert_frame_equal(desk.store.ledger.record("COIN"), before)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE forecasts SET median = 1",
        "UPDATE forecasts SET backfilled = 0",
        "DELETE FROM forecasts",
        "UPDATE forecast_outcomes SET actual = 1",
        "DELETE FROM forecast_outcomes",
        "INSERT OR REPLACE INTO forecasts SELECT fingerprint, step, symbol, interval, model, level, origin, time, "
        "due_at, 1, 1, 1, 1, naive, probability_up, published_at, backfilled FROM forecasts",
        "INSERT OR REPLACE INTO forecast_outcomes SELECT fingerprint, step, 1, scored_at FROM forecast_outcomes",
    ],
)
def test_the_database_itself_refuses_to_alter_the_ledger(live, settings, statement):
    desk, bars = live
    steps = ledger_rows(predict(bars.iloc[:299], model="naive", symbol="COIN", calendar="24/7"), calendar="24/7")
    desk.store.ledger.publish(steps, now=TODAY - 0.5 * DAY)
    desk.store.put_bars("COIN", "1d", bars.iloc[300:301], source="files")
    before = desk.store.ledger.record("COIN")
    assert before["actual"].notna().any()
    raw = sqlite3.connect(settings.database)
    try:
        if "REPLACE" in statement:
            raw.execute(statement)
        else:
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                raw.execute(statement)
        raw.commit()
    finally:
        raw.close()
    pd.testing.assert_frame_equal(desk.store.ledger.record("COIN"), before)


def test_the_ledger_works_the_same_on_either_database(any_settings):
    bars = daily(303, TODAY + 2 * DAY)
    steps = ledger_rows(
        predict(bars.iloc[:299], model="naive", horizon=2, symbol="COIN", calendar="24/7"), calendar="24/7"
    )
    with Store.open(any_settings) as store:
        store.put_bars("COIN", "1d", bars.iloc[:299], source="files")
        assert store.ledger.publish(steps, now=TODAY - 0.5 * DAY) == 2
        assert store.ledger.publish(steps) == 0
        store.put_bars("COIN", "1d", bars.iloc[299:301], source="files")
        record = store.ledger.record("COIN")
        assert record["actual"].tolist()[:1] == [bars["close"].iloc[299]]
        assert np.isnan(record["actual"].iloc[1])
        for table in (forecasts, forecast_outcomes):
            for statement in (table.delete(), table.update().values(step=7)):
                with (
                    pytest.raises((StoreError, sa.exc.DBAPIError), match="append-only"),
                    store._database.write() as connection,
                ):
                    connection.execute(statement)
        pd.testing.assert_frame_equal(store.ledger.record("COIN"), record)


def test_on_the_sample_the_outcome_is_known_and_the_forecast_marked_so(desk):
    desk.predict("AAPL", model="naive", horizon=3)
    record = desk.track_record("AAPL")
    assert (record.rows, record.summaries, record.backfilled) == ((), (), 3)
    assert "3 whose outcome was known at publication are left out" in record.in_words()
    assert len(desk.store.ledger.record("AAPL")) == 3
    assert TrackRecord.from_dict(record.to_dict()) == record


def test_a_forecast_of_the_past_is_marked_too(live):
    desk, bars = live
    desk.predict("COIN", model="naive", horizon=3, as_of=None)
    desk.store.ledger.publish(
        ledger_rows(predict(bars.iloc[:298], model="naive", horizon=3, symbol="COIN", calendar="24/7"), calendar="24/7")
    )
    backfilled = desk.store.ledger.record("COIN").set_index("time")["backfilled"]
    assert backfilled[TODAY - DAY]
    assert not backfilled[TODAY].any()


def test_a_split_in_between_does_not_make_a_miss(live):
    desk, bars = live
    steps = ledger_rows(
        predict(bars.iloc[:299], model="naive", horizon=1, symbol="COIN", calendar="24/7"), calendar="24/7"
    )
    desk.store.ledger.publish(steps, now=TODAY - 0.5 * DAY)
    split = bars.iloc[:301].copy()
    split[["open", "high", "low", "close", "adj_close"]] /= 4.0
    desk.store.put_bars("COIN", "1d", split, source="files")
    row = desk.track_record("COIN").rows[0]
    assert row.actual == pytest.approx(bars["close"].iloc[299], rel=1e-12)


def test_the_same_figure_asked_for_twice_is_evidence_once(live):
    desk, bars = live
    for level in (0.8, 0.95):
        for model in ("naive", "drift"):
            desk.predict("COIN", model=model, horizon=1, level=level)
    desk.store.put_bars("COIN", "1d", bars.iloc[300:302], source="files")
    record = scored(desk, TODAY + 1.5 * DAY)
    assert len(record.rows) == 4
    assert [(each.model, each.count, each.level) for each in record.summaries] == [
        ("naive", 1, 0.875),
        ("drift", 1, 0.875),
    ]
    assert {row.model for row in desk.track_record("COIN", "drift").rows} == {"drift"}
    assert record.summaries[0].skill == 0


def test_a_ledger_that_cannot_be_written_costs_no_answer(live, monkeypatch, caplog):
    desk, _ = live

    def full(*_: object) -> int:
        raise StoreError("the disk is full")

    monkeypatch.setattr(desk.store.ledger, "publish", full)
    assert isinstance(desk.predict("COIN", model="naive"), Forecast)
    assert "the disk is full" in caplog.text


def test_a_store_of_the_version_before_gains_the_ledger(settings):
    with Store.open(settings) as store:
        store.put_bars("COIN", "1d", daily(10, TODAY - DAY), source="files")
    raw = sqlite3.connect(settings.database)
    raw.executescript(
        "DROP TABLE forecast_outcomes; DROP TABLE forecasts; CREATE TABLE forecasts (fingerprint TEXT PRIMARY KEY);"
        "UPDATE meta SET value = '1' WHERE name = 'schema_version'"
    )
    raw.close()
    with Store.open(settings) as store:
        steps = ledger_rows(
            predict(daily(300, TODAY - DAY), model="naive", symbol="COIN", calendar="24/7"), calendar="24/7"
        )
        assert store.ledger.publish(steps) == 5
        assert len(store.bars("COIN")) == 10
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sqlite3.connect(settings.database).execute("DELETE FROM forecasts")


def test_questions_without_sense_are_refused(live):
    desk, _ = live
    with pytest.raises(UnknownSymbolError):
        desk.track_record("NOPE")
    with pytest.raises(UnknownChoiceError, match="choose from naive"):
        desk.track_record("COIN", "arma")
    assert desk.track_record("COIN").in_words().startswith("No forecast of COIN")
    with pytest.raises(DataError, match="due_at"):
        desk.store.ledger.publish(pd.DataFrame({"fingerprint": ["x"]}))
    assert track_record(desk.store.ledger.record("COIN"), symbol="COIN").rows == ()
