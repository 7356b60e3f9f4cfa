"""Frontier, walk-forward and a single optimization beside PyPortfolioOpt and skfolio, on the real 20-asset sample.

Seconds are those of the processor, of one thread on both sides: beside other work the clock says little.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

TWENTY = "AAPL AMD BAC BBY CVX GE HD JNJ JPM KO LLY MRK MSFT PEP PFE PG RRC UNH WMT XOM".split()
WALKED = ("max_sharpe", "min_volatility", "min_cvar", "risk_parity", "hrp")


def run() -> list[dict]:
    prices = _sample()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [_frontier_of_20(prices), _frontier_of_500(), _walk_forward(prices), _kept_moments(prices)]


def _sample() -> pd.DataFrame:
    from quantkit.data.base import HistoryQuery
    from quantkit.data.sample import SampleProvider

    provider = SampleProvider()

    def close(symbol: str) -> pd.Series:
        query = HistoryQuery(symbol)
        return provider.normalise(provider.extract(provider.build(query)), query).bars["adj_close"]

    return pd.DataFrame({symbol: close(symbol) for symbol in TWENTY}).dropna()


def _timed(ask: Callable[[], object], times: int) -> list[float]:
    ask()
    found = []
    for _ in range(times):
        start = time.process_time()
        ask()
        found.append(time.process_time() - start)
    return found


def _frontier_of_20(prices: pd.DataFrame) -> dict:
    from pypfopt import EfficientFrontier

    from quantkit.portfolio import efficient_frontier, estimate_moments

    moments = estimate_moments(prices, expected_returns="historical", covariance="sample")
    mu, cov = moments.mu, moments.cov
    low = float(mu @ efficient_frontier(mu, cov).min_volatility)
    targets = np.linspace(low, float(mu.max()) * (1 - 1e-6), 50)

    def theirs() -> None:
        for target in targets:
            EfficientFrontier(mu * 252, cov * 252).efficient_return(target * 252)

    ours, peer = [], []
    for _ in range(3):
        ours += _timed(lambda: efficient_frontier(mu, cov, points=50), 3)
        peer += _timed(theirs, 1)
    return _row("frontier, 20 assets, 50 points / PyPortfolioOpt, one new problem each", ours, peer, 0.05)


def _frontier_of_500() -> dict:
    from quantkit.portfolio import efficient_frontier, estimate_moments

    rng = np.random.default_rng(7)
    factors = rng.normal(0, 0.008, (1260, 5)) @ rng.normal(0.4, 0.5, (5, 500))
    returns = 0.0003 + rng.normal(0, 0.0003, 500) + factors + rng.normal(0, 0.015, (1260, 500))
    index = pd.bdate_range("2018-01-01", periods=1260, tz="UTC").astype("datetime64[us, UTC]")
    names = [f"S{at}" for at in range(500)]
    moments = estimate_moments(pd.DataFrame(np.cumprod(1 + returns, axis=0), index=index, columns=names))
    ours = _timed(lambda: efficient_frontier(moments.mu, moments.cov, points=50), 3)
    return {"what": "exact frontier, 500 simulated assets", "ours": statistics.median(ours), "peer": None,
            "ratio": None, "budget": 2.0, "unit": "s"}  # fmt: skip


def _walk_forward(prices: pd.DataFrame) -> dict:
    """120 months, 756 returns each, five objectives; skfolio's own WalkForward over the same windows."""
    from quantkit.portfolio import compare

    # 756 returns before the first decision and ten years after it do not fit the 20 assets' common decade.
    padded = pd.concat([_before(prices), prices])
    asked = {"objectives": WALKED, "expected_returns": "historical", "covariance": "sample", "min_train": 756,
             "window": 756, "draws": 500}  # fmt: skip
    ours = _timed(lambda: compare(padded, **asked), 1)
    decided = len(next(iter(compare(padded, **asked).values())).weights)
    peer = _timed(lambda: _skfolio(padded, decided), 1) if _has_skfolio() else []
    return _row(f"walk-forward, {decided} months x 5 objectives, 20 assets / skfolio WalkForward", ours, peer, 0.5)


def _before(prices: pd.DataFrame) -> pd.DataFrame:
    """Three years of returns drawn from the same days, ahead of the real ones."""
    returns = prices.pct_change().iloc[1:].to_numpy()
    drawn = returns[np.random.default_rng(0).integers(0, len(returns), 790)]
    path = np.vstack([np.cumprod((1 + drawn)[::-1], axis=0)[::-1]])
    index = pd.bdate_range(end=prices.index[0] - pd.Timedelta(days=1), periods=790).astype(prices.index.dtype)
    return pd.DataFrame(prices.iloc[0].to_numpy() / path, index=index, columns=prices.columns)


def _has_skfolio() -> bool:
    peers = str(Path(sys.prefix) / "peers")
    if peers not in sys.path:
        sys.path.append(peers)
    try:
        import skfolio  # noqa: F401
    except ImportError:
        return False
    return True


def _skfolio(prices: pd.DataFrame, months: int) -> None:
    from skfolio import RiskMeasure
    from skfolio.model_selection import WalkForward, cross_val_predict
    from skfolio.optimization import HierarchicalRiskParity, MeanRisk, ObjectiveFunction, RiskBudgeting

    returns = prices.pct_change().iloc[-(756 + 21 * months) :]
    models = [
        MeanRisk(objective_function=ObjectiveFunction.MAXIMIZE_RATIO),
        MeanRisk(),
        MeanRisk(risk_measure=RiskMeasure.CVAR),
        RiskBudgeting(),
        HierarchicalRiskParity(),
    ]
    for model in models:
        cross_val_predict(model, returns, cv=WalkForward(train_size=756, test_size=21), n_jobs=1)


def _kept_moments(prices: pd.DataFrame) -> dict:
    from quantkit.portfolio import Moments, estimate_moments, optimize

    kept = Moments.from_dict(estimate_moments(prices).to_dict())
    ours = _timed(lambda: optimize(prices, moments=kept, constraints={"bounds": [0, 0.3]}), 60)
    slow = float(np.quantile(ours, 0.95))
    return {"what": "optimize, 20 assets, kept moments, p95", "ours": slow, "peer": None, "ratio": None,
            "budget": 0.05, "unit": "s"}  # fmt: skip


def _row(what: str, ours: list[float], peer: list[float], budget: float) -> dict:
    mine = statistics.median(ours)
    theirs = statistics.median(peer) if peer else None
    return {"what": what, "ours": mine, "peer": theirs, "ratio": None if theirs is None else mine / theirs,
            "budget": budget, "unit": "s"}  # fmt: skip
