"""Portfolios: estimates, the exact frontier, objectives under constraints, whole shares, and what it earned."""

from __future__ import annotations

from quantkit.portfolio.allocate import optimize
from quantkit.portfolio.backtest import REBALANCES, SAMPLE_NOTE, backtest, compare
from quantkit.portfolio.base import Allocation, Frontier, PortfolioBacktest, Stability
from quantkit.portfolio.constraints import Constraints
from quantkit.portfolio.frontier import efficient_frontier, frontier_from_prices, frontier_of
from quantkit.portfolio.holdings import Holdings, read_holdings, value_holdings
from quantkit.portfolio.moments import COVARIANCES, EXPECTED_RETURNS, Moments, estimate_moments
from quantkit.portfolio.objectives import OBJECTIVES
from quantkit.portfolio.shares import Shares, whole_shares
from quantkit.portfolio.stability import stability
from quantkit.portfolio.views import View

__all__ = [
    "COVARIANCES",
    "EXPECTED_RETURNS",
    "OBJECTIVES",
    "REBALANCES",
    "SAMPLE_NOTE",
    "Allocation",
    "Constraints",
    "Frontier",
    "Holdings",
    "Moments",
    "PortfolioBacktest",
    "Shares",
    "Stability",
    "View",
    "backtest",
    "compare",
    "efficient_frontier",
    "estimate_moments",
    "frontier_from_prices",
    "frontier_of",
    "optimize",
    "read_holdings",
    "stability",
    "value_holdings",
    "whole_shares",
]
