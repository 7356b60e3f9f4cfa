"""The parts of a report's page: each takes answers of a desk and returns HTML."""

from __future__ import annotations

from quantkit.reporting.parts.forecasts import explanation, forecast, leaderboard, market, symbol_heading
from quantkit.reporting.parts.page import (
    REMEMBERED,
    alerts,
    changed,
    portfolio_quality,
    provenance,
    quality,
    until,
)
from quantkit.reporting.parts.portfolios import backtest, correlation, portfolio_heading, stress, weights
from quantkit.reporting.parts.risks import drawdowns, months, risk, rolling, value_at_risk

__all__ = [
    "REMEMBERED",
    "alerts",
    "backtest",
    "changed",
    "correlation",
    "drawdowns",
    "explanation",
    "forecast",
    "leaderboard",
    "market",
    "months",
    "portfolio_heading",
    "portfolio_quality",
    "provenance",
    "quality",
    "risk",
    "rolling",
    "stress",
    "symbol_heading",
    "until",
    "value_at_risk",
    "weights",
]
