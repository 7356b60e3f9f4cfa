"""Every model's forecasts at every origin of the past, made from what was known there.

The live forecast is the last origin of the same walk: parameters are estimated on the same fixed rows, so what is
measured is the procedure that is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from quantkit.core.errors import ComputeError, DataError, UsageError
from quantkit.core.kept import History
from quantkit.core.progress import Progress, silent
from quantkit.core.walkforward import Slice, WalkForward
from quantkit.forecast.base import FORECASTERS, Batched, Composite, Forecaster
from quantkit.forecast.target import Outcomes, outcomes_of

__all__ = [
    "MAX_HORIZON",
    "MIN_ORIGINS",
    "Plan",
    "Walk",
    "bars_needed",
    "check_horizon",
    "check_origins",
    "combine",
    "plan_walk",
    "standing",
    "walk_forward",
    "walk_models",
]  # fmt: skip

MAX_HORIZON: Final = 60
#: Fewest bars under the first decision, fewest outcomes before the first scored interval, fewest scored origins.
MIN_TRAIN: Final = 120
MIN_CALIBRATION: Final = 60
MIN_ORIGINS: Final = 40
#: Outcomes before the first scored interval where the history allows.
CALIBRATION: Final = 500
#: Walks start on a multiple of this many rows, so that models are estimated on the same rows after a new bar.
GRID: Final = 125
#: Origins that a model able to forecast many at once is asked for together.
BATCH: Final = 25
MAX_ORIGINS: Final = 5000


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a walk begins and what part of it is scored.

    Attributes
    ----------
    first, length : int
        Origins are the rows ``first .. length - 1``; `length` is the number of bars.
    horizon : int
    origins : int
        The most recent known outcomes of each step that are scored; older ones only calibrate.
    """

    first: int
    length: int
    horizon: int
    origins: int

    @property
    def rows(self) -> np.ndarray:
        """Positions of all origins, the live one last."""
        return np.arange(self.first, self.length)

    def scored(self, step: int) -> slice:
        """Indices into `rows` of the scored origins at `step`."""
        end = self.length - step - self.first
        return slice(max(end - self.origins, 0), end)


def check_horizon(horizon: object) -> int:
    """Return a number of bars ahead, 1 to 60; ``UsageError`` otherwise."""
    if isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or not 1 <= horizon <= MAX_HORIZON:
        raise UsageError(f"horizon {horizon!r} is not a whole number of bars from 1 to {MAX_HORIZON}")
    return int(horizon)


def check_origins(origins: object) -> int:
    """Return a number of origins, 40 to 5000; ``UsageError`` otherwise."""
    whole = isinstance(origins, (int, np.integer)) and not isinstance(origins, bool)
    if not whole or not MIN_ORIGINS <= origins <= MAX_ORIGINS:  # type: ignore[operator]
        raise UsageError(f"origins {origins!r} is not a whole number from {MIN_ORIGINS} to {MAX_ORIGINS}")
    return int(origins)  # type: ignore[call-overload, no-any-return]


def bars_needed(horizon: int) -> int:
    """Fewest bars for a forecast of `horizon` steps with its proof.

    Examples
    --------
    >>> bars_needed(5)
    230
    """
    return MIN_TRAIN + MIN_CALIBRATION + MIN_ORIGINS + 2 * horizon


def plan_walk(length: int, *, horizon: int, origins: int = 250, name: str = "bars") -> Plan:
    """Lay a walk over `length` bars.

    A full walk has 500 outcomes before the first of the `origins` scored ones. A shorter history gives up calibration
    first, down to 60, then origins, down to 40.

    Raises
    ------
    DataError
        Not even that fits; the message says how many bars are needed.
    """
    needed = bars_needed(horizon)
    if length < needed:
        raise DataError(
            f"{name}: {length} bars are too few for a forecast of {horizon} steps with its proof; "
            f"at least {needed} are needed"
        )
    spare = length - MIN_TRAIN - 2 * horizon
    scored = min(origins, spare - MIN_CALIBRATION)
    calibration = min(CALIBRATION, spare - scored)
    first = length - scored - calibration - 2 * horizon
    aligned = (first + 1) // GRID * GRID - 1
    return Plan(first=max(aligned, MIN_TRAIN - 1), length=length, horizon=horizon, origins=scored)


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """One model's forecasts along a walk.

    Attributes
    ----------
    model : str
    paths : array, shape (origins, horizon)
        Expected log-returns, each per period; NaN from the origin at which the model failed.
    failure : str
        Why it failed, empty when it did not.
    chosen : str
        Whose path the last one is: the model itself, or the one member that a composite stands on.
    """

    model: str
    paths: np.ndarray
    failure: str = ""
    chosen: str = ""

    @property
    def medians(self) -> np.ndarray:
        """Cumulative expected log-returns, shape (origins, horizon)."""
        return self.paths.cumsum(axis=1)


@dataclass(frozen=True, slots=True)
class _Walked:
    """A model standing at the last origin, and what it forecast on its way there."""

    model: Forecaster
    paths: np.ndarray


def walk_forward(
    name: str, bars: pd.DataFrame, plan: Plan, *, progress: Progress = silent, history: History | None = None
) -> Walk:
    """Forecasts of one model, not a composite, at every origin of `plan`.

    A model that raises is reported as failed with its reason and forecasts nothing from that origin on; what it said
    earlier stands. A walk over the same bars less the newest is gone on with: the model is moved on, and estimated
    again only where that is due.

    Parameters
    ----------
    history : History, optional
        Of `bars`, where several walks share one.
    """
    kind = FORECASTERS[name]
    history = history or History(bars, plan.first)
    key = ("walk", kind, plan.horizon)
    kept: _Walked | None = history.take(*key)
    model = kind() if kept is None else kept.model
    walked = 0 if kept is None else len(kept.paths)
    engine = _engine(kind, plan)
    paths = np.full((plan.length - plan.first, plan.horizon), np.nan)
    if kept is not None:
        paths[:walked] = kept.paths

    # A batch is also how often a watcher is told, and can stop it.
    size = BATCH if isinstance(model, Batched) else 1
    try:
        for block in engine.blocks(len(bars), size=size, since=plan.first + walked):
            done = block[0].origin - plan.first
            if (done - walked) % BATCH < size:
                progress(done, len(paths), name)
            _advance(model, bars, block, paths[done : done + len(block)])
    except UsageError:
        raise
    except (DataError, ComputeError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        done = int(np.argmax(np.isnan(paths[:, 0])))
        when = bars.index[plan.first + done].isoformat()
        return Walk(name, paths, failure=f"{error} (at {when})", chosen=name)
    history.keep(_Walked(model, paths), *key)
    return Walk(name, paths, chosen=name)


def _engine(kind: type[Forecaster], plan: Plan) -> WalkForward:
    return WalkForward(
        origins=plan.length - plan.first,
        horizon=plan.horizon,
        min_train=plan.first + 1,
        refit=kind.refit_every,
        live=True,
        anchored=True,
    )


def standing(name: str, bars: pd.DataFrame, plan: Plan) -> Forecaster:
    """A model as it stands at the last origin of a walk, estimated on the same rows, without walking there."""
    kind = FORECASTERS[name]
    last = [at for at in _engine(kind, plan).slices(len(bars)) if at.refit][-1]
    return kind().fit(bars.iloc[last.train].copy()).update(bars)


def _advance(model: Forecaster, bars: pd.DataFrame, block: list[Slice], paths: np.ndarray) -> None:
    """Move `model` over the origins of `block`, estimated anew at the first where that is due, and fill `paths`."""
    if block[0].refit:
        model.fit(bars.iloc[block[0].train].copy())
    past = bars.iloc[block[-1].train].copy()
    if isinstance(model, Batched):
        said = model.predict_each(past, np.array([at.origin for at in block]), paths.shape[1])
    else:
        said = np.asarray((model if block[0].refit else model.update(past)).predict(paths.shape[1]), dtype=float)[None]
    if said.shape != paths.shape:
        raise ComputeError(f"forecast {said.tolist()}, not {paths.shape[1]} numbers")
    whole = np.isfinite(said).all(axis=1)
    fine = len(whole) if whole.all() else int(np.argmin(whole))
    paths[:fine] = said[:fine]
    if fine < len(whole):
        raise ComputeError(f"forecast {said[fine].tolist()}, not {paths.shape[1]} numbers")


def walk_models(
    names: Iterable[str],
    bars: pd.DataFrame,
    plan: Plan,
    *,
    step: int,
    interval: str = "1d",
    progress: Progress = silent,
    history: History | None = None,
) -> tuple[dict[str, Walk], Outcomes]:
    """Walks of `names` and of whatever models they are composed of, and the outcomes that score them.

    Parameters
    ----------
    step : int
        Step ahead on which composites judge their members.
    history : History, optional
        Of `bars`, where the caller goes on from it too.

    Raises
    ------
    UsageError
        A name is unknown.
    """
    wanted = list(dict.fromkeys(names))
    history = history or History(bars, plan.first)
    composites = [name for name in wanted if isinstance(FORECASTERS[name](), Composite)]
    simple = [name for name in wanted if name not in composites]
    for name in composites:
        composite = FORECASTERS[name]()
        assert isinstance(composite, Composite)
        simple += [member for member in composite.members(interval) if member not in simple]
    outcomes = outcomes_of(bars, plan.rows, plan.horizon)
    walks: dict[str, Walk] = {}
    for count, name in enumerate(simple):

        def part(done: int, total: int, doing: str = "", count: int = count) -> None:
            progress(count * total + done, len(simple) * total, doing)

        walks[name] = walk_forward(name, bars, plan, progress=part, history=history)
    for name in composites:
        walks[name] = combine(name, walks, outcomes, plan, step=step, interval=interval, history=history)
    return walks, outcomes


def combine(
    name: str,
    walks: dict[str, Walk],
    outcomes: Outcomes,
    plan: Plan,
    *,
    step: int,
    interval: str = "1d",
    history: History | None = None,
) -> Walk:
    """The walk of a composite from its members' walks; weights that `history` knows are not weighed again."""
    composite = FORECASTERS[name]()
    assert isinstance(composite, Composite)
    members = composite.members(interval)
    kinds = tuple(FORECASTERS[member] for member in members)
    key = ("weights", FORECASTERS[name], kinds, plan.horizon, step, plan.origins)
    kept: np.ndarray | None = None if history is None else history.take(*key)
    weights = np.zeros((0, len(members))) if kept is None else kept
    judged = {member: walks[member] for member in members}
    newer = composite.weights(judged, outcomes, step=step, window=plan.origins, since=len(weights))
    weights = np.concatenate([weights, newer])
    if history is not None:
        history.keep(weights, *key)
    paths = np.zeros((len(plan.rows), plan.horizon))
    for at, member in enumerate(members):
        # A failed member has weight 0 from there on; its NaN must not spread.
        used = weights[:, at] != 0.0
        paths[used] += weights[used, at, None] * walks[member].paths[used]
    alone = np.flatnonzero(weights[-1])
    return Walk(name, paths, chosen=members[alone[0]] if len(alone) == 1 else name)
