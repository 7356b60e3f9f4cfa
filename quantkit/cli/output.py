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
    "Interval", "Symbol", "new_table", "number", "open_desk", "percent", "print_json", "print_table",
    "watched", "when",
]  # fmt: skip

Symbol = Annotated[str, typer.Argument(help="Such as AAPL, ^GSPC, BRK-B, AZN.L")]
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


def new_table(title: str, columns: Columns, caption: str = "") -> Table:
    """A table with a header; a column named alone is right-aligned, as numbers are."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    for column in columns:
        name, justify = (column, "right") if isinstance(column, str) else column
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
