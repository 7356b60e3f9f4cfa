"""Weights, correlation, out-of-sample result and crises of a portfolio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from quantkit.reporting.figures import Charts
from quantkit.reporting.markup import Figures, Html, data, figure, notes, session, table
from quantkit.reporting.parts.page import badges
from quantkit.ui.formats import escape, percent
from quantkit.ui.theme import Tokens

__all__ = ["backtest", "correlation", "portfolio_heading", "stress", "weights"]


def portfolio_heading(
    name: str, history: Figures | None, sources: Mapping[str, Mapping[str, Any]], day: str, as_of: pd.Timestamp
) -> Html:
    """Name, and the return of the last session."""
    first = next(iter(sources.values()))
    about = {**first, "source": ", ".join(sorted({str(each["source"]) for each in sources.values()}))}
    about["price_basis"] = (
        "adjusted" if any(each["price_basis"] == "adjusted" for each in sources.values()) else "quoted"
    )
    moved = Html("")
    if history is not None:
        last = history.percent("returns.values.-1", sign=True, tone="signed")
        moved = Html(f'<p class="quote">{last} <small>on {session(as_of)}</small></p>')
    return Html(
        f"<header><h1>{escape(name)} <small>{len(sources)} symbols</small></h1>{moved}"
        f"<p>{badges(about, day, as_of)}</p></header>"
    )


def weights(
    held: Mapping[str, float], parts: Figures, allocation: Figures | None, objective: str, missing: str | None
) -> tuple[Html, str]:
    """Weights held, their share of the risk, and the weights that the objective would choose."""
    rows = []
    frame = list(held)
    for at, symbol in enumerate(parts.value("table")["index"]):
        row = [
            symbol,
            data(held[symbol], percent(held[symbol], 1), name=f"weights.{symbol}"),
            parts.percent(f"table.columns.volatility.{at}", 3),
            parts.percent(f"table.columns.value_at_risk.{at}", 3),
        ]
        if allocation is not None:
            chosen = allocation.value("weights")["index"]
            row.append(
                allocation.percent(f"weights.values.{chosen.index(symbol)}", 1) if symbol in chosen else "left out"
            )
        rows.append(row)
    columns = ["symbol", "weight", "volatility part", "VaR part"]
    if allocation is not None:
        columns.append(objective.replace("_", " "))
    said = (
        f"{len(frame)} symbols; volatility of a session {parts.percent('volatility')}, VaR "
        f"{parts.percent('value_at_risk')}, diversification {parts.number('diversification')}. The symbols' parts "
        "sum to the portfolio's."
    )
    lines: list[str] = [] if missing is None else [f"{objective}: {missing}"]
    if allocation is not None:
        answer: Any = allocation.answer
        lines += [answer.in_words(), *answer.moments.notes, *answer.notes]
    return Html(table(columns, rows) + f"<p>{said}</p>" + notes(lines)), ""


def correlation(tokens: Tokens, figures: Figures) -> tuple[Html, str]:
    """The matrix in the order of its groups, shaded by size."""
    answer: Any = figures.answer
    names = [str(each) for each in answer.matrix.columns]
    rows = []
    for at, name in enumerate(names):
        cells = []
        for other in names:
            value = float(answer.matrix[other].iloc[at])
            shown = figures.number(f"matrix.columns.{other}.{at}") if "." not in other else data(value, f"{value:.2f}")
            colour = tokens.up if value > 0 else tokens.down
            cells.append(
                Html(
                    f'<span class="shade" style="background:{colour}{round(12 + 100 * abs(value)):02x}">{shown}</span>'
                )
            )
        rows.append((name, *cells))
    return table(("", *names), rows, kind="matrix"), answer.in_words()


def backtest(charts: Charts, figures: Figures) -> tuple[Html, str]:
    """Wealth and measures of the objective beside 1/N and the benchmark."""
    answer: Any = figures.answer
    names = [str(each) for each in answer.wealth.columns]
    ends = ", ".join(f"{name} {float(answer.wealth[name].iloc[-1]):.2f}" for name in names)
    alt = f"Wealth of 1 invested on {session(answer.start)}, after costs, at {session(answer.as_of)}: {ends}."
    drawn = figure(charts.wealth(answer.wealth, names, alt=alt), alt)
    rows = [
        (
            name.replace("_", " "),
            *(figures.percent(f"measures.columns.{each}.{at}", 1) for each in ("annual_return", "volatility")),
            *(figures.number(f"measures.columns.{each}.{at}") for each in ("sharpe", "sortino")),
            figures.percent(f"measures.columns.max_drawdown.{at}", 1),
            figures.number(f"measures.columns.turnover.{at}"),
            figures.percent(f"measures.columns.costs.{at}"),
        )
        for at, name in enumerate(str(each) for each in answer.measures.index)
    ]
    columns = ("strategy", "return", "volatility", "Sharpe", "Sortino", "drawdown", "turnover", "costs")
    return Html(drawn + table(columns, rows) + notes(answer.notes)), answer.in_words()


def stress(figures: Figures) -> tuple[Html, str]:
    """What each crisis of the past would do to these weights."""
    answer: Any = figures.answer
    rows = [
        (
            each.name,
            f"{session(each.start)} to {session(each.end)}" if each.start is not None else each.kind,
            figures.percent(f"scenarios.{at}.total", 1, tone="signed"),
            figures.percent(f"scenarios.{at}.worst_drawdown", 1),
            each.note or (f"by beta: {', '.join(each.proxied)}" if each.proxied else ""),
        )
        for at, each in enumerate(answer.scenarios)
    ]
    columns = ("scenario", "when", "return", "drawdown", "note")
    return table(columns, rows, kind="verdicts"), ""
