"""How the parts of a screen stand: panels in a grid that ``style.css`` stacks on a narrow page."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets
import traitlets as t

__all__ = ["GridScreen", "StockScreen", "panel"]


def panel(children: Sequence[widgets.Widget], *classes: str, heading: str = "") -> widgets.Box:
    """A bordered part of a screen, with a heading if it has no other."""
    head = [widgets.HTML(f"<h2 class='qk-heading'>{heading}</h2>")] if heading else []
    box = widgets.Box([*head, *children]).add_class("qk-panel")
    for name in classes:
        box.add_class(name)
    return box


class StockScreen(widgets.Box):
    """Watchlist, chart and what is known now, side by side.

    Attributes
    ----------
    busy : bool
        Another symbol's bars are on their way.
    """

    busy = t.Bool(False)

    def __init__(
        self,
        *,
        side: widgets.Widget,
        tools: widgets.Widget,
        chart: widgets.Widget,
        now: widgets.Widget,
        page: widgets.Widget,
        overlays: widgets.Widget | None = None,
    ) -> None:
        main = [tools, chart] if overlays is None else [tools, overlays, chart]
        super().__init__([panel([side], "qk-side", heading="Watchlist"), panel(main, "qk-main"), now, page])
        self.add_class("qk-screen").add_class("qk-stock")
        self.observe(self._mark, "busy")

    def _mark(self, change: object) -> None:
        (self.add_class if self.busy else self.remove_class)("qk-asking")


class GridScreen(widgets.Box):
    """Panels in the grid of one screen; ``style.css`` places them by its name and by theirs.

    Attributes
    ----------
    busy : bool
        What was asked is on its way.
    """

    busy = t.Bool(False)

    def __init__(self, name: str, parts: Sequence[widgets.Widget], *, page: widgets.Widget) -> None:
        super().__init__([*parts, page])
        self.add_class("qk-screen").add_class(f"qk-{name}")
        self.observe(lambda change: (self.add_class if self.busy else self.remove_class)("qk-asking"), "busy")
