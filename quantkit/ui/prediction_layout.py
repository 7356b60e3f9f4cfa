"""Where the parts of the Predictions screen stand, what each is called, and what its "?" says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import ipywidgets as widgets
import traitlets as t

from quantkit.ui.controls import Choice, csv_export, exports
from quantkit.ui.parts import AnswerPanel
from quantkit.ui.screens import panel

if TYPE_CHECKING:
    from quantkit.ui.page import Page
    from quantkit.ui.prediction_state import PredictionState

__all__ = ["Menu", "StepButtons", "prediction_panels"]

_HELP: Final = {
    "Forecast": (
        "Line: mean of each next bar's close. Bands: the interval at 50, 80 and 95 %, adaptive conformal on signed,"
        " volatility-scaled walk-forward errors (Gibbs and Candès 2021), updated only with outcomes known at each "
        "origin. Steps are drawn twice as wide as bars. Dashed, where auto stays with naive: the best challenger's "
        "median."
    ),
    "Next steps": (
        "Dates are the exchange's next sessions after the last bar. Held: share of walk-forward outcomes inside the"
        " interval at that step. Skill: 1 - MAE / MAE of naive at that step."
    ),
    "Leaderboard": (
        "Every model forecasts at the same 250 origins of the past, from what was known there, and is scored at the"
        " last step on log-returns. Click a heading to sort. 'Not shown to beat naive' is not 'worse than naive': "
        "the evidence does not suffice at 5 %."
    ),
    "Explanation": (
        "The next step taken apart: what each input, with its value, added to the median of the next bar. Shapley "
        "values for trees and networks, coefficients of past returns for arima. The bars and the base add up to the "
        "forecast's change."
    ),
    "Walk-forward": (
        "At each origin the model saw only earlier bars; the band is the interval that it gave for the bar shown, "
        "the line what came, and the dots the misses. The buttons choose how many bars ahead."
    ),
    "Volatility": (
        "Standard deviation of the next bar's return by every model, and annualised over all steps shown. QLIKE is "
        "the mean loss ln(s²) + r² / s² over the walk-forward (Patton 2011), smaller is better; said / came is the "
        "mean forecast over the mean realised variance. In set: cannot be told from the best (10 % model confidence"
        " set)."
    ),
    "Ledger": (
        "What was published earlier, and how it turned out. Every forecast that a screen, the API or a report has "
        "shown is stored before its outcome is known, cannot be altered, and is scored when the bar arrives. On the"
        " sample outcomes are known already: such rows are left out of the record and only counted."
    ),
}


class _Offered(t.HasTraits):
    """A choice whose options change without taking back what was chosen: ipywidgets would choose the first of them.

    Attributes
    ----------
    chosen : object
        To be linked to, in place of ``value``.
    """

    chosen = t.Any(None, allow_none=True)
    _offering = False

    def _follow(self, chosen: object) -> None:
        self.chosen = chosen
        self.observe(lambda change: self._take(), "value")
        self.observe(lambda change: self._show(), "chosen")

    def _offer(self, **options: Any) -> None:
        self._offering = True
        try:
            for name, value in options.items():
                setattr(self, name, value)
        finally:
            self._offering = False
        self._show()

    def _take(self) -> None:
        widget: Any = self
        if not self._offering and widget.value is not None:
            self.chosen = widget.value

    def _show(self) -> None:
        widget: Any = self
        known = [each[1] if isinstance(each, tuple) else each for each in widget.options]
        if self.chosen in known and self.chosen != widget.value:
            widget.value = self.chosen


class Menu(_Offered, Choice):
    """A drop-down whose options may change.

    Attributes
    ----------
    offered : tuple
        Values, or pairs of name and value.
    """

    offered = t.Tuple(())

    def __init__(self, label: str, offered: tuple[Any, ...], chosen: object, tooltip: str = "") -> None:
        super().__init__(label, offered, chosen, tooltip)
        self.offered = offered
        self._follow(chosen)
        self.observe(lambda change: self._offer(options=self.offered), "offered")


class StepButtons(_Offered, widgets.ToggleButtons):
    """One to `most` steps ahead.

    Attributes
    ----------
    most : int
    """

    most = t.Int(5)

    def __init__(self, chosen: int = 1, most: int = 5, *, label: str = "", tooltip: str = "{} ahead") -> None:
        self._tooltip = tooltip
        super().__init__(**self._steps(most), value=chosen, description=label)
        self.most = most
        self.add_class("qk-segments").add_class("qk-steps")
        self._follow(chosen)
        self.observe(lambda change: self._offer(**self._steps(self.most)), "most")

    def _steps(self, most: int) -> dict[str, Any]:
        steps = range(1, most + 1)
        return {"options": [(str(step), step) for step in steps], "tooltips": [self._tooltip.format(s) for s in steps]}


def prediction_panels(state: PredictionState, page: Page, **parts: Any) -> list[widgets.Widget]:
    """The screen's panels in reading order.

    Parameters
    ----------
    parts
        ``tools tiles fan waiting steps verdict standings training explanation words explained walk step volatility
        record``.
    """
    fan, walk = parts["fan"], parts["walk"]
    return [
        panel([parts["tools"]], "qk-area-tools"),
        panel([parts["tiles"]], "qk-area-tiles"),
        AnswerPanel(
            "Forecast", [parts["waiting"], fan], questions=[state.prices, state.forecast], tools=exports(fan, page),
            area="qk-wide",
            help=_HELP["Forecast"],
        ),
        AnswerPanel(
            "Next steps", [parts["steps"], parts["verdict"]], tools=csv_export(parts["steps"], page), area="qk-narrow",
            help=_HELP["Next steps"],
        ),
        AnswerPanel(
            "Leaderboard", [parts["standings"]], questions=[state.leaderboard],
            tools=[parts["training"], *csv_export(parts["standings"], page)], area="qk-wide",
            help=_HELP["Leaderboard"],
        ),
        AnswerPanel(
            "Explanation", [parts["explanation"], parts["words"]], questions=[state.explanation],
            tools=[parts["explained"], *exports(parts["explanation"], page)], area="qk-narrow",
            help=_HELP["Explanation"],
        ),
        AnswerPanel(
            "Walk-forward", [walk], questions=[state.hindcast],
            tools=[parts["step"], *exports(walk, page)], area="qk-wide",
            help=_HELP["Walk-forward"],
        ),
        AnswerPanel(
            "Volatility", [parts["volatility"]], questions=[state.volatility], area="qk-narrow",
            tools=csv_export(parts["volatility"], page),
            help=_HELP["Volatility"],
        ),
        AnswerPanel(
            "Ledger", [parts["record"]], questions=[state.record],
            tools=csv_export(parts["record"], page), area="qk-whole",
            help=_HELP["Ledger"],
        ),
    ]  # fmt: skip
