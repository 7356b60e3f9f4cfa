"""How far the weights move when the estimates do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from quantkit.core.errors import ComputeError, UsageError
from quantkit.core.fingerprint import fingerprint as fingerprint_of
from quantkit.core.progress import Progress, silent
from quantkit.core.returns import simple_returns
from quantkit.core.threads import one_thread
from quantkit.portfolio.allocate import Wish, optimize, pose
from quantkit.portfolio.base import Stability
from quantkit.portfolio.constraints import Array, Constraints, as_constraints
from quantkit.portfolio.moments import Moments, estimate_moments
from quantkit.portfolio.objectives import OBJECTIVES
from quantkit.portfolio.universe import MIN_HISTORY, Universe, prepare

__all__ = ["stability"]

#: Not drawn anew for every history: too slow, or not estimated from the history at all.
_NOT_REDRAWN = ("forecast",)


def stability(
    prices: pd.DataFrame,
    *,
    objective: str = "max_sharpe",
    constraints: Constraints | Mapping[str, Any] | None = None,
    current_weights: Mapping[str, float] | pd.Series | None = None,
    draws: int = 100,
    seed: int = 0,
    min_history: int = MIN_HISTORY,
    progress: Progress = silent,
    fingerprint: str = "",
    **options: Any,
) -> Stability:
    """Choose weights again on histories drawn from the same returns, and after moving each expected return.

    Days are drawn with replacement, whole rows at a time, as many as there are; estimates and weights are made anew.
    A draw without an answer is left out and not counted. The second measure raises one asset's expected return by its
    standard error, its volatility over the root of the number of returns.

    Parameters
    ----------
    prices : DataFrame, shape (T, N)
    objective, constraints, current_weights
        As for :func:`~quantkit.portfolio.allocate.optimize`.
    draws : int
    seed : int
    options
        Further ones of :func:`~quantkit.portfolio.allocate.optimize`, such as `expected_returns` or `target_return`.

    References
    ----------
    Michaud, R. (1989). The Markowitz optimization enigma: is 'optimized' optimal? Financial Analysts Journal 45(1).
    Best, M. and Grauer, R. (1991). On the sensitivity of mean-variance-efficient portfolios to changes in asset means.
    Review of Financial Studies 4(2).
    """
    if isinstance(draws, bool) or not isinstance(draws, int) or not 1 <= draws <= 10_000:
        raise UsageError(f"draws {draws!r} is not a whole number from 1 to 10000")
    if options.get("expected_returns") in _NOT_REDRAWN:
        raise UsageError(
            f"expected_returns {options['expected_returns']!r} cannot be drawn anew; choose another estimator"
        )
    limits = as_constraints(constraints)
    base = optimize(
        prices,
        objective=objective,
        constraints=limits,
        current_weights=current_weights,
        min_history=min_history,
        progress=progress,
        **options,
    )
    moments = base.moments
    universe = prepare(prices, min_history=min_history)
    clean = universe.prices[moments.symbols]
    returns = simple_returns(clean).to_numpy()
    wish = Wish(objective, **{name: options[name] for name in Wish.__slots__ if name in options})
    estimate = {
        name: options[name]
        for name in ("expected_returns", "covariance", "views", "market_weights", "risk_free", "periods_per_year")
        if name in options
    }
    known = [*universe.dropped, *moments.symbols]

    def choose(of: Moments, history: Array) -> Array | None:
        try:
            problem = pose(wish, of, history, limits, current=current_weights, known=known)
            return OBJECTIVES[objective](problem)
        except ComputeError:
            return None

    at = base.weights.to_numpy()
    rng = np.random.default_rng(seed)
    drawn = []
    with one_thread():
        for count in range(draws):
            progress(count, draws + len(at), "drawing histories")
            history = returns[rng.integers(0, len(returns), len(returns))]
            again = _prices(history, clean)
            weights = choose(estimate_moments(again, **estimate), history)
            if weights is not None:
                drawn.append(weights)
        shifts = np.full(len(at), np.nan)
        errors = np.sqrt(np.diag(moments.cov.to_numpy()) / moments.observations)
        for asset in range(len(at)):
            progress(draws + asset, draws + len(at), "moving expected returns")
            mu = moments.mu.copy()
            mu.iloc[asset] += errors[asset]
            weights = choose(replace(moments, mu=mu), returns)
            if weights is not None:
                shifts[asset] = _moved(weights, at)
    if not drawn:
        raise ComputeError(f"{objective}: not one of {draws} drawn histories has an answer")
    sample = np.array(drawn)
    lower, upper = np.percentile(sample, [5.0, 95.0], axis=0)
    names = base.weights.index
    return Stability(
        objective=objective,
        weights=base.weights,
        lower=pd.Series(lower, index=names),
        upper=pd.Series(upper, index=names),
        moved=float(np.mean([_moved(each, at) for each in sample])),
        mean_shift=pd.Series(shifts, index=names),
        draws=len(sample),
        as_of=base.as_of,
        fingerprint=fingerprint
        or fingerprint_of({"kind": "stability", "of": base.fingerprint, "draws": draws, "seed": seed}),
    )


def _prices(returns: Array, like: pd.DataFrame) -> Universe:
    """Prices that would have had these returns, at the times of `like`."""
    path = np.vstack([np.ones(returns.shape[1]), (1.0 + returns).cumprod(axis=0)])
    return Universe(pd.DataFrame(path, index=like.index, columns=like.columns), {}, ())


def _moved(weights: Array, other: Array) -> float:
    return float(np.abs(weights - other).sum() / 2.0)
