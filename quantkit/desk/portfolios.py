"""What a desk says of portfolios: which one to hold, how it would have gone, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quantkit.core.progress import Progress, silent
from quantkit.desk.market import DEFAULT_BENCHMARK, MarketData, When

if TYPE_CHECKING:
    from quantkit.portfolio import Allocation, Frontier, PortfolioBacktest, Stability
    from quantkit.portfolio.holdings import Holdings

__all__ = ["Portfolios"]


class Portfolios(MarketData):
    """Questions about portfolios."""

    def holdings(self, text: str) -> Holdings:
        """The positions in a CSV, valued at the latest prices.

        Parameters
        ----------
        text : str
            Columns ``symbol`` and one of ``weight``, ``value`` or ``shares``; a header names them.

        Raises
        ------
        DataError
            A row cannot be read (names it), or the symbols trade in different currencies.
        UnknownSymbolError, NoDataError
        """
        from quantkit.portfolio.holdings import read_holdings, value_holdings

        rows = read_holdings(text)
        quotes = {symbol: self.quote(symbol) for symbol in rows.amounts}
        return value_holdings(
            rows,
            {symbol: quote.close for symbol, quote in quotes.items()},
            {symbol: quote.currency for symbol, quote in quotes.items()},
        )

    def frontier(
        self,
        symbols: Iterable[str] | str,
        period: str = "5y",
        points: int = 50,
        *,
        constraints: Mapping[str, Any] | None = None,
        expected_returns: str = "bayes_stein",
        covariance: str = "ledoit_wolf",
        risk_free: float = 0.0,
        views: Sequence[Any] | Mapping[str, float] | None = None,
        current_weights: Mapping[str, float] | None = None,
        as_of: When = None,
        progress: Progress = silent,
    ) -> Frontier:
        """The exact efficient frontier of `symbols` under `constraints`, annualised.

        The estimates are by default those of :meth:`optimize`, `views` included, so that its portfolios lie on this
        curve.
        """
        from quantkit.portfolio import frontier_from_prices

        prices = self.prices(symbols, period=period, as_of=as_of)
        question = {
            "points": points, "constraints": None if constraints is None else dict(constraints),
            "expected_returns": expected_returns if views is None else None, "covariance": covariance,
            "risk_free": risk_free, "views": views, "current_weights": current_weights,
        }  # fmt: skip
        return self._answer(frontier_from_prices, (prices,), question, progress)

    def optimize(
        self,
        symbols: Iterable[str] | str,
        objective: str = "max_sharpe",
        constraints: Mapping[str, Any] | None = None,
        capital: float | None = None,
        *,
        period: str = "5y",
        as_of: When = None,
        progress: Progress = silent,
        **options: Any,
    ) -> Allocation:
        """Weights of `symbols` for an objective under constraints, and the shares for a capital.

        Parameters
        ----------
        symbols : list of str, or text separated by commas
        objective : str
            A name in ``quantkit.portfolio.OBJECTIVES``.
        constraints : mapping, optional
            The JSON form of :class:`quantkit.portfolio.Constraints`.
        capital : float, optional
            Cash and holdings together, in the symbols' currency.
        period : str
            Of the history that the estimates are made from.
        **options
            As :func:`quantkit.portfolio.optimize` takes them: ``views``, ``current_weights``, ``risk_free``,
            ``target_return``, ``target_volatility``, ``expected_returns``, ``covariance``, ``infeasible``, ...

        Raises
        ------
        InfeasibleError
            No portfolio meets the constraints; says which cannot hold together, and the nearest that does.
        """
        from quantkit.portfolio import OBJECTIVES, optimize

        OBJECTIVES[objective]
        prices = self.prices(symbols, period=period, as_of=as_of)
        question = {"objective": objective, "constraints": constraints, "capital": capital, **options}
        if capital is not None:
            last = prices.index[-1]
            # What a share costs is its close; the prices that returns are made of may be adjusted for later dividends.
            question["latest_prices"] = {
                each: float(self.history(each, start=last, end=last)["close"].iloc[-1]) for each in prices.columns
            }
        return self._answer(optimize, (prices,), question, progress)

    def backtest(
        self,
        symbols: Iterable[str] | str,
        objective: str = "max_sharpe",
        rebalance: str = "1mo",
        cost_bps: float = 10.0,
        *,
        period: str = "max",
        benchmark: str | None = DEFAULT_BENCHMARK,
        as_of: When = None,
        progress: Progress = silent,
        **options: Any,
    ) -> PortfolioBacktest:
        """What the objective would have earned out of sample after costs, beside 1/N and the benchmark.

        `options` are those of :func:`quantkit.portfolio.compare`: ``constraints``, ``window``, ``risk_free``, ...
        """
        from quantkit.portfolio import OBJECTIVES, backtest

        OBJECTIVES[objective]
        prices = self.prices(symbols, period=period, as_of=as_of)
        index = self._benchmark(benchmark, list(prices.columns), prices.attrs, as_of, prices=True)
        beside = None if index is None else index.reindex(prices.index).dropna()
        question = {"objective": objective, "rebalance": rebalance, "cost_bps": cost_bps, **options}
        return self._answer(backtest, (prices, beside), question, progress)

    def stability(
        self,
        symbols: Iterable[str] | str,
        objective: str = "max_sharpe",
        constraints: Mapping[str, Any] | None = None,
        *,
        period: str = "5y",
        draws: int = 100,
        as_of: When = None,
        progress: Progress = silent,
        **options: Any,
    ) -> Stability:
        """How far the weights of :meth:`optimize` move on `draws` histories drawn from the same returns.

        `options` are those of :meth:`optimize` that the estimates and the objective take.
        """
        from quantkit.portfolio import OBJECTIVES, stability

        OBJECTIVES[objective]
        prices = self.prices(symbols, period=period, as_of=as_of)
        question = {"objective": objective, "constraints": constraints, "draws": draws, **options}
        return self._answer(stability, (prices,), question, progress)
