"""What each input contributed to one model's forecast, as the model itself accounts for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

__all__ = ["Attributed", "Attribution"]


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """A forecast taken apart: at every step ``base + contributions`` is the forecast.

    Attributes
    ----------
    base : array, shape (horizon,)
        Log-return per period that the model would expect if it knew nothing of the features.
    features : tuple of str, F names
    values : array, shape (F,)
        What the features are at the origin; NaN where a name stands for several values.
    contributions : array, shape (horizon, F)
        Log-returns per period.
    """

    base: np.ndarray
    features: tuple[str, ...]
    values: np.ndarray
    contributions: np.ndarray


@runtime_checkable
class Attributed(Protocol):
    """A forecaster that can say what its forecast is made of. Every registered model can, composites through their
    members; see :func:`quantkit.forecast.explain`."""

    def attribute(self, horizon: int) -> Attribution:
        """The forecast of :meth:`~quantkit.forecast.base.Forecaster.predict`, taken apart."""
