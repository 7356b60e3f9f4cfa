"""Any sequence of puts gives what a dictionary would, now and as of every moment between."""

from __future__ import annotations

import math
from unittest.mock import patch

import numpy as np
import pandas as pd
from databases import fresh_database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantkit.core.schema import BAR_COLUMNS, check_bars
from quantkit.data import series
from quantkit.data.store import Store
from quantkit.settings import Settings

DAY = 86_400_000_000

prices = st.floats(min_value=1e-6, max_value=1e12, allow_subnormal=False)
optional = st.one_of(st.just(math.nan), prices)
#: Few days and few values, so that puts meet each other, repeat each other and differ in one number.
bar = st.one_of(
    st.sampled_from([(1.0, 1.0, 1.0, 1.0, 0.0, math.nan), (1.0, 1.0, 1.0, 1.0, 0.0, 1.0)]),
    st.tuples(prices, optional, optional, optional).map(
        lambda drawn: (math.nan, math.nan, math.nan, drawn[0], drawn[1], drawn[2])
    ),
)
put = st.tuples(
    st.sampled_from(["AAPL", "MSFT"]),
    st.dictionaries(st.integers(0, 25), bar, min_size=1, max_size=20),
    st.one_of(st.none(), st.integers(-30, 5)),
)


def frame_of(bars: dict[int, tuple[float, ...]]) -> pd.DataFrame:
    days = sorted(bars)
    index = pd.DatetimeIndex(np.array(days, dtype=np.int64).view("M8[us]"), name="time").tz_localize("UTC")
    values = np.array([bars[day] for day in days], dtype=float).reshape(len(days), len(BAR_COLUMNS))
    return pd.DataFrame(values, index=index, columns=list(BAR_COLUMNS))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(puts=st.lists(put, min_size=1, max_size=8), block=st.sampled_from([2, 5, series.BLOCK]), data=st.data())
def test_puts_in_any_order_answer_like_a_dictionary_now_and_as_of_any_moment(tmp_path_factory, puts, block, data):
    _answers_like_a_dictionary(Settings.load(home=tmp_path_factory.mktemp("home")), puts, block, data)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(puts=st.lists(put, min_size=1, max_size=6), block=st.sampled_from([2, series.BLOCK]), data=st.data())
def test_postgresql_answers_like_a_dictionary_too(tmp_path_factory, postgres_server, puts, block, data):
    url, drop = fresh_database(postgres_server)
    try:
        home = tmp_path_factory.mktemp("home")
        _answers_like_a_dictionary(Settings.load(home=home, database_url=url), puts, block, data)
    finally:
        drop()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=st.lists(put, max_size=5), restated=put, since=st.integers(-10, 30), replacing=st.booleans(), later=put)
def test_what_restates_a_series_counts_from_its_moment_on_and_changes_nothing_before(
    tmp_path_factory, before, restated, since, replacing, later
):
    with Store.open(Settings.load(home=tmp_path_factory.mktemp("home"))) as store:
        _restating_counts_from_its_moment_on(store, before, restated, since * DAY, replacing, later)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=st.lists(put, max_size=5), restated=put, since=st.integers(-10, 30), replacing=st.booleans(), later=put)
def test_on_postgresql_what_restates_a_series_counts_from_its_moment_on_too(
    tmp_path_factory, postgres_server, before, restated, since, replacing, later
):
    url, drop = fresh_database(postgres_server)
    try:
        with Store.open(Settings.load(home=tmp_path_factory.mktemp("home"), database_url=url)) as store:
            _restating_counts_from_its_moment_on(store, before, restated, since * DAY, replacing, later)
    finally:
        drop()


def _restating_counts_from_its_moment_on(store: Store, before, restated, since: int, replacing: bool, later) -> None:
    def write(each, **how) -> pd.DataFrame:
        _, drawn, known = each
        frame = check_bars(frame_of({day * DAY: values for day, values in drawn.items()}))
        counts = None if known is None else frame.index + pd.Timedelta(days=known)
        store.put_bars("AAPL", "1d", frame, source="x", known=counts, **how)
        return frame

    moments = [since - 1, since, *(day * DAY for day in (-8, 5, 18))]
    for each in before:
        write(each)
        moments.append(_now())
    stood = store.bars("AAPL")
    was = {moment: store.bars("AAPL", as_of=_stamp(moment)) for moment in moments}
    frame = write(restated, since=_stamp(since), replacing=replacing)
    moments.append(_now())
    whole = frame if replacing else frame.combine_first(stood)[list(BAR_COLUMNS)]
    assert set(store.bars("AAPL").index) == set(whole.index)
    for moment in moments:
        found = check_bars(store.bars("AAPL", as_of=_stamp(moment)))
        if moment < since:
            pd.testing.assert_frame_equal(found, was[moment], check_exact=True)
            continue
        # Each of its bars is there as it was put, or not known yet: never as it was before.
        both = found.index.intersection(frame.index)
        pd.testing.assert_frame_equal(found.loc[both], frame.loc[both], check_exact=True, check_freq=False)
        if replacing:
            assert found.index.isin(frame.index).all()
        elif moment in was:
            assert was[moment].index.intersection(frame.index).isin(found.index).all()
    # Nor does what comes after it ever stand beside an earlier version of itself.
    write(later)
    for moment in moments:
        check_bars(store.bars("AAPL", as_of=_stamp(moment)))


def _answers_like_a_dictionary(where: Settings, puts, block: int, data) -> None:
    # Every version of a bar as (since when known, values), oldest first; the last one stands.
    model: dict[tuple[str, int], list[tuple[int, tuple[float, ...]]]] = {}
    moments = [0]
    with (
        patch.object(series, "BLOCK", block),
        patch.object(series, "_TAIL", 1),
        Store.open(where) as store,
    ):
        for symbol, drawn, known in puts:
            bars = {day * DAY: values for day, values in drawn.items()}
            frame = check_bars(frame_of(bars))
            before = moments[-1]
            since = None if known is None else frame.index + pd.Timedelta(days=known)
            written = store.put_bars(symbol, "1d", frame, source="x", known=since)
            now = _now()
            expected = [0, 0, 0]
            for time, values in bars.items():
                versions = model.setdefault((symbol, time), [])
                if not versions:
                    versions.append((now if known is None else time + known * DAY, values))
                    expected[0] += 1
                elif repr(versions[-1][1]) != repr(values):
                    versions.append((now, values))
                    expected[1] += 1
                else:
                    expected[2] += 1
            assert written == tuple(expected)
            assert now > before
            moments.append(now)
        for symbol in ("AAPL", "MSFT"):
            standing = {time: versions[-1][1] for (of, time), versions in model.items() if of == symbol}
            _same(store.bars(symbol), standing)
            first, last = data.draw(st.tuples(st.integers(0, 25), st.integers(0, 25)))
            _same(
                store.bars(symbol, start=_stamp(first * DAY), end=_stamp(last * DAY)),
                {time: values for time, values in standing.items() if first * DAY <= time <= last * DAY},
            )
            stored = store.bar_range(symbol)
            assert (0 if stored is None else stored[2]) == len(standing)
            for moment in [*moments, 3 * DAY, 20 * DAY]:
                _same(store.bars(symbol, as_of=_stamp(moment)), _as_of(model, symbol, moment))


def _as_of(model, symbol: str, moment: int) -> dict[int, tuple[float, ...]]:
    found = {}
    for (of, time), versions in model.items():
        # A version replaced before it was known, which only happens to a bar known ahead of its time, never shows.
        ends = [since for since, _ in versions[1:]] + [math.inf]
        for (since, values), end in zip(versions, ends, strict=True):
            if of == symbol and since <= moment < end:
                found[time] = values
    return found


def _same(found: pd.DataFrame, expected: dict[int, tuple[float, ...]]) -> None:
    pd.testing.assert_frame_equal(found, frame_of(expected), check_exact=True, check_freq=False)


def _now() -> int:
    return int(pd.Timestamp.now("UTC").as_unit("us").asm8.astype(np.int64))


def _stamp(micros: int) -> pd.Timestamp:
    return pd.Timestamp(micros, unit="us", tz="UTC")
