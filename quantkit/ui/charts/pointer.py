"""The crosshair, readout, pan and zoom that lie over a chart; see ``pointer.js``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets as t

from quantkit.ui.charts.aggregate import Candles
from quantkit.ui.theme import FONT_MONO, FONT_TEXT, THEMES, ThemeName

__all__ = ["Pointer"]

_HERE = Path(__file__).parent


class Pointer(anywidget.AnyWidget):
    """What is under the pointer, and what the pointer does.

    It shows one row of `rows` at a time and moves ``min`` and ``max`` of the x scale; the chart watches the scale like
    it would under bqplot's own PanZoom. Nothing is sent to the kernel while only the crosshair moves.
    """

    _esm = _HERE / "pointer.js"
    _css = _HERE.parent / "style.css"

    x_scale = t.Instance(widgets.Widget).tag(sync=True, **widgets.widget_serialization)
    y_scale = t.Instance(widgets.Widget).tag(sync=True, **widgets.widget_serialization)
    rows = t.Bytes(b"").tag(sync=True)
    meta = t.Dict().tag(sync=True)
    tokens = t.Dict().tag(sync=True)
    held = t.List(t.Unicode(), help="Model ids of marks that wait until all that moves them has come").tag(sync=True)
    width = t.Int(0, help="Width of the plot in CSS pixels; 0 until it is drawn").tag(sync=True)
    painted = t.Int(-1, help="Generation of the drawing that has reached the screen").tag(sync=True)

    def show(self, candles: Candles, time: np.ndarray, meta: dict[str, Any], extra: Sequence[np.ndarray] = ()) -> None:
        """Give it the candles that are drawn.

        Parameters
        ----------
        candles : Candles, n of them
        time : ndarray of int64, shape (T,)
            Milliseconds on the clock to be shown, by bar number.
        meta : dict
            ``decimals intraday zone note limits least newest floor log before last caption generation extra``.
        extra : sequence of ndarray, shape (n,)
            Further values of each candle, one for each of the names and colours in ``meta["extra"]``.
        """
        table = np.empty((len(candles), 9 + len(extra)))
        table[:, 0] = candles.position
        table[:, 1] = time[candles.first]
        table[:, 2] = time[candles.last]
        table[:, 3] = candles.last - candles.first + 1
        for column, name in enumerate(("open", "high", "low", "close", "volume"), start=4):
            table[:, column] = getattr(candles, name)
        for column, values in enumerate(extra, start=9):
            table[:, column] = values
        for column in (4, 5, 6, 8):  # all but the close
            table[~candles.quoted, column] = np.nan
        with self.hold_sync():
            self.rows = table.tobytes()
            self.meta = meta

    def paint(self, theme: ThemeName) -> None:
        """Set the colours that the style sheet reads."""
        colours = {name: value for name, value in asdict(THEMES[theme]).items() if isinstance(value, str)}
        self.tokens = {**colours, "mono": FONT_MONO, "font": FONT_TEXT}
