"""The model confidence set: which models cannot be told from the best one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Final

import numpy as np

from quantkit.core.errors import DataError

__all__ = ["CONFIDENCE_SEED", "CONFIDENCE_SIZE", "confidence_set"]

#: The set holds the best model with probability of at least one minus this.
CONFIDENCE_SIZE: Final = 0.1
#: Of the bootstrap, so that the same losses always give the same set.
CONFIDENCE_SEED: Final = 20110301
_REPLICATIONS: Final = 1000
_FEWEST: Final = 20


def confidence_set(
    losses: Mapping[str, np.ndarray], *, horizon: int = 1, seed: int = CONFIDENCE_SEED
) -> dict[str, float]:
    """Smallest size at which each model would leave the model confidence set.

    Models are put out one by one, the worst first, as long as equal accuracy of those left is refused by the range
    statistic, whose distribution comes from 1,000 replications of the stationary bootstrap with a mean block of
    ``max(horizon, sqrt(n))``. A model is in the set of size 10 % where its value exceeds ``CONFIDENCE_SIZE``.

    Parameters
    ----------
    losses : mapping of arrays, shape (n,)
        Losses at the same origins, by model; origins at which one is NaN are left out.
    horizon : int
        Steps ahead, over which losses overlap.
    seed : int

    Returns
    -------
    dict of str to float
        By model, in [0, 1]; the best one has 1. Models whose losses are the same share one value.

    Raises
    ------
    DataError
        Fewer than 20 origins that all models know.

    References
    ----------
    Hansen, P. R., Lunde, A. and Nason, J. M. (2011). The model confidence set. Econometrica 79(2). Politis, D. N. and
    Romano, J. P. (1994). The stationary bootstrap. JASA 89(428).
    """
    table = np.column_stack(list(losses.values()))
    table = table[~np.isnan(table).any(axis=1)]
    if len(table) < _FEWEST:
        raise DataError(f"{len(table)} forecasts are too few for a model confidence set; {_FEWEST} are needed")
    # Models that said the same have no difference to be tested; one of them stands for all.
    distinct, stands_for = np.unique(table, axis=1, return_inverse=True)
    values = np.ones(distinct.shape[1])
    if len(values) > 1:
        from arch.bootstrap import MCS

        block = max(horizon, round(len(table) ** 0.5))
        test = MCS(distinct, CONFIDENCE_SIZE, reps=_REPLICATIONS, block_size=block, method="R", seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            test.compute()
        values[test.pvalues.index.to_numpy(dtype=int)] = test.pvalues["Pvalue"].to_numpy(dtype=float)
    return dict(zip(losses, values[stands_for.ravel()].tolist(), strict=True))
