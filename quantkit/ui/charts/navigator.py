"""The whole history in one line, with a brush over the part in sight."""

from __future__ import annotations

from collections.abc import Callable

import bqplot as bq
import ipywidgets as widgets
import numpy as np

from quantkit.ui.charts.aggregate import BarColumns
from quantkit.ui.theme import Tokens

__all__ = ["Navigator"]

POINTS = 400
#: Share of the width that cannot be seen.
HALF_PIXEL = 0.5 / 1000


class Navigator:
    """A line of closes under a brush; calls `on_range` with bar numbers when a person moves the brush.

    Parameters
    ----------
    on_range : callable
        ``on_range(low, high)``.
    margin : dict
        Left and right margin of the chart above it, so that both agree on where a bar is.
    """

    def __init__(self, on_range: Callable[[float, float], None], margin: dict[str, int]) -> None:
        self._on_range = on_range
        self._shown: tuple[float, float] | None = None
        self._waiting = 0
        self.x = bq.LinearScale(allow_padding=False)
        self.y = bq.LinearScale(allow_padding=False)
        self.line = bq.Lines(scales={"x": self.x, "y": self.y}, stroke_width=1.0)
        self.brush = bq.interacts.BrushIntervalSelector(scale=self.x, marks=[self.line])
        self.figure = bq.Figure(
            marks=[self.line], axes=[], interaction=self.brush, animation_duration=0, padding_x=0, padding_y=0,
            display_toolbar=False,
            fig_margin={"top": 2, "bottom": 2, **margin}, min_aspect_ratio=0.01, max_aspect_ratio=1000,
            layout=widgets.Layout(width="100%", height="44px", min_width="0", min_height="0"),
        )  # fmt: skip
        self.brush.observe(self._brushed, "selected")

    @property
    def widgets(self) -> list[widgets.Widget]:
        """What changes together."""
        return [self.x, self.y, self.line, self.brush]

    def load(self, columns: BarColumns, limits: tuple[float, float], added: int | None = None) -> None:
        """Draw a series; `limits` are the furthest bar numbers that can be shown.

        Where it is the one that is drawn, with `added` bars more, it waits until that can be seen.
        """
        total = len(columns)
        self._waiting += added or 0
        # The last bar that is drawn may have moved as well.
        if added is not None and self._waiting + 1 < HALF_PIXEL * total:
            return
        self._waiting = 0
        step = max(1, -(-total // POINTS))
        at = np.unique(np.append(np.arange(0, total, step), max(total - 1, 0))) if total else np.empty(0, dtype=int)
        close = columns.close[at]
        self.x.min, self.x.max = limits
        if total:
            low, high = float(close.min()), float(close.max())
            pad = (high - low) * 0.12 or abs(high) * 0.01 or 1.0
            self.y.min, self.y.max = low - pad, high + pad
        self.line.x, self.line.y = at.astype(float), close

    def show(self, low: float, high: float) -> None:
        """Lay the brush over a range without announcing it; not for less than half a pixel."""
        moved = HALF_PIXEL * ((self.x.max or 0.0) - (self.x.min or 0.0))
        if self._shown is None or max(abs(low - self._shown[0]), abs(high - self._shown[1])) > moved:
            self._shown = (low, high)
            self.brush.selected = np.array([low, high])

    def paint(self, tokens: Tokens) -> None:
        """Take the colours of a theme."""
        self.line.colors = [tokens.neutral]
        self.brush.color = tokens.accent
        self.figure.background_style = {"fill": tokens.panel}

    def _brushed(self, change: object) -> None:
        chosen = self.brush.selected
        if chosen is None or len(chosen) != 2:
            if self._shown is not None:  # a click beside the brush would leave nothing in sight
                self.brush.selected = np.array(self._shown)
            return
        low, high = float(chosen[0]), float(chosen[1])
        if self._shown is None or (low, high) != self._shown:
            self._shown = (low, high)
            self._on_range(low, high)
