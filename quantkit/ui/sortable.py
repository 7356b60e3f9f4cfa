"""A table whose columns sort it; see ``sortable.js``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

__all__ = ["SortColumn", "SortableTable", "sort_cell"]


@dataclass(frozen=True, slots=True)
class SortColumn:
    """A column that sorts.

    Attributes
    ----------
    title : str
    help : str
        What it is, in a sentence.
    left : bool
        Whether it is text.
    down : bool
        Whether the largest is best and comes first.
    """

    title: str
    help: str = ""
    left: bool = False
    down: bool = False


def sort_cell(text: str, sort: Any = None, *, kind: str = "", badge: str = "", title: str = "") -> dict[str, Any]:
    """A cell: what is shown, what it is sorted by (None and NaN come last), and its CSS class."""
    missing = isinstance(sort, float) and not math.isfinite(sort)
    return {"text": text, "sort": None if missing else sort, "kind": kind, "badge": badge, "title": title}


class SortableTable(anywidget.AnyWidget):
    """Rows as they are given until a person sorts them: a click on a heading, another turns, a third restores."""

    _esm = Path(__file__).with_name("sortable.js")

    rows = t.List(t.Dict()).tag(sync=True)
    columns = t.List(t.Dict()).tag(sync=True)
    caption = t.Unicode("").tag(sync=True)

    def fill(
        self,
        columns: Sequence[SortColumn],
        rows: Sequence[tuple[str, str, Sequence[dict[str, Any]]]],
        caption: str = "",
    ) -> None:
        """Show rows, each a name, a CSS class and its cells."""
        with self.hold_sync():
            self.columns = [asdict(column) for column in columns]
            self.rows = [{"name": name, "kind": kind, "cells": list(cells)} for name, kind, cells in rows]
            self.caption = caption
