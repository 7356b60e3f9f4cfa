"""How every question about forecasts opens: what is asked is checked, and the walk through the past laid out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError, UsageError
from quantkit.core.fingerprint import fingerprint as fingerprint_of
from quantkit.core.schema import Interval, check_bars, check_interval
from quantkit.forecast.base import FORECASTERS
from quantkit.forecast.walk import Plan, check_horizon, check_origins, plan_walk

__all__ = ["Inquiry", "check_model", "inquire", "refuse_constant"]


def check_model(model: object, interval: str | None = None) -> str:
    """Return `model` if it is registered, and can forecast `interval` if one is given.

    Raises
    ------
    UnknownChoiceError
        Not in ``FORECASTERS``; lists its names.
    UsageError
        It does not forecast such bars.
    """
    kind = FORECASTERS[model]  # type: ignore[index]
    if interval is not None and interval not in kind.intervals:
        raise UsageError(f"{model} forecasts {' and '.join(kind.intervals)} bars, not {interval}")
    return str(model)


def refuse_constant(bars: pd.DataFrame, name: str) -> None:
    """``DataError`` where the close never moves: there is nothing to forecast or to score."""
    close = bars["close"].to_numpy()
    if np.ptp(close) == 0.0:
        raise DataError(f"{name}: close is {close[0]:g} on all of {len(bars)} bars; constant prices cannot be forecast")


@dataclass(frozen=True, slots=True, eq=False)
class Inquiry:
    """A question about checked bars, and the walk that answers it.

    Attributes
    ----------
    symbol, currency : str
        As given, or as the bars say; may be empty.
    name : str
        Of the bars, for an error.
    interval : {"1d", "1m"}
    horizon : int
    plan : Plan
    fingerprint : str
    indicative : bool
        The prices are known in adjusted form only.
    """

    symbol: str
    currency: str
    name: str
    interval: Interval
    horizon: int
    plan: Plan
    fingerprint: str
    indicative: bool


def inquire(
    bars: pd.DataFrame,
    kind: str,
    *,
    interval: str,
    horizon: int,
    origins: int,
    symbol: str = "",
    currency: str = "",
    fingerprint: str = "",
    **finer: Any,
) -> Inquiry:
    """Check what every such question has, and lay out its walk.

    Parameters
    ----------
    bars : DataFrame, shape (T, 6)
    kind : str
        Of the question; with everything else it makes the fingerprint, where none is given.
    interval, horizon, origins, symbol, currency, fingerprint
        As :func:`~quantkit.forecast.predict` takes them.
    **finer
        What the question has besides, checked already, JSON-safe.

    Raises
    ------
    UsageError
        No such interval, horizon or number of origins.
    DataError
        Too few bars, a bar out of shape, or constant prices.
    """
    checked = check_interval(interval)
    horizon, origins = check_horizon(horizon), check_origins(origins)
    symbol = symbol or str(bars.attrs.get("symbol", ""))
    currency = currency or str(bars.attrs.get("currency", ""))
    name = symbol or "bars"
    check_bars(bars, name=name)
    plan = plan_walk(len(bars), horizon=horizon, origins=origins, name=name)
    refuse_constant(bars, name)
    question = {"kind": kind, "interval": checked, "horizon": horizon, "origins": origins, "symbol": symbol,
                "currency": currency, **finer}  # fmt: skip
    return Inquiry(
        symbol=symbol,
        currency=currency,
        name=name,
        interval=checked,
        horizon=horizon,
        plan=plan,
        fingerprint=fingerprint or fingerprint_of(question, bars),
        indicative=bars.attrs.get("price_basis") == "adjusted",
    )
