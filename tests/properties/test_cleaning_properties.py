"""Whatever is done to the order, number and company of valid rows, they come through, and the frame is valid."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.core.calendars import sessions_between
from quantkit.core.schema import BAR_COLUMNS, check_bars
from quantkit.data.cleaning import clean

SESSIONS = sessions_between(pd.Timestamp("2023-01-03", tz="UTC"), pd.Timestamp("2023-12-29", tz="UTC")).rename("time")
NUMBERS = st.one_of(
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-300, 1e300, 5e-324]),
    st.floats(allow_nan=True, allow_infinity=True),
)


@st.composite
def valid_bars(draw):
    """Valid candles, close-only rows among them, on 1 to 40 sessions."""
    count = draw(st.integers(1, 40))
    first = draw(st.integers(0, len(SESSIONS) - count))
    price = st.floats(1e-3, 1e6)
    low_to_high = [sorted(draw(st.tuples(price, price, price, price))) for _ in range(count)]
    frame = pd.DataFrame(
        {
            "open": [each[1] for each in low_to_high],
            "high": [each[3] for each in low_to_high],
            "low": [each[0] for each in low_to_high],
            "close": [each[2] for each in low_to_high],
            "volume": draw(st.lists(st.floats(0, 1e12), min_size=count, max_size=count)),
            "adj_close": draw(st.lists(st.one_of(price, st.just(np.nan)), min_size=count, max_size=count)),
        },
        index=SESSIONS[first : first + count],
    )
    close_only = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    frame.loc[close_only, ["open", "high", "low", "volume"]] = np.nan
    return frame


def run(frame, interval="1d"):
    result = clean(frame, symbol="AAPL", interval=interval, calendar="XNYS", source="test")
    check_bars(result.bars)
    assert list(result.bars.columns) == list(BAR_COLUMNS)
    assert result.bars.index.dtype == "datetime64[us, UTC]"
    return result


@settings(max_examples=80, deadline=None)
@given(valid_bars(), st.data())
def test_no_valid_row_is_lost_to_scrambling_doubling_or_truncation(valid, data):
    count = len(valid)
    kept = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1), label="rows that arrive"))
    doubled = data.draw(st.lists(st.sampled_from(kept), max_size=10), label="rows that arrive again")
    order = data.draw(st.permutations(kept + doubled), label="order")
    result = run(valid.iloc[order])
    assert result.bars.equals(valid.iloc[kept])
    assert result.quarantine.empty
    assert result.repairs.get("exact_duplicate", 0) == len(doubled)


@settings(max_examples=80, deadline=None)
@given(valid_bars(), st.data())
def test_no_valid_row_is_lost_among_broken_ones(valid, data):
    broken = pd.DataFrame(
        data.draw(st.lists(st.tuples(*[NUMBERS] * 6), min_size=1, max_size=10)), columns=list(BAR_COLUMNS)
    )
    others = [pd.NaT, pd.Timestamp("1500-01-01", tz="UTC"), *SESSIONS[-40:].difference(valid.index)[:20]]
    broken.index = pd.DatetimeIndex([data.draw(st.sampled_from(others)) for _ in range(len(broken))])
    mixed = pd.concat([valid, broken])
    result = run(mixed.iloc[data.draw(st.permutations(range(len(mixed))))])
    assert result.bars.loc[valid.index].equals(valid)
    merged = result.repairs.get("exact_duplicate", 0)
    assert len(result.bars) + len(result.quarantine) + merged == len(mixed)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.datetimes(pd.Timestamp("1800-01-01"), pd.Timestamp("2250-01-01"))), *[NUMBERS] * 6
        ),
        max_size=30,
    ),
    st.sampled_from(["1d", "1m"]),
)
def test_whatever_comes_in_a_valid_frame_comes_out_and_every_row_is_accounted_for(rows, interval):
    index = pd.DatetimeIndex([row[0] for row in rows], dtype="datetime64[us]")
    frame = pd.DataFrame([row[1:] for row in rows], columns=list(BAR_COLUMNS), dtype="float64").set_axis(index, axis=0)
    result = run(frame, interval)
    merged = sum(result.repairs.get(rule, 0) for rule in ("exact_duplicate", "live_duplicate"))
    assert len(result.bars) + len(result.quarantine) + merged == len(frame)
    assert result.flags["time"].isin(result.bars.index).all()


@settings(max_examples=40, deadline=None)
@given(valid_bars())
def test_cleaning_twice_is_cleaning_once(valid):
    once = run(valid)
    twice = run(once.bars)
    assert twice.bars.equals(once.bars)
    assert twice.repairs == {}
    assert twice.flags.equals(once.flags)
