"""The model that leaves naive only on evidence, remade at every origin from earlier scores only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from quantkit.forecast.base import FORECASTERS, SIGNIFICANCE, Forecaster, light_models
from quantkit.forecast.significance import diebold_mariano, holm
from quantkit.forecast.target import Outcomes, session_gaps
from quantkit.forecast.walk import MIN_ORIGINS, Walk, bars_needed, plan_walk, walk_models

__all__ = ["Auto", "judge"]


def judge(losses: Mapping[str, np.ndarray], benchmark: np.ndarray, *, step: int) -> dict[str, float]:
    """Holm-adjusted one-sided Diebold-Mariano p-value of each model against the benchmark.

    Parameters
    ----------
    losses : mapping of arrays, shape (n,)
        Absolute errors at `step`, by model.
    benchmark : array, shape (n,)
    step : int
    """
    raw = [diebold_mariano(benchmark, loss, horizon=step).p_value for loss in losses.values()]
    return dict(zip(losses, holm(np.array(raw)).tolist(), strict=True))


@FORECASTERS.add("auto")
class Auto(Forecaster):
    """Naive, until another model beats it significantly; then the most accurate of those that do.

    At every origin each model's absolute errors at the judged step, over the last `origins` outcomes known there, are
    held against naive's by a one-sided Diebold-Mariano test, Holm-adjusted over the models. The choice counts all
    models that are not ``heavy``.

    With ``d[s] = |error of naive| - |error of model|`` at origin s, ``V`` its long-run variance, ``h`` the step and
    ``n`` the origins::

        t = mean(d) / sqrt(V / n) * sqrt((n + 1 - 2 h + h (h - 1) / n) / n)

    A model is chosen from where its Holm-adjusted ``p = P(T_{n-1} > t) < 0.05``.

    Parameters
    ----------
    horizon : int
        Step on which the models are judged, in :meth:`fit`; a walk-forward names its own.
    origins : int
        Outcomes that they are judged on.

    Attributes
    ----------
    chosen_ : str
        The model chosen where it stands.

    References
    ----------
    Diebold, F. X. and Mariano, R. S. (1995). Comparing predictive accuracy. JBES 13(3). Holm, S. (1979). A simple
    sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6(2).
    """

    minimum: ClassVar[int] = bars_needed(1)

    def __init__(self, horizon: int = 1, origins: int = 250) -> None:
        self.horizon = horizon
        self.origins = origins

    def members(self, interval: str) -> tuple[str, ...]:
        """Those of :func:`~quantkit.forecast.base.light_models`, naive among them."""
        return light_models(interval)

    def weights(
        self, walks: Mapping[str, Walk], outcomes: Outcomes, *, step: int, window: int, since: int = 0
    ) -> np.ndarray:
        """One for the chosen member and zero for the others, shape (origins - since, members)."""
        names = list(walks)
        losses = {name: np.abs(outcomes.returns[:, step - 1] - walks[name].medians[:, step - 1]) for name in names}
        weights = np.zeros((len(outcomes.rows) - since, len(names)))
        for origin in range(since, len(outcomes.rows)):
            chosen = self._choose(walks, losses, origin, known=outcomes.known(origin, step), step=step, window=window)
            weights[origin - since, names.index(chosen)] = 1.0
        return weights

    def _choose(
        self,
        walks: Mapping[str, Walk],
        losses: Mapping[str, np.ndarray],
        origin: int,
        *,
        known: int,
        step: int,
        window: int,
    ) -> str:
        past = slice(max(known - window, 0), known)
        if np.count_nonzero(~np.isnan(losses["naive"][past])) < max(MIN_ORIGINS, 2 * step):
            return "naive"
        able = {
            name: losses[name][past] for name in losses if name != "naive" and np.isfinite(walks[name].paths[origin, 0])
        }
        adjusted = judge(able, losses["naive"][past], step=step)
        better = {name: float(np.nanmean(able[name])) for name in able if adjusted[name] < SIGNIFICANCE}
        return min(better, key=lambda name: better[name]) if better else "naive"

    def fit(self, bars: pd.DataFrame) -> Self:
        """Walk all members over `bars`, choose, and fit the chosen one."""
        plan = plan_walk(len(bars), horizon=self.horizon, origins=self.origins, name="auto")
        interval = "1m" if session_gaps(bars.index).any() else "1d"
        walks, outcomes = walk_models(self.members(interval), bars, plan, step=self.horizon, interval=interval)
        chosen = self.weights(walks, outcomes, step=self.horizon, window=plan.origins)[-1]
        self.chosen_ = list(walks)[int(np.argmax(chosen))]
        self._model = FORECASTERS[self.chosen_]().fit(bars)
        return self

    def update(self, bars: pd.DataFrame) -> Self:
        """The chosen model, moved on; the choice stands until the next :meth:`fit`."""
        self._model.update(bars)
        return self

    def predict(self, horizon: int) -> np.ndarray:
        """The chosen model's path, shape (horizon,)."""
        return self._model.predict(horizon)
