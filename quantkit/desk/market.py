"""What a desk knows of markets: symbols, quotes, bars, prices side by side, and what arrives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final, TypeAlias

import pandas as pd

from quantkit.core.calendars import check_period, parse_time, period_start
from quantkit.core.errors import DataError, ProviderError, UnknownSymbolError, UsageError
from quantkit.core.returns import prices_from, simple_returns
from quantkit.core.schema import Interval, check_interval, check_symbol, check_symbols
from quantkit.data.bus import Watch
from quantkit.data.panel import common_prices, joined_prices
from quantkit.data.quote import Quote
from quantkit.desk.answers import Answers

__all__ = ["DEFAULT_BENCHMARK", "MarketData", "When"]

When: TypeAlias = str | date | datetime | pd.Timestamp | None

DEFAULT_BENCHMARK: Final = "^GSPC"


class MarketData(Answers):
    """Questions about markets."""

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
        wanted = check_symbols(symbols)
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
        wanted = check_symbols(symbols)
        for symbol in wanted:
            self.market.instrument(symbol)
        watch = Watch(wanted, self.store, self.settings, self.quote, initial=initial)
        self._watches.add(watch)
        return watch

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
