"""What a model would have forecast at every origin of the past, beside what came: a walk as a path of prices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from quantkit.core.errors import ComputeError, UsageError
from quantkit.core.kept import History
from quantkit.core.progress import Progress, silent
from quantkit.core.results import Result
from quantkit.core.schema import Interval, check_interval, check_level
from quantkit.forecast.evaluate import coverage, skill
from quantkit.forecast.inquiry import check_model, inquire
from quantkit.forecast.intervals import FAN
from quantkit.forecast.predict import calibrated
from quantkit.forecast.walk import check_horizon, walk_models

__all__ = ["Hindcast", "check_step", "hindcast"]


@dataclass(frozen=True, slots=True, eq=False)
class Hindcast(Result):
    """Forecasts `step` bars ahead from every scored origin, and their outcomes.

    Attributes
    ----------
    symbol, model, interval, currency : str
    horizon : int
        Steps of each forecast; a composite judged its members at the last one.
    step : int
        The one that is looked at: bars between an origin and the bar that was forecast.
    level : float
        Of the interval, in (0, 1).
    as_of : Timestamp
        Last bar that is known.
    path : DataFrame, shape (origins, 5)
        Indexed by the ``time`` of the bar that was forecast: prices ``origin`` (close of the bar that the forecast
        stood on, which is also what naive expected), ``median``, ``lower``, ``upper``, ``actual``.
    coverage : float
        Share of outcomes inside the interval.
    skill : float
        ``1 - MAE / MAE of naive``, on log-returns.
    fingerprint : str
    indicative : bool
        Whether prices are known only in adjusted form.
    """

    symbol: str
    model: str
    interval: str
    currency: str
    horizon: int
    step: int
    level: float
    as_of: pd.Timestamp
    path: pd.DataFrame
    coverage: float
    skill: float
    fingerprint: str
    indicative: bool = False

    @property
    def origins(self) -> int:
        """Number of forecasts."""
        return len(self.path)

    @property
    def missed(self) -> pd.Series:
        """-1 where the outcome fell below its interval, 1 where it rose above, 0 where it was inside."""
        above, below = self.path["actual"] > self.path["upper"], self.path["actual"] < self.path["lower"]
        return (above.astype(int) - below.astype(int)).rename("missed")

    def to_frame(self) -> pd.DataFrame:
        """:attr:`path` with ``missed`` beside it."""
        return self.path.assign(missed=self.missed)

    def in_words(self) -> str:
        """One sentence: how many outcomes the interval held, and on which side the others lay."""
        missed = self.missed
        ahead = f"{self.step} step{'s' if self.step > 1 else ''} ahead"
        return (
            f"{self.origins} forecasts {ahead}, each made from what was known then: the interval at "
            f"{self.level * 100:.4g} % held {int((missed == 0).sum())} outcomes ({self.coverage:.1%}); "
            f"{int((missed > 0).sum())} lay above it, {int((missed < 0).sum())} below."
        )


def check_step(step: object, horizon: int) -> int:
    """Return a step of a forecast, 1 to `horizon`, the last one for None; ``UsageError`` otherwise."""
    if step is None:
        return horizon
    if isinstance(step, bool) or not isinstance(step, (int, np.integer)) or not 1 <= step <= horizon:
        raise UsageError(f"step {step!r} is not a whole number from 1 to the horizon, {horizon}")
    return int(step)


def hindcast(
    bars: pd.DataFrame,
    *,
    model: str = "auto",
    horizon: int = 5,
    step: int | None = None,
    level: float = 0.95,
    interval: Interval = "1d",
    symbol: str = "",
    currency: str = "",
    origins: int = 250,
    progress: Progress = silent,
    fingerprint: str = "",
) -> Hindcast:
    """Forecasts of the past: those on which :func:`~quantkit.forecast.predict` measures the coverage of each step.

    Parameters
    ----------
    bars : DataFrame, shape (T, 6)
        As :func:`~quantkit.forecast.predict` takes them.
    model : str
        A name in ``FORECASTERS``. ``auto`` chooses anew at every origin, judged at `horizon`.
    horizon : int
        Bars ahead that every forecast reaches, 1 to 60.
    step : int, optional
        The step to look at, 1 to `horizon`; the last one by default.
    level : float
        Of the interval, in (0, 1).
    interval : {"1d", "1m"}
        What the bars are. On minute bars an outcome beyond a session gap is not scored, and left out here too.
    symbol, currency, origins, progress, fingerprint
        As for :func:`~quantkit.forecast.predict`.

    Raises
    ------
    UsageError, DataError, ComputeError
        As :func:`~quantkit.forecast.predict`.
    """
    from quantkit.core.threads import one_thread

    model, level = check_model(model, check_interval(interval)), check_level(level)
    step = check_step(step, check_horizon(horizon))
    asked = inquire(
        bars, "hindcast", interval=interval, horizon=horizon, origins=origins, symbol=symbol, currency=currency,
        fingerprint=fingerprint, model=model, level=level, step=step,
    )  # fmt: skip
    plan, name = asked.plan, asked.name
    history = History(bars, plan.first)
    with one_thread():
        walks, outcomes = walk_models(
            [model], bars, plan, step=horizon, interval=interval, progress=progress, history=history
        )
        walk = walks[model]
        if walk.failure:
            raise ComputeError(f"{name}: {model} failed: {walk.failure}")
        levels = FAN if level in FAN else (level,)
        band = calibrated(walk, outcomes, plan, levels=levels, history=history)
    progress(1, 1, model)

    scored, at = plan.scored(step), levels.index(level)
    came, medians = outcomes.returns[scored, step - 1], walk.medians[scored, step - 1]
    lower, upper = (bound[scored, step - 1, at] for bound in (band.lower, band.upper))
    known = ~(np.isnan(came) | np.isnan(lower))
    rows = plan.rows[scored][known]
    close = bars["close"].to_numpy()
    origin, actual = close[rows], close[rows + step]
    path = {
        "origin": origin,
        "median": origin * np.exp(medians[known]),
        "lower": origin * np.exp(lower[known]),
        "upper": origin * np.exp(upper[known]),
        "actual": actual,
    }
    return Hindcast(
        symbol=asked.symbol,
        model=model,
        interval=asked.interval,
        currency=asked.currency,
        horizon=asked.horizon,
        step=step,
        level=level,
        as_of=bars.index[-1],
        path=pd.DataFrame(path, index=bars.index[rows + step].rename("time")),
        coverage=coverage(came, lower, upper),
        skill=skill(came, medians),
        fingerprint=asked.fingerprint,
        indicative=asked.indicative,
    )
