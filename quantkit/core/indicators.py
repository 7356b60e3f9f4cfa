"""Technical indicators of one series: what a chart draws over its prices or below them, each defined once.

All are computed on `close` in today's share units, the prices a chart shows, and each value uses its own bar and
earlier ones only. Values before an indicator has seen enough bars are NaN. They describe; whether anything of the kind
forecasts is for ``quantkit.forecast`` to show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import pandas as pd

from quantkit.core.errors import DataError, UsageError
from quantkit.core.registry import Registry
from quantkit.core.sessions import session_labels

__all__ = [
    "INDICATORS", "Indicator", "bollinger_bands", "ema", "indicators", "macd", "relative_strength_index", "sma", "vwap",
]  # fmt: skip


def sma(close: pd.Series, window: int) -> pd.Series:
    """Simple moving average of the last `window` closes.

    ``m[t] = sum_{k < window} close[t-k] / window``.

    References
    ----------
    Murphy, J. (1999). Technical Analysis of the Financial Markets, chapter 9.
    """
    return close.rolling(window).mean()


def ema(close: pd.Series, span: int) -> pd.Series:
    """Exponential moving average, ``m[t] = m[t-1] + 2 / (span + 1) (close[t] - m[t-1])``, from the first close on.

    NaN for the first ``span - 1`` bars, in which the first close weighs too much.

    References
    ----------
    Murphy, J. (1999). Technical Analysis of the Financial Markets, chapter 9.
    """
    return close.ewm(span=span, adjust=False, min_periods=span).mean()


def bollinger_bands(close: pd.Series, window: int = 20, width: float = 2.0) -> pd.DataFrame:
    """Moving average and bands of `width` population standard deviations around it: columns ``lower middle upper``.

    ``m[t] = sma(close, window)``, bands at ``m[t] - width s[t]`` and ``m[t] + width s[t]``.

    References
    ----------
    Bollinger, J. (2001). Bollinger on Bollinger Bands.
    """
    rolling = close.rolling(window)
    middle, spread = rolling.mean(), width * rolling.std(ddof=0)
    return pd.DataFrame({"lower": middle - spread, "middle": middle, "upper": middle + spread})


def vwap(bars: pd.DataFrame, calendar: str) -> pd.Series:
    """Volume-weighted average price since the session's first bar, of the typical price ``(high + low + close) / 3``.

    ``vwap[t] = sum(typical * volume) / sum(volume)`` over the session's bars up to t. NaN before a session's first
    trade.

    References
    ----------
    Berkowitz, S., Logue, D. and Noser, E. (1988). The total cost of transactions on the NYSE. Journal of Finance 43(1).
    """
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3.0
    session = session_labels(bars.index, calendar)
    volume = bars["volume"].fillna(0.0)
    traded = volume.groupby(session).cumsum()
    paid = (typical.fillna(bars["close"]) * volume).groupby(session).cumsum()
    return paid / traded.where(traded > 0.0)


def relative_strength_index(close: pd.Series, window: int = 14) -> pd.Series:
    """Wilder's RSI, 0 to 100: smoothed gains over smoothed gains and losses; 50 where nothing moved.

    ``100 G / (G + L)`` with ``G[t] = G[t-1] + (max(change, 0) - G[t-1]) / window``, L the same of the losses. Smoothing
    starts from the plain mean of the first `window` changes, as in the book's worked example.

    References
    ----------
    Wilder, J. W. (1978). New Concepts in Technical Trading Systems, section VI.
    """
    change = close.diff()
    gain, loss = (_wilder(side.clip(lower=0.0), window) for side in (change, -change))
    total = gain + loss
    return (100.0 * gain / total.where(total > 0.0)).fillna(50.0).where(total.notna())


def macd(close: pd.Series, fast: int = 12, slow: int = 26, signal: int = 9) -> pd.DataFrame:
    """Difference of two exponential averages, its own average, and what lies between: ``macd signal histogram``.

    ``macd = ema(close, fast) - ema(close, slow)``, ``signal = ema(macd, signal)``, ``histogram = macd - signal``.

    References
    ----------
    Appel, G. (2005). Technical Analysis: Power Tools for Active Investors.
    """
    difference = ema(close, fast) - ema(close, slow)
    smoothed = difference.ewm(span=signal, adjust=False, min_periods=signal, ignore_na=True).mean()
    return pd.DataFrame({"macd": difference, "signal": smoothed, "histogram": difference - smoothed})


def _wilder(values: pd.Series, window: int) -> pd.Series:
    seeded = values.copy()
    seeded.iloc[:window] = float("nan")
    if len(values) > window:
        seeded.iloc[window] = values.iloc[1 : window + 1].mean()
    return seeded.ewm(alpha=1.0 / window, adjust=False).mean()


@dataclass(frozen=True, slots=True)
class Indicator:
    """One entry of :data:`INDICATORS`.

    Attributes
    ----------
    label : str
        As a legend says it.
    pane : {"price", "below"}
        Whether its values are prices, drawn over the candles, or have a scale of their own.
    compute : callable
        From a bars frame to a frame of the indicator's columns, indexed alike.
    definition : callable
        The function of this module that it is one setting of, where its formula stands.
    intraday : bool
        Whether it means something only within a session.
    """

    label: str
    pane: Literal["price", "below"]
    compute: Callable[[pd.DataFrame], pd.DataFrame]
    definition: Callable[..., pd.Series | pd.DataFrame]
    intraday: bool = False


#: By the name that addresses and settings use.
INDICATORS: Final[Registry[Indicator]] = Registry("indicator")


def _on_close(function: Callable[[pd.Series, int], pd.Series], length: int, bars: pd.DataFrame) -> pd.DataFrame:
    return function(bars["close"], length).to_frame("value")


def _vwap(bars: pd.DataFrame) -> pd.DataFrame:
    return vwap(bars, str(bars.attrs.get("calendar", "XNYS"))).to_frame("value")


for _length in (20, 50, 200):
    INDICATORS.add(f"sma{_length}")(Indicator(f"SMA {_length}", "price", partial(_on_close, sma, _length), sma))
for _length in (20, 50):
    INDICATORS.add(f"ema{_length}")(Indicator(f"EMA {_length}", "price", partial(_on_close, ema, _length), ema))
INDICATORS.add("bollinger")(
    Indicator("Bollinger 20, 2", "price", lambda bars: bollinger_bands(bars["close"]), bollinger_bands)
)
INDICATORS.add("vwap")(Indicator("VWAP", "price", _vwap, vwap, intraday=True))
INDICATORS.add("rsi")(
    Indicator("RSI 14", "below", partial(_on_close, relative_strength_index, 14), relative_strength_index)
)
INDICATORS.add("macd")(Indicator("MACD 12, 26, 9", "below", lambda bars: macd(bars["close"]), macd))


def indicators(bars: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Several indicators of one series.

    Parameters
    ----------
    bars : DataFrame, shape (T, 6)
    names : iterable of str
        Of :data:`INDICATORS`.

    Returns
    -------
    DataFrame, shape (T, columns)
        Columns are ``name`` for an indicator of one value and ``name.part`` for one of several.

    Raises
    ------
    UnknownChoiceError
        No such indicator; lists them.
    UsageError
        One that means something only within a session was asked for on daily bars.
    """
    found: dict[str, pd.Series] = {}
    for name in dict.fromkeys(names):
        indicator = INDICATORS[name]
        if indicator.intraday and bars.attrs.get("interval", "1d") == "1d":
            raise UsageError(f"{name} counts from a session's first bar: it needs minute bars, not daily ones")
        if not len(bars):
            raise DataError(f"{name}: there are no bars to compute it of")
        columns = indicator.compute(bars)
        alone = len(columns.columns) == 1
        found |= {name if alone else f"{name}.{part}": columns[part] for part in columns}
    return pd.DataFrame(found, index=bars.index)
