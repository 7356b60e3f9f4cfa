"""Candlesticks with volume, forecast, crosshair and navigator over a history of any length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import bqplot as bq
import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets as t

from quantkit.core.calendars import PERIODS, check_period
from quantkit.core.indicators import INDICATORS
from quantkit.core.schema import check_bars
from quantkit.ui.charts.aggregate import Candles, aggregate, bars_per_candle
from quantkit.ui.charts.axes import PriceAxes
from quantkit.ui.charts.layers import (
    ActionLayer,
    CandleLayer,
    FanLayer,
    LastPriceLayer,
    Layer,
    Scales,
    View,
    VolumeLayer,
    per_candle,
)
from quantkit.ui.charts.navigator import Navigator
from quantkit.ui.charts.overlays import (
    ComparePane,
    IndicatorLayer,
    IndicatorPane,
    Pane,
    colour_of,
    compare_colour,
    legend,
    rebased,
)
from quantkit.ui.charts.pointer import Pointer
from quantkit.ui.charts.series import Series
from quantkit.ui.theme import THEMES, ThemeName

__all__ = ["CandleChart"]

MARGIN = {"left": 8, "right": 72}
#: Pixels that a candle needs to be told from its neighbour.
PIXELS_PER_CANDLE = 3.2
LEAST_BARS = 6


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
    layers : iterable of callables, such as classes of Layer
        Further overlays, drawn over the candles; each is made with the chart's scales.

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
    indicators = t.Instance(pd.DataFrame, allow_none=True, help="Of the bars, as ``desk.indicators`` returns them")
    compared = t.Instance(pd.DataFrame, allow_none=True, help="As ``desk.comparison`` returns them")
    actions = t.Instance(pd.DataFrame, allow_none=True, help="Splits and the like, as ``desk.actions`` returns them")
    log = t.Bool(False, help="Whether the price scale is logarithmic")
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
        layers: Iterable[Callable[[Scales], Layer]] = (),
    ) -> None:
        self.scales = Scales(*(bq.LinearScale(allow_padding=False) for _ in range(3)))
        self.scales.volume.min = 0.0
        self.candles, self.volume = CandleLayer(self.scales), VolumeLayer(self.scales)
        self.fan, self.last = FanLayer(self.scales), LastPriceLayer(self.scales)
        below = [name for name, each in INDICATORS.items() if each.pane == "below"]
        self.compare = ComparePane(self.scales, MARGIN)
        self.panes: list[Pane] = [self.compare, *(IndicatorPane(self.scales, name, MARGIN) for name in below)]
        self.layers: list[Layer] = [
            self.volume, self.fan, self.candles, IndicatorLayer(self.scales), ActionLayer(self.scales),
            *(make(self.scales) for make in layers), *self.panes, self.last,
        ]  # fmt: skip
        self.axes = PriceAxes(self.scales)
        self.figure = bq.Figure(
            marks=[mark for layer in self.layers for mark in layer.marks],
            axes=[*self.axes.every, *(axis for layer in self.layers for axis in layer.axes)],
            animation_duration=0, padding_x=0, padding_y=0, min_aspect_ratio=0.01, max_aspect_ratio=1000,
            display_toolbar=False,
            fig_margin={"top": 8, "bottom": 24, **MARGIN},
            layout=widgets.Layout(width="100%", height=height, min_width="0", min_height="0"),
        )  # fmt: skip
        self.navigator = Navigator(self.show, MARGIN)
        self.pointer = Pointer(x_scale=self.scales.x, y_scale=self.scales.price)
        self.table = widgets.HTML(tabbable=True, layout=widgets.Layout(display="none")).add_class("qk-table-twin")
        plot = widgets.Box([self.figure]).add_class("qk-plot")
        panes = [pane.widget for pane in self.panes]
        navigator = widgets.Box([self.navigator.figure]).add_class("qk-nav")
        super().__init__([self.pointer, plot, *panes, self.table, navigator])
        self.add_class("qk-chart")
        self.series = Series()
        self._drawn: View | None = None
        self._placed: tuple[float | None, ...] = ()
        self._quiet = False
        self.paint(theme)
        self.scales.x.observe(self._moved, ["min", "max"])
        self.pointer.observe(self._resized, "width")
        self.pointer.observe(lambda change: self._judge(), "painted")
        self.observe(lambda change: self._load(), "bars")
        self.observe(lambda change: None if self._quiet else self.look(), "period")
        self.observe(lambda change: self._reforecast(), ["forecast", "show_forecast"])
        self.observe(lambda change: self._redraw(), ["indicators", "compared", "log", "actions"])
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
        # The last bar stays in sight: the room after it is for a forecast, not to get lost in.
        low = max(min(low, most - width, len(self.series) - 1.5), least)
        with self._together():
            self.scales.x.min, self.scales.x.max = low, low + width

    def look(self) -> None:
        """Bring just `period` into sight again, wherever one has moved to."""
        if len(self.series):
            self.show(*self._range_of(self.period))

    def paint(self, theme: str) -> None:
        """Take the colours of a theme."""
        name = cast(ThemeName, theme)
        tokens = self._tokens = THEMES[name]
        with self._together():
            for layer in self.layers:
                layer.paint(tokens)
            self.axes.paint(tokens)
            self.figure.background_style = {"fill": tokens.panel}
            self.navigator.paint(tokens)
            self.pointer.paint(name)
            self._draw(force=True)
        with self._changing():
            self.theme = name

    def save_png(self) -> None:
        """Have the browser download what is drawn as ``SYMBOL-date.png``."""
        self.figure.save_png(filename=f"{self.file_stem}.png", scale=2)

    @property
    def limits(self) -> tuple[float, float]:
        """The furthest bar numbers that can be brought into sight: every bar, and room for the forecast."""
        total = len(self.series)
        return -0.5, total - 0.5 + self._room(total)

    @property
    def visible(self) -> slice:
        """Numbers of the bars in sight."""
        return self.series.span(self.scales.x.min, self.scales.x.max) if len(self.series) else slice(0, 0)

    @property
    def visible_bars(self) -> pd.DataFrame:
        """The bars in sight, one by one and as they were given."""
        return self.series.bars.iloc[self.visible]

    @property
    def csv(self) -> str:
        """The bars in sight as CSV with full precision."""
        return self.visible_bars.to_csv(lineterminator="\n")

    @property
    def file_stem(self) -> str:
        """Name for a download of what is in sight."""
        return self.series.name(self.visible)

    @property
    def caption(self) -> str:
        """What is in sight, in a sentence."""
        return self.series.caption(self.visible)

    def _room(self, bars: float) -> float:
        """Bars of room after the last: for five steps of forecast, and never less than a fiftieth of the width."""
        steps = 5 if self._fitting_forecast is None else self._fitting_forecast.horizon
        return max(steps + 1.0, 0.02 * bars)

    def _load(self) -> None:
        """Take in other bars: the same series with newer ones stays where one looks, another shows its `period`."""
        if self._quiet:
            return
        before, self.series = self.series, Series(self.bars)
        added = self.series.grown_from(before)
        if added is None:
            self.generation += 1
            self._judge()
        with self._together():
            self.navigator.load(self.series.columns, self.limits, added)
            if added is None:
                self.scales.x.min, self.scales.x.max = self._range_of(self.period)
            elif added and self.scales.x.max >= len(before) - 0.5:
                # Whoever looks at the last bar keeps looking at the last bar.
                self.scales.x.min, self.scales.x.max = self.scales.x.min + added, self.scales.x.max + added
            self._draw(force=True, steady=added is not None)

    def _range_of(self, period: str) -> tuple[float, float]:
        total = len(self.series)
        first = self.series.start_of(period)
        end = total - 0.5 + self._room(total - first)
        return (max(min(first - 0.5, end - LEAST_BARS), -0.5) if total else -0.5), end

    def _reforecast(self) -> None:
        shown = None if self._drawn is None else self._drawn.forecast
        if not self._quiet and (self._fitting_forecast is not shown or self.fan.shown != self.show_forecast):
            self.fan.shown = self.show_forecast
            with self._together():
                self._draw(only=self.fan, steady=True)

    @property
    def _fitting_forecast(self) -> Any:
        """The forecast, unless it was made for another series: bars and forecast arrive one after the other."""
        made = self.forecast
        named = self.series.symbol or getattr(made, "symbol", "")
        return made if made is not None and (made.symbol, made.interval) == (named, self.series.interval) else None

    def _redraw(self) -> None:
        if not self._quiet:
            with self._together():
                self._draw(force=True, steady=True)

    def _moved(self, change: object) -> None:
        if not self._quiet:
            with self._together():
                self._draw()

    def _judge(self) -> None:
        self.ready = 0 <= self.generation == self.pointer.painted

    def _resized(self, change: object) -> None:
        with self._together():
            self._draw()

    def _draw(self, *, force: bool = False, only: Layer | None = None, steady: bool = False) -> None:
        """Bring marks, ticks, navigator and readout in line with the range in sight.

        The marks are sent again only when the range has left what is drawn, or another candle size is due; those of
        `only` in any case. Where it is the market that has moved and not the eye, prices keep their places (`steady`).
        """
        low, high = self.scales.x.min, self.scales.x.max
        if low is None or not len(self.series):
            return
        width = self.pointer.width or 880
        span = high - low
        size = bars_per_candle(max(math.ceil(span), 1), max(int(width / PIXELS_PER_CANDLE), 40))
        before = self._drawn
        if (
            before is not None
            and not force
            and only is None
            and (low, high) == (before.low, before.high)
            and size == before.candles.size
        ):
            return
        candles, fresh = self._candles_for(low, high, size, None if force else before)
        view = View(
            self.series.columns, candles, low, high, self._fitting_forecast, self.series.decimals,
            self.series.aligned(self.indicators), self.log, self.series.aligned(self.compared),
            self.series.placed(self.actions),
        )  # fmt: skip
        self._drawn = view
        floor = self.axes.fit(view, self.layers, steady=steady and before is not None and before.log == view.log)
        for layer in self.layers:
            if fresh or layer is only:
                layer.draw(view)
            layer.fit(view)
        self.axes.label(view, self.series, width, floor=floor, without=self.last.near)
        self.navigator.show(low, high)
        self.at_period = bool(np.allclose((low, high), self._range_of(self.period), atol=0.02))
        meta = self._meta(view, floor)
        placed = (low, high, self.scales.price.min, self.scales.price.max, self.scales.volume.max)
        if fresh or placed != self._placed:
            # They follow both scales and their data, which come one after the other.
            self.pointer.held = [mark.model_id for layer in self.layers for mark in layer.costly]
        self._placed = placed
        if fresh or view.compared:  # which is rebased to what is in sight
            self.pointer.show(candles, self.series.clock, meta, self._extras(view))
        else:
            self.pointer.meta = meta
        self._fill_table()

    def _candles_for(self, low: float, high: float, size: int, before: View | None) -> tuple[Candles, bool]:
        start, stop = math.floor(low), math.ceil(high) + 1
        if before is not None and before.candles.size == size and len(before.candles):
            drawn = before.candles
            covered = drawn.first[0] <= max(start, 0) and drawn.last[-1] >= min(stop, len(self.series)) - 1
            if covered:
                return drawn, False
        # Each candle costs the browser several elements, in sight or not.
        margin = math.ceil((high - low) / 4)
        return aggregate(self.series.columns, start - margin, stop + margin, size=size), True

    def _meta(self, view: View, floor: float) -> dict[str, Any]:
        close, first = view.columns.close, int(view.candles.first[0]) if len(view.candles) else 0
        return {
            "generation": self.generation,
            "decimals": self.series.decimals,
            "intraday": self.series.intraday,
            "zone": self.series.zone_name,
            "note": self.series.note,
            "limits": list(self.limits),
            "least": LEAST_BARS,
            "newest": len(self.series) - 1.5,
            "floor": floor,
            "log": view.log,
            "extra": [
                *([legend(column), colour_of(column, self._tokens), _digits(column)] for column in view.indicators),
                *([name, compare_colour(at, self._tokens), 1] for at, name in enumerate(view.compared)),
                *([kind.capitalize(), self._tokens.accent, 2] for kind in view.actions),
            ],
            "last": {"price": float(close[-1]), "kind": "down" if len(close) > 1 and close[-1] < close[-2] else "up"},
            "before": float(close[first - 1]) if first > 0 else None,
            "caption": self.caption,
        }

    @staticmethod
    def _extras(view: View) -> list[np.ndarray]:
        """What the readout says of each candle beside its prices, in the order of ``extra`` in its meta."""
        values = [each[view.candles.last] for each in view.indicators.values()]
        actions = [per_candle(view, kind) for kind in view.actions]
        return [*values, *(rebased(view).values() if view.compared else ()), *actions]

    def _fill_table(self) -> None:
        self.table.layout.display = None if self.show_table else "none"
        if self.show_table:
            self.table.value = self.series.to_html(self.visible)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Send all traits of a widget in one message, and draw once whatever changes inside."""
        if self._quiet:
            yield
            return
        members = [
            *self.figure.marks, *(axis for axis in self.figure.axes if axis is not self.axes.time), self.figure,
            self.scales.price, self.scales.volume, self.scales.x, *self.navigator.widgets,
            # The last one here is sent first: it has the browser hold the marks until they come.
            *(part for pane in self.panes for part in pane.every), self.pointer,
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
            self.pointer.held = []

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change own traits without drawing for each."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before


def _digits(column: str) -> int | None:
    """Decimals of an indicator in the readout; None where it is a price."""
    return {"rsi": 1, "macd": 3}.get(column.partition(".")[0])
