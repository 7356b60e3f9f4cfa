"""What the inputs of a model added to its forecast, as signed bars with the inputs' values."""

from __future__ import annotations

import math
from typing import Any

import traitlets as t

from quantkit.ui.charts.signed_bars import SignedBars
from quantkit.ui.formats import date_words, signed
from quantkit.ui.tables import Cell

__all__ = ["ExplanationBars"]


class ExplanationBars(SignedBars):
    """An :class:`~quantkit.forecast.Explanation`: each input's share of the price change, the largest first.

    Attributes
    ----------
    explanation : Explanation or None
    """

    explanation = t.Any(None, allow_none=True)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.observe(lambda change: self.update(self.explanation), "explanation")
        self.add_class("qk-away")

    def update(self, explanation: Any) -> None:
        """Draw it; one without contributions, or None, leaves no chart."""
        shown = explanation is not None and bool(explanation.contributions)
        # A figure without a size draws rectangles of negative ones: it is moved away, not folded up.
        (self.remove_class if shown else self.add_class)("qk-away")
        if not shown:
            return
        parts = explanation.contributions
        reach = max(abs(part.contribution_price) for part in parts)
        digits = 2 if reach >= 1.0 else min(2 - math.floor(math.log10(reach)), 6) if reach > 0.0 else 2
        self.cells = {
            "value": Cell("Value", "{:.4g}".format),
            "contribution_return": Cell("Return", lambda value: f"{signed(value * 100, 4)}%", signed=True),
            "contribution_price": Cell(explanation.currency, lambda value: signed(value, digits), signed=True),
            "about": Cell("What it is", left=True),
        }
        self.draw(
            [_named(part) for part in parts],
            [part.contribution_price for part in parts],
            digits=digits,
            frame=explanation.to_frame(),
            caption=f"{explanation.symbol} from {date_words(explanation.as_of, explanation.interval)}: "
            f"{explanation.in_words()} {explanation.method}.",
            stem=f"{explanation.symbol}-{explanation.chosen}-explanation",
        )


def _named(part: Any) -> str:
    return part.feature if math.isnan(part.value) else f"{part.feature} = {part.value:.3g}"
