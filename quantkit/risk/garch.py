"""The GARCH family, on ``arch``: estimated rarely, filtered often.

Estimating costs tens of milliseconds, filtering new returns with known parameters tens of microseconds: a walk-forward
estimates every so many origins and filters in between.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quantkit.core.errors import ComputeError, UsageError
from quantkit.core.threads import one_thread

__all__ = ["GARCH_KINDS", "GARCH_MINIMUM", "Garch", "GarchKind", "Innovations", "fit_garch"]

Array: TypeAlias = NDArray[np.float64]
GarchKind = Literal["garch", "gjr", "egarch"]
Innovations = Literal["normal", "t"]

GARCH_KINDS: Final[tuple[GarchKind, ...]] = ("garch", "gjr", "egarch")
#: Fewest returns that a GARCH is estimated on: its likelihood is too flat on fewer.
GARCH_MINIMUM: Final = 250
# arch's optimiser expects returns in percent; variances of decimals are below its tolerances.
_SCALE: Final = 100.0


@dataclass(frozen=True, slots=True)
class Garch:
    """An estimated model of conditional volatility with constant mean.

    With ``e[t] = r[t] - mu = sigma[t] z[t]``, in percent::

        garch   sigma2[t] = omega + alpha e[t-1]^2 + beta sigma2[t-1]
        gjr     sigma2[t] = omega + (alpha + gamma 1(e[t-1] < 0)) e[t-1]^2 + beta sigma2[t-1]
        egarch  ln sigma2[t] = omega + alpha (|z[t-1]| - sqrt(2/pi)) + gamma z[t-1] + beta ln sigma2[t-1]

    Attributes
    ----------
    kind : {"garch", "gjr", "egarch"}
    innovations : {"normal", "t"}
        Distribution of ``z`` in the likelihood.
    parameters : mapping
        By the literature's names (``mu omega alpha[1] gamma[1] beta[1] nu``), for returns in percent.
    log_likelihood : float
        Of the returns it was estimated on, in percent.

    References
    ----------
    Bollerslev, T. (1986). Journal of Econometrics 31. Glosten, Jagannathan and Runkle (1993). Journal of Finance 48.
    Nelson, D. (1991). Econometrica 59.
    """

    kind: GarchKind
    innovations: Innovations
    parameters: Mapping[str, float]
    log_likelihood: float

    @property
    def mean(self) -> float:
        """Constant mean, a decimal per period."""
        return self.parameters["mu"] / _SCALE

    @property
    def persistence(self) -> float:
        """Share of a variance shock that is left one period later; 1 and above has no long-run variance."""
        p = self.parameters
        if self.kind == "egarch":
            return p["beta[1]"]
        return p["alpha[1]"] + p["beta[1]"] + 0.5 * p.get("gamma[1]", 0.0)

    @property
    def long_run_volatility(self) -> float:
        """Square root of the unconditional variance (egarch: of the exponential of its mean logarithm), a decimal
        per period; NaN where the persistence is 1 or more."""
        if self.persistence >= 1.0:
            return float("nan")
        level = self.parameters["omega"] / (1.0 - self.persistence)
        return float(np.sqrt(np.exp(level) if self.kind == "egarch" else level) / _SCALE)

    def filter(self, returns: Array) -> Array:
        """Conditional standard deviations, shape (T + 1,), decimals: the last one is for the period after `returns`."""
        process = _process(self.kind)
        residuals = np.append(returns * _SCALE - self.parameters["mu"], 0.0)
        variance = np.zeros_like(residuals)
        bounds = np.empty((len(residuals), 2))
        bounds[:, 0], bounds[:, 1] = 1e-12, 1e12
        backcast = process.backcast(residuals[:-1])
        names = [name for name in self.parameters if name not in ("mu", "nu")]
        coefficients = np.array([self.parameters[name] for name in names])
        process.compute_variance(coefficients, residuals, variance, backcast, bounds)
        return np.asarray(np.sqrt(variance) / _SCALE, dtype=np.float64)

    def standardised(self, returns: Array) -> Array:
        """Residuals ``(r - mu) / sigma``, shape (T,)."""
        return np.asarray((returns - self.mean) / self.filter(returns)[:-1], dtype=np.float64)

    def paths(self, sigma: float, shocks: Array) -> Array:
        """Returns, shape (paths, horizon), that standardised `shocks` become, from next-period volatility `sigma`."""
        p = self.parameters
        variance = np.full(len(shocks), (sigma * _SCALE) ** 2)
        returns = np.empty_like(shocks)
        for step in range(shocks.shape[1]):
            z = shocks[:, step]
            e = np.sqrt(variance) * z
            returns[:, step] = (p["mu"] + e) / _SCALE
            if self.kind == "egarch":
                size = np.abs(z) - np.sqrt(2.0 / np.pi)
                log_next = p["omega"] + p["alpha[1]"] * size + p["gamma[1]"] * z + p["beta[1]"] * np.log(variance)
                variance = np.exp(log_next)
            else:
                weight = p["alpha[1]"] + p.get("gamma[1]", 0.0) * (e < 0)
                variance = p["omega"] + weight * e * e + p["beta[1]"] * variance
        return returns


def fit_garch(returns: Array, *, kind: GarchKind = "garch", innovations: Innovations = "normal") -> Garch:
    """Estimate a GARCH(1,1), GJR(1,1,1) or EGARCH(1,1,1) with constant mean by (quasi) maximum likelihood.

    Parameters
    ----------
    returns : array, shape (T,)
        Simple per-period returns, decimals, oldest first.
    kind : {"garch", "gjr", "egarch"}
    innovations : {"normal", "t"}

    Returns
    -------
    Garch

    Raises
    ------
    UsageError
        Unknown `kind`.
    ComputeError
        Fewer than 250 returns, no variance, or an optimiser that did not converge.
    """
    if kind not in GARCH_KINDS:
        raise UsageError(f"unknown GARCH kind {kind!r}; choose from {', '.join(GARCH_KINDS)}")
    if len(returns) < GARCH_MINIMUM:
        raise ComputeError(f"{len(returns)} returns are too few for {kind}; at least {GARCH_MINIMUM} are needed")
    if np.ptp(returns) == 0.0:
        raise ComputeError(f"{kind}: the returns are all {returns[0]:g}, so there is no variance to model")
    return _fit(np.ascontiguousarray(returns, dtype=np.float64).tobytes(), kind, innovations)


# A report asks for the same estimate several times over: for the volatility, its term structure, a VaR method.
@lru_cache(maxsize=16)
def _fit(returns: bytes, kind: GarchKind, innovations: Innovations) -> Garch:
    from arch import arch_model

    values = np.frombuffer(returns)
    options: dict[str, Any] = {"garch": {"vol": "GARCH", "o": 0}, "gjr": {"vol": "GARCH", "o": 1},
                               "egarch": {"vol": "EGARCH", "o": 1}}[kind]  # fmt: skip
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = arch_model(values * _SCALE, mean="Constant", p=1, q=1, dist=innovations, rescale=False, **options)
        fitted = model.fit(disp="off", show_warning=False)
    parameters = {str(name): float(value) for name, value in fitted.params.items()}
    if fitted.convergence_flag != 0 or not np.isfinite(list(parameters.values())).all():
        raise ComputeError(f"{kind} did not converge on {len(values)} returns: {fitted.optimization_result.message}")
    return Garch(kind, innovations, parameters, float(fitted.loglikelihood))


def _process(kind: GarchKind) -> Any:
    from arch.univariate import EGARCH, GARCH

    return EGARCH(p=1, o=1, q=1) if kind == "egarch" else GARCH(p=1, o=int(kind == "gjr"), q=1)
