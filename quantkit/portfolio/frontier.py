"""The efficient frontier: exact along the critical line, point by point where the limits are beyond it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError, InfeasibleError, UsageError
from quantkit.core.fingerprint import fingerprint as fingerprint_of
from quantkit.core.progress import Progress, silent
from quantkit.core.returns import annualise_mean, annualise_volatility, per_period_rate
from quantkit.core.threads import one_thread
from quantkit.portfolio.base import Frontier
from quantkit.portfolio.constraints import Array, Constraints, as_constraints
from quantkit.portfolio.critical_line import CriticalLine
from quantkit.portfolio.infeasible import diagnose
from quantkit.portfolio.moments import Moments, estimate_moments
from quantkit.portfolio.objectives import OBJECTIVES
from quantkit.portfolio.problem import NoExcessReturnError, Problem
from quantkit.portfolio.programs import InfeasibleProgramError
from quantkit.portfolio.universe import prepare
from quantkit.portfolio.views import View, as_views

__all__ = ["efficient_frontier", "frontier_from_prices", "frontier_of"]

MAX_POINTS = 1000


def efficient_frontier(
    mu: pd.Series,
    cov: pd.DataFrame,
    *,
    bounds: tuple[float, float] | Mapping[str, tuple[float, float]] = (0, 1),
    points: int = 50,
    constraints: Constraints | Mapping[str, Any] | None = None,
    current_weights: Mapping[str, float] | pd.Series | None = None,
    risk_free: float = 0.0,
    periods_per_year: float = 1.0,
    as_of: pd.Timestamp | None = None,
    fingerprint: str = "",
) -> Frontier:
    """The portfolios of least volatility for each expected return, from the least volatile to the highest return.

    Parameters
    ----------
    mu : Series by symbol, shape (N,)
        Expected simple returns per period, decimals.
    cov : DataFrame, shape (N, N)
        Per period, positive definite.
    bounds : pair, or pair by symbol
        Least and most weight of every asset; those of `constraints` count where `constraints` are given.
    points : int
        How many, evenly spaced in expected return.
    constraints : Constraints or its JSON form
        With a fixed budget, bounds, sectors and gross exposure the frontier is exact; with turnover, costs, tracking
        error or a free budget it is solved point by point.
    current_weights : mapping of symbol to weight
    risk_free : float
        Per year; per period where `periods_per_year` is 1.
    periods_per_year : float
        The answer is annualised by it; 1 leaves it per period.
    as_of : Timestamp
        Last price behind the estimates.
    fingerprint : str
        Of the question; computed from the arguments where it is empty.

    Returns
    -------
    Frontier

    Raises
    ------
    InfeasibleError
        No portfolio meets the constraints; says which cannot hold together.
    DataError
        `mu` and `cov` do not fit each other or are not numbers, or `cov` is not positive definite.

    References
    ----------
    Markowitz, H. (1952). Portfolio selection. Journal of Finance 7(1).

    Examples
    --------
    >>> mu = pd.Series({"A": 0.10, "B": 0.05})
    >>> cov = pd.DataFrame([[0.04, 0.0], [0.0, 0.01]], index=mu.index, columns=mu.index)
    >>> found = efficient_frontier(mu, cov, points=3)
    >>> found.min_volatility.round(6).to_dict()
    {'A': 0.2, 'B': 0.8}
    >>> found.weights_at(0.08).round(6).to_dict()
    {'A': 0.6, 'B': 0.4}
    """
    if isinstance(points, bool) or not isinstance(points, int) or not 2 <= points <= MAX_POINTS:
        raise UsageError(f"points {points!r} is not a whole number from 2 to {MAX_POINTS}")
    mu, cov = _checked(mu, cov)
    symbols = [str(each) for each in mu.index]
    limits = as_constraints(constraints) if constraints is not None else _from_bounds(bounds)
    question = {
        "kind": "frontier", "points": points, "constraints": limits.to_dict(), "risk_free": risk_free,
        "periods_per_year": periods_per_year,
        "current": None if current_weights is None else {str(k): float(v) for k, v in dict(current_weights).items()},
    }  # fmt: skip
    problem = Problem(
        mu=mu.to_numpy(dtype=np.float64),
        cov=cov.to_numpy(dtype=np.float64),
        feasible=limits.resolve(symbols, current=current_weights, periods_per_year=periods_per_year),
        returns=np.empty((0, len(symbols))),
        risk_free=per_period_rate(risk_free, periods_per_year=periods_per_year),
    )
    with one_thread():
        corners, means, exact, notes = _corners(problem, points)
        tangency = _tangency(problem)

    def described(weights: Array) -> pd.DataFrame:
        return _described(weights, problem, risk_free, periods_per_year)

    wanted = np.linspace(means[-1], means[0], points)
    line = _lines(corners, means, problem)
    weights = np.array([line.at_mean(mean) for mean in wanted]) if exact else corners[::-1]
    names = pd.Index(symbols)
    return Frontier(
        points=described(weights),
        weights=pd.DataFrame(weights, columns=names),
        corners=pd.DataFrame(corners, columns=names),
        corner_points=described(corners),
        min_volatility=pd.Series(corners[-1], index=names),
        tangency=None if tangency is None else pd.Series(tangency, index=names),
        mu=pd.Series(problem.mu, index=names),
        cov=pd.DataFrame(problem.cov, index=names, columns=names),
        risk_free=float(risk_free),
        periods_per_year=float(periods_per_year),
        exact=exact,
        constraints=limits,
        as_of=as_of,
        notes=notes,
        fingerprint=fingerprint or fingerprint_of(question, mu, cov),
    )


def frontier_of(moments: Moments, **options: Any) -> Frontier:
    """:func:`efficient_frontier` of estimates, with what they left out and repaired said in the answer."""
    options.setdefault("periods_per_year", 252.0)
    found = efficient_frontier(moments.mu, moments.cov, as_of=moments.end, **options)
    return replace(found, dropped=dict(moments.dropped), notes=(*moments.notes, *found.notes))


def frontier_from_prices(
    prices: pd.DataFrame,
    *,
    expected_returns: str | None = None,
    covariance: str = "ledoit_wolf",
    views: Sequence[View | Mapping[str, Any]] | Mapping[str, float] | None = None,
    risk_free: float = 0.0,
    fingerprint: str = "",
    progress: Progress = silent,
    **limits: Any,
) -> Frontier:
    """:func:`efficient_frontier` of adjusted prices, by the estimates that ``optimize`` makes of them.

    Parameters
    ----------
    prices : DataFrame, shape (T, N)
    expected_returns, covariance : str
        Estimators; with `views` the expected returns are Black and Litterman's.
    views : sequence of View or their JSON forms, or annual returns by symbol
    risk_free : float
        Annual.
    **limits
        ``points``, ``constraints`` and ``current_weights`` of :func:`efficient_frontier`.
    """
    with one_thread():
        moments = estimate_moments(
            prepare(prices),
            expected_returns=expected_returns,
            covariance=covariance,
            views=as_views(views),
            risk_free=risk_free,
            progress=progress,
        )
    return frontier_of(moments, risk_free=risk_free, fingerprint=fingerprint, **limits)


def _corners(problem: Problem, points: int) -> tuple[Array, Array, bool, tuple[str, ...]]:
    """Corner weights, their excess returns, whether they are the whole frontier, and what there is to say."""
    try:
        line = problem.line
        if line is not None:
            return line.weights, line.mean, True, ()
        return _solved(problem, points)
    except InfeasibleProgramError:
        raise _explained(problem) from None


def _solved(problem: Problem, points: int) -> tuple[Array, Array, bool, tuple[str, ...]]:
    """`points` portfolios of one convex program, solved again for each return."""
    program = problem.program()
    least = program.minimise(problem.variance_of(program))
    # Among portfolios of the highest return the least volatile; without that the last point would not be unique.
    most = program.minimise(-problem.gain_of(program))

    def gain(weights: Array) -> float:
        traded = float(np.abs(weights - problem.feasible.current).sum())
        return float(problem.excess @ weights) - problem.feasible.cost * traded

    levels = np.linspace(gain(most), gain(least), points)
    levels[0] -= 1e-9 * abs(levels[0] - levels[-1])
    scaled = levels[:-1] / problem.scale
    found = program.path(problem.variance_of(program), lambda level: problem.gain_of(program) >= level, scaled)
    weights = np.array([*found, least])
    said = () if problem.feasible.on_critical_line is False else ("the critical line could not be traced",)
    return weights, weights @ problem.excess, False, ("solved point by point", *said)


def _tangency(problem: Problem) -> Array | None:
    try:
        return OBJECTIVES["max_sharpe"](problem)
    except NoExcessReturnError:
        return None


def _lines(corners: Array, means: Array, problem: Problem) -> CriticalLine:
    along = corners @ problem.cov
    variance = np.einsum("kn,kn->k", along, corners)
    return CriticalLine(corners, means, variance, np.einsum("kn,kn->k", along[:-1], corners[1:]))


def _described(weights: Array, problem: Problem, risk_free: float, periods: float) -> pd.DataFrame:
    mean = weights @ problem.excess + problem.risk_free
    spread = np.sqrt(np.maximum(np.einsum("kn,nm,km->k", weights, problem.cov, weights), 0.0))
    annual = annualise_volatility(spread, periods_per_year=periods)
    excess = annualise_mean(weights @ problem.excess, periods_per_year=periods)
    sharpe = np.divide(excess, annual, out=np.full(len(annual), np.nan), where=annual > 0)
    return pd.DataFrame(
        {"expected_return": annualise_mean(mean, periods_per_year=periods), "volatility": annual, "sharpe": sharpe}
    )


def _explained(problem: Problem) -> InfeasibleError:
    found = diagnose(problem)
    return InfeasibleError(
        f"no portfolio meets the constraints: {'; '.join(found.binding)} cannot hold together",
        binding=found.binding,
        relaxed=found.relaxed,
        nearest=dict(zip(problem.feasible.symbols, found.weights.tolist(), strict=True)),
    )


def _from_bounds(bounds: Any) -> Constraints:
    return Constraints(asset_bounds=dict(bounds)) if isinstance(bounds, Mapping) else Constraints(bounds=bounds)


def _checked(mu: pd.Series, cov: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    if not isinstance(mu, pd.Series) or not isinstance(cov, pd.DataFrame):
        raise DataError("frontier: expected mu as a Series by symbol and cov as a DataFrame, symbol x symbol")
    if not mu.index.is_unique:
        raise DataError(f"mu: {mu.index[mu.index.duplicated()][0]} stands twice")
    if len(mu) == 0 or set(cov.index) != set(mu.index) or set(cov.columns) != set(mu.index) or len(cov) != len(mu):
        raise DataError("frontier: mu and cov do not have the same symbols")
    cov = cov.loc[mu.index, mu.index]
    matrix = cov.to_numpy(dtype=np.float64)
    if not np.isfinite(mu.to_numpy(dtype=np.float64)).all() or not np.isfinite(matrix).all():
        raise DataError("frontier: mu or cov has an entry that is not a number")
    if np.abs(matrix - matrix.T).max() > 1e-8 * np.abs(matrix).max():
        raise DataError("cov: the matrix is not symmetric")
    matrix = (matrix + matrix.T) / 2.0
    least = float(np.linalg.eigvalsh(matrix)[0])
    if not least > 0.0:
        raise DataError(
            f"cov: the matrix is not positive definite (least eigenvalue {least:.3g}); "
            "estimate_moments repairs that, or covariance='ledoit_wolf' avoids it"
        )
    return mu, pd.DataFrame(matrix, index=mu.index, columns=mu.index)
