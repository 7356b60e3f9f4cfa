"""The series behind a risk report: how each measure went through time, for charts and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError, QuantkitError, UsageError
from quantkit.core.fingerprint import fingerprint as hash_of
from quantkit.core.progress import Progress, silent
from quantkit.core.results import Result
from quantkit.core.returns import annualise_volatility, compound, per_period_rate
from quantkit.risk.arrays import align, matrix
from quantkit.risk.drawdowns import drawdown_series
from quantkit.risk.rolling import rolling
from quantkit.risk.volatility import VolatilityMethod, volatility_series

__all__ = ["CHARTED_VOLATILITIES", "MONTHS", "RiskHistory", "risk_history"]

#: One estimator of each kind: equal weights, fading weights, the bar's range, a fitted model.
CHARTED_VOLATILITIES: Final[tuple[VolatilityMethod, ...]] = ("rolling", "ewma", "yang_zhang", "garch")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Least and most bars of the histogram.
_BINS: Final = (20, 80)


@dataclass(frozen=True, slots=True, eq=False)
class RiskHistory(Result):
    """What a risk report's measures were at each time.

    Attributes
    ----------
    symbol, currency : str
    as_of, start : Timestamp
        Last and first return.
    window : int
        Periods behind each rolling figure.
    periods_per_year : float
    risk_free : float
        Annual, a decimal.
    benchmark : str
        Empty without one; `beta` is then empty too.
    returns : Series, shape (T,)
    drawdown : Series, shape (T,)
        ``wealth / highest wealth so far - 1``.
    volatility : DataFrame, shape (T, methods)
        Annualised; NaN before a method's first figure. A method that has none is left out, and `notes` says why.
    sharpe, beta : Series
        Rolling over `window`; `beta` on the times that the benchmark has too.
    months : DataFrame, years by ``MONTHS`` and ``Year``
        Compounded returns; NaN where there is no return. The first and the last month may be parts of one.
    histogram : DataFrame, shape (bars, 3)
        ``lower upper count`` of equally wide classes of `returns`.
    notes : dict of str
        Why something is missing, by name.
    fingerprint : str
    """

    symbol: str
    currency: str
    as_of: pd.Timestamp
    start: pd.Timestamp
    window: int
    periods_per_year: float
    risk_free: float
    benchmark: str
    returns: pd.Series
    drawdown: pd.Series
    volatility: pd.DataFrame
    sharpe: pd.Series
    beta: pd.Series
    months: pd.DataFrame
    histogram: pd.DataFrame
    notes: dict[str, str]
    fingerprint: str

    def __post_init__(self) -> None:
        if int(self.histogram["count"].sum()) != len(self.returns):
            raise DataError(f"{self.symbol}: the histogram does not hold every one of {len(self.returns)} returns")

    def to_frame(self) -> pd.DataFrame:
        """Every series side by side, NaN where one has no figure."""
        series = {"return": self.returns, "drawdown": self.drawdown, "sharpe": self.sharpe, "beta": self.beta}
        methods = self.volatility.add_prefix("volatility_")
        return pd.concat([pd.DataFrame(series), methods], axis=1)


def risk_history(
    returns: pd.Series,
    bars: pd.DataFrame | None = None,
    benchmark: pd.Series | None = None,
    *,
    window: int = 63,
    periods_per_year: float = 252.0,
    risk_free: float = 0.0,
    currency: str = "",
    fingerprint: str = "",
    progress: Progress = silent,
) -> RiskHistory:
    """Follow the measures of one series of returns through time.

    Parameters
    ----------
    returns : Series, shape (T,)
        Simple per-period returns; its name is the symbol.
    bars : DataFrame, optional
        For the volatility that looks into the bar.
    benchmark : Series, optional
        Returns.
    window : int
        Periods of the rolling Sharpe ratio and beta.
    periods_per_year : float
    risk_free : float
        Annual, a decimal.
    currency : str
    fingerprint : str
        Where the caller has made one.
    progress : Progress

    Raises
    ------
    DataError
        NaN, or fewer returns than `window`.
    UsageError
        A window below 2.
    """
    if isinstance(window, bool) or not isinstance(window, int) or window < 2:
        raise UsageError(f"window {window!r} is not a whole number of periods of at least 2")
    matrix(returns, minimum=window, name=str(returns.name or "returns"))
    rate = per_period_rate(risk_free, periods_per_year=periods_per_year)
    notes: dict[str, str] = {}
    volatility = {}
    for at, method in enumerate(CHARTED_VOLATILITIES):
        progress(at, len(CHARTED_VOLATILITIES), f"{method} volatility")
        try:
            series = volatility_series(returns, method=method, bars=bars)
        except QuantkitError as error:
            notes[f"volatility.{method}"] = str(error)
        else:
            per_period = series.reindex(returns.index)
            volatility[method] = annualise_volatility(per_period, periods_per_year=periods_per_year)
    annual: dict[str, Any] = {"window": window, "periods_per_year": periods_per_year, "risk_free": rate}
    beta, beside = pd.Series(dtype=np.float64, index=returns.index[:0]), ""
    if benchmark is not None:
        beside = str(benchmark.name or "benchmark")
        try:
            mine, market, _ = align(returns, benchmark, name=beside)
            beta = rolling(mine, "beta", benchmark=market, **annual)
        except DataError as error:
            notes["beta"] = str(error)
    question = {"kind": "risk_history", **annual, "risk_free": risk_free, "currency": currency}
    known = [each for each in (returns, bars, benchmark) if each is not None]
    return RiskHistory(
        symbol=str(returns.name or "returns"),
        currency=currency,
        as_of=returns.index[-1],
        start=returns.index[0],
        window=window,
        periods_per_year=periods_per_year,
        risk_free=risk_free,
        benchmark=beside,
        returns=returns,
        drawdown=drawdown_series(returns),
        volatility=pd.DataFrame(volatility, index=returns.index),
        sharpe=rolling(returns, "sharpe", **annual),
        beta=beta,
        months=_months(returns),
        histogram=_histogram(returns),
        notes=notes,
        fingerprint=fingerprint or hash_of(question, *known),
    )


def _months(returns: pd.Series) -> pd.DataFrame:
    times = returns.index
    table = pd.DataFrame(np.nan, index=pd.Index(sorted(set(times.year))), columns=[*MONTHS, "Year"])
    for (year, month), part in returns.groupby([times.year, times.month]):
        table.loc[year, MONTHS[month - 1]] = float(compound(part))
    for year, part in returns.groupby(times.year):
        table.loc[year, "Year"] = float(compound(part))
    return table


def _histogram(returns: pd.Series) -> pd.DataFrame:
    """Classes by the rule of Freedman and Diaconis (1981): width ``2 IQR / T^(1/3)``."""
    values = returns.to_numpy()
    spread = float(np.subtract(*np.quantile(values, (0.75, 0.25))))
    width = 2.0 * spread / len(values) ** (1.0 / 3.0)
    extent = float(np.ptp(values))
    bins = int(np.clip(np.ceil(extent / width) if width > 0.0 else _BINS[0], *_BINS))
    counts, edges = np.histogram(values, bins=bins)
    return pd.DataFrame({"lower": edges[:-1], "upper": edges[1:], "count": counts.astype(np.float64)})
