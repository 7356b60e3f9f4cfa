"""What every chart of a result has: a figure built once, words above it, a table twin, exports, and the theme."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import bqplot as bq
import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets as t

from quantkit.ui.charts.readout import Readout
from quantkit.ui.charts.ticks import price_ticks
from quantkit.ui.tables import Cell, table_html
from quantkit.ui.theme import THEMES, Tokens

__all__ = ["PERCENT", "Chart", "Scaling"]


@dataclass(frozen=True, slots=True)
class Scaling:
    """How an axis of numbers is labelled."""

    percent: bool = True
    ticks: int = 5

    def form(self, values: np.ndarray) -> str:
        """d3's format for labels at `values`."""
        step = float(np.diff(values).min()) if len(values) > 1 else 1.0
        step *= 100.0 if self.percent else 1.0
        digits = 0 if step >= 1.0 else min(int(np.ceil(-np.log10(step) - 1e-9)), 4)
        return f".{digits}%" if self.percent else f",.{digits}f"


PERCENT: Final = Scaling()


class Chart(widgets.VBox):
    """A bqplot figure with its readout and its table twin.

    A subclass makes its marks in ``__init__``, gives them to this one, and has ``update(result)``, which draws under
    :meth:`_together` and ends with :meth:`_tell`; and ``paint(tokens)``.

    Attributes
    ----------
    theme : {"dark", "light"}
    show_table : bool
    ready : bool
        Whether it has been given a result.
    frame : DataFrame or None
        What is drawn, for the table twin and CSV.
    """

    theme = t.Enum(tuple(THEMES), default_value="dark")
    show_table = t.Bool(False)
    ready = t.Bool(False)

    #: How the columns of ``frame`` are written in the table twin.
    cells: Mapping[str, Cell] = {}

    def __init__(
        self,
        marks: Sequence[bq.Mark],
        x: bq.Scale,
        y: bq.Scale,
        *,
        height: str = "240px",
        scaling: Scaling = PERCENT,
        left: int = 8,
        right: int = 60,
        bottom: int = 24,
    ) -> None:
        self.x, self.y, self.scaling = x, y, scaling
        self.x_axis = bq.Axis(scale=x, grid_lines="none", tick_values=np.empty(0))
        self.y_axis = bq.Axis(scale=y, side="right", orientation="vertical", grid_lines="solid",
                              tick_format=".0%" if scaling.percent else ",.2f")  # fmt: skip
        self.figure = bq.Figure(
            marks=list(marks), axes=[self.x_axis, self.y_axis], animation_duration=0, padding_x=0, padding_y=0,
            min_aspect_ratio=0.01, max_aspect_ratio=1000, display_toolbar=False,
            fig_margin={"top": 8, "bottom": bottom, "left": left, "right": right},
            layout=widgets.Layout(width="100%", height=height, min_width="0", min_height="0"),
        )  # fmt: skip
        self.readout = Readout(x_scale=x, y_scale=y)
        self.table = widgets.HTML(tabbable=True, layout=widgets.Layout(display="none")).add_class("qk-table-twin")
        plot = widgets.Box([self.figure]).add_class("qk-plot")
        super().__init__([self.readout, plot, self.table])
        self.add_class("qk-chart").add_class("qk-figure").add_class("qk-empty")
        self.frame: pd.DataFrame | None = None
        self.caption, self.file_stem = "", "chart"
        self._held = False
        self._paint()
        self.observe(lambda change: self._paint(), "theme")
        self.observe(lambda change: self._fill_table(), "show_table")
        self.readout.observe(lambda change: self.resized(), "width")

    @property
    def tokens(self) -> Tokens:
        """Colours of the theme that is shown."""
        return THEMES[self.theme]  # type: ignore[index]

    @property
    def csv(self) -> str:
        """What is drawn as CSV with full precision."""
        return "" if self.frame is None else self.frame.to_csv(lineterminator="\n")

    def save_png(self) -> None:
        """Have the browser download what is drawn."""
        self.figure.save_png(filename=f"{self.file_stem}.png", scale=2)

    def paint(self, tokens: Tokens) -> None:
        """Give the marks the colours of a theme; a subclass's."""

    def resized(self) -> None:
        """The plot has another width; a subclass's."""

    def _paint(self) -> None:
        tokens = self.tokens
        with self._together():
            for axis in (self.x_axis, self.y_axis):
                axis.color, axis.grid_color = tokens.panel, tokens.grid
                axis.tick_style = {"fill": tokens.muted, "font-size": "11px"}
            self.y_axis.tick_style |= {"transform": "translateX(6px)"}
            self.figure.background_style = {"fill": tokens.panel}
            self.paint(tokens)

    def _span(
        self, low: float, high: float, *, pad: float = 0.06, floor: float | None = None, ceiling: float | None = None
    ) -> None:
        """Let the y axis reach from `low` to `high` and a little further, with round numbers on it."""
        room = (high - low) * pad or abs(high) * 0.1 or 1.0
        self.y.min, self.y.max = low - room if floor is None else floor, high + room if ceiling is None else ceiling
        ticks = price_ticks(self.y.min, self.y.max, self.scaling.ticks)
        self.y_axis.tick_format = self.scaling.form(ticks)
        self.y_axis.tick_values = ticks

    def _tell(self, frame: pd.DataFrame, *, caption: str, stem: str) -> None:
        """Take what was drawn for the table twin and the exports."""
        self.frame, self.caption = frame, caption
        self.file_stem = "".join(c if c.isalnum() or c in ".-=" else "_" for c in stem)
        self._fill_table()
        if not self.ready:  # until then its axes say nothing
            self.remove_class("qk-empty")
        self.ready = True

    def _fill_table(self) -> None:
        self.table.layout.display = None if self.show_table else "none"
        if self.show_table and self.frame is not None:
            self.table.value = table_html(self.frame, self.cells, caption=self.caption)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Send all traits of a widget in one message."""
        if self._held:
            yield
            return
        self._held = True
        # Not the axes: how their ticks are written must arrive before where they are.
        members: list[Any] = [*self.figure.marks, self.figure, self.x, self.y]
        try:
            with ExitStack() as stack:
                for member in members:
                    stack.enter_context(member.hold_sync())
                yield
        finally:
            self._held = False
