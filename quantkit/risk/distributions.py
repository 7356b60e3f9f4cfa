"""Predictive distributions of a return: what a VaR method believes about the next period.

Each answers three questions: which value lies at a probability, what the mean below it is, and what a uniform draw
becomes. Values are returns of the position asked about, so that a loss is negative for long and short alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = [
    "CornishFisher",
    "Distribution",
    "Empirical",
    "Normal",
    "PeaksOverThreshold",
    "StudentT",
    "Undefined",
    "normal_density",
]

Array: TypeAlias = NDArray[np.float64]


class Distribution(Protocol):
    """Belief about one return."""

    def quantile(self, p: float) -> float:
        """Value that the return falls below with probability `p`."""

    def tail_mean(self, p: float) -> float:
        """Mean of the returns in the lower tail that has probability `p`."""

    def draw(self, u: Array) -> Array:
        """Returns that uniform draws `u` in (0, 1) become, by the inverse of the distribution function."""


def normal_density(z: float) -> float:
    """Standard normal density at `z`."""
    return float(np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi))


class Empirical:
    """Equally likely outcomes.

    The quantile interpolates linearly between order statistics (type 7 of Hyndman and Fan, 1996, which is numpy's).
    The tail mean is that of the worst ``n p`` observations, the last of them with the fraction that remains
    (Acerbi and Tasche, 2002, equation 4.3); it never lies above the quantile.
    """

    __slots__ = ("ordered",)

    def __init__(self, outcomes: Array) -> None:
        self.ordered = np.sort(outcomes)

    def quantile(self, p: float) -> float:
        """See :meth:`Distribution.quantile`."""
        position = (len(self.ordered) - 1) * p
        below = int(position)
        above = min(below + 1, len(self.ordered) - 1)
        low, high = float(self.ordered[below]), float(self.ordered[above])
        return low + (high - low) * (position - below)

    def tail_mean(self, p: float) -> float:
        """See :meth:`Distribution.tail_mean`."""
        count = len(self.ordered) * p
        whole = int(count)
        fraction = count - whole
        total = float(self.ordered[:whole].sum())
        if fraction > 0.0:
            total += fraction * float(self.ordered[whole])
        return total / count

    def draw(self, u: Array) -> Array:
        """See :meth:`Distribution.draw`; whole observations, so that draws below `p` average to the tail mean."""
        return self.ordered[np.minimum((u * len(self.ordered)).astype(np.intp), len(self.ordered) - 1)]


@dataclass(frozen=True, slots=True)
class Normal:
    """Gaussian with `mean` and standard deviation `scale`."""

    mean: float
    scale: float

    def quantile(self, p: float) -> float:
        """See :meth:`Distribution.quantile`."""
        return float(self.mean + self.scale * scipy.special.ndtri(p))

    def tail_mean(self, p: float) -> float:
        """See :meth:`Distribution.tail_mean`."""
        return self.mean - self.scale * normal_density(float(scipy.special.ndtri(p))) / p

    def draw(self, u: Array) -> Array:
        """See :meth:`Distribution.draw`."""
        return np.asarray(self.mean + self.scale * scipy.special.ndtri(u), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class StudentT:
    """Student's t with location, scale and `nu` degrees of freedom (above 1, else the tail has no mean)."""

    location: float
    scale: float
    nu: float

    def quantile(self, p: float) -> float:
        """See :meth:`Distribution.quantile`."""
        return float(self.location + self.scale * scipy.special.stdtrit(self.nu, p))

    def tail_mean(self, p: float) -> float:
        """``location - scale * f(q) / p * (nu + q^2) / (nu - 1)`` (McNeil, Frey and Embrechts, 2015, eq. 2.25)."""
        nu, q = self.nu, float(scipy.special.stdtrit(self.nu, p))
        log_density = (
            scipy.special.gammaln((nu + 1) / 2)
            - scipy.special.gammaln(nu / 2)
            - 0.5 * np.log(nu * np.pi)
            - (nu + 1) / 2 * np.log1p(q * q / nu)
        )
        return float(self.location - self.scale * np.exp(log_density) / p * (nu + q * q) / (nu - 1))

    def draw(self, u: Array) -> Array:
        """See :meth:`Distribution.draw`."""
        return np.asarray(self.location + self.scale * scipy.special.stdtrit(self.nu, u), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class CornishFisher:
    """Normal quantiles bent by skewness and excess kurtosis, third order (Cornish and Fisher, 1938).

    With ``z`` the normal quantile, ``S`` the skewness and ``K`` the excess kurtosis::

        w(z) = z + (z^2 - 1) S / 6 + (z^3 - 3 z) K / 24 - (2 z^3 - 5 z) S^2 / 36

    `w` is a quantile function only where it increases everywhere (:meth:`is_monotone`).
    """

    mean: float
    scale: float
    skewness: float
    excess_kurtosis: float

    def is_monotone(self) -> bool:
        """Whether ``w'(z) > 0`` for every z (Maillard, 2012): outside this domain quantiles would cross."""
        S, K = self.skewness, self.excess_kurtosis
        a, b, c = K / 8 - S * S / 6, S / 3, 1 - K / 8 + 5 * S * S / 36
        if a == 0.0:
            return b == 0.0 and c > 0
        return a > 0 and b * b < 4 * a * c

    def quantile(self, p: float) -> float:
        """See :meth:`Distribution.quantile`."""
        return float(self.draw(np.array([p]))[0])

    def tail_mean(self, p: float) -> float:
        """Integral of ``w`` over the normal tail, in closed form.

        ``mean - scale * phi(z) / p * (1 + z S / 6 + (z^2 - 1) K / 24 - (2 z^2 - 1) S^2 / 36)``
        """
        z = float(scipy.special.ndtri(p))
        S, K = self.skewness, self.excess_kurtosis
        bend = 1 + z * S / 6 + (z * z - 1) * K / 24 - (2 * z * z - 1) * S * S / 36
        return self.mean - self.scale * normal_density(z) / p * bend

    def draw(self, u: Array) -> Array:
        """See :meth:`Distribution.draw`."""
        z = np.asarray(scipy.special.ndtri(u), dtype=np.float64)
        S, K = self.skewness, self.excess_kurtosis
        square = z * z
        w = z + (square - 1) * S / 6 + z * (square - 3) * K / 24 - z * (2 * square - 5) * S * S / 36
        return np.asarray(self.mean + self.scale * w, dtype=np.float64)


class PeaksOverThreshold:
    """Empirical body with a generalised Pareto lower tail (McNeil, Frey and Embrechts, 2015, section 5.2.3).

    Losses beyond `threshold` (a positive loss) exceed it by a generalised Pareto amount with shape `xi` and scale
    `beta`; `share` of the observations do.
    """

    __slots__ = ("beta", "body", "share", "threshold", "xi")

    def __init__(self, outcomes: Array, *, threshold: float, share: float, xi: float, beta: float) -> None:
        self.body = Empirical(outcomes)
        self.threshold, self.share, self.xi, self.beta = threshold, share, xi, beta

    def quantile(self, p: float) -> float:
        """See :meth:`Distribution.quantile`; inside the body it is the empirical one."""
        return float(self._tail(np.array([p]))[0]) if p <= self.share else self.body.quantile(p)

    def tail_mean(self, p: float) -> float:
        """See :meth:`Distribution.tail_mean`; NaN where ``xi >= 1``, since that tail has no mean."""
        if self.xi >= 1.0:
            return float("nan")
        if p <= self.share:
            loss = -self.quantile(p)
            return -(loss + self.beta - self.xi * self.threshold) / (1.0 - self.xi)
        tail = -(self.threshold + self.beta / (1.0 - self.xi))
        between = self.body.tail_mean(p) * p - self.body.tail_mean(self.share) * self.share
        return (tail * self.share + between) / p

    def draw(self, u: Array) -> Array:
        """See :meth:`Distribution.draw`."""
        return np.where(u <= self.share, self._tail(np.minimum(u, self.share)), self.body.draw(u))

    def _tail(self, u: Array) -> Array:
        # boxcox1p-like form keeps the limit xi -> 0, which is the exponential tail.
        log_ratio = np.log(u / self.share)
        stretch = -log_ratio if abs(self.xi) < 1e-12 else np.expm1(-self.xi * log_ratio) / self.xi
        return -(self.threshold + self.beta * stretch)


@dataclass(frozen=True, slots=True)
class Undefined:
    """No belief, and why: every answer is NaN, and whoever shows it shows `reason` beside it."""

    reason: str

    def quantile(self, p: float) -> float:
        """NaN."""
        return float("nan")

    def tail_mean(self, p: float) -> float:
        """NaN."""
        return float("nan")

    def draw(self, u: Array) -> Array:
        """NaN for every draw."""
        return np.full_like(u, np.nan)
