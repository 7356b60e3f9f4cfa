"""What the reports' notebooks ask of a desk, once, and show part by part.

A report is a composition: every figure is read from one of the desk's answers as of the report's day. The parts are
properties that a notebook's cells display; a part whose answer failed says why in its place, and the others stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pandas as pd

import quantkit
from quantkit.core.calendars import parse_time
from quantkit.core.errors import Cancelled, QuantkitError, UsageError
from quantkit.core.fingerprint import fingerprint
from quantkit.core.schema import check_symbol
from quantkit.reporting import parts
from quantkit.reporting.alerts import Alert, market_alerts, stale_alert
from quantkit.reporting.figures import Charts
from quantkit.reporting.markup import Figures, Html, flatten, notes, section, session
from quantkit.reporting.record import Record
from quantkit.ui.theme import THEMES, ThemeName

if TYPE_CHECKING:
    from quantkit.desk import Desk

__all__ = ["Kept", "PortfolioReport", "SymbolReport", "portfolio_report", "symbol_report"]

#: Sessions of the past in the price chart, and in the chart of VaR breaches.
CHARTED: Final = 190
TESTED: Final = 380
#: Closes that a record keeps for the index.
SPARK: Final = 60

T = TypeVar("T")

MIME: Final = "application/vnd.quantkit.report+json"


class Kept:
    """The record of a report, displayed as data: the page's own figures for whoever renders it."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {MIME: self.record.to_dict(), "text/plain": f"<record of {self.record.name}, {self.record.date}>"}


@dataclass
class _Asked:
    """Answers by name, and why one is missing."""

    answers: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Figures] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def ask(self, name: str, question: Callable[[], T]) -> T | None:
        """The answer of `question`; None where it has none, and `missing` then says why."""
        try:
            answer = question()
        except Cancelled:
            raise
        except QuantkitError as error:
            self.missing[name] = str(error)
            return None
        self.answers[name] = answer
        if hasattr(answer, "to_dict"):
            self.figures[name] = Figures(name, answer)  # type: ignore[arg-type]
        return answer

    @property
    def fingerprints(self) -> dict[str, str]:
        return {name: answer.fingerprint for name, answer in self.answers.items() if hasattr(answer, "fingerprint")}


class _Report:
    """What the reports of a symbol and of a portfolio have in common."""

    kind: str
    name: str
    title: str
    day: str
    as_of: pd.Timestamp
    previous: Record | None

    def __init__(self, asked: _Asked, question: Mapping[str, Any], theme: ThemeName) -> None:
        self.asked = asked
        self.question = dict(question)
        self.charts = Charts(theme)
        self.alerts: tuple[Alert, ...] = ()

    def part(self, title: str, name: str, needs: str, build: Callable[[], tuple[Html, str]]) -> Html:
        """A section, or why there is none: `needs` names the answer that it stands on."""
        if needs in self.asked.missing:
            return section(title, notes([self.asked.missing[needs]]), name=name, lead="Not in this report.")
        body, lead = build()
        return section(title, body, name=name, lead=lead)

    @cached_property
    def fingerprint(self) -> str:
        """Of the question and of every answer in the report: the same one, the same page."""
        before = None if self.previous is None else self.previous.fingerprint
        return fingerprint(
            {"kind": f"report {self.kind}", **self.question, "answers": self.asked.fingerprints,
             "missing": self.asked.missing, "previous": before}
        )  # fmt: skip

    @property
    def changed(self) -> Html:
        """What changed since the report before: the first thing to read."""
        return parts.changed(self.record, self.previous)

    @property
    def alarms(self) -> Html:
        """The alerts, or that there are none."""
        return parts.alerts(self.alerts)

    @property
    def foot(self) -> Html:
        """Where everything comes from."""
        return parts.provenance(self.day, self.as_of, self.fingerprint, self.asked.fingerprints, quantkit.__version__)

    @cached_property
    def record(self) -> Record:
        raise NotImplementedError

    @property
    def kept(self) -> Kept:
        """The record, for whoever renders the notebook. Shown last, when all figures have been."""
        shown = {name: value for name, value in flatten(self.asked.figures.values()).items() if math.isfinite(value)}
        record = self.record.to_dict() | {"figures": shown | self.record.figures}
        return Kept(Record.from_dict(record))

    def _figures(self, paths: tuple[str, ...]) -> dict[str, float]:
        found = {}
        for path in paths:
            answer, _, rest = path.partition(".")
            figures = self.asked.figures.get(answer)
            if figures is not None:
                try:
                    value = float(figures.value(rest))
                except (KeyError, IndexError):
                    continue
                if math.isfinite(value):
                    found[path] = value
        return found


class SymbolReport(_Report):
    """The daily report of one symbol; see :func:`symbol_report`."""

    kind = "symbol"

    def __init__(
        self,
        desk: Desk,
        symbol: str,
        day: str,
        horizon: int,
        level: float,
        theme: ThemeName,
        model: str,
        models: list[str] | None,
        previous: Record | None,
    ) -> None:
        self.name = check_symbol(symbol)
        self.day = day
        self.previous = previous
        self.bars = desk.history(self.name, period="max", as_of=day)
        self.as_of = self.bars.index[-1]
        self.about = dict(self.bars.attrs)
        self.title = str(self.about["name"])
        asked = _Asked()
        super().__init__(
            asked,
            {"symbol": self.name, "date": day, "horizon": horizon, "level": level, "model": model, "models": models},
            theme,
        )
        at: dict[str, Any] = {"as_of": day}
        asked.ask("forecast", lambda: desk.predict(self.name, model, horizon=horizon, level=level, **at))
        asked.ask("leaderboard", lambda: desk.leaderboard(self.name, models, horizon=horizon, level=level, **at))
        asked.ask("risk", lambda: desk.risk(self.name, level=level, **at))
        asked.ask("history", lambda: desk.risk_history(self.name, **at))
        asked.ask("explanation", lambda: desk.explain(self.name, model, horizon, **at))
        self.quarantined = parts.until(desk.store.quarantine(self.name), self.as_of)
        self.repairs = desk.store.repairs(self.name)
        self.alerts = self._alerts(desk)

    @property
    def heading(self) -> Html:
        """Name, price, change on the session before, and what kind of data this is."""
        return parts.symbol_heading(self.name, self.about, self.bars, self.day)

    @property
    def market(self) -> Html:
        """Price and volume with the forecast's fan."""
        return self.part(
            "Price and forecast", "price", "forecast",
            lambda: parts.market(self.charts, self.bars.iloc[-CHARTED:], self.asked.figures["forecast"]),
        )  # fmt: skip

    @property
    def proof(self) -> Html:
        """The forecast step by step, and the models it was chosen from."""
        forecast = self.part("Forecast", "forecast", "forecast", lambda: parts.forecast(self.asked.figures["forecast"]))
        board = self.part(
            "Leaderboard", "leaderboard", "leaderboard",
            lambda: parts.leaderboard(self.asked.figures["leaderboard"]),
        )  # fmt: skip
        explained = self.part(
            "What the forecast is made of", "explanation", "explanation",
            lambda: parts.explanation(self.charts, self.asked.figures["explanation"]),
        )  # fmt: skip
        return Html(forecast + board + explained)

    @property
    def risk(self) -> Html:
        """Risk tiles, VaR with its breaches, drawdowns, the months."""
        return _risk_parts(self)

    @property
    def quality(self) -> Html:
        """What is known to be wrong with the data."""
        return parts.quality(self.about, self.bars, self.quarantined, self.repairs)

    @cached_property
    def record(self) -> Record:
        """The figures that the next report compares with."""
        forecast, board = self.asked.answers.get("forecast"), self.asked.answers.get("leaderboard")
        texts, ranks = {}, {}
        figures = self._figures(parts.REMEMBERED)
        if forecast is not None:
            rising = forecast.trend_probability if forecast.trend == "UP" else 1.0 - forecast.trend_probability
            figures |= {"forecast.steps.-1.median": forecast.steps[-1].median, "probability_up": rising}
            texts = {"forecast.trend": forecast.trend, "forecast.edge": "no" if forecast.no_edge else "yes",
                     "forecast.model": forecast.chosen or forecast.model}  # fmt: skip
        if board is not None:
            ranks = {row.model: float(at) for at, row in enumerate(board.rows, 1) if not row.failure}
        texts |= {"currency": str(self.about["currency"])}
        return Record(
            kind=self.kind, name=self.name, title=self.title, date=self.day, as_of=self.as_of, figures=figures,
            ranks=ranks, texts=texts, fingerprints=self.asked.fingerprints, alerts=self.alerts,
            closes=tuple(self.bars["close"].iloc[-SPARK:].tolist()), fingerprint=self.fingerprint,
        )  # fmt: skip

    def _alerts(self, desk: Desk) -> tuple[Alert, ...]:
        rules, answers = desk.settings.alerts, self.asked.answers
        stale = stale_alert(rules, self.name, self.as_of, parse_time(self.day), str(self.about["calendar"]))
        found = [] if stale is None else [stale]
        if "risk" in answers and "history" in answers:
            found += market_alerts(rules, answers["risk"], answers["history"], answers.get("forecast"), self.previous)
        return tuple(found)


class PortfolioReport(_Report):
    """The daily report of a portfolio; see :func:`portfolio_report`."""

    kind = "portfolio"

    def __init__(
        self,
        desk: Desk,
        weights: Mapping[str, float],
        name: str,
        day: str,
        level: float,
        objective: str,
        theme: ThemeName,
        previous: Record | None,
    ) -> None:
        if len(weights) < 2:
            raise UsageError(f"portfolio {name!r} holds {len(weights)} symbol; a portfolio's report needs two or more")
        self.weights = {check_symbol(each): float(weight) for each, weight in weights.items()}
        self.name = self.title = name
        self.day = day
        self.previous = previous
        symbols = list(self.weights)
        self.prices = desk.prices(symbols, period="5y", as_of=day)
        self.as_of = self.prices.index[-1]
        asked = _Asked()
        super().__init__(
            asked, {"weights": self.weights, "name": name, "date": day, "level": level, "objective": objective}, theme
        )
        at: dict[str, Any] = {"as_of": day}
        asked.ask("risk", lambda: desk.risk(self.weights, level=level, **at))
        asked.ask("history", lambda: desk.risk_history(self.weights, **at))
        asked.ask("contributions", lambda: desk.contributions(self.weights, level=level, **at))
        asked.ask("correlation", lambda: desk.correlation(symbols, **at))
        asked.ask("allocation", lambda: desk.optimize(symbols, objective, current_weights=self.weights, **at))
        asked.ask("backtest", lambda: desk.backtest(symbols, objective, **at))
        asked.ask("stress", lambda: desk.stress(self.weights, **at))
        self.about = dict(self.prices.attrs)
        self.sources = {each: dict(desk.history(each, period="5d", as_of=day).attrs) for each in symbols}
        self.quarantined = {each: parts.until(desk.store.quarantine(each), self.as_of) for each in symbols}
        self.alerts = self._alerts(desk)

    @property
    def heading(self) -> Html:
        """Name, the last session's return, and what kind of data this is."""
        return parts.portfolio_heading(self.name, self.asked.figures.get("history"), self.sources, self.day, self.as_of)

    @property
    def holdings(self) -> Html:
        """Weights, what each symbol adds to the risk, and the weights that the objective would choose."""
        return self.part(
            "Weights", "weights", "contributions",
            lambda: parts.weights(
                self.weights, self.asked.figures["contributions"], self.asked.figures.get("allocation"),
                self.question["objective"], self.asked.missing.get("allocation"),
            ),
        )  # fmt: skip

    @property
    def together(self) -> Html:
        """How the symbols move together."""
        return self.part(
            "Correlation", "correlation", "correlation",
            lambda: parts.correlation(self.charts.tokens, self.asked.figures["correlation"]),
        )  # fmt: skip

    @property
    def out_of_sample(self) -> Html:
        """What the objective would have earned, after costs, from decisions that saw only their past."""
        return self.part(
            "Out of sample", "backtest", "backtest",
            lambda: parts.backtest(self.charts, self.asked.figures["backtest"]),
        )  # fmt: skip

    @property
    def risk(self) -> Html:
        """Risk tiles, VaR with its breaches, drawdowns, the months, crises of the past."""
        crises = self.part("Crises replayed", "stress", "stress", lambda: parts.stress(self.asked.figures["stress"]))
        return Html(_risk_parts(self) + crises)

    @property
    def quality(self) -> Html:
        """What is known to be wrong with the data."""
        dropped = self.prices.attrs.get("dropped", {})
        return parts.portfolio_quality(self.sources, self.quarantined, dropped, self.prices)

    @cached_property
    def record(self) -> Record:
        """The figures that the next report compares with."""
        growth = (1.0 + self.asked.answers["history"].returns).cumprod() if "history" in self.asked.answers else None
        closes = () if growth is None else tuple(growth.iloc[-SPARK:].tolist())
        return Record(
            kind=self.kind, name=self.name, title=self.title, date=self.day, as_of=self.as_of,
            figures=self._figures(parts.REMEMBERED), ranks={}, texts={"currency": str(self.about.get("currency", ""))},
            fingerprints=self.asked.fingerprints, alerts=self.alerts, closes=closes, fingerprint=self.fingerprint,
        )  # fmt: skip

    def _alerts(self, desk: Desk) -> tuple[Alert, ...]:
        rules, answers = desk.settings.alerts, self.asked.answers
        calendar = str(next(iter(self.sources.values()))["calendar"])
        stale = stale_alert(rules, self.name, self.as_of, parse_time(self.day), calendar)
        found = [] if stale is None else [stale]
        if "risk" in answers and "history" in answers:
            found += market_alerts(rules, answers["risk"], answers["history"])
        # The desk calls every portfolio 'portfolio'; an alert is about this one.
        return tuple(Alert.from_dict(each.to_dict() | {"symbol": self.name}) for each in found)


def _risk_parts(report: SymbolReport | PortfolioReport) -> Html:
    figures, charts = report.asked.figures, report.charts
    return Html(
        report.part("Risk", "risk", "risk", lambda: parts.risk(figures["risk"]))
        + report.part(
            "Value at risk, tested", "var", "risk",
            lambda: parts.value_at_risk(charts, figures["risk"], TESTED),
        )
        + report.part(
            "Drawdowns", "drawdowns", "history",
            lambda: parts.drawdowns(charts, figures["history"], figures.get("risk")),
        )
        + report.part("Monthly returns", "months", "history", lambda: parts.months(charts.tokens, figures["history"]))
        + report.part(
            "Through time", "rolling", "history",
            lambda: parts.rolling(charts, figures["history"], figures.get("risk")),
        )
    )  # fmt: skip


def symbol_report(
    desk: Desk,
    symbol: str,
    *,
    date: str | None = None,
    horizon: int = 5,
    level: float = 0.95,
    theme: str = "light",
    model: str = "auto",
    models: list[str] | None = None,
    previous: Mapping[str, Any] | Record | None = None,
) -> SymbolReport:
    """The daily report of `symbol`, as it could have been written on the evening of `date`.

    Parameters
    ----------
    desk : Desk
    symbol : str
    date : str, optional
        ISO 8601; by default the day of the last stored bar.
    horizon : int
        Sessions ahead.
    level : float
        Of intervals, VaR and ES.
    theme : {"light", "dark"}
    model : str
        Of the forecast.
    models : list of str, optional
        On the leaderboard; by default all that are quick.
    previous : Record or its dict, optional
        Of the report before, for what changed.

    Raises
    ------
    UsageError, NoDataError
        The symbol or the date makes no sense, or there was no bar yet on that day.
    """
    day = date or session(desk.history(symbol, period="5d").index[-1])
    return SymbolReport(desk, symbol, _day(day), horizon, level, _theme(theme), model, models, _record(previous))


def portfolio_report(
    desk: Desk,
    weights: Mapping[str, float],
    *,
    name: str = "portfolio",
    date: str | None = None,
    level: float = 0.95,
    objective: str = "max_sharpe",
    theme: str = "light",
    previous: Mapping[str, Any] | Record | None = None,
) -> PortfolioReport:
    """The daily report of a portfolio that is restored to `weights` every session.

    Parameters
    ----------
    weights : mapping of symbol to weight
        Two or more; they sum to 1.
    name : str
        What the portfolio is called.
    objective : str
        In ``quantkit.portfolio.OBJECTIVES``: whose weights stand beside the held ones, and whose out-of-sample result
        is shown.
    date, level, theme, previous
        As for :func:`symbol_report`.
    """
    day = date or session(desk.prices(list(weights), period="5d").index[-1])
    return PortfolioReport(desk, weights, name, _day(day), level, objective, _theme(theme), _record(previous))


def _day(date: str) -> str:
    return session(parse_time(date))


def _theme(theme: str) -> ThemeName:
    if theme not in THEMES:
        raise UsageError(f"unknown theme {theme!r}; choose from {', '.join(sorted(THEMES))}")
    return theme


def _record(given: Mapping[str, Any] | Record | None) -> Record | None:
    return given if given is None or isinstance(given, Record) else Record.from_dict(given)
