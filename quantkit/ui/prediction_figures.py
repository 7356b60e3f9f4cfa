"""The figures and tables of the Predictions screen: results in words and numbers, nothing worked out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

import ipywidgets as widgets
import pandas as pd
import traitlets as t

from quantkit.core.calendars import exchange_timezone
from quantkit.ui.formats import MISSING, date_words, direction, escape, percent, price, price_decimals, signed
from quantkit.ui.parts import explained
from quantkit.ui.risk_figures import ResultTable
from quantkit.ui.sortable import SortableTable, SortColumn, sort_cell
from quantkit.ui.tables import Cell, table_html

__all__ = ["ExplanationWords", "ForecastTiles", "RecordTable", "Standings", "StepTable", "TrainPanel", "Verdict",
           "VolatilityTable", "why_flat"]  # fmt: skip

#: Rows of the ledger that are shown, the newest; CSV has them all.
LEDGER_ROWS: Final = 60


def p_value(value: float) -> str:
    """A p-value, with its first digits however small."""
    if not math.isfinite(value):
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def score(value: float) -> str:
    """A ratio such as MASE."""
    return f"{value:.3f}" if math.isfinite(value) else MISSING


_TILE_HELP: Final = {
    "Predicted next": "Mean of the next bar's close: last close times exp(m + s² / 2), with m the model's expected "
    "log-return and s the standard deviation of its walk-forward errors. The date is the exchange's next session.",
    "Trend": "Sign of the next bar's return that is more probable, from the model's own signed walk-forward errors, "
    "each divided by the volatility at its time. Between 45 and 55 % it is no better than a coin: no edge.",
    "Volatility": "Standard deviation of the next bar's return. On daily bars by GARCH(1,1) on five years where it "
    "fits, the figure of the Risk screen; on minute bars the scale of the interval.",
    "Coverage": "Share of the walk-forward outcomes one bar ahead that fell inside the interval. It should be near the "
    "interval's level; each interval was made only from what was known at its time.",
    "Skill": "1 - MAE / MAE of naive, one bar ahead, on log-returns over the same origins. Positive: better than "
    "expecting no change.",
    "p against naive": "Probability of such a lead, or a larger one, if the model were no better than naive at the "
    "last step: one-sided Diebold-Mariano on absolute errors, Holm-adjusted where several models were tried. Below "
    "0.05 the screen says 'beats naive'.",
    "Model": "Whose path is drawn. auto keeps to naive until another model beats it with p < 0.05 on earlier outcomes "
    "only; the choice is made anew at every origin of the past, so its record includes the cost of choosing.",
}


class ForecastTiles(widgets.HTML):
    """What is expected next, and how far that can be trusted, at a glance.

    Attributes
    ----------
    forecast : Forecast or None
    quote, instrument : Quote, Instrument or None
    busy : bool
    """

    forecast = t.Any(None, allow_none=True)
    instrument = t.Any(None, allow_none=True)
    busy = t.Bool(False)

    def __init__(self) -> None:
        super().__init__()
        self.add_class("qk-tiles")
        self.observe(lambda change: self._show(), ["forecast", "instrument", "busy"])
        self._show()

    def _show(self) -> None:
        self.value = "".join(
            f"<section class='qk-tile{' qk-asked' if self.busy else ''}' data-qk-tile='{escape(name)}'>"
            f"<h3>{escape(name)}{explained(name, about)}</h3>"
            f"<b class='{kind}'>{escape(figure)}</b><span>{escape(beside)}</span></section>"
            for (name, about), (figure, kind, beside) in zip(_TILE_HELP.items(), self._figures(), strict=True)
        )

    def _figures(self) -> list[tuple[str, str, str]]:
        made = self.forecast
        if made is None:
            return [("…" if self.busy else MISSING, "flat", "")] * len(_TILE_HELP)
        digits, step = price_decimals(made.currency, made.last_price), made.steps[0]
        when = date_words(step.timestamp, made.interval, _zone(self.instrument))
        kind = "flat" if made.no_edge else direction(1.0 if made.trend == "UP" else -1.0)
        judged = f"at step {made.horizon}" + (", Holm" if len(made.contenders) > 1 else "")
        chosen, stood = made.chosen or made.model, _made_on(made, self.instrument)
        return [
            (price(made.predicted_price, digits), "fc", f"{when}, {made.currency}"),
            (f"{made.trend} {made.trend_probability:.0%}", kind, "no edge" if made.no_edge else "next bar's direction"),
            (percent(made.predicted_volatility), "", "of the next return"),
            (percent(made.coverage, 1), "", f"of {made.level * 100:.4g}%, {made.origins} origins"),
            (f"{signed(made.skill * 100, 1)}%" if math.isfinite(made.skill) else MISSING, direction(made.skill),
             "against naive, step 1"),
            (p_value(made.p_value), "up" if made.beats_naive else "", judged),
            (made.model, "", f"stands on {chosen}" if chosen != made.model else f"from {stood}"),
        ]  # fmt: skip


def why_flat(forecast: Any) -> str:
    """Why the line does not move, or nothing where it does.

    A median that stays within a hundredth of the next bar's volatility is a flat line on any screen.
    """
    if forecast.model == "naive":
        return "Flat by definition: naive expects no change, and its interval says how far off that has been."
    if forecast.chosen == "naive":
        drawn = (
            f" Dashed: {forecast.challenger}, the best challenger, for comparison only." if forecast.challenger else ""
        )
        return "Flat because no model has earned the right to say otherwise: auto stays with naive." + drawn
    reach = max(abs(math.log(step.median / forecast.last_price)) for step in forecast.steps)
    if reach < 0.01 * forecast.predicted_volatility:
        return f"Flat because {forecast.model} finds next to nothing to expect: returns are close to unpredictable."
    return ""


class Verdict(widgets.HTML):
    """Whether the model has ever been better than expecting no change, in words."""

    forecast = t.Any(None, allow_none=True)

    def __init__(self) -> None:
        super().__init__()
        self.observe(lambda change: self._show(), "forecast")

    def _show(self) -> None:
        if self.forecast is None:
            self.value = ""
            return
        words = self.forecast.in_words()
        cut = len(re.split(r"[:;]| \(\d", words, maxsplit=1)[0])
        flat = why_flat(self.forecast)
        basis = " Prices are adjusted for dividends: indicative." if self.forecast.indicative else ""
        self.value = (
            f"<p class='qk-note' data-qk-verdict><b>{escape(words[:cut])}</b>{escape(words[cut:])}"
            f"{'<br>' + escape(flat) if flat else ''}{escape(basis)}</p>"
        )


class ExplanationWords(widgets.HTML):
    """Where the explained forecast starts, what moves it most, and how it was taken apart.

    Attributes
    ----------
    explanation : Explanation or None
    forecast : Forecast or None
        The one that is shown: another model's explanation says whose it is.
    """

    explanation = t.Any(None, allow_none=True)
    forecast = t.Any(None, allow_none=True)

    def __init__(self) -> None:
        super().__init__()
        self.observe(lambda change: self._show(), ["explanation", "forecast"])

    def _show(self) -> None:
        told, made = self.explanation, self.forecast
        if told is None:
            self.value = ""
            return
        rival = made is not None and made.chosen == "naive" and made.challenger == told.chosen
        whose = "The best challenger, as auto stays with naive and naive has nothing to explain. " if rival else ""
        method = f" Bars are in {told.currency}. {told.method}." if told.contributions else ""
        self.value = f"<p class='qk-note' data-qk-explained>{escape(whose + told.in_words() + method)}</p>"


class StepTable(ResultTable):
    """Mean and interval of every step, with the session it is for.

    Attributes
    ----------
    answer : Forecast or None
    instrument : Instrument or None
    """

    instrument = t.Any(None, allow_none=True)

    def __init__(self) -> None:
        super().__init__()
        self.observe(lambda change: self.show(), "instrument")

    def to_html(self) -> str:
        """The steps; dates are the exchange's."""
        made, zone = self.answer, _zone(self.instrument)
        digits = price_decimals(made.currency, made.last_price)
        money: Callable[[Any], str] = lambda value: price(float(value), digits)  # noqa: E731
        level = f"{made.level * 100:.4g}%"
        frame = self.frame.assign(when=[date_words(time, made.interval, zone) for time in self.frame.index])
        return table_html(
            frame.set_index("step"),
            {
                "when": Cell("Session" if made.interval == "1d" else "Bar", left=True),
                "mean": Cell("Mean", money),
                "lower": Cell(f"Lower {level}", money), "upper": Cell(f"Upper {level}", money),
                "coverage": Cell("Held", lambda value: percent(float(value), 1)),
                "skill": Cell("Skill", lambda value: f"{signed(float(value) * 100, 1)}%", signed=True),
            },
            label="Step",
            caption=f"From {price(made.last_price, digits)} {made.currency} on {_made_on(made, self.instrument)}.",
        )  # fmt: skip

    @property
    def file_stem(self) -> str:  # type: ignore[override]
        """Name for a download."""
        return f"{self.answer.symbol}-steps" if self.answer is not None else "steps"


_STANDING_COLUMNS: Final = (
    SortColumn("Model", "A name in the registry; naive expects no change", left=True),
    SortColumn("MAE", "Mean absolute error of the log-return at the last step; smaller is better"),
    SortColumn("RMSE", "Root mean squared error of the log-return"),
    SortColumn("MASE", "MAE over the mean absolute move of as many bars before the walk"),
    SortColumn("Skill", "1 - MAE / MAE of naive", down=True),
    SortColumn("Direction", "Share of moves whose sign had the higher probability", down=True),
    SortColumn("Held", "Coverage: share of outcomes inside the interval; best near its level"),
    SortColumn("Interval", "Winkler's interval score: width, and a fine for what falls outside; smaller is better"),
    SortColumn("p", "One-sided Diebold-Mariano test against naive on absolute errors, Holm-adjusted over the models"),
    SortColumn("Against naive", "What the p-value says at 5 %", left=True),
)


class Standings(SortableTable):
    """The leaderboard: every model on the same origins, naive marked.

    Attributes
    ----------
    leaderboard : Leaderboard or None
    model : str
        Whose forecast is shown; its row stands out.
    """

    leaderboard = t.Any(None, allow_none=True)
    model = t.Unicode("")

    def __init__(self) -> None:
        super().__init__()
        self.observe(lambda change: self._show(), ["leaderboard", "model"])

    @property
    def csv(self) -> str:
        """The leaderboard as CSV with full precision."""
        return "" if self.leaderboard is None else self.leaderboard.to_frame().to_csv(lineterminator="\n")

    @property
    def file_stem(self) -> str:
        """Name for a download."""
        return f"{self.leaderboard.symbol}-leaderboard" if self.leaderboard is not None else "leaderboard"

    def _show(self) -> None:
        board = self.leaderboard
        if board is None:
            self.rows = []
            self.caption = ""
            return
        rows = [(row.model, "on" if row.model == self.model else "", self._cells(row)) for row in board.rows]
        self.fill(_STANDING_COLUMNS, rows, board.in_words())

    @staticmethod
    def _cells(row: Any) -> list[dict[str, Any]]:
        beats = row.verdict == "beats naive"
        kind = "flat" if row.failure else "up" if beats else ""
        return [
            sort_cell(row.model, row.model, badge="benchmark" if row.model == "naive" else ""),
            sort_cell(percent(row.mae, 3), row.mae),
            sort_cell(percent(row.rmse, 3), row.rmse),
            sort_cell(score(row.mase), row.mase),
            sort_cell(percent(row.skill, 1, sign=True), row.skill, kind=direction(row.skill)),
            sort_cell(percent(row.direction, 1), row.direction),
            sort_cell(percent(row.coverage, 1), row.coverage),
            sort_cell(percent(row.interval_score, 2), row.interval_score),
            sort_cell(p_value(row.p_value), row.p_value),
            sort_cell("failed" if row.failure else row.verdict, row.verdict, kind=kind, title=row.failure),
        ]


class VolatilityTable(ResultTable):
    """Volatility of the next bars by every model, beside its loss on the past."""

    def to_html(self) -> str:
        """The models in the order of their loss."""
        small: Callable[[Any], str] = lambda value: f"{float(value):.4f}"  # noqa: E731
        return table_html(
            self.frame,
            {
                "next": Cell("Next bar", lambda value: percent(float(value), 3)),
                "annualised": Cell("Annualised", lambda value: percent(float(value), 1)),
                "qlike": Cell("QLIKE", small),
                "ratio": Cell("Said / came", lambda value: f"{float(value):.2f}"),
                "in_confidence_set": Cell("In set", lambda value: "yes" if value else "no"),
            },
            label="Model",
            caption=self.answer.in_words(),
            marked=self.answer.best.model,
        )  # fmt: skip

    @property
    def file_stem(self) -> str:  # type: ignore[override]
        """Name for a download."""
        return f"{self.answer.symbol}-volatility" if self.answer is not None else "volatility"


class RecordTable(ResultTable):
    """The ledger: what was published before anybody knew, and how it turned out.

    Attributes
    ----------
    answer : TrackRecord or None
    instrument : Instrument or None
    """

    instrument = t.Any(None, allow_none=True)

    def __init__(self) -> None:
        super().__init__()
        self.observe(lambda change: self.show(), "instrument")

    def to_html(self) -> str:
        """One line a model, and the newest published steps below."""
        record = self.answer
        said = f"<p class='qk-note' data-qk-record>{escape(record.in_words())}</p>"
        return said + (self._summaries() + self._steps() if record.rows else "")

    @property
    def file_stem(self) -> str:  # type: ignore[override]
        """Name for a download."""
        return f"{self.answer.symbol}-track-record" if self.answer is not None else "track-record"

    def _summaries(self) -> str:
        share: Callable[[Any], str] = lambda value: percent(float(value), 1)  # noqa: E731
        frame = pd.DataFrame([each.to_dict() for each in self.answer.summaries]).set_index("model")
        count: Callable[[Any], str] = lambda value: f"{int(value):,}"  # noqa: E731
        return table_html(
            frame.astype({"level": float, "coverage": float, "mae": float, "skill": float, "direction": float}),
            {
                "count": Cell("Scored", count), "pending": Cell("Waiting", count), "level": Cell("Level", share),
                "coverage": Cell("Held", share), "mae": Cell("MAE", lambda value: percent(float(value), 3)),
                "skill": Cell("Skill", lambda value: percent(float(value), 1, sign=True), signed=True),
                "direction": Cell("Direction", share),
            },
            label="Model",
        )  # fmt: skip

    def _steps(self) -> str:
        record, zone = self.answer, _zone(self.instrument)
        digits = price_decimals(getattr(self.instrument, "currency", "USD"), record.rows[-1].naive)
        money: Callable[[Any], str] = lambda value: price(float(value), digits)  # noqa: E731
        outcome = {True: "inside", False: "missed", None: "waiting"}
        rows = sorted(record.rows, key=lambda row: (row.time, row.published_at), reverse=True)
        frame = pd.DataFrame(
            {
                "published": [f"{row.published_at:%Y-%m-%d %H:%M} UTC" for row in rows],
                "model": [row.model for row in rows], "step": [row.step for row in rows],
                "median": [row.median for row in rows], "lower": [row.lower for row in rows],
                "upper": [row.upper for row in rows], "actual": [row.actual for row in rows],
                "outcome": [outcome[row.hit] for row in rows],
            },
            index=[date_words(row.time, record.interval, zone) for row in rows],
        )  # fmt: skip
        return table_html(
            frame,
            {
                "published": Cell("Published", left=True), "model": Cell("Model", left=True), "step": Cell("Step"),
                "median": Cell("Said", money), "lower": Cell("Lower", money), "upper": Cell("Upper", money),
                "actual": Cell("Came", money), "outcome": Cell("Outcome", left=True),
            },
            label="For", most=LEDGER_ROWS, caption="Newest first; CSV has every row.",
        )  # fmt: skip


class TrainPanel(widgets.Box):
    """What is trained only when somebody asks: a button a model.

    Parameters
    ----------
    train : callable
        Given the name of the model.

    Attributes
    ----------
    heavy : tuple of str
        Models that take long.
    waiting : str
        The one that was chosen for the forecast, and waits to be asked for.
    """

    heavy = t.Tuple(())
    waiting = t.Unicode("")

    def __init__(self, train: Callable[[str], object], *, chosen: bool = False) -> None:
        super().__init__([])
        self._train, self._chosen = train, chosen
        self.add_class("qk-train")
        self.observe(lambda change: self._show(), ["heavy", "waiting"])
        self._show()

    def _show(self) -> None:
        names = ((self.waiting,) if self.waiting else ()) if self._chosen else self.heavy
        self.layout.display = None if names else "none"
        words = []
        if self._chosen and names:
            words = [widgets.HTML(
                f"<p><b>{escape(names[0])}</b> is a network that is trained on this symbol's history. That takes a "
                "while, can be cancelled, and is kept for the next visitor: it starts when you ask for it.</p>"
            )]  # fmt: skip
        buttons = []
        for name in names:
            button = widgets.Button(description=f"Train {name}", tooltip=f"Train {name} and put it beside the others")
            button.add_class("qk-inline-button").add_class("qk-train-button")
            button.on_click(lambda clicked, name=name: self._train(name))
            buttons.append(button)
        self.children = (*words, *buttons)


def _zone(instrument: Any) -> str:
    return "UTC" if instrument is None else exchange_timezone(instrument.calendar)


def _made_on(forecast: Any, instrument: Any) -> str:
    return date_words(forecast.as_of, forecast.interval, _zone(instrument))
