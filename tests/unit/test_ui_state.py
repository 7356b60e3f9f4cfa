"""The Stock screen's state without a widget: what is asked, what arrives, and what is said when it cannot."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.core.errors import DataError, ProviderError, UsageError
from quantkit.core.progress import silent
from quantkit.ui.background import Background, in_words
from quantkit.ui.query import StockQuery
from quantkit.ui.state import StockState


class QuickDesk:
    """The real desk, asked for the naive forecast and for the risk of a short past; and able to fail when told to."""

    def __init__(self, desk) -> None:
        self._desk = desk
        self.failure: Exception | None = None

    def __getattr__(self, name: str):
        return getattr(self._desk, name)

    def predict(self, symbol: str, **question):
        if self.failure is not None:
            raise self.failure
        return self._desk.predict(symbol, model="naive", **question)

    def risk(self, symbol: str, **question):
        return self._desk.risk(symbol, period="6mo" if question.get("interval") == "1d" else "1d", **question)


@pytest.fixture
def quick(shared_desk) -> QuickDesk:
    return QuickDesk(shared_desk)


@pytest.fixture
def state(quick: QuickDesk) -> Iterator[StockState]:
    made = StockState(quick)
    yield made
    made.close()


def opened(state: StockState, query: str = "") -> StockState:
    state.open(query)
    state.background.settle()
    return state


def test_a_bare_address_shows_the_first_of_the_watchlist(state: StockState, shared_desk) -> None:
    opened(state)
    assert state.symbol == "AAPL"
    assert state.bars is not None
    assert state.bars.equals(shared_desk.history("AAPL", period="max"))
    assert state.quote.close == shared_desk.quote("AAPL").close
    assert state.forecast.symbol == "AAPL"
    assert not state.busy
    assert not state.forecasting
    assert state.error == ""
    assert state.pill == "SAMPLE · 2023-09-21"
    assert state.title.startswith("AAPL 173.93")


def test_an_address_is_enough_to_come_back(state: StockState, quick: QuickDesk) -> None:
    opened(state, "symbol=msft&period=1y&interval=1d&overlays=")
    assert (state.symbol, state.period, state.interval, state.overlays) == ("MSFT", "1y", "1d", ())
    assert state.query == "symbol=MSFT&period=1y&interval=1d&overlays="
    again = opened(StockState(quick), state.query)
    assert (again.symbol, again.period, again.overlays, again.query) == ("MSFT", "1y", (), state.query)
    assert again.forecast is None
    again.close()


def test_another_symbol_replaces_everything_that_belongs_to_the_first(state: StockState) -> None:
    opened(state)
    state.choose(" msft ")
    state.background.settle()
    assert state.bars is not None
    assert state.bars.attrs["symbol"] == state.quote.symbol == state.forecast.symbol == "MSFT"
    assert "symbol=MSFT" in state.query
    assert state.instrument.intervals == ("1d", "1m")


def test_an_unknown_symbol_in_the_address_is_said_and_the_default_is_shown(state: StockState) -> None:
    opened(state, "symbol=TSLA&period=1y")
    assert "TSLA" in state.error
    assert "QUANTKIT_PROVIDER=yahoo" in state.error
    assert "Showing AAPL instead." in state.error
    assert state.bars is not None
    assert state.bars.attrs["symbol"] == "AAPL"
    assert not state.failed


def test_an_unknown_symbol_that_is_typed_leaves_the_view_as_it_was(state: StockState) -> None:
    opened(state)
    state.choose("AAPK")
    state.background.settle()
    assert "AAPK" in state.error
    assert "Still showing AAPL." in state.error
    assert state.symbol == "AAPL"
    assert "symbol=AAPL" in state.query
    state.choose("MSFT")
    state.background.settle()
    assert state.error == ""


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("period=2w", "1d, 5d, 1mo"),
        ("interval=7m", "1d, 1m"),
        ("symbol=%3Cscript%3Ealert(1)%3C/script%3E", "is not a symbol"),
        ("overlays=sma9000", "overlay 'sma9000'; choose from"),
        ("symbol=" + "A" * 3000, "characters of state"),
        ("symbol=%00%ff", "is not a symbol"),
    ],
)
def test_a_malformed_address_is_a_sentence_beside_a_usable_view(state: StockState, query: str, said: str) -> None:
    opened(state, query)
    assert said in state.error
    assert state.bars is not None
    assert state.bars.attrs["symbol"] == "AAPL"
    assert len(state.error) < 400


@given(st.text(max_size=200))
def test_no_address_can_break_the_parser(text: str) -> None:
    query, faults = StockQuery.parse(text)
    assert StockQuery.parse(query.to_query()) == (query, [])
    assert all(isinstance(fault, str) for fault in faults)


def test_keys_that_are_not_ours_are_ignored() -> None:
    query, faults = StockQuery.parse("symbol=KO&token=secret&__proto__=1&symbol=PEP")
    assert query.symbol == "PEP"
    assert faults == []
    assert "secret" not in query.to_query()


def test_a_failing_forecast_stays_in_its_place_and_can_be_retried(state: StockState, quick: QuickDesk) -> None:
    quick.failure = DataError("AAPL: 12 bars; at least 250 are needed")
    opened(state)
    assert state.forecast is None
    assert state.forecast_error == "AAPL: 12 bars; at least 250 are needed."
    assert state.error == ""
    assert state.bars is not None
    quick.failure = None
    state.retry()
    state.background.settle()
    assert state.forecast_error == ""
    assert state.forecast.symbol == "AAPL"


def test_a_failure_that_is_not_ours_is_said_without_its_innards(state: StockState, quick: QuickDesk) -> None:
    quick.failure = RuntimeError("/home/somebody/secret.py line 3")
    opened(state)
    assert "RuntimeError" in state.forecast_error
    assert "secret" not in state.forecast_error


def test_a_span_of_days_is_shown_in_minutes_where_there_are_some(state: StockState) -> None:
    opened(state, "symbol=MSFT")
    state.period = "5d"
    state.background.settle()
    assert state.interval == "1m"
    assert state.bars is not None
    assert state.bars.attrs["interval"] == "1m"
    state.period = "1y"
    state.background.settle()
    assert (state.interval, state.bars.attrs["interval"]) == ("1d", "1d")
    state.interval = "1m"
    state.background.settle()
    assert (state.interval, state.period) == ("1m", "5d")


def test_a_symbol_without_daily_bars_is_shown_in_minutes(state: StockState) -> None:
    opened(state, "symbol=AZN.L")
    assert state.interval == "1m"
    assert state.period == "5d"
    assert "interval=1m" in state.query
    assert "BST" in state.pill


def test_a_span_of_days_stays_daily_where_there_are_no_minutes(state: StockState) -> None:
    opened(state)
    state.period = "5d"
    state.background.settle()
    assert state.interval == "1d"


def test_the_watchlist_holds_quotes_and_says_what_has_none(state: StockState, shared_desk) -> None:
    state.watchlist = ["MSFT", "TSLA", "MSFT", "AZN.L"]
    opened(state)
    assert [row.symbol for row in state.watch] == ["MSFT", "TSLA", "AZN.L"]
    msft, tsla, azn = state.watch
    assert msft.quote.close == shared_desk.quote("MSFT").close
    assert len(msft.closes) > 10
    assert msft.closes[-1] == msft.quote.close
    assert "TSLA" in tsla.fault
    assert azn.quote.currency == "GBX"


def test_symbols_are_watched_only_when_there_is_such_a_one(state: StockState) -> None:
    opened(state)
    before = list(state.watchlist)
    state.watch_symbol("KO")
    state.background.settle()
    assert state.watchlist == [*before, "KO"]
    state.watch_symbol("TSLA")
    state.background.settle()
    assert "TSLA" in state.watch_error
    assert state.watchlist == [*before, "KO"]
    state.watch_symbol("<b>")
    assert "is not a symbol" in state.watch_error
    assert state.kept_watchlist == [*before, "KO"]
    state.unwatch_symbol("KO")
    assert state.watchlist == state.kept_watchlist == before
    assert state.watch_error == ""


def test_the_list_that_a_kernel_begins_with_is_not_what_the_page_is_told_to_keep(state: StockState) -> None:
    opened(state)
    assert len(state.watchlist) > 5
    assert state.kept_watchlist is None


def test_what_the_page_asks_for_is_done(state: StockState) -> None:
    opened(state)
    state.obey({"n": 1, "watchlist": ["KO", "PEP"], "symbol": "GOOG"})
    state.background.settle()
    assert state.watchlist == ["KO", "PEP"]
    assert state.bars is not None
    assert state.bars.attrs["symbol"] == "GOOG"


def test_the_trait_itself_refuses_what_is_no_symbol(state: StockState) -> None:
    with pytest.raises(UsageError):
        state.symbol = "no symbol at all"


def test_only_the_newest_question_of_a_slot_is_answered() -> None:
    background = Background()
    running, release, answers = threading.Event(), threading.Event(), []

    def first(progress) -> str:
        running.set()
        release.wait(10)
        progress(1, 2, "")  # raises Cancelled: somebody has asked again
        return "first"

    background.ask("bars", first, answers.append, answers.append)
    assert running.wait(10)
    background.ask("bars", lambda progress: "second", answers.append, answers.append)
    background.ask("bars", lambda progress: "third", answers.append, answers.append)
    release.set()
    background.settle()
    assert answers == ["third"]
    background.close()


def test_a_slow_slot_does_not_hold_up_another() -> None:
    background = Background()
    release, answers = threading.Event(), []
    background.ask("forecast", lambda progress: release.wait(10), lambda answer: None, answers.append)
    background.ask("bars", lambda progress: "bars", answers.append, answers.append)
    background._waiting["bars"].result(10)
    assert answers == ["bars"]
    release.set()
    background.close()


def test_a_callback_that_raises_becomes_a_sentence() -> None:
    background, said = Background(), []

    def broken(answer: str) -> None:
        raise ZeroDivisionError

    background.ask("bars", lambda progress: "answer", broken, said.append)
    background.settle()
    assert "ZeroDivisionError" in said[0]
    background.close()


def test_answers_are_handed_over_on_the_loop_of_the_thread_that_asked() -> None:
    import asyncio

    async def main() -> int:
        background, arrived = Background(), asyncio.get_running_loop().create_future()
        background.ask(
            "bars",
            lambda progress: threading.get_ident(),
            lambda worker: arrived.set_result(worker),
            arrived.set_result,
        )
        worker = await asyncio.wait_for(arrived, 10)
        assert worker != threading.get_ident()
        background.close()
        return threading.get_ident()

    assert asyncio.run(main()) == threading.get_ident()


def test_errors_speak_for_themselves() -> None:
    assert in_words(ProviderError("yahoo: 429 Too Many Requests")) == "yahoo: 429 Too Many Requests"
    assert "KeyError" in in_words(KeyError("secret"))
    assert silent(1, 2) is None
