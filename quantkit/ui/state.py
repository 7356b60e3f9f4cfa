"""What the Stock screen shows, without a widget in it: the query, the answers, the errors, what is waited for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import traitlets as t

from quantkit.core.calendars import PERIODS
from quantkit.core.errors import QuantkitError
from quantkit.core.indicators import INDICATORS
from quantkit.core.progress import Progress
from quantkit.core.schema import INTERVALS, Interval, check_symbol
from quantkit.ui.background import Background, in_words
from quantkit.ui.live import grown
from quantkit.ui.page import MAX_SYMBOLS
from quantkit.ui.query import StockQuery, check_compared, check_overlays
from quantkit.ui.question import Question
from quantkit.ui.screen_state import ScreenState, pill_words, sentence_of

if TYPE_CHECKING:
    from quantkit.data.base import Instrument
    from quantkit.data.quote import Quote
    from quantkit.desk import Desk
    from quantkit.forecast.base import Forecast

__all__ = ["StockState", "WatchRow", "pill_words"]

#: Spans that one-minute bars are kept for; anything longer is looked at in daily bars.
_MINUTE_PERIODS = frozenset({"1d", "5d", "1mo"})
_FORECAST_STEPS = 5
#: Seconds after a candle was painted in which the candles of other visitors go first: processors are shared.
_BREATH = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class WatchRow:
    """One line of the watchlist; `fault` says why there is no quote."""

    symbol: str
    quote: Quote | None = None
    closes: tuple[float, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    instrument: Instrument
    interval: Interval
    bars: pd.DataFrame
    quote: Quote


@dataclass(frozen=True, slots=True, eq=False)
class _Newer:
    symbol: str
    bars: pd.DataFrame | None


class StockState(ScreenState):
    """The Stock screen's state.

    Change ``symbol``, ``period``, ``interval``, ``overlays`` or ``watchlist``, and the answers follow; each arrives by
    itself, the bars first. An error leaves what was there and becomes a sentence in ``error`` or ``forecast_error``.

    Parameters
    ----------
    desk : Desk
        Asked on background threads.
    background : Background, optional
    default : StockQuery, optional
        View that a bare address shows.

    Attributes
    ----------
    bars : DataFrame or None
        Whole history of the symbol that is shown.
    quote : Quote or None
    instrument : Instrument or None
    forecast : Forecast or None
    indicators : DataFrame or None
        Those among the overlays, at every bar.
    log : bool
        Whether ``log`` is among the overlays.
    compare : str
        Up to four symbols, separated by commas, that the shown one is compared with.
    compared : DataFrame or None
        Prices of both at the bars of the shown one; `compare_error` says why there are none.
    error, forecast_error, watch_error : str
        A sentence, or nothing.
    failed : bool
        There is an error and nothing to show.
    busy, forecasting : bool
        Bars, or a forecast, are being waited for.
    watch : tuple of WatchRow
    risk : RiskReport or None
        Of the shown series: what one share may lose in the next bar.
    visible : bool
        Whether anybody sees the page; one that nobody sees is told of the market every few seconds only.
    kept_watchlist : list of str or None
        What the page should keep until the next visit: the watchlist once somebody has chosen it. The default that a
        new kernel begins with must not overwrite what the page remembers.
    query : str
        The view as a query string.
    """

    symbol = t.Unicode()
    period = t.Enum(PERIODS, default_value="6mo")
    interval = t.Enum(INTERVALS, default_value="1d")
    overlays = t.Tuple(("forecast",))
    show_forecast = t.Bool(True)
    log = t.Bool(False)
    compare = t.Unicode("")
    watchlist = t.List(t.Unicode())
    kept_watchlist = t.List(t.Unicode(), default_value=None, allow_none=True)

    bars = t.Instance(pd.DataFrame, allow_none=True)
    quote = t.Any(None, allow_none=True)
    instrument = t.Any(None, allow_none=True)
    forecast = t.Any(None, allow_none=True)
    indicators = t.Instance(pd.DataFrame, allow_none=True)
    compared = t.Instance(pd.DataFrame, allow_none=True)
    actions = t.Instance(pd.DataFrame, allow_none=True)
    compare_error = t.Unicode("")
    forecast_error = t.Unicode("")
    watch_error = t.Unicode("")
    forecasting = t.Bool(False)
    watch = t.Tuple()
    risk = t.Any(None, allow_none=True)

    def __init__(self, desk: Desk, *, background: Background | None = None, default: StockQuery | None = None) -> None:
        super().__init__(desk, background)
        self.default = default or StockQuery(symbol=_first(desk.settings.watchlist))
        self._asked = ("", "")
        self._faults: list[str] = []
        self._newer, self._risk = Question(self.background, "newer bars"), Question(self.background, "risk")
        self._unseen: dict[str, Quote] = {}
        self._number = 0
        self._newer.observe(lambda change: self._moved_on(change.new), "answer")
        self._risk.observe(lambda change: self.set_trait("risk", change.new), "answer")
        self._forecast_due = self._breathing = False
        with self._settle():
            self._take(self.default)
            self.watchlist = list(desk.settings.watchlist)
        self.observe(lambda change: self._ask_what_is_due(), "painted")
        self.observe(lambda change: self._changed("symbol"), "symbol")
        self.observe(lambda change: self._changed("interval"), "interval")
        self.observe(lambda change: self._changed("period"), "period")
        self.observe(lambda change: self._forecast_shown(), "show_forecast")
        self.observe(lambda change: self._overlays_chosen(), "overlays")
        self.observe(lambda change: self._compare_chosen(), "compare")
        self.observe(lambda change: self._ask_watch(), "watchlist")

    @t.validate("symbol")
    def _check_symbol(self, proposal: Any) -> str:
        return check_symbol(proposal.value)

    @t.validate("watchlist")
    def _check_watchlist(self, proposal: Any) -> list[str]:
        return list(dict.fromkeys(check_symbol(each) for each in proposal.value))[:MAX_SYMBOLS]

    def open(self, query: str = "") -> None:
        """Show the view that a query string names; whatever in it cannot be used is said, the rest is shown."""
        asked, self._faults = StockQuery.parse(query, self.default)
        with self._settle():
            self._take(asked)
        self._ask_bars()
        self._ask_watch()

    def choose(self, symbol: str) -> None:
        """Show another symbol; a malformed one is said in ``error`` and changes nothing."""
        try:
            self.symbol = check_symbol(symbol)
        except QuantkitError as error:
            self.error = in_words(error)

    def retry(self) -> None:
        """Ask again what has failed."""
        if self.error:
            self._faults = []
            self._ask_bars()
        if self.forecast_error:
            self.ask_forecast()
        self._ask_watch()

    def watch_symbol(self, symbol: str) -> None:
        """Put a symbol on the watchlist, if there is such a one."""
        try:
            name = check_symbol(symbol)
        except QuantkitError as error:
            self.watch_error = in_words(error)
            return
        if name in self.watchlist:
            self.watch_error = f"{name} is on the list already."
            return

        def known(progress: Progress) -> str:
            return self.desk.quote(name).symbol

        def add(found: str) -> None:
            self.watch_error = ""
            self._keep_watchlist([*self.watchlist, found])

        self.background.ask("add", known, add, lambda sentence: self.set_trait("watch_error", sentence))

    def unwatch_symbol(self, symbol: str) -> None:
        """Take a symbol off the watchlist."""
        self.watch_error = ""
        self._keep_watchlist([each for each in self.watchlist if each != symbol])

    def obey(self, command: dict[str, Any]) -> None:
        """Do what the page asks for; see ``quantkit.ui.page.read_command``."""
        if "watchlist" in command:
            self._keep_watchlist(command["watchlist"])
        if "symbol" in command:
            self.choose(command["symbol"])
        if command.get("retry"):
            self.retry()

    def _changed(self, name: str) -> None:
        if self._settling:
            return
        self._faults = []
        with self._settle():
            self._reconcile(name)
        if (self.symbol, self.interval) != self._asked:
            self._ask_bars()
        else:
            self._say_query()

    def _reconcile(self, name: str) -> None:
        """A span that an interval has no bars for takes the interval that does, and the other way round."""
        intervals = () if self.instrument is None else self.instrument.intervals
        if name == "period" and self.symbol == getattr(self.instrument, "symbol", None):
            if self.period in ("1d", "5d") and self.interval == "1d" and "1m" in intervals:
                self.interval = "1m"
            elif self.period not in _MINUTE_PERIODS and self.interval == "1m" and "1d" in intervals:
                self.interval = "1d"
        elif name == "interval":
            if self.interval == "1m" and self.period not in _MINUTE_PERIODS:
                self.period = "5d"
            elif self.interval == "1d" and self.period in ("1d", "5d"):
                self.period = "6mo"

    def _ask_bars(self) -> None:
        symbol, interval = self._asked = (self.symbol, self.interval)
        self.busy = True
        self.background.forget("forecast")
        self.background.ask(
            "bars",
            lambda progress: self._fetch(symbol, interval),
            self._arrived,
            lambda why: self._refused(symbol, why),
        )

    def _fetch(self, symbol: str, interval: Interval) -> _Series:
        instrument = self.desk.market.instrument(symbol)
        used = interval if interval in instrument.intervals else instrument.intervals[0]
        bars = self.desk.history(symbol, period="max", interval=used, forming=True)
        return _Series(instrument, used, bars, self.desk.quote(symbol))

    def _arrived(self, series: _Series) -> None:
        asked = self.interval
        with self._settle():
            self.instrument = series.instrument
            self.interval = series.interval
            if series.interval != asked:
                self._reconcile("interval")
            self._asked = (self.symbol, self.interval)
        self.error = " ".join(map(sentence_of, self._faults))
        self._newer.clear()
        self._show_news()  # what waited for the bars of the series before
        self._risk.clear()
        self.bars, self.failed = series.bars, False
        self.forecast, self.forecast_error, self._forecast_due = None, "", False
        self._ask_indicators()
        self._ask_compared()
        self._ask_actions()
        self._head(series.quote)
        self.busy = False
        self._say_query()
        self.ask_forecast()
        self._follow_shown()

    def _refused(self, symbol: str, why: str) -> None:
        self.busy = False
        said = " ".join(map(sentence_of, [*self._faults, why]))
        shown = None if self.bars is None else self.bars.attrs.get("symbol")
        if shown is None and symbol != self.default.symbol:
            # Never an empty chart: the default is shown beside what is wrong with the address.
            self._faults = [*self._faults, why, f"Showing {self.default.symbol} instead."]
            with self._settle():
                self._take(self.default)
            self._ask_bars()
            return
        self.failed = shown is None
        self.error = said if shown is None else f"{said} Still showing {shown}."
        if shown is not None:
            with self._settle():
                self.symbol, self.interval = shown, self.bars.attrs.get("interval", "1d")  # type: ignore[union-attr]
            self._asked = (self.symbol, self.interval)
            self._say_query()

    def ask_forecast(self) -> None:
        """Have the forecast of the shown series made; it arrives when it is ready."""
        if not self.show_forecast or self.bars is None:
            return
        symbol, interval = self.bars.attrs["symbol"], self.bars.attrs["interval"]
        self.forecasting, self.forecast_error = True, ""

        def question(progress: Progress) -> Forecast:
            return self.desk.predict(symbol, horizon=_FORECAST_STEPS, interval=interval, progress=progress)

        self.background.ask("forecast", question, self._forecast_arrived, self._forecast_refused)

    def _forecast_arrived(self, forecast: Forecast) -> None:
        self.forecasting, self.forecast_error = False, ""
        self.forecast = forecast
        self._after_forecast()

    def _forecast_refused(self, why: str) -> None:
        self.forecasting = False
        self.forecast_error = sentence_of(why)
        self._after_forecast()

    def _ask_what_is_due(self) -> None:
        """The next forecast, once the one before is there and the page has painted what it was told: candles first."""
        if not self._forecast_due or self.forecasting or self._breathing:
            return
        if self.painted == 0:  # no page says what it paints
            self._ask_next_forecast()
        elif self.painted >= self.news:
            self._breathing = True
            self.background.later(_BREATH, self._ask_next_forecast)

    def _ask_next_forecast(self) -> None:
        self._breathing = False
        if self._forecast_due and not self.forecasting:
            self._forecast_due = False
            self.ask_forecast()

    def _after_forecast(self) -> None:
        """What is slower comes after it; and if a bar has come meanwhile, the next forecast."""
        self._ask_what_is_due()
        if self.bars is not None:
            symbol, interval = self.bars.attrs["symbol"], self.bars.attrs["interval"]
            self._risk.refresh(lambda progress: self.desk.risk(symbol, interval=interval, progress=progress))

    def _follow_shown(self) -> None:
        """Watch the market for what is shown."""
        shown = () if self.bars is None else (self.bars.attrs["symbol"],)
        self._follow({*self.watchlist, *shown})

    def _told(self, number: int) -> None:
        self._number = number

    def _heard(self, quotes: dict[str, Quote]) -> None:
        """The market has moved: what is watched at once, or with the bars of the shown symbol, where that is of it."""
        self._unseen |= quotes
        bars = self.bars
        if bars is None or bars.attrs["symbol"] not in quotes or self.busy:
            self._show_news()
            return
        symbol, interval, since = bars.attrs["symbol"], bars.attrs["interval"], bars.index[-2:][0]

        def question(progress: Progress) -> _Newer:
            try:
                return _Newer(symbol, self.desk.history(symbol, start=since, interval=interval, forming=True))
            except QuantkitError:
                return _Newer(symbol, None)  # a price is news even where bars cannot be read

        self._newer.refresh(question)

    def _moved_on(self, newer: _Newer | None) -> None:
        """Candle, quote and watchlist move together: one message to the page, and one picture of it."""
        self._show_news()
        bars = self.bars
        if newer is not None and bars is not None and newer.symbol == bars.attrs["symbol"] and newer.bars is not None:
            self._grown(bars, newer.bars)

    def _show_news(self) -> None:
        """Put the quotes that have come into the watchlist, and the shown symbol's into panel, pill and title."""
        quotes, self._unseen = self._unseen, {}
        self.watch = tuple(
            replace(row, quote=quotes[row.symbol], closes=(*row.closes[:-1], quotes[row.symbol].close))
            if row.symbol in quotes and row.quote is not None
            else row
            for row in self.watch
        )
        shown = None if self.bars is None or self.busy else self.bars.attrs["symbol"]
        if shown in quotes:
            self._head(quotes[shown])
        self.news = self._number

    def _grown(self, bars: pd.DataFrame, newer: pd.DataFrame) -> None:
        """Put newer bars after those that are shown; whatever was set back is read anew."""
        longer = grown(bars, newer)
        if longer is None:
            self._ask_bars()
            return
        complete = len(longer) > len(bars)
        self.bars = longer
        if complete:
            self._ask_indicators()
            self._ask_compared()
            self._forecast_due = True
            self._ask_what_is_due()

    def _head(self, quote: Quote) -> None:
        """The quote of the shown symbol, in the panel, the pill and the title."""
        self.quote = quote
        self.status, self.pill = quote.status, pill_words(quote, self.instrument)
        self.title = f"{quote.symbol} {quote.close:,.2f} · quantkit"

    def _forecast_shown(self) -> None:
        if self._settling:
            return
        others = tuple(name for name in self.overlays if name != "forecast")
        with self._settle():
            self.overlays = (*others, "forecast") if self.show_forecast else others
        self._say_query()
        if self.show_forecast and self.forecast is None:
            self.ask_forecast()

    def _overlays_chosen(self) -> None:
        if self._settling:
            return
        with self._settle():
            self.overlays = check_overlays(self.overlays)
        self.show_forecast, self.log = "forecast" in self.overlays, "log" in self.overlays
        self._ask_indicators()
        self._say_query()

    def _compare_chosen(self) -> None:
        if self._settling:
            return
        self._ask_compared()
        self._say_query()

    def _ask_compared(self) -> None:
        """Have the prices of the compared symbols put beside the shown one's; itself among them is left out."""
        self.compare_error = ""
        bars = self.bars
        try:
            others = [each for each in check_compared(self.compare) if bars is None or each != bars.attrs["symbol"]]
        except QuantkitError as error:
            self.compare_error, others = sentence_of(in_words(error)), []
        if bars is None or not others:
            self.background.forget("compared")
            self.compared = None
            return

        def failed(why: str) -> None:
            self.compared, self.compare_error = None, sentence_of(why)

        self.background.ask(
            "compared",
            lambda progress: self.desk.comparison(bars.attrs["symbol"], others, interval=bars.attrs["interval"]),
            lambda found: self.set_trait("compared", found),
            failed,
        )

    def _ask_actions(self) -> None:
        """Have splits, dividends and earnings marked; a chart without them is a chart."""
        symbol = self.bars.attrs["symbol"]  # type: ignore[union-attr]
        if self.actions is None or self.actions.attrs["symbol"] != symbol:
            self.background.ask(
                "actions",
                lambda progress: self.desk.actions(symbol),
                lambda found: self.set_trait("actions", found),
                lambda why: None,
            )

    def _ask_indicators(self) -> None:
        """Have the chosen indicators made of the shown series; one that needs minutes is left out on daily bars."""
        if self.bars is None:
            return
        symbol, interval = self.bars.attrs["symbol"], self.bars.attrs["interval"]
        names = [
            name
            for name in self.overlays
            if name in INDICATORS and not (INDICATORS[name].intraday and interval == "1d")
        ]
        if not names:
            self.background.forget("indicators")
            self.indicators = None
            return
        self.background.ask(
            "indicators",
            lambda progress: self.desk.indicators(symbol, names, interval=interval),
            lambda found: self.set_trait("indicators", found),
            lambda why: self.set_trait("error", sentence_of(why)),
        )

    def _keep_watchlist(self, symbols: list[str]) -> None:
        self.watchlist = symbols
        self.kept_watchlist = self.watchlist

    def _ask_watch(self) -> None:
        if self._settling:
            return
        symbols = tuple(self.watchlist)
        known = {row.symbol: row for row in self.watch}
        self.watch = tuple(known.get(symbol, WatchRow(symbol)) for symbol in symbols)

        def question(progress: Progress) -> tuple[WatchRow, ...]:
            rows = []
            for at, symbol in enumerate(symbols):
                progress(at, len(symbols), symbol)
                rows.append(self._watch_row(symbol))
            return tuple(rows)

        self.background.ask(
            "watch",
            question,
            self._watched,
            lambda why: self.set_trait("watch_error", why),
        )

    def _watched(self, rows: tuple[WatchRow, ...]) -> None:
        self.watch = rows
        self._follow_shown()

    def _watch_row(self, symbol: str) -> WatchRow:
        try:
            quote = self.desk.quote(symbol)
            interval = self.desk.market.instrument(symbol).intervals[0]
            bars = self.desk.history(symbol, period="1mo" if interval == "1d" else "1d", interval=interval)
            closes = bars["close"].to_numpy()
            return WatchRow(symbol, quote, tuple(closes[:: max(len(closes) // 40, 1)].tolist()))
        except QuantkitError as error:
            return WatchRow(symbol, fault=in_words(error))

    def _take(self, query: StockQuery) -> None:
        self.symbol, self.period, self.interval = query.symbol, query.period, query.interval
        self.overlays, self.compare = query.overlays, ",".join(query.compare)
        self.show_forecast, self.log = "forecast" in query.overlays, "log" in query.overlays

    def _say_query(self) -> None:
        compare = () if self.compare_error else check_compared(self.compare)
        self.query = StockQuery(self.symbol, self.period, self.interval, self.overlays, compare).to_query()


def _first(symbols: tuple[str, ...]) -> str:
    return symbols[0] if symbols else "AAPL"
