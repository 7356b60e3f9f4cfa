"""How numbers, dates and foreign text are written on a screen: one place, so that panels, tables and charts agree."""

from __future__ import annotations

import math
from functools import lru_cache
from html import escape

import pandas as pd

__all__ = ["MISSING", "compact", "date_words", "direction", "escape", "percent", "price", "price_decimals", "signed"]

MISSING = "–"

#: Currencies that are quoted without a fraction.
_WHOLE = frozenset({"JPY", "KRW", "VND", "CLP", "ISK", "HUF", "IDR"})


def price_decimals(currency: str, level: float = 100.0) -> int:
    """Decimals that a price of about `level` is shown with.

    Examples
    --------
    >>> price_decimals("USD"), price_decimals("JPY"), price_decimals("USD", 0.31)
    (2, 0, 4)
    """
    if currency in _WHOLE:
        return 0
    return 4 if 0 < abs(level) < 1 else 2


def price(value: float, decimals: int = 2) -> str:
    """Thousands separated, a dash where there is no number.

    Examples
    --------
    >>> price(3783.22), price(float("nan"))
    ('3,783.22', '–')
    """
    return f"{value:,.{decimals}f}" if math.isfinite(value) else MISSING


def signed(value: float, decimals: int = 2) -> str:
    """A change: always with its sign, and none on a zero."""
    if not math.isfinite(value):
        return MISSING
    return f"{value:+,.{decimals}f}" if round(value, decimals) else f"{0:.{decimals}f}"


def percent(value: float, decimals: int = 2, *, sign: bool = False) -> str:
    """A decimal as per cent: 0.0133 is ``1.33%``."""
    if not math.isfinite(value):
        return MISSING
    return (signed(value * 100, decimals) if sign else f"{value * 100:,.{decimals}f}") + "%"


def compact(value: float) -> str:
    """A volume in at most three digits before its unit.

    Examples
    --------
    >>> compact(35_600_000), compact(1_234), compact(0)
    ('35.6M', '1.23K', '0')
    """
    if not math.isfinite(value):
        return MISSING
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            scaled = value / size
            return f"{scaled:.{2 if abs(scaled) < 10 else 1}f}{unit}"
    return f"{value:,.0f}"


def direction(value: float) -> str:
    """CSS class of a change: ``up``, ``down`` or ``flat``."""
    if not math.isfinite(value) or value == 0:
        return "flat"
    return "up" if value > 0 else "down"


def date_words(time: pd.Timestamp, interval: str = "1d", zone: str = "UTC") -> str:
    """The session's date, or the minute on the exchange's clock with the name of its zone.

    Examples
    --------
    >>> date_words(pd.Timestamp("2023-09-21", tz="UTC"))
    '2023-09-21'
    >>> date_words(pd.Timestamp("2022-06-14 19:59", tz="UTC"), "1m", "America/New_York")
    '2022-06-14 15:59 EDT'
    """
    if interval == "1d":
        return time.strftime("%Y-%m-%d")
    return _on_the_clock(time, zone)


@lru_cache(maxsize=1024)
def _on_the_clock(time: pd.Timestamp, zone: str) -> str:
    return time.tz_convert(zone).strftime("%Y-%m-%d %H:%M %Z")
