"""What an objective would have earned: decided on the past only, traded later, after costs, beside 1/N."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from quantkit.core.errors import ComputeError, DataError, InfeasibleError, UsageError
from quantkit.core.fingerprint import fingerprint as fingerprint_of
from quantkit.core.progress import Progress, silent
from quantkit.core.returns import per_period_rate, simple_returns
from quantkit.core.threads import one_thread
from quantkit.core.walkforward import WalkForward
from quantkit.portfolio.account import Account, History, follow
from quantkit.portfolio.allocate import Wish, pose
from quantkit.portfolio.base import PortfolioBacktest
from quantkit.portfolio.constraints import Array, Constraints, as_constraints
from quantkit.portfolio.critical_line import CriticalLine
from quantkit.portfolio.evaluation import measure, sharpe_difference, wealth_returns
from quantkit.portfolio.forecast_views import walk_forecasts
from quantkit.portfolio.moments import COVARIANCES, EXPECTED_RETURNS, Moments, estimate_moments
from quantkit.portfolio.objectives import OBJECTIVES
from quantkit.portfolio.universe import Universe, prepare
from quantkit.portfolio.views import MARKET_RISK_AVERSION
from quantkit.risk.measures import sharpe_ratio
from quantkit.risk.sharpe_inference import deflated_sharpe, probabilistic_sharpe

__all__ = ["REBALANCES", "SAMPLE_NOTE", "backtest", "compare", "rebalance_rows"]

#: How often is rebalanced: the last session of each of these.
REBALANCES: Final = {"1w": "W-SUN", "1mo": "M", "3mo": "Q", "6mo": None, "1y": "Y"}
EVEN: Final = "1/N"
HELD: Final = "buy_and_hold"
BENCHMARK: Final = "benchmark"

#: Said beside every backtest on the embedded sample.
SAMPLE_NOTE: Final = (
    "The sample's companies were chosen with hindsight, as ones that are large today, and its ^GSPC leaves out "
    "dividends: 1/N of its 19 long stocks, rebalanced daily without costs, earned 13.5 % a year from 1998 to 2022, "
    "the index file 5.6 %. "
    "No figure here is what one would have earned without knowing that."
)


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One objective's decisions."""

    targets: dict[int, Array]
    decided: dict[int, Array]
    kept: dict[str, str]


def backtest(
    prices: pd.DataFrame, benchmark: pd.Series | None = None, *, objective: str = "max_sharpe", **options: Any
) -> PortfolioBacktest:
    """Walk one objective forward; see :func:`compare` for the arguments.

    Parameters
    ----------
    prices : DataFrame, shape (T, N)
    objective : str

    Returns
    -------
    PortfolioBacktest
    """
    return compare(prices, benchmark, objectives=[objective], **options)[objective]


def compare(
    prices: pd.DataFrame,
    benchmark: pd.Series | None = None,
    *,
    objectives: Sequence[str],
    rebalance: str = "1mo",
    cost_bps: float = 10.0,
    constraints: Constraints | Mapping[str, Any] | None = None,
    expected_returns: str = "bayes_stein",
    covariance: str = "ledoit_wolf",
    window: int | None = 756,
    min_train: int = 252,
    lag: int = 1,
    market_weights: Mapping[str, float] | None = None,
    target_return: float | None = None,
    target_volatility: float | None = None,
    risk_aversion: float = MARKET_RISK_AVERSION,
    level: float = 0.95,
    risk_free: float = 0.0,
    periods_per_year: float = 252.0,
    horizon: int = 21,
    model: str = "arima",
    trials: Sequence[float] = (),
    draws: int = 2000,
    notes: Sequence[str] = (),
    progress: Progress = silent,
    fingerprint: str = "",
) -> dict[str, PortfolioBacktest]:
    """Walk objectives forward over the same decisions and compare each with 1/N after costs.

    At the last session of every period the estimates are made from the returns up to that close, the weights are
    decided, and traded at the close `lag` sessions later; in between they drift. 1/N rebalances on the same days at
    the same costs; buy-and-hold buys 1/N once. Where a decision has no answer, what is held is kept (1/N where nothing
    is held yet), and that is counted.

    Parameters
    ----------
    prices : DataFrame, shape (T, N)
        Adjusted prices by symbol.
    objectives : sequence of str
        Of :data:`quantkit.portfolio.OBJECTIVES`. Their Sharpe ratios, with `trials`, are what each is deflated by.
    rebalance : {"1w", "1mo", "3mo", "6mo", "1y"}
    cost_bps : float
        Basis points of what is bought plus sold. Objectives know of costs only through `constraints`.
    benchmark : Series
        Prices; shown beside, without costs.
    constraints : Constraints or its JSON form
        Turnover counts from the weights as drifted at the decision; the first purchase is free of it.
    expected_returns, covariance : str
        Estimators.
    window : int or None
        Returns that a decision sees at most; None for all of the past.
    min_train : int
        Returns that the first decision sees.
    lag : int
        Sessions between decision and trade, at least 1.
    market_weights : mapping of symbol to weight
    target_return, target_volatility, risk_aversion, level : float
        Of the objectives.
    risk_free : float
        Annual; earned on what is not invested, and subtracted in Sharpe ratios.
    periods_per_year : float
    horizon, model
        For the estimator ``forecast``: the model is walked forward once over all of the past, not only the window.
    trials : sequence of float
        Sharpe ratios per period of further strategies that were tried on these prices.
    draws : int
        Of the bootstrap.
    notes : sequence of str
        To be said beside the figures; :data:`SAMPLE_NOTE` joins them where ``prices.attrs["source"]`` is ``sample``.
    progress : Progress
    fingerprint : str
        Of the question; computed where it is empty. With several objectives each one's own name is added to it.

    Returns
    -------
    dict of objective to PortfolioBacktest

    Raises
    ------
    DataError
        Not one decision has `min_train` returns up to it and `lag` rows after it.
    UsageError
        A name is unknown or a value cannot be used.

    References
    ----------
    DeMiguel, V., Garlappi, L. and Uppal, R. (2009). Optimal versus naive diversification: how inefficient is the 1/N
    portfolio strategy? Review of Financial Studies 22(5).
    """
    wishes = {
        name: Wish(
            name,
            target_return if OBJECTIVES[name].needs == "target_return" else None,
            target_volatility if OBJECTIVES[name].needs == "target_volatility" else None,
            risk_aversion,
            level,
            risk_free,
            periods_per_year,
        )
        for name in dict.fromkeys(objectives)
    }
    if not wishes:
        raise UsageError(f"no objective is given; choose from {', '.join(OBJECTIVES)}")
    for registry, name in ((EXPECTED_RETURNS, expected_returns), (COVARIANCES, covariance)):
        registry[name]
    limits = as_constraints(constraints)
    _check(rebalance, cost_bps, lag, window, min_train)
    universe = prepare(prices, min_history=min_train)
    clean = universe.prices
    symbols = list(clean.columns)
    known = [*universe.dropped, *symbols]
    limits.resolve(symbols, current={}, known=known)
    said = [*universe.notes, *notes]
    if prices.attrs.get("source") == "sample" and SAMPLE_NOTE not in said:
        said.append(SAMPLE_NOTE)
    rate = per_period_rate(risk_free, periods_per_year=periods_per_year)
    engine = WalkForward(
        origins=len(clean),
        horizon=lag,
        min_train=min_train + 1,
        window=None if window is None else window + 1,
    )
    returns = np.vstack([np.zeros(len(symbols)), simple_returns(clean).to_numpy()])
    estimate = {
        "expected_returns": expected_returns, "covariance": covariance, "benchmark": benchmark,
        "market_weights": market_weights, "risk_free": risk_free, "periods_per_year": periods_per_year,
        "horizon": horizon, "model": model,
    }  # fmt: skip
    with one_thread():
        days, runs = _walk(
            clean, returns, engine, rebalance, wishes, limits, estimate, lag, cost_bps / 1e4, rate, progress
        )
        start = days[0] + lag
        even = np.full(len(symbols), 1.0 / len(symbols))

        def account(targets: Mapping[int, Array]) -> History:
            return follow(targets, returns, start=start, cost=cost_bps / 1e4, rate=rate)

        beside = {EVEN: account({row + lag: even for row in days}), HELD: account({start: even})}
        own = {name: account(run.targets) for name, run in runs.items()}
        times = clean.index[start:]
        market = None if benchmark is None else _levels(benchmark, times, said)
        sharpes = [
            float(sharpe_ratio(_returns(history.wealth, times), risk_free=rate, periods_per_year=1.0))
            for history in own.values()
        ]
        tried = [*sharpes, *(float(each) for each in trials)]
        variance = float(np.var(tried, ddof=1)) if len(tried) > 1 else float("nan")
        question = {
            "kind": "backtest", "rebalance": rebalance, "cost_bps": cost_bps, "constraints": limits.to_dict(),
            "expected_returns": expected_returns, "covariance": covariance, "window": window,
            "min_train": min_train, "lag": lag, "horizon": horizon, "model": model, "draws": draws,
            "trials": [float(each) for each in trials], "with": list(wishes),
            "market_weights": None if market_weights is None else dict(market_weights), "notes": list(notes),
        }  # fmt: skip
        found = {}
        for name, run in runs.items():
            histories = {name: own[name], **beside}
            wealth = pd.DataFrame({each: history.wealth for each, history in histories.items()}, index=times)
            if market is not None:
                wealth[BENCHMARK] = market
            earned = wealth_returns(wealth)
            mine = earned[name]
            against = sharpe_difference(mine, earned[EVEN], rate=rate, periods_per_year=periods_per_year, draws=draws)
            traded = pd.Series(own[name].turnover, dtype=np.float64)
            traded.index = clean.index[traded.index.to_numpy()]
            found[name] = PortfolioBacktest(
                objective=name,
                rebalance=rebalance,
                cost_bps=float(cost_bps),
                lag=lag,
                wealth=wealth,
                measures=measure(earned, histories, rate=rate, periods_per_year=periods_per_year),
                weights=pd.DataFrame(
                    np.array(list(run.decided.values())), index=clean.index[list(run.decided)], columns=clean.columns
                ),
                turnover=traded,
                sharpe_difference=against.difference,
                difference_lower=against.lower,
                difference_upper=against.upper,
                p_value=against.p_value,
                block_length=against.block_length,
                probabilistic_sharpe=float(probabilistic_sharpe(mine, risk_free=rate)),
                deflated_sharpe=float("nan")
                if len(tried) < 2
                else float(deflated_sharpe(mine, trials=len(tried), trials_variance=variance, risk_free=rate)),
                trials=len(tried),
                trials_variance=variance,
                start=times[0],
                as_of=times[-1],
                risk_free=float(risk_free),
                periods_per_year=float(periods_per_year),
                expected_returns=expected_returns,
                covariance=covariance,
                window=window or 0,
                constraints=limits,
                kept=run.kept,
                dropped=dict(universe.dropped),
                notes=tuple(said),
                fingerprint=_print(fingerprint, question, wishes[name], len(wishes), clean, benchmark),
            )
    return found


def rebalance_rows(times: pd.DatetimeIndex, rebalance: str) -> np.ndarray:
    """Positions of the last session of every period that is over, told by the session after it.

    Examples
    --------
    >>> days = pd.date_range("2024-01-29", "2024-02-02", tz="UTC", unit="us")
    >>> rebalance_rows(days, "1mo").tolist()
    [2]
    """
    _check_rebalance(rebalance)
    local = times.tz_localize(None)
    unit = REBALANCES[rebalance]
    label = local.year * 2 + (local.month - 1) // 6 if unit is None else local.to_period(unit)
    return np.flatnonzero(np.asarray(label[1:] != label[:-1]))


def _walk(
    clean: pd.DataFrame,
    returns: Array,
    engine: WalkForward,
    rebalance: str,
    wishes: Mapping[str, Wish],
    limits: Constraints,
    estimate: Mapping[str, Any],
    lag: int,
    cost: float,
    rate: float,
    progress: Progress,
) -> tuple[list[int], dict[str, _Run]]:
    """Decide for every objective at every rebalancing; the estimates of one day serve all of them.

    Returns the rows of the decisions and what was decided.
    """
    due = set(rebalance_rows(clean.index, rebalance).tolist())
    steps = [step for step in engine.slices(len(clean)) if step.origin in due]
    if not steps:
        raise DataError(
            f"no {rebalance} ends between {clean.index[engine.min_train - 1]:%Y-%m-%d}, when there are enough returns "
            f"to decide on, and {clean.index[-1]:%Y-%m-%d}"
        )
    walks = None
    if estimate["expected_returns"] == "forecast":
        asked = {"model": estimate["model"], "horizon": estimate["horizon"], "progress": progress}
        walks = walk_forecasts(clean, whole=True, **asked)
    runs = {name: _Run({}, {}, {}) for name in wishes}
    accounts: dict[str, Account] = {}
    row = steps[0].origin
    for count, step in enumerate(steps):
        progress(count, len(steps), f"{clean.index[step.origin]:%Y-%m-%d}")
        while row < step.origin:
            row += 1
            _pass(row, returns, runs, accounts, cost, rate)
        past = clean.iloc[step.train].copy()
        moving = (past.to_numpy() != past.to_numpy()[:1]).any(axis=0)
        moments, failure = _estimated(
            past.loc[:, moving], {**estimate, "forecasts": None if walks is None else walks.at(step.origin)}
        )
        seen = simple_returns(past.loc[:, moving]).to_numpy()
        lines: dict[bytes, CriticalLine | None] = {}
        for name, wish in wishes.items():
            held = accounts[name].weights if name in accounts else None
            weights, reason = _decide(wish, moments, failure, seen, limits, clean.columns, held, lines)
            if weights is None and held is None:
                weights = np.full(clean.shape[1], 1.0 / clean.shape[1])
            if reason:
                runs[name].kept[clean.index[step.origin].isoformat()] = reason
            if weights is not None:
                runs[name].decided[step.origin] = weights
                runs[name].targets[step.origin + lag] = weights
    progress(len(steps), len(steps))
    return [step.origin for step in steps], runs


def _pass(
    row: int, returns: Array, runs: Mapping[str, _Run], accounts: dict[str, Account], cost: float, rate: float
) -> None:
    for name, run in runs.items():
        if name in accounts:
            accounts[name].drift(returns[row])
        if row in run.targets:
            accounts.setdefault(name, Account(np.zeros(returns.shape[1]), 1.0, cost, rate)).trade(run.targets[row])


def _estimated(past: pd.DataFrame, estimate: Mapping[str, Any]) -> tuple[Moments | None, str]:
    benchmark = estimate["benchmark"]
    if benchmark is not None:
        benchmark = benchmark.loc[: past.index[-1]]
    try:
        return estimate_moments(Universe(past, {}, ()), **{**estimate, "benchmark": benchmark}), ""
    except (DataError, ComputeError) as error:
        return None, str(error)


def _decide(
    wish: Wish,
    moments: Moments | None,
    failure: str,
    returns: Array,
    limits: Constraints,
    columns: pd.Index,
    held: Array | None,
    lines: dict[bytes, CriticalLine | None],
) -> tuple[Array | None, str]:
    """Weights over `columns`, or None and the reason."""
    if moments is None:
        return None, failure
    current = None if held is None else pd.Series(held, index=columns)
    if held is None:
        limits = replace(limits, turnover=None)
    try:
        problem = pose(wish, moments, returns, limits, current=current, known=list(columns), lines=lines)
        weights = pd.Series(OBJECTIVES[wish.objective](problem), index=pd.Index(moments.symbols))
    except (ComputeError, InfeasibleError) as error:
        return None, str(error)
    return weights.reindex(columns, fill_value=0.0).to_numpy(), ""


def _levels(benchmark: pd.Series, times: pd.DatetimeIndex, said: list[str]) -> Array:
    level = benchmark.dropna()
    level = level.reindex(times.union(level.index)).ffill().reindex(times)
    if level.isna().any():
        raise DataError(
            f"benchmark {benchmark.name}: its first level is later than the first trade, {times[0]:%Y-%m-%d}"
        )
    late = int((times > benchmark.dropna().index[-1]).sum())
    if late:
        said.append(f"the benchmark ends {late} sessions before the prices and stands still from there")
    return (level / level.iloc[0]).to_numpy()


def _returns(wealth: Array, times: pd.DatetimeIndex) -> pd.Series:
    return wealth_returns(pd.DataFrame({"own": wealth}, index=times))["own"]


def _print(
    given: str, question: Mapping[str, Any], wish: Wish, count: int, prices: pd.DataFrame, benchmark: pd.Series | None
) -> str:
    asked = {"wish": {name: getattr(wish, name) for name in Wish.__slots__}}
    if given and count == 1:
        return given
    if given:
        return fingerprint_of({**asked, "of": given})
    return fingerprint_of({**question, **asked}, prices, *(() if benchmark is None else (benchmark,)))


def _check_rebalance(rebalance: object) -> None:
    if rebalance not in REBALANCES:
        raise UsageError(f"unknown rebalance {rebalance!r}; choose from {', '.join(REBALANCES)}")


def _check(rebalance: object, cost_bps: Any, lag: Any, window: Any, min_train: Any) -> None:
    _check_rebalance(rebalance)
    fine = isinstance(cost_bps, (int, float)) and not isinstance(cost_bps, bool)
    if not fine or not 0.0 <= cost_bps < 10_000.0:
        raise UsageError(f"cost_bps {cost_bps!r} is not a number of basis points from 0 to 10000")
    for name, value, least in (("lag", lag, 1), ("min_train", min_train, 20), ("window", window, 20)):
        if name == "window" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UsageError(f"{name} {value!r} is not a whole number of at least {least}")
    if window is not None and window < min_train:
        raise UsageError(f"window {window} is shorter than min_train {min_train}")
