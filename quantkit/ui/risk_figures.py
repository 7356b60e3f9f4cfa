"""The figures and tables of the Risk screen: results in words and numbers, nothing worked out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import ipywidgets as widgets
import pandas as pd
import traitlets as t

from quantkit.ui.formats import MISSING, date_words, direction, escape, percent, price, signed
from quantkit.ui.parts import explained
from quantkit.ui.tables import Cell, table_html

__all__ = ["ContributionTable", "DrawdownTable", "MethodTable", "MonthTable", "ResultTable", "RiskHeading", "RiskTiles",
           "StressTable", "ratio"]  # fmt: skip


def ratio(value: float) -> str:
    """A figure without unit, a dash where there is none."""
    return price(float(value), 2)


class ResultTable(widgets.HTML):
    """A result as HTML, with what it shows as CSV; a subclass says how.

    Attributes
    ----------
    answer : object or None
    """

    answer = t.Any(None, allow_none=True)
    file_stem = "table"

    def __init__(self) -> None:
        super().__init__()
        self.add_class("qk-result")
        self.observe(lambda change: self.show(), "answer")

    def show(self) -> None:
        """Bring what is seen in line with the answer."""
        self.value = "" if self.answer is None else self.to_html()
        # Where it is wider than its panel the arrow keys scroll it.
        self.tabbable = bool(self.value)

    def to_html(self) -> str:
        """The answer, everything from outside escaped."""
        return table_html(self.frame, {})

    @property
    def frame(self) -> pd.DataFrame:
        """What is shown."""
        return self.answer.to_frame()

    @property
    def csv(self) -> str:
        """What is shown as CSV with full precision."""
        return "" if self.answer is None else self.frame.to_csv(lineterminator="\n")


class RiskHeading(widgets.HTML):
    """Whose risk it is, over which returns."""

    history = t.Any(None, allow_none=True)
    instrument = t.Any(None, allow_none=True)
    holdings = t.Dict()

    def __init__(self) -> None:
        super().__init__()
        self.add_class("qk-whose")
        self.observe(lambda change: self._show(), ["history", "instrument", "holdings"])

    def _show(self) -> None:
        history, instrument = self.history, self.instrument
        if history is None:
            return
        if self.holdings:
            parts = sorted(self.holdings.items(), key=lambda each: -abs(each[1]))
            listed = ", ".join(f"{symbol} {percent(weight, 1)}" for symbol, weight in parts[:6])
            name = listed + (f" and {len(parts) - 6} more" if len(parts) > 6 else "")
            title = "Portfolio"
        else:
            title = history.symbol
            name = instrument.name if instrument is not None and instrument.symbol == history.symbol else ""
        daily = history.start == history.start.normalize()
        form = "1d" if daily else "1m"
        self.value = (
            f"<b>{escape(title)}</b> <span>{escape(name)}</span>"
            f"<small>{len(history.returns):,} returns in {escape(history.currency)}, "
            f"{date_words(history.start, form)} to {date_words(history.as_of, form)}</small>"
        )


#: Label, whose explanation is what; the figures themselves are the report's.
_TILE_HELP: Final = {
    "Volatility": "Standard deviation of simple returns over the whole period (denominator T - 1), times the "
    "square root "
    "of the periods in a year. The second figure is the forecast of the next period alone, by "
    "GARCH(1,1) where it fits.",
    "VaR": "Return that the horizon falls below with probability 1 - level, by the method chosen above; auto takes the "
    "method with the least quantile loss in the walk-forward test. Negative is a loss. In "
    "currency: times the position, "
    "by default one share.",
    "ES": "Expected shortfall: the mean return of the cases worse than VaR, same method, level and horizon.",
    "Sharpe": "Mean excess return over the risk-free rate, divided by its standard deviation, "
    "annualised. The rate is the "
    "one entered above.",
    "Sortino": "Mean excess return divided by the downside deviation (root mean square of the shortfalls below the "
    "risk-free rate over all periods), annualised.",
    "Max drawdown": "Deepest fall of wealth, dividends included, from its highest point so far.",
    "Beta": "Slope of excess returns on those of the benchmark, on the sessions that both have.",
}


class RiskTiles(widgets.HTML):
    """Volatility, VaR, ES, Sharpe, Sortino, drawdown and beta.

    Attributes
    ----------
    report : RiskReport or None
    method : str
        Whose VaR and ES.
    """

    report = t.Any(None, allow_none=True)
    method = t.Unicode("auto")
    busy = t.Bool(False)

    def __init__(self) -> None:
        super().__init__()
        self.add_class("qk-tiles")
        self.observe(lambda change: self._show(), ["report", "method", "busy"])
        self._show()

    def _show(self) -> None:
        self.value = "".join(
            f"<section class='qk-tile{' qk-asked' if self.busy else ''}' data-qk-tile='{escape(name)}'>"
            f"<h3>{escape(label)}{explained(name, _TILE_HELP[name])}</h3>"
            f"<b class='{kind}'>{escape(figure)}</b><span>{escape(beside)}</span></section>"
            for name, label, figure, kind, beside in self._tiles()
        )

    def _tiles(self) -> list[tuple[str, str, str, str, str]]:
        report = self.report
        if report is None:
            return [(name, name, MISSING, "flat", "") for name in _TILE_HELP]
        method = self.method if self.method in report.value_at_risk else "auto"
        var, es = report.value_at_risk[method], report.expected_shortfall[method]
        level, daily = f"{report.level * 100:g}", report.as_of == report.as_of.normalize()
        unit = ("session" if daily else "minute") + ("s" if report.horizon > 1 else "")
        over = f"{method} · {report.horizon} {unit}"
        money = [
            f"{signed(figures[method])} {report.currency}"
            if figures[method] == figures[method]
            else "no position given"
            for figures in (report.value_at_risk_currency, report.expected_shortfall_currency)
        ]
        deepest = report.drawdowns[0] if report.drawdowns else None
        at = f"low {date_words(deepest.trough)}" if deepest else "never fell"
        rate = f"risk-free {percent(report.risk_free)}"
        beside = f"to {report.benchmark}" if report.benchmark else "no benchmark fits"
        return [
            ("Volatility", "Volatility, a year", percent(report.annual_volatility), "",
             f"next {unit.rstrip('s')} {percent(report.predicted_volatility)}"),
            ("VaR", f"VaR {level}, {over}", percent(var), direction(var), money[0]),
            ("ES", f"ES {level}, {over}", percent(es), direction(es), money[1]),
            ("Sharpe", "Sharpe", ratio(report.sharpe), "", rate),
            ("Sortino", "Sortino", ratio(report.sortino), "", rate),
            ("Max drawdown", "Max drawdown", percent(report.max_drawdown), direction(report.max_drawdown), at),
            ("Beta", "Beta", ratio(report.beta), "", beside),
        ]  # fmt: skip


def _light(zone: str) -> str:
    return f"<td class='qk-left'><span class='qk-light {escape(zone)}'>{escape(zone)}</span></td>"


class MethodTable(ResultTable):
    """Each VaR method with its figures, its breaches, and the tests that say whether to believe it."""

    method = t.Unicode("auto")
    file_stem = "var-methods"

    def __init__(self) -> None:
        super().__init__()
        self.observe(lambda change: self.show(), "method")

    @property
    def frame(self) -> pd.DataFrame:
        frame = self.answer.to_frame()
        rows = self.answer.backtests.rows if self.answer.backtests is not None else {}
        zones = [rows[name].zone if name in rows else "" for name in frame.index]
        christoffersen = [rows[name].independence.p_value if name in rows else float("nan") for name in frame.index]
        silent = {name for name in frame.index if f"value_at_risk.{name}" in self.answer.notes}
        verdicts = ["no figure now" if name in silent else said for name, said in frame["verdict"].items()]
        return frame.assign(zone=zones, p_independence=christoffersen, verdict=verdicts)

    def to_html(self) -> str:
        """One row a method, the chosen one marked."""
        report, frame = self.answer, self.frame
        p_value = "{:.3f}".format
        cells = {
            "value_at_risk": Cell("VaR", percent), "expected_shortfall": Cell("ES", percent),
            "breaches": Cell("Breaches", "{:.0f}".format), "expected": Cell("Expected", "{:.1f}".format),
            "p_kupiec": Cell("Kupiec p", p_value), "p_independence": Cell("Christoffersen p", p_value),
            "p_conditional": Cell("Both p", p_value), "zone": Cell("Light", str, left=True),
            "verdict": Cell("Verdict", str, left=True),
        }  # fmt: skip
        html = table_html(frame, cells, label="Method", marked=self.method, classes="qk-methods")
        for zone in ("green", "yellow", "red"):
            html = html.replace(f"<td class='qk-left'>{zone}</td>", _light(zone))
        if report.backtests is None:
            return html + f"<p class='qk-note'>{escape(report.notes.get('backtests', ''))}</p>"
        origins = report.backtests.rows["auto"].origins
        said = report.backtests.auto_note or f"auto stands on {report.backtests.auto_method} now"
        reasons = "".join(
            f" No {name} figure: {reason}."
            for name in frame.index
            if (reason := report.notes.get(f"value_at_risk.{name}"))
        )
        said = f"{origins:,} origins, each seeing its past only; {said}.{reasons}"
        return html + f"<p class='qk-note'>{escape(said)}</p>"


class DrawdownTable(ResultTable):
    """The deepest drawdowns."""

    file_stem = "drawdowns"

    @property
    def frame(self) -> pd.DataFrame:
        columns = ["depth", "peak", "trough", "recovery", "periods"]
        rows = [[getattr(each, name) for name in columns] for each in self.answer.drawdowns]
        return pd.DataFrame(rows, columns=columns, index=pd.RangeIndex(1, len(rows) + 1, name="rank"))

    def to_html(self) -> str:
        day: Callable[[Any], str] = date_words
        cells = {
            "depth": Cell("Depth", percent, signed=True, bar=True), "peak": Cell("Peak", day),
            "trough": Cell("Trough", day), "recovery": Cell("Recovered", day),
            "periods": Cell("Periods", "{:,}".format),
        }  # fmt: skip
        frame = self.frame.astype(dict.fromkeys(("peak", "trough", "recovery"), object))
        return table_html(frame, cells, label="#")


class MonthTable(ResultTable):
    """Monthly returns as a calendar: a row a year, a colour a sign, its strength the size."""

    file_stem = "months"

    @property
    def frame(self) -> pd.DataFrame:
        return self.answer.months

    def to_html(self) -> str:
        months = self.frame.iloc[::-1]
        largest = float(months.drop(columns="Year").abs().max().max()) or 1.0
        head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in months.columns)
        rows = []
        for year, row in months.iterrows():
            cells = []
            for name, value in row.items():
                known = value == value
                share = min(abs(value) / largest, 1.0) if known and name != "Year" else 0.0
                text = signed(value * 100, 1) if known else ""
                kind = f"{direction(value)}{' qk-year' if name == 'Year' else ''}" if known else ""
                cells.append(f"<td class='{kind}' style='--share:{share:.3f}'>{text}</td>")
            rows.append(f"<tr><th scope='row'>{escape(str(year))}</th>{''.join(cells)}</tr>")
        return (
            f"<table class='qk-table qk-months'><thead><tr><th scope='col'>"
            f"<span class='qk-sr'>Year</span></th>{head}</tr>"
            f"</thead><tbody>{''.join(rows)}</tbody></table><p class='qk-note'>Per cent, dividends included; the first "
            f"month from {self.answer.start:%Y-%m-%d}, the last to {self.answer.as_of:%Y-%m-%d}.</p>"
        )


class ContributionTable(ResultTable):
    """What each symbol adds to the portfolio's risk."""

    file_stem = "contributions"

    @property
    def frame(self) -> pd.DataFrame:
        table = self.answer.table
        return table.assign(share=table["volatility"] / self.answer.volatility)

    def to_html(self) -> str:
        cells = {
            "weight": Cell("Weight", percent), "share": Cell("Of the volatility", percent, bar=True),
            "volatility": Cell("Volatility", percent), "value_at_risk": Cell("VaR", percent, signed=True),
            "expected_shortfall": Cell("ES", percent, signed=True),
        }  # fmt: skip
        answer = self.answer
        frame = self.frame.sort_values("volatility", ascending=False)
        said = (
            f"Parts of {percent(answer.volatility)} volatility, {percent(answer.value_at_risk)} VaR and "
            f"{percent(answer.expected_shortfall)} ES a period (historical, level {answer.level:g}); diversification "
            f"ratio {answer.diversification:.2f}; {answer.observations:,} returns to {answer.as_of:%Y-%m-%d}."
        )
        return table_html(frame, cells, label="Symbol") + f"<p class='qk-note'>{escape(said)}</p>"


class StressTable(ResultTable):
    """Crises of the past on what is held today, and shocks of the benchmark."""

    currency = t.Unicode("")
    file_stem = "stress"

    def to_html(self) -> str:
        frame = self.frame
        spans = [
            f"{each.start:%Y-%m} – {each.end:%Y-%m}" if each.start is not None else "through beta"
            for each in self.answer.scenarios
        ]
        cells = {
            "total": Cell("Return", percent, signed=True, bar=True),
            "worst_drawdown": Cell("Worst on the way", percent, signed=True),
            **({"profit": Cell("Profit", lambda value: signed(float(value), 0), signed=True)}
               if frame["profit"].notna().any() else {}),
            "when": Cell("When", str, left=True), "note": Cell("Stands in", str, left=True),
        }  # fmt: skip
        shown = frame.assign(when=spans)[list(cells)]
        return table_html(shown, cells, label="Scenario") + (
            f"<p class='qk-note'>Real returns of each episode on today's weights, bought at its start and held; "
            f"as of {self.answer.as_of:%Y-%m-%d}.</p>"
        )
