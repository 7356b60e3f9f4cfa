"""The latest price of a symbol, as every face shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from quantkit.core.results import Result
from quantkit.data.base import PriceBasis, Status

__all__ = ["Quote"]


@dataclass(frozen=True, slots=True, eq=False)
class Quote(Result):
    """Last bar of a symbol with where it comes from.

    Attributes
    ----------
    symbol, name : str
    timestamp : Timestamp
        Label of the session, or start of the minute, that the quote stands on.
    open, high, low, close, volume : float
        Of that session; NaN (except `close`) for a close-only series.
    previous_close : float
        Close of the session before; NaN for the first.
    currency : str
    source : str
        Provider of the row.
    status : {"live", "delayed", "replay", "sample", "stale", "offline"}
    price_basis : {"quoted", "adjusted"}
    age_seconds : float
        Since the bar was complete.
    """

    symbol: str
    name: str
    timestamp: pd.Timestamp
    open: float
    high: float
    low: float
    close: float
    volume: float
    previous_close: float
    currency: str
    source: str
    status: Status
    price_basis: PriceBasis
    age_seconds: float

    @property
    def age(self) -> pd.Timedelta:
        """Time since the bar was complete."""
        return pd.Timedelta(seconds=round(self.age_seconds))

    @property
    def change(self) -> float:
        """Difference to the previous close, in the quote currency; NaN where there is none."""
        return self.close - self.previous_close

    @property
    def change_percent(self) -> float:
        """Change since the previous close as a decimal (-0.0133 is -1.33 %); NaN where there is none."""
        return self.change / self.previous_close if self.previous_close > 0 else math.nan

    def to_frame(self) -> pd.DataFrame:
        """One row, indexed by symbol."""
        row = self.to_dict()
        return pd.DataFrame([row]).set_index("symbol")
