"""The JSON forms that programs get: the same from REST and from ``quantkit ... --json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quantkit.core.schema import BAR_COLUMNS

if TYPE_CHECKING:
    from quantkit.data.quote import Quote
    from quantkit.forecast import Explanation, Forecast
    from quantkit.portfolio import Allocation, Frontier, PortfolioBacktest
    from quantkit.risk import RiskReport

__all__ = ["explanation_body", "history_body", "optimize_body", "prediction_body", "price_body", "symbols_body"]


def price_body(quote: Quote) -> dict[str, Any]:
    """Body of ``GET /price``."""
    values = quote.to_dict()
    first = ("symbol", "timestamp", "open", "close", "high", "low", "volume", "currency", "source", "status")
    return {name: values[name] for name in first} | values


def symbols_body(known: pd.DataFrame) -> dict[str, Any]:
    """Body of ``GET /symbols``: what ``Desk.symbols`` lists."""
    rows = []
    for row in known.to_dict("records"):
        ends = {end: None if pd.isna(row[end]) else row[end].isoformat() for end in ("first", "last")}
        rows.append(row | {"intervals": row["intervals"].split(", ")} | ends)
    return {"symbols": rows}


def history_body(bars: pd.DataFrame, *, following: pd.Timestamp | None = None) -> dict[str, Any]:
    """Body of ``GET /history``: a list of bars under what holds for all of them.

    Parameters
    ----------
    bars : DataFrame, shape (T, 6)
        A bars frame, or one page of it.
    following : Timestamp, optional
        Where further bars follow this page: its last time, to be given back as ``after``.
    """
    about = bars.attrs
    symbol = about["symbol"]
    times = _iso(bars.index)
    columns = [_nullable(bars[name]) for name in BAR_COLUMNS]
    return {
        "symbol": symbol,
        "interval": about["interval"],
        "currency": about["currency"],
        "source": about["source"],
        "price_basis": about["price_basis"],
        "next": None if following is None else following.isoformat(),
        # Spelled out: a dictionary of known names is made in a third of the time.
        "bars": [
            {
                "symbol": symbol,
                "timestamp": time,
                "open": o,
                "high": h,
                "low": low,
                "close": c,
                "volume": v,
                "adj_close": a,
            }
            for time, o, h, low, c, v, a in zip(times, *columns, strict=True)
        ],
    }


def prediction_body(forecast: Forecast, report: RiskReport) -> dict[str, Any]:
    """Body of ``GET /prediction``: the forecast, and the next step's VaR from the default risk report."""
    headline = ("value_at_risk_95", "value_at_risk_95_return", "value_at_risk_method")
    figures = report.to_dict()
    return forecast.to_dict() | {name: figures[name] for name in headline}


def explanation_body(explanation: Explanation) -> dict[str, Any]:
    """Part ``explanation`` of a prediction that was asked to explain itself."""
    body = explanation.to_dict() | {"in_words": explanation.in_words()}
    body["contributions"] = [each.to_dict() | {"about": each.about} for each in explanation.contributions]
    return body


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


def _iso(times: pd.DatetimeIndex) -> list[str]:
    """ISO 8601 in UTC: all at once where they are whole seconds, as bars' times are."""
    micros = times.as_unit("us").asi8
    if (micros % 1_000_000).any():
        return [time.isoformat() for time in times]
    return [f"{text}+00:00" for text in np.datetime_as_string(micros.astype("datetime64[us]"), unit="s").tolist()]


def _nullable(column: pd.Series) -> list[Any]:
    values = column.tolist()
    return [None if value != value else value for value in values] if column.hasnans else values
