"""``as_of`` on history and prices: the answer of that day, whatever was corrected, split or filled in later."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quantkit import Desk
from quantkit.core.errors import NoDataError
from quantkit.data.base import Instrument
from quantkit.data.live import LiveBar

DAYS = pd.DatetimeIndex(["2023-01-03", "2023-01-04", "2023-01-05", "2023-01-06"], tz="UTC", name="time").as_unit("us")


def bars_of(closes: list[float], days: pd.DatetimeIndex = DAYS) -> pd.DataFrame:
    close = np.array(closes, dtype=float)
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    return pd.DataFrame({**columns, "volume": 1e6, "adj_close": close}, index=days[: len(close)])


@pytest.fixture
def desk(any_settings):
    with Desk.open(any_settings) as opened:
        for symbol in ("AAA", "BBB"):
            opened.store.put_instrument(Instrument(symbol, symbol, "USD", "XNYS", "files"))
        yield opened


def closes_at(days: pd.DatetimeIndex) -> pd.DatetimeIndex:
    return days + pd.Timedelta(hours=21)


def put(desk, symbol: str, closes: list[float], days: pd.DatetimeIndex = DAYS, *, known: bool = True) -> pd.Timestamp:
    """Store bars, known from their session's close, and say when that was done."""
    bars = bars_of(closes, days)
    since = closes_at(bars.index) if known else None
    desk.store.put_bars(symbol, "1d", bars, source="files", known=since)
    return pd.Timestamp.now("UTC")


def history(desk, as_of) -> dict[str, float]:
    bars = desk.history("AAA", period="max", as_of=as_of)
    return {f"{day:%m-%d}": close for day, close in bars["close"].items()}


def test_a_correction_is_seen_from_its_moment_on_and_not_before(desk):
    first = put(desk, "AAA", [10, 11, 12, 13])
    second = put(desk, "AAA", [10, 11, 12.5, 13])
    assert history(desk, first)["01-05"] == 12
    assert history(desk, second)["01-05"] == 12.5
    assert history(desk, None)["01-05"] == 12.5
    assert history(desk, "2023-01-05") == {"01-03": 10, "01-04": 11, "01-05": 12}


def test_a_split_rewrites_the_series_and_the_day_before_it_still_answers_in_its_own_units(desk):
    before = put(desk, "AAA", [100, 104, 108])
    # What comes with a rewritten series is in its new units, and so known from now like the rewriting itself.
    after = put(desk, "AAA", [25, 26, 27, 28], known=False)
    split = pd.DataFrame({"time": [DAYS[3]], "kind": ["split"], "value": [4.0]})
    desk.store.put_actions("AAA", split, source="files")
    assert history(desk, before) == {"01-03": 100, "01-04": 104, "01-05": 108}
    assert history(desk, after) == {"01-03": 25, "01-04": 26, "01-05": 27, "01-06": 28}
    # Returns are the same in either unit.
    was = desk.history("AAA", period="max", as_of=before)["close"].pct_change().dropna()
    now = desk.history("AAA", period="max", as_of=after)["close"].pct_change().dropna()
    np.testing.assert_allclose(was, now[: len(was)])


def test_a_bar_that_came_late_is_absent_before_it_came(desk):
    before = put(desk, "AAA", [10, 11], DAYS[[0, 2]])
    late = put(desk, "AAA", [10.5], DAYS[[1]], known=False)
    assert history(desk, before) == {"01-03": 10, "01-05": 11}
    assert history(desk, late) == {"01-03": 10, "01-04": 10.5, "01-05": 11}


def test_a_period_counts_back_from_what_was_known_then(desk):
    put(desk, "AAA", [10, 11, 12, 13])
    known = desk.history("AAA", period="1d", as_of="2023-01-04")
    assert known.index.tolist() == [DAYS[1]]
    with pytest.raises(NoDataError, match="known on 2022-12-31"):
        desk.history("AAA", period="max", as_of="2022-12-31")


def test_prices_of_several_symbols_stand_as_they_stood(desk):
    put(desk, "AAA", [10, 11, 12])
    first = put(desk, "BBB", [50, 51, 52])
    put(desk, "BBB", [50, 49, 52, 53], known=False)
    second = put(desk, "AAA", [10, 11, 12, 13], known=False)
    then = desk.prices(["AAA", "BBB"], period="max", as_of=first)
    assert then.to_numpy().tolist() == [[10, 50], [11, 51], [12, 52]]
    now = desk.prices(["AAA", "BBB"], period="max", as_of=second)
    assert now.to_numpy().tolist() == [[10, 50], [11, 49], [12, 52], [13, 53]]
    early = desk.prices(["AAA", "BBB"], period="max", as_of="2023-01-04")
    assert early.to_numpy().tolist() == [[10, 50], [11, 51]]


def test_what_a_stream_wrote_is_known_from_when_it_came_and_what_was_forming_never(desk):
    desk.store.put_instrument(Instrument("AAA", "AAA", "USD", "XNYS", "files", intervals=("1m",)))
    start = int(pd.Timestamp("2023-01-03 14:30", tz="UTC").timestamp()) * 1_000_000
    before = pd.Timestamp.now("UTC")
    desk.store.live.put(
        [LiveBar("AAA", start, 10, 11, 9, 10.5, 5)], [LiveBar("AAA", start + 60_000_000, 1, 1, 1, 1, 1)], source="files"
    )
    after = pd.Timestamp.now("UTC")
    assert desk.store.bars("AAA", "1m", as_of=before).empty
    assert desk.store.bars("AAA", "1m", as_of=after)["close"].tolist() == [10.5]
    desk.store.live.put([LiveBar("AAA", start, 10, 11, 9, 10.75, 6)], [], source="files")
    assert desk.store.bars("AAA", "1m", as_of=after)["close"].tolist() == [10.5]
    assert desk.store.bars("AAA", "1m")["close"].tolist() == [10.75]


def test_a_replays_rewind_is_no_loss_of_what_was_known(desk):
    first = put(desk, "AAA", [10, 11, 12, 13])
    desk.store.live.rewind("AAA", DAYS[2], "1d")
    rewound = pd.Timestamp.now("UTC")
    assert history(desk, None) == {"01-03": 10, "01-04": 11}
    again = put(desk, "AAA", [12, 13], DAYS[[2, 3]], known=False)
    assert history(desk, "2023-01-06") == history(desk, first) == {"01-03": 10, "01-04": 11, "01-05": 12, "01-06": 13}
    assert history(desk, rewound) == {"01-03": 10, "01-04": 11}
    assert history(desk, again) == history(desk, first)
