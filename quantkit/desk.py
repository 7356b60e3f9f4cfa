"""The one facade: what every face asks, so that every face shows the same number."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import date, datetime
from inspect import signature
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias
from weakref import WeakSet

import pandas as pd

from quantkit.core.calendars import check_period, parse_time, period_start, periods_per_year
from quantkit.core.errors import DataError, ProviderError, StoreError, UnknownSymbolError, UsageError
from quantkit.core.fingerprint import fingerprint
from quantkit.core.progress import Progress, silent
from quantkit.core.returns import prices_from, simple_returns
from quantkit.core.schema import Interval, check_interval, check_level, check_symbol, check_symbols
from quantkit.data.bus import Watch
from quantkit.data.market import Market
from quantkit.data.panel import common_prices, joined_prices
from quantkit.data.quote import Quote
from quantkit.data.store import Store
from quantkit.settings import Settings

if TYPE_CHECKING:
    from quantkit.compute import Compute, Task
    from quantkit.forecast import (
        Explanation,
        Forecast,
        Hindcast,
        Leaderboard,
        Survey,
        TrackRecord,
        VolatilityLeaderboard,
    )
    from quantkit.portfolio import Allocation, Frontier, PortfolioBacktest, Stability
    from quantkit.portfolio.holdings import Holdings
    from quantkit.risk import Contributions, Correlation, RiskHistory, RiskReport, Stress

__all__ = ["DEFAULT_BENCHMARK", "Desk"]

When: TypeAlias = str | date | datetime | pd.Timestamp | None

DEFAULT_BENCHMARK: Final = "^GSPC"

log = logging.getLogger("quantkit.desk")

_planning: ContextVar[bool] = ContextVar("planning", default=False)


class _Planned(Exception):  # noqa: N818 - a way out, not a failure
    def __init__(self, task: Task) -> None:
        super().__init__(task.fingerprint)
        self.task = task


class Desk:
    """Market data, forecasts, risk and portfolios over one store.

    It composes and holds no mathematics. Open it with :meth:`open`; it is a context manager, and safe to ask from
    several threads.

    Examples
    --------
    >>> with Desk.open() as desk:
    ...     desk.history("AAPL", period="1mo")["close"].iloc[-1].round(2)
    np.float64(173.93)
    """

    def __init__(self, settings: Settings, store: Store, market: Market) -> None:
        self.settings = settings
        self.store = store
        self.market = market
        self._compute: Compute | None = None
        self._opening = threading.Lock()
        self._watches: WeakSet[Watch] = WeakSet()

    @classmethod
    def open(cls, settings: Settings | None = None, **overrides: Any) -> Self:
        """A desk on the settings in force; keyword arguments (``home``, ``provider``, ...) override them.

        Raises
        ------
        SettingsError
            A setting cannot be used.
        StoreError
            The database cannot be opened; says why and what to do.
        """
        if settings is None:
            settings = Settings.load(**overrides)
        store = Store.open(settings)
        try:
            return cls(settings, store, Market(settings, store))
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Let go of the store and of whatever computes; ends every watch."""
        for watch in list(self._watches):
            watch.close()
        if self._compute is not None:
            self._compute.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Desk on {', '.join(self.settings.provider)}; {self.store.url}>"

    def symbols(self) -> pd.DataFrame:
        """What can be asked for.

        Returns
        -------
        DataFrame
            Columns ``symbol name currency calendar intervals first last source``; `first` and `last` are the times of
            the first and the last daily (else minute) bar: stored, or embedded; NaT for a symbol of which no vendor
            has been asked yet.
        """
        rows = []
        for each in self.market.instruments():
            first, last = self.market.ends(each) or (pd.NaT, pd.NaT)
            rows.append((each.symbol, each.name, each.currency, each.calendar, ", ".join(each.intervals), first, last,
                         each.source))  # fmt: skip
        return pd.DataFrame(
            rows, columns=["symbol", "name", "currency", "calendar", "intervals", "first", "last", "source"]
        )

    def quote(self, symbol: str) -> Quote:
        """The latest price: of the last session, gathered from minutes where those reach further than daily bars.

        Raises
        ------
        UsageError, UnknownSymbolError, NoDataError
        """
        return self.market.quote(symbol)

    def history(
        self,
        symbol: str,
        period: str | None = None,
        start: When = None,
        end: When = None,
        interval: Interval = "1d",
        adjusted: bool = True,
        as_of: When = None,
        *,
        forming: bool = False,
    ) -> pd.DataFrame:
        """Bars of one symbol.

        Parameters
        ----------
        symbol : str
        period : {"1d", "5d", "1mo", "6mo", "ytd", "1y", "5y", "max"}, optional
            Counted back from the last stored bar; ``1y`` when neither `start` nor `end` is given.
        start, end : date, datetime or ISO 8601 text, optional
            Both included; a date as `end` includes its whole day. Not together with `period`.
        interval : {"1d", "1m"}
        adjusted : bool
            True: in today's share units, dividends in ``adj_close``. False: as traded on the day, splits undone.
        as_of : date, datetime or text, optional
            Answer as the store stood at that moment.
        forming : bool
            Also the bar after the last that a stream is forming, where there is one: to look at, not to compute with.

        Returns
        -------
        DataFrame, shape (T, 6)
            A bars frame; ``attrs`` say ``symbol name interval currency calendar source price_basis status``.

        Raises
        ------
        UsageError
            Malformed symbol, period, interval or date; a period beside dates; `start` after `end`.
        UnknownSymbolError, NoDataError
        """
        interval = check_interval(interval)
        known = None if as_of is None else _end_of(as_of, "as_of")
        if period is not None and (start is not None or end is not None):
            raise UsageError(f"period {period!r} was given beside start or end; give one or the other")
        first = None if start is None else parse_time(start, name="start")
        last = None if end is None else _end_of(end, "end")
        if first is not None and last is not None and first > last:
            raise UsageError(f"start {first.date()} comes after end {last.date()}")
        instrument = self.market.ensure(symbol, interval)
        if first is None and last is None:
            period = check_period(period or "1y")
            newest = self._last_time(instrument.symbol, interval, known)
            if newest is not None:
                first = period_start(period, newest, instrument.calendar)
        bars = self.market.stored(instrument, interval, start=first, end=last, as_of=known)
        if forming and known is None and last is None:
            bars = self.market.with_forming(bars)
        return bars if adjusted else self.market.as_traded(bars)

    def indicators(
        self,
        symbol: str,
        names: Iterable[str],
        interval: Interval = "1d",
        *,
        as_of: When = None,
    ) -> pd.DataFrame:
        """Technical indicators at every stored bar of a symbol, as charts draw them.

        Parameters
        ----------
        symbol : str
        names : iterable of str
            Of ``quantkit.core.indicators.INDICATORS``: ``sma20 sma50 sma200 ema20 ema50 bollinger vwap rsi macd``.
        interval : {"1d", "1m"}
        as_of : date, datetime or text, optional

        Returns
        -------
        DataFrame, shape (T, columns)
            ``name``, or ``name.part`` for an indicator of several values; NaN before it has seen enough bars.

        Raises
        ------
        UnknownChoiceError, UsageError, UnknownSymbolError, NoDataError
        """
        from quantkit.core.indicators import indicators

        bars = self.history(symbol, period="max", interval=interval, as_of=as_of)
        found = indicators(bars, names)
        found.attrs = {name: bars.attrs[name] for name in ("symbol", "interval")}
        return found

    def actions(self, symbol: str) -> pd.DataFrame:
        """Splits, dividends and earnings reports of a symbol, oldest first.

        Returns
        -------
        DataFrame, columns ``time kind value source``
            `value` of a split is its ratio, 4 for four new shares to one; of a dividend the amount a share, in today's
            share units; of a report (``earnings``, where a vendor tells them) the earnings a share of its quarter, on
            the day it was made. Where the source tells no split or dividend, dividends that its adjusted closes imply
            stand in their place, with `source` ``implied`` (:func:`quantkit.core.returns.implied_dividends`).

        Raises
        ------
        UnknownSymbolError, NoDataError
        """
        from quantkit.core.returns import implied_dividends

        bars = self.history(symbol, period="max", interval=self.market.instrument(symbol).intervals[0])
        self.market.upkeep.bring_earnings(bars.attrs["symbol"])
        told = self.store.actions(bars.attrs["symbol"])[["time", "kind", "value", "source"]]
        if (told["kind"] == "earnings").all() and bars.attrs["interval"] == "1d":
            found = implied_dividends(bars)
            implied = pd.DataFrame({"time": found.index, "kind": "dividend", "value": found.to_numpy()})
            implied["source"] = "implied"
            told = pd.concat([told, implied]).sort_values("time", ignore_index=True) if len(told) else implied
        told.attrs = {"symbol": bars.attrs["symbol"]}
        return told

    def comparison(self, symbol: str, others: Iterable[str], interval: Interval = "1d") -> pd.DataFrame:
        """Total-return prices of `symbol` and `others` at every bar of `symbol`; NaN where another one has none.

        Raises
        ------
        DataError
            They trade in different currencies.
        UsageError, UnknownSymbolError, NoDataError
        """
        wanted = check_symbols([symbol, *others])
        frames = {each: self.history(each, period="max", interval=interval) for each in wanted}
        wide = joined_prices(frames).reindex(frames[wanted[0]].index)
        wide.attrs = {name: frames[wanted[0]].attrs[name] for name in ("symbol", "interval", "currency")}
        return wide

    def prices(
        self,
        symbols: Iterable[str] | str,
        period: str | None = None,
        start: When = None,
        end: When = None,
        interval: Interval = "1d",
        as_of: When = None,
    ) -> pd.DataFrame:
        """Total-return prices of several symbols on the bars that all of them have.

        Parameters
        ----------
        symbols : list of str, or text separated by commas
        period : str, optional
            Counted back from the last bar that all have; ``5y`` when neither `start` nor `end` is given.
        start, end, interval, as_of
            As in :meth:`history`.

        Returns
        -------
        DataFrame, shape (T, N)
            ``adj_close``, falling back to ``close``; ``attrs`` hold ``currency`` and per symbol ``dropped``: bars left
            out because another symbol has none at that time.

        Raises
        ------
        DataError
            The symbols trade in different currencies.
        UsageError, UnknownSymbolError, NoDataError
        """
        wanted = check_symbols(list(symbols) if not isinstance(symbols, str) else symbols)
        dated = start is not None or end is not None
        if period is not None and dated:
            raise UsageError(f"period {period!r} was given beside start or end; give one or the other")
        span = None if dated else "max"
        frames = {
            each: self.history(each, period=span, start=start, end=end, interval=interval, as_of=as_of)
            for each in wanted
        }
        return common_prices(frames, None if dated else check_period(period or "5y"))

    def watch(self, symbols: Iterable[str] | str, *, initial: bool = False) -> Watch:
        """Quotes as bars arrive, whoever writes them.

        Parameters
        ----------
        symbols : list of str, or text separated by commas
        initial : bool
            Begin with each symbol's quote as it stands.

        Returns
        -------
        Watch
            An iterator of ``Quote`` that waits for the next one; whoever comes late gets the latest, never a queue.
            ``close()``, from any thread, ends it, as closing the desk does.

        Raises
        ------
        UsageError, UnknownSymbolError
        """
        wanted = check_symbols(list(symbols) if not isinstance(symbols, str) else symbols)
        for symbol in wanted:
            self.market.instrument(symbol)
        watch = Watch(wanted, self.store, self.settings, self.quote, initial=initial)
        self._watches.add(watch)
        return watch

    def predict(
        self,
        symbol: str,
        model: str = "auto",
        horizon: int = 5,
        level: float = 0.95,
        interval: Interval = "1d",
        *,
        as_of: When = None,
        progress: Progress = silent,
    ) -> Forecast:
        """Forecast of the next `horizon` bars, with its measured coverage and skill beside it.

        What is answered is published: it stands in the ledger that :meth:`track_record` reads, unchangeable.

        Parameters
        ----------
        symbol : str
        model : str
            A name in ``quantkit.forecast.FORECASTERS``, or ``auto``.
        horizon : int
            Bars ahead.
        level : float
            Of the interval, in (0, 1).
        interval : {"1d", "1m"}
        as_of : date, datetime or text, optional
            Forecast as it would have been made then, from what was known then.
        progress : callable
            Told ``(done, total, doing)`` while it takes; may raise ``Cancelled``.

        Returns
        -------
        Forecast

        Raises
        ------
        UnknownChoiceError
            No such model; lists them.
        DataError
            The history is too short for the model; says how much is needed.
        """
        from quantkit.forecast import check_horizon, check_model, predict

        question = {
            "model": check_model(model),
            "horizon": check_horizon(horizon),
            "level": check_level(level),
            "interval": check_interval(interval),
        }
        bars = self.history(symbol, period="max", interval=interval, as_of=as_of)
        question |= {key: bars.attrs[key] for key in ("symbol", "currency", "calendar")}
        forecast = self._answer(predict, (bars,), question, progress)
        self._publish(forecast, bars.attrs["calendar"])
        return forecast

    def explain(
        self,
        symbol: str,
        model: str = "auto",
        horizon: int = 1,
        interval: Interval = "1d",
        *,
        as_of: When = None,
        progress: Progress = silent,
    ) -> Explanation:
        """What each input contributed to the forecast that :meth:`predict` makes of the same question.

        Parameters
        ----------
        symbol : str
        model : str
            A name in ``quantkit.forecast.FORECASTERS``; ``auto`` is explained by the model it chose.
        horizon : int
            Bars ahead; contributions are cumulative up to there.
        interval, as_of, progress
            As in :meth:`predict`.

        Raises
        ------
        UnknownChoiceError, UsageError, DataError, ComputeError
        """
        from quantkit.forecast import check_horizon, check_model, explain

        interval = check_interval(interval)
        question = {"model": check_model(model, interval), "horizon": check_horizon(horizon), "interval": interval}
        bars = self.history(symbol, period="max", interval=interval, as_of=as_of)
        question |= {key: bars.attrs[key] for key in ("symbol", "currency")}
        return self._answer(explain, (bars,), question, progress)

    def survey(
        self,
        symbols: Iterable[str] | str,
        models: Sequence[str] | None = None,
        horizon: int = 5,
        origins: int = 250,
        interval: Interval = "1d",
        *,
        level: float = 0.95,
        progress: Progress = silent,
    ) -> Survey:
        """Leaderboards of many symbols, wherever this desk computes: each worker of a cluster takes the next one.

        A symbol without a leaderboard is a failure with its reason; the others stand.

        Parameters
        ----------
        symbols : list of str, or text separated by commas
        models, horizon, origins, interval, level
            As in :meth:`leaderboard`.

        Raises
        ------
        UnknownChoiceError, UsageError
        DataError
            Not one symbol has a leaderboard.
        """
        from quantkit.compute.many import ask_many
        from quantkit.forecast import check_horizon, check_model, check_origins, survey_of

        for model in models or ():
            check_model(model, interval)
        asked = {
            "models": models, "horizon": check_horizon(horizon), "origins": check_origins(origins),
            "interval": check_interval(interval), "level": check_level(level),
        }  # fmt: skip

        def question(symbol: str) -> Callable[[Progress], Leaderboard]:
            return lambda part: self.leaderboard(symbol, **asked, progress=part)  # type: ignore[arg-type]

        wanted = check_symbols(list(symbols) if not isinstance(symbols, str) else symbols)
        return survey_of(*ask_many({each: question(each) for each in wanted}, progress=progress))

    def volatility(
        self,
        symbol: str,
        models: Sequence[str] | None = None,
        horizon: int = 5,
        interval: Interval = "1d",
        *,
        origins: int = 250,
        as_of: When = None,
        progress: Progress = silent,
    ) -> VolatilityLeaderboard:
        """Volatility of the next bars by every model, annualised, ranked by QLIKE on one walk through the past.

        Parameters
        ----------
        symbol : str
        models : sequence of str, optional
            Names in ``quantkit.forecast.VOLATILITY_MODELS``; all that can forecast the interval by default.
        horizon : int
            Bars ahead over which variance is summed.
        interval : {"1d", "1m"}
        origins : int
            Past outcomes that are scored.

        Raises
        ------
        UnknownChoiceError, UsageError, DataError, ComputeError
        """
        from quantkit.forecast import VOLATILITY_MODELS, check_horizon, check_origins, volatility_leaderboard

        if models is not None and not isinstance(models, str):
            for model in models:
                VOLATILITY_MODELS[model]
        question = {
            "models": models if models is None or isinstance(models, str) else list(models),
            "horizon": check_horizon(horizon),
            "origins": check_origins(origins),
            "interval": check_interval(interval),
        }
        bars = self.history(symbol, period="max", interval=interval, as_of=as_of)
        question |= {key: bars.attrs[key] for key in ("symbol", "calendar")}
        return self._answer(volatility_leaderboard, (bars,), question, progress)

    def track_record(self, symbol: str, model: str | None = None, interval: Interval = "1d") -> TrackRecord:
        """Forecasts of `symbol` published before their outcome was known, beside what came.

        Parameters
        ----------
        symbol : str
        model : str, optional
            A name in ``quantkit.forecast.FORECASTERS``; all if left out.
        interval : {"1d", "1m"}
        """
        from quantkit.forecast import check_model, track_record

        asked = None if model is None else check_model(model)
        interval = check_interval(interval)
        symbol = self.market.instrument(symbol).symbol
        self.store.ledger.score(symbol, interval)
        published = self.store.ledger.record(symbol, interval, asked)
        return track_record(published, symbol=symbol, interval=interval, model=asked)

    def hindcast(
        self,
        symbol: str,
        model: str = "auto",
        horizon: int = 5,
        level: float = 0.95,
        interval: Interval = "1d",
        *,
        step: int | None = None,
        as_of: When = None,
        progress: Progress = silent,
    ) -> Hindcast:
        """What :meth:`predict` would have said `step` bars ahead at every origin that it is scored on, and what came.

        Parameters
        ----------
        symbol, model, horizon, level, interval, as_of, progress
            As in :meth:`predict`.
        step : int, optional
            1 to `horizon`; the last one by default.
        """
        from quantkit.forecast import check_horizon, check_model, check_step, hindcast

        interval = check_interval(interval)
        question = {
            "model": check_model(model, interval),
            "horizon": check_horizon(horizon),
            "step": check_step(step, check_horizon(horizon)),
            "level": check_level(level),
            "interval": interval,
        }
        bars = self.history(symbol, period="max", interval=interval, as_of=as_of)
        question |= {key: bars.attrs[key] for key in ("symbol", "currency")}
        return self._answer(hindcast, (bars,), question, progress)

    def leaderboard(
        self,
        symbol: str,
        models: Sequence[str] | None = None,
        horizon: int = 5,
        origins: int = 250,
        interval: Interval = "1d",
        *,
        level: float = 0.95,
        as_of: When = None,
        progress: Progress = silent,
    ) -> Leaderboard:
        """Every model (or the named ones) on the same walk through the past, beside naive, with significance.

        Raises
        ------
        UnknownChoiceError, UsageError, DataError
        """
        from quantkit.forecast import check_horizon, check_model, check_origins, leaderboard

        question = {
            "models": None if models is None else [check_model(model, interval) for model in models],
            "horizon": check_horizon(horizon),
            "origins": check_origins(origins),
            "level": check_level(level),
            "interval": check_interval(interval),
        }
        bars = self.history(symbol, period="max", interval=interval, as_of=as_of)
        return self._answer(leaderboard, (bars,), {**question, "symbol": bars.attrs["symbol"]}, progress)

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

        wanted = check_symbols(list(symbols) if not isinstance(symbols, str) else symbols, at_least=2)
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

    def plan(self, question: Callable[..., Any], *args: Any, **arguments: Any) -> Task:
        """The task that `question`, a heavy method of this desk, would compute first; nothing is computed.

        Its fingerprint says where the answer will be kept, and ``desk.compute.run`` answers it.

        Examples
        --------
        >>> with Desk.open() as desk:
        ...     task = desk.plan(desk.leaderboard, "AAPL", ["naive"])
        ...     len(task.fingerprint)
        32
        """
        token = _planning.set(True)
        try:
            question(*args, **arguments)
        except _Planned as planned:
            return planned.task
        finally:
            _planning.reset(token)
        raise TypeError(f"{question} computes nothing that is kept")

    @property
    def compute(self) -> Compute:
        """Where heavy questions run; opened at the first one."""
        with self._opening:
            if self._compute is None:
                from quantkit.compute import open_compute

                self._compute = open_compute(self.settings, self.store)
            return self._compute

    def _answer(
        self,
        function: Any,
        data: tuple[pd.DataFrame | pd.Series | None, ...],
        question: dict[str, Any],
        progress: Progress,
    ) -> Any:
        """The answer kept under the fingerprint of the question and its data, computed if nobody has yet."""
        from quantkit.compute import Task

        known = [frame for frame in data if frame is not None]
        # What an answer says of its data beside the numbers: the sample's caveats, indicative currency figures.
        about = [{name: frame.attrs.get(name) for name in ("source", "price_basis")} for frame in known]
        key = fingerprint({"function": function.__name__, "about": about, **question}, *known)
        takes = signature(function).parameters
        named = {"fingerprint": key} if {"fingerprint", "options"} & set(takes) else {}
        task = Task(function=function, data=data, question={**question, **named}, fingerprint=key,
                    takes_progress=bool({"progress", "options"} & set(takes)))  # fmt: skip
        if _planning.get():
            raise _Planned(task)
        kept = self.store.result(key)
        return self.compute.run(task, progress=progress) if kept is None else task.result(kept)

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
            symbols = check_symbols(list(what))
            prices = self.prices(symbols, period=period, interval=interval, as_of=as_of)
            about = prices.attrs
            weights = {check_symbol(each): float(weight) for each, weight in what.items()}
            returns = portfolio_returns(simple_returns(prices), weights)
        units = {"currency": about["currency"], "periods_per_year": periods_per_year(interval, about["calendar"])}
        beside = self._benchmark(benchmark, symbols, about, as_of)
        if beside is not None and benchmark == DEFAULT_BENCHMARK and len(beside.index.intersection(returns.index)) < 2:
            beside = None  # the sample's index ends before some of its stocks do
        return (returns, bars, beside), units

    def _publish(self, forecast: Forecast, calendar: str) -> None:
        """Put the forecast into the ledger; a store that cannot be written costs its place there, not the answer."""
        from quantkit.forecast import ledger_rows

        try:
            if not self.store.ledger.has(forecast.fingerprint):
                self.store.ledger.publish(ledger_rows(forecast, calendar=calendar))
        except StoreError as error:
            log.warning("a forecast is not in the ledger: %s", error)

    def _benchmark(
        self,
        benchmark: str | None,
        symbols: list[str],
        about: Mapping[str, Any],
        as_of: When,
        *,
        prices: bool = False,
    ) -> pd.Series | None:
        """Returns (or prices) of what `symbols` are held against; None where the default one cannot be compared."""
        if benchmark is None or [check_symbol(benchmark)] == symbols:
            return None
        interval, asked_for = about["interval"], benchmark != DEFAULT_BENCHMARK
        try:
            instrument = self.market.instrument(benchmark)
        except (UnknownSymbolError, ProviderError):
            if asked_for:
                raise
            return None
        comparable = interval in instrument.intervals and instrument.currency == about["currency"]
        if not comparable and not asked_for:
            return None
        if instrument.currency != about["currency"]:
            raise DataError(
                f"benchmark {instrument.symbol} is in {instrument.currency}, {', '.join(symbols)} in "
                f"{about['currency']}; choose one of the same currency, or none"
            )
        levels = prices_from(self.history(instrument.symbol, period="max", interval=interval, as_of=as_of))
        return levels if prices else simple_returns(levels)

    def _last_time(self, symbol: str, interval: Interval, as_of: pd.Timestamp | None) -> pd.Timestamp | None:
        if as_of is None:
            stored = self.store.bar_ends(symbol, interval)
            return None if stored is None else stored[1]
        known = self.store.bars(symbol, interval, as_of=as_of)
        return None if known.empty else known.index[-1]


def _end_of(value: When, name: str) -> pd.Timestamp:
    """The moment up to which something is meant: a bare date means the whole of its day."""
    stamp = parse_time(value, name=name)
    bare = (isinstance(value, str) and len(value.strip()) <= 10) or type(value) is date
    return stamp + pd.Timedelta(days=1, microseconds=-1) if bare else stamp
