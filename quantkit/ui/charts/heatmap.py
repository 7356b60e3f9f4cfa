"""Correlations as a grid of colours, in the order of their clusters; a click names a pair."""

from __future__ import annotations

from typing import Any

import bqplot as bq
import traitlets as t

from quantkit.ui.charts.base import Chart
from quantkit.ui.tables import Cell
from quantkit.ui.theme import Tokens

__all__ = ["CorrelationMap"]

#: Symbols from which the figures no longer fit their cells.
MOST_WORDS = 12


class CorrelationMap(Chart):
    """A heatmap of a :class:`~quantkit.risk.Correlation`.

    Attributes
    ----------
    pair : tuple of two str
        The cell that was clicked last.
    """

    pair = t.Tuple(())

    def __init__(self, *, height: str = "300px") -> None:
        x, y = bq.OrdinalScale(), bq.OrdinalScale(reverse=True)
        # One that is perfect is not in the full colour: its figure must be read on it.
        self.colour = bq.ColorScale(min=-1.7, max=1.7, mid=0.0)
        super().__init__([], x, y, height=height, right=8, left=64)
        self.y_axis.side, self.y_axis.grid_lines = "left", "none"
        self.y_axis.tick_style = {**self.y_axis.tick_style, "transform": "translateX(-6px)"}
        self.x_axis.tick_values = None
        self.remove_class("qk-figure").add_class("qk-map")
        shown: tuple[Any, ...] = self.children  # type: ignore[has-type]
        self.children = tuple(child for child in shown if child is not self.readout)
        self.order: tuple[str, ...] = ()

    def update(self, correlation: Any) -> None:
        """Draw it."""
        if correlation is None:
            return
        matrix, order = correlation.matrix, list(correlation.order)
        self.order = tuple(order)
        # bqplot places cells by the domain it knew when their names changed: marks of another set of names are others.
        self.figure.marks = []
        self.x.domain = self.y.domain = order
        grid = bq.GridHeatMap(
            color=matrix.to_numpy(), row=order, column=order, stroke="transparent",
            scales={"row": self.y, "column": self.x, "color": self.colour},
        )  # fmt: skip
        grid.on_element_click(lambda mark, content: self.clicked(content))
        cells = [(a, b) for a in order for b in order] if len(order) <= MOST_WORDS else []
        words = bq.Label(
            x=[b for _, b in cells], y=[a for a, _ in cells], text=[f"{matrix.loc[a, b]:.2f}" for a, b in cells],
            scales={"x": self.x, "y": self.y}, default_size=11, align="middle", y_offset=4, font_weight="normal",
            colors=[self.tokens.text],
        )  # fmt: skip
        self.figure.marks = [grid, words] if cells else [grid]
        self.cells = {symbol: Cell(write="{:.2f}".format) for symbol in order}
        self._tell(matrix, stem="correlation", caption=f"{correlation.in_words()} To {correlation.as_of:%Y-%m-%d}.")
        if tuple(self.pair) and not set(self.pair) <= set(order):
            self.pair = ()
        if not self.pair and len(order) > 1:
            self.pair = (order[0], order[1])

    def clicked(self, content: Any) -> None:
        """Take a click on a cell; the diagonal is no pair."""
        data = content.get("data", {}) if isinstance(content, dict) else {}
        first, second = data.get("row"), data.get("column")
        if first in self.order and second in self.order and first != second:
            self.pair = (first, second)

    def paint(self, tokens: Tokens) -> None:
        self.colour.colors = [tokens.down, tokens.raised, tokens.forecast]
        for words in self.figure.marks[1:]:
            words.colors = [tokens.text]
