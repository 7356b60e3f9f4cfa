"""What a forecasting model is, and what a forecast says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, Self

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError
from quantkit.core.registry import Registry
from quantkit.core.results import Result

__all__ = ["FORECASTERS", "Forecast", "ForecastStep", "Forecaster", "Trend"]

Trend = Literal["UP", "DOWN"]


class Forecaster(Protocol):
    """A model of log-returns. ``__init__`` holds hyperparameters only; fitted names end in ``_``."""

    def fit(self, bars: pd.DataFrame) -> Self:
        """Estimate parameters from a bars frame and stand at its last bar."""

    def update(self, bars: pd.DataFrame) -> Self:
        """Stand at the last of `bars` (the fitted history and newer rows) with the parameters already estimated."""

    def predict(self, horizon: int) -> np.ndarray:
        """Expected log-returns of the next `horizon` bars, shape (horizon,), each per period."""


#: Model classes by name, callable without arguments.
FORECASTERS: Registry[type[Forecaster]] = Registry("model")


@dataclass(frozen=True, slots=True, eq=False)
class ForecastStep(Result):
    """One step ahead: prices in the quote currency.

    Attributes
    ----------
    step : int
        1 for the next bar.
    timestamp : Timestamp
        Label of that bar: the session's date, or the minute's start.
    mean : float
        Expected price, half-variance term included.
    median : float
        Price that the model expects to be exceeded half the time; errors and skill are scored on it.
    lower, upper : float
        Bounds of the interval at the forecast's level.
    coverage : float
        Share of walk-forward outcomes at this step that fell inside the interval; NaN when not measured.
    """

    step: int
    timestamp: pd.Timestamp
    mean: float
    median: float
    lower: float
    upper: float
    coverage: float

    def __post_init__(self) -> None:
        if not self.lower <= self.median <= self.upper:
            raise DataError(f"step {self.step}: median {self.median} lies outside [{self.lower}, {self.upper}]")


@dataclass(frozen=True, slots=True, eq=False)
class Forecast(Result):
    """A forecast with its proof beside it.

    Attributes
    ----------
    symbol, model, interval : str
    currency : str
    as_of : Timestamp
        Bar that the forecast stands on.
    last_price : float
        Close of that bar.
    level : float
        Of the interval, in (0, 1).
    steps : tuple of ForecastStep
    predicted_price : float
        Mean of the next step.
    predicted_volatility : float
        Standard deviation of the next step's return, a decimal.
    trend : {"UP", "DOWN"}
    trend_probability : float
        Probability of that direction for the next step, in [0.5, 1].
    coverage : float
        Measured walk-forward coverage of `level` at step 1.
    skill : float
        ``1 - MAE / MAE of naive`` at step 1, on log-returns: positive where the model was better than no change.
    origins : int
        Walk-forward origins that `coverage` and `skill` were measured on.
    fingerprint : str
    """

    symbol: str
    model: str
    interval: str
    currency: str
    as_of: pd.Timestamp
    last_price: float
    level: float
    steps: tuple[ForecastStep, ...]
    predicted_price: float
    predicted_volatility: float
    trend: Trend
    trend_probability: float
    coverage: float
    skill: float
    origins: int
    fingerprint: str

    @property
    def horizon(self) -> int:
        """Number of steps."""
        return len(self.steps)

    def to_frame(self) -> pd.DataFrame:
        """One row a step: ``step mean median lower upper coverage``, indexed by ``time``."""
        rows = [step.to_dict() for step in self.steps]
        index = pd.DatetimeIndex([step.timestamp for step in self.steps], name="time")
        return pd.DataFrame(rows, index=index).drop(columns="timestamp").astype({"mean": float})

    def in_words(self) -> str:
        """One sentence that says whether the model has been better than expecting no change."""
        if self.model == "naive":
            return "The naive forecast expects no change."
        if not self.skill > 0:
            return f"{self.model} has not beaten naive here: skill {self.skill:+.1%} over {self.origins} origins."
        return f"{self.model} had skill {self.skill:+.1%} against naive over {self.origins} origins; not yet tested."
