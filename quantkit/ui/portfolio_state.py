"""What the Portfolio screen shows, without a widget in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import traitlets as t

from quantkit.core.calendars import PERIODS
from quantkit.core.errors import QuantkitError, UsageError
from quantkit.core.progress import Progress
from quantkit.core.schema import check_symbol, check_symbols
from quantkit.portfolio import REBALANCES
from quantkit.ui.background import Background, in_words
from quantkit.ui.portfolio_query import (
    MOST_SYMBOLS,
    PORTFOLIO_OBJECTIVES,
    PortfolioQuery,
    read_sectors,
    read_views,
)
from quantkit.ui.question import Question
from quantkit.ui.screen_state import ScreenState, pill_words, sentence_of

if TYPE_CHECKING:
    from quantkit.desk import Desk

__all__ = ["PortfolioState"]

POINTS: Final = 60


class PortfolioState(ScreenState):
    """The Portfolio screen's state.

    Change any trait of the question, and the frontier, the weights and the backtest are asked again.

    Attributes
    ----------
    symbols ... rebalance
        As in :class:`~quantkit.ui.portfolio_query.PortfolioQuery`; `holdings` is a dict.
    shares : dict
        Shares that are held now, where they are known.
    frontier, allocation, backtest : Question
    asset_error : str
        Why a symbol, a cap or a view was refused.
    """

    symbols = t.Tuple(())
    objective = t.Enum(PORTFOLIO_OBJECTIVES, default_value="max_sharpe")
    target = t.Float(0.0)
    period = t.Enum(PERIODS, default_value="5y")
    least = t.Float(0.0)
    most = t.Float(1.0)
    cash = t.Float(0.0)
    turnover = t.Float(0.0)
    sectors = t.Unicode("")
    views = t.Unicode("")
    holdings = t.Dict()
    shares = t.Dict()
    capital = t.Float(100_000.0)
    risk_free = t.Float(0.0)
    cost_bps = t.Float(10.0)
    rebalance = t.Enum(tuple(REBALANCES), default_value="1mo")

    symbol = t.Unicode("")
    asset_error = t.Unicode("")
    needs_target = t.Bool(False)

    _FIELDS: Final = ("symbols", "objective", "target", "period", "least", "most", "cash", "turnover", "sectors",
                      "views", "holdings", "capital", "risk_free", "cost_bps", "rebalance")  # fmt: skip
    #: What the weights do not depend on.
    _BACKTEST_ONLY: Final = frozenset({"rebalance"})

    def __init__(
        self, desk: Desk, *, background: Background | None = None, default: PortfolioQuery | None = None
    ) -> None:
        super().__init__(desk, background)
        self.default = default or PortfolioQuery()
        self.frontier = Question(self.background, "frontier")
        self.allocation = Question(self.background, "weights")
        self.backtest = Question(self.background, "backtest")
        self._faults: list[str] = []
        with self._settle():
            self._take(self.default)
        self.observe(self._changed, list(self._FIELDS))
        for question in (self.frontier, self.allocation):
            question.observe(lambda change: self._waited(), "busy")
        self.frontier.observe(lambda change: self._refused(change.new), "error")

    def open(self, query: str = "") -> None:
        """Show the view that a query string names; what in it cannot be used is said."""
        asked, self._faults = PortfolioQuery.parse(query, self.default)
        with self._settle():
            self._take(asked)
        self.error = " ".join(map(sentence_of, self._faults))
        self._ask()

    def add(self, text: str) -> None:
        """Take symbols that were typed or pasted; the unknown ones are refused, each with its reason."""
        if not text.strip():
            return
        wanted: list[str] = []
        refused: list[str] = []
        for part in text.replace(";", ",").replace("\n", ",").replace("\t", ",").replace(" ", ",").split(","):
            try:
                wanted += [check_symbol(part)] if part.strip() else []
            except QuantkitError as error:
                refused.append(in_words(error))
        self._look_up([each for each in dict.fromkeys(wanted) if each not in self.symbols], refused)

    def remove(self, symbol: str) -> None:
        """Take a symbol out."""
        self.asset_error = ""
        left = tuple(each for each in self.symbols if each != symbol)
        if len(left) < 2:
            self.asset_error = "A portfolio needs at least two symbols; add one before taking this one out."
            return
        self.symbols = left

    def load_holdings(self, text: str) -> None:
        """Start from what a CSV says is held now."""

        def found(held: Any) -> None:
            self.asset_error = ""
            with self._settle():
                self.holdings, self.shares = dict(held.weights), dict(held.shares)
                if math.isfinite(held.value):
                    self.capital = round(held.value, 2)
                self.symbols = tuple(dict.fromkeys((*held.weights, *(self.symbols if len(held.weights) < 2 else ()))))
            self._changed(None)

        self.background.ask("holdings", lambda progress: self.desk.holdings(text), found, self._asset_refused)

    def take_point(self, expected_return: float) -> None:
        """Take the weights of the frontier's portfolio with this annual expected return."""
        if self.frontier.answer is None:
            return
        points = self.frontier.answer.points["expected_return"]
        # Six digits go into the address, and must not leave the frontier at its ends.
        target = round(expected_return, 6)
        if target > points.iloc[-1]:
            target = math.floor(points.iloc[-1] * 1e6) / 1e6
        elif target < points.iloc[0]:
            target = math.ceil(points.iloc[0] * 1e6) / 1e6
        with self._settle():
            self.objective, self.target = "target_return", target
        self._changed(None)

    def retry(self) -> None:
        """Ask again what has failed."""
        self.error = ""
        for question in (self.frontier, self.allocation, self.backtest):
            if question.error:
                question.again()

    def obey(self, command: dict[str, Any]) -> None:
        """Do what the page asks for; a symbol typed in its header joins the portfolio."""
        if "symbol" in command:
            self.add(command["symbol"])
        if command.get("retry"):
            self.retry()

    @property
    def constraints(self) -> dict[str, Any]:
        """The limits as ``Desk`` takes them."""
        limits: dict[str, Any] = {"bounds": (self.least, self.most), **read_sectors(self.sectors)}
        if self.cash:
            limits["net"] = (1.0 - self.cash, 1.0)
        if self.holdings and self.turnover:
            limits["turnover"] = self.turnover
        if self.holdings and self.cost_bps:
            limits["cost_bps"] = self.cost_bps
        return limits

    @property
    def wish(self) -> dict[str, Any]:
        """What is asked of :meth:`Desk.optimize` beside symbols, objective and period."""
        options: dict[str, Any] = {"constraints": self.constraints, "risk_free": self.risk_free}
        if self.capital:
            options["capital"] = self.capital
        if views := read_views(self.views):
            options["views"] = views
        if self.holdings:
            options["current_weights"] = {each: self.holdings.get(each, 0.0) for each in self.symbols}
            if self.shares and set(self.shares) <= set(self.symbols):
                options["current_shares"] = dict(self.shares)
        return options | self._target

    @property
    def _target(self) -> dict[str, float]:
        return {self.objective: self.target} if self.objective in ("target_return", "target_volatility") else {}

    @property
    def code(self) -> str:
        """The same questions as code, to be pasted into a notebook."""
        symbols = list(self.symbols)
        wish = ", ".join(f"{name}={value!r}" for name, value in self.wish.items())
        return "\n".join([
            "from quantkit import Desk", "", "desk = Desk.open()", f"symbols = {symbols!r}",
            f"allocation = desk.optimize(symbols, {self.objective!r}, period={self.period!r}, {wish})",
            f"backtest = desk.backtest(symbols, {self.objective!r}, rebalance={self.rebalance!r}, "
            f"cost_bps={self.cost_bps!r}, risk_free={self.risk_free!r})",
            "allocation",
        ])  # fmt: skip

    def _look_up(self, wanted: list[str], refused: list[str]) -> None:

        def question(progress: Progress) -> tuple[list[str], list[str]]:
            found, why = [], list(refused)
            for symbol in wanted:
                try:
                    self.desk.history(symbol, period="5d")
                    found.append(symbol)
                except QuantkitError as error:
                    why.append(in_words(error))
            return found, why

        def known(answer: tuple[list[str], list[str]]) -> None:
            found, why = answer
            together = (*self.symbols, *found)
            if len(together) > MOST_SYMBOLS:
                why = [*why, f"{len(together)} symbols are too many for one screen; at most {MOST_SYMBOLS}"]
            elif found:
                self.symbols = together
            self.asset_error = " ".join(map(sentence_of, why))

        self.background.ask("assets", question, known, self._asset_refused)

    def _changed(self, change: Any) -> None:
        if self._settling:
            return
        self._faults, self.error = [], ""
        if change is not None and change.name == "objective" and self._target and not self.target:
            self._aim()
        self._ask(only_backtest=change is not None and change.name in self._BACKTEST_ONLY)

    def _aim(self) -> None:
        """A target to begin with: that of the portfolio that is shown."""
        shown = self.allocation.answer
        if shown is not None:
            with self._settle():
                figure = shown.expected_return if self.objective == "target_return" else shown.volatility
                self.target = round(float(figure), 4)

    def _ask(self, *, only_backtest: bool = False) -> None:
        symbols, objective, period = list(self.symbols), self.objective, self.period
        self.symbol = symbols[0] if symbols else ""
        self.needs_target = bool(self._target)
        self.title = f"Portfolio of {len(symbols)} · quantkit"
        self.query = self._query().to_query()
        try:
            wish, limits = self.wish, self.constraints
        except UsageError as error:
            self.asset_error = sentence_of(str(error))
            return
        self.asset_error = ""
        if not only_backtest:
            on_frontier = {name: wish[name] for name in ("views", "current_weights") if name in wish}
            self.frontier.ask(
                lambda progress: self.desk.frontier(
                    symbols, period=period, points=POINTS, constraints=limits, risk_free=self.risk_free,
                    progress=progress, **on_frontier,
                )
            )  # fmt: skip
            self.allocation.ask(
                lambda progress: self.desk.optimize(symbols, objective, period=period, progress=progress, **wish)
            )
            self.background.ask("status", lambda progress: self._status(symbols[0]), self._known, lambda why: None)
        # What is held now is no limit of a walk that begins years ago.
        walked = {name: limit for name, limit in limits.items() if name not in ("turnover", "cost_bps")}
        options: dict[str, Any] = {
            "rebalance": self.rebalance, "cost_bps": self.cost_bps, "risk_free": self.risk_free, **self._target,
        }  # fmt: skip
        self.backtest.ask(
            lambda progress: self.desk.backtest(symbols, objective, constraints=walked, progress=progress, **options)
        )

    def _status(self, symbol: str) -> tuple[Any, str]:
        quote = self.desk.quote(symbol)
        return quote.status, pill_words(quote, self.desk.market.instrument(symbol))

    def _known(self, found: tuple[Any, str]) -> None:
        self.status, self.pill = found

    def _waited(self) -> None:
        self.busy = self.frontier.busy or self.allocation.busy

    def _refused(self, why: str) -> None:
        """Unknown symbols of the address are left out and said, so that there is never an empty screen."""
        if not why or self.frontier.answer is not None:
            return
        if self.symbols == self.default.symbols:
            self.failed, self.error = True, why
            return
        symbols = list(self.symbols)

        def question(progress: Progress) -> tuple[list[str], list[str]]:
            kept, said = [], []
            for symbol in symbols:
                try:
                    self.desk.history(symbol, period="5d")
                    kept.append(symbol)
                except QuantkitError as error:
                    said.append(in_words(error))
            return kept, said

        def known(answer: tuple[list[str], list[str]]) -> None:
            kept, said = answer
            if not said:  # what failed was not a symbol: it is said in its panel
                self.failed, self.error = True, why
                return
            with self._settle():
                self.symbols = tuple(kept) if len(kept) > 1 else self.default.symbols
            shown = " Showing " + ", ".join(self.symbols) + " instead."
            self._ask()
            self.error = " ".join(map(sentence_of, [*self._faults, *said])) + shown

        self.background.ask("assets", question, known, self._asset_refused)

    def _asset_refused(self, why: str) -> None:
        self.asset_error = sentence_of(why)

    def _query(self) -> PortfolioQuery:
        values = {name: getattr(self, name) for name in self._FIELDS}
        return PortfolioQuery(**(values | {"holdings": tuple(self.holdings.items())}))

    def _take(self, query: PortfolioQuery) -> None:
        for name in self._FIELDS:
            if name not in ("holdings", "symbols"):
                setattr(self, name, getattr(query, name))
        self.holdings = dict(query.holdings)
        self.symbols = tuple(check_symbols(query.symbols, at_least=1))
