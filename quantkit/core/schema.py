"""What a symbol, a bars frame, a prices frame and a returns frame are.

bars
    Index ``time``: tz-aware UTC, increasing, unique. float64 columns ``open high low close volume adj_close``.
    Daily bars are labelled by their session date at 00:00 UTC, intraday bars by their start.
prices
    Wide T x N of ``adj_close`` (falling back to ``close``); columns are symbols.
returns
    Wide T x N of simple per-period returns, decimals.

``bars.attrs`` carries what the numbers cannot say: ``symbol, interval, name, currency, calendar, source,
price_basis``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError, UsageError

__all__ = [
    "BAR_COLUMNS",
    "INTERVALS",
    "TIME_DTYPE",
    "Interval",
    "check_bars",
    "check_interval",
    "check_level",
    "check_prices",
    "check_returns",
    "check_symbol",
    "check_symbols",
    "empty_bars",
    "is_close_only",
]

BAR_COLUMNS: Final = ("open", "high", "low", "close", "volume", "adj_close")
#: One resolution everywhere. Vendors send seconds, milliseconds and nanoseconds; a fingerprint must not see which.
TIME_DTYPE: Final = "datetime64[us, UTC]"

Interval = Literal["1m", "1d"]
INTERVALS: Final[tuple[Interval, ...]] = ("1d", "1m")

_SYMBOL: Final = re.compile(r"[A-Z0-9^][A-Z0-9.^=-]{0,14}")


def check_symbol(symbol: object) -> str:
    """Return `symbol` in upper case, without surrounding blanks.

    Raises
    ------
    UsageError
        It does not match ``^[A-Z0-9^][A-Z0-9.^=-]{0,14}$``, Yahoo's spelling.

    Examples
    --------
    >>> check_symbol(" brk-b ")
    'BRK-B'
    """
    text = symbol.strip().upper() if isinstance(symbol, str) else ""
    if not _SYMBOL.fullmatch(text):
        shown = repr(symbol if len(repr(symbol)) <= 40 else repr(symbol)[:40] + "…")
        raise UsageError(
            f"{shown} is not a symbol; expected 1 to 15 of A-Z 0-9 . ^ = - as Yahoo spells them, "
            "such as AAPL, ^GSPC, BRK-B, AZN.L"
        )
    return text


def check_symbols(symbols: object, *, at_least: int = 1) -> list[str]:
    """Return `symbols` (a list, or text separated by commas or blanks) checked, in order, each once.

    Raises
    ------
    UsageError
        One is malformed, or fewer than `at_least` remain.
    """
    if isinstance(symbols, str):
        symbols = re.split(r"[\s,;]+", symbols.strip())
    if not isinstance(symbols, Iterable):
        raise UsageError(f"{symbols!r} is not a list of symbols; expected something like ['AAPL', 'MSFT']")
    checked = list(dict.fromkeys(check_symbol(symbol) for symbol in symbols))
    if len(checked) < at_least:
        raise UsageError(f"{len(checked)} symbols given; at least {at_least} are needed")
    return checked


def check_interval(interval: object) -> Interval:
    """Return `interval` if it is one that bars are kept in; ``UsageError`` with the choices otherwise."""
    if interval not in INTERVALS:
        raise UsageError(f"unknown interval {interval!r}; choose from {', '.join(INTERVALS)}")
    return interval  # type: ignore[return-value]


def check_level(level: object) -> float:
    """Return a confidence level in (0, 1), exclusive.

    Raises
    ------
    UsageError
        Not a number strictly between 0 and 1; a percentage such as 95 is named as such.
    """
    if isinstance(level, bool) or not isinstance(level, (int, float, np.floating, np.integer)) or not 0 < level < 1:
        hint = f"; did you mean {level / 100:g}?" if isinstance(level, (int, float)) and 1 < level < 100 else ""
        raise UsageError(f"level {level!r} is not a probability strictly between 0 and 1, such as 0.95{hint}")
    return float(level)


def empty_bars() -> pd.DataFrame:
    """A bars frame with no rows."""
    index = pd.DatetimeIndex([], dtype=TIME_DTYPE, name="time")
    return pd.DataFrame({column: np.empty(0) for column in BAR_COLUMNS}, index=index)


def is_close_only(bars: pd.DataFrame) -> bool:
    """Whether `bars` is a close-only series (an index level, a fund), which charts draw as a line."""
    return bool(len(bars)) and bool(bars["open"].isna().all())


def check_bars(bars: pd.DataFrame, *, name: str = "bars", minimum: int = 0) -> pd.DataFrame:
    """Return `bars` if it is a bars frame; the error names the first offending row and column.

    Parameters
    ----------
    bars : DataFrame, shape (T, 6)
    name : str
        What to call it in the message, usually the symbol.
    minimum : int
        Fewest rows that the caller can work with.

    Raises
    ------
    DataError
        A column is missing or not float64; the index is not UTC, increasing and unique; ``close`` is NaN or not
        positive; ``high`` is below, or ``low`` above, one of the others; too few rows.
    """
    _check_index(bars, name)
    for column in BAR_COLUMNS:
        if column not in bars.columns:
            raise DataError(f"{name}: column {column!r} is missing; expected {' '.join(BAR_COLUMNS)}")
        if bars[column].dtype != np.float64:
            raise DataError(f"{name}: column {column!r} has type {bars[column].dtype}; expected float64")
    close = bars["close"].to_numpy()
    _refuse(~np.isfinite(close) | (close <= 0), bars, name, "close", "is not a positive number")
    quoted = bars[["open", "high", "low", "close"]].to_numpy()
    top, bottom = np.fmax.reduce(quoted, axis=1), np.fmin.reduce(quoted, axis=1)
    _refuse(bars["high"].to_numpy() < top, bars, name, "high", "is below another price of its bar")
    _refuse(bars["low"].to_numpy() > bottom, bars, name, "low", "is above another price of its bar")
    if len(bars) < minimum:
        raise DataError(f"{name}: {len(bars)} bars; at least {minimum} are needed")
    return bars


def check_prices(prices: pd.DataFrame, *, name: str = "prices", minimum: int = 2) -> pd.DataFrame:
    """Return `prices` if it is wide, T x N, complete and positive; the error names the first bad row and column."""
    _check_wide(prices, name, minimum)
    for column in prices.columns:
        values = prices[column].to_numpy()
        _refuse(~np.isfinite(values) | (values <= 0), prices, name, column, "is not a positive number")
    return prices


def check_returns(returns: pd.DataFrame | pd.Series, *, name: str = "returns", minimum: int = 2) -> pd.DataFrame:
    """Return `returns` as a T x N frame if every entry is a number above -1; the error names the first bad one."""
    frame = returns.to_frame(name=returns.name or "returns") if isinstance(returns, pd.Series) else returns
    _check_wide(frame, name, minimum)
    for column in frame.columns:
        values = frame[column].to_numpy()
        _refuse(~np.isfinite(values) | (values < -1), frame, name, column, "is not a return of at least -1")
    return frame


def _check_wide(frame: pd.DataFrame, name: str, minimum: int) -> None:
    _check_index(frame, name)
    if len(frame) < minimum:
        raise DataError(f"{name}: {len(frame)} rows; at least {minimum} are needed")
    if not frame.columns.is_unique:
        raise DataError(f"{name}: column {frame.columns[frame.columns.duplicated()][0]!r} stands twice")


def _check_index(frame: pd.DataFrame, name: str) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{name}: expected a DataFrame, got {type(frame).__name__}")
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex) or str(index.tz) != "UTC":
        raise DataError(f"{name}: the index must be a DatetimeIndex in UTC, got {index.dtype}")
    if not (index.is_monotonic_increasing and index.is_unique):
        at = index[1:][np.diff(index.asi8) <= 0][0]
        raise DataError(f"{name}: {at.isoformat()} does not come after the row before it")


def _refuse(bad: np.ndarray, frame: pd.DataFrame, name: str, column: str, why: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{name}: {column} {why} at {frame.index[row].isoformat()} ({frame[column].iloc[row]}); "
            f"{int(bad.sum())} such rows"
        )
