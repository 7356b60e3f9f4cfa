"""What a person should hear of without reading everything: rules over a report's figures, each event once.

The rules are those of ``[alerts]`` in quantkit.toml (:class:`quantkit.settings.AlertRules`). An alert has the identity
of its event, the breach of that day or the fall since that peak, so that a fall which lasts for weeks is one event.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import pandas as pd

from quantkit.core.calendars import sessions_between
from quantkit.core.results import Result

if TYPE_CHECKING:
    from quantkit.forecast import Forecast
    from quantkit.reporting.record import Record
    from quantkit.risk import RiskHistory, RiskReport
    from quantkit.settings import AlertRules

__all__ = ["KINDS", "Alert", "AlertKind", "market_alerts", "stale_alert"]

AlertKind: TypeAlias = Literal["var_breach", "forecast_flip", "drawdown", "volatility_regime", "data_stale"]

#: In the order in which they are shown.
KINDS: dict[AlertKind, str] = {
    "data_stale": "Data stale",
    "var_breach": "VaR breach",
    "drawdown": "Drawdown",
    "volatility_regime": "Volatility regime",
    "forecast_flip": "Forecast flip",
}


@dataclass(frozen=True, slots=True, eq=False)
class Alert(Result):
    """One event.

    Attributes
    ----------
    kind : {"var_breach", "forecast_flip", "drawdown", "volatility_regime", "data_stale"}
    symbol : str
        Or the portfolio's name.
    as_of : Timestamp
        Session on which it was noticed.
    event : str
        What tells this event from the next one of its kind: a session, a peak.
    said : str
        One sentence.
    value, limit : float
        The figure, and the rule's limit that it went beyond; NaN where there is none.
    """

    kind: str
    symbol: str
    as_of: pd.Timestamp
    event: str
    said: str
    value: float
    limit: float

    @property
    def title(self) -> str:
        """The kind in words."""
        return KINDS[self.kind]  # type: ignore[index]

    @property
    def identity(self) -> str:
        """The same for the same event, whenever and however often it is noticed."""
        return hashlib.sha256(f"alert\0{self.kind}\0{self.symbol}\0{self.event}".encode()).hexdigest()[:32]


def market_alerts(
    rules: AlertRules,
    risk: RiskReport,
    history: RiskHistory,
    forecast: Forecast | None = None,
    previous: Record | None = None,
) -> list[Alert]:
    """What `rules` say about a symbol or a portfolio at the last session of its report.

    Parameters
    ----------
    rules : AlertRules
    risk, history : RiskReport, RiskHistory
    forecast : Forecast, optional
    previous : Record, optional
        Of the report before; a flip of the forecast is seen against it.
    """
    found = [_breach(rules, risk), _fall(rules, history), _regime(rules, history)]
    if forecast is not None and previous is not None:
        found.append(_flip(rules, forecast, previous))
    return [each for each in found if each is not None]


def stale_alert(rules: AlertRules, symbol: str, last: pd.Timestamp, day: pd.Timestamp, calendar: str) -> Alert | None:
    """Whether the last bar is older than the rules allow: sessions that `calendar` has had since, up to `day`."""
    if rules.stale_sessions is None:
        return None
    missed = len(sessions_between(last, day, calendar)) - 1
    if missed < rules.stale_sessions:
        return None
    said = f"The last bar is of {last:%Y-%m-%d}: {missed} session{'s' if missed > 1 else ''} without data since."
    return Alert("data_stale", symbol, day, f"{last:%Y-%m-%d}", said, float(missed), float(rules.stale_sessions))


def _breach(rules: AlertRules, risk: RiskReport) -> Alert | None:
    if not rules.var_breach or risk.backtests is None or risk.backtests.path.empty:
        return None
    last = risk.backtests.path.iloc[-1]
    time, came, limit = risk.backtests.path.index[-1], float(last["return"]), float(last["auto"])
    if time != risk.as_of or not came < limit:
        return None
    said = f"A return of {came:.2%} fell below the {risk.level:.0%} VaR of {limit:.2%} said the session before."
    return Alert("var_breach", risk.symbol, time, f"{time:%Y-%m-%d}", said, came, limit)


def _fall(rules: AlertRules, history: RiskHistory) -> Alert | None:
    now = float(history.drawdown.iloc[-1])
    if rules.drawdown is None or now > -rules.drawdown:
        return None
    below = history.drawdown.to_numpy() < 0
    peak = history.drawdown.index[max(int(np.flatnonzero(~below)[-1]) if (~below).any() else 0, 0)]
    said = f"{-now:.1%} below the peak of {peak:%Y-%m-%d}; the limit is {rules.drawdown:.0%}."
    return Alert("drawdown", history.symbol, history.as_of, f"{peak:%Y-%m-%d}", said, now, -rules.drawdown)


def _regime(rules: AlertRules, history: RiskHistory) -> Alert | None:
    """Volatility crossed its own upper or lower quantile of the past on the last session."""
    method = "ewma" if "ewma" in history.volatility else next(iter(history.volatility), None)
    if rules.volatility_quantile is None or method is None:
        return None
    series = history.volatility[method].dropna()
    if len(series) < 252:
        return None
    past = series.iloc[:-1]
    before, now = float(series.iloc[-2]), float(series.iloc[-1])
    high, low = float(past.quantile(rules.volatility_quantile)), float(past.quantile(1.0 - rules.volatility_quantile))
    if before <= high < now:
        word, limit = "high", high
    elif before >= low > now:
        word, limit = "low", low
    else:
        return None
    time = series.index[-1]
    said = (
        f"Volatility is {word}: {now:.1%} a year ({method}), beyond the {limit:.1%} that "
        f"{rules.volatility_quantile:.0%} of the past stayed {'below' if word == 'high' else 'above'}."
    )
    return Alert("volatility_regime", history.symbol, time, f"{word} {time:%Y-%m-%d}", said, now, limit)


def _flip(rules: AlertRules, forecast: Forecast, previous: Record) -> Alert | None:
    before, now = previous.texts.get("forecast.trend"), forecast.trend
    edge = previous.texts.get("forecast.edge") == "yes" or not forecast.no_edge
    if not rules.forecast_flip or before is None or before == now or not edge or previous.as_of == forecast.as_of:
        return None
    said = (
        f"The forecast turned from {before} to {now} since {previous.as_of:%Y-%m-%d}; {now} now has probability "
        f"{forecast.trend_probability:.0%}."
    )
    return Alert("forecast_flip", forecast.symbol, forecast.as_of, f"{forecast.as_of:%Y-%m-%d}", said,
                 forecast.trend_probability, float("nan"))  # fmt: skip
