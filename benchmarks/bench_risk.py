"""Risk measures beside empyrical and quantstats, rolling windows, and VaR backtests: DESIGN section 11."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd


def seconds(work: Callable[[], Any], repeat: int = 3) -> float:
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def market(symbols: int, days: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    index = pd.date_range("2014-01-01", periods=days, freq="D", tz="UTC", unit="us", name="time")
    common = rng.standard_t(5, (days, 1)) * 0.006
    values = common + rng.standard_t(5, (days, symbols)) * 0.008 + 3e-4
    return pd.DataFrame(values.clip(-0.5), index=index, columns=[f"S{at}" for at in range(symbols)])


def with_empyrical(returns: pd.DataFrame) -> pd.DataFrame:
    import empyrical as e

    year = {"annualization": 252}
    return pd.DataFrame({
        symbol: {
            "total_return": e.cum_returns_final(r), "annual_return": e.annual_return(r, **year),
            "volatility": e.annual_volatility(r, **year), "downside_deviation": e.downside_risk(r, **year),
            "sharpe": e.sharpe_ratio(r, **year), "sortino": e.sortino_ratio(r, **year),
            "calmar": e.calmar_ratio(r, **year), "omega": e.omega_ratio(r), "max_drawdown": e.max_drawdown(r),
            "tail_ratio": e.tail_ratio(r),
        }
        for symbol, r in returns.items()
    }).T  # fmt: skip


def with_quantstats(returns: pd.DataFrame) -> pd.DataFrame:
    import quantstats.stats as q

    year = {"periods": 252}
    return pd.DataFrame({
        symbol: {
            "total_return": q.comp(r), "annual_return": q.cagr(r, **year), "volatility": q.volatility(r, **year),
            "sharpe": q.sharpe(r, **year), "sortino": q.sortino(r, **year), "calmar": q.calmar(r, **year),
            "omega": q.omega(r, **year), "max_drawdown": q.max_drawdown(r), "tail_ratio": q.tail_ratio(r),
        }
        for symbol, r in returns.items()
    }).T  # fmt: skip


def with_quantkit(returns: pd.DataFrame, columns: pd.Index) -> pd.DataFrame:
    from quantkit.risk import measures

    year = {"periods_per_year": 252}
    ask = {
        "total_return": lambda: measures.total_return(returns),
        "annual_return": lambda: measures.annual_return(returns, **year),
        "volatility": lambda: measures.volatility(returns, **year),
        "downside_deviation": lambda: measures.downside_deviation(returns, **year),
        "sharpe": lambda: measures.sharpe_ratio(returns, **year),
        "sortino": lambda: measures.sortino_ratio(returns, **year),
        "calmar": lambda: measures.calmar_ratio(returns, **year),
        "omega": lambda: measures.omega_ratio(returns),
        "max_drawdown": lambda: measures.max_drawdown(returns),
        "tail_ratio": lambda: measures.tail_ratio(returns),
    }
    return pd.DataFrame({name: ask[name]() for name in columns})


def row(what: str, ours: float, peer: float | None, budget: float | None) -> dict[str, Any]:
    ratio = None if peer is None else ours / peer
    return {"what": what, "ours": ours, "peer": peer, "ratio": ratio, "budget": budget, "unit": "s"}


def run() -> list[dict[str, Any]]:
    """Rows of the benchmark table; `budget` is a ratio where there is a peer and seconds where there is none."""
    from quantkit.risk import backtest_var, rolling

    warnings.simplefilter("ignore")
    returns = market(500, 2520)
    rows = []
    for name, peer in (("empyrical", with_empyrical), ("quantstats", with_quantstats)):
        try:
            start = time.perf_counter()
            theirs = peer(returns)
            taken = time.perf_counter() - start
        except ImportError:
            continue
        columns = theirs.columns
        ours = seconds(lambda columns=columns: with_quantkit(returns, columns))
        np.testing.assert_allclose(with_quantkit(returns, columns), theirs.astype(float), rtol=1e-10, atol=1e-13)
        rows.append(row(f"{len(columns)} measures, 500 symbols x 10 years, beside {name}", ours, taken, 0.2))

    def rolled() -> None:
        rolling(returns, "sharpe", window=252, periods_per_year=252)
        rolling(returns, "max_drawdown", window=252, periods_per_year=252)

    rows.append(row("rolling one-year Sharpe and drawdown, 500 symbols x 10 years", seconds(rolled), None, 2.0))
    one = returns.iloc[-1600:, 0]
    backtested = seconds(lambda: backtest_var(one, origins=1000), repeat=1)
    rows.append(row("VaR backtest, seven methods and auto, 1,000 origins", backtested, None, 15.0))
    return rows


if __name__ == "__main__":
    for each in run():
        print(each)
