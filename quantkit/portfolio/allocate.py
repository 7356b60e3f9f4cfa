"""From prices and a wish to weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from quantkit.core.errors import InfeasibleError, UsageError
from quantkit.core.fingerprint import fingerprint as fingerprint_of
from quantkit.core.progress import Progress, silent
from quantkit.core.returns import annualise_mean, annualise_volatility, per_period_rate, simple_returns
from quantkit.core.schema import check_level
from quantkit.core.threads import one_thread
from quantkit.portfolio.base import Allocation
from quantkit.portfolio.constraints import Array, Constraints, as_constraints, percent
from quantkit.portfolio.critical_line import CriticalLine
from quantkit.portfolio.infeasible import diagnose
from quantkit.portfolio.moments import Moments, estimate_moments
from quantkit.portfolio.objectives import OBJECTIVES
from quantkit.portfolio.problem import NoExcessReturnError, Problem
from quantkit.portfolio.programs import InfeasibleProgramError
from quantkit.portfolio.risk_budget import risk_contributions
from quantkit.portfolio.shares import whole_shares
from quantkit.portfolio.tail_loss import conditional_value_at_risk
from quantkit.portfolio.universe import MIN_HISTORY, prepare
from quantkit.portfolio.views import MARKET_RISK_AVERSION, View, as_views

__all__ = ["Wish", "explain", "optimize", "pose"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a portfolio beside its constraints; annual decimals.

    Attributes
    ----------
    objective : str
        One of ``OBJECTIVES``.
    target_return, target_volatility : float or None
        For the objectives of those names.
    risk_aversion : float
        For ``max_utility``.
    level : float
        Of the tail, for ``min_cvar``.
    risk_free : float
    periods_per_year : float
    """

    objective: str = "max_sharpe"
    target_return: float | None = None
    target_volatility: float | None = None
    risk_aversion: float = MARKET_RISK_AVERSION
    level: float = 0.95
    risk_free: float = 0.0
    periods_per_year: float = 252.0

    def __post_init__(self) -> None:
        needs = OBJECTIVES[self.objective].needs
        for name in ("target_return", "target_volatility"):
            value = getattr(self, name)
            if value is not None and name != needs:
                raise UsageError(f"{name} is used by the objective {name} only, not by {self.objective}")
        if needs and not _is_number(getattr(self, needs)):
            raise UsageError(f"{needs} {getattr(self, needs)!r}: expected an annual decimal such as 0.1")
        for name, least in (("risk_aversion", 0.0), ("risk_free", -1.0), ("periods_per_year", 0.0)):
            value = getattr(self, name)
            if not _is_number(value) or value <= least:
                raise UsageError(f"{name} {value!r} is not a number above {least:g}")
        if self.target_volatility is not None and self.target_volatility <= 0.0:
            raise UsageError(f"target_volatility {self.target_volatility!r} is not positive")
        check_level(self.level)


def optimize(
    prices: pd.DataFrame,
    benchmark: pd.Series | None = None,
    *,
    objective: str = "max_sharpe",
    constraints: Constraints | Mapping[str, Any] | None = None,
    views: Sequence[View | Mapping[str, Any]] | Mapping[str, float] | None = None,
    capital: float | None = None,
    current_weights: Mapping[str, float] | pd.Series | None = None,
    current_shares: Mapping[str, float] | pd.Series | None = None,
    latest_prices: Mapping[str, float] | pd.Series | None = None,
    fractional: bool = False,
    expected_returns: str | None = None,
    covariance: str = "ledoit_wolf",
    market_weights: Mapping[str, float] | None = None,
    target_return: float | None = None,
    target_volatility: float | None = None,
    risk_aversion: float = MARKET_RISK_AVERSION,
    level: float = 0.95,
    risk_free: float = 0.0,
    periods_per_year: float = 252.0,
    horizon: int = 21,
    model: str = "arima",
    min_history: int = MIN_HISTORY,
    moments: Moments | None = None,
    infeasible: Literal["raise", "nearest"] = "raise",
    progress: Progress = silent,
    fingerprint: str = "",
) -> Allocation:
    """Choose weights.

    Parameters
    ----------
    prices : DataFrame, shape (T, N)
        Adjusted prices by symbol; NaN where there is none. Assets with too little history are left out, and said.
    objective : str
        One of :data:`quantkit.portfolio.OBJECTIVES`.
    constraints : Constraints or its JSON form
        Long-only and fully invested where it is not given.
    views : sequence of View or their JSON forms, or annual returns by symbol
        Make ``black_litterman`` the estimator of expected returns.
    capital : float
        Cash and holdings together, to be turned into whole shares.
    current_weights : mapping of symbol to weight
        For limits on turnover, and to say what is traded.
    current_shares : mapping of symbol to number
    latest_prices : mapping of symbol to price
        For whole shares; the last of `prices` where it is not given.
    fractional : bool
        Whether parts of a share can be held.
    expected_returns, covariance : str
        Estimators: see :func:`~quantkit.portfolio.moments.estimate_moments`.
    benchmark : Series
        Prices of the market, for ``capm``.
    market_weights : mapping of symbol to weight
    target_return, target_volatility : float
        Annual, for the objectives of those names.
    risk_aversion : float
        For ``max_utility``.
    level : float
        Of the tail, for ``min_cvar`` and the CVaR that is reported.
    risk_free : float
        Annual.
    periods_per_year : float
    horizon : int
        Periods until the next rebalancing.
    model : str
        Forecasting model, for ``forecast``.
    min_history : int
        Fewest returns that the assets must share.
    moments : Moments
        Estimates that are already known, from the same prices; `views` and the estimators' names are then not used.
    infeasible : {"raise", "nearest"}
        Whether to refuse when no portfolio meets the constraints, or to answer with the best under limits relaxed by
        the least amount, said in ``relaxed``.
    progress : Progress
    fingerprint : str
        Of the question; computed from the arguments where it is empty.

    Returns
    -------
    Allocation

    Raises
    ------
    InfeasibleError
        No portfolio meets the constraints, or none is expected to earn more than the risk-free rate (max_sharpe).
    DataError
        A price is not positive, or no asset has enough history.
    UsageError
        A name is unknown or a value cannot be used.
    """
    wish = Wish(objective, target_return, target_volatility, risk_aversion, level, risk_free, periods_per_year)
    if infeasible not in ("raise", "nearest"):
        raise UsageError(f"infeasible {infeasible!r}: choose from raise, nearest")
    limits, opinions = as_constraints(constraints), as_views(views)
    universe = prepare(prices, min_history=min_history)
    with one_thread():
        if moments is None:
            moments = estimate_moments(
                universe,
                expected_returns=expected_returns,
                covariance=covariance,
                views=opinions,
                benchmark=benchmark,
                market_weights=market_weights,
                risk_free=risk_free,
                periods_per_year=periods_per_year,
                horizon=horizon,
                model=model,
                progress=progress,
            )
        returns = simple_returns(universe.prices[moments.symbols]).to_numpy()
        known = [*universe.dropped, *(str(each) for each in prices.columns)]
        problem = pose(wish, moments, returns, limits, current=current_weights, known=known)
        weights, binding, relaxed = _answer(problem, wish, nearest=infeasible == "nearest")
    named = pd.Series(weights, index=pd.Index(moments.symbols))
    bought = None
    if capital is not None:
        last = universe.prices.iloc[-1] if latest_prices is None else latest_prices
        bought = whole_shares(
            named, last, capital, current_shares=current_shares, cost_bps=limits.cost_bps, fractional=fractional
        )
    return replace(
        _described(problem, wish, moments, named, limits, traded=current_weights is not None),
        views=opinions,
        relaxed=relaxed,
        binding=binding,
        shares=bought,
        fingerprint=fingerprint
        or fingerprint_of(
            {
                "kind": "optimize", "wish": {name: getattr(wish, name) for name in Wish.__slots__},
                "constraints": limits.to_dict(), "views": [each.to_dict() for each in opinions],
                "expected_returns": moments.expected_returns, "covariance": moments.covariance,
                "capital": capital, "fractional": fractional, "horizon": horizon, "model": model,
                "min_history": min_history, "infeasible": infeasible,
                **{name: _plain(each) for name, each in (
                    ("current_weights", current_weights), ("current_shares", current_shares),
                    ("latest_prices", latest_prices), ("market_weights", market_weights))},
            },
            universe.prices, *(() if benchmark is None else (benchmark,)), moments.mu, moments.cov,
        ),
    )  # fmt: skip


def pose(
    wish: Wish,
    moments: Moments,
    returns: Array,
    constraints: Constraints,
    *,
    current: Mapping[str, float] | pd.Series | None = None,
    known: Sequence[str] = (),
    lines: dict[bytes, CriticalLine | None] | None = None,
) -> Problem:
    """The wish in arrays, per period.

    Parameters
    ----------
    wish : Wish
    moments : Moments
    returns : array, shape (T, N)
        Of the moments' assets.
    constraints : Constraints
    current : mapping of symbol to weight
    known : sequence of str
        Symbols beside the moments' that constraints may name.
    lines : dict
        Shared by problems of the same moments and constraints, so that one trace serves all of them.
    """
    periods = wish.periods_per_year
    # The inverse of annualising: a year seen as one period out of 1 / periods.
    year = 1.0 / periods
    gain, risk = wish.target_return, wish.target_volatility
    demand = ""
    if gain is not None:
        demand = f"expected return at least {percent(gain)} a year"
    if risk is not None:
        demand = f"volatility at most {percent(risk)} a year"
    return Problem(
        mu=moments.mu.to_numpy(),
        cov=moments.cov.to_numpy(),
        feasible=constraints.resolve(moments.symbols, current=current, periods_per_year=periods, known=known),
        returns=returns,
        risk_free=per_period_rate(wish.risk_free, periods_per_year=periods),
        target_return=None if gain is None else annualise_mean(gain, periods_per_year=year),
        target_volatility=None if risk is None else annualise_volatility(risk, periods_per_year=year),
        risk_aversion=wish.risk_aversion,
        level=wish.level,
        demand=demand,
        lines={} if lines is None else lines,
    )


def explain(problem: Problem, wish: Wish) -> tuple[InfeasibleError, Problem, Array]:
    """Why `problem` has no answer, the same problem under limits relaxed by the least, and weights that meet those."""
    found = diagnose(problem, OBJECTIVES[wish.objective].needs)
    try:
        weights = OBJECTIVES[wish.objective](found.problem)
    except InfeasibleProgramError:
        weights = found.weights
    periods = wish.periods_per_year
    told = {}
    for name, amount in found.relaxed.items():
        if name == problem.demand and wish.target_return is not None:
            amount = annualise_mean(amount, periods_per_year=periods)
        elif name in (problem.demand, problem.feasible.tracking_name):
            amount = annualise_volatility(amount, periods_per_year=periods)
        told[name] = float(amount)
    symbols = problem.feasible.symbols
    gave = _few([f"{name} relaxed by {percent(amount)}" for name, amount in told.items()])
    held = _largest(symbols, weights)
    error = InfeasibleError(
        f"no portfolio meets all of: {_few(found.binding)}; {problem.feasible.net_name}. "
        f"The nearest that exists, with {gave}: {held}",
        binding=found.binding,
        relaxed=told,
        nearest=dict(zip(symbols, weights.tolist(), strict=True)),
    )
    return error, found.problem, weights


def _answer(problem: Problem, wish: Wish, *, nearest: bool) -> tuple[Array, tuple[str, ...], dict[str, float]]:
    try:
        return OBJECTIVES[wish.objective](problem), (), {}
    except NoExcessReturnError:
        best = float(annualise_mean(problem.mu.max(), periods_per_year=wish.periods_per_year))
        raise InfeasibleError(
            f"no feasible portfolio is expected to earn more than the risk-free rate of {wish.risk_free:.2%} a year "
            f"(the best asset: {best:.2%}), so that there is no highest Sharpe ratio; min_volatility needs no "
            "expected returns",
            binding=(f"expected return above {percent(wish.risk_free)}",),
        ) from None
    except InfeasibleProgramError:
        error, relaxed, weights = explain(problem, wish)
        if not nearest:
            raise error from None
        problem.notes += relaxed.notes
        return weights, error.binding, error.relaxed


def _described(
    problem: Problem, wish: Wish, moments: Moments, weights: pd.Series, constraints: Constraints, *, traded: bool
) -> Allocation:
    w, periods = weights.to_numpy(), wish.periods_per_year
    mean = float(w @ problem.excess) + problem.risk_free
    spread = float(np.sqrt(max(w @ problem.cov @ w, 0.0)))
    excess = annualise_mean(mean - problem.risk_free, periods_per_year=periods)
    annual = annualise_volatility(spread, periods_per_year=periods)
    uninvested = (1.0 - w.sum()) * problem.risk_free
    return Allocation(
        objective=wish.objective,
        weights=weights,
        expected_return=annualise_mean(mean, periods_per_year=periods),
        volatility=annual,
        sharpe=excess / annual if annual > 0.0 else float("nan"),
        cvar=conditional_value_at_risk(problem.returns @ w + uninvested, wish.level),
        level=wish.level,
        risk_free=float(wish.risk_free),
        periods_per_year=float(periods),
        diversification=float(w @ problem.volatilities) / spread if spread > 0.0 else float("nan"),
        risk_contributions=pd.Series(risk_contributions(w, problem.cov), index=weights.index),
        turnover=float(np.abs(w - problem.feasible.current).sum()) if traded else float("nan"),
        as_of=moments.end,
        moments=moments,
        constraints=constraints,
        notes=tuple(problem.notes),
    )


def _largest(symbols: Sequence[str], weights: Array, count: int = 8) -> str:
    order = [at for at in np.argsort(-np.abs(weights), kind="stable") if abs(weights[at]) > 5e-5]
    named = ", ".join(f"{symbols[at]} {percent(weights[at])}" for at in order[:count])
    return named + (f" and {len(order) - count} more" if len(order) > count else "")


def _few(names: Sequence[str], count: int = 8) -> str:
    return "; ".join(names[:count]) + (f"; and {len(names) - count} more" if len(names) > count else "")


def _plain(values: Mapping[str, float] | pd.Series | None) -> dict[str, float] | None:
    return None if values is None else {str(key): float(value) for key, value in dict(values).items()}


def _is_number(value: Any) -> bool:
    fine = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return fine and bool(np.isfinite(value))
