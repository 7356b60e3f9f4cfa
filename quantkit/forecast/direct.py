"""Forecasts learned from features: what the direct models share, whatever learns.

Target and features are in units of the local scale, so that a quiet decade and a crash weigh alike, and each of the
next five log-returns is forecast directly. What a learner claims is then shrunk: a return's predictable part is a
percent of its variance at best, so a learner is believed only as far as its own forecasts of data held out from it
were right.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Final, Self

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError
from quantkit.forecast.attribution import Attribution
from quantkit.forecast.base import Forecaster
from quantkit.forecast.features import FEATURES, WARM_UP, feature_table
from quantkit.forecast.target import close_returns, local_scale

__all__ = ["STEPS", "Direct", "believed"]

#: Steps ahead that are learned; beyond them no change is expected.
STEPS: Final = 5
#: A standardised outcome beyond this says no more than this: one crash may not decide a split.
_CLIP: Final = 4.0


def believed(outcomes: np.ndarray, forecasts: np.ndarray) -> float:
    """How much of `forecasts`, made without their outcomes, deserves belief: a factor in [0, 1].

    With ``b`` the least-squares slope of `outcomes` on `forecasts` through the origin and ``s`` its standard error,
    the mean of the posterior of the true slope under a uniform prior on [0, 1]: near 1 where the evidence is strong,
    a fraction where there is none, near 0 where the forecasts were on the wrong side. 0 where nothing was forecast.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> signal = rng.normal(size=2000)
    >>> believed(signal + rng.normal(size=2000), signal) > 0.95
    True
    >>> believed(rng.normal(size=2000), -0.1 * signal) < 0.5
    True
    """
    energy = float(forecasts @ forecasts)
    if not energy > 0.0:
        return 0.0
    slope = float(forecasts @ outcomes) / energy
    residual = outcomes - slope * forecasts
    error = float(np.sqrt(residual @ residual / max(len(outcomes) - 1, 1) / energy))
    grid = np.linspace(0.0, 1.0, 1001)
    exponent = -0.5 * ((grid - slope) / max(error, 1e-6)) ** 2
    weight = np.exp(exponent - exponent.max())
    return float(grid @ weight / weight.sum())


class Direct(Forecaster):
    """A learner of the next :data:`STEPS` log-returns, each from the features at the origin.

    Parameters
    ----------
    window : int
        Most recent rows that it learns from, about ten years of days.

    Attributes
    ----------
    belief_ : array, shape (STEPS,)
        :func:`believed`, by step.

    Notes
    -----
    The forecast of step h is ``belief_[h] * scale * f_h(features)``, `scale` that of
    :func:`~quantkit.forecast.target.local_scale` at the origin. A row is learned from when all its next returns are
    known and lie within its session.
    """

    refit_every: ClassVar[int] = 250
    minimum: ClassVar[int] = 100
    #: Rows before the first complete one.
    warm_up: ClassVar[int] = WARM_UP
    belief_: np.ndarray

    def __init__(self, window: int = 2500) -> None:
        self.window = window

    @abstractmethod
    def _learn(self, inputs: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
        """Learn from ``(n, F)`` features and ``(n, STEPS)`` outcomes in units of scale.

        Returns forecasts of the same rows, each made without its own outcome; NaN where there is none.
        """

    @abstractmethod
    def _forecast(self, inputs: np.ndarray) -> np.ndarray:
        """Outcomes expected in units of scale, shape (n, STEPS); a row depends on its own features only."""

    @abstractmethod
    def _shares(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Base values, shape (STEPS,), and contributions, shape (STEPS, F), of one row's forecast."""

    def fit(self, bars: pd.DataFrame) -> Self:
        """Learn, and weigh what was learned; ``DataError`` on too few bars or constant prices."""
        inputs, scale = self._inputs(bars)
        returns = close_returns(bars)
        ahead = np.concatenate([returns, np.full(STEPS, np.nan)])
        raw = np.column_stack([ahead[step : step + len(returns)] for step in range(1, STEPS + 1)])
        outcomes = np.clip(raw / scale[:, None], -_CLIP, _CLIP)
        usable = np.flatnonzero(~np.isnan(outcomes).any(axis=1) & _complete(inputs))[-self.window :]
        if len(usable) < self.minimum - self.warm_up - STEPS:
            raise DataError(
                f"{self._name()}: {len(bars)} bars hold {len(usable)} rows to learn from; "
                f"at least {self.minimum} bars of moving prices are needed"
            )
        held_out = self._learn(inputs[usable], outcomes[usable])
        judged = ~np.isnan(held_out).any(axis=1)
        target = outcomes[usable]
        self.belief_ = np.array([believed(target[judged, at], held_out[judged, at]) for at in range(STEPS)])
        return self._stand(inputs, scale)

    def update(self, bars: pd.DataFrame) -> Self:
        """Stand at the last bar; what was learned stays as it is."""
        return self._stand(*self._inputs(bars))

    def predict(self, horizon: int) -> np.ndarray:
        """Expected log-returns, shape (horizon,); zero beyond the fifth."""
        return self._paths(self._here, self._scale, horizon)[0]

    def predict_each(self, bars: pd.DataFrame, rows: np.ndarray, horizon: int) -> np.ndarray:
        """:meth:`predict` as it is standing at each of `rows`, shape (n, horizon), bit for bit."""
        inputs, scale = self._inputs(bars)
        self._stand(inputs, scale)
        return self._paths(inputs[rows], scale[rows], horizon)

    def attribute(self, horizon: int) -> Attribution:
        """Shapley values of the features; a contribution beyond the fifth step is zero."""
        base, shares = self._shares(self._here)
        factor = self.belief_ * self._scale[0]
        steps = min(horizon, STEPS)
        contributions = np.zeros((horizon, len(self._names())))
        contributions[:steps] = (shares * factor[:, None])[:steps]
        flat = np.zeros(horizon)
        flat[:steps] = (base * factor)[:steps]
        return Attribution(base=flat, features=self._names(), values=self._values(), contributions=contributions)

    def _stand(self, inputs: np.ndarray, scale: np.ndarray) -> Self:
        self._here, self._scale = inputs[-1:], scale[-1:]
        return self

    def _paths(self, inputs: np.ndarray, scale: np.ndarray, horizon: int) -> np.ndarray:
        paths = np.zeros((len(inputs), horizon))
        steps = min(horizon, STEPS)
        # A row without features (a price that has not moved yet) expects no change.
        known = _complete(inputs)
        if known.any():
            said = self._forecast(inputs[known]) * self.belief_ * scale[known, None]
            paths[known, :steps] = said[:, :steps]
        return paths

    def _inputs(self, bars: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """What the learner sees at every bar, shape (T, F), and the scale there, shape (T,)."""
        return feature_table(bars).to_numpy(), local_scale(close_returns(bars))

    def _names(self) -> tuple[str, ...]:
        return tuple(FEATURES)

    def _values(self) -> np.ndarray:
        return np.asarray(self._here[0])

    def _name(self) -> str:
        return type(self).__name__.lower()


def _complete(inputs: np.ndarray) -> np.ndarray:
    """Rows without a missing number, shape (n,)."""
    return ~np.isnan(inputs).any(axis=tuple(range(1, inputs.ndim)))
