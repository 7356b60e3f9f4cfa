"""The forecast as a fan: the last bars, and the next ones with what is expected of them at three levels."""

from __future__ import annotations

from typing import Any, Final

import bqplot as bq
import numpy as np
import pandas as pd
import traitlets as t

from quantkit.core.calendars import exchange_timezone
from quantkit.ui.charts.base import Chart, Scaling
from quantkit.ui.charts.readout import Column
from quantkit.ui.charts.shapes import Candlesticks
from quantkit.ui.formats import date_words, price, price_decimals
from quantkit.ui.tables import Cell
from quantkit.ui.theme import Tokens

__all__ = ["FanChart"]

#: Bars before the forecast that are shown, fewer where the plot is narrow.
BARS: Final = 44
PIXELS_PER_BAR: Final = 9
#: Places that one step takes, where a bar takes one: five steps beside forty bars must be told apart.
STRETCH: Final = 2.0
BANDS: Final = 3
#: Pixels that the name of a band takes, right of the last step.
WORDS_WIDE: Final = 34


class FanChart(Chart):
    """The last bars as candles, and past them a band per level, the mean, and what a challenger says.

    Attributes
    ----------
    bars : DataFrame or None
    forecast : Forecast or None
        Drawn if it is of these bars. Where newer ones have come since, they wait with it for the next forecast.
    quote : Quote or None
        Where the price is now: a point among the steps, once it is past the bar that the forecast stands on.
    """

    bars = t.Instance(pd.DataFrame, allow_none=True)
    forecast = t.Any(None, allow_none=True)
    quote = t.Any(None, allow_none=True)

    def __init__(self, *, height: str = "340px") -> None:
        x, y = (bq.LinearScale(allow_padding=False) for _ in range(2))
        at = {"x": x, "y": y}
        nothing = {"x": np.empty(0), "y": np.empty(0)}
        self.sticks = Candlesticks(at)
        self.closes = bq.Lines(scales=at, stroke_width=1.5, **nothing)
        self.bands = [
            bq.Lines(
                scales=at, fill="between", opacities=[0.0, 0.0], fill_opacities=[0.17], stroke_width=0.0, **nothing
            )
            for _ in range(BANDS)
        ]
        self.last = bq.Lines(scales=at, line_style="dotted", stroke_width=1.0, opacities=[0.7], **nothing)
        self.challenger = bq.Lines(scales=at, line_style="dashed", stroke_width=1.4, **nothing)
        self.mean = bq.Lines(scales=at, stroke_width=1.8, **nothing)
        self.means = bq.Scatter(scales=at, default_size=26, stroke_width=0, enable_hover=False, **nothing)
        self.now = bq.Scatter(scales=at, default_size=44, stroke_width=1.5, enable_hover=False, **nothing)
        self.words = bq.Label(scales=at, default_size=11, align="start", x_offset=5, y_offset=4, enable_move=False,
                              font_weight="normal", text=[], **nothing)  # fmt: skip
        marks = [*self.bands, self.last, *self.sticks.marks, self.closes, self.challenger, self.mean, self.means,
                 self.now, self.words]  # fmt: skip
        super().__init__(marks, x, y, height=height, scaling=Scaling(percent=False, ticks=7), right=72)
        self.observe(lambda change: self._draw(), ["bars", "forecast"])
        self.observe(lambda change: self._move(), "quote")

    def update(self, bars: pd.DataFrame, forecast: Any = None) -> None:
        """Show bars, and the forecast that stands on the last of them."""
        with self.hold_trait_notifications():
            self.bars, self.forecast = bars, forecast

    def paint(self, tokens: Tokens) -> None:
        """Colours of rising, falling, forecast and challenger."""
        self.sticks.paint(tokens.up, tokens.down)
        for band in self.bands:
            band.colors = band.fill_colors = [tokens.forecast]
        self.closes.colors, self.last.colors = [tokens.text], [tokens.muted]
        self.mean.colors = self.means.colors = [tokens.forecast]
        self.challenger.colors = [tokens.accent]
        self.now.colors, self.now.stroke = [tokens.text], tokens.background
        if self.bars is not None:
            self._draw()

    def resized(self) -> None:
        """Another number of bars fits."""
        self._draw()

    @property
    def shown_forecast(self) -> Any:
        """The forecast, unless it was made for other bars: the two arrive one after the other."""
        made, bars = self.forecast, self.bars
        if made is None or bars is None or not len(bars):
            return None
        of = (bars.attrs.get("symbol", made.symbol), bars.attrs.get("interval", "1d"))
        return made if (made.symbol, made.interval) == of and made.as_of in bars.index[-BARS:] else None

    def _draw(self) -> None:
        if self.bars is None or not len(self.bars):
            return
        few = max(min(BARS, int((self.readout.width or 640) / PIXELS_PER_BAR) - 12), 12)
        forecast = self.shown_forecast
        past = (self.bars if forecast is None else self.bars.loc[: forecast.as_of]).iloc[-few:]
        horizon = 5 if forecast is None else forecast.horizon
        attrs = self.bars.attrs
        interval, currency = str(attrs.get("interval", "1d")), str(attrs.get("currency", ""))
        digits = price_decimals(currency, float(past["close"].iloc[-1]))
        zone = "UTC" if interval == "1d" else exchange_timezone(str(attrs.get("calendar", "XNYS")))
        ahead = np.arange(horizon + 1) * STRETCH
        with self._together():
            # The last bar is at 0: what comes stays in its place while there are more or fewer bars before it.
            self.x.min, self.x.max = (
                0.4 - len(past),
                ahead[-1] + max(STRETCH * 0.5, WORDS_WIDE / (self.readout.width or 640) * (len(past) + ahead[-1])),
            )
            low, high = self._draw_past(past)
            if forecast is not None:
                widest = max(forecast.fan, key=lambda band: band.level)
                low, high = min(low, *widest.lower), max(high, *widest.upper)
            self._draw_fan(forecast, ahead)
            self._move()
            self._span(low, high)
            self.y_axis.tick_format = f",.{digits}f"
            self._label(past, forecast, ahead, interval, zone)
        self._say(past, forecast, ahead, interval, zone, digits)

    def _draw_past(self, past: pd.DataFrame) -> tuple[float, float]:
        at = np.arange(1.0 - len(past), 1.0)
        prices = past[["open", "high", "low", "close"]].to_numpy(dtype=float)
        quoted = ~np.isnan(prices).any(axis=1)
        self.sticks.draw(at[quoted], prices[quoted])
        alone = not quoted.any()
        self.closes.x, self.closes.y = (at, prices[:, 3]) if alone else (np.empty(0), np.empty(0))
        lows, highs = (prices[:, 3], prices[:, 3]) if alone else (prices[quoted, 2], prices[quoted, 1])
        return float(lows.min()), float(highs.max())

    def _draw_fan(self, forecast: Any, ahead: np.ndarray) -> None:
        nothing = np.empty(0)
        fan = [] if forecast is None else sorted(forecast.fan, key=lambda band: -band.level)[:BANDS]
        last = float("nan") if forecast is None else forecast.last_price
        for mark, band in zip(self.bands, fan, strict=False):
            mark.x = ahead
            mark.y = np.array([[last, *band.lower], [last, *band.upper]])
            mark.visible = True
        for mark in self.bands[len(fan) :]:
            mark.visible = False
        means = np.array([] if forecast is None else [step.mean for step in forecast.steps])
        self.mean.x, self.mean.y = (ahead, np.array([last, *means])) if len(means) else (nothing, nothing)
        self.means.x, self.means.y = (ahead[1:], means) if len(means) else (nothing, nothing)
        self.last.x = np.array([self.x.min, self.x.max]) if len(means) else nothing
        self.last.y = np.array([last, last]) if len(means) else nothing
        rival = () if forecast is None else forecast.challenger_path
        self.challenger.x = ahead if rival else nothing
        self.challenger.y = np.array([last, *rival]) if rival else nothing
        self.words.x = np.full(len(fan), ahead[-1])
        self.words.y = np.array([band.upper[-1] for band in fan])
        self.words.text = [f"{band.level:.0%}" for band in fan]
        self.words.colors = [self.tokens.muted]

    def _move(self) -> None:
        """Put the price as it is now at the step in which it is."""
        forecast, quote = self.shown_forecast, self.quote
        steps: list[int] = []
        if forecast is not None and quote is not None and quote.symbol == forecast.symbol:
            bar = quote.timestamp.normalize() if forecast.interval == "1d" else quote.timestamp.floor("min")
            steps = [step.step for step in forecast.steps if step.timestamp == bar]
        with self.now.hold_sync():
            self.now.x = np.array(steps[:1]) * STRETCH
            self.now.y = np.array([quote.close] if steps else [])

    def _label(self, past: pd.DataFrame, forecast: Any, ahead: np.ndarray, interval: str, zone: str) -> None:
        form = "%d %b" if interval == "1d" else "%H:%M"
        width = self.readout.width or 640
        every = max(round(len(past) * 84 / max(width * 0.75, 1)), 4)
        places = [float(-at) for at in range(0, len(past) - 2, every)][::-1]
        labels = [past.index[int(place) - 1].tz_convert(zone).strftime(form) for place in places]
        if forecast is not None:
            per_step = width * STRETCH / (self.x.max - self.x.min)
            skip = max(int(np.ceil(48 / per_step)), 1)
            last = len(forecast.steps)
            chosen = list(range(last, 0, -skip))[::-1]
            places += [float(ahead[step]) for step in chosen]
            labels += [forecast.steps[step - 1].timestamp.tz_convert(zone).strftime(form) for step in chosen]
            # The last bar's own label goes where the first step's would touch it.
            if chosen and 0.0 in places and ahead[chosen[0]] * width / (self.x.max - self.x.min) < 48:
                at = places.index(0.0)
                del places[at], labels[at]
        self.x_axis.tick_labels = {str(int(place)): label for place, label in zip(places, labels, strict=True)}
        self.x_axis.tick_values = np.array(places)

    def _say(self, past: pd.DataFrame, forecast: Any, ahead: np.ndarray, interval: str, zone: str, digits: int) -> None:
        steps: tuple[Any, ...] = () if forecast is None else forecast.steps
        level = "" if forecast is None else f"{forecast.level * 100:.4g}%"
        times = pd.DatetimeIndex([*past.index, *(step.timestamp for step in steps)], name="time")
        missing = np.full(len(past), np.nan)
        frame = pd.DataFrame(
            {
                "close": np.concatenate([past["close"].to_numpy(dtype=float), np.full(len(steps), np.nan)]),
                **{name: np.concatenate([missing, [getattr(step, name) for step in steps]])
                   for name in ("mean", "median", "lower", "upper")},
            },
            index=times,
        )  # fmt: skip
        if forecast is not None:
            for band in forecast.fan:
                frame[f"lower_{band.level * 100:.0f}"] = np.concatenate([missing, band.lower])
                frame[f"upper_{band.level * 100:.0f}"] = np.concatenate([missing, band.upper])
            if forecast.challenger_path:
                frame[forecast.challenger] = np.concatenate([missing, forecast.challenger_path])
        titles = {"close": "Close", "mean": "Mean", "median": "Median", "lower": f"Lower {level}",
                  "upper": f"Upper {level}"}  # fmt: skip
        self.cells = {
            name: Cell(titles.get(name, name.replace("_", " ").capitalize()), lambda value: price(float(value), digits))
            for name in frame
        }
        symbol = str(self.bars.attrs.get("symbol", ""))  # type: ignore[union-attr]
        caption = f"{symbol}, last {len(past)} bars to {date_words(past.index[-1], interval, zone)}"
        if forecast is not None:
            end = steps[-1]
            caption += (
                f", and {len(steps)} steps of {forecast.model} to {date_words(end.timestamp, interval, zone)}: mean "
                f"{price(end.mean, digits)}, {level} between {price(end.lower, digits)} and {price(end.upper, digits)} "
                f"{forecast.currency}"
            )
        self._tell(frame, caption=f"{caption}.", stem=f"{symbol}-forecast-{past.index[-1]:%Y%m%d}")
        tokens = self.tokens
        columns = [
            (Column("C", percent=False, digits=digits, optional=True), frame["close"].to_numpy()),
            (Column("Mean", tokens.forecast, percent=False, digits=digits, optional=True), frame["mean"].to_numpy()),
            *((Column(titles[name], percent=False, digits=digits, optional=True), frame[name].to_numpy())
              for name in ("lower", "upper")),
        ]  # fmt: skip
        if forecast is not None and forecast.challenger_path:
            rival = Column(forecast.challenger, tokens.accent, percent=False, digits=digits, optional=True)
            columns.append((rival, frame[forecast.challenger].to_numpy()))
        at = np.concatenate([np.arange(1.0 - len(past), 1.0), ahead[1 : len(steps) + 1]])
        heights = frame["close"].fillna(frame["mean"]).to_numpy()
        note = "indicative, adjusted" if forecast is not None and forecast.indicative else ""
        self.readout.show(
            [date_words(time, interval, zone) for time in times], at, heights, columns, note=note,
            rest=len(past) if steps else len(past) - 1, caption=f"{self.caption} Arrow keys read it.",
        )  # fmt: skip
