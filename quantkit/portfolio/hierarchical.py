"""Hierarchical risk parity."""

from __future__ import annotations

from typing import Literal

import numpy as np

from quantkit.portfolio.constraints import Array

__all__ = ["hierarchical_risk_parity"]

Linkage = Literal["single", "complete", "average", "ward"]


def hierarchical_risk_parity(cov: Array, *, linkage: Linkage = "single", optimal_ordering: bool = True) -> Array:
    """Weights by recursive bisection down the tree of correlations.

    Assets are ordered by hierarchical clustering of the distance ``sqrt((1 - correlation) / 2)``; capital is then
    split between the halves of that order in inverse proportion to the variance of each half's inverse-variance
    portfolio, down to single assets.

    Parameters
    ----------
    cov : array, shape (N, N)
    linkage : {"single", "complete", "average", "ward"}
    optimal_ordering : bool
        Whether neighbours in the order are as near as the tree allows; without it the order depends on that of the
        assets.

    References
    ----------
    López de Prado, M. (2016). Building diversified portfolios that outperform out of sample. Journal of Portfolio
    Management 42(4). Bar-Joseph, Z., Gifford, D. and Jaakkola, T. (2001). Fast optimal leaf ordering for hierarchical
    clustering. Bioinformatics 17.

    Examples
    --------
    >>> hierarchical_risk_parity(np.diag([0.04, 0.01])).round(6).tolist()
    [0.2, 0.8]
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    size = len(cov)
    if size == 1:
        return np.ones(1)
    volatility = np.sqrt(np.diag(cov))
    correlation = np.clip(cov / np.outer(volatility, volatility), -1.0, 1.0)
    distance = np.sqrt(np.clip((1.0 - correlation) / 2.0, 0.0, 1.0))
    distance = (distance + distance.T) / 2.0
    np.fill_diagonal(distance, 0.0)
    tree = hierarchy.linkage(squareform(distance, checks=False), method=linkage, optimal_ordering=optimal_ordering)
    weights = np.ones(size)
    clusters = [hierarchy.leaves_list(tree)]
    while clusters:
        halves = []
        for cluster in clusters:
            if len(cluster) < 2:
                continue
            left, right = cluster[: len(cluster) // 2], cluster[len(cluster) // 2 :]
            risk_left, risk_right = _cluster_variance(cov, left), _cluster_variance(cov, right)
            share = 1.0 - risk_left / (risk_left + risk_right)
            weights[left] *= share
            weights[right] *= 1.0 - share
            halves += [left, right]
        clusters = halves
    return weights


def _cluster_variance(cov: Array, members: np.ndarray) -> float:
    inside = cov[np.ix_(members, members)]
    inverse = 1.0 / np.diag(inside)
    weights = inverse / inverse.sum()
    return float(weights @ inside @ weights)
