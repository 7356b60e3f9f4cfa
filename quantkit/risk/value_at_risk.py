"""Value at risk and expected shortfall: seven methods, long and short, one to twenty periods ahead.

Signs and units: both are returns of the position, negative for a loss, never clipped. For a position of value ``V``
in some currency the loss in it is ``V`` times the figure.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantkit.core.errors import DataError, UsageError
from quantkit.core.results import Result
from quantkit.core.schema import check_level, check_returns
from quantkit.core.threads import one_thread
from quantkit.risk.distributions import Distribution, Empirical, Undefined
from quantkit.risk.tail_models import VAR_METHODS, TailModel

__all__ = [
    "MAX_HORIZON",
    "Scaling",
    "Side",
    "TailRisk",
    "VarMethod",
    "check_horizon",
    "check_side",
    "check_tail_level",
    "expected_shortfall",
    "predictive_distribution",
    "return_values",
    "tail_risk",
    "value_at_risk",
]

Array: TypeAlias = NDArray[np.float64]
VarMethod = Literal["historical", "gaussian", "cornish_fisher", "student_t", "ewma", "fhs", "evt"]
Side = Literal["long", "short"]
Scaling = Literal["simulated", "scaled"]

MAX_HORIZON: Final = 20
#: Simulated paths for a horizon above 1; the standard error of a 95 % quantile is then below 1 % of it.
PATHS: Final = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class TailRisk(Result):
    """VaR and ES of one position by one method.

    Attributes
    ----------
    method : str
    level : float
    horizon : int
        Periods.
    side : {"long", "short"}
    value_at_risk, expected_shortfall : float
        Returns over the horizon, negative for a loss; NaN where `reason` says why.
    scaling : {"one period", "simulated", "scaled"}
        How the horizon was reached: ``scaled`` is the square-root-of-time rule, right only for independent Gaussian
        returns without drift.
    observations : int
        Returns it was estimated on.
    reason : str
        Why there is no figure; empty where there is one.
    """

    method: str
    level: float
    horizon: int
    side: str
    value_at_risk: float
    expected_shortfall: float
    scaling: str
    observations: int
    reason: str

    def __post_init__(self) -> None:
        if np.isnan(self.value_at_risk) and not self.reason:
            raise DataError(f"{self.method}: a VaR of NaN needs its reason")
        if self.expected_shortfall > self.value_at_risk:
            raise DataError(f"{self.method}: ES {self.expected_shortfall} lies above VaR {self.value_at_risk}")

    def in_currency(self, value: float) -> tuple[float, float]:
        """VaR and ES as profit and loss of a position worth `value` (positive, in its currency)."""
        return value * self.value_at_risk, value * self.expected_shortfall


def value_at_risk(
    returns: pd.Series,
    *,
    level: float = 0.95,
    method: VarMethod = "historical",
    horizon: int = 1,
    side: Side = "long",
    scaling: Scaling = "simulated",
    seed: int = 0,
) -> float:
    """Return that the next `horizon` periods fall below with probability ``1 - level``.

    Parameters
    ----------
    returns : Series, shape (T,)
        Simple per-period returns, decimals; NaN is refused.
    level : float in (0.5, 1)
    method : {"historical", "gaussian", "cornish_fisher", "student_t", "ewma", "fhs", "evt"}
        ``historical`` interpolates linearly between past returns; ``cornish_fisher`` is NaN outside its monotone
        domain (:func:`tail_risk` says so); ``fhs`` is GARCH-filtered historical simulation, ``evt`` peaks over
        threshold.
    horizon : int in 1..20
        Periods; above 1 by simulation (filtered for ``ewma`` and ``fhs``, independent draws for the others),
        compounded.
    side : {"long", "short"}
        A short's is the same quantile of minus the return.
    scaling : {"simulated", "scaled"}
        ``scaled`` multiplies the one-period figure by the square root of the horizon instead.
    seed : int
        Of the simulation.

    Returns
    -------
    float
        A return, negative for a loss: -0.021 is a loss of 2.1 %.

    Raises
    ------
    UsageError
        A level, method, horizon or side that does not exist.
    DataError
        Fewer than 100 observations (fhs: 250, evt: 500), or NaN; names the first offending date.

    References
    ----------
    Jorion, P. (2006). Value at Risk, 3rd ed., chapters 5 and 10.

    Examples
    --------
    >>> times = pd.date_range("2024-01-01", periods=101, freq="D", tz="UTC", unit="us")
    >>> returns = pd.Series([step / 1000 for step in range(-50, 51)], index=times)
    >>> round(value_at_risk(returns, level=0.95), 6)
    -0.045
    """
    return tail_risk(
        returns, level=level, method=method, horizon=horizon, side=side, scaling=scaling, seed=seed
    ).value_at_risk


def expected_shortfall(
    returns: pd.Series,
    *,
    level: float = 0.95,
    method: VarMethod = "historical",
    horizon: int = 1,
    side: Side = "long",
    scaling: Scaling = "simulated",
    seed: int = 0,
) -> float:
    """Mean return of the worst ``1 - level`` of outcomes; arguments and errors as for :func:`value_at_risk`.

    For ``historical`` it is the mean of the worst ``T (1 - level)`` returns, the last of them with the fraction that
    remains.

    References
    ----------
    Acerbi, C. and Tasche, D. (2002). On the coherence of expected shortfall. Journal of Banking and Finance 26.

    Examples
    --------
    >>> times = pd.date_range("2024-01-01", periods=100, freq="D", tz="UTC", unit="us")
    >>> returns = pd.Series([step / 1000 for step in range(-50, 50)], index=times)
    >>> round(expected_shortfall(returns, level=0.975), 6)
    -0.0492
    """
    return tail_risk(
        returns, level=level, method=method, horizon=horizon, side=side, scaling=scaling, seed=seed
    ).expected_shortfall


def tail_risk(
    returns: pd.Series,
    *,
    level: float = 0.95,
    method: VarMethod = "historical",
    horizon: int = 1,
    side: Side = "long",
    scaling: Scaling = "simulated",
    seed: int = 0,
) -> TailRisk:
    """VaR and ES together, with the reason where there is none; arguments and errors as for :func:`value_at_risk`."""
    level, side, horizon = check_tail_level(level), check_side(side), check_horizon(horizon)
    if scaling not in ("simulated", "scaled"):
        raise UsageError(f"scaling {scaling!r} is not one of simulated, scaled")
    model = VAR_METHODS[method]()
    values = return_values(returns, minimum=model.minimum, method=method)
    sign = 1.0 if side == "long" else -1.0
    with one_thread():
        model.fit(sign * values)
        if scaling == "scaled":
            belief, stretch = model.predict(sign * values), float(np.sqrt(horizon))
        else:
            belief, stretch = predictive_distribution(model, values, horizon=horizon, side=side, seed=seed), 1.0
        var, es = stretch * belief.quantile(1.0 - level), stretch * belief.tail_mean(1.0 - level)
    reason = belief.reason if isinstance(belief, Undefined) else ""
    if not reason and np.isnan(es):
        reason = "the estimated tail is so heavy that it has no mean"
    return TailRisk(
        method=method,
        level=level,
        horizon=horizon,
        side=side,
        value_at_risk=var,
        expected_shortfall=es,
        scaling="one period" if horizon == 1 else scaling,
        observations=len(values),
        reason=reason,
    )


def predictive_distribution(
    model: TailModel, returns: Array, *, horizon: int, side: Side, seed: int, paths: int = PATHS
) -> Distribution:
    """Belief of a fitted `model` about the position's return over `horizon` periods.

    Parameters
    ----------
    model : TailModel
        Fitted on the returns of the position (a short's are minus the instrument's).
    returns : array, shape (T,)
        Of the instrument, whatever the side.
    horizon : int
        Above 1, `paths` simulated paths are compounded as the instrument's and turned into the position's result: a
        short keeps its number of shares.
    """
    sign = 1.0 if side == "long" else -1.0
    if horizon == 1:
        return model.predict(sign * returns)
    # The seed is salted with the method's name: methods must not share their luck.
    rng = np.random.default_rng([seed, zlib.crc32(type(model).__name__.encode())])
    drawn = model.paths(sign * returns, horizon=horizon, count=paths, rng=rng)
    if isinstance(drawn, Undefined):
        return drawn
    growth = np.maximum(1.0 + sign * drawn, 0.0).prod(axis=1)
    return Empirical(sign * (growth - 1.0))


def check_tail_level(level: object) -> float:
    """Return `level` if it is a number in (0.5, 1); below a half the quantile is no loss any more."""
    checked = check_level(level)
    if checked <= 0.5:
        raise UsageError(f"level {level!r} is not above 0.5; a value at risk needs something like 0.95 or 0.99")
    return checked


def check_side(side: object) -> Side:
    """Return `side` if it is long or short."""
    if side not in ("long", "short"):
        raise UsageError(f"side {side!r} is not one of long, short")
    return side  # type: ignore[return-value]


def check_horizon(horizon: object) -> int:
    """Return `horizon` if it is a whole number of periods from 1 to 20."""
    if isinstance(horizon, bool) or not isinstance(horizon, int) or not 1 <= horizon <= MAX_HORIZON:
        raise UsageError(f"horizon {horizon!r} is not a whole number of periods from 1 to {MAX_HORIZON}")
    return horizon


def return_values(returns: pd.Series, *, minimum: int, method: str) -> Array:
    """Values of a checked return series of at least `minimum` observations."""
    if not isinstance(returns, pd.Series):
        raise DataError(f"{method}: expected a Series of returns, got {type(returns).__name__}")
    name = str(returns.name or "returns")
    frame = check_returns(returns, name=name)
    if len(frame) < minimum:
        raise DataError(f"{name}: {len(frame)} returns; {method} needs at least {minimum}")
    return np.asarray(frame.iloc[:, 0].to_numpy(), dtype=np.float64)
