"""What a desk says of losses: of a symbol, of a portfolio, and of symbols together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from quantkit.core.calendars import periods_per_year
from quantkit.core.progress import Progress, silent
from quantkit.core.returns import prices_from, simple_returns
from quantkit.core.schema import Interval, check_interval, check_symbol, check_symbols
from quantkit.data.panel import joined_prices
from quantkit.desk.market import DEFAULT_BENCHMARK, MarketData, When

if TYPE_CHECKING:
    from quantkit.risk import Contributions, Correlation, RiskHistory, RiskReport, Stress

__all__ = ["Risks"]


class Risks(MarketData):
    """Questions about risk."""

    def risk(
        self,
        symbol: str | Mapping[str, float],
        period: str = "5y",
        level: float = 0.95,
        interval: Interval = "1d",
        benchmark: str | None = DEFAULT_BENCHMARK,
        risk_free: float = 0.0,
        *,
        horizon: int = 1,
        side: Literal["long", "short"] = "long",
        position_value: float | None = None,
        as_of: When = None,
        progress: Progress = silent,
    ) -> RiskReport:
        """Measures, volatility, VaR and ES with their backtests, of one symbol or of weights.

        Parameters
        ----------
        symbol : str, or mapping of symbol to weight
            Weights sum to 1; the portfolio is restored to them every period.
        period : str
        level : float
            Of VaR and ES.
        interval : {"1d", "1m"}
        benchmark : str or None
            Of beta and what stands beside it. The default one is left out where it cannot be compared: other bars,
            another currency, or the symbol itself; one that was asked for is refused then.
        risk_free : float
            Annual, a decimal.
        horizon : int
            Periods ahead of VaR and ES, 1 to 20.
        side : {"long", "short"}
        position_value : float, optional
            What the figures in currency are of; one share by default.

        Returns
        -------
        RiskReport

        Raises
        ------
        UsageError, UnknownSymbolError, NoDataError, DataError
        """
        from quantkit.risk import risk_report
        from quantkit.risk.report import risk_question

        interval = check_interval(interval)
        asked = risk_question(level=level, horizon=horizon, side=side, risk_free=risk_free,
                              position_value=position_value)  # fmt: skip
        data, units = self._returns_of(symbol, period, interval, benchmark, as_of)
        question = {name: value for name, value in asked.items() if name not in ("kind", "periods_per_year")} | units
        return self._answer(risk_report, data, question, progress)

    def risk_history(
        self,
        symbol: str | Mapping[str, float],
        period: str = "5y",
        interval: Interval = "1d",
        benchmark: str | None = DEFAULT_BENCHMARK,
        risk_free: float = 0.0,
        *,
        window: int = 63,
        as_of: When = None,
        progress: Progress = silent,
    ) -> RiskHistory:
        """How the measures of :meth:`risk` went through time: volatility, drawdown, rolling Sharpe and beta, months.

        Parameters
        ----------
        symbol, period, interval, benchmark, risk_free, as_of
            As in :meth:`risk`.
        window : int
            Periods behind each rolling figure.
        """
        from quantkit.risk import risk_history

        data, units = self._returns_of(symbol, period, check_interval(interval), benchmark, as_of)
        return self._answer(risk_history, data, {"window": window, "risk_free": float(risk_free), **units}, progress)

    def contributions(
        self,
        weights: Mapping[str, float],
        period: str = "5y",
        level: float = 0.95,
        interval: Interval = "1d",
        *,
        as_of: When = None,
    ) -> Contributions:
        """What each symbol adds to the volatility, VaR and ES of a portfolio."""
        from quantkit.risk import risk_contributions

        held = {check_symbol(symbol): float(weight) for symbol, weight in weights.items()}
        returns = simple_returns(self.prices(list(held), period=period, interval=interval, as_of=as_of))
        return risk_contributions(returns, held, level=level)

    def correlation(
        self,
        symbols: Iterable[str] | str,
        period: str = "1y",
        method: Literal["pearson", "spearman", "ewma", "ledoit_wolf"] = "pearson",
        *,
        interval: Interval = "1d",
        as_of: When = None,
    ) -> Correlation:
        """Correlation of returns, in the order of a hierarchical clustering."""
        from quantkit.risk import correlation

        wanted = check_symbols(symbols, at_least=2)
        prices = self.prices(wanted, period=period, interval=interval, as_of=as_of)
        return self._answer(correlation, (simple_returns(prices),), {"method": method}, silent)

    def rolling_correlation(
        self,
        first: str,
        second: str,
        period: str = "5y",
        *,
        window: int = 63,
        interval: Interval = "1d",
        as_of: When = None,
    ) -> pd.Series:
        """Correlation of a pair's returns over the last `window` periods at each time."""
        from quantkit.risk import rolling_correlation

        pair = check_symbols([first, second], at_least=2)
        returns = simple_returns(self.prices(pair, period=period, interval=interval, as_of=as_of))
        return rolling_correlation(returns[pair[0]], returns[pair[1]], window=window)

    def stress(
        self,
        weights: Mapping[str, float],
        *,
        shocks: Mapping[str, float] | None = None,
        own: Mapping[str, Mapping[str, float]] | None = None,
        value: float | None = None,
        benchmark: str | None = DEFAULT_BENCHMARK,
        as_of: When = None,
    ) -> Stress:
        """Crises of the past replayed on today's weights, factor shocks through beta, and a person's own scenarios."""
        from quantkit.risk import stress

        held = {check_symbol(symbol): float(weight) for symbol, weight in weights.items()}
        wide = joined_prices({each: self.history(each, period="max", as_of=as_of) for each in held})
        beside = self._benchmark(benchmark, list(held), wide.attrs, as_of)
        return stress(simple_returns(wide), held, benchmark=beside, shocks=shocks, own=own, value=value)

    def _returns_of(
        self,
        what: str | Mapping[str, float],
        period: str,
        interval: Interval,
        benchmark: str | None,
        as_of: When,
    ) -> tuple[tuple[pd.Series, pd.DataFrame | None, pd.Series | None], dict[str, Any]]:
        """Returns of a symbol or of weights, its bars if it is one symbol, the benchmark's; and their units."""
        from quantkit.risk import portfolio_returns

        bars = None
        if isinstance(what, str):
            bars = self.history(what, period=period, interval=interval, as_of=as_of)
            about, symbols = bars.attrs, [bars.attrs["symbol"]]
            returns = simple_returns(prices_from(bars))
        else:
            symbols = check_symbols(what)
            prices = self.prices(symbols, period=period, interval=interval, as_of=as_of)
            about = prices.attrs
            weights = {check_symbol(each): float(weight) for each, weight in what.items()}
            returns = portfolio_returns(simple_returns(prices), weights)
        units = {"currency": about["currency"], "periods_per_year": periods_per_year(interval, about["calendar"])}
        beside = self._benchmark(benchmark, symbols, about, as_of)
        if beside is not None and benchmark == DEFAULT_BENCHMARK and len(beside.index.intersection(returns.index)) < 2:
            beside = None  # the sample's index ends before some of its stocks do
        return (returns, bars, beside), units
