"""Tests of VaR breaches: are there as many as the level says, and do they come independently?

The asymptotic chi-square p-values are off at the sizes that VaR is tested with (Kupiec's at 99 % over 250 days rejects
a correct model 9.5 % of the time at a nominal 5 %). The p-values here are exact: the distribution of each statistic is
enumerated, over the number of breaches and over their arrangements. They are what Monte-Carlo p-values converge to,
without the noise.

Throughout ``0 log 0 = 0``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quantkit.core.errors import DataError, UsageError
from quantkit.core.results import Result

__all__ = [
    "SIGNIFICANCE",
    "CoverageTest",
    "Zone",
    "conditional_coverage",
    "conditional_critical",
    "coverage_ratio",
    "independence",
    "independence_ratio",
    "kupiec",
    "kupiec_critical",
    "kupiec_power",
    "traffic_light",
    "transitions",
]

Array: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64] | Array
Zone = Literal["green", "yellow", "red"]

#: A model is called rejected where a p-value falls below this.
SIGNIFICANCE: Final = 0.05
# Statistics that are equal on paper differ in their last bits.
_TIE: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class CoverageTest(Result):
    """One likelihood-ratio test.

    Attributes
    ----------
    name : {"kupiec", "independence", "conditional_coverage"}
    statistic : float
        Likelihood ratio, at least 0.
    p_value : float
        Exact probability, if the model is right, of a statistic at least as large; NaN where `note` says why.
    p_asymptotic : float
        From the chi-square distribution, for comparison with other software.
    note : str
        What limits the test, empty where nothing does.
    """

    name: str
    statistic: float
    p_value: float
    p_asymptotic: float
    note: str

    @property
    def rejects(self) -> bool:
        """Whether the p-value is below 5 %."""
        return self.p_value < SIGNIFICANCE


def kupiec(breaches: int, observations: int, *, level: float) -> CoverageTest:
    """Proportion-of-failures test: is the breach probability ``1 - level``?

    With ``x`` breaches in ``n`` days and ``p = 1 - level``::

        LR = -2 ln(p^x (1 - p)^(n - x) / ((x / n)^x (1 - x / n)^(n - x)))

    The p-value is the probability, under the null, of counts whose LR is at least that.

    Parameters
    ----------
    breaches, observations : int
        Days on which the return fell below the VaR, and days in all.
    level : float

    Returns
    -------
    CoverageTest
        With that p-value, and the asymptotic one (chi-square with 1 degree of freedom) beside it.

    References
    ----------
    Kupiec, P. (1995). Techniques for verifying the accuracy of risk measurement models. Journal of Derivatives 3(2).

    Examples
    --------
    J. P. Morgan's 20 exceptions in 252 days of 1998 (Jorion, 2006, chapter 6):

    >>> round(kupiec(20, 252, level=0.95).statistic, 2)
    3.91
    """
    _check_counts(breaches, observations)
    p = 1.0 - level
    statistic = float(coverage_ratio(np.array(breaches), np.array(observations), p))
    x = np.arange(observations + 1)
    probability = np.exp(_log_binomial(x, observations, p))
    extreme = coverage_ratio(x, np.array(observations), p) >= statistic - _TIE
    expected = p * observations
    note = f"{expected:.1f} breaches expected: too few for the test to tell much" if expected < 5 else ""
    return CoverageTest("kupiec", statistic, _bounded(probability[extreme].sum()), _chi_square(statistic, 1), note)


def independence(hits: NDArray[np.bool_]) -> CoverageTest:
    """Christoffersen's independence test: is a breach as likely after a breach as after none?

    With ``n_ij`` the days in state j that follow one in state i (1 is a breach), ``q_i = n_i1 / (n_i0 + n_i1)`` and
    ``q`` the share of breaches in all of them::

        LR = -2 ln((1 - q)^(n_00 + n_10) q^(n_01 + n_11) / ((1 - q_0)^n_00 q_0^n_01 (1 - q_1)^n_10 q_1^n_11))

    Parameters
    ----------
    hits : bool array, shape (n,)
        Whether each day was a breach, in order.

    Returns
    -------
    CoverageTest
        The p-value is over all arrangements of as many breaches, so that it does not depend on their probability.
        NaN with fewer than two breaches.

    References
    ----------
    Christoffersen, P. (1998). Evaluating interval forecasts. International Economic Review 39.
    """
    n, x = len(hits), int(hits.sum())
    if x < 2 or n - x < 2:
        few = "breaches" if x < 2 else "days without a breach"
        return CoverageTest(
            "independence", float("nan"), float("nan"), float("nan"), f"too few {few} ({min(x, n - x)})"
        )
    statistic = float(independence_ratio(*transitions(hits)))
    _, log_weight, counts = _arrangements(n, np.array([x]), reach=x, log_probability=np.zeros(1))
    weight = np.exp(log_weight - log_weight.max())
    p_value = weight[independence_ratio(*counts) >= statistic - _TIE].sum() / weight.sum()
    note = f"{x} breaches: too few for the test to tell much" if x < 5 else ""
    return CoverageTest("independence", statistic, _bounded(p_value), _chi_square(statistic, 1), note)


def conditional_coverage(hits: NDArray[np.bool_], *, level: float) -> CoverageTest:
    """Christoffersen's joint test: right number of breaches, and independent.

    ``LR = LR of kupiec + LR of independence``; its p-value is over every sequence that independent breaches of
    probability ``1 - level`` can form.

    References
    ----------
    Christoffersen, P. (1998). Evaluating interval forecasts. International Economic Review 39. Jorion, P. (2006).
    Value at Risk, 3rd ed., chapter 6.
    """
    n, x, p = len(hits), int(hits.sum()), 1.0 - level
    _check_counts(x, n)
    counts = transitions(hits)
    statistic = float(coverage_ratio(np.array(x), np.array(n), p) + independence_ratio(*counts))
    probability, ratios = _null_distribution(n, p)
    note = f"{x} breaches: too few to tell whether they cluster" if x < 2 else ""
    return CoverageTest(
        "conditional_coverage",
        statistic,
        _bounded(probability[ratios >= statistic - _TIE].sum()),
        _chi_square(statistic, 2),
        note,
    )


def kupiec_power(observations: int, *, level: float, true_probability: float) -> float:
    """Probability that :func:`kupiec` rejects at 5 % when breaches really have `true_probability`.

    ``sum of Binomial(x; n, true_probability)`` over the counts ``x`` that are rejected. A model that is not rejected by
    a test of low power has passed nothing.

    References
    ----------
    Kupiec, P. (1995). Techniques for verifying the accuracy of risk measurement models. Journal of Derivatives 3(2).
    """
    x = np.arange(observations + 1)
    ratios = coverage_ratio(x, np.array(observations), 1.0 - level)
    rejected = ratios >= kupiec_critical(observations, 1.0 - level) - _TIE
    return _bounded(np.exp(_log_binomial(x, observations, true_probability))[rejected].sum())


def traffic_light(breaches: int, observations: int, *, level: float) -> Zone:
    """Zone of the cumulative binomial probability of `breaches`: yellow from 95 %, red from 99.99 %.

    ``P(X <= breaches)`` for ``X`` binomial over `observations` with probability ``1 - level``. At 99 % over 250 days
    these are the zones of the Basel Committee: green to 4, red from 10.

    References
    ----------
    Basel Committee on Banking Supervision (1996). Supervisory framework for the use of "backtesting".

    Examples
    --------
    >>> [traffic_light(x, 250, level=0.99) for x in (4, 5, 9, 10)]
    ['green', 'yellow', 'yellow', 'red']
    """
    _check_counts(breaches, observations)
    probability = np.exp(_log_binomial(np.arange(breaches + 1), observations, 1.0 - level)).sum()
    if probability >= 0.9999:
        return "red"
    return "yellow" if probability >= 0.95 else "green"


def transitions(hits: NDArray[np.bool_]) -> tuple[Array, Array, Array, Array]:
    """``n00, n01, n10, n11``: days without and with a breach that follow a day without and with one."""
    before, after = hits[:-1], hits[1:]
    return (
        np.array(float((~before & ~after).sum())),
        np.array(float((~before & after).sum())),
        np.array(float((before & ~after).sum())),
        np.array(float((before & after).sum())),
    )


def coverage_ratio(breaches: Counts, observations: Counts, p: float) -> Array:
    """Kupiec's likelihood ratio, element by element."""
    x, n = np.asarray(breaches, dtype=np.float64), np.asarray(observations, dtype=np.float64)
    share = x / np.maximum(n, 1.0)
    free = _xlogy(x, share) + _xlogy(n - x, 1.0 - share)
    return np.maximum(2.0 * (free - x * np.log(p) - (n - x) * np.log1p(-p)), 0.0)


def independence_ratio(n00: Array, n01: Array, n10: Array, n11: Array) -> Array:
    """Christoffersen's likelihood ratio of a first-order Markov chain over independence, element by element.

    Examples
    --------
    Jorion's table for J. P. Morgan 1998: 20 breaches, six of them the day after another.

    >>> round(float(independence_ratio(*map(np.array, (218.0, 14.0, 14.0, 6.0)))), 2)
    9.53
    """
    after_none, after_hit = n00 + n01, n10 + n11
    total = after_none + after_hit
    hits = n01 + n11
    chain = _xlogy(n00, n00 / np.maximum(after_none, 1.0)) + _xlogy(n01, n01 / np.maximum(after_none, 1.0))
    chain = chain + _xlogy(n10, n10 / np.maximum(after_hit, 1.0)) + _xlogy(n11, n11 / np.maximum(after_hit, 1.0))
    free = _xlogy(total - hits, 1.0 - hits / np.maximum(total, 1.0)) + _xlogy(hits, hits / np.maximum(total, 1.0))
    return np.maximum(2.0 * (chain - free), 0.0)


@lru_cache(maxsize=4096)
def kupiec_critical(observations: int, p: float) -> float:
    """Smallest Kupiec ratio that is rejected at 5 %; infinite where none is."""
    x = np.arange(observations + 1)
    return _critical(np.exp(_log_binomial(x, observations, p)), coverage_ratio(x, np.array(observations), p))


@lru_cache(maxsize=4096)
def conditional_critical(observations: int, p: float) -> float:
    """Smallest conditional-coverage ratio that is rejected at 5 %; infinite where none is."""
    return _critical(*_null_distribution(observations, p))


def _critical(probability: Array, ratios: Array) -> float:
    order = np.argsort(-ratios, kind="stable")
    beyond = np.cumsum(probability[order])
    allowed = int(np.searchsorted(beyond, SIGNIFICANCE, side="left"))
    if allowed == len(order):
        return float("inf")
    # The first ratio that may not be rejected; ties with it may not be either.
    barrier = ratios[order[allowed]] + _TIE
    rejected = ratios[ratios > barrier]
    return float(rejected.min()) if len(rejected) else float("inf")


def _null_distribution(n: int, p: float) -> tuple[Array, Array]:
    """Probabilities and conditional-coverage ratios of the distinguishable sequences of n independent breaches."""
    centre, width = n * p, 8.0 * np.sqrt(n * p * (1.0 - p)) + 10.0
    x = np.arange(max(int(centre - width), 0), min(int(centre + width), n) + 1)
    # Clusters beyond this are too improbable for their probability to show in a p-value.
    expected = x[-1] ** 2 / n
    reach = min(int(expected + 8.0 * np.sqrt(expected) + 10.0), int(x[-1]))
    hits, log_weight, counts = _arrangements(n, x, reach=reach, log_probability=x * np.log(p) + (n - x) * np.log1p(-p))
    return np.exp(log_weight), coverage_ratio(hits, np.array(n), p) + independence_ratio(*counts)


def _arrangements(
    n: int, x: NDArray[np.int64], *, reach: int, log_probability: Array
) -> tuple[NDArray[np.int64], Array, tuple[Array, Array, Array, Array]]:
    """Sequences of n days with x breaches, gathered by their transition counts.

    Parameters
    ----------
    reach : int
        Most pairs of adjacent breaches that are looked at.
    log_probability : array, like `x`
        Of one sequence with so many breaches.

    Returns
    -------
    breaches, log probability and transition counts of each group, without those below ``e^-40`` of the likeliest.
    """
    log_factorial = _log_factorials(n + 1)

    def log_choose(a: NDArray[np.int64], b: NDArray[np.int64]) -> Array:
        possible = (b >= 0) & (b <= a)
        a, b = np.where(possible, a, 0), np.where(possible, b, 0)
        return np.where(possible, log_factorial[a] - log_factorial[b] - log_factorial[a - b], -np.inf)

    # Sequences with breaches and days without: runs of breaches are cut out of x, the gaps between out of n - x.
    mixed = (x > 0) & (x < n)
    hits, pairs = x[mixed, None], np.arange(reach + 1)[None, :]
    runs, quiet = hits - pairs, n - x[mixed, None]
    splits = log_choose(hits - 1, runs - 1) + log_probability[mixed, None]
    found = []
    for ends in (0, 1, 2):
        log_weight = splits + log_choose(quiet - 1, runs - ends) + (np.log(2.0) if ends == 1 else 0.0)
        keep = log_weight > log_weight.max(initial=-np.inf) - 40.0
        row, column = np.nonzero(keep)
        found.append((hits[row, 0], log_weight[keep], pairs[0, column], np.full(len(row), ends)))
    # The sequences that are all of one kind.
    pure = ~mixed
    found.append((x[pure], log_probability[pure], np.maximum(x[pure] - 1, 0), np.where(x[pure] > 0, 2, 0)))
    breaches, log_weight, adjacent, closed = (np.concatenate(each) for each in zip(*found, strict=True))
    n11 = adjacent.astype(np.float64)
    runs = np.where(breaches > 0, breaches - adjacent, 0)
    # With one end a breach, first and last are equally likely and have the same ratio: take it as the first.
    n01 = (runs - (closed >= 1)).clip(min=0).astype(np.float64)
    n10 = (runs - (closed == 2)).clip(min=0).astype(np.float64)
    return breaches, log_weight, ((n - 1) - n11 - n01 - n10, n01, n10, n11)


@lru_cache(maxsize=64)
def _log_factorials(n: int) -> Array:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])


def _log_binomial(x: NDArray[np.int64], n: int, p: float) -> Array:
    log_factorial = _log_factorials(n)
    return log_factorial[n] - log_factorial[x] - log_factorial[n - x] + x * np.log(p) + (n - x) * np.log1p(-p)


def _xlogy(x: Array, y: Array) -> Array:
    return np.where(x > 0, x * np.log(np.where(y > 0, y, 1.0)), 0.0)


def _chi_square(statistic: float, freedom: int) -> float:
    from scipy.special import chdtrc

    return float(chdtrc(freedom, statistic))


def _bounded(probability: float) -> float:
    return float(min(max(probability, 0.0), 1.0))


def _check_counts(breaches: int, observations: int) -> None:
    if observations < 1:
        raise DataError(f"{observations} observations; a backtest needs at least 1")
    if not 0 <= breaches <= observations:
        raise UsageError(f"{breaches} breaches in {observations} observations is not possible")
