"""Several symbols side by side: one frame of prices, in one currency, on the bars they share."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from quantkit.core.calendars import period_start
from quantkit.core.errors import DataError, NoDataError
from quantkit.core.returns import prices_from

__all__ = ["common_prices", "joined_prices"]


def joined_prices(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Total-return prices of every bar that any symbol has, NaN where one has none.

    Parameters
    ----------
    frames : mapping of symbol to bars frame
        With the ``attrs`` that :class:`~quantkit.data.market.Market` gives them.

    Returns
    -------
    DataFrame, shape (T, N)
        ``attrs`` hold ``currency interval source calendar`` (the last two of the first symbol).

    Raises
    ------
    DataError
        The symbols trade in different currencies.
    """
    currencies = {symbol: bars.attrs["currency"] for symbol, bars in frames.items()}
    if len(set(currencies.values())) > 1:
        said = ", ".join(f"{symbol} in {currency}" for symbol, currency in currencies.items())
        raise DataError(f"currencies are not mixed silently: {said}; choose symbols of one currency")
    columns = {symbol: prices_from(bars) for symbol, bars in frames.items()}
    wide = pd.concat(columns, axis=1, join="outer", sort=True)
    first = next(iter(frames.values())).attrs
    wide.attrs = {name: first[name] for name in ("currency", "interval", "source", "calendar")}
    return wide


def common_prices(frames: Mapping[str, pd.DataFrame], period: str | None = None) -> pd.DataFrame:
    """Total-return prices on the bars that all symbols have.

    Parameters
    ----------
    frames : mapping of symbol to bars frame
    period : str, optional
        Counted back from the last common bar.

    Returns
    -------
    DataFrame, shape (T, N)
        ``attrs`` also hold ``dropped``: per symbol, its bars in that range that another one lacks.

    Raises
    ------
    DataError
        Different currencies.
    NoDataError
        No bar in common; names the range of each.
    """
    wide = joined_prices(frames)
    common = wide.dropna()
    if common.empty:
        spans = "; ".join(f"{s} {bars.index[0].date()} to {bars.index[-1].date()}" for s, bars in frames.items())
        raise NoDataError(f"{', '.join(frames)} have no {wide.attrs['interval']} bar in common: {spans}")
    if period is not None:
        common = common.loc[period_start(period, common.index[-1], wide.attrs["calendar"]) :]
    inside = wide.loc[common.index[0] : common.index[-1]]
    dropped = {symbol: int(inside[symbol].notna().sum() - len(common)) for symbol in frames}
    common.attrs = {**wide.attrs, "dropped": dropped}
    return common
