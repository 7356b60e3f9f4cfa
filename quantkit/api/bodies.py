"""The JSON forms that programs get: the same from REST and from ``quantkit ... --json``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from quantkit.data.quote import Quote
    from quantkit.forecast.base import Forecast

__all__ = ["history_body", "prediction_body", "price_body"]


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


def prediction_body(forecast: Forecast) -> dict[str, Any]:
    """Body of ``GET /prediction``."""
    return forecast.to_dict()
