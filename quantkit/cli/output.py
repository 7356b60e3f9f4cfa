"""How the command line shows an answer: tables for people, JSON for programs, progress on the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from quantkit.core.progress import Progress
    from quantkit.desk import Desk

__all__ = [
    "AsJson", "Columns",
    "Interval", "Model", "Objective", "Period", "Symbol", "new_table", "number", "open_desk", "percent",
    "print_answer", "print_json", "print_table", "watched", "when",
]  # fmt: skip


def complete_symbol(incomplete: str) -> list[str]:
    """What the shell offers for a symbol: those of the store and of the providers' catalogues."""
    from quantkit.core.errors import QuantkitError

    try:
        with open_desk() as desk:
            known = [each.symbol for each in desk.market.instruments()]
    except QuantkitError:
        return []
    return [symbol for symbol in known if symbol.startswith(incomplete.upper())]


def complete_model(incomplete: str) -> list[str]:
    """What the shell offers for a model."""
    from quantkit.forecast import FORECASTERS

    return [name for name in FORECASTERS if name.startswith(incomplete)]


def complete_objective(incomplete: str) -> list[str]:
    """What the shell offers for an objective."""
    from quantkit.portfolio import OBJECTIVES

    return [name for name in OBJECTIVES if name.startswith(incomplete)]


def complete_period(incomplete: str) -> list[str]:
    """What the shell offers for a period."""
    from quantkit.core.calendars import PERIODS

    return [name for name in PERIODS if name.startswith(incomplete)]


Symbol = Annotated[str, typer.Argument(help="Such as AAPL, ^GSPC, BRK-B, AZN.L", autocompletion=complete_symbol)]
Model = Annotated[str, typer.Option(help="auto, or a model by name", autocompletion=complete_model)]
Objective = Annotated[
    str,
    typer.Option(help="Such as max_sharpe, min_volatility, risk_parity, hrp", autocompletion=complete_objective),
]
Period = Annotated[str, typer.Option(help="1d 5d 1mo 6mo ytd 1y 5y max", autocompletion=complete_period)]
Columns: TypeAlias = Sequence[str | tuple[str, Literal["left", "right"]]]
AsJson = Annotated[bool, typer.Option("--json", help="Print the body that the REST API sends")]
Interval = Annotated[str, typer.Option(help="1d or 1m")]


@contextmanager
def open_desk() -> Iterator[Desk]:
    """A desk on the settings in force."""
    from quantkit.desk import Desk

    with Desk.open() as desk:
        yield desk


def print_json(body: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(body, indent=2, allow_nan=False))


def print_answer(desk: Desk, question: str, **arguments: Any) -> None:
    """The body that the REST API sends to `question`, with a progress bar while it takes."""
    from quantkit.api.answers import ask

    what = " ".join(str(arguments[name]) for name in ("symbol", "objective") if name in arguments)
    answer = watched(f"{what} {question}".strip(), lambda told: ask(desk, question, progress=told, **arguments))
    print_json(answer.body)


def new_table(title: str, columns: Columns, caption: str = "") -> Table:
    """A table with a header; a column named alone is right-aligned, as numbers are."""
    from rich import box
    from rich.table import Table

    named = [(column, "right") if isinstance(column, str) else column for column in columns]
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, caption=caption, caption_justify="left",
        show_header=any(name for name, _ in named),
    )  # fmt: skip
    for name, justify in named:
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    return table


def print_table(table: Table) -> None:
    """`table` on standard output."""
    from rich.console import Console

    # A pipe gets whole rows: rich would otherwise fold them at 80 columns.
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def number(value: float, digits: int = 2) -> str:
    """With thousands separated; empty for NaN."""
    return "" if value != value else f"{value:,.{digits}f}"


def percent(value: float, digits: int = 2) -> str:
    """A decimal as a percentage; empty for NaN."""
    return "" if value != value else f"{value:.{digits}%}"


def when(time: pd.Timestamp, interval: str) -> str:
    """The session's date, or the minute, in UTC."""
    return f"{time:%Y-%m-%d}" if interval == "1d" else f"{time:%Y-%m-%d %H:%M}"


def watched(what: str, question: Callable[[Progress], Any]) -> Any:
    """Answer of `question`, with a progress bar on the terminal while it takes."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as ProgressBar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with ProgressBar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int, doing: str = "") -> None:
            bar.update(task, completed=done, total=total, description=f"{what} {doing}".strip())

        return question(report)
