"""What really happened on the exchange, from which every stand-in renders its vendor's form."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from quantkit.core.calendars import exchange_timezone, next_bars, sessions_between
from quantkit.core.schema import BAR_COLUMNS

LAST = pd.Timestamp("2024-03-28", tz="UTC")


def candles(index: pd.DatetimeIndex, *, seed: int = 0, start: float = 100.0, scale: float = 0.01) -> pd.DataFrame:
    """Valid bars at `index` with prices of two decimals; ``adj_close`` is left NaN: dividends decide it."""
    random = np.random.default_rng(seed)
    close = np.round(start * np.exp(random.normal(0, scale, len(index)).cumsum()), 2)
    opened = np.round(close * np.exp(random.normal(0, scale / 3, len(index))), 2)
    frame = pd.DataFrame(
        {
            "open": opened,
            "high": np.round(np.maximum(opened, close) * (1 + scale / 3), 2),
            "low": np.round(np.minimum(opened, close) * (1 - scale / 3), 2),
            "close": close,
            "volume": random.integers(10**5, 10**7, len(index)).astype(float),
            "adj_close": np.nan,
        },
        index=index.rename("time"),
    )
    return frame[list(BAR_COLUMNS)]


@dataclass
class Listing:
    """One symbol: `daily` and `minutes` in today's share units, `dividends` per today's share, `splits` by date."""

    symbol: str
    daily: pd.DataFrame
    minutes: pd.DataFrame
    name: str = "Some Company Inc."
    currency: str = "USD"
    calendar: str = "XNYS"
    exchange: str = "NMS"
    dividends: dict[pd.Timestamp, float] = field(default_factory=dict)
    splits: dict[pd.Timestamp, float] = field(default_factory=dict)

    @property
    def timezone(self) -> str:
        return exchange_timezone(self.calendar)

    def split(self, day: str | pd.Timestamp, ratio: float) -> None:
        """Split `ratio` new shares for each one on `day`: everything before is in new units from now on."""
        day = _day(day)
        for bars in (self.daily, self.minutes):
            before = bars.index < day
            bars.loc[before, ["open", "high", "low", "close"]] /= ratio
            bars.loc[before, "volume"] *= ratio
        self.dividends = {on: paid / ratio if on < day else paid for on, paid in self.dividends.items()}
        self.splits[day] = ratio

    def pay(self, day: str | pd.Timestamp, amount: float) -> None:
        """Pay a dividend of `amount` per share; `day` is the first session without it."""
        self.dividends[_day(day)] = amount

    def adjusted_close(self) -> pd.Series:
        """Closes with dividends reinvested, as Yahoo does: 1 - D / close of the session before."""
        factor = pd.Series(1.0, index=self.daily.index)
        for day, paid in self.dividends.items():
            before = self.daily.index < day
            if before.any():
                factor[before] *= 1 - paid / self.daily["close"][before].iloc[-1]
        return self.daily["close"] * factor

    def as_traded(self) -> pd.DataFrame:
        """Daily bars in the share units of their own day."""
        raw = self.daily.copy()
        for day, ratio in self.splits.items():
            before = raw.index < day
            raw.loc[before, ["open", "high", "low", "close"]] *= ratio
            raw.loc[before, "volume"] /= ratio
        return raw

    def grow(self, count: int = 1, *, seed: int = 1) -> None:
        """`count` more sessions."""
        new = next_bars(self.daily.index[-1], count, calendar=self.calendar)
        more = candles(new, seed=seed, start=float(self.daily["close"].iloc[-1]))
        self.daily = pd.concat([self.daily, more])


@dataclass
class Truth:
    """Listings by symbol."""

    listings: dict[str, Listing] = field(default_factory=dict)

    @classmethod
    def of(cls, *symbols: str, sessions: int = 300, last: pd.Timestamp = LAST, minutes: int = 2) -> Truth:
        """Made-up listings in New York: `sessions` daily bars up to `last`, minutes of the last few of them."""
        days = sessions_between(last - pd.Timedelta(days=2 * sessions + 10), last)[-sessions:]
        grid = next_bars(days[-minutes - 1] + pd.Timedelta(hours=23), 390 * minutes, interval="1m")
        grid = grid[grid < days[-1] + pd.Timedelta(days=1)]  # on the day after Thanksgiving they are fewer
        return cls({
            symbol: Listing(symbol, candles(days, seed=i), candles(grid, seed=i, scale=0.0005))
            for i, symbol in enumerate(symbols)
        })  # fmt: skip

    def __getitem__(self, symbol: str) -> Listing:
        return self.listings[symbol]


def _day(day: str | pd.Timestamp) -> pd.Timestamp:
    stamp = pd.Timestamp(day)
    return stamp.tz_localize("UTC") if stamp.tz is None else stamp
