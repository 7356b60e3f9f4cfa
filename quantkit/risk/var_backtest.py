"""Every VaR method put to the test on the past, and ``auto``, which lives by those tests.

A walk-forward stands at each origin with the past alone, asks every method for its belief about the next `horizon`
periods, and scores it on what came. Costly methods are estimated every `refit` origins and filtered in between. A walk
of single periods is kept: a new return costs one origin more, in the bits of the cold walk. Horizons above 1 are tested
on origins `horizon` apart: overlapping windows never back a p-value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantkit.core.errors import UsageError
from quantkit.core.kept import History
from quantkit.core.progress import Progress, silent
from quantkit.core.threads import one_thread
from quantkit.core.walkforward import Slice, WalkForward
from quantkit.risk.backtest_results import ShortfallTest, VarBacktest, VarBacktests
from quantkit.risk.coverage import (
    CoverageTest,
    conditional_coverage,
    conditional_critical,
    coverage_ratio,
    independence,
    independence_ratio,
    kupiec,
    kupiec_critical,
    kupiec_power,
    traffic_light,
)
from quantkit.risk.distributions import Undefined
from quantkit.risk.tail_models import VAR_METHODS, TailModel
from quantkit.risk.value_at_risk import (
    Side,
    check_horizon,
    check_side,
    check_tail_level,
    predictive_distribution,
    return_values,
)

__all__ = ["AUTO", "EVIDENCE", "SHORTFALL_LEVEL", "backtest_var"]

Array: TypeAlias = NDArray[np.float64]

AUTO: Final = "auto"
#: Level at which expected shortfall is tested (Basel Committee, 2019).
SHORTFALL_LEVEL: Final = 0.975
#: Scored origins before `auto` weighs evidence; until then it stands on historical simulation.
EVIDENCE: Final = 100
_FALLBACK: Final = "historical"
# Simulated paths for a horizon above 1, at each origin.
_PATHS: Final = 5_000
# Simulated outcomes of each day for the p-value of the ES test; it is a multiple of 1 / 2000.
_SIMULATIONS: Final = 1_999
# A walk begins on a multiple of so many refits.
_REFITS: Final = 6


@dataclass(slots=True)
class _Walk:
    """What one method said at each origin, shape (origins,) each."""

    var: Array
    shortfall_var: Array
    shortfall: Array
    draws: list[Array]
    reason: str = ""

    @classmethod
    def empty(cls) -> _Walk:
        """Before the first origin."""
        return cls(np.empty(0), np.empty(0), np.empty(0), [])

    def longer(self, count: int) -> _Walk:
        """With room for `count` origins."""
        more = np.full(count - len(self.var), np.nan)
        return _Walk(
            np.append(self.var, more), np.append(self.shortfall_var, more), np.append(self.shortfall, more),
            self.draws, self.reason,
        )  # fmt: skip

    def last(self, count: int) -> _Walk:
        """The last `count` origins."""
        return _Walk(
            self.var[-count:], self.shortfall_var[-count:], self.shortfall[-count:], self.draws[-count:], self.reason
        )


@dataclass(frozen=True, slots=True)
class _Walked:
    """Methods as they stand at the last origin, what they said on their way there, and the days simulated."""

    models: dict[str, TailModel]
    walks: dict[str, _Walk]
    who: list[NDArray[np.intp]]


def backtest_var(
    returns: pd.Series,
    *,
    level: float = 0.95,
    horizon: int = 1,
    side: Side = "long",
    methods: Sequence[str] | None = None,
    origins: int = 1000,
    min_train: int | None = None,
    window: int | None = None,
    refit: int = 21,
    seed: int = 0,
    progress: Progress = silent,
) -> VarBacktests:
    """Backtest VaR methods by walk-forward, with `auto` as a row of its own.

    Parameters
    ----------
    returns : Series, shape (T,)
        Simple per-period returns of the instrument, decimals.
    level : float in (0.5, 1)
    horizon : int in 1..20
        Origins are that far apart.
    side : {"long", "short"}
    methods : sequence of str, optional
        Names in ``VAR_METHODS``; all of them by default.
    origins : int
        At most; fewer where the data is shorter.
    min_train : int, optional
        Returns that the first origin has behind it; by default 500, so that every method has enough, or half of
        fewer than 750 returns but at least 100.
    window : int, optional
        Only the last so many returns are used at each origin; by default all.
    refit : int
        Origins between estimates of the methods that have parameters; for a horizon of 1 these stand on fixed rows.
    seed : int
        Of simulated horizons and p-values.
    progress : Progress
        Called at each origin; may raise ``Cancelled``.

    Returns
    -------
    VarBacktests

    Raises
    ------
    UsageError
        An argument that does not exist.
    DataError
        NaN, or not one origin fits in the data.
    """
    level, horizon, side = check_tail_level(level), check_horizon(horizon), check_side(side)
    chosen = list(VAR_METHODS) if methods is None else list(dict.fromkeys(methods))
    if not chosen:
        raise UsageError(f"no VaR methods given; choose from {', '.join(VAR_METHODS)}")
    models = {name: VAR_METHODS[name]() for name in chosen}
    values = return_values(returns, minimum=2, method="a VaR backtest")
    if min_train is None:
        min_train = 500 if len(values) >= 750 else max(len(values) // 2, 100)
    walk, first = _lay(len(values), horizon, origins, min_train, window, refit)
    steps = [step for step in walk.slices(len(values)) if step.origin >= first]
    sign = 1.0 if side == "long" else -1.0
    outcomes = np.array([sign * ((1.0 + values[step.test]).prod() - 1.0) for step in steps])
    times = returns.index[[step.test.stop - 1 for step in steps]]
    with one_thread():
        walks, who = _walk(walk, returns, models, 1.0 - level, horizon, side, seed, progress)
        walks, who = {name: each.last(len(steps)) for name, each in walks.items()}, who[-len(steps) :]
        walks[AUTO], auto_methods, auto_method, auto_note = _auto(walks, outcomes, 1.0 - level)
        losses = {name: _loss(outcomes, each.var, 1.0 - level) for name, each in walks.items()}
        complete = [name for name in losses if name != AUTO and not np.isnan(losses[name]).any()]
        ranking = sorted(complete, key=lambda name: float(losses[name].mean()))
        rows = {
            name: _row(name, each, outcomes, losses[name], who, level, horizon, ranking)
            for name, each in walks.items()
        }  # fmt: skip
    path = pd.DataFrame({"return": outcomes, **{name: each.var for name, each in walks.items()}}, index=times)
    return VarBacktests(
        level=level,
        horizon=horizon,
        side=side,
        rows=rows,
        ranking=tuple(ranking),
        auto_method=auto_method,
        auto_note=auto_note,
        auto_methods=tuple(auto_methods),
        path=path,
    )


def _lay(
    length: int, horizon: int, origins: int, min_train: int, window: int | None, refit: int
) -> tuple[WalkForward, int]:
    """The walk over `length` returns, and the first origin that is scored.

    A walk of single periods begins on a multiple of a few refits before that, and its refits stand on fixed rows: a
    new return at its end then changes nothing about older origins, and it is gone on with.
    """
    walk = WalkForward(
        origins=max(origins // horizon, 1), horizon=horizon, min_train=min_train, window=window,
        refit=max(refit // horizon, 1), step=horizon, anchored=horizon == 1,
    )  # fmt: skip
    first = next(walk.slices(length)).origin
    if horizon > 1:
        return walk, first
    grid = _REFITS * refit
    start = max((first + 1) // grid * grid - 1, min_train - 1)
    return replace(walk, origins=length - 1 - start), first


def _walk(
    walk: WalkForward,
    returns: pd.Series,
    models: dict[str, TailModel],
    p: float,
    horizon: int,
    side: Side,
    seed: int,
    progress: Progress,
) -> tuple[dict[str, _Walk], list[NDArray[np.intp]]]:
    """What each method says at every origin of `walk`, and which simulated days fall into the tail there."""
    data = returns.to_frame()
    rows = [step.origin for step in walk.slices(len(data))]
    count = len(rows)
    history = History(data, rows[0]) if walk.anchored else None
    kinds: list[Any] = [type(model) for model in models.values()]
    key = ("value at risk", *kinds, p, side, seed, walk.window, walk.refit)
    kept: _Walked | None = None if history is None else history.take(*key)
    if kept is None:
        kept = _Walked(models, {name: _Walk.empty() for name in models}, [])
    models, who = kept.models, kept.who
    walks = {name: each.longer(count) for name, each in kept.walks.items()}
    fitted = set(models) if who else set()
    sign = 1.0 if side == "long" else -1.0
    tail = 1.0 - SHORTFALL_LEVEL

    def decide(past: pd.DataFrame, step: Slice) -> None:
        origin = len(who)
        progress(origin, count, "backtesting value at risk")
        values = past.iloc[:, 0].to_numpy()
        # Simulated outcomes fall into the tail independently of each other; the same days for every method, so that
        # methods are compared on common luck.
        u = np.random.default_rng([seed, step.origin]).random(_SIMULATIONS)
        hit = np.flatnonzero(u < tail)
        who.append(hit)
        for name, model in models.items():
            kept = walks[name]
            if len(values) < model.minimum:
                kept.reason = f"{name} needs at least {model.minimum} returns"
                kept.draws.append(np.full(len(hit), np.nan))
                continue
            if step.refit or name not in fitted:
                model.fit(sign * values)
                fitted.add(name)
            belief = predictive_distribution(
                model, values, horizon=horizon, side=side, seed=seed + step.origin, paths=_PATHS
            )
            if isinstance(belief, Undefined):
                kept.reason = belief.reason
            kept.var[origin] = belief.quantile(p)
            kept.shortfall_var[origin] = belief.quantile(tail)
            kept.shortfall[origin] = belief.tail_mean(tail)
            kept.draws.append(belief.draw(u[hit]))

    walk.run(data, decide, since=rows[0] + len(who))
    progress(count, count, "backtesting value at risk")
    if history is not None:
        # Simulated days make it some 4 MB.
        history.keep(_Walked(models, walks, who), *key, weight=8)
    return walks, who


def _loss(outcomes: Array, var: Array, p: float) -> Array:
    return (p - (outcomes < var)) * (outcomes - var)


def _auto(walks: dict[str, _Walk], outcomes: Array, p: float) -> tuple[_Walk, list[str], str, str]:
    """The walk of `auto`, its choice at each origin, and its choice and note after the last."""
    names = list(walks)
    count = len(outcomes)
    # Row k of each table is what origin k knows: sums over the origins before it.
    var = np.column_stack([walks[name].var for name in names])
    defined = np.vstack([~np.isnan(var), np.ones(len(names), bool)])
    loss = np.column_stack([_loss(outcomes, walks[name].var, p) for name in names])
    hit = outcomes[:, None] < var
    earlier = [_before(each) for each in (loss, hit)]
    pairs = [hit[:-1] & hit[1:], ~hit[:-1] & hit[1:], hit[:-1] & ~hit[1:]]
    n11, n01, n10 = (_before(np.vstack([np.zeros((1, len(names))), each])) for each in pairs)
    known = np.arange(count + 1)
    n00 = np.maximum(known - 1, 0)[:, None] - n11 - n01 - n10
    coverage = coverage_ratio(earlier[1], np.broadcast_to(known[:, None], earlier[1].shape), p)
    joint = coverage + independence_ratio(n00, n01, n10, n11)

    chosen, note = [], ""
    fallback = _FALLBACK if _FALLBACK in names else names[0]
    for origin in range(count + 1):
        note = ""
        # A loss that is NaN anywhere before is NaN in the sum: such a method cannot be compared yet.
        usable = defined[origin] & np.isfinite(earlier[0][origin])
        if origin < EVIDENCE or not usable.any():
            chosen.append(fallback)
            note = f"{origin} scored origins are too few to choose by; {fallback} until there are {EVIDENCE}"
            continue
        sound = (
            usable
            & (coverage[origin] < kupiec_critical(origin, p) - 1e-9)
            & (joint[origin] < conditional_critical(origin, p) - 1e-9)
        )
        if not sound.any():
            note = "every method is rejected by its backtest; the one with the lowest quantile loss is used"
        candidates = np.where(sound if sound.any() else usable, earlier[0][origin], np.inf)
        chosen.append(names[int(np.argmin(candidates))])
    picked = [walks[name] for name in chosen[:-1]]
    mixed = _Walk(
        var=np.array([each.var[t] for t, each in enumerate(picked)]),
        shortfall_var=np.array([each.shortfall_var[t] for t, each in enumerate(picked)]),
        shortfall=np.array([each.shortfall[t] for t, each in enumerate(picked)]),
        draws=[each.draws[t] for t, each in enumerate(picked)],
    )
    return mixed, chosen[:-1], chosen[-1], note


def _before(each: NDArray[Any]) -> Array:
    return np.vstack([np.zeros((1, each.shape[1])), np.cumsum(each, axis=0, dtype=np.float64)])


def _row(
    name: str,
    walk: _Walk,
    outcomes: Array,
    loss: Array,
    who: list[NDArray[np.intp]],
    level: float,
    horizon: int,
    ranking: list[str],
) -> VarBacktest:
    scored = ~np.isnan(walk.var)
    hits = outcomes[scored] < walk.var[scored]
    n, x = len(hits), int(hits.sum())
    if n == 0:
        empty = {
            each: CoverageTest(each, float("nan"), float("nan"), float("nan"), "no origin was scored")
            for each in ("kupiec", "independence", "conditional_coverage")
        }
        tests, zone, power = empty, "", float("nan")
    else:
        tests = {
            "kupiec": kupiec(x, n, level=level),
            "independence": independence(hits),
            "conditional_coverage": conditional_coverage(hits, level=level),
        }
        zone = traffic_light(x, n, level=level)
        power = kupiec_power(n, level=level, true_probability=min(2.0 * (1.0 - level), 1.0))
    basel = abs(level - 0.99) < 1e-12 and horizon == 1 and n >= 250
    return VarBacktest(
        method=name,
        level=level,
        origins=n,
        undefined=len(outcomes) - n,
        breaches=x,
        expected=(1.0 - level) * n,
        quantile_loss=float(loss[scored].mean()) if n else float("nan"),
        rank=ranking.index(name) + 1 if name in ranking else None,
        kupiec=tests["kupiec"],
        independence=tests["independence"],
        conditional_coverage=tests["conditional_coverage"],
        rejected_by=tuple(each for each in ("kupiec", "conditional_coverage") if tests[each].rejects),
        power=power,
        zone=zone,
        basel_zone=traffic_light(int(hits[-250:].sum()), 250, level=level) if basel else None,
        shortfall=_shortfall(walk, outcomes, who),
        reason=walk.reason if n < len(outcomes) else "",
    )


def _shortfall(walk: _Walk, outcomes: Array, who: list[NDArray[np.intp]]) -> ShortfallTest:
    scored = ~np.isnan(walk.shortfall)
    n = int(scored.sum())
    if n == 0:
        return ShortfallTest(SHORTFALL_LEVEL, float("nan"), float("nan"), 0, "no origin has an expected shortfall")
    if (walk.shortfall[scored] >= 0.0).any():
        note = "an expected shortfall that is no loss cannot be tested"
        return ShortfallTest(SHORTFALL_LEVEL, float("nan"), float("nan"), 0, note)
    tail = n * (1.0 - SHORTFALL_LEVEL)
    hits = scored & (outcomes < walk.shortfall_var)
    statistic = 1.0 - float((outcomes[hits] / walk.shortfall[hits]).sum()) / tail
    simulated = np.zeros(_SIMULATIONS)
    for t in np.flatnonzero(scored):
        simulated[who[t]] += walk.draws[t] / walk.shortfall[t]
    at_most = int((1.0 - simulated / tail <= statistic + 1e-12).sum())
    return ShortfallTest(
        level=SHORTFALL_LEVEL,
        statistic=statistic,
        p_value=(1 + at_most) / (1 + _SIMULATIONS),
        breaches=int(hits.sum()),
        note="" if tail >= 5 else f"{tail:.1f} breaches expected: too few for the test to tell much",
    )
