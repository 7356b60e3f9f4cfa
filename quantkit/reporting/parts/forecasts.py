"""Price, forecast, leaderboard, explanation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from quantkit.reporting.figures import Charts
from quantkit.reporting.markup import Figures, Html, data, figure, session, table
from quantkit.reporting.parts.page import badges
from quantkit.ui.formats import escape, percent, price, price_decimals, signed

__all__ = ["explanation", "forecast", "leaderboard", "market", "symbol_heading"]

#: The largest ones are shown.
MOST_CONTRIBUTIONS: Final = 10


def symbol_heading(symbol: str, about: Mapping[str, Any], bars: pd.DataFrame, day: str) -> Html:
    """Symbol, name, close, and the session's change."""
    close = bars["close"]
    last = float(close.iloc[-1])
    decimals = price_decimals(str(about["currency"]), last)
    moved = Html("")
    if len(close) > 1:
        difference, share = last - float(close.iloc[-2]), last / float(close.iloc[-2]) - 1.0
        moved = Html(
            f" {data(difference, signed(difference, decimals), tone='signed')} "
            f"({data(share, percent(share, sign=True), tone='signed')})"
        )
    return Html(
        f"<header><h1>{escape(symbol)} <small>{escape(str(about['name']))}</small></h1>"
        f'<p class="quote">{data(last, price(last, decimals), name="history.close")} '
        f"<small>{escape(str(about['currency']))}</small>{moved}</p>"
        f"<p>{badges(about, day, bars.index[-1])}</p></header>"
    )


def market(charts: Charts, bars: pd.DataFrame, figures: Figures) -> tuple[Html, str]:
    """The price chart with the forecast's fan."""
    answer: Any = figures.answer
    last = answer.steps[-1]
    alt = (
        f"{answer.symbol}: close and volume from {session(bars.index[0])} to {session(bars.index[-1])}, when it "
        f"was {answer.last_price:,.2f}; forecast for {session(last.timestamp)}: {last.median:,.2f}, between "
        f"{last.lower:,.2f} and {last.upper:,.2f} with {answer.level:.0%} probability."
    )
    dashed = f" The dashed line is {answer.challenger}, the best challenger." if answer.challenger_path else ""
    caption = (
        f"Close and volume of the last {len(bars)} sessions; median of the forecast, and its intervals at "
        f"{', '.join(f'{band.level:.0%}' for band in answer.fan)}.{dashed}"
    )
    return figure(charts.price(bars, answer, alt=alt), caption), ""


def forecast(figures: Figures) -> tuple[Html, str]:
    """One row a step: median, interval, and how often such an interval held."""
    answer: Any = figures.answer
    decimals = price_decimals(answer.currency, answer.last_price)
    rows = [
        (
            session(step.timestamp),
            figures.number(f"steps.{at}.median", decimals),
            figures.number(f"steps.{at}.mean", decimals),
            figures.number(f"steps.{at}.lower", decimals),
            figures.number(f"steps.{at}.upper", decimals),
            figures.percent(f"steps.{at}.coverage", 1),
            figures.percent(f"steps.{at}.skill", 1, sign=True),
        )
        for at, step in enumerate(answer.steps)
    ]
    columns = ("session", "median", "mean", f"{100 * answer.level:.4g}% low", "high", "covered", "skill")
    said = (
        f"Trend {answer.trend}, {'no edge' if answer.no_edge else 'called'}: probability "
        f"{figures.percent('trend_probability', 0)}. Standard deviation of the next return: "
        f"{figures.percent('predicted_volatility')}. "
        f"“Covered” is how often the interval held over {figures.count('origins')} walk-forward "
        "origins, “skill” the mean absolute error saved against expecting no change."
    )
    rivals: Html = Html("")
    if answer.contenders:
        tested = [
            (
                each.model,
                figures.percent(f"contenders.{at}.skill", 1, sign=True),
                figures.number(f"contenders.{at}.p_value", 3),
                each.failure or ("beats naive" if each.p_value < 0.05 else "not shown to beat naive"),
            )
            for at, each in enumerate(answer.contenders)
        ]
        rivals = table(("held against naive", "skill", "p", "verdict"), tested, kind="verdicts")
    return Html(f"{table(columns, rows)}<p>{said}</p>{rivals}"), answer.in_words()


def leaderboard(figures: Figures) -> tuple[Html, str]:
    """Every model on the same walk through the past."""
    answer: Any = figures.answer
    rows = [
        (
            row.model,
            figures.percent(f"rows.{at}.mae"),
            figures.number(f"rows.{at}.mase", 3),
            figures.percent(f"rows.{at}.skill", 1, sign=True),
            figures.percent(f"rows.{at}.direction", 1),
            figures.percent(f"rows.{at}.coverage", 1),
            figures.number(f"rows.{at}.p_value", 3),
            row.verdict,
        )
        for at, row in enumerate(answer.rows)
    ]
    columns = ("model", "MAE", "MASE", "skill", "direction", "covered", "p", "verdict")
    return table(columns, rows, kind="verdicts"), answer.in_words()


def explanation(charts: Charts, figures: Figures) -> tuple[Html, str]:
    """What each input added to the forecast, the largest first."""
    answer: Any = figures.answer
    top = list(enumerate(answer.contributions))[:MOST_CONTRIBUTIONS]
    if not top:
        return Html(""), answer.in_words()
    values = pd.Series([each.contribution_return for _, each in top], index=[each.feature for _, each in top])
    alt = "Largest contributions to the forecast: " + ", ".join(
        f"{name} {value:+.3%}" for name, value in values.items()
    )
    drawn = figure(
        charts.bars(values, name="explanation", alt=alt),
        f"Contribution of each input to the log-return over {answer.horizon} sessions. {answer.method}.",
        newest=False,
    )
    rows = [
        (
            each.feature,
            figures.percent(f"contributions.{at}.contribution_return", 3, sign=True),
            figures.number(f"contributions.{at}.contribution_price", sign=True),
            each.about,
        )
        for at, each in top
    ]
    columns = ("input", "return", answer.currency, "what it is")
    return Html(drawn + table(columns, rows, kind="verdicts")), answer.in_words()
