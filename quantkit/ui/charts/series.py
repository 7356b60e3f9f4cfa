"""A history as a chart looks at it: by bar number, on the exchange's clock, and in words."""

from __future__ import annotations

import math
from html import escape

import numpy as np
import pandas as pd

from quantkit.core.calendars import exchange_timezone, period_start
from quantkit.core.schema import empty_bars
from quantkit.ui.charts.aggregate import BarColumns
from quantkit.ui.formats import compact, date_words, price, price_decimals

__all__ = ["Series"]

TABLE_ROWS = 250


class Series:
    """Bars with what their ``attrs`` say of them.

    Parameters
    ----------
    bars : DataFrame or None
        A bars frame; missing ``attrs`` mean daily bars of an unnamed symbol of New York.

    Attributes
    ----------
    columns : BarColumns
    clock : ndarray of float64, shape (T,)
        Milliseconds on the exchange's clock; for daily bars, of the session's date.
    symbol, currency, interval, calendar, zone : str
    intraday : bool
    decimals : int
        Of prices.
    note : str
        What must stand beside its prices, or nothing.
    """

    def __init__(self, bars: pd.DataFrame | None = None) -> None:
        self.bars = empty_bars() if bars is None else bars
        attrs = self.bars.attrs
        self.symbol, self.currency = str(attrs.get("symbol", "")), str(attrs.get("currency", ""))
        self.interval, self.calendar = str(attrs.get("interval", "1d")), str(attrs.get("calendar", "XNYS"))
        self.intraday = self.interval != "1d"
        self.zone = exchange_timezone(self.calendar) if self.intraday else "UTC"
        self.note = "indicative, adjusted" if attrs.get("price_basis") == "adjusted" else ""
        self.columns = BarColumns.from_frame(self.bars)
        local = self.bars.index.tz_convert(self.zone).tz_localize(None) if len(self) else self.bars.index
        self.clock = np.asarray(local.as_unit("ms").asi8, dtype=float)
        self.decimals = price_decimals(self.currency, float(self.columns.close[-1]) if len(self) else 100.0)
        self._starts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.columns)

    def grown_from(self, before: Series) -> int | None:
        """How many bars are new, where this is `before` with newer bars; None where it is another series.

        The last bar of `before` may have moved since: it was still forming.
        """
        known = len(before)
        same = (self.symbol, self.interval, self.calendar) == (before.symbol, before.interval, before.calendar)
        if not same or not known or len(self) < known:
            return None
        ends = np.array_equal(self.columns.time[[0, known - 1]], before.columns.time[[0, known - 1]])
        settled = np.array_equal(self.columns.close[: known - 1], before.columns.close[:-1])
        return len(self) - known if ends and settled else None

    @property
    def zone_name(self) -> str:
        """Short name of the clock's zone, such as ``EDT``; empty for daily bars."""
        return self.bars.index[-1].tz_convert(self.zone).strftime("%Z") if self.intraday and len(self) else ""

    def start_of(self, period: str) -> int:
        """Number of the first bar of `period`, counted back from the last."""
        if period not in self._starts:
            start = period_start(period, self.bars.index[-1], self.calendar) if len(self) else None
            self._starts[period] = 0 if start is None else int(self.bars.index.searchsorted(start))
        return self._starts[period]

    def span(self, low: float, high: float) -> slice:
        """Bars whose number lies in [low, high]."""
        first = max(math.ceil(low - 1e-9), 0)
        return slice(first, max(min(math.floor(high + 1e-9) + 1, len(self)), first))

    def aligned(self, made: pd.DataFrame | None) -> dict[str, np.ndarray]:
        """Columns of `made` bar by bar, unless it is of another series; of bars that came later there is nothing."""
        known = self.bars.index
        named = made.attrs.get("symbol", self.symbol) if made is not None else ""
        if made is None or named != self.symbol or not made.index.equals(known[: len(made)]):
            return {}
        later = np.full(len(known) - len(made), np.nan)
        return {str(column): np.append(made[column].to_numpy(dtype=float), later) for column in made}

    def placed(self, told: pd.DataFrame | None) -> dict[str, np.ndarray]:
        """Actions by kind, each at the first bar of its day or after it."""
        index = self.bars.index
        if told is None or told.attrs.get("symbol") != self.symbol or not len(index):
            return {}
        found: dict[str, np.ndarray] = {}
        times = pd.DatetimeIndex(told["time"])
        at = index.searchsorted(times)
        inside = (at < len(index)) & np.asarray(times >= index[0].normalize())
        kinds, values = told["kind"].to_numpy(), told["value"].to_numpy(dtype=float)
        for kind in dict.fromkeys(kinds[inside]):
            chosen = inside & (kinds == kind)
            found[str(kind)] = np.full(len(index), np.nan)
            found[str(kind)][at[chosen]] = values[chosen]
        return found

    def name(self, part: slice) -> str:
        """Name for a file about some bars: symbol, interval, first and last day."""
        symbol = "".join(c if c.isalnum() or c in ".-=" else "_" for c in self.symbol) or "chart"
        days = self.bars.index[part]
        return f"{symbol}-{self.interval}-{days[0]:%Y%m%d}-{days[-1]:%Y%m%d}" if len(days) else symbol

    def caption(self, part: slice) -> str:
        """Some bars in a sentence."""
        count = part.stop - part.start
        if count < 1:
            return "Price chart without data."
        kind = "one-minute" if self.intraday else "daily"
        form = "candles" if self.columns.quoted[part].any() else "line of closes"
        ends = [date_words(self.bars.index[at], self.interval, self.zone) for at in (part.start, part.stop - 1)]
        highest, lowest, last = (
            price(float(value), self.decimals)
            for value in (self.columns.high[part].max(), self.columns.low[part].min(), self.columns.close[part][-1])
        )
        basis = f", {self.note}" if self.note else ""
        return (
            f"{self.symbol or 'Series'}, {kind} {form} from {ends[0]} to {ends[1]}, {count} bars; highest {highest}, "
            f"lowest {lowest}, last close {last} {self.currency}{basis}. "
            "Arrow keys move the crosshair, plus and minus zoom, 0 shows everything."
        )

    def to_html(self, part: slice) -> str:
        """Some bars as an HTML table, newest first: what the chart shows, for those who can't see it."""
        shown = self.bars.iloc[part].iloc[::-1]
        few = shown.iloc[:TABLE_ROWS]
        names = ("open", "high", "low", "close")
        body = "".join(
            f"<tr><th scope='row'>{date_words(time, self.interval, self.zone)}</th>"
            + "".join(f"<td>{price(getattr(row, name), self.decimals)}</td>" for name in names)
            + f"<td>{compact(row.volume)}</td></tr>"
            for time, row in zip(few.index, few.itertuples(index=False), strict=True)
        )
        rest = f" The newest {len(few)} of {len(shown)} bars; CSV holds them all." if len(few) < len(shown) else ""
        head = "".join(f"<th scope='col'>{name}</th>" for name in ("Time", "Open", "High", "Low", "Close", "Volume"))
        basis = f", {self.note}" if self.note else ""
        caption = escape(f"{self.symbol} in {self.currency}{basis}.{rest}")
        return (
            f"<table class='qk-table'><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )
