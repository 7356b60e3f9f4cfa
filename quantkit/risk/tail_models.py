"""The VaR methods: what each learns from past returns and believes about the next.

A method is estimated with ``fit`` and asked with ``predict``; the two are apart so that a walk-forward can estimate
rarely and still stand on every newer return. All take the returns of the position asked about (a short's are minus
the instrument's), as arrays.
"""

from __future__ import annotations

from typing import ClassVar, Final, Self, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from quantkit.core.errors import ComputeError
from quantkit.core.registry import Registry
from quantkit.risk.distributions import (
    CornishFisher,
    Distribution,
    Empirical,
    Normal,
    PeaksOverThreshold,
    StudentT,
    Undefined,
)
from quantkit.risk.garch import GARCH_MINIMUM, Garch, fit_garch

__all__ = ["EWMA_DECAY", "VAR_METHODS", "TailModel", "ewma_variance", "fit_pareto", "fit_student_t"]

Array: TypeAlias = NDArray[np.float64]

#: RiskMetrics' decay for daily returns.
EWMA_DECAY: Final = 0.94


class TailModel:
    """One VaR method. Instances hold what `fit` estimated, in names that end in ``_``."""

    #: Fewest returns it is asked with.
    minimum: ClassVar[int] = 100
    #: Whether `fit` is costly, so that a walk-forward estimates rarely.
    estimated: ClassVar[bool] = False

    def fit(self, returns: Array) -> Self:
        """Estimate from `returns`, shape (T,)."""
        return self

    def predict(self, returns: Array) -> Distribution:
        """Belief about the period after `returns`, with the parameters already estimated."""
        raise NotImplementedError

    def paths(self, returns: Array, *, horizon: int, count: int, rng: np.random.Generator) -> Array | Undefined:
        """Simulated returns of the next `horizon` periods, shape (count, horizon): independent draws of `predict`."""
        belief = self.predict(returns)
        return belief if isinstance(belief, Undefined) else belief.draw(rng.random((count, horizon)))


#: VaR methods by name, in the order in which screens list them.
VAR_METHODS: Registry[type[TailModel]] = Registry("VaR method")


@VAR_METHODS.add("historical")
class Historical(TailModel):
    """Every past return is as likely as any other.

    ``VaR = quantile(r, 1 - level)``, interpolated linearly between the two nearest returns.

    References
    ----------
    Jorion, P. (2006). Value at Risk, 3rd ed., chapter 10.
    """

    def predict(self, returns: Array) -> Distribution:
        """See :meth:`TailModel.predict`."""
        return Empirical(returns)


@VAR_METHODS.add("gaussian")
class Gaussian(TailModel):
    """Normal, with the sample mean and the sample standard deviation.

    ``VaR = m + s z`` with ``z`` the normal quantile at ``1 - level``.

    References
    ----------
    Jorion, P. (2006). Value at Risk, 3rd ed., chapter 5.
    """

    def predict(self, returns: Array) -> Distribution:
        """See :meth:`TailModel.predict`."""
        return Normal(float(returns.mean()), float(returns.std(ddof=1)))


@VAR_METHODS.add("cornish_fisher")
class CornishFisherModel(TailModel):
    """Normal bent by the sample's skewness and excess kurtosis; undefined outside its monotone domain.

    With ``z`` the normal quantile at ``1 - level``, ``S`` the skewness and ``K`` the excess kurtosis::

        VaR = m + s (z + (z^2 - 1) S / 6 + (z^3 - 3 z) K / 24 - (2 z^3 - 5 z) S^2 / 36)

    References
    ----------
    Cornish, E. A. and Fisher, R. A. (1938). Moments and cumulants in the specification of distributions. Revue de
    l'Institut International de Statistique 5(4). Maillard, D. (2012). A user's guide to the Cornish Fisher expansion.
    SSRN 1997178.
    """

    def predict(self, returns: Array) -> Distribution:
        """See :meth:`TailModel.predict`."""
        if np.ptp(returns) == 0.0:
            return Undefined("the returns do not vary, so they have no skewness or kurtosis")
        centred = returns - returns.mean()
        square = centred * centred
        variance = square.mean()
        skewness = float((square * centred).mean() / variance**1.5)
        kurtosis = float((square * square).mean() / variance**2 - 3.0)
        belief = CornishFisher(float(returns.mean()), float(returns.std(ddof=1)), skewness, kurtosis)
        if not belief.is_monotone():
            return Undefined(
                f"skewness {skewness:.2f} with excess kurtosis {kurtosis:.2f} lies outside the domain in which the "
                "Cornish-Fisher expansion is a quantile function"
            )
        return belief


@VAR_METHODS.add("student_t")
class StudentTModel(TailModel):
    """Student's t by maximum likelihood, with more than two degrees of freedom.

    ``VaR = location + scale * t_nu^-1(1 - level)``.

    References
    ----------
    McNeil, A., Frey, R. and Embrechts, P. (2015). Quantitative Risk Management, 2nd ed., section 2.3.
    """

    estimated = True
    belief_: Distribution

    def fit(self, returns: Array) -> Self:
        """See :meth:`TailModel.fit`."""
        if np.ptp(returns) == 0.0:
            self.belief_ = Undefined("the returns do not vary, so there is no scale to estimate")
        else:
            self.belief_ = StudentT(*fit_student_t(returns))
        return self

    def predict(self, returns: Array) -> Distribution:
        """See :meth:`TailModel.predict`."""
        return self.belief_


@VAR_METHODS.add("ewma")
class Ewma(TailModel):
    """Normal around zero with exponentially weighted variance (RiskMetrics).

    ``VaR = sigma z`` with ``sigma^2 = sum_k 0.94^k r[T-k]^2 / sum_k 0.94^k``.

    References
    ----------
    RiskMetrics Technical Document, 4th ed. (1996), section 5.2. J. P. Morgan.
    """

    def predict(self, returns: Array) -> Distribution:
        """See :meth:`TailModel.predict`."""
        return Normal(0.0, float(np.sqrt(ewma_variance(returns)[-1])))

    def paths(self, returns: Array, *, horizon: int, count: int, rng: np.random.Generator) -> Array | Undefined:
        """Filtered: each simulated return moves the variance of the next."""
        shocks = rng.standard_normal((count, horizon))
        variance = np.full(count, ewma_variance(returns)[-1])
        drawn = np.empty_like(shocks)
        for step in range(horizon):
            drawn[:, step] = np.sqrt(variance) * shocks[:, step]
            variance = EWMA_DECAY * variance + (1.0 - EWMA_DECAY) * drawn[:, step] ** 2
        return drawn


@VAR_METHODS.add("fhs")
class FilteredHistorical(TailModel):
    """GARCH(1,1)-filtered historical simulation (Barone-Adesi, Giannopoulos and Vosper, 1999).

    Past returns divided by their conditional volatility are drawn again, times today's:
    ``VaR = m + sigma[T+1] * quantile((r[t] - m) / sigma[t], 1 - level)``.

    References
    ----------
    Barone-Adesi, G., Giannopoulos, K. and Vosper, L. (1999). VaR without correlations for portfolios of derivative
    securities. Journal of Futures Markets 19(5).
    """

    minimum = GARCH_MINIMUM
    estimated = True
    garch_: Garch | Undefined

    def fit(self, returns: Array) -> Self:
        """See :meth:`TailModel.fit`; keeps the last estimate where the optimiser does not converge on newer data."""
        try:
            self.garch_ = fit_garch(returns)
        except ComputeError as error:
            if not isinstance(getattr(self, "garch_", None), Garch):
                self.garch_ = Undefined(str(error))
        return self

    def predict(self, returns: Array) -> Distribution:
        """See :meth:`TailModel.predict`."""
        if isinstance(self.garch_, Undefined):
            return self.garch_
        sigma = self.garch_.filter(returns)
        centre = self.garch_.mean
        return Empirical(centre + sigma[-1] * (returns - centre) / sigma[:-1])

    def paths(self, returns: Array, *, horizon: int, count: int, rng: np.random.Generator) -> Array | Undefined:
        """Filtered: each simulated return moves the variance of the next."""
        if isinstance(self.garch_, Undefined):
            return self.garch_
        sigma = self.garch_.filter(returns)
        shocks = (returns - self.garch_.mean) / sigma[:-1]
        return self.garch_.paths(float(sigma[-1]), rng.choice(shocks, size=(count, horizon)))


@VAR_METHODS.add("evt")
class ExtremeValue(TailModel):
    """Peaks over threshold: a generalised Pareto tail beyond the worst tenth of the returns, at least 50 of them.

    With ``u`` the threshold, ``share`` the part of the returns beyond it, ``xi`` and ``beta`` the tail's shape and
    scale::

        VaR = -(u + beta / xi * (((1 - level) / share)^-xi - 1))

    References
    ----------
    McNeil, A. and Frey, R. (2000). Estimation of tail-related risk measures for heteroscedastic financial time
    series. Journal of Empirical Finance 7(3-4).
    """

    minimum = 500
    estimated = True
    exceedances: ClassVar[int] = 50
    share: ClassVar[float] = 0.10
    belief_: Distribution

    def fit(self, returns: Array) -> Self:
        """See :meth:`TailModel.fit`."""
        losses = np.sort(-returns)[::-1]
        count = max(self.exceedances, round(self.share * len(losses)))
        threshold = float(losses[count])
        excess = losses[:count] - threshold
        # Ties at the threshold (a price that often does not move) leave zeros, which no Pareto produces.
        beyond = int((excess > 0).sum())
        if threshold <= 0.0 or beyond < self.exceedances:
            self.belief_ = Undefined(
                f"{beyond} losses lie beyond a threshold of {threshold:.4f}; evt needs {self.exceedances} "
                "beyond a positive one"
            )
            return self
        xi, beta = fit_pareto(excess[:beyond])
        share = beyond / len(losses)
        self.belief_ = PeaksOverThreshold(returns, threshold=threshold, share=share, xi=xi, beta=beta)
        return self

    def predict(self, returns: Array) -> Distribution:
        """See :meth:`TailModel.predict`."""
        return self.belief_


def ewma_variance(returns: Array, *, decay: float = EWMA_DECAY) -> Array:
    """Exponentially weighted mean of squared returns, shape (T,): entry t is the variance of the period after t.

    ``sum_i decay^i r[t-i]^2 / sum_i decay^i``: normalised, so that no value has to be guessed for the start.

    References
    ----------
    RiskMetrics Technical Document, 4th ed. (1996), section 5.2. J. P. Morgan.
    """
    from scipy.signal import lfilter

    total = lfilter([1.0], [1.0, -decay], returns * returns)
    weight = (1.0 - decay ** np.arange(1, len(returns) + 1)) / (1.0 - decay)
    return np.asarray(total / weight, dtype=np.float64)


def fit_student_t(returns: Array) -> tuple[float, float, float]:
    """Location, scale and degrees of freedom in [2.05, 500] by maximum likelihood."""
    from scipy import optimize

    digamma, gammaln = scipy.special.digamma, scipy.special.gammaln
    centre, spread = float(np.median(returns)), float(returns.std(ddof=1))
    y = (returns - centre) / spread
    n = len(y)

    def loss(theta: Array) -> tuple[float, Array]:
        location, log_scale, nu = theta
        scale = np.exp(log_scale)
        z = (y - location) / scale
        square = z * z
        log_term = np.log1p(square / nu).sum()
        ratio = (nu + 1.0) / (nu + square)
        constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi) - log_scale
        pull = (ratio * square).sum()
        slope = 0.5 * (n * (digamma((nu + 1) / 2) - digamma(nu / 2) - 1.0 / nu) - log_term + pull / nu)
        value = n * constant - (nu + 1) / 2 * log_term
        gradient = np.array([(ratio * z).sum() / scale, pull - n, slope])
        return -value / n, -gradient / n

    start = np.array([0.0, np.log(0.75), 5.0])
    bounds = [(None, None), (-12.0, 3.0), (2.05, 500.0)]
    found = optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500}
    ).x
    return centre + spread * float(found[0]), spread * float(np.exp(found[1])), float(found[2])


def fit_pareto(excess: Array) -> tuple[float, float]:
    """Shape ``xi`` (at least -0.5) and scale ``beta`` of a generalised Pareto by maximum likelihood.

    The likelihood is reduced to one dimension, ``theta = xi / beta``, for which ``xi`` is the mean of
    ``log(1 + theta y)`` (Grimshaw, 1993, Technometrics 35).
    """
    from scipy import optimize

    mean = float(excess.mean())
    y = excess / mean

    def loss(theta: float) -> float:
        if abs(theta) < 1e-9:
            return float(np.log(y.mean()) + 1.0)
        xi = float(np.log1p(theta * y).mean())
        return np.log(xi / theta) + xi + 1.0 if xi > -0.5 else np.inf

    lowest = -1.0 / float(y.max())
    grid = np.concatenate([lowest * np.linspace(0.999, 0.02, 40), [0.0], np.geomspace(0.02, 50.0, 60)])
    values = np.array([loss(theta) for theta in grid])
    best = int(np.argmin(values))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    theta = float(optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-10}).x)
    if abs(theta) < 1e-9:
        return 0.0, mean
    xi = float(np.log1p(theta * y).mean())
    return xi, xi / theta * mean
