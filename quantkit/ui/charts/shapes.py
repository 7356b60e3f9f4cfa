"""Candles, bars and dots, all of one colour as one path.

bqplot's ``OHLC``, ``Bars`` and ``Scatter`` have a group, a path or a rectangle for each, which a browser lays out and
paints one by one: some 1,200 elements on every new bar, and four nodes with listeners for a dot. ``Lines`` takes a gap
(NaN) for the end of a piece and fills each piece by itself, so that a path a colour draws the same picture.
"""

from __future__ import annotations

from typing import Any, Final

import bqplot as bq
import numpy as np

__all__ = ["Bars", "Candlesticks", "Dots"]

#: Shares of the distance between two that a candle's body and a bar take.
BODY, WIDTH = 0.7, 0.75


class _TwoColours:
    """Two marks, of what rises and of what falls."""

    def __init__(self, scales: dict[str, bq.Scale], **style: Any) -> None:
        style |= {"fill": "inside", "opacities": [1.0], "visible": False, "x": np.empty(0), "y": np.empty(0)}
        self.rising, self.falling = bq.Lines(scales=scales, **style), bq.Lines(scales=scales, **style)
        self.marks = [self.rising, self.falling]

    def paint(self, rising: str, falling: str) -> None:
        """Take the colours of a theme."""
        for mark, colour in zip(self.marks, (rising, falling), strict=True):
            mark.colors = mark.fill_colors = [colour]

    def hide(self) -> None:
        """Draw nothing."""
        for mark in self.marks:
            mark.visible = False

    def _draw(self, up: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        for mark, chosen in zip(self.marks, (up, ~up), strict=True):
            # Without the gap at the end: bqplot has a label, if unseen, at the last point.
            mark.x, mark.y = x[chosen].ravel()[:-1], y[chosen].ravel()[:-1]
            mark.visible = bool(chosen.any())


class Candlesticks(_TwoColours):
    """Candles whose wick and body share a colour.

    Parameters
    ----------
    scales : dict
        ``x`` and ``y``.
    """

    #: Points of one candle: its wick, a gap, around its body, a gap but after the last.
    POINTS: Final = 9

    def __init__(self, scales: dict[str, bq.Scale]) -> None:
        super().__init__(scales, stroke_width=1.0, fill_opacities=[1.0])

    def draw(self, at: np.ndarray, prices: np.ndarray, *, size: float = 1.0) -> None:
        """Draw candles `size` apart.

        Parameters
        ----------
        at : ndarray, shape (n,)
            Their middles.
        prices : ndarray, shape (n, 4)
            Open, high, low, close, on the scale.
        size : float
        """
        opened, high, low, close = prices.T
        gap, half = np.full(len(at), np.nan), BODY / 2 * size
        left, right = at - half, at + half
        x = np.column_stack([at, at, at, left, left, right, right, left, left])
        y = np.column_stack([low, high, gap, opened, close, close, opened, opened, gap])
        self._draw(close >= opened, x, y)


class Bars(_TwoColours):
    """Bars that stand on zero.

    Parameters
    ----------
    scales : dict
        ``x`` and ``y``.
    opacity : float
    """

    #: Points of one bar: up, across, down, a gap but after the last.
    POINTS: Final = 5

    def __init__(self, scales: dict[str, bq.Scale], *, opacity: float = 0.45) -> None:
        super().__init__(scales, stroke_width=0.0, fill_opacities=[opacity])

    def draw(self, at: np.ndarray, heights: np.ndarray, up: np.ndarray, *, size: float = 1.0) -> None:
        """Draw bars `size` apart.

        Parameters
        ----------
        at, heights : ndarray, shape (n,)
        up : ndarray of bool, shape (n,)
            Which are in the colour of what rises.
        size : float
        """
        ground, gap, half = np.zeros(len(at)), np.full(len(at), np.nan), WIDTH / 2 * size
        x = np.column_stack([at - half, at - half, at + half, at + half, at])
        y = np.column_stack([ground, heights, heights, ground, gap])
        self._draw(up, x, y)


class Dots(bq.Lines):
    """Dots: pieces of one point each, which the round ends of their stroke (``style.css``) make discs.

    Parameters
    ----------
    scales : dict
        ``x`` and ``y``.
    diameter : float
        In CSS pixels.
    opacity : float
    """

    def __init__(self, scales: dict[str, bq.Scale], *, diameter: float, opacity: float = 1.0) -> None:
        super().__init__(
            scales=scales, stroke_width=diameter, opacities=[opacity], x=np.empty(0), y=np.empty(0), visible=False
        )

    def draw(self, at: np.ndarray, values: np.ndarray) -> None:
        """Draw a dot at each of `at`, whose values are finite."""
        gap = np.full(len(at), np.nan)
        # Without the gap at the end: bqplot has a label, if unseen, at the last point.
        self.x, self.y = np.repeat(at, 2)[:-1], np.column_stack([values, gap]).ravel()[:-1]
        self.visible = bool(len(at))
