"""Candlesticks with volume, forecast, crosshair and navigator over a history of any length."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from html import escape
from typing import Any

import bqplot as bq
import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets as t

from quantkit.core.calendars import PERIODS, check_period, exchange_timezone, period_start
from quantkit.core.schema import check_bars, empty_bars
from quantkit.ui.charts.aggregate import BarColumns, Candles, aggregate, bars_per_candle
from quantkit.ui.charts.layers import (
    PRICE_FLOOR,
    CandleLayer,
    FanLayer,
    LastPriceLayer,
    Layer,
    Scales,
    View,
    VolumeLayer,
)
from quantkit.ui.charts.navigator import Navigator
from quantkit.ui.charts.pointer import Pointer
from quantkit.ui.charts.ticks import price_ticks, time_ticks
from quantkit.ui.formats import compact, date_words, price, price_decimals
from quantkit.ui.theme import THEMES

__all__ = ["CandleChart"]

MARGIN = {"left": 8, "right": 72}
#: Pixels that a candle needs to be told from its neighbour.
PIXELS_PER_CANDLE = 2.4
#: Pixels on either side of a tick that its label takes.
LABEL_HALF = 22
LEAST_BARS = 6
TABLE_ROWS = 250


class CandleChart(widgets.VBox):
    """A price chart that one looks at, moves in, and reads.

    It builds its bqplot figures once; :meth:`update` gives it other bars. Usable by itself in JupyterLab, or linked
    with ``traitlets.dlink`` to the traits of a state.

    Parameters
    ----------
    bars : DataFrame, optional
        A bars frame, as ``desk.history`` returns it; its ``attrs`` name the symbol, currency, calendar and interval.
    forecast : Forecast, optional
        Drawn past the bar it stands on.
    period : str
        Part of the history that is in sight at first, counted back from the last bar.
    theme : {"dark", "light"}
    height : str
        CSS height of the chart's plot, such as ``460px`` or ``100%``.
    layers : iterable of Layer
        Further overlays, drawn over the candles.

    Attributes
    ----------
    ready : bool
        Whether the newest series has been drawn on a screen.

    Examples
    --------
    >>> from quantkit import Desk
    >>> from quantkit.ui import CandleChart
    >>> chart = CandleChart(Desk.open().history("AAPL", period="5y"))  # doctest: +SKIP
    """

    bars = t.Instance(pd.DataFrame, allow_none=True)
    forecast = t.Any(None, allow_none=True)
    period = t.Enum(PERIODS, default_value="6mo")
    theme = t.Enum(tuple(THEMES), default_value="dark")
    show_forecast = t.Bool(True)
    show_table = t.Bool(False)
    ready = t.Bool(False)
    at_period = t.Bool(True, help="Whether just `period` is in sight, and not what somebody has moved to")
    generation = t.Int(-1, help="Counts the series that were shown")

    def __init__(
        self,
        bars: pd.DataFrame | None = None,
        *,
        forecast: Any = None,
        period: str = "6mo",
        theme: str = "dark",
        height: str = "460px",
        layers: Iterable[Layer] = (),
    ) -> None:
        self.scales = Scales(*(bq.LinearScale(allow_padding=False) for _ in range(3)))
        self.scales.volume.min = 0.0
        self.candles, self.volume = CandleLayer(self.scales), VolumeLayer(self.scales)
        self.fan, self.last = FanLayer(self.scales), LastPriceLayer(self.scales)
        self.layers: list[Layer] = [self.volume, self.fan, self.candles, *layers, self.last]
        self.time_axis = bq.Axis(scale=self.scales.x, grid_lines="solid", tick_values=np.empty(0))
        self.price_axis = bq.Axis(scale=self.scales.price, orientation="vertical", side="right", grid_lines="solid")
        self.figure = bq.Figure(
            marks=[mark for layer in self.layers for mark in layer.marks],
            axes=[self.time_axis, self.price_axis, *(axis for layer in self.layers for axis in layer.axes)],
            animation_duration=0, padding_x=0, padding_y=0, min_aspect_ratio=0.01, max_aspect_ratio=1000,
            fig_margin={"top": 8, "bottom": 24, **MARGIN},
            layout=widgets.Layout(width="100%", height=height, min_width="0", min_height="0"),
        )  # fmt: skip
        self.navigator = Navigator(self.show, MARGIN)
        self.pointer = Pointer(x_scale=self.scales.x, y_scale=self.scales.price)
        self.table = widgets.HTML(layout=widgets.Layout(display="none")).add_class("qk-table-twin")
        plot = widgets.Box([self.figure]).add_class("qk-plot")
        super().__init__([self.pointer, plot, self.table, widgets.Box([self.navigator.figure]).add_class("qk-nav")])
        self.add_class("qk-chart")
        self._columns = BarColumns.from_frame(empty_bars())
        self._clock = np.empty(0)
        self._drawn: View | None = None
        self._quiet = False
        self.paint(theme)
        self.scales.x.observe(self._moved, ["min", "max"])
        self.pointer.observe(self._resized, "width")
        self.pointer.observe(lambda change: self._judge(), "painted")
        self.observe(lambda change: self._load(), "bars")
        self.observe(lambda change: None if self._quiet else self.look(), "period")
        self.observe(lambda change: self._forecast_changed(), ["forecast", "show_forecast"])
        self.observe(lambda change: self.paint(change.new), "theme")
        self.observe(lambda change: self._fill_table(), "show_table")
        if bars is not None:
            self.update(bars, forecast, period)

    def update(self, bars: pd.DataFrame, forecast: Any = None, period: str | None = None) -> None:
        """Show another series.

        Raises
        ------
        DataError
            `bars` is not a bars frame; names the row and the column.
        UsageError
            `period` is unknown.
        """
        check_bars(bars, name=str(bars.attrs.get("symbol", "bars")))
        with self._changing():
            self.forecast = forecast
            if period is not None:
                self.period = check_period(period)
            self.bars = bars
        self._load()

    def show(self, low: float, high: float) -> None:
        """Bring the bars numbered `low` to `high` into sight, as far as there are any."""
        least, most = self.limits
        width = min(max(high - low, min(LEAST_BARS, most - least)), most - least)
        low = min(max(low, least), most - width)
        with self._together():
            self.scales.x.min, self.scales.x.max = low, low + width

    def look(self) -> None:
        """Bring just `period` into sight again, wherever one has moved to."""
        if len(self._columns):
            self.show(*self._range_of(self.period))

    def paint(self, theme: str) -> None:
        """Take the colours of a theme."""
        tokens = THEMES[theme]  # type: ignore[index]
        with self._together():
            for layer in self.layers:
                layer.paint(tokens)
            for axis in (self.time_axis, self.price_axis):
                axis.color, axis.grid_color = tokens.panel, tokens.grid
                axis.tick_style = {"fill": tokens.muted, "font-size": "11px"}
            self.price_axis.tick_style |= {"transform": "translateX(6px)"}
            self.figure.background_style = {"fill": tokens.panel}
            self.navigator.paint(tokens)
            self.pointer.paint(theme)  # type: ignore[arg-type]
            self._draw(force=True)
        with self._changing():
            self.theme = theme

    def save_png(self) -> None:
        """Have the browser download what is drawn as ``SYMBOL-date.png``."""
        self.figure.save_png(filename=f"{self.file_stem}.png", scale=2)

    @property
    def limits(self) -> tuple[float, float]:
        """The furthest bar numbers that can be brought into sight: every bar, and room for the forecast."""
        total = len(self._columns)
        return -0.5, total - 0.5 + self._room(total)

    @property
    def visible_bars(self) -> pd.DataFrame:
        """The bars in sight, one by one and as they were given."""
        if self.bars is None or not len(self.bars):
            return empty_bars()
        first = max(math.ceil(self.scales.x.min - 1e-9), 0)
        last = min(math.floor(self.scales.x.max + 1e-9), len(self.bars) - 1)
        return self.bars.iloc[first : last + 1]

    @property
    def csv(self) -> str:
        """The bars in sight as CSV with full precision."""
        return self.visible_bars.to_csv(lineterminator="\n")

    @property
    def file_stem(self) -> str:
        """Name for a download: symbol, interval and the range in sight, safe as a file's name."""
        shown = self.visible_bars
        symbol = "".join(c if c.isalnum() or c in ".-=" else "_" for c in str(self._attrs.get("symbol", "chart")))
        if not len(shown):
            return symbol
        return f"{symbol}-{self._attrs.get('interval', '1d')}-{shown.index[0]:%Y%m%d}-{shown.index[-1]:%Y%m%d}"

    @property
    def caption(self) -> str:
        """What is in sight, in a sentence."""
        shown = self.visible_bars
        if not len(shown):
            return "Price chart without data."
        kind = "one-minute" if self._intraday else "daily"
        form = "candles" if self._columns.quoted.any() else "line of closes"
        ends = [date_words(shown.index[at], self._interval, self._zone) for at in (0, -1)]
        last = price(float(shown["close"].iloc[-1]), self._decimals)
        said = (
            f"{self._attrs.get('symbol', 'Series')}, {kind} {form} from {ends[0]} to {ends[1]}, {len(shown)} bars; "
            f"highest {price(float(shown['high'].fillna(shown['close']).max()), self._decimals)}, "
            f"lowest {price(float(shown['low'].fillna(shown['close']).min()), self._decimals)}, "
            f"last close {last} {self._attrs.get('currency', '')}"
        )
        return f"{said}. Arrow keys move the crosshair, plus and minus zoom, 0 shows everything."

    @property
    def _attrs(self) -> dict[Any, Any]:
        return {} if self.bars is None else self.bars.attrs

    @property
    def _interval(self) -> str:
        return str(self._attrs.get("interval", "1d"))

    @property
    def _intraday(self) -> bool:
        return self._interval != "1d"

    @property
    def _zone(self) -> str:
        return exchange_timezone(str(self._attrs.get("calendar", "XNYS"))) if self._intraday else "UTC"

    @property
    def _decimals(self) -> int:
        close = self._columns.close
        return price_decimals(str(self._attrs.get("currency", "")), float(close[-1]) if len(close) else 100.0)

    def _room(self, bars: float) -> float:
        """Bars of room after the last: for five steps of forecast, and never less than a fiftieth of the width."""
        steps = 5 if self._fitting_forecast is None else self._fitting_forecast.horizon
        return max(steps + 1.0, 0.02 * bars)

    def _load(self) -> None:
        """Take in another series and look at its last `period`."""
        if self._quiet:
            return
        bars = empty_bars() if self.bars is None else self.bars
        self._columns = BarColumns.from_frame(bars)
        local = bars.index.tz_convert(self._zone).tz_localize(None) if len(bars) else bars.index
        self._clock = np.asarray(local.as_unit("ms").asi8, dtype=float)
        self.generation += 1
        self._judge()
        with self._together():
            self.navigator.load(self._columns, self.limits)
            self.scales.x.min, self.scales.x.max = self._range_of(self.period)
            self._draw(force=True)

    def _range_of(self, period: str) -> tuple[float, float]:
        total = len(self._columns)
        if not total or self.bars is None:
            return -0.5, 0.5 + LEAST_BARS
        start = period_start(period, self.bars.index[-1], str(self._attrs.get("calendar", "XNYS")))
        first = 0 if start is None else int(self.bars.index.searchsorted(start))
        end = total - 0.5 + self._room(total - first)
        return max(min(first - 0.5, end - LEAST_BARS), -0.5 if total > LEAST_BARS else end - LEAST_BARS), end

    def _forecast_changed(self) -> None:
        shown = None if self._drawn is None else self._drawn.forecast
        if not self._quiet and (self._fitting_forecast is not shown or self.fan.shown != self.show_forecast):
            self.fan.shown = self.show_forecast
            with self._together():
                self._draw(force=True)

    @property
    def _fitting_forecast(self) -> Any:
        """The forecast, unless it was made for another series: bars and forecast arrive one after the other."""
        made = self.forecast
        fits = made is not None and all(self._attrs.get(key, getattr(made, key)) == getattr(made, key)
                                        for key in ("symbol", "interval"))  # fmt: skip
        return made if fits else None

    def _moved(self, change: object) -> None:
        if not self._quiet:
            with self._together():
                self._draw()

    def _judge(self) -> None:
        self.ready = 0 <= self.generation == self.pointer.painted

    def _resized(self, change: object) -> None:
        with self._together():
            self._draw()

    def _draw(self, *, force: bool = False) -> None:
        """Bring marks, ticks, navigator and readout in line with the range in sight.

        The marks are sent again only when the range has left what is drawn, or another candle size is due.
        """
        low, high = self.scales.x.min, self.scales.x.max
        if low is None or not len(self._columns):
            return
        width = self.pointer.width or 880
        span = high - low
        size = bars_per_candle(max(math.ceil(span), 1), max(int(width / PIXELS_PER_CANDLE), 40))
        before = self._drawn
        if (
            before is not None
            and not force
            and (low, high) == (before.low, before.high)
            and size == before.candles.size
        ):
            return
        candles, fresh = self._candles_for(low, high, size, None if force else before)
        view = View(self._columns, candles, low, high, self._fitting_forecast, self._decimals)
        self._drawn = view
        floor = self._fit_prices(view)
        for layer in self.layers:
            if fresh:
                layer.draw(view)
            layer.fit(view)
        self._label(view, width, floor)
        self.navigator.show(low, high)
        self.at_period = bool(np.allclose((low, high), self._range_of(self.period), atol=0.02))
        meta = self._meta(floor)
        if fresh:
            self.pointer.show(candles, self._clock, meta)
        else:
            self.pointer.meta = meta
        self._fill_table()

    def _candles_for(self, low: float, high: float, size: int, before: View | None) -> tuple[Candles, bool]:
        start, stop = math.floor(low), math.ceil(high) + 1
        if before is not None and before.candles.size == size and len(before.candles):
            drawn = before.candles
            covered = drawn.first[0] <= max(start, 0) and drawn.last[-1] >= min(stop, len(self._columns)) - 1
            if covered:
                return drawn, False
        margin = math.ceil((high - low) / 2)
        return aggregate(self._columns, start - margin, stop + margin, size=size), True

    def _fit_prices(self, view: View) -> float:
        """Set the price scale to what is in sight; returns the price below which volume stands."""
        extents = [each for each in (layer.extent(view) for layer in self.layers) if each is not None]
        bottom, top = min(low for low, _ in extents), max(high for _, high in extents)
        pad = (top - bottom) * 0.05 or abs(top) * 0.01 or 1.0
        bottom, top = bottom - pad, top + pad
        below = 0.0 if not view.candles.volume.any() else PRICE_FLOOR / (1 - PRICE_FLOOR) * (top - bottom)
        self.scales.price.min, self.scales.price.max = bottom - below, top
        return bottom

    def _label(self, view: View, width: int, floor: float) -> None:
        candles, seen = view.candles, view.seen
        clock = pd.DatetimeIndex(self._clock[candles.first[seen]].astype("datetime64[ms]"))
        position = candles.first[seen].astype(float)
        at, labels = time_ticks(position, clock, most=max(width // 80, 2), intraday=self._intraday)
        # A label whose half would be cut off says less than none.
        room = (view.high - view.low) / max(width, 1) * LABEL_HALF
        fits = (at >= view.low + room) & (at <= view.high - room)
        at, labels = at[fits], [label for label, fit in zip(labels, fits, strict=True) if fit]
        self.time_axis.tick_values = at
        self.time_axis.tick_labels = {_js_number(value): label for value, label in zip(at, labels, strict=True)}
        ticks = price_ticks(floor, self.scales.price.max)
        ticks = ticks[~self.last.near(ticks)]
        step = float(np.diff(ticks).min()) if len(ticks) > 1 else 1.0
        decimals = max(
            self._decimals if step < 1 else 0, min(math.ceil(-math.log10(step) - 1e-9), 6) if step < 1 else 0
        )
        self.price_axis.tick_format = f",.{max(decimals, self._decimals)}f"
        self.price_axis.tick_values = ticks

    def _meta(self, floor: float) -> dict[str, Any]:
        first = int(self._drawn.candles.first[0]) if self._drawn and len(self._drawn.candles) else 0
        zone = (
            self.bars.index[-1].tz_convert(self._zone).strftime("%Z") if self._intraday and len(self._columns) else ""
        )
        return {
            "generation": self.generation,
            "decimals": self._decimals,
            "intraday": self._intraday,
            "zone": zone,
            "note": "indicative, adjusted" if self._attrs.get("price_basis") == "adjusted" else "",
            "limits": list(self.limits),
            "least": LEAST_BARS,
            "floor": floor,
            "last": self._last_meta(),
            "before": float(self._columns.close[first - 1]) if first > 0 else None,
            "caption": self.caption,
        }

    def _last_meta(self) -> dict[str, Any] | None:
        close = self._columns.close
        if not len(close):
            return None
        return {"price": float(close[-1]), "kind": "down" if len(close) > 1 and close[-1] < close[-2] else "up"}

    def _fill_table(self) -> None:
        self.table.layout.display = None if self.show_table else "none"
        if self.show_table:
            self.table.value = self.to_table_html()

    def to_table_html(self) -> str:
        """The bars in sight as an HTML table, newest first: what the chart shows, for those who can't see it."""
        shown = self.visible_bars.iloc[::-1]
        part = shown.iloc[:TABLE_ROWS]
        names = ("open", "high", "low", "close")
        body = "".join(
            f"<tr><th scope='row'>{date_words(time, self._interval, self._zone)}</th>"
            + "".join(f"<td>{price(getattr(row, name), self._decimals)}</td>" for name in names)
            + f"<td>{compact(row.volume)}</td></tr>"
            for time, row in zip(part.index, part.itertuples(index=False), strict=True)
        )
        left_out = (
            f" The newest {len(part)} of {len(shown)} bars; CSV holds them all." if len(part) < len(shown) else ""
        )
        head = "".join(f"<th scope='col'>{name}</th>" for name in ("Time", "Open", "High", "Low", "Close", "Volume"))
        caption = escape(f"{self._attrs.get('symbol', '')} in {self._attrs.get('currency', '')}.{left_out}")
        return (
            f"<table class='qk-table'><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Send all traits of a widget in one message, and draw once whatever changes inside."""
        if self._quiet:
            yield
            return
        members = [
            *self.figure.marks, *self.figure.axes, self.figure, self.scales.price, self.scales.volume, self.scales.x,
            *self.navigator.widgets, self.pointer,
        ]  # fmt: skip
        self._quiet = True
        try:
            with ExitStack() as stack:
                for member in members:
                    stack.enter_context(member.hold_sync())
                yield
                self._draw()
        finally:
            self._quiet = False

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change own traits without drawing for each."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before


def _js_number(value: float) -> str:
    """The key under which JavaScript finds a number in an object."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
