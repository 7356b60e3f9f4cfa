"""``as_of`` on history and prices: the answer of that day, whatever was corrected, split or filled in later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from pydantic import SecretStr
from standins import Truth
from standins.massive import MassiveStandin
from standins.truth import Listing, candles
from standins.yahoo import YahooStandin

from quantkit import Desk
from quantkit.core.calendars import known_at, next_bars, sessions_between
from quantkit.core.errors import NoDataError
from quantkit.data import sql
from quantkit.data.base import Instrument
from quantkit.data.files import import_file
from quantkit.data.live import LiveBar
from quantkit.data.store import Store
from quantkit.settings import Settings

DAYS = pd.DatetimeIndex(["2023-01-03", "2023-01-04", "2023-01-05", "2023-01-06"], tz="UTC", name="time").as_unit("us")
#: In winter throughout, when New York closes at 21:00 UTC.
FIRST_VISIT = pd.Timestamp("2026-01-30", tz="UTC")
MOMENT = pd.Timedelta(microseconds=1)


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


# What a vendor multiplied between two visits


@contextmanager
def visited(settings: Settings, last: pd.Timestamp) -> Iterator[tuple[Desk, YahooStandin]]:
    """A desk on Yahoo's stand-in, which has been visited once: after the session `last`."""
    with (
        YahooStandin(Truth.of("AAPL", sessions=40, last=last)) as yahoo,
        Desk.open(settings.model_copy(update={"provider": ("yahoo",), "yahoo_url": yahoo.url})) as desk,
    ):
        visit(desk, last)
        yield desk, yahoo


@pytest.fixture
def vendor(any_settings):
    with visited(any_settings, FIRST_VISIT) as opened:
        yield opened


def visit(desk: Desk, session: pd.Timestamp, interval: str = "1d") -> None:
    """Ask the vendor in the night after `session`."""
    desk.market.upkeep.now = lambda: session + pd.Timedelta(hours=26)
    desk.market.upkeep.bring("AAPL", interval)


def assert_one_scale(desk: Desk, listing: Listing, moment: pd.Timestamp, last: pd.Timestamp, *, column: str) -> None:
    """As of `moment` the series goes to `last`, and every bar is what happened times the same number."""
    found = desk.store.bars("AAPL", as_of=moment)[column]
    happened = listing.daily["close"] if column == "close" else listing.adjusted_close()
    happened = happened[(happened.index >= found.index[0]) & (happened.index <= last)]
    assert found.index.equals(happened.index), moment
    ratio = (found / happened).to_numpy()
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9, err_msg=str(moment))


@pytest.mark.parametrize("what", ["split", "dividend", "both"])
def test_between_a_split_and_the_visit_that_heard_of_it_every_bar_is_in_one_unit(vendor, what):
    desk, yahoo = vendor
    listing = yahoo.truth["AAPL"]
    asked = pd.Timestamp.now("UTC")
    listing.grow(6)
    later = listing.daily.index[-6:]
    if what != "dividend":
        listing.split(later[2], 4)
    if what != "split":
        listing.pay(later[3], 1.5)
    before = desk.store.bars("AAPL")
    visit(desk, later[-1])
    # The day before the first bar that came with it answers in the bits of that day.
    pd.testing.assert_frame_equal(desk.store.bars("AAPL", as_of=closes_at(later)[0] - MOMENT), before, check_exact=True)
    for session, closed in zip(later, closes_at(later), strict=True):
        for column in ("close", "adj_close"):
            assert_one_scale(desk, listing, closed, session, column=column)
    assert_one_scale(desk, listing, asked, later[-1], column="close")


def test_a_split_that_the_vendor_applies_late_counts_from_its_day_on(vendor):
    desk, yahoo = vendor
    listing = yahoo.truth["AAPL"]
    listing.grow(3)
    later = listing.daily.index[-3:]
    listing.split(later[1], 4)
    applied = listing.daily.copy()
    # First it sends the new bars in new units and leaves those before the split as they were, one of them corrected.
    before = listing.daily.index < later[1]
    listing.daily.loc[before, ["open", "high", "low", "close"]] *= 4
    listing.daily.loc[listing.daily.index[-5], "volume"] += 100
    splits, listing.splits = listing.splits, {}
    visit(desk, later[-1])
    listing.daily, listing.splits = applied, splits
    listing.grow(1)
    visit(desk, listing.daily.index[-1])
    for session in listing.daily.index[-4:]:
        assert_one_scale(desk, listing, closes_at(pd.DatetimeIndex([session]))[0], session, column="close")
    assert_one_scale(desk, listing, pd.Timestamp.now("UTC"), listing.daily.index[-1], column="close")


def test_a_gap_that_is_filled_with_a_restated_series_is_in_the_units_of_its_time(vendor):
    desk, yahoo = vendor
    listing = yahoo.truth["AAPL"]
    missing = listing.daily.index[20]
    whole = listing.daily
    listing.daily = whole.drop(missing)
    with desk.store._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM bars")
        connection.exec_driver_sql("DELETE FROM fetches")
    visit(desk, FIRST_VISIT)
    listing.daily = whole
    listing.grow(2)
    later = listing.daily.index[-2:]
    listing.split(later[0], 2)
    visit(desk, later[-1])
    eve = desk.store.bars("AAPL", as_of=closes_at(later)[0] - MOMENT)
    assert missing not in eve.index
    assert_one_scale(desk, listing, closes_at(later)[0], later[0], column="close")


@pytest.mark.parametrize("reaches_back", [True, False])
def test_minutes_that_were_streamed_through_a_split_are_restated_like_the_days(settings, reaches_back):
    """The visit for the days hears of the split; the minutes must hear of it too."""
    now = pd.Timestamp.now("UTC")
    first, split, after = sessions_between(now - pd.Timedelta(days=10), now - pd.Timedelta(days=1))[-3:]
    with visited(settings, first) as (desk, yahoo):
        listing = yahoo.truth["AAPL"]
        visit(desk, first, "1m")
        listing.grow(2)
        listing.split(split, 4)
        streamed = candles(next_bars(split, 200, interval="1m"), seed=7, start=25.0, scale=0.0005)
        happened = pd.concat([listing.minutes, streamed])
        listing.minutes = happened if reaches_back else streamed
        rows = zip(sql.micros(streamed.index).tolist(), streamed.to_numpy().tolist(), strict=True)
        live = [LiveBar("AAPL", at, *row[:5]) for at, row in rows]
        desk.store.live.put(live[:150], [], source="yahoo")
        between = pd.Timestamp.now("UTC")
        desk.store.live.put(live[150:], [], source="yahoo")
        visit(desk, after)
        visit(desk, after, "1m")
        for moment, unheard in ((None, 0), (between, 50)):
            found = desk.store.bars("AAPL", "1m", as_of=moment)["close"]
            np.testing.assert_allclose(found, happened["close"].loc[found.index], rtol=1e-9)
            assert len(found) == len(happened) - unheard


def test_a_vendor_that_takes_a_series_over_is_never_mixed_with_the_one_before(any_settings):
    truth = Truth.of("AAPL", sessions=40, last=FIRST_VISIT)
    with YahooStandin(truth) as yahoo, MassiveStandin(truth) as massive:
        update = {"provider": ("yahoo", "massive"), "yahoo_url": yahoo.url, "massive_url": massive.url,
                  "massive_api_key": SecretStr(massive.key), "massive_per_minute": 1000}  # fmt: skip
        with Desk.open(any_settings.model_copy(update=update)) as desk:
            visit(desk, FIRST_VISIT)
            before = desk.store.bars("AAPL")
            listing = truth["AAPL"]
            listing.grow(3)
            later = listing.daily.index[-3:]
            listing.daily *= 1.25  # the other one adjusts differently
            yahoo.fail("500", times=50)
            visit(desk, later[-1])
            assert desk.store.instrument("AAPL").source == "massive"
            eve = desk.store.bars("AAPL", as_of=closes_at(later)[0] - MOMENT)
            pd.testing.assert_frame_equal(eve, before, check_exact=True)
            for session, closed in zip(later, closes_at(later), strict=True):
                assert_one_scale(desk, listing, closed, session, column="close")
            assert_one_scale(desk, listing, pd.Timestamp.now("UTC"), later[-1], column="close")


@pytest.mark.parametrize("reaches_back", [True, False])
def test_a_file_that_restates_what_was_imported_is_never_mixed_with_it(tmp_path, any_settings, reaches_back):
    with Store.open(any_settings) as store:

        def imported(name, closes, days):
            rows = [f"{day:%Y-%m-%d},{each},{each},{each},{each},100" for day, each in zip(days, closes, strict=True)]
            path = tmp_path / name
            path.write_text("\n".join(["date,open,high,low,close,volume", *rows]) + "\n")
            import_file(store, path, symbol="AAA")

        imported("before.csv", [100, 104, 108, 112], DAYS)
        days = DAYS.union(next_bars(DAYS[-1], 1, calendar="XNYS"))
        # The next file comes after a split of four to one; it may begin later than the one before.
        first = 0 if reaches_back else 1
        imported("after.csv", [25, 26, 27, 28, 29][first:], days[first:])

        def closes(as_of):
            return store.bars("AAA", as_of=as_of)["close"].tolist()

        assert closes(None) == [25, 26, 27, 28, 29]
        assert store.bars("AAA")["volume"].iloc[0] == (100 if reaches_back else 400)
        known = known_at(days[4:], calendar="XNYS")[0]
        assert closes(known - pd.Timedelta(minutes=1)) == [100, 104, 108, 112]
        assert closes(known) == [25, 26, 27, 28, 29]
