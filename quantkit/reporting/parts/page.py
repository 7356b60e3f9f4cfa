"""What changed, alerts, data quality, and where everything comes from: parts that every report has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pandas as pd

from quantkit.reporting.alerts import KINDS, Alert
from quantkit.reporting.markup import Cell, Html, data, notes, section, session, table
from quantkit.reporting.record import Change, Record, changes
from quantkit.ui.formats import escape, percent, price, signed

__all__ = ["REMEMBERED", "alert_list", "alerts", "badges", "changed", "portfolio_quality", "provenance", "quality",
           "until"]  # fmt: skip

#: What a record remembers even where the page shows it in another form.
REMEMBERED: Final = (
    "forecast.last_price", "risk.predicted_volatility", "risk.value_at_risk_95_return", "risk.expected_shortfall.auto",
    "risk.max_drawdown", "risk.sharpe", "risk.beta", "history.drawdown.values.-1", "history.returns.values.-1",
)  # fmt: skip


def changed(now: Record, before: Record | None) -> Html:
    """Figures of the report before and of this one, side by side."""
    if before is None:
        said = f"This is the first report on {now.name} in this folder; the next one says here what changed."
        return section("What changed", name="changed", lead=said)
    lines = []
    if before.as_of == now.as_of:
        lines.append(f"No new session since the report of {before.date}: both stand on {session(now.as_of)}.")
    for name, word in (("forecast.model", "model"), ("forecast.trend", "trend")):
        was, is_now = before.texts.get(name, ""), now.texts.get(name, "")
        if was and is_now and was != is_now:
            lines.append(f"The forecast's {word} was {was} and is {is_now}.")
    found = changes(before, now)
    title = f"What changed since {before.date}"
    if not found:
        return section(title, notes([*lines, "Nothing that both reports hold."]), name="changed")
    rows = [(each.label, *_then_and_now(each)) for each in found]
    return section(title, table(("", "then", "now", "change"), rows, kind="changes"), notes(lines), name="changed")


def _then_and_now(change: Change) -> tuple[Html, Html, Html]:
    forms = {
        "price": (price, lambda value: percent(value, sign=True)),
        "percent": (percent, lambda value: percent(value, sign=True)),
        "points": (percent, lambda value: f"{signed(100 * value)} pp"),
        "number": (price, signed),
        "rank": (lambda value: f"{value:.0f}", lambda value: signed(value, 0)),
    }
    shown, moved = forms[change.unit]
    # Only a price's rise is green: more volatility or a higher rank is no good news in itself.
    tone = "signed" if change.unit == "price" else ""
    return (
        data(change.before, shown(change.before), name=f"previous.{change.path}"),
        data(change.now, shown(change.now), name=f"now.{change.path}"),
        data(change.difference, moved(change.difference), name=f"change.{change.path}", tone=tone),  # type: ignore[arg-type]
    )


def alert_list(found: Iterable[Alert], *, named: bool = False) -> Html:
    """Alerts as a list, in the order of their kinds."""
    order = list(KINDS)
    ranked = sorted(found, key=lambda each: (order.index(each.kind), each.symbol))  # type: ignore[arg-type]
    items = "".join(
        f'<li class="alert {escape(each.kind)}"><b>{escape(f"{each.symbol}: " if named else "")}'
        f"{escape(each.title)}</b> {escape(each.said)}</li>"
        for each in ranked
    )
    return Html(f'<ul class="alerts">{items}</ul>' if items else "")


def alerts(found: Iterable[Alert]) -> Html:
    """The section of alerts."""
    listed = alert_list(found)
    return section("Alerts", listed, name="alerts", lead="" if listed else "No rule was broken.")


def badges(about: Mapping[str, Any], day: str, as_of: pd.Timestamp) -> Html:
    """What kind of data this is, and of when."""
    shown = [f"as of {session(as_of)}", f"{about['source']} data", str(about["currency"])]
    if day != session(as_of):
        shown.append(f"report of {day}")
    if about.get("price_basis") == "adjusted":
        shown.append("adjusted prices: currency figures are indicative")
    return Html("".join(f'<span class="badge">{escape(each)}</span> ' for each in shown))


def until(rows: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Rows of the quarantine that are about bars up to `as_of`, or about no bar at all."""
    return rows if rows.empty else rows[rows["time"].isna() | (rows["time"] <= as_of)]


def quality(about: Mapping[str, Any], bars: pd.DataFrame, quarantined: pd.DataFrame, repairs: pd.DataFrame) -> Html:
    """What was refused and repaired in a symbol's data, and what it lacks."""
    said = [f"{len(bars):,} daily bars from {session(bars.index[0])} to {session(bars.index[-1])}, {about['source']}."]
    said.append(_refused(str(about["symbol"]), quarantined))
    said += [f"Repaired by the rule {row.rule}: {row.count:,} rows." for row in _rows(repairs)]
    lacking = bars[["open", "high", "low", "volume"]].isna().sum()
    said += [f"{count:,} bars have no {name}." for name, count in lacking.items() if count]
    return section("Data", notes(said), name="data")


def portfolio_quality(
    sources: Mapping[str, Mapping[str, Any]],
    quarantined: Mapping[str, pd.DataFrame],
    dropped: Mapping[str, int],
    prices: pd.DataFrame,
) -> Html:
    """The same for a portfolio: also what was left out because another symbol has no bar then."""
    said: list[Cell] = [
        f"{len(prices):,} sessions that all of {', '.join(sources)} have, from {session(prices.index[0])}."
    ]
    said += [
        f"{symbol}: {count:,} bars are left out, since another symbol has none then."
        for symbol, count in dropped.items()
        if count
    ]
    said += [_refused(symbol, rows) for symbol, rows in quarantined.items() if len(rows)]
    adjusted = [symbol for symbol, about in sources.items() if about.get("price_basis") == "adjusted"]
    if adjusted:
        said.append(f"{', '.join(adjusted)}: known in adjusted prices only, currency figures are indicative.")
    return section("Data", notes(said), name="data")


def provenance(day: str, as_of: pd.Timestamp, whole: str, answers: Mapping[str, str], version: str) -> Html:
    """Fingerprints: whoever has the same ones has the same figures."""
    rows = [(name, Html(f"<code>{escape(each)}</code>")) for name, each in sorted(answers.items())]
    listed = table(("answer", "fingerprint"), rows, left=2)
    return Html(
        f'<section id="provenance"><h2>Where this comes from</h2><p class="lead">Report of {escape(day)} on data as of '
        f"{session(as_of)}, by quantkit {escape(version)}. The dashboards, the API and notebooks show the same "
        f'figures under the same fingerprints. Report: <code data-fingerprint="report">{escape(whole)}</code></p>'
        f"<details><summary>Fingerprints of the answers</summary>{listed}</details></section>"
    )


def _refused(symbol: str, rows: pd.DataFrame) -> str:
    if rows.empty:
        return f"No row of {symbol} was refused."
    rules = rows["rule"].value_counts().sort_index()
    return (
        f"{len(rows):,} rows of {symbol} were refused: " + ", ".join(f"{rule} {n:,}" for rule, n in rules.items()) + "."
    )


def _rows(frame: pd.DataFrame) -> list[Any]:
    return list(frame.itertuples(index=False))
