"""From bars to a forecast with its proof beside it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from quantkit.core.calendars import next_bars, period_start
from quantkit.core.errors import ComputeError, DataError
from quantkit.core.kept import History
from quantkit.core.progress import Progress, silent
from quantkit.core.returns import prices_from, simple_returns
from quantkit.core.schema import Interval, check_interval, check_level
from quantkit.forecast.auto import judge
from quantkit.forecast.base import FORECASTERS, Band, Composite, Contender, Forecast, ForecastStep
from quantkit.forecast.evaluate import coverage, skill
from quantkit.forecast.inquiry import check_model, inquire
from quantkit.forecast.intervals import FAN, Calibration, Calibrator
from quantkit.forecast.target import SESSION_GAP, Outcomes, close_returns, session_gaps
from quantkit.forecast.walk import Plan, Walk, walk_models

__all__ = ["calibrated", "contend", "predict"]


def contend(walks: Mapping[str, Walk], outcomes: Outcomes, plan: Plan) -> tuple[Contender, ...]:
    """Every walk but naive's held against naive at the last step, on the scored origins."""
    step = plan.horizon
    scored = plan.scored(step)
    came = outcomes.returns[scored, step - 1]
    able = {name: walk for name, walk in walks.items() if name != "naive" and not walk.failure}
    losses = {name: np.abs(came - walk.medians[scored, step - 1]) for name, walk in able.items()}
    adjusted = judge(losses, np.abs(came), step=step)
    return tuple(
        Contender(name, skill(came, walk.medians[scored, step - 1]), adjusted[name])
        if name in able
        else Contender(name, float("nan"), float("nan"), walk.failure)
        for name, walk in walks.items()
        if name != "naive"
    )


def calibrated(
    walk: Walk,
    outcomes: Outcomes,
    plan: Plan,
    *,
    history: History,
    levels: tuple[float, ...] = FAN,
    steps: tuple[int, ...] | None = None,
) -> Calibration:
    """Intervals along `walk`, gone on with where `history` knows them up to an earlier bar."""
    key = ("calibration", FORECASTERS[walk.model], plan.horizon, plan.origins, levels, steps)
    kept: tuple[np.ndarray, Calibrator] | None = history.take(*key)
    # The same bars are not yet the same medians: a composite's depend on which models there are.
    if kept is None or kept[0].tobytes() != walk.medians[: len(kept[0])].tobytes():
        kept = walk.medians, Calibrator(plan.horizon, levels=levels, steps=steps)
    calibration = kept[1].extend(walk.medians, outcomes)
    history.keep((walk.medians, kept[1]), *key)
    return calibration


def predict(
    bars: pd.DataFrame,
    *,
    model: str = "auto",
    horizon: int = 5,
    level: float = 0.95,
    interval: Interval = "1d",
    calendar: str = "XNYS",
    symbol: str = "",
    currency: str = "",
    origins: int = 250,
    progress: Progress = silent,
    fingerprint: str = "",
) -> Forecast:
    """Forecast of ``close`` after the last bar, with its interval, measured coverage, and skill against naive.

    The model walks through the past first; the forecast shown is the last step of that walk. Prices come from
    compounded log-returns: the median is ``last * exp(m)``, the mean ``last * exp(m + sigma**2 / 2)``. `auto` and the
    p-values judge at the last step, `horizon`.

    Parameters
    ----------
    bars : DataFrame, shape (T, 6)
        A bars frame; 220 rows and two for each step ahead at least, 1,000 for a full calibration.
    model : str
        A name in ``FORECASTERS``.
    horizon : int
        Bars ahead, 1 to 60.
    level : float
        Of the interval, in (0, 1).
    interval : {"1d", "1m"}
        What the bars are. On minute bars, steps beyond a session gap have an interval widened by the variance of past
        gaps, and their coverage is not measured.
    calendar : str
        Exchange whose next sessions or minutes label the steps.
    symbol, currency : str
        For the result; taken from ``bars.attrs`` where empty.
    origins : int
        Walk-forward origins to be scored, 40 to 5,000; fewer are used where the history is short.
    progress : callable
        Told ``(done, total, doing)`` while it takes; may raise ``Cancelled``.
    fingerprint : str
        Kept in the result; computed from the bars and the question where empty.

    Raises
    ------
    UsageError
        The question makes no sense: unknown model, horizon, level, interval.
    DataError
        Too few bars (says how many are needed), constant prices, or a bar out of shape.
    ComputeError
        The model failed; with its reason.
    """
    from quantkit.core.threads import one_thread

    model, level = check_model(model, check_interval(interval)), check_level(level)
    asked = inquire(
        bars, "forecast", interval=interval, horizon=horizon, origins=origins, symbol=symbol, currency=currency,
        fingerprint=fingerprint, model=model, level=level, calendar=calendar,
    )  # fmt: skip
    plan, name = asked.plan, asked.name
    history = History(bars, plan.first)
    with one_thread():
        walks, outcomes = walk_models(
            ["naive", model], bars, plan, step=horizon, interval=interval, progress=progress, history=history
        )
        walk = walks[model]
        if walk.failure:
            raise ComputeError(f"{name}: {model} failed: {walk.failure}")
        fan = calibrated(walk, outcomes, plan, history=history)
        fitting = fan if level in FAN else calibrated(walk, outcomes, plan, levels=(level,), history=history)
        if np.isnan(fan.sigma[-1]).any():
            raise DataError(
                f"{name}: the last {len(plan.rows)} of {len(bars)} bars hold too few outcomes of {horizon} steps "
                "within one session, or prices hardly moved; a shorter horizon or a longer history is needed"
            )
        composed = isinstance(FORECASTERS[model](), Composite)
        contenders = contend({each: walks[each] for each in walks if not (composed and each == model)}, outcomes, plan)
        own = contend({model: walk}, outcomes, plan)
    progress(1, 1, model)

    times = next_bars(bars.index[-1], horizon, interval=interval, calendar=calendar)
    last = float(bars["close"].iloc[-1])
    medians = walk.medians[-1]
    gaps = _gap_variance(bars, times) if interval != "1d" else np.zeros(horizon)
    widening = np.sqrt(1.0 + gaps / fan.sigma[-1] ** 2)
    band = _band(fitting, level, last, medians, widening, outcomes, plan)
    sigma = fan.sigma[-1] * widening
    steps = tuple(
        ForecastStep(
            step=at + 1,
            timestamp=times[at],
            mean=last * float(np.exp(medians[at] + 0.5 * sigma[at] ** 2)),
            median=last * float(np.exp(medians[at])),
            lower=band.lower[at],
            upper=band.upper[at],
            coverage=band.coverage[at],
            skill=skill(*_scored(walk, outcomes, plan, at + 1)),
        )
        for at in range(horizon)
    )
    up = float(fan.probability_up[-1, 0])
    stays = walk.chosen == "naive" and model != "naive"
    challenger = _best(contenders) if stays else ""
    return Forecast(
        symbol=asked.symbol,
        model=model,
        interval=asked.interval,
        currency=asked.currency,
        as_of=bars.index[-1],
        last_price=last,
        level=level,
        steps=steps,
        predicted_price=steps[0].mean,
        predicted_volatility=_next_volatility(bars, calendar) if interval == "1d" else float(sigma[0]),
        trend="UP" if up >= 0.5 else "DOWN",
        trend_probability=max(up, 1.0 - up),
        coverage=steps[0].coverage,
        skill=steps[0].skill,
        origins=int(np.count_nonzero(~np.isnan(_scored(walk, outcomes, plan, 1)[0]))),
        fingerprint=asked.fingerprint,
        chosen=walk.chosen,
        p_value=own[0].p_value if own else float("nan"),
        contenders=contenders,
        challenger=challenger,
        challenger_path=tuple((last * np.exp(walks[challenger].medians[-1])).tolist()) if challenger else (),
        fan=tuple(_band(fan, each, last, medians, widening, outcomes, plan) for each in FAN),
        indicative=asked.indicative,
    )


def _scored(walk: Walk, outcomes: Outcomes, plan: Plan, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes and medians at `step` on the scored origins."""
    scored = plan.scored(step)
    return outcomes.returns[scored, step - 1], walk.medians[scored, step - 1]


def _next_volatility(bars: pd.DataFrame, calendar: str) -> float:
    """The figure that a risk report over five years, its default, gives for the same bars: one quantity, one number."""
    from quantkit.risk.volatility import next_volatility

    recent = bars.loc[period_start("5y", bars.index[-1], calendar) :]
    return next_volatility(simple_returns(prices_from(recent)))[0]


def _band(
    calibration: Calibration,
    level: float,
    last: float,
    medians: np.ndarray,
    widening: np.ndarray,
    outcomes: Outcomes,
    plan: Plan,
) -> Band:
    """Prices of the live interval at `level`, beside the coverage of the earlier ones."""
    at = calibration.levels.index(level)
    below = medians + (calibration.lower[-1, :, at] - medians) * widening
    above = medians + (calibration.upper[-1, :, at] - medians) * widening
    covered = []
    for step in range(1, len(medians) + 1):
        scored = plan.scored(step)
        covered.append(
            float("nan")
            if widening[step - 1] > 1.0
            else coverage(
                outcomes.returns[scored, step - 1],
                calibration.lower[scored, step - 1, at],
                calibration.upper[scored, step - 1, at],
            )
        )
    return Band(
        level=level,
        lower=tuple((last * np.exp(np.minimum(below, medians))).tolist()),
        upper=tuple((last * np.exp(np.maximum(above, medians))).tolist()),
        coverage=tuple(covered),
    )


def _gap_variance(bars: pd.DataFrame, times: pd.DatetimeIndex) -> np.ndarray:
    """Variance that session gaps before each of `times` add: the mean square of past returns across gaps.

    Where the bars hold no gap yet, one counts as much as all their minutes together.
    """
    opens = session_gaps(bars.index)
    jumps = np.diff(np.log(bars["close"].to_numpy()))[opens[1:]]
    one = float(np.mean(jumps**2)) if len(jumps) else float(np.nansum(close_returns(bars) ** 2))
    ahead = pd.DatetimeIndex([bars.index[-1], *times])
    return one * np.cumsum(np.diff(ahead) > SESSION_GAP)


def _best(contenders: tuple[Contender, ...]) -> str:
    able = [each for each in contenders if not each.failure]
    return max(able, key=lambda each: each.skill).model if able else ""
