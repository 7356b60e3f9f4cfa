"""The panel beside the chart: what the price is, what is expected next, and how far that can be trusted."""

from __future__ import annotations

import math
import re
from typing import Any

import ipywidgets as widgets
import pandas as pd
import traitlets as t

from quantkit.core.calendars import exchange_timezone
from quantkit.ui.formats import (
    MISSING,
    compact,
    date_words,
    direction,
    escape,
    percent,
    price,
    price_decimals,
    signed,
)

__all__ = ["NowPanel", "forecast_html", "notice", "quote_html", "session_html"]

YEAR = pd.DateOffset(years=1)


class NowPanel(widgets.VBox):
    """Quote, forecast and session of the shown symbol.

    Attributes
    ----------
    quote, instrument, forecast : Quote, Instrument, Forecast or None
    bars : DataFrame or None
        The symbol's history, for the range of 52 weeks.
    risk : RiskReport or None
        For the value at risk of the next bar.
    forecasting : bool
    forecast_error : str
        Stands where the forecast would have been, with a button that calls the handlers of :meth:`on_retry`.
    """

    quote = t.Any(None, allow_none=True)
    instrument = t.Any(None, allow_none=True)
    forecast = t.Any(None, allow_none=True)
    bars = t.Instance(pd.DataFrame, allow_none=True)
    forecasting = t.Bool(False)
    forecast_error = t.Unicode("")
    show_forecast = t.Bool(True)
    risk = t.Any(None, allow_none=True)

    def __init__(self) -> None:
        self._quote, self._forecast, self._session = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._retry = widgets.Button(description="Retry", layout=widgets.Layout(display="none"))
        self._retry.add_class("qk-retry")
        super().__init__([self._quote, self._forecast, self._retry, self._session])
        self.add_class("qk-panel").add_class("qk-now")
        self.observe(lambda change: self._show_quote(), ["quote", "instrument"])
        self.observe(
            lambda change: self._show_forecast(),
            ["forecast", "forecasting", "forecast_error", "show_forecast", "quote", "risk"],
        )

    def on_retry(self, act: Any) -> None:
        """Call `act` when a person wants the forecast tried again."""
        self._retry.on_click(lambda button: act())

    def _show_quote(self) -> None:
        if self.quote is None or self.instrument is None:
            return
        self._quote.value = quote_html(self.quote, self.instrument)
        self._session.value = session_html(self.quote, self.bars)

    def _show_forecast(self) -> None:
        self._retry.layout.display = None if self.forecast_error else "none"
        if not self.show_forecast or self.quote is None:
            self._forecast.value = ""
        elif self.forecast_error:
            self._forecast.value = notice(self.forecast_error, "fault")
        elif self.forecast is not None and self.forecast.symbol == self.quote.symbol:
            risk = self.risk if getattr(self.risk, "symbol", "") == self.forecast.symbol else None
            self._forecast.value = forecast_html(self.forecast, self._zone, self.quote, risk)
        else:
            self._forecast.value = _waiting(self.forecasting)

    @property
    def _zone(self) -> str:
        return exchange_timezone(self.instrument.calendar) if self.instrument is not None else "UTC"


def quote_html(quote: Any, instrument: Any) -> str:
    """Who it is, the last price, and its change; a daily quote says its session's date."""
    digits = price_decimals(quote.currency, quote.close)
    kind = direction(quote.change)
    daily = quote.timestamp == quote.timestamp.normalize()
    as_of = date_words(
        quote.timestamp, "1d" if daily else "1m", "UTC" if daily else exchange_timezone(instrument.calendar)
    )
    basis = " <span class='qk-basis'>indicative, adjusted</span>" if quote.price_basis == "adjusted" else ""
    place = exchange_timezone(instrument.calendar).rpartition("/")[2].replace("_", " ")
    change = f"{signed(quote.change, digits)} ({percent(quote.change_percent, sign=True)})"
    return (
        f"<div class='qk-name'><b>{escape(quote.symbol)}</b> <span>{escape(quote.name)}</span></div>"
        f"<div class='qk-venue'>{escape(place)} · {escape(quote.currency)}{basis}</div>"
        f"<div class='qk-last' data-qk-last>{price(quote.close, digits)}</div>"
        f"<div class='qk-change {kind}'>{change} <span>as of {as_of}</span></div>"
    )


def forecast_html(forecast: Any, zone: str = "UTC", quote: Any = None, risk: Any = None) -> str:
    """What is expected of the next bar, and a sentence on whether that has ever been better than no change.

    Where it does not stand on the bar of `quote`, it says which one. Its value at risk is that of `risk`, a dash until
    that has come.
    """
    digits = price_decimals(forecast.currency, forecast.last_price)
    step = forecast.steps[0]
    when = date_words(step.timestamp, forecast.interval, zone)
    edge = "no edge" if forecast.no_edge else forecast.trend
    kind = "flat" if forecast.no_edge else direction(1.0 if forecast.trend == "UP" else -1.0)
    covered = (
        f" The {forecast.level:.0%} interval held {forecast.coverage:.1%} of the time."
        if math.isfinite(forecast.coverage)
        else ""
    )
    rows = [
        ("Predicted next", f"<span class='fc'>{price(step.mean, digits)}</span>", "mean of the next bar's close"),
        ("Next session" if forecast.interval == "1d" else "Next bar", escape(when), "what the forecast is for"),
        (f"{forecast.level:.0%} interval", f"{price(step.lower, digits)} – {price(step.upper, digits)}", ""),
        ("Predicted volatility", percent(forecast.predicted_volatility), "standard deviation of the next bar's return"),
        ("VaR 95%", *_value_at_risk(risk, digits)),
        (
            "Trend",
            f"<span class='{kind}'>{escape(edge)} {forecast.trend_probability:.0%}</span>",
            f"probability that the next close is {'above' if forecast.trend == 'UP' else 'below'} the last",
        ),
    ]
    if quote is not None and forecast.as_of != quote.timestamp:
        stood = date_words(forecast.as_of, forecast.interval, zone)
        rows[2:2] = [("From", stood, "bar that the forecast stands on"), ("At", price(forecast.last_price, digits), "")]
    words = forecast.in_words()
    verdict = re.split(r"[:;]| \(", words, maxsplit=1)[0]
    said = f"<b>{escape(verdict)}</b>{escape(words[len(verdict) :])}"
    return (
        f"<dl class='qk-figures' data-qk-forecast='{escape(forecast.model)}'>{_rows(rows)}</dl>"
        f"<p class='qk-note'>{said}{escape(covered)}</p>"
    )


def _value_at_risk(risk: Any, digits: int) -> tuple[str, str]:
    if risk is None or not math.isfinite(risk.value_at_risk_95):
        return MISSING, "what one share held long loses at most in 19 of 20 such bars"
    said = f"what one share held long loses at most in 19 of 20 such bars, by {risk.value_at_risk_method}"
    figure = f"{signed(risk.value_at_risk_95, digits)} ({percent(risk.value_at_risk_95_return, sign=True)})"
    return f"<span data-qk-var>{figure}</span>", said


def session_html(quote: Any, bars: pd.DataFrame | None) -> str:
    """The session's open, high, low and volume, and the range of the last 52 weeks."""
    digits = price_decimals(quote.currency, quote.close)
    rows = [
        ("Open", price(quote.open, digits), ""),
        ("High", price(quote.high, digits), ""),
        ("Low", price(quote.low, digits), ""),
        ("Volume", compact(quote.volume), "shares"),
        ("Previous close", price(quote.previous_close, digits), ""),
    ]
    if bars is not None and len(bars) and bars.attrs.get("interval") == "1d":
        year = bars.loc[bars.index[-1] - YEAR :]
        low, high = year["low"].fillna(year["close"]).min(), year["high"].fillna(year["close"]).max()
        rows.append(("52 w range", f"{price(low, digits)} – {price(high, digits)}", "lowest low and highest high"))
    rows.append(
        ("Source", escape(f"{quote.source}, {quote.status}" if quote.source != quote.status else quote.source), "")
    )
    return f"<dl class='qk-figures'>{_rows(rows)}</dl>"


def notice(text: str, kind: str = "hint") -> str:
    """A sentence in the place where an answer would have been."""
    role = " role='alert'" if kind == "fault" else ""
    return f"<p class='qk-notice-line {escape(kind)}'{role}>{escape(text)}</p>"


def _waiting(busy: bool) -> str:
    names = ("Predicted next", "Next session", "95% interval", "Predicted volatility", "VaR 95%", "Trend")
    mark = "<i class='qk-busy'></i>" if busy else MISSING
    rows = _rows([(name, mark, "") for name in names])
    said = "Working out the forecast and its record …" if busy else "No forecast."
    return f"<dl class='qk-figures' aria-busy='{str(busy).lower()}'>{rows}</dl><p class='qk-note'>{said}</p>"


def _rows(rows: list[tuple[str, str, str]]) -> str:
    hints = (f" title='{escape(hint)}'" if hint else "" for _, _, hint in rows)
    return "".join(
        f"<div{hint}><dt>{escape(name)}</dt><dd>{value}</dd></div>"
        for hint, (name, value, _) in zip(hints, rows, strict=True)
    )
