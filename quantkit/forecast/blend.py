"""A mean of the other models, each with as much weight as its past forecasts earned against naive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from quantkit.forecast.base import FORECASTERS, Forecaster, light_models
from quantkit.forecast.significance import diebold_mariano
from quantkit.forecast.target import Outcomes, session_gaps
from quantkit.forecast.walk import MIN_ORIGINS, Walk, bars_needed, plan_walk, walk_models

__all__ = ["Blend", "earned"]


def earned(statistics: np.ndarray) -> np.ndarray:
    """Weights of models from their t statistics against naive, shape (n,); what is left to 1 is naive's.

    A positive statistic t earns the excess of its square over the 1 that luck alone gives, ``e = max(t**2 - 1, 0)``,
    and the weights are ``e / (1 + sum(e))``: for a single model ``1 - 1 / t**2``, the factor of James and Stein.

    Examples
    --------
    >>> earned(np.array([2.0])).round(2).tolist()
    [0.75]
    >>> earned(np.array([0.9, -3.0])).tolist()
    [0.0, 0.0]

    References
    ----------
    James, W. and Stein, C. (1961). Estimation with quadratic loss. Proc. 4th Berkeley Symposium 1.
    """
    excess = np.where(statistics > 0.0, np.maximum(np.minimum(statistics, 1e3) ** 2 - 1.0, 0.0), 0.0)
    return np.asarray(excess / (1.0 + excess.sum()))


@FORECASTERS.add("blend")
class Blend(Forecaster):
    """Every model that is not heavy, weighted by its past walk-forward skill; naive has what no other one earned.

    At every origin a model's statistic is Diebold and Mariano's on the absolute errors at the judged step, over the
    last `origins` outcomes known there; :func:`earned` makes the weights.

    With ``t[m]`` that statistic of model m, negative ones counting as 0::

        e[m] = max(t[m]^2 - 1, 0)
        w[m] = e[m] / (1 + sum e)
        E r[t+h] = sum_m w[m] * forecast[m, h]

    Parameters
    ----------
    horizon : int
        Step on which the models are judged, in :meth:`fit`; a walk-forward names its own.
    origins : int
        Outcomes that they are judged on.

    Attributes
    ----------
    weights_ : dict of float by model

    References
    ----------
    Diebold, F. X. and Mariano, R. S. (1995). Comparing predictive accuracy. JBES 13(3). James, W. and Stein, C. (1961).
    Estimation with quadratic loss. Proc. 4th Berkeley Symposium 1.
    """

    minimum: ClassVar[int] = bars_needed(1)
    weights_: dict[str, float]

    def __init__(self, horizon: int = 1, origins: int = 250) -> None:
        self.horizon = horizon
        self.origins = origins

    def members(self, interval: str) -> tuple[str, ...]:
        """Those of :func:`~quantkit.forecast.base.light_models`, naive among them."""
        return light_models(interval)

    def weights(
        self, walks: Mapping[str, Walk], outcomes: Outcomes, *, step: int, window: int, since: int = 0
    ) -> np.ndarray:
        """Shares that sum to one, shape (origins - since, members)."""
        names = list(walks)
        losses = np.array([np.abs(outcomes.returns[:, step - 1] - walks[name].medians[:, step - 1]) for name in names])
        weights = np.zeros((len(outcomes.rows) - since, len(names)))
        naive = names.index("naive")
        for origin in range(since, len(outcomes.rows)):
            known = outcomes.known(origin, step)
            past = losses[:, max(known - window, 0) : known]
            row = weights[origin - since]
            if np.count_nonzero(~np.isnan(past[naive])) >= max(MIN_ORIGINS, 2 * step):
                able = [at for at in range(len(names)) if np.isfinite(walks[names[at]].paths[origin, 0])]
                row[able] = earned(
                    np.array([diebold_mariano(past[naive], past[at], horizon=step).statistic for at in able])
                )
            row[naive] = 1.0 - row.sum()
        return weights

    def fit(self, bars: pd.DataFrame) -> Self:
        """Walk all members over `bars`, weigh them, and fit those with a weight."""
        plan = plan_walk(len(bars), horizon=self.horizon, origins=self.origins, name="blend")
        interval = "1m" if session_gaps(bars.index).any() else "1d"
        walks, outcomes = walk_models(self.members(interval), bars, plan, step=self.horizon, interval=interval)
        shares = self.weights(walks, outcomes, step=self.horizon, window=plan.origins, since=len(outcomes.rows) - 1)[0]
        self.weights_ = {name: float(share) for name, share in zip(walks, shares, strict=True) if share > 0.0}
        self._models = {name: FORECASTERS[name]().fit(bars) for name in self.weights_}
        return self

    def update(self, bars: pd.DataFrame) -> Self:
        """The members, moved on; the weights stand until the next :meth:`fit`."""
        for model in self._models.values():
            model.update(bars)
        return self

    def predict(self, horizon: int) -> np.ndarray:
        """The weighted mean of the members' paths, shape (horizon,)."""
        paths = [share * self._models[name].predict(horizon) for name, share in self.weights_.items()]
        return np.asarray(np.sum(paths, axis=0))
