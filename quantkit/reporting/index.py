"""The index of a run: alerts first, then a row a report, which a reader sorts without a script.

HTML cannot sort, but style sheets can place: every row says its rank by each column, and the buttons above the table
(radio buttons, so that exactly one holds) choose which rank places it. In a mail, where buttons are taken out, the
rows stand in the order of their names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from quantkit.reporting.figures import sparkline
from quantkit.reporting.markup import Html, data
from quantkit.reporting.parts.page import alert_list
from quantkit.reporting.record import Record
from quantkit.ui.formats import escape, percent, price

if TYPE_CHECKING:
    from quantkit.reporting.batch import Entry

__all__ = ["index_page"]

_SIGNED: Final[Callable[[float], str]] = lambda value: percent(value, sign=True)  # noqa: E731
#: Title, figure, how it is written, and whether the largest comes first.
_COLUMNS: Final[tuple[tuple[str, str, Callable[[float], str], bool], ...]] = (
    ("Price", "forecast.last_price", price, True),
    ("Session", "history.returns.values.-1", _SIGNED, True),
    ("P(up)", "probability_up", lambda value: percent(value, 0), True),
    ("Volatility", "risk.predicted_volatility", percent, True),
    ("VaR 95 %", "risk.value_at_risk_95_return", percent, False),
    ("Drawdown", "history.drawdown.values.-1", lambda value: percent(value, 1), False),
)


def index_page(date: str, entries: Sequence[Entry], records: Mapping[str, Record]) -> str:
    """The page of a run.

    Parameters
    ----------
    date : str
    entries : sequence of Entry
    records : mapping of Record by name
        Of the entries that are done.
    """
    from quantkit.reporting.render import page

    failed = [each for each in entries if each.status == "failed"]
    # In the order that was asked, whichever report was ready first.
    alerts = [alert for each in entries if each.name in records for alert in records[each.name].alerts]
    said = (
        f"{len(records)} report{'s' if len(records) != 1 else ''}, {len(alerts)} alert{'s' if len(alerts) != 1 else ''}"
    )
    if failed:
        said += f", {len(failed)} failed"
    listed = alert_list(alerts, named=True) or Html('<p class="lead">No rule was broken.</p>')
    body = (
        f"<header><h1>Daily reports <small>{escape(date)}</small></h1><p>{said}.</p></header>"
        f'<section id="alerts"><h2>Alerts</h2>{listed}</section>{_failures(failed)}{_rows(entries, records)}'
    )
    return page(f"Reports of {date}", Html(body))


def _failures(failed: Sequence[Entry]) -> Html:
    items = "".join(
        f'<li><a href="{escape(each.file)}">{escape(each.name)}</a>: {escape(each.error)}</li>' for each in failed
    )
    if not items:
        return Html("")
    return Html(f'<section id="failed"><h2>Without a report</h2><ul class="notes">{items}</ul></section>')


def _rows(entries: Sequence[Entry], records: Mapping[str, Record]) -> Html:
    shown = sorted((each for each in entries if each.name in records), key=lambda each: each.name.lstrip("^"))
    ranks: dict[str, list[int]] = {"name": list(range(len(shown)))}
    figures = [records[each.name].figures for each in shown]
    ranks["alerts"] = _ranked([float(each.alerts) for each in shown], largest_first=True)
    for at, (_, path, _, largest) in enumerate(_COLUMNS):
        ranks[f"c{at}"] = _ranked([found.get(path, math.nan) for found in figures], largest_first=largest)
    titles = {"name": "Name", "alerts": "Alerts", **{f"c{at}": each[0] for at, each in enumerate(_COLUMNS)}}
    buttons = "".join(
        f'<input type="radio" name="sort" id="by-{key}"{" checked" if key == "name" else ""}>'
        f'<label for="by-{key}">{escape(title)}</label>'
        for key, title in titles.items()
    )
    rules = "".join(f"#by-{key}:checked~div .sorted tbody tr{{order:var(--{key})}}" for key in titles)
    head = "".join(
        f'<th scope="col" role="columnheader"{" class=word" if at == 0 else ""}>{escape(title)}</th>'
        for at, title in enumerate(("Name", "60 sessions", *(each[0] for each in _COLUMNS), "Alerts"))
    )
    body = "".join(
        _row(each, records[each.name], ";".join(f"--{key}:{places[at]}" for key, places in ranks.items()))
        for at, each in enumerate(shown)
    )
    return Html(
        f'<section id="reports"><h2>Reports</h2><style>{rules}</style><span class="sortby">Sort by</span>{buttons}'
        f'<div class="wide"><table class="sorted" role="table"><thead role="rowgroup"><tr role="row">{head}'
        f'</tr></thead><tbody role="rowgroup">{body}</tbody></table></div></section>'
    )


def _row(entry: Entry, record: Record, places: str) -> str:
    last = record.closes[-1] if record.closes else math.nan
    alt = f"{len(record.closes)} closes up to {last:,.2f}"
    cells: list[Any] = [sparkline(record.closes, alt=alt) if len(record.closes) > 1 else ""]
    for title, path, form, _ in _COLUMNS:
        value = record.figures.get(path, math.nan)
        name = f"{record.name}.{path}"
        cells.append(data(value, form(value), name=name, tone="signed" if title == "Session" else ""))
    cells.append(f'<b class="down">{entry.alerts}</b>' if entry.alerts else "")
    told = "".join(f'<td role="cell">{cell}</td>' for cell in cells)
    title = f" <small>{escape(record.title)}</small>" if record.title != record.name else ""
    link = f'<a href="{escape(entry.file)}">{escape(record.name)}</a>{title}'
    return f'<tr role="row" style="{places}"><th scope="row" role="rowheader" class="word">{link}</th>{told}</tr>'


def _ranked(values: Sequence[float], *, largest_first: bool) -> list[int]:
    """Place of each value; those that are missing come last, equals in their given order."""
    order = sorted(
        range(len(values)),
        key=lambda at: (math.isnan(values[at]), -values[at] if largest_first else values[at], at),
    )
    places = [0] * len(values)
    for place, at in enumerate(order):
        places[at] = place
    return places
