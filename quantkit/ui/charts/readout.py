"""The words above a chart and the mark under its pointer; see ``readout.js``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets as t

__all__ = ["Column", "Readout"]

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Column:
    """How one figure of a row is written.

    Attributes
    ----------
    name : str
    colour : str
        Of its line, as CSS; none where it has no line.
    percent : bool
    digits : int
    sign : bool
        Whether a plus is written.
    signed : bool
        Whether it is coloured by its sign.
    optional : bool
        Whether it is left out where it is missing.
    """

    name: str
    colour: str = ""
    percent: bool = True
    digits: int = 2
    sign: bool = False
    signed: bool = False
    optional: bool = False


class Readout(anywidget.AnyWidget):
    """Says the row under the pointer, and which row was picked by a click or Enter.

    Attributes
    ----------
    width : int
        Of the plot in CSS pixels; 0 until it is drawn.
    """

    _esm = _HERE / "readout.js"
    _css = _HERE.parent / "style.css"

    x_scale = t.Instance(widgets.Widget).tag(sync=True, **widgets.widget_serialization)
    y_scale = t.Instance(widgets.Widget).tag(sync=True, **widgets.widget_serialization)
    rows = t.Bytes(b"").tag(sync=True)
    meta = t.Dict().tag(sync=True)
    width = t.Int(0).tag(sync=True)

    def __init__(self, **scales: Any) -> None:
        super().__init__(**scales)
        self._picked: list[Callable[[int], object]] = []
        self._count = 0
        self.on_msg(lambda widget, content, buffers: self.receive(content))

    def show(
        self,
        names: Sequence[str],
        x: np.ndarray,
        y: np.ndarray,
        columns: Sequence[tuple[Column, np.ndarray]],
        **meta: Any,
    ) -> None:
        """Give it the rows, each with its name, place and figures.

        Parameters
        ----------
        meta
            ``points`` (the nearest of all on the screen is meant, and may be picked), ``rest`` (the row that is said
            while nothing is pointed at), ``caption``, ``note``.
        """
        table = np.column_stack([x, y, *(values for _, values in columns)]).astype(np.float64)
        self._count = len(names)
        with self.hold_sync():
            self.rows = np.ascontiguousarray(table).tobytes()
            self.meta = {"names": list(names), "columns": [asdict(column) for column, _ in columns], **meta}

    def on_pick(self, act: Callable[[int], object]) -> None:
        """Call `act` with the number of the row that is clicked."""
        self._picked.append(act)

    def receive(self, content: Any) -> None:
        """Take a click; a row that there is not is no click."""
        row = content.get("pick") if isinstance(content, dict) else None
        if isinstance(row, int) and not isinstance(row, bool) and 0 <= row < self._count:
            for act in self._picked:
                act(row)
