"""What the Risk screen shows, without a widget in it: the question, and everything that is asked because of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import pandas as pd
import traitlets as t

from quantkit.core.calendars import PERIODS, check_period
from quantkit.core.errors import QuantkitError, UsageError
from quantkit.core.schema import INTERVALS, check_interval, check_symbol
from quantkit.risk.tail_models import VAR_METHODS
from quantkit.ui.background import Background, in_words
from quantkit.ui.notebooks import as_code
from quantkit.ui.query import choice_of, number_between, read_view, whole_between
from quantkit.ui.question import SLOW_SHARE, Question
from quantkit.ui.screen_state import ScreenState, pill_words, sentence_of

if TYPE_CHECKING:
    from quantkit.data.quote import Quote
    from quantkit.desk import Desk

__all__ = ["LEVELS", "METHODS", "MOST_HOLDINGS", "RiskQuery", "RiskState", "read_weights", "write_weights"]

METHODS: Final = ("auto", *VAR_METHODS)
LEVELS: Final = (0.9, 0.95, 0.975, 0.99)
MOST_HOLDINGS: Final = 60
#: Spans long enough for a report's hundred returns.
RISK_PERIODS: Final = ("6mo", "ytd", "1y", "5y", "max")


@dataclass(frozen=True, slots=True)
class RiskQuery:
    """One view of the Risk screen.

    Attributes
    ----------
    symbol : str
    holdings : tuple of (symbol, weight)
        A portfolio in place of the symbol.
    period : str
    interval : {"1d", "1m"}
    level : float
    horizon : int
    position : float
        What figures in currency are of; 0 means one share.
    risk_free : float
        Annual, a decimal.
    method : str
        Whose VaR is drawn.
    """

    symbol: str = "AAPL"
    holdings: tuple[tuple[str, float], ...] = ()
    period: str = "5y"
    interval: str = "1d"
    level: float = 0.95
    horizon: int = 1
    position: float = 0.0
    risk_free: float = 0.0
    method: str = "auto"

    @classmethod
    def parse(cls, text: str, default: RiskQuery | None = None) -> tuple[RiskQuery, list[str]]:
        """Read a query string, as :meth:`StockQuery.parse` does.

        Examples
        --------
        >>> RiskQuery.parse("symbol=msft&level=0.99")[0].to_query()
        'symbol=MSFT&level=0.99'
        """
        return read_view(text, default or cls(), {
            "symbol": check_symbol, "holdings": read_weights, "period": check_period, "interval": check_interval,
            "level": number_between("level", 0.51, 0.999), "horizon": whole_between("horizon", 1, 20),
            "position": number_between("position", 0.0, 1e15), "risk_free": number_between("risk_free", -0.5, 1.0),
            "method": choice_of("method", METHODS),
        })  # fmt: skip

    def to_query(self) -> str:
        """The view as a query string that :meth:`parse` gives back; what is as usual is left out."""
        usual = RiskQuery()
        values: dict[str, Any] = (
            {"holdings": write_weights(self.holdings)} if self.holdings else {"symbol": self.symbol}
        )
        for name in ("period", "interval", "level", "horizon", "position", "risk_free", "method"):
            if getattr(self, name) != getattr(usual, name):
                value = getattr(self, name)
                values[name] = f"{value:.10g}" if isinstance(value, float) else value
        return urlencode(values, safe=",^=:")


def read_weights(text: str) -> tuple[tuple[str, float], ...]:
    """Weights such as ``AAPL:0.6,MSFT:0.4``, scaled to sum to 1.

    Raises
    ------
    UsageError
        A part cannot be read, or they do not sum to more than nothing.
    """
    found: dict[str, float] = {}
    for part in (each for each in text.replace(";", ",").split(",") if each.strip()):
        name, _, amount = part.partition(":")
        symbol = check_symbol(name)
        found[symbol] = found.get(symbol, 0.0) + number_between(f"weight of {symbol}", -100.0, 100.0)(amount)
    if len(found) > MOST_HOLDINGS:
        raise UsageError(f"{len(found)} holdings are too many for one screen; at most {MOST_HOLDINGS}")
    total = math.fsum(found.values())
    if found and not total > 0.0:
        raise UsageError(f"the weights sum to {total:g}; expected more than nothing")
    # A sum that is 1 but for rounding stays as it was written: the address must not change by being read.
    if abs(total - 1.0) < 1e-6:
        return tuple(found.items())
    return tuple((symbol, weight / total) for symbol, weight in found.items())


def write_weights(weights: Mapping[str, float] | tuple[tuple[str, float], ...]) -> str:
    """Weights as :func:`read_weights` reads them."""
    pairs = weights.items() if isinstance(weights, Mapping) else weights
    return ",".join(f"{symbol}:{weight:.8g}" for symbol, weight in pairs)


class RiskState(ScreenState):
    """The Risk screen's state.

    Change any of the traits of the question, and what depends on it is asked again; each answer arrives by itself.

    Attributes
    ----------
    symbol, holdings, period, interval, level, horizon, position, risk_free, method
        As in :class:`RiskQuery`; `holdings` is a dict.
    name : str
        Of what is measured: the symbol, or ``portfolio``.
    portfolio : bool
        Whether there are holdings.
    pair : tuple of two str
        Whose rolling correlation is shown.
    report, history, stress, correlation, contributions, together : Question
        Each with its answer, error and progress.
    instrument : Instrument or None
    holdings_error : str
        What is wrong with the file of holdings.
    """

    symbol = t.Unicode("AAPL")
    holdings = t.Dict()
    period = t.Enum(PERIODS, default_value="5y")
    interval = t.Enum(INTERVALS, default_value="1d")
    level = t.Float(0.95)
    horizon = t.Int(1)
    position = t.Float(0.0)
    risk_free = t.Float(0.0)
    method = t.Enum(METHODS, default_value="auto")
    pair = t.Tuple(())

    portfolio = t.Bool(False)
    name = t.Unicode("")
    instrument = t.Any(None, allow_none=True)
    holdings_error = t.Unicode("")
    holdings_text = t.Unicode("", help="The holdings as somebody would type them")

    _ASKED: Final = ("symbol", "holdings", "period", "interval", "level", "horizon", "position", "risk_free")

    def __init__(self, desk: Desk, *, background: Background | None = None, default: RiskQuery | None = None) -> None:
        super().__init__(desk, background)
        watch = desk.settings.watchlist
        self.default = default or RiskQuery(symbol=watch[0] if watch else "AAPL")
        self.report, self.history, self.stress, self.correlation, self.contributions, self.together = (
            Question(self.background, name, share=SLOW_SHARE)
            for name in ("risk report", "history of risk", "stress test", "correlation", "contributions",
                         "rolling correlation")
        )  # fmt: skip
        self._newest = Question(self.background, "newest bar")
        self._faults: list[str] = []
        with self._settle():
            self._take(self.default)
        self.observe(self._changed, list(self._ASKED))
        self.observe(lambda change: self._say_query(), "method")
        self.observe(lambda change: self._ask_pair(), "pair")
        self._newest.observe(lambda change: self._moved(change.new), "answer")
        for question in (self.report, self.history):
            question.observe(lambda change: self._waited(), "busy")
        self.history.observe(lambda change: self._arrived(), "answer")
        self.history.observe(lambda change: self._refused(change.new), "error")

    @t.validate("symbol")
    def _check_symbol(self, proposal: Any) -> str:
        return check_symbol(proposal.value)

    def open(self, query: str = "") -> None:
        """Show the view that a query string names; what in it cannot be used is said."""
        asked, self._faults = RiskQuery.parse(query, self.default)
        with self._settle():
            self._take(asked)
        self.error = " ".join(map(sentence_of, self._faults))
        self._ask()

    def choose(self, symbol: str) -> None:
        """Show another symbol in place of whatever is shown."""
        try:
            name = check_symbol(symbol)
        except QuantkitError as error:
            self.error = in_words(error)
            return
        with self._settle():
            changed = bool(self.holdings) or name != self.symbol
            self.holdings, self.symbol = {}, name
        if changed:
            self._changed(None)

    def load_holdings(self, text: str) -> None:
        """Take a portfolio from a CSV; what is wrong with it is said in ``holdings_error``."""

        def found(held: Any) -> None:
            self.holdings_error = ""
            with self._settle():
                self.position = held.value if math.isfinite(held.value) else 0.0
                self.holdings = dict(held.weights)
            self._changed(None)

        self.background.ask("holdings", lambda progress: self.desk.holdings(text), found, self._holdings_refused)

    def weigh(self, text: str) -> None:
        """Take a portfolio as somebody types it, ``AAPL 60, MSFT 40``; nothing leaves the portfolio."""
        typed = text.strip()
        if typed == self.holdings_text:
            return
        try:
            parts = [part.replace("=", ":").replace("%", "").split() for part in typed.replace(";", ",").split(",")]
            weights = dict(read_weights(",".join(":".join(part) if len(part) > 1 else "".join(part)
                                                 for part in parts if part)))  # fmt: skip
        except UsageError as error:
            self.holdings_error = sentence_of(str(error))
            return
        self.holdings_error = ""
        self.holdings = weights

    def retry(self) -> None:
        """Ask again what has failed."""
        self._faults = []
        self.error = ""
        failed = [each for each in self.questions if each.error]
        for each in failed:
            each.again()

    def obey(self, command: dict[str, Any]) -> None:
        """Do what the page asks for; see ``quantkit.ui.page.read_command``."""
        if "symbol" in command:
            self.choose(command["symbol"])
        if command.get("retry"):
            self.retry()

    @property
    def questions(self) -> tuple[Question, ...]:
        """Everything that is asked."""
        return (self.report, self.history, self.stress, self.correlation, self.contributions, self.together)

    @property
    def what(self) -> str | dict[str, float]:
        """What is measured, as ``Desk`` takes it."""
        return dict(self.holdings) if self.holdings else self.symbol

    @property
    def code(self) -> str:
        """The same questions as code, to be pasted into a notebook."""
        what, period = as_code(self.what), as_code(self.period)
        amount = f", position_value={self.position!r}" if self.position else ""
        lines = [
            "from quantkit import Desk", "", "desk = Desk.open()",
            f"report = desk.risk({what}, period={period}, level={self.level!r}, interval={as_code(self.interval)}, "
            f"risk_free={self.risk_free!r}, horizon={self.horizon}{amount})",
            f"history = desk.risk_history({what}, period={period}, interval={as_code(self.interval)}, "
            f"risk_free={self.risk_free!r})",
            "report",
        ]  # fmt: skip
        return "\n".join(lines)

    def _changed(self, change: Any) -> None:
        if self._settling:
            return
        self._faults = []
        self.error = ""
        if (
            change is not None
            and change.name == "interval"
            and self.interval == "1m"
            and self.period not in RISK_PERIODS
        ):
            with self._settle():
                self.period = "max"
        self._ask()

    def _heard(self, quotes: dict[str, Quote]) -> None:
        """The market has moved: the price at once; what is measured, when a bar of everything shown is complete."""
        symbols, interval = tuple(self.holdings) or (self.symbol,), self.interval
        report = self.report.answer
        if self.instrument is None or report is None or self.busy or not set(symbols) & set(quotes):
            return
        if symbols[0] in quotes:
            self._known((self.instrument, quotes[symbols[0]]))
        since = report.as_of
        self._newest.refresh(
            lambda progress: min(self.desk.history(each, start=since, interval=interval).index[-1] for each in symbols)
        )

    def _moved(self, newest: pd.Timestamp | None) -> None:
        if newest is not None and self.report.answer is not None and newest > self.report.answer.as_of:
            self._ask_all(moved=True)

    def _ask(self) -> None:
        self._newest.clear()
        self._ask_all()
        self._follow(self.holdings or [self.symbol])

    def _ask_all(self, *, moved: bool = False) -> None:
        """Everything that is shown; `moved` by the market alone, so that what is shown stays until there is newer."""
        what, portfolio = self.what, bool(self.holdings)
        self.portfolio, self.name = portfolio, "portfolio" if portfolio else self.symbol
        self.holdings_text = ", ".join(f"{symbol} {weight * 100:.6g}" for symbol, weight in self.holdings.items())
        self._say_query()
        span: dict[str, Any] = {"period": self.period, "interval": self.interval, "risk_free": self.risk_free}
        tails: dict[str, Any] = {"level": self.level, "horizon": self.horizon, "position_value": self.position or None}
        if not portfolio:
            self.background.ask("instrument", lambda progress: self._about(what), self._known, lambda why: None)
        else:
            first = next(iter(self.holdings))
            self.background.ask("instrument", lambda progress: self._about(first), self._known, lambda why: None)
        put = Question.refresh if moved else Question.ask
        put(self.history, lambda progress: self.desk.risk_history(what, **span, progress=progress))
        put(self.report, lambda progress: self.desk.risk(what, **span, **tails, progress=progress))
        weights = dict(self.holdings) or {self.symbol: 1.0}
        value = self.position or None
        if self.interval == "1d":
            put(self.stress, lambda progress: self.desk.stress(weights, value=value))
        else:
            self.stress.clear()
        if len(self.holdings) > 1:
            symbols, period, interval, level = list(weights), self.period, self.interval, self.level
            put(self.correlation, lambda progress: self.desk.correlation(symbols, period=period, interval=interval))
            put(
                self.contributions,
                lambda progress: self.desk.contributions(weights, period=period, level=level, interval=interval),
            )
            if set(self.pair) <= set(symbols):
                self._ask_pair(moved=moved)
        else:
            for question in (self.correlation, self.contributions, self.together):
                question.clear()

    def _ask_pair(self, *, moved: bool = False) -> None:
        if len(self.pair) == 2 and self.portfolio:
            first, second, period, interval = *self.pair, self.period, self.interval
            put = self.together.refresh if moved else self.together.ask
            put(lambda progress: self.desk.rolling_correlation(first, second, period=period, interval=interval))

    def _about(self, symbol: Any) -> tuple[Any, Any]:
        return self.desk.market.instrument(symbol), self.desk.quote(symbol)

    def _known(self, found: tuple[Any, Any]) -> None:
        self.instrument, quote = found
        self.status, self.pill = quote.status, pill_words(quote, self.instrument)

    def _waited(self) -> None:
        self.busy = self.report.busy or self.history.busy

    def _arrived(self) -> None:
        if self.history.answer is not None:
            self.failed = False
            self.title = f"Risk of {self.name} · quantkit"

    def _refused(self, why: str) -> None:
        """An unknown symbol in the address is said, and the default shown beside it: never an empty screen."""
        if not why or self._settling:
            return
        empty = self.history.answer is None
        default = not self.holdings and self.symbol == self.default.symbol and self.interval == "1d"
        if empty and not default and self.history.error:
            self._faults = [*self._faults, self.history.error, f"Showing {self.default.symbol} instead."]
            with self._settle():
                self._take(self.default)
            self.error = " ".join(map(sentence_of, dict.fromkeys(self._faults)))
            self._ask()
        elif self.history.error:
            shown = "" if empty else f" Still showing {self.history.answer.symbol}."
            self.error, self.failed = self.history.error + shown, empty

    def _holdings_refused(self, why: str) -> None:
        self.holdings_error = sentence_of(why)

    def _take(self, query: RiskQuery) -> None:
        for name in (*self._ASKED, "method"):
            if name != "holdings":
                setattr(self, name, getattr(query, name))
        self.holdings = dict(query.holdings)

    def _say_query(self) -> None:
        values = {name: getattr(self, name) for name in (*self._ASKED, "method")}
        self.query = RiskQuery(**(values | {"holdings": tuple(self.holdings.items())})).to_query()
