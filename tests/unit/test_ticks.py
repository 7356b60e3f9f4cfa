"""From events to minutes: whatever order they come in, each minute is what was traded in it."""

from __future__ import annotations

import math
import random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.data.base import StreamBar, StreamEvent
from quantkit.data.live import LiveBar
from quantkit.data.ticks import MINUTE, MinuteBars, minute_of

START = pd.Timestamp("2022-06-14 13:30", tz="UTC").as_unit("us")
FIRST = minute_of(START)


def event(second: float, price: float, size: float | None = None, day: float | None = None) -> StreamEvent:
    return StreamEvent("MSFT", START + pd.Timedelta(seconds=second), price, size=size, day_volume=day)


def closed(minutes: MinuteBars) -> dict[int, tuple[float, ...]]:
    minutes.close_before(2**62)
    complete, forming = minutes.take()
    assert forming == []
    return {(bar.time - FIRST) // MINUTE: bar[2:] for bar in complete}


def bars(*events: StreamEvent, joins_midway: bool = False) -> dict[int, tuple[float, ...]]:
    minutes = MinuteBars(joins_midway=joins_midway)
    for each in events:
        minutes.add(each)
    return closed(minutes)


def test_open_and_close_go_by_the_trades_own_times():
    assert bars(event(30, 10.0, 1), event(50, 12.0, 1), event(10, 9.0, 1)) == {0: (9.0, 12.0, 9.0, 12.0, 3.0)}


def test_a_late_trade_corrects_the_minute_it_belongs_to():
    minutes = MinuteBars(joins_midway=False)
    for each in (event(10, 10.0, 1), event(70, 11.0, 2)):
        minutes.add(each)
    complete, forming = minutes.take()
    assert [bar[1:] for bar in complete] == [(FIRST, 10.0, 10.0, 10.0, 10.0, 1.0)]
    assert [bar[1:] for bar in forming] == [(FIRST + MINUTE, 11.0, 11.0, 11.0, 11.0, 2.0)]
    minutes.add(event(59, 8.0, 5))
    complete, forming = minutes.take()
    assert [bar[1:] for bar in complete] == [(FIRST, 10.0, 10.0, 8.0, 8.0, 6.0)]
    assert forming == []


def test_a_minute_whose_last_trade_was_shown_as_forming_is_completed_by_the_next_one():
    minutes = MinuteBars(joins_midway=False)
    minutes.add(event(59, 10.0, 1))
    assert minutes.take() == ([], [LiveBar("MSFT", FIRST, 10.0, 10.0, 10.0, 10.0, 1.0)])
    minutes.add(event(61, 11.0, 1))
    complete, _ = minutes.take()
    assert [bar.time for bar in complete] == [FIRST]
    assert minutes.take() == ([], [])


def test_a_trade_that_comes_far_too_late_is_refused_and_counted_nowhere():
    minutes = MinuteBars(joins_midway=False)
    for each in (event(10, 10.0, day=100), event(700, 11.0, day=150), event(20, 1.0, day=130)):
        minutes.add(each)
    assert [rule for rule, _ in minutes.refused] == ["late_trade"]
    assert closed(minutes)[11] == (11.0, 11.0, 11.0, 11.0, 20.0)


@pytest.mark.parametrize("price", [0.0, -1.0, math.inf, math.nan])
def test_a_price_that_is_none_is_refused(price):
    minutes = MinuteBars(joins_midway=False)
    minutes.add(event(1, price, 1))
    assert len(minutes.refused) == 1
    assert closed(minutes) == {}


def test_a_days_volume_becomes_the_volume_of_minutes():
    found = bars(event(1, 10, 7, 1000), event(30, 10, None, 1010), event(61, 10, None, 1050), event(125, 10, 1, 1051))
    assert [bar[-1] for bar in found.values()] == [17.0, 40.0, 1.0]


def test_a_late_point_of_the_days_volume_takes_back_what_a_later_one_had_claimed():
    found = bars(event(1, 10, 5, 105), event(62, 10, 20, 140), event(59, 10, 15, 120), event(70, 10, 1, 141))
    assert [bar[-1] for bar in found.values()] == [20.0, 21.0]


def test_a_days_volume_that_lags_or_repeats_adds_nothing():
    found = bars(event(1, 10, 5, 105), event(2, 10, None, 120), event(3, 10, None, 110), event(4, 10, None, 120))
    assert found[0][-1] == 20.0


def test_a_new_session_begins_its_volume_again_even_where_it_is_larger_at_once():
    overnight = 24 * 3600.0
    for opening in (30.0, 5000.0):
        found = bars(event(1, 10, 5, 1005), event(overnight + 1, 10, 5, opening))
        assert [bar[-1] for bar in found.values()] == [5.0, opening]


def test_a_vendors_own_minute_is_complete_at_once_and_trades_change_nothing_about_it():
    minutes = MinuteBars()
    minute = StreamEvent("MSFT", START, 10.5, bar=StreamBar(10, 11, 9, 10.5, 300))
    minutes.add(event(5, 42.0, 1))
    minutes.add(minute)
    minutes.add(event(50, 99.0, 7))
    assert closed(minutes) == {0: (10.0, 11.0, 9.0, 10.5, 300.0)}


@pytest.mark.parametrize(
    ("bar", "rule"),
    [
        (StreamBar(10, 9, 9, 10, 1), "high_not_highest"),
        (StreamBar(10, 11, 10.5, 10, 1), "low_not_lowest"),
        (StreamBar(math.nan, 11, 9, 10, 1), "price_not_positive"),
        (StreamBar(10, 11, 9, 10, -1), "bad_volume"),
    ],
)
def test_a_vendors_minute_that_breaks_the_shape_is_refused_by_the_rules_name(bar, rule):
    from quantkit.data.rules import RULES

    minutes = MinuteBars()
    minutes.add(StreamEvent("MSFT", START, 10.0, bar=bar))
    assert [name for name, _ in minutes.refused] == [rule]
    assert rule in RULES


def test_minutes_heard_in_part_are_not_passed_for_whole():
    minutes = MinuteBars()
    minutes.connected(FIRST + 30_000_000)
    for each in (event(40, 10.0, 1), event(70, 11.0, 1), event(130, 12.0, 1)):
        minutes.add(each)
    complete, _ = minutes.take()
    assert [(bar.time - FIRST) // MINUTE for bar in complete] == [1]
    assert [(bar.time - FIRST) // MINUTE for bar in minutes.partial()] == [0]
    minutes.interrupted()
    minutes.connected(FIRST + 200_000_000)
    for second in (250, 310):
        minutes.add(event(second, 13.0, 1))
    assert closed(minutes) == {5: (13.0, 13.0, 13.0, 13.0, 1.0)}
    # The first one heard, too: the vendor's clock may be behind ours.
    assert [(bar.time - FIRST) // MINUTE for bar in minutes.partial()] == [0, 2, 4]
    minutes.settle("MSFT", [FIRST, FIRST + 2 * MINUTE, FIRST + 4 * MINUTE])
    assert minutes.partial() == []


def test_what_is_remembered_does_not_grow_with_time():
    minutes = MinuteBars(joins_midway=False)
    for second in range(0, 60 * 600, 20):
        minutes.add(event(second, 10.0, 1, float(second)))
        minutes.take()
    assert len(minutes._bars["MSFT"]) <= 7
    assert len(minutes._days["MSFT"]) <= 512


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), how=st.sampled_from(["size", "day", "both"]))
def test_any_order_of_arrival_makes_the_same_minutes(seed, how):
    chance = random.Random(seed)
    seconds = sorted(chance.sample(range(1, 280), 25))
    sizes = [float(chance.randint(1, 500)) for _ in seconds]
    prices = [round(chance.uniform(90, 110), 2) for _ in seconds]
    events, total, expected = [], 0.0, {}
    for second, price, size in zip(seconds, prices, sizes, strict=True):
        total += size
        events.append(event(second, price, size if how != "day" else None, total if how != "size" else None))
        expected.setdefault(second // 60, []).append((price, size))
    # The first message of a day's volume says from where it rises, so that one stays first.
    late = events[1:]
    late.sort(key=lambda each: each.time + pd.Timedelta(seconds=chance.uniform(0, 90)))
    minutes = MinuteBars(joins_midway=False)
    for number, each in enumerate([events[0], *late]):
        minutes.add(each)
        if number % 5 == 0:
            minutes.take()
    minutes.close_before(2**62)
    for bars_of_minute in minutes._bars["MSFT"].values():
        bars_of_minute.dirty = True
    minutes._changed.add("MSFT")
    found = closed(minutes)
    lost = sizes[0] if how == "day" else 0.0
    for minute, trades in expected.items():
        of = [price for price, _ in trades]
        volume = sum(size for _, size in trades) - (lost if minute == seconds[0] // 60 else 0.0)
        assert found[minute] == pytest.approx((of[0], max(of), min(of), of[-1], volume))
