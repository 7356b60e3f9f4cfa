"""The JSON forms that programs get: the same from REST and from ``quantkit ... --json``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from quantkit.data.quote import Quote
    from quantkit.forecast import Forecast
    from quantkit.portfolio import Allocation, Frontier, PortfolioBacktest
    from quantkit.risk import RiskReport

__all__ = ["history_body", "optimize_body", "prediction_body", "price_body"]


def price_body(quote: Quote) -> dict[str, Any]:
    """Body of ``GET /price``."""
    values = quote.to_dict()
    first = ("symbol", "timestamp", "open", "close", "high", "low", "volume", "currency", "source", "status")
    return {name: values[name] for name in first} | values


def history_body(bars: pd.DataFrame) -> dict[str, Any]:
    """Body of ``GET /history``: a list of bars under what holds for all of them."""
    about = bars.attrs
    return {
        "symbol": about["symbol"],
        "interval": about["interval"],
        "currency": about["currency"],
        "source": about["source"],
        "price_basis": about["price_basis"],
        "bars": [
            {
                "symbol": about["symbol"],
                "timestamp": time.isoformat(),
                **{name: None if math.isnan(value) else value for name, value in row.items()},
            }
            for time, row in zip(bars.index, bars.to_dict("records"), strict=True)
        ],
    }


def prediction_body(forecast: Forecast, report: RiskReport) -> dict[str, Any]:
    """Body of ``GET /prediction``: the forecast, and the next step's VaR from the default risk report."""
    headline = ("value_at_risk_95", "value_at_risk_95_return", "value_at_risk_method")
    figures = report.to_dict()
    return forecast.to_dict() | {name: figures[name] for name in headline}


def optimize_body(allocation: Allocation, frontier: Frontier, out_of_sample: PortfolioBacktest) -> dict[str, Any]:
    """Body of ``POST /portfolio/optimize``: weights, shares, frontier, and what it would have earned."""
    values = allocation.to_dict()
    shares = allocation.shares
    return values | {
        "weights": allocation.weights.to_dict(),
        "risk_contributions": allocation.risk_contributions.to_dict(),
        "shares": None if shares is None else shares.shares.to_dict(),
        "leftover_cash": None if shares is None else shares.leftover_cash,
        "frontier": frontier.to_dict(),
        "out_of_sample": out_of_sample.to_dict() | {"in_words": out_of_sample.in_words()},
    }
