"""What the Predictions screen shows, without a widget in it: one view, six questions, and when each is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import pandas as pd
import traitlets as t

from quantkit.core.calendars import exchange_timezone
from quantkit.core.errors import QuantkitError, UsageError
from quantkit.core.progress import Progress
from quantkit.core.schema import INTERVALS, Interval, check_interval, check_symbol
from quantkit.forecast import FORECASTERS
from quantkit.ui.background import Background, in_words
from quantkit.ui.live import grown
from quantkit.ui.notebooks import as_code
from quantkit.ui.query import choice_of, number_between, read_view, whole_between
from quantkit.ui.question import SLOW_SHARE, Question
from quantkit.ui.screen_state import ScreenState, pill_words, sentence_of

if TYPE_CHECKING:
    from quantkit.data.base import Instrument
    from quantkit.data.quote import Quote
    from quantkit.desk import Desk

__all__ = ["LEVELS", "MOST_STEPS", "PredictionQuery", "PredictionState", "Prices", "model_names", "read_models"]

#: Steps that the screen offers.
MOST_STEPS: Final = 5
LEVELS: Final = (0.5, 0.8, 0.9, 0.95, 0.99)


def model_names(interval: str) -> tuple[str, ...]:
    """Models that can forecast such bars, ``auto`` first."""
    able = [name for name, kind in FORECASTERS.items() if interval in kind.intervals]
    return ("auto", *(name for name in able if name != "auto"))


def read_models(text: str) -> tuple[str, ...]:
    """Names of models between commas, each once; ``UsageError`` with the choices for an unknown one."""
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    for name in names:
        choice_of("model", tuple(FORECASTERS))(name)
    return names


@dataclass(frozen=True, slots=True)
class PredictionQuery:
    """One view of the Predictions screen.

    Attributes
    ----------
    symbol : str
    model : str
        A name in ``FORECASTERS``.
    horizon : int
        Steps ahead, 1 to 5.
    interval : {"1d", "1m"}
    level : float
        Of the interval in figures; the fan has its own.
    step : int
        Step of the walk-forward chart; never more than `horizon`.
    models : tuple of str
        That are compared; none stands for all that need no training of their own.
    """

    symbol: str = "AAPL"
    model: str = "auto"
    horizon: int = 5
    interval: Interval = "1d"
    level: float = 0.95
    step: int = 1
    models: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, default: PredictionQuery | None = None) -> tuple[PredictionQuery, list[str]]:
        """Read a query string: the view, and a sentence for everything in it that cannot be used.

        Examples
        --------
        >>> PredictionQuery.parse("symbol=msft&model=arima&horizon=3")[0].to_query()
        'symbol=MSFT&model=arima&horizon=3&interval=1d'
        >>> PredictionQuery.parse("horizon=9")[1]
        ["horizon '9' is not a number from 1 to 5"]
        """
        return read_view(text, default or cls(), {
            "symbol": check_symbol, "model": choice_of("model", tuple(FORECASTERS)),
            "horizon": whole_between("horizon", 1, MOST_STEPS), "interval": check_interval,
            "level": number_between("level", 0.01, 0.999), "step": whole_between("step", 1, MOST_STEPS),
            "models": read_models,
        })  # fmt: skip

    def to_query(self) -> str:
        """The view as a query string that :meth:`parse` gives back; of the finer points only what is unusual."""
        values: dict[str, Any] = {
            "symbol": self.symbol, "model": self.model, "horizon": self.horizon, "interval": self.interval,
        }  # fmt: skip
        usual = PredictionQuery()
        if self.level != usual.level:
            values["level"] = f"{self.level:.10g}"
        if self.step != usual.step:
            values["step"] = self.step
        if self.models:
            values["models"] = ",".join(self.models)
        return urlencode(values, safe=",^=")


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """What is known of a symbol: who it is, its bars, its latest price."""

    instrument: Instrument
    interval: Interval
    bars: pd.DataFrame
    quote: Quote


class PredictionState(ScreenState):
    """The Predictions screen's state.

    Change any trait of the view and what depends on it is asked again. The prices come first; the forecast next; what
    stands on the same walk through the past follows it, so that nothing is walked twice.

    Attributes
    ----------
    symbol, model, horizon, interval, level, step, models
        As in :class:`PredictionQuery`.
    explained : str
        Model whose next step is taken apart; empty for the one whose forecast is shown.
    explainable : tuple of (str, str)
        What `explained` can be, and its name.
    choices : tuple of str
        Models for the interval that is shown.
    heavy : tuple of str
        Those among them that are trained only when somebody asks.
    waiting : str
        The heavy model that has been chosen and not been asked for: :meth:`train` asks.
    levels : tuple of (str, float)
        Levels to choose from, and their names.
    zone : str
        Clock that minutes are shown on.
    instrument : Instrument or None
    bars : DataFrame or None
    quote : Quote or None
    prices, forecast, hindcast, explanation, leaderboard, volatility, record : Question
        Each with its answer, error and progress.
    """

    symbol = t.Unicode("AAPL")
    model = t.Unicode("auto")
    horizon = t.Int(5)
    interval = t.Enum(INTERVALS, default_value="1d")
    level = t.Float(0.95)
    step = t.Int(1)
    models = t.Tuple(())

    explained = t.Unicode("")
    explainable = t.Tuple((("this forecast", ""),))
    choices = t.Tuple(model_names("1d"))
    levels = t.Tuple(tuple((f"{each:.0%}", each) for each in LEVELS))
    heavy = t.Tuple(())
    waiting = t.Unicode("")
    zone = t.Unicode("UTC")
    instrument = t.Any(None, allow_none=True)
    bars = t.Instance(pd.DataFrame, allow_none=True)
    quote = t.Any(None, allow_none=True)

    _VIEW: Final = ("symbol", "model", "horizon", "interval", "level", "step", "models")

    def __init__(
        self, desk: Desk, *, background: Background | None = None, default: PredictionQuery | None = None
    ) -> None:
        super().__init__(desk, background)
        watch = desk.settings.watchlist
        self.default = default or PredictionQuery(symbol=watch[0] if watch else "AAPL")
        self.prices = Question(self.background, "prices")
        self.forecast = Question(self.background, "forecast")
        self.hindcast, self.leaderboard, self.explanation, self.volatility, self.record = (
            Question(self.background, name, share=SLOW_SHARE)
            for name in ("walk-forward", "leaderboard", "explanation", "volatility", "track record")
        )
        self._newer = Question(self.background, "newer bars")
        self._trained: set[str] = set()
        self._faults: list[str] = []
        with self._settle():
            self._take(self.default)
        self.observe(self._changed, list(self._VIEW))
        self.observe(lambda change: self._ask_explanation(), "explained")
        self._newer.observe(lambda change: self._grown(change.new), "answer")
        self.prices.observe(lambda change: self._priced(change.new), "answer")
        self.prices.observe(lambda change: self._unpriced(change.new), "error")
        self.forecast.observe(lambda change: self._forecast_made(), "answer")
        self.prices.observe(lambda change: self.set_trait("busy", change.new), "busy")

    @t.validate("symbol")
    def _check_symbol(self, proposal: Any) -> str:
        return check_symbol(proposal.value)

    @property
    def questions(self) -> tuple[Question, ...]:
        """Everything that is asked."""
        return (self.prices, self.forecast, self.hindcast, self.explanation, self.leaderboard, self.volatility,
                self.record)  # fmt: skip

    @property
    def compared(self) -> tuple[str, ...] | None:
        """Models of the leaderboard; None for all that need no training of their own."""
        light = tuple(name for name in self.choices if name not in self.heavy)
        named = tuple(name for name in self.models if name in light)
        trained = tuple(name for name in self.heavy if name in self._trained)
        if not trained:
            return named or None
        return (*(named or light), *trained)

    @property
    def code(self) -> str:
        """The same questions as code, to be pasted into a notebook."""
        symbol, at = as_code(self.symbol), f"horizon={self.horizon}, interval={as_code(self.interval)}"
        asked = f"model={as_code(self.model)}, {at}, level={self.level!r}"
        names = "" if self.compared is None else f"models={as_code(list(self.compared))}, "
        return "\n".join([
            "from quantkit import Desk", "", "desk = Desk.open()",
            f"forecast = desk.predict({symbol}, {asked})",
            f"past = desk.hindcast({symbol}, {asked}, step={min(self.step, self.horizon)})",
            f"board = desk.leaderboard({symbol}, {names}{at}, level={self.level!r})",
            "forecast",
        ])  # fmt: skip

    def open(self, query: str = "") -> None:
        """Show the view that a query string names; what in it cannot be used is said."""
        asked, self._faults = PredictionQuery.parse(query, self.default)
        with self._settle():
            self._take(asked)
            self._reconcile()
        self._ask_prices()

    def choose(self, symbol: str) -> None:
        """Show another symbol; a malformed one is said in ``error`` and changes nothing."""
        try:
            self.symbol = check_symbol(symbol)
        except QuantkitError as error:
            self.error = in_words(error)

    def train(self, model: str = "") -> None:
        """Ask for a heavy model: the one that waits, or a named one to be put on the leaderboard."""
        wanted = model or self.waiting
        if wanted not in self.heavy:
            return
        self._trained |= {wanted}
        if wanted == self.waiting:
            self._ask_forecast()
        else:
            self._ask_leaderboard()

    def retry(self) -> None:
        """Ask again what has failed."""
        if self.error and self.bars is not None:
            self._faults = []
            self._ask_prices()
            return
        self._faults, self.error = [], ""
        for each in self.questions:
            if each.error:
                each.again()

    def obey(self, command: dict[str, Any]) -> None:
        """Do what the page asks for; see ``quantkit.ui.page.read_command``."""
        if "symbol" in command:
            self.choose(command["symbol"])
        if command.get("retry"):
            self.retry()

    def _changed(self, change: Any) -> None:
        if self._settling:
            return
        self._faults, self.error = [], ""
        with self._settle():
            self._reconcile()
        if change.name in ("symbol", "interval"):
            self._ask_prices()
            return
        self._say_query()
        if change.name == "step":
            self._ask_hindcast()
        elif change.name == "models":
            self._ask_leaderboard()
        else:
            self._ask_forecast()

    def _reconcile(self) -> None:
        """A model that cannot forecast such bars gives way, which is said; a step lies within the horizon."""
        self.choices = model_names(self.interval)
        self.heavy = tuple(name for name in self.choices if FORECASTERS[name].heavy)
        light = [name for name in self.choices if name not in (*self.heavy, "auto", "naive")]
        self.explainable = (("this forecast", ""), *((name, name) for name in light))
        if self.explained not in [name for _, name in self.explainable]:
            self.explained = ""
        if self.model not in self.choices:
            able = " and ".join(FORECASTERS[self.model].intervals)
            self._faults.append(f"{self.model} forecasts {able} bars only; auto is shown instead")
            self.model = "auto"
        if self.level not in [value for _, value in self.levels]:
            self.levels = (*self.levels, (f"{self.level * 100:.4g}%", self.level))
        self.step = min(self.step, self.horizon)

    def _ask_prices(self) -> None:
        symbol, interval = self.symbol, self.interval
        for question in (*self.questions[1:], self._newer):
            question.clear()
        self.waiting = ""
        self.prices.ask(lambda progress: self._fetch(symbol, interval))

    def _fetch(self, symbol: str, interval: Interval) -> Prices:
        instrument = self.desk.market.instrument(symbol)
        if interval not in instrument.intervals:
            held = " and ".join(instrument.intervals)
            raise UsageError(f"{instrument.symbol} has {held} bars, not {interval}")
        return Prices(instrument, interval, self.desk.history(symbol, period="max", interval=interval),
                      self.desk.quote(symbol))  # fmt: skip

    def _priced(self, prices: Prices | None) -> None:
        if prices is None:
            return
        self.error = " ".join(map(sentence_of, self._faults))
        self.failed = False
        self.zone = exchange_timezone(prices.instrument.calendar)
        self.instrument, self.bars = prices.instrument, prices.bars
        self._head(prices.quote)
        self.title = f"{prices.quote.symbol} forecast · quantkit"
        self._say_query()
        self._ask_forecast()
        self._follow([prices.quote.symbol])

    def _unpriced(self, why: str) -> None:
        """A symbol that nobody knows is said, and what was shown stays; with nothing shown, the default is."""
        if not why:
            return
        shown = None if self.bars is None else self.bars.attrs
        bare = (self.symbol, self.interval) == (self.default.symbol, self.default.interval)
        if shown is None and not bare:
            self._faults = [*self._faults, why, f"Showing {self.default.symbol} instead."]
            with self._settle():
                self._take(self.default)
                self._reconcile()
            self._ask_prices()
            return
        said = " ".join(map(sentence_of, [*self._faults, why]))
        self.failed = shown is None
        self.error = said if shown is None else f"{said} Still showing {shown['symbol']}."
        if shown is not None:
            self.prices.error = ""  # the banner says it; what is shown below it is right
            with self._settle():
                self.symbol, self.interval = shown["symbol"], shown["interval"]
                self._reconcile()
            self._say_query()
            self._ask_forecast()

    def _head(self, quote: Quote) -> None:
        self.quote = quote
        self.status, self.pill = quote.status, pill_words(quote, self.instrument)

    def _heard(self, quotes: dict[str, Quote]) -> None:
        """The market has moved: the price at once; the forecast, and what stands beside it, when a bar is complete."""
        bars = self.bars
        if bars is None or self.prices.busy or bars.attrs["symbol"] not in quotes:
            return
        symbol, interval, since = bars.attrs["symbol"], bars.attrs["interval"], bars.index[-2:][0]
        self._head(quotes[symbol])
        self._newer.refresh(lambda progress: self.desk.history(symbol, start=since, interval=interval))

    def _grown(self, newer: pd.DataFrame | None) -> None:
        if newer is None or self.bars is None:
            return
        longer = grown(self.bars, newer)
        if longer is None:
            self._ask_prices()
        elif not longer.equals(self.bars):
            self.bars = longer
            if not self.waiting:
                asked = self._asked()
                self.forecast.refresh(lambda progress: self.desk.predict(**asked, progress=progress))

    def _ask_forecast(self) -> None:
        if self.bars is None:
            return
        for question in (self.forecast, self.hindcast, self.explanation, self.leaderboard):
            question.clear()
        if self.volatility.answer is None or self.volatility.answer.horizon != self.horizon:
            self.volatility.clear()
        self.waiting = self.model if self.model in self.heavy and self.model not in self._trained else ""
        if self.waiting:
            self._ask_beside()
            return
        asked = self._asked()
        self.forecast.ask(lambda progress: self.desk.predict(**asked, progress=progress))

    def _forecast_made(self) -> None:
        """What stands on the same walk follows; where it is shown already, the market has moved on under it."""
        if self.forecast.answer is not None:
            self._ask_hindcast(moved=True)
            self._ask_explanation(moved=True)
            self._ask_beside(moved=True)

    def _ask_explanation(self, *, moved: bool = False) -> None:
        """The next step taken apart: of the model that speaks, or of the challenger where naive says nothing."""
        made = self.forecast.answer
        if made is None or self._settling:
            return
        speaks = made.chosen if made.chosen not in ("", "naive") else made.challenger or made.model
        model = self.explained or speaks
        symbol, interval = self.symbol, self.interval
        (self.explanation.refresh if moved else self.explanation.ask)(
            lambda progress: self.desk.explain(symbol, model=model, horizon=1, interval=interval, progress=progress)
        )

    def _ask_beside(self, *, moved: bool = False) -> None:
        """What stands beside any model's forecast."""
        symbol, horizon, interval = self.symbol, self.horizon, self.interval
        self.record.refresh(lambda progress: self.desk.track_record(symbol, interval=interval))
        self._ask_leaderboard(moved=moved)
        if moved or self.volatility.answer is None:
            self.volatility.refresh(
                lambda progress: self.desk.volatility(symbol, horizon=horizon, interval=interval, progress=progress)
            )

    def _ask_hindcast(self, *, moved: bool = False) -> None:
        if self.forecast.answer is None:
            return
        asked, step = self._asked(), min(self.step, self.horizon)
        (self.hindcast.refresh if moved else self.hindcast.ask)(
            lambda progress: self.desk.hindcast(**asked, step=step, progress=progress)
        )

    def _ask_leaderboard(self, *, moved: bool = False) -> None:
        if self.bars is None:
            return
        asked = {name: value for name, value in self._asked().items() if name != "model"}
        models = self.compared

        def question(progress: Progress) -> Any:
            return self.desk.leaderboard(models=models, **asked, progress=progress)

        (self.leaderboard.refresh if moved else self.leaderboard.ask)(question)

    def _asked(self) -> dict[str, Any]:
        return {"symbol": self.symbol, "model": self.model, "horizon": self.horizon, "interval": self.interval,
                "level": self.level}  # fmt: skip

    def _take(self, query: PredictionQuery) -> None:
        for name in self._VIEW:
            setattr(self, name, getattr(query, name))

    def _say_query(self) -> None:
        self.query = PredictionQuery(**{name: getattr(self, name) for name in self._VIEW}).to_query()
