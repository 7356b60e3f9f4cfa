"""What a forecasting model is, and what a forecast says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError
from quantkit.core.registry import Registry
from quantkit.core.results import Result

if TYPE_CHECKING:
    from quantkit.forecast.target import Outcomes
    from quantkit.forecast.walk import Walk

__all__ = [
    "FORECASTERS", "Band", "Batched", "Composite", "Contender", "Forecast", "ForecastStep", "Forecaster", "Trend",
    "light_models",
]  # fmt: skip

Trend = Literal["UP", "DOWN"]

#: Beyond this probability a direction is called; nearer to a coin's, the forecast says 'no edge'.
EDGE = 0.55
#: Size of every test of a model against naive.
SIGNIFICANCE = 0.05


class Forecaster(Protocol):
    """A model of the log-returns of ``close``. ``__init__`` holds hyperparameters only; fitted names end in ``_``.

    Register a class with ``@FORECASTERS.add("name")``; it must be callable without arguments. Subclassing this
    protocol inherits the class attributes below.
    """

    #: Bars between two estimations in a walk-forward; in between, :meth:`update` applies the last one.
    refit_every: ClassVar[int] = 125
    #: Fewest bars that :meth:`fit` works with.
    minimum: ClassVar[int] = 2
    #: Whether one walk-forward takes more than a few seconds: such a model is left out unless it is asked for.
    heavy: ClassVar[bool] = False
    #: Intervals that it can forecast; asked for another, it is refused with the reason in its docstring.
    intervals: ClassVar[tuple[str, ...]] = ("1d", "1m")

    def fit(self, bars: pd.DataFrame) -> Self:
        """Estimate parameters from a bars frame and stand at its last bar."""

    def update(self, bars: pd.DataFrame) -> Self:
        """Stand at the last of `bars` (the fitted history and newer rows) with the parameters already estimated."""

    def predict(self, horizon: int) -> np.ndarray:
        """Expected log-returns of the next `horizon` bars, shape (horizon,), each per period."""


@runtime_checkable
class Batched(Protocol):
    """A forecaster that forecasts at many origins at once, for much less than one by one."""

    def predict_each(self, bars: pd.DataFrame, rows: np.ndarray, horizon: int) -> np.ndarray:
        """Forecasts as made standing at each of `rows`, shape (n, horizon), with the parameters already estimated.

        Row by row they are bit for bit what ``update(bars[: row + 1]).predict(horizon)`` says; afterwards the model
        stands at the last of `bars`.
        """


@runtime_checkable
class Composite(Protocol):
    """A forecaster whose forecast is a weighted mean of other models' forecasts.

    In a walk-forward the members are walked once and combined, so that a composite costs no fits of its own.
    """

    def members(self, interval: str) -> tuple[str, ...]:
        """Names of the models that are combined; never another composite."""

    def weights(
        self, walks: Mapping[str, Walk], outcomes: Outcomes, *, step: int, window: int, since: int = 0
    ) -> np.ndarray:
        """Weight of every member at the origins from index `since` on, shape (origins - since, members).

        Each row comes from outcomes known at its origin, and is the same to the last bit whatever `since` is and
        however many origins follow it: after a new bar only the new row is asked for.
        """


#: Model classes by name, callable without arguments.
FORECASTERS: Registry[type[Forecaster]] = Registry("model")


def light_models(interval: str) -> tuple[str, ...]:
    """Names of the models that composites combine: not heavy, no composite, and able to forecast `interval`.

    A model that somebody has added from outside is asked for by its own name: counted here it would change what
    ``auto`` says under a fingerprint that other processes share.
    """
    return tuple(
        name
        for name, kind in FORECASTERS.built_in().items()
        if not kind.heavy and interval in kind.intervals and not isinstance(kind(), Composite)
    )


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
    skill : float
        ``1 - MAE / MAE of naive`` at this step, on log-returns; NaN when not measured.
    """

    step: int
    timestamp: pd.Timestamp
    mean: float
    median: float
    lower: float
    upper: float
    coverage: float
    skill: float = float("nan")

    def __post_init__(self) -> None:
        if not self.lower <= self.median <= self.upper:
            raise DataError(f"step {self.step}: median {self.median} lies outside [{self.lower}, {self.upper}]")


@dataclass(frozen=True, slots=True, eq=False)
class Band(Result):
    """The interval at one level over all steps, as charts draw it.

    Attributes
    ----------
    level : float
    lower, upper : tuple of float
        Prices, one a step.
    coverage : tuple of float
        Measured walk-forward coverage, one a step; NaN when not measured.
    """

    level: float
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    coverage: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Contender(Result):
    """A model held against naive at the asked horizon.

    Attributes
    ----------
    model : str
    skill : float
        ``1 - MAE / MAE of naive``; NaN where the model failed.
    p_value : float
        One-sided Diebold-Mariano, Holm-adjusted over the contenders of one forecast; NaN where the model failed.
    failure : str
        Why the model could not be used, empty when it could.
    """

    model: str
    skill: float
    p_value: float
    failure: str = ""


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
        Standard deviation of the next step's return, a decimal: that of
        :func:`quantkit.risk.volatility.next_volatility` on the last five years, as in the default risk report. On
        minute bars it is the scale of the interval, which knows when the next step lies beyond a session's gap.
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
    chosen : str
        Model whose path this is: `model` itself, or the one that ``auto`` chose.
    p_value : float
        That `model` is no better than naive at the last step: one-sided Diebold-Mariano on absolute errors,
        Holm-adjusted where `model` is one of several `contenders`; NaN for naive.
    contenders : tuple of Contender
        Every model that was held against naive for this forecast.
    challenger : str
        Where ``auto`` stays with naive: the contender with the best skill, else empty.
    challenger_path : tuple of float
        Its median prices, one a step.
    fan : tuple of Band
        Bands at 50, 80 and 95 %.
    indicative : bool
        Whether prices are known only in adjusted form, so that currency figures are indicative.
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
    chosen: str = ""
    p_value: float = float("nan")
    contenders: tuple[Contender, ...] = ()
    challenger: str = ""
    challenger_path: tuple[float, ...] = ()
    fan: tuple[Band, ...] = field(default=())
    indicative: bool = False

    @property
    def horizon(self) -> int:
        """Number of steps."""
        return len(self.steps)

    @property
    def no_edge(self) -> bool:
        """Whether the direction is too near a coin's to be called: probability of UP between 0.45 and 0.55."""
        return self.trend_probability <= EDGE

    @property
    def beats_naive(self) -> bool:
        """Whether the evidence against naive is significant at 5 % after adjustment."""
        return self.p_value < SIGNIFICANCE

    @property
    def failures(self) -> dict[str, str]:
        """Reason by model, for contenders that could not be used."""
        return {each.model: each.failure for each in self.contenders if each.failure}

    def to_frame(self) -> pd.DataFrame:
        """One row a step: ``step mean median lower upper coverage skill``, indexed by ``time``."""
        rows = [step.to_dict() for step in self.steps]
        index = pd.DatetimeIndex([step.timestamp for step in self.steps], name="time")
        return pd.DataFrame(rows, index=index).drop(columns="timestamp").astype({"coverage": float, "skill": float})

    def in_words(self) -> str:
        """One or two sentences that say whether the model has been better than expecting no change."""
        at = f"{self.horizon} step{'s' if self.horizon > 1 else ''} ahead, {self.origins} origins"
        if self.model == "naive":
            return "The naive forecast expects no change."
        if self.chosen == "naive":
            said = f"No model is shown to beat naive ({at}), so no change is expected"
            rival = next((each for each in self.contenders if each.model == self.challenger), None)
            if rival is not None:
                said += f"; the best challenger, {rival.model}, has skill {rival.skill:+.1%} (p = {rival.p_value:.2g})"
            return said + "."
        name = self.model if self.chosen in ("", self.model) else f"{self.model} ({self.chosen})"
        last = self.steps[-1].skill if self.steps else self.skill
        if np.isnan(self.p_value):
            return f"{name} had skill {self.skill:+.1%} against naive over {self.origins} origins; not tested."
        verdict = "beats naive" if self.beats_naive else "is not shown to beat naive"
        return f"{name} {verdict}: skill {last:+.1%}, p = {self.p_value:.2g} ({at})."

    def _repr_html_(self) -> str:
        """Table of the steps under a caption with the verdict, for JupyterLab."""
        stamp = "%Y-%m-%d" if self.interval == "1d" else "%Y-%m-%d %H:%M"
        edge = ", no edge" if self.no_edge else ""
        head = (
            f"<b>{escape(self.symbol)}</b> {escape(self.model)} forecast from "
            f"{self.as_of.strftime(stamp)} at {self.last_price:,.2f} {escape(self.currency)}"
            f"{' (indicative)' if self.indicative else ''}: "
            f"{self.trend} with probability {self.trend_probability:.0%}{edge}, "
            f"volatility of the next step {self.predicted_volatility:.2%}"
        )
        columns = ("step", "time", "mean", "median", f"lower {self.level:.4g}", f"upper {self.level:.4g}", "coverage")
        header = "".join(f"<th scope='col'>{name}</th>" for name in columns)
        body = "".join(
            f"<tr><th scope='row'>{each.step}</th><td>{each.timestamp.strftime(stamp)}</td><td>{each.mean:,.2f}</td>"
            f"<td>{each.median:,.2f}</td><td>{each.lower:,.2f}</td><td>{each.upper:,.2f}</td>"
            f"<td>{'–' if np.isnan(each.coverage) else f'{each.coverage:.1%}'}</td></tr>"
            for each in self.steps
        )
        return (
            f"<table><caption style='text-align:left'>{head}<br>{escape(self.in_words())}</caption>"
            f"<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"
        )
