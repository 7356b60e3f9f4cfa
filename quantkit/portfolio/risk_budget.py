"""Equal contributions to risk."""

from __future__ import annotations

import numpy as np

from quantkit.core.errors import ComputeError
from quantkit.portfolio.constraints import Array

__all__ = ["equal_risk", "risk_contributions"]


def risk_contributions(weights: Array, cov: Array) -> Array:
    """Share of the portfolio's variance that each asset contributes, ``w (cov w) / (w cov w)``; sums to one."""
    marginal = cov @ weights
    variance = float(weights @ marginal)
    return weights * marginal / variance if variance > 0.0 else np.zeros(len(weights))


def equal_risk(cov: Array) -> Array:
    """Long-only weights that sum to one and contribute equally to the variance.

    Newton's method on ``y' C y / 2 - sum(log y) / N`` over the correlation matrix C, damped far from the solution; the
    function is self-concordant, so that it converges from anywhere.

    Parameters
    ----------
    cov : array, shape (N, N)
        Positive definite.

    References
    ----------
    Spinu, F. (2013). An algorithm for computing risk parity weights. SSRN 2297383.

    Examples
    --------
    Two assets hold weights in proportion to one over volatility.

    >>> equal_risk(np.array([[0.04, 0.006], [0.006, 0.01]])).round(6).tolist()
    [0.333333, 0.666667]
    """
    volatility = np.sqrt(np.diag(cov))
    correlation = cov / np.outer(volatility, volatility)
    size = len(cov)
    budget = 1.0 / size
    y = np.full(size, 1.0 / np.sqrt(correlation.sum()))
    for _ in range(200):
        gradient = correlation @ y - budget / y
        hessian = correlation + np.diag(budget / y**2)
        step = np.linalg.solve(hessian, gradient)
        decrement = float(np.sqrt(max(gradient @ step, 0.0) / budget))
        y = y - step if decrement < 0.3 else y - step / (1.0 + decrement)
        if decrement < 1e-10:
            break
    else:
        if decrement > 1e-8:
            raise ComputeError("equal risk contributions were not reached; the covariance may be singular")
    weights = y / volatility
    return weights / weights.sum()
