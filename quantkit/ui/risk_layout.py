"""Where the parts of the Risk screen stand, what each is called, and what its "?" says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import traitlets as t

from quantkit.ui.controls import csv_export, exports
from quantkit.ui.parts import AnswerPanel
from quantkit.ui.screens import panel

if TYPE_CHECKING:
    from quantkit.ui.page import Page
    from quantkit.ui.risk_state import RiskState

__all__ = ["risk_panels"]


def risk_panels(state: RiskState, page: Page, **parts: Any) -> list[widgets.Widget]:
    """The screen's panels in reading order.

    Parameters
    ----------
    parts
        ``heading tools fault tiles var methods histogram volatility underwater drawdowns rolling months heatmap
        together contributions stress``.
    """
    report, history = state.report, state.history

    def figure(name: str) -> list[widgets.Widget]:
        return exports(parts[name], page)

    def table(name: str) -> list[widgets.Widget]:
        return csv_export(parts[name], page)

    found = [
        panel([parts["tools"], parts["fault"], parts["heading"]], "qk-area-tools"),
        panel([parts["tiles"]], "qk-area-tiles"),
        AnswerPanel(
            "Value at risk over time", [parts["var"]], questions=[report], tools=figure("var"), area="qk-narrow",
            help="At each origin the method sees only the returns before it and says the VaR of the next horizon; dots "
            "are what then happened, red ones fell below it. Up to 1,000 origins, parameters estimated again every 21.",
        ),
        AnswerPanel(
            "VaR methods and their tests", [parts["methods"]], tools=table("methods"), area="qk-wide",
            help="Kupiec: is the number of breaches what the level says? Christoffersen: do they come "
            "independently? Both: "
            "conditional coverage. Exact p-values; below 0.05 rejects. The light is the cumulative "
            "binomial probability "
            "over all origins: green below 95 %, yellow below 99.99 %, red above.",
        ),
        AnswerPanel(
            "Distribution of returns", [parts["histogram"]], questions=[], tools=figure("histogram"), area="qk-narrow",
            help="Simple one-period returns in equally wide classes (Freedman and Diaconis). The strong "
            "line is VaR, the "
            "dashed one ES of the chosen method; the short marks are the VaR of the others.",
        ),
        AnswerPanel(
            "Volatility over time", [parts["volatility"]], questions=[history],
            tools=figure("volatility"), area="qk-wide",
            help="Annualised. Rolling: standard deviation of 21 returns. EWMA: decay 0.94 around zero. "
            "Yang-Zhang: 21 bars' "
            "open, high, low and close with the gap between them. GARCH(1,1): one fit to the whole period, so earlier "
            "values know parameters estimated later.",
        ),
        AnswerPanel(
            "Underwater", [parts["underwater"]], tools=figure("underwater"), area="qk-wide",
            help="Wealth over its highest value so far, less one; dividends included.",
        ),
        AnswerPanel(
            "Worst drawdowns", [parts["drawdowns"]], tools=table("drawdowns"), area="qk-narrow",
            help="The five deepest falls from a peak; periods are those spent below it, up to the recovery "
            "or the last bar.",
        ),
        AnswerPanel(
            "Rolling Sharpe and beta", [parts["rolling"]], tools=figure("rolling"), area="qk-wide",
            help="Over the last 63 periods: annualised mean excess return over its standard deviation, and "
            "the slope on the "
            "benchmark. A Sharpe ratio of a quarter of a year is mostly noise: its standard error is about 2.",
        ),
        AnswerPanel(
            "Monthly returns", [parts["months"]], tools=table("months"), area="qk-narrow",
            help="Returns compounded within each calendar month, and within the year.",
        ),
        AnswerPanel(
            "Stress: real episodes", [parts["stress"]], questions=[state.stress],
            tools=table("stress"), area="qk-whole",
            help="The returns of each crisis replayed on the weights. A symbol without prices then is "
            "replaced by its beta "
            "times the benchmark, and said. Below: moves of the benchmark through beta.",
        ),
    ]  # fmt: skip
    together = [
        AnswerPanel(
            "Correlation", [parts["heatmap"]], questions=[state.correlation], tools=figure("heatmap"), area="qk-narrow",
            help="Pearson correlation of returns, symbols ordered by average-linkage clustering. Click a "
            "cell for the pair.",
        ),
        AnswerPanel(
            "Rolling correlation of the pair", [parts["together"]], questions=[state.together], area="qk-wide",
            tools=figure("together"), help="Pearson correlation of the last 63 returns of the two.",
        ),
        AnswerPanel(
            "Risk contributions", [parts["contributions"]], questions=[state.contributions], area="qk-whole",
            tools=table("contributions"),
            help="Weight times marginal risk; the parts sum to the portfolio's. VaR and ES by historical simulation.",
        ),
    ]  # fmt: skip
    for each in together:
        t.dlink((state, "portfolio"), (each, "shown"))
    return [*found[:2], *together, *found[2:]]
