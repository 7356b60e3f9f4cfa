"""Risk tiles, VaR with its test, drawdowns, months, and what went through time."""

from __future__ import annotations

from typing import Any

import pandas as pd

from quantkit.reporting.figures import Charts
from quantkit.reporting.markup import Figures, Html, figure, session, table, tiles
from quantkit.risk.history import MONTHS
from quantkit.ui.theme import Tokens

__all__ = ["drawdowns", "months", "risk", "rolling", "value_at_risk"]


def risk(figures: Figures) -> tuple[Html, str]:
    """Headline figures as tiles, the other measures as a table."""
    answer: Any = figures.answer
    held = answer.benchmark or "no benchmark"
    shown = tiles(
        [
            ("Next session's volatility", figures.percent("predicted_volatility"), answer.predicted_volatility_method),
            ("95 % VaR, next session", figures.percent("value_at_risk_95_return"), answer.value_at_risk_method),
            ("Expected shortfall", figures.percent("expected_shortfall.auto"), f"at {answer.level:.4g}"),
            ("Volatility, annual", figures.percent("annual_volatility", 1), f"{answer.observations:,} returns"),
            ("Return, annual", figures.percent("annual_return", 1, tone="signed"), f"since {session(answer.start)}"),
            ("Sharpe ratio", figures.number("sharpe"),
             Html(f"P(true &gt; 0) {figures.percent('probabilistic_sharpe', 0)}")),
            ("Deepest drawdown", figures.percent("max_drawdown", 1),
             Html(f"{figures.count('max_drawdown_duration')} sessions at most")),
            ("Beta", figures.number("beta"), held),
        ]
    )  # fmt: skip
    pairs = [
        ("Sortino ratio", figures.number("sortino"), "Best session", figures.percent("best")),
        ("Calmar ratio", figures.number("calmar"), "Worst session", figures.percent("worst")),
        ("Omega ratio", figures.number("omega"), "Rising sessions", figures.percent("hit_rate", 1)),
        ("Tail ratio", figures.number("tail_ratio"), "Skewness", figures.number("skewness")),
        ("Downside deviation", figures.percent("downside_deviation", 1), "Excess kurtosis",
         figures.number("excess_kurtosis")),
        ("Alpha, annual", figures.percent("alpha", 1), "Correlation", figures.number("correlation")),
        ("Tracking error", figures.percent("tracking_error", 1), "Information ratio",
         figures.number("information_ratio")),
        ("Up capture", figures.percent("up_capture", 0), "Down capture", figures.percent("down_capture", 0)),
    ]  # fmt: skip
    rows = [(left, a, Html(f'<span class="second">{right}</span>'), b) for left, a, right, b in pairs]
    return Html(shown + table(("measure", "", "", ""), rows, kind="pairs")), answer.in_words()


def value_at_risk(charts: Charts, figures: Figures, sessions: int) -> tuple[Html, str]:
    """The chart of breaches, and each method with its test."""
    answer: Any = figures.answer
    rows = []
    tested = answer.backtests.rows if answer.backtests is not None else {}
    for method in answer.value_at_risk:
        row = tested.get(method)
        where = f"backtests.rows.{method}"
        counts = (
            (figures.count(f"{where}.breaches"), figures.number(f"{where}.expected", 1),
             figures.number(f"{where}.kupiec.p_value", 3), figures.number(f"{where}.conditional_coverage.p_value", 3),
             row.verdict)
            if row is not None
            else ("", "", "", "", answer.notes.get(f"value_at_risk.{method}", "not tested"))
        )  # fmt: skip
        rows.append((method.replace("_", " "), figures.percent(f"value_at_risk.{method}"),
                     figures.percent(f"expected_shortfall.{method}"), *counts))  # fmt: skip
    columns = ("method", "VaR", "ES", "breaches", "expected", "p Kupiec", "p cond.", "verdict")
    listed = table(columns, rows, kind="verdicts")
    if answer.backtests is None:
        return listed, answer.notes.get("backtests", "")
    path = answer.backtests.path.iloc[-sessions:]
    broken = int((path["return"] < path["auto"]).sum())
    came = (
        f"of the last {len(path)} sessions against the {answer.level:.0%} VaR said the session before; "
        f"{broken} breaches, {(1 - answer.level) * len(path):.0f} expected."
    )
    alt, said = f"{answer.symbol}: returns {came}", f"Returns {came} “auto” stands on {answer.backtests.auto_method}."
    drawn = figure(charts.value_at_risk(answer.backtests, "auto", sessions, alt=alt), said)
    return Html(drawn + listed), answer.backtests.rows["auto"].in_words()


def drawdowns(charts: Charts, figures: Figures, risks: Figures | None) -> tuple[Html, str]:
    """The underwater chart and the deepest falls."""
    history: Any = figures.answer
    now = figures.percent("drawdown.values.-1", 1)
    span = f"{session(history.start)} to {session(history.as_of)}"
    alt = f"{history.symbol}: share below the highest wealth so far, {span}."
    drawn = figure(charts.drawdown(history, alt=alt), Html(f"Below the highest wealth so far; now {now}."))
    if risks is None:
        return drawn, ""
    falls: Any = risks.answer
    rows = [
        (f"{session(fall.peak)} to {session(fall.trough)}", risks.percent(f"drawdowns.{at}.depth", 1),
         risks.count(f"drawdowns.{at}.periods"), session(fall.recovery) if fall.recovery is not None else "not yet")
        for at, fall in enumerate(falls.drawdowns)
    ]  # fmt: skip
    return Html(drawn + table(("peak to trough", "depth", "sessions", "recovered"), rows)), ""


def months(tokens: Tokens, figures: Figures) -> tuple[Html, str]:
    """A year a row, shaded by size."""
    history: Any = figures.answer
    columns = [*MONTHS, "Year"]
    largest = float(history.months[list(MONTHS)].abs().max().max()) or 1.0
    rows = []
    for at, year in reversed(list(enumerate(history.months.index))):
        cells = []
        for name in columns:
            value = float(history.months[name].iloc[at])
            shown = figures.percent(f"months.columns.{name}.{at}", 1)
            cells.append(shown if name == "Year" or pd.isna(value) else _shaded(shown, value / largest, tokens))
        rows.append((str(year), *cells))
    return table(("", *columns), rows, kind="months"), ""


def rolling(charts: Charts, figures: Figures, risks: Figures | None) -> tuple[Html, str]:
    """Volatility and Sharpe ratio as they went, and the distribution of returns."""
    history: Any = figures.answer
    methods = [str(each) for each in history.volatility.columns]
    ends = ", ".join(f"{name.replace('_', '-')} {float(history.volatility[name].iloc[-1]):.1%}" for name in methods)
    alt = (
        f"{history.symbol}: annual volatility, at the end {ends}; below, the Sharpe ratio of the last {history.window} "
        "sessions."
    )
    drawn = figure(
        charts.rolling(history, alt=alt),
        f"Annual volatility by estimator ({ends}), and the Sharpe ratio over {history.window} sessions.",
    )
    if risks is None:
        return drawn, ""
    answer: Any = risks.answer
    limit = answer.value_at_risk_95_return
    alt = (
        f"{history.symbol}: histogram of {len(history.returns):,} returns, skewness {answer.skewness:.2f}; the line is "
        f"the 95 % VaR of {limit:.2%}."
    )
    spread = figure(
        charts.histogram(history, limit, alt=alt),
        f"Distribution of {len(history.returns):,} returns; the line is the 95 % VaR of the next session.",
        newest=False,
    )
    return Html(drawn + spread), ""


def _shaded(shown: Html, share: float, tokens: Tokens) -> Html:
    colour = tokens.up if share > 0 else tokens.down
    return Html(f'<span class="shade" style="background:{colour}{round(16 + 90 * abs(share)):02x}">{shown}</span>')
