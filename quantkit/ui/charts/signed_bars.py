"""What a figure is made of: one bar a part, to the right where it adds, to the left where it takes away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import bqplot as bq
import numpy as np
import pandas as pd

from quantkit.ui.charts.base import Chart, Scaling
from quantkit.ui.formats import signed
from quantkit.ui.theme import Tokens

__all__ = ["SignedBars"]

#: Parts with a bar of their own; the smaller ones are one bar together.
MOST: Final = 10
PIXELS: Final = 22
#: Room on either side for the figures, as a share of the bars' reach.
ROOM: Final = 0.6


class SignedBars(Chart):
    """Horizontal bars from zero, each with its name at the left and its figure at its end."""

    def __init__(self, *, height: str = "260px", left: int = 188) -> None:
        self._signs: list[float] = []
        # bqplot's horizontal bars stand on their x scale, which lies along the vertical axis. Rows are numbers, falling
        # from zero: an ordinal axis takes names that it was not made with for numbers.
        self.row, self.value = (bq.LinearScale(allow_padding=False) for _ in range(2))
        self.row.min, self.row.max, self.value.min, self.value.max = -1.5, 0.5, -1.0, 1.0
        self.bars = bq.Bars(scales={"x": self.row, "y": self.value}, orientation="horizontal", padding=0.35,
                            stroke_width=0, x=[0.0, -1.0], y=[0.0, 0.0])  # fmt: skip
        here = {"x": self.value, "y": self.row}
        more = {"default_size": 11, "y_offset": 1, "enable_move": False, "font_weight": "normal", "x": [], "y": [],
                "text": []}  # fmt: skip
        self.above = bq.Label(scales=here, align="start", x_offset=5, **more)
        self.below = bq.Label(scales=here, align="end", x_offset=-5, **more)
        marks = [self.bars, self.above, self.below]
        super().__init__(marks, self.value, self.row, height=height, left=left, right=12, bottom=4,
                         scaling=Scaling(percent=False))  # fmt: skip
        self.y_axis.side, self.y_axis.grid_lines, self.y_axis.tick_values = "left", "none", np.empty(0)
        self.x_axis.visible = False
        self.remove_class("qk-figure").add_class("qk-map").add_class("qk-bars")
        self.children = tuple(child for child in self.children if child is not self.readout)  # type: ignore[has-type]

    def draw(
        self,
        names: Sequence[str],
        sizes: Sequence[float],
        *,
        digits: int,
        frame: pd.DataFrame,
        caption: str,
        stem: str,
    ) -> None:
        """Show parts, the largest first; `frame` is the table twin of all of them."""
        order = sorted(range(len(names)), key=lambda at: -abs(sizes[at]))
        shown, rest = order[:MOST], order[MOST:]
        labels, values = [names[at] for at in shown], [float(sizes[at]) for at in shown]
        if rest:
            labels.append(f"{len(rest)} others" if len(rest) > 1 else names[rest[0]])
            values.append(float(sum(sizes[at] for at in rest)))
        low, high = min([*values, 0.0]), max([*values, 0.0])
        room = ROOM * (high - low) or 1.0
        rows = [float(-at) for at in range(len(values))]
        self._signs = values
        with self._together():
            self.row.min, self.row.max = 0.5 - max(len(values), 3), 0.5
            self.value.min = low - (room if low < 0 else 0.1 * room)
            self.value.max = high + (room if high > 0 else 0.1 * room)
            self.bars.x, self.bars.y = np.array(rows), np.array(values)
            for mark, chosen in ((self.above, [v >= 0 for v in values]), (self.below, [v < 0 for v in values])):
                kept = [at for at, keep in enumerate(chosen) if keep]
                mark.x, mark.y = np.array([values[at] for at in kept]), np.array([rows[at] for at in kept])
                mark.text = [signed(values[at], digits) for at in kept]
            self.y_axis.tick_labels = {str(int(row)): label for row, label in zip(rows, labels, strict=True)}
            self.y_axis.tick_values = np.array(rows)
            self.figure.layout.height = f"{max(len(labels), 3) * PIXELS + 16}px"
            self._colour(self.tokens)
        self._tell(frame, caption=caption, stem=stem)

    def paint(self, tokens: Tokens) -> None:
        """Colours of what adds and what takes away."""
        self.y_axis.tick_style = {"fill": tokens.text, "font-size": "11px", "transform": "translateX(-6px)"}
        self._colour(tokens)

    def _colour(self, tokens: Tokens) -> None:
        self.bars.colors = [tokens.down if value < 0 else tokens.up for value in self._signs] or [tokens.up]
        self.above.colors, self.below.colors = [tokens.up], [tokens.down]
