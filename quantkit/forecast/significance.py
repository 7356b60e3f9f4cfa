"""Whether one forecast is better than another by more than luck."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quantkit.core.errors import DataError

__all__ = ["Comparison", "clark_west", "diebold_mariano", "holm", "long_run_variance"]


class Comparison(NamedTuple):
    """A test of equal accuracy: `statistic` is positive where the model did better than the benchmark."""

    statistic: float
    p_value: float


def long_run_variance(values: np.ndarray, lags: int) -> float:
    """Variance of ``sqrt(n)`` times the mean, with Bartlett weights ``1 - k / (lags + 1)``.

    References
    ----------
    Newey, W. K. and West, K. D. (1987). A simple, positive semi-definite, heteroskedasticity and autocorrelation
    consistent covariance matrix. Econometrica 55(3).
    """
    centred = values - values.mean()
    count = len(values)
    total = float(centred @ centred)
    for lag in range(1, min(lags, count - 1) + 1):
        total += 2.0 * (1.0 - lag / (lags + 1.0)) * float(centred[lag:] @ centred[:-lag])
    return total / count


def diebold_mariano(loss_benchmark: np.ndarray, loss_model: np.ndarray, *, horizon: int = 1) -> Comparison:
    """One-sided test that the model's expected loss is below the benchmark's, small-sample corrected.

    With ``d = loss_benchmark - loss_model`` and ``V`` its long-run variance with ``horizon - 1`` Bartlett lags, the
    statistic is ``mean(d) / sqrt(V / n) * sqrt((n + 1 - 2h + h (h - 1) / n) / n)``, held against Student's t with
    ``n - 1`` degrees of freedom.

    Parameters
    ----------
    loss_benchmark, loss_model : array, shape (n,)
        Losses of the same forecasts, for instance absolute errors; pairs with a NaN are left out.
    horizon : int
        Steps ahead of the forecasts: errors of overlapping outcomes are correlated over ``horizon - 1`` lags.

    Returns
    -------
    Comparison
        Where all losses agree the statistic is 0 and the p-value 1.

    Raises
    ------
    DataError
        Fewer than ``2 * horizon`` or 10 pairs.

    References
    ----------
    Diebold, F. X. and Mariano, R. S. (1995). Comparing predictive accuracy. JBES 13(3). Harvey, D., Leybourne, S. and
    Newbold, P. (1997). Testing the equality of prediction mean squared errors. IJF 13(2).
    """
    difference = loss_benchmark - loss_model
    difference = difference[~np.isnan(difference)]
    count = len(difference)
    if count < max(10, 2 * horizon):
        raise DataError(f"{count} forecasts are too few to compare at {horizon} steps: {max(10, 2 * horizon)} needed")
    variance = long_run_variance(difference, horizon - 1)
    correction = (count + 1.0 - 2.0 * horizon + horizon * (horizon - 1.0) / count) / count
    return _compare(difference, variance, np.sqrt(correction), degrees=count - 1)


def clark_west(outcomes: np.ndarray, benchmark: np.ndarray, model: np.ndarray, *, horizon: int = 1) -> Comparison:
    """One-sided test of squared errors for a model in which the benchmark is nested.

    Under the null the larger model's squared error is inflated by its estimation noise, the mean of
    ``(benchmark - model)**2``, which is added back: ``f = e0**2 - (e1**2 - (benchmark - model)**2)`` is held against
    the normal distribution, with Bartlett weights over ``horizon - 1`` lags.

    Parameters
    ----------
    outcomes, benchmark, model : array, shape (n,)
        What came, and the two forecasts of it; rows with a NaN are left out.
    horizon : int

    References
    ----------
    Clark, T. E. and West, K. D. (2007). Approximately normal tests for equal predictive accuracy in nested models.
    Journal of Econometrics 138(1).
    """
    adjusted = (outcomes - benchmark) ** 2 - (outcomes - model) ** 2 + (benchmark - model) ** 2
    adjusted = adjusted[~np.isnan(adjusted)]
    if len(adjusted) < max(10, 2 * horizon):
        raise DataError(
            f"{len(adjusted)} forecasts are too few to compare at {horizon} steps: {max(10, 2 * horizon)} needed"
        )
    return _compare(adjusted, long_run_variance(adjusted, horizon - 1), 1.0, degrees=None)


def _compare(values: np.ndarray, variance: float, correction: float, *, degrees: int | None) -> Comparison:
    from scipy.special import ndtr, stdtr

    if not np.any(values):
        return Comparison(0.0, 1.0)
    mean = float(values.mean())
    if not variance > 0.0:
        return Comparison(0.0, 1.0) if mean <= 0.0 else Comparison(float("inf"), 0.0)
    statistic = float(correction * mean / np.sqrt(variance / len(values)))
    p_value = ndtr(-statistic) if degrees is None else stdtr(degrees, -statistic)
    return Comparison(statistic, float(p_value))


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values adjusted so that the chance of any false claim among them stays at the size of one test.

    NaN stands for a test that was not made: it stays NaN and does not count.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6(2).
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(p_values.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p_values))
    order = made[np.argsort(p_values[made], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted
