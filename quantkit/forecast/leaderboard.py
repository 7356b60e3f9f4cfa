"""Every model beside naive, on the same origins, with the evidence and the failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
import pandas as pd

from quantkit.core.errors import UsageError
from quantkit.core.kept import History
from quantkit.core.progress import Progress, silent
from quantkit.core.results import Result
from quantkit.core.schema import Interval, check_interval, check_level
from quantkit.forecast.base import FORECASTERS, SIGNIFICANCE, Composite
from quantkit.forecast.confidence_set import CONFIDENCE_SEED, CONFIDENCE_SIZE, confidence_set
from quantkit.forecast.evaluate import score
from quantkit.forecast.inquiry import check_model, inquire
from quantkit.forecast.intervals import FAN
from quantkit.forecast.predict import calibrated, contend
from quantkit.forecast.significance import clark_west
from quantkit.forecast.target import Outcomes, close_returns
from quantkit.forecast.walk import Plan, Walk, check_horizon, walk_models

__all__ = ["Leaderboard", "Standing", "leaderboard"]

_NAN = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Standing(Result):
    """One model's row: the scores of :class:`~quantkit.forecast.evaluate.Scores` at the horizon, and the tests.

    Attributes
    ----------
    model : str
    mae, rmse, mase, skill, direction, brier, pinball, interval_score, coverage : float
        NaN where the model failed.
    p_value : float
        One-sided Diebold-Mariano against naive on absolute errors, Holm-adjusted over the single models; a composite
        stands for itself. NaN for naive and for a model that failed.
    clark_west : float
        p-value of Clark and West's test on squared errors, not adjusted: naive is nested in most models.
    set_p_value : float
        Smallest size at which the model would leave the model confidence set of these rows, on absolute errors.
    in_confidence_set : bool
        Whether it cannot be told from the best: `set_p_value` above the leaderboard's ``confidence_size``.
    failure : str
        Why the model could not be used; empty when it could.
    """

    model: str
    mae: float = _NAN
    rmse: float = _NAN
    mase: float = _NAN
    skill: float = _NAN
    direction: float = _NAN
    brier: float = _NAN
    pinball: float = _NAN
    interval_score: float = _NAN
    coverage: float = _NAN
    p_value: float = _NAN
    clark_west: float = _NAN
    set_p_value: float = _NAN
    in_confidence_set: bool = False
    failure: str = ""

    @property
    def verdict(self) -> str:
        """In words."""
        if self.failure:
            return f"failed: {self.failure}"
        if np.isnan(self.p_value):
            return "the benchmark"
        return "beats naive" if self.p_value < SIGNIFICANCE else "not shown to beat naive"


@dataclass(frozen=True, slots=True, eq=False)
class Leaderboard(Result):
    """Models ranked by mean absolute error at one horizon; failed ones last.

    Attributes
    ----------
    symbol, interval : str
    horizon : int
    level : float
        Of the intervals scored.
    origins : int
        Walk-forward outcomes that everything was measured on.
    as_of : Timestamp
    rows : tuple of Standing
    fingerprint : str
    confidence_size : float
        Of the model confidence set.
    confidence_seed : int
        Of its bootstrap.
    """

    symbol: str
    interval: str
    horizon: int
    level: float
    origins: int
    as_of: pd.Timestamp
    rows: tuple[Standing, ...]
    fingerprint: str
    confidence_size: float = CONFIDENCE_SIZE
    confidence_seed: int = CONFIDENCE_SEED

    @property
    def failures(self) -> dict[str, str]:
        """Reason by model, for those that could not be used."""
        return {row.model: row.failure for row in self.rows if row.failure}

    def to_frame(self) -> pd.DataFrame:
        """One row a model, indexed by ``model``, in order of rank."""
        frame = pd.DataFrame([row.to_dict() | {"verdict": row.verdict} for row in self.rows]).set_index("model")
        floats = [name for name in frame.columns if name not in ("in_confidence_set", "failure", "verdict")]
        return frame.astype(dict.fromkeys(floats, float))

    def in_words(self) -> str:
        """Which models beat naive, and which cannot be told from the best."""
        better = [row.model for row in self.rows if row.p_value < SIGNIFICANCE]
        at = f"{self.horizon} step{'s' if self.horizon > 1 else ''} ahead, {self.origins} origins"
        said = f"{', '.join(better)} beat{'' if len(better) > 1 else 's'} naive" if better else (
            "No model is shown to beat naive"
        )  # fmt: skip
        failed = f"; failed: {', '.join(self.failures)}" if self.failures else ""
        held = [row.model for row in self.rows if row.in_confidence_set]
        among = f" {self.confidence_size:.0%} model confidence set: {', '.join(held)}." if held else ""
        return f"{said} ({at}){failed}.{among}"

    def _repr_html_(self) -> str:
        """Table of the rows under a caption with the verdict, for JupyterLab."""
        shown = {
            "skill": "{:+.1%}", "p_value": "{:.2g}", "clark_west": "{:.2g}", "mae": "{:.3%}", "rmse": "{:.3%}",
            "mase": "{:.3f}", "direction": "{:.1%}", "brier": "{:.3f}", "pinball": "{:.3%}",
            "interval_score": "{:.2%}", "coverage": "{:.1%}",
        }  # fmt: skip
        header = "".join(
            f"<th scope='col'>{name.replace('_', ' ')}</th>" for name in ("model", *shown, "in set", "verdict")
        )
        body = ""
        for row in self.rows:
            values = ((form, getattr(row, name)) for name, form in shown.items())
            cells = "".join(f"<td>{'–' if np.isnan(value) else form.format(value)}</td>" for form, value in values)
            held = "yes" if row.in_confidence_set else "no"
            body += (
                f"<tr><th scope='row'>{escape(row.model)}</th>{cells}<td>{'–' if row.failure else held}</td>"
                f"<td>{escape(row.verdict)}</td></tr>"
            )
        return (
            f"<table><caption style='text-align:left'><b>{escape(self.symbol)}</b> {self.horizon} ahead, intervals at "
            f"{self.level:.4g}<br>{escape(self.in_words())}</caption>"
            f"<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"
        )


def leaderboard(
    bars: pd.DataFrame,
    *,
    models: Sequence[str] | None = None,
    horizon: int = 5,
    origins: int = 250,
    level: float = 0.95,
    interval: Interval = "1d",
    symbol: str = "",
    progress: Progress = silent,
    fingerprint: str = "",
) -> Leaderboard:
    """All models on the same walk through the past, scored `horizon` bars ahead.

    Parameters
    ----------
    bars : DataFrame, shape (T, 6)
        As :func:`~quantkit.forecast.predict` takes them.
    models : sequence of str, optional
        Names in ``FORECASTERS``; by default quantkit's own that are not ``heavy`` and can forecast the interval. Naive
        is always there.
    horizon : int
        Bars ahead, 1 to 60.
    origins : int
        Outcomes to be scored, 40 to 5,000; fewer where the history is short.
    level : float
        Of the interval whose score and coverage are reported.
    interval : {"1d", "1m"}
    symbol, progress, fingerprint
        As for :func:`~quantkit.forecast.predict`.

    Returns
    -------
    Leaderboard
        A model that fails is a row with its reason; the others stand.
    """
    from quantkit.core.threads import one_thread

    interval = check_interval(interval)
    horizon, level = check_horizon(horizon), check_level(level)
    if isinstance(models, str):
        raise UsageError(f"models {models!r} is one name; expected a list such as ['naive', {models!r}]")
    if models is None:
        models = [
            name for name, kind in FORECASTERS.built_in().items() if not kind.heavy and interval in kind.intervals
        ]
    names = list(dict.fromkeys(["naive", *(check_model(each, interval) for each in models)]))
    asked = inquire(
        bars, "leaderboard", interval=interval, horizon=horizon, origins=origins, symbol=symbol,
        fingerprint=fingerprint, models=names, level=level,
    )  # fmt: skip
    plan = asked.plan
    history = History(bars, plan.first)
    with one_thread():
        walks, outcomes = walk_models(
            names, bars, plan, step=horizon, interval=interval, progress=progress, history=history
        )
        single = {name: walk for name, walk in walks.items() if not isinstance(FORECASTERS[name](), Composite)}
        p_values = {each.model: each.p_value for each in contend(single, outcomes, plan)}
        for name in set(names) - set(single):
            p_values[name] = contend({name: walks[name]}, outcomes, plan)[0].p_value
        held = _confidence({name: walks[name] for name in names if not walks[name].failure}, outcomes, plan)
        returns = close_returns(bars)
        rows = [
            replace(
                _stand(walks[name], outcomes, plan, returns, history, level=level, p_value=p_values.get(name, _NAN)),
                set_p_value=held.get(name, _NAN),
                in_confidence_set=held.get(name, 0.0) > CONFIDENCE_SIZE,
            )
            for name in names
        ]
    rows.sort(key=lambda row: (bool(row.failure), row.mae, names.index(row.model)))
    came = outcomes.returns[plan.scored(horizon), horizon - 1]
    return Leaderboard(
        symbol=asked.symbol,
        interval=interval,
        horizon=horizon,
        level=level,
        origins=int(np.count_nonzero(~np.isnan(came))),
        as_of=bars.index[-1],
        rows=tuple(rows),
        fingerprint=asked.fingerprint,
    )


def _confidence(able: dict[str, Walk], outcomes: Outcomes, plan: Plan) -> dict[str, float]:
    step, scored = plan.horizon, plan.scored(plan.horizon)
    came = outcomes.returns[scored, step - 1]
    losses = {name: np.abs(came - walk.medians[scored, step - 1]) for name, walk in able.items()}
    return confidence_set(losses, horizon=step)


def _stand(
    walk: Walk,
    outcomes: Outcomes,
    plan: Plan,
    returns: np.ndarray,
    history: History,
    *,
    level: float,
    p_value: float,
) -> Standing:
    if walk.failure:
        return Standing(model=walk.model, failure=walk.failure)
    step = plan.horizon
    fan = calibrated(walk, outcomes, plan, steps=(step,), history=history)
    asked = fan
    if level not in FAN:
        asked = calibrated(walk, outcomes, plan, levels=(level,), steps=(step,), history=history)
    scores = score(walk, fan, asked, outcomes, plan, returns, step=step, level=level)
    scored = plan.scored(step)
    came, medians = outcomes.returns[scored, step - 1], walk.medians[scored, step - 1]
    nested = _NAN if walk.model == "naive" else clark_west(came, np.zeros_like(came), medians, horizon=step).p_value
    return Standing(
        model=walk.model,
        mae=scores.mae,
        rmse=scores.rmse,
        mase=scores.mase,
        skill=scores.skill,
        direction=scores.direction,
        brier=scores.brier,
        pinball=scores.pinball,
        interval_score=scores.interval_score,
        coverage=scores.coverage,
        p_value=p_value,
        clark_west=nested,
    )
