"""Where the parts of the Portfolio screen stand, what each is called, and what its "?" says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from quantkit.ui.controls import csv_export, exports
from quantkit.ui.parts import AnswerPanel
from quantkit.ui.screens import panel

if TYPE_CHECKING:
    from quantkit.ui.page import Page
    from quantkit.ui.portfolio_state import PortfolioState

__all__ = ["portfolio_panels"]


def portfolio_panels(state: PortfolioState, page: Page, **parts: Any) -> list[widgets.Widget]:
    """The screen's panels in reading order.

    Parameters
    ----------
    parts
        ``assets limits fault tiles frontier weights wealth measures``; the first two are tool bars.
    """
    return [
        panel([parts["assets"], parts["limits"], parts["fault"]], "qk-area-tools"),
        panel([parts["tiles"]], "qk-area-tiles"),
        AnswerPanel(
            "Efficient frontier", [parts["frontier"]], questions=[state.frontier], area="qk-wide",
            tools=exports(parts["frontier"], page),
            help="Portfolios of least volatility for each expected return, traced exactly along the critical "
            "line (solved point by point with turnover, costs or cash). Dashed: the tangency portfolio mixed with "
            "lending or borrowing at the risk-free rate. Click the curve, or walk it with the arrow keys; Enter takes.",
        ),
        AnswerPanel(
            "Weights", [parts["weights"]], questions=[state.allocation], area="qk-narrow",
            tools=csv_export(parts["weights"], page),
            help="Share of the capital, and of the portfolio's variance. Shares are whole: the nearest to the weights "
            "that the capital buys at the last close.",
        ),
        AnswerPanel(
            "Out of sample, after costs", [parts["wealth"]], questions=[state.backtest], area="qk-wide",
            tools=exports(parts["wealth"], page),
            help="Walk-forward: at each rebalancing the weights are decided from prices before it, traded one session "
            "later and charged the cost. Wealth of 1 at the first trade. 1/N pays the same costs; the benchmark none.",
        ),
        AnswerPanel(
            "Against 1/N and the benchmark", [parts["measures"]], area="qk-narrow",
            tools=csv_export(parts["measures"], page),
            help="Annualised. The test of the Sharpe difference is a stationary bootstrap of the paired returns; costs "
            "and turnover are a year's.",
        ),
    ]  # fmt: skip
