"""The one facade: what every face asks, so that every face shows the same number."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import pandas as pd

from quantkit.core.calendars import check_period, known_at, parse_time, period_start
from quantkit.core.errors import DataError, NoDataError, UsageError
from quantkit.core.fingerprint import fingerprint
from quantkit.core.progress import Progress, silent
from quantkit.core.returns import prices_from
from quantkit.core.schema import Interval, check_interval, check_level, check_symbols
from quantkit.core.sessions import session_bars
from quantkit.data.market import Market
from quantkit.data.quote import Quote
from quantkit.data.store import Store
from quantkit.settings import Settings

if TYPE_CHECKING:
    from quantkit.compute import Compute
    from quantkit.forecast.base import Forecast

__all__ = ["Desk"]

When: TypeAlias = str | date | datetime | pd.Timestamp | None


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
        """Let go of the store and of whatever computes."""
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
            Columns ``symbol name currency calendar intervals first last source``; `first` and `last` are the range of
            the stored daily (else minute) bars, NaT for a symbol that has not been asked for yet.
        """
        rows = []
        for each in self.market.instruments():
            stored = next(filter(None, (self.store.bar_range(each.symbol, i) for i in each.intervals)), None)
            first, last = (stored[0], stored[1]) if stored else (pd.NaT, pd.NaT)
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
        instrument = self.market.instrument(symbol)
        candidates = []
        for interval in instrument.intervals:
            bars = self.market.bars(instrument.symbol, interval, start=self._tail(instrument.symbol, interval))
            complete = known_at(bars.index[-1:], interval=interval, calendar=instrument.calendar)[0]
            candidates.append((complete, interval, bars))
        complete, interval, bars = max(candidates, key=lambda each: each[0])
        daily = bars if interval == "1d" else session_bars(bars, instrument.calendar)
        last = daily.iloc[-1]
        return Quote(
            symbol=instrument.symbol,
            name=instrument.name,
            timestamp=daily.index[-1] if interval == "1d" else bars.index[-1],
            open=float(last["open"]),
            high=float(last["high"]),
            low=float(last["low"]),
            close=float(last["close"]),
            volume=float(last["volume"]),
            previous_close=float(daily["close"].iloc[-2]) if len(daily) > 1 else np.nan,
            currency=instrument.currency,
            source=instrument.source,
            status=self.market.status(instrument),
            price_basis=instrument.price_basis,
            age_seconds=(pd.Timestamp.now("UTC") - complete).total_seconds(),
        )

    def history(
        self,
        symbol: str,
        period: str | None = None,
        start: When = None,
        end: When = None,
        interval: Interval = "1d",
        adjusted: bool = True,
        as_of: When = None,
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
        bars = self.market.bars(instrument.symbol, interval, start=first, end=last, as_of=known)
        return bars if adjusted else self._as_traded(bars)

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
        frames = {
            each: self.history(each, period=None if dated else "max", start=start, end=end, interval=interval,
                               as_of=as_of)
            for each in wanted
        }  # fmt: skip
        currencies = {each: bars.attrs["currency"] for each, bars in frames.items()}
        if len(set(currencies.values())) > 1:
            said = ", ".join(f"{each} in {currency}" for each, currency in currencies.items())
            raise DataError(f"currencies are not mixed silently: {said}; choose symbols of one currency")
        wide = pd.concat({each: prices_from(bars) for each, bars in frames.items()}, axis=1, join="outer", sort=True)
        common = wide.dropna()
        if common.empty:
            spans = "; ".join(f"{s} {b.index[0].date()} to {b.index[-1].date()}" for s, b in frames.items())
            raise NoDataError(f"{', '.join(wanted)} have no {interval} bar in common: {spans}")
        if not dated:
            calendar = frames[wanted[0]].attrs["calendar"]
            first = period_start(check_period(period or "5y"), common.index[-1], calendar)
            common = common if first is None else common.loc[first:]
        inside = wide.loc[common.index[0] : common.index[-1]]
        common.attrs = {
            "currency": next(iter(currencies.values())),
            "interval": interval,
            "dropped": {each: int(inside[each].notna().sum() - len(common)) for each in wanted},
        }
        return common

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
        return self._answer(predict, (bars,), question, progress)

    @property
    def compute(self) -> Compute:
        """Where heavy questions run; opened at the first one."""
        if self._compute is None:
            from quantkit.compute import open_compute

            self._compute = open_compute(self.settings, self.store)
        return self._compute

    def _answer(
        self, function: Any, data: tuple[pd.DataFrame, ...], question: dict[str, Any], progress: Progress
    ) -> Any:
        """The answer kept under the fingerprint of the question and its data, computed if nobody has yet."""
        from quantkit.compute import Task

        key = fingerprint({"function": function.__name__, **question}, *data)
        task = Task(function=function, data=data, question={**question, "fingerprint": key}, fingerprint=key)
        kept = self.store.result(key)
        return self.compute.run(task, progress=progress) if kept is None else task.result(kept)

    def _last_time(self, symbol: str, interval: Interval, as_of: pd.Timestamp | None) -> pd.Timestamp | None:
        if as_of is None:
            stored = self.store.bar_range(symbol, interval)
            return None if stored is None else stored[1]
        known = self.store.bars(symbol, interval, as_of=as_of)
        return None if known.empty else known.index[-1]

    def _tail(self, symbol: str, interval: Interval) -> pd.Timestamp | None:
        """A moment from which the last two sessions are surely included, however long the holidays."""
        self.market.ensure(symbol, interval)
        stored = self.store.bar_range(symbol, interval)
        return None if stored is None else stored[1] - pd.Timedelta(days=14)

    def _as_traded(self, bars: pd.DataFrame) -> pd.DataFrame:
        if bars.attrs["source"] in ("sample", "files"):
            raise NoDataError(
                f"{bars.attrs['symbol']}: prices as traded need the splits, which {bars.attrs['source']} does not "
                "carry; ask with adjusted=True"
            )
        actions = self.store.actions(bars.attrs["symbol"])
        splits = actions[actions["kind"] == "split"]
        later = np.ones(len(bars))
        for when, ratio in zip(splits["time"], splits["value"], strict=True):
            later[bars.index < when] *= ratio
        traded = bars.copy()
        for column in ("open", "high", "low", "close"):
            traded[column] *= later
        traded["volume"] /= later
        return traded


def _end_of(value: When, name: str) -> pd.Timestamp:
    """The moment up to which something is meant: a bare date means the whole of its day."""
    stamp = parse_time(value, name=name)
    bare = (isinstance(value, str) and len(value.strip()) <= 10) or type(value) is date
    return stamp + pd.Timedelta(days=1, microseconds=-1) if bare else stamp
