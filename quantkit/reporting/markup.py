"""HTML of a report, in which every number carries its exact value and the name of the answer it was read from.

A figure is written as ``<data data-figure="risk.sharpe" value="0.9130148">0.91</data>``: what a reader sees is
rounded, what a program reads back is the answer's own bits. :class:`Figures` reads figures from a result by such a
path, so that a page cannot show a number that no answer holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias

import pandas as pd

from quantkit.core.results import Result
from quantkit.ui.formats import MISSING, direction, escape, percent, price, signed

__all__ = ["Cell", "Figures", "Format", "Html", "data", "figure", "notes", "section", "table", "text", "tiles"]

Format: TypeAlias = Callable[[float], str]
Tone: TypeAlias = Literal["", "signed"]


class Html(str):
    """Text that is markup already; everything else is escaped on its way into a page."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)


Cell: TypeAlias = str | Html


def text(value: object) -> Html:
    """`value` as HTML: markup stays as it is, anything else is escaped."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def data(value: float, shown: str, *, name: str = "", tone: Tone = "") -> Html:
    """One number: `shown` to the reader, `value` in full to a program; a dash where it is NaN."""
    number = float(value)
    if not math.isfinite(number):
        return Html(f'<span class="none">{MISSING}</span>')
    named = f' data-figure="{escape(name)}"' if name else ""
    style = f' class="{direction(number)}"' if tone == "signed" else ""
    return Html(f'<data{named}{style} value="{number!r}">{escape(shown)}</data>')


@dataclass(frozen=True)
class Figures:
    """The figures of one answer, by their path in its JSON form.

    Attributes
    ----------
    name : str
        What the answer is called in the page: ``risk``.
    answer : Result
    taken : dict of float by path
        Every figure that was shown so far.

    Raises
    ------
    KeyError
        The answer has no such figure.
    """

    name: str
    answer: Result
    taken: dict[str, float] = field(default_factory=dict)
    _values: dict[str, Any] = field(default_factory=dict, repr=False)

    def value(self, path: str) -> Any:
        """What stands at `path`, such as ``steps.0.mean``; NaN where the answer holds none."""
        if not self._values:
            self._values.update(self.answer.to_dict())
        found: Any = self._values
        for part in path.split("."):
            found = found[int(part)] if isinstance(found, list) else found[part]
        return math.nan if found is None else found

    def show(self, path: str, shown: Format, *, tone: Tone = "") -> Html:
        """The figure at `path` as ``<data>``."""
        value = float(self.value(path))
        self.taken[f"{self.name}.{path}"] = value
        return data(value, shown(value), name=f"{self.name}.{path}", tone=tone)

    def percent(self, path: str, decimals: int = 2, *, sign: bool = False, tone: Tone = "") -> Html:
        """A decimal as per cent."""
        return self.show(path, partial(percent, decimals=decimals, sign=sign), tone=tone)

    def number(self, path: str, decimals: int = 2, *, sign: bool = False, tone: Tone = "") -> Html:
        """A number with thousands separated."""
        return self.show(path, partial(signed if sign else price, decimals=decimals), tone=tone)

    def count(self, path: str) -> Html:
        """A whole number."""
        return self.show(path, lambda value: f"{value:,.0f}")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    caption: Cell = "",
    left: int = 1,
    kind: str = "",
) -> Html:
    """A table whose first cell of a row is its header; the first `left` columns hold words, the others numbers."""
    align = [' class="word"' if at < left else "" for at in range(len(columns))]
    head = "".join(f'<th scope="col"{each}>{text(name)}</th>' for each, name in zip(align, columns, strict=True))
    body = []
    for row in rows:
        first, *others = row
        cells = "".join(f"<td{each}>{text(cell)}</td>" for each, cell in zip(align[1:], others, strict=True))
        body.append(f'<tr><th scope="row"{align[0]}>{text(first)}</th>{cells}</tr>')
    titled = f"<caption>{text(caption)}</caption>" if caption else ""
    extra = f' class="{kind}"' if kind else ""
    return Html(
        f'<div class="wide"><table{extra}>{titled}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def tiles(shown: Iterable[tuple[str, Cell, Cell]]) -> Html:
    """Headline figures side by side: label, figure, and a line below it."""
    cells = "".join(
        f'<div class="tile"><span class="label">{text(label)}</span><span class="big">{text(value)}</span>'
        f'<span class="below">{text(below)}</span></div>'
        for label, value, below in shown
    )
    return Html(f'<div class="tiles">{cells}</div>')


def figure(svg: str, caption: Cell, *, newest: bool = True) -> Html:
    """A picture under which stands what it shows; on a narrow screen a `newest` one shows its right end first."""
    kind = "latest" if newest else "wide"
    return Html(f'<figure><div class="{kind}">{svg}</div><figcaption>{text(caption)}</figcaption></figure>')


def notes(lines: Iterable[Cell]) -> Html:
    """Sentences as a list; nothing without any."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines if line)
    return Html(f'<ul class="notes">{items}</ul>' if items else "")


def section(title: str, *parts: Cell, name: str, lead: Cell = "") -> Html:
    """A part of the page under a heading, with the sentence that a reader in a hurry reads."""
    said = f'<p class="lead">{text(lead)}</p>' if lead else ""
    return Html(
        f'<section id="{escape(name)}"><h2>{text(title)}</h2>{said}{"".join(text(part) for part in parts)}</section>'
    )


def session(time: pd.Timestamp | str | None) -> str:
    """A session's date; a dash where there is none."""
    return MISSING if time is None or pd.isna(time) else f"{pd.Timestamp(time):%Y-%m-%d}"


def flatten(several: Iterable[Figures]) -> Mapping[str, float]:
    """Every figure that `several` have shown, by its name in the page."""
    return {name: value for figures in several for name, value in figures.taken.items()}
