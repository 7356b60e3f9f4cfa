"""Every question that programs can ask, from its arguments to the JSON body: one definition for REST and ``--json``.

>>> from quantkit import Desk
>>> with Desk.open() as desk:
...     ask(desk, "history", symbol="AAPL", period="5d").body["bars"][-1]["close"].__round__(2)
173.93
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pandas as pd

from quantkit.api.bodies import explanation_body, history_body, optimize_body, prediction_body, price_body, symbols_body
from quantkit.core.calendars import parse_time
from quantkit.core.errors import UsageError
from quantkit.core.progress import Progress, silent
from quantkit.core.registry import Registry

if TYPE_CHECKING:
    from quantkit.compute import Task
    from quantkit.desk import Desk
    from quantkit.forecast import Leaderboard, VolatilityLeaderboard
    from quantkit.portfolio import PortfolioBacktest

__all__ = ["ANSWERS", "Answer", "answer_of", "ask", "chosen", "plan", "weights_from"]

Weights: TypeAlias = Mapping[str, float]
Limits: TypeAlias = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent.

    Attributes
    ----------
    body : dict
        JSON-safe, without NaN.
    table : DataFrame or None
        The same answer's rows, for CSV and Arrow; None where it has none.
    following : Timestamp or None
        Last time of a page that others follow.
    """

    body: dict[str, Any]
    table: pd.DataFrame | None = None
    following: pd.Timestamp | None = None


#: Functions of a desk and keyword arguments, by the question's name.
ANSWERS: Final[Registry[Callable[..., Answer]]] = Registry("question")


def ask(desk: Desk, question: str, *, progress: Progress = silent, **arguments: Any) -> Answer:
    """The answer to a question by name.

    Raises
    ------
    UnknownChoiceError
        No such question.
    QuantkitError
        Whatever the desk raises.
    """
    return ANSWERS[question](desk, progress=progress, **arguments)


#: Limits on getting there, which a curve of portfolios to be at does not know.
_OF_TRADING: Final = ("turnover", "cost_bps", "holding_periods")


def chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` without those left at their defaults: the same question then has the same fingerprint on every face."""
    return {name: value for name, value in options.items() if value is not None and (name, value) != ("risk_free", 0.0)}


@ANSWERS.add("price")
def _price(desk: Desk, *, symbol: str, progress: Progress = silent) -> Answer:
    quote = desk.quote(symbol)
    return Answer(price_body(quote), quote.to_frame())


@ANSWERS.add("symbols")
def _symbols(desk: Desk, *, progress: Progress = silent) -> Answer:
    known = desk.symbols()
    return Answer(symbols_body(known), known.set_index("symbol"))


@ANSWERS.add("history")
def _history(
    desk: Desk, *, limit: int | None = None, after: str | None = None, progress: Progress = silent, **arguments: Any
) -> Answer:
    bars = desk.history(**arguments)
    if after is not None:
        bars = bars.loc[bars.index > parse_time(after, name="after")]
    page = bars if limit is None else bars.iloc[:limit]
    page.attrs = bars.attrs
    following = page.index[-1] if len(page) < len(bars) else None
    return Answer(history_body(page, following=following), page, following)


@ANSWERS.add("prediction")
def _prediction(
    desk: Desk,
    *,
    symbol: str,
    interval: Any = "1d",
    as_of: Any = None,
    explain: bool = False,
    progress: Progress = silent,
    **arguments: Any,
) -> Answer:
    at: dict[str, Any] = {"interval": interval, "as_of": as_of, "progress": progress}
    forecast = desk.predict(symbol, **at, **arguments)
    body = prediction_body(forecast, desk.risk(symbol, **at))
    if explain:
        about = {name: value for name, value in arguments.items() if name != "level"}
        body["explanation"] = explanation_body(desk.explain(symbol, **{"horizon": forecast.horizon, **about}, **at))
    return Answer(body, forecast.to_frame())


@ANSWERS.add("leaderboard")
def _leaderboard(desk: Desk, *, progress: Progress = silent, **arguments: Any) -> Answer:
    return answer_of("leaderboard", desk.leaderboard(progress=progress, **arguments))


@ANSWERS.add("volatility")
def _volatility(desk: Desk, *, progress: Progress = silent, **arguments: Any) -> Answer:
    return answer_of("volatility", desk.volatility(progress=progress, **arguments))


@ANSWERS.add("explain")
def _explain(desk: Desk, *, progress: Progress = silent, **arguments: Any) -> Answer:
    explanation = desk.explain(progress=progress, **arguments)
    return Answer(explanation_body(explanation), explanation.to_frame())


@ANSWERS.add("track_record")
def _track_record(desk: Desk, *, progress: Progress = silent, **arguments: Any) -> Answer:
    return Answer(desk.track_record(**arguments).to_dict())


@ANSWERS.add("risk")
def _risk(desk: Desk, *, progress: Progress = silent, **arguments: Any) -> Answer:
    report = desk.risk(progress=progress, **arguments)
    return Answer(report.to_dict(), report.to_frame())


@ANSWERS.add("correlation")
def _correlation(desk: Desk, *, progress: Progress = silent, **arguments: Any) -> Answer:
    found = desk.correlation(**arguments)
    return Answer(found.to_dict(), found.to_frame())


@ANSWERS.add("frontier")
def _frontier(desk: Desk, *, progress: Progress = silent, **arguments: Any) -> Answer:
    frontier = desk.frontier(**arguments)
    return Answer(frontier.to_dict(), frontier.to_frame())


@ANSWERS.add("optimize")
def _optimize(
    desk: Desk,
    *,
    symbols: Sequence[str],
    objective: str = "max_sharpe",
    constraints: Limits = None,
    capital: float | None = None,
    period: str = "5y",
    as_of: Any = None,
    progress: Progress = silent,
    **options: Any,
) -> Answer:
    about = {"period": period, "as_of": as_of}
    options = chosen(options)
    allocation = desk.optimize(symbols, objective, constraints, capital, progress=progress, **about, **options)
    # The curve and the past stand on the same estimators as the weights, but for views, which have no past.
    shared: dict[str, Any] = {name: options[name] for name in ("covariance", "risk_free") if name in options}
    if "expected_returns" in options and "views" not in options:
        shared["expected_returns"] = options["expected_returns"]
    limits = None if constraints is None else {k: v for k, v in constraints.items() if k not in _OF_TRADING}
    curve = desk.frontier(symbols, constraints=limits, **about, **shared)
    aims = {name: options[name] for name in ("target_return", "target_volatility", "risk_aversion") if name in options}
    past = desk.backtest(symbols, objective, as_of=as_of, progress=progress,
                         **chosen({"constraints": constraints}), **shared, **aims)  # fmt: skip
    return Answer(optimize_body(allocation, curve, past), allocation.to_frame())


@ANSWERS.add("backtest")
def _backtest(desk: Desk, *, progress: Progress = silent, **arguments: Any) -> Answer:
    return answer_of("backtest", desk.backtest(progress=progress, **chosen(arguments)))


@ANSWERS.add("stress")
def _stress(desk: Desk, *, progress: Progress = silent, **arguments: Any) -> Answer:
    stressed = desk.stress(**arguments)
    return Answer(stressed.to_dict(), stressed.to_frame())


def plan(desk: Desk, question: str, arguments: Mapping[str, Any]) -> Task:
    """The task behind one of the questions that are worked on as jobs, whose answer is :func:`answer_of` its result."""
    return desk.plan(getattr(desk, question), **chosen(arguments))


def answer_of(question: str, result: Leaderboard | PortfolioBacktest | VolatilityLeaderboard) -> Answer:
    """The answer that a leaderboard, of forecasts or of volatilities, or a backtest is."""
    body = result.to_dict()
    if question == "backtest":
        body["in_words"] = result.in_words()
    return Answer(body, result.to_frame())


def weights_from(given: Iterable[str]) -> dict[str, float]:
    """Weights by symbol from texts such as ``AAPL=0.5``.

    Raises
    ------
    UsageError
        One is not of that form.
    """
    weights = {}
    for each in given:
        symbol, separator, weight = each.strip().rpartition("=")
        try:
            value = float(weight) if separator else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(f"{each!r} is not a weight; expected SYMBOL=WEIGHT, such as AAPL=0.5 MSFT=0.5")
        weights[symbol] = value
    return weights
