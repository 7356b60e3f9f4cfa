"""How strategies compare: their measures, and whether a difference from 1/N is more than luck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from quantkit.core.returns import annualise_mean
from quantkit.portfolio.account import History
from quantkit.risk.measures import annual_return, max_drawdown, sharpe_ratio, sortino_ratio, volatility

__all__ = ["SharpeDifference", "measure", "sharpe_difference", "wealth_returns"]


@dataclass(frozen=True, slots=True)
class SharpeDifference:
    """An annual Sharpe ratio less another one, and how sure that is.

    Attributes
    ----------
    difference : float
    lower, upper : float
        95 % interval.
    p_value : float
        Two-sided, that there is none.
    block_length : float
    """

    difference: float
    lower: float
    upper: float
    p_value: float
    block_length: float


def wealth_returns(wealth: pd.DataFrame) -> pd.DataFrame:
    """Returns per period of wealth that was 1 before its first row, whose return is the cost of the first trade."""
    before = wealth.shift(1)
    before.iloc[0] = 1.0
    return wealth / before - 1.0


def measure(
    returns: pd.DataFrame, histories: dict[str, History], *, rate: float, periods_per_year: float
) -> pd.DataFrame:
    """Annual measures of every strategy, and what each traded and paid a year; NaN where there is no account."""
    annual = {"periods_per_year": periods_per_year}

    def a_year(total: float) -> float:
        return float(annualise_mean(total / len(returns), periods_per_year=periods_per_year))

    traded = {name: a_year(sum(each.turnover.values())) for name, each in histories.items()}
    paid = {name: a_year(each.costs) for name, each in histories.items()}
    return pd.DataFrame(
        {
            "annual_return": annual_return(returns, **annual),
            "volatility": volatility(returns, **annual),
            "sharpe": sharpe_ratio(returns, risk_free=rate, **annual),
            "sortino": sortino_ratio(returns, risk_free=rate, **annual),
            "max_drawdown": max_drawdown(returns),
            "turnover": pd.Series(traded).reindex(returns.columns),
            "costs": pd.Series(paid).reindex(returns.columns),
        }
    )


def sharpe_difference(
    ours: pd.Series, theirs: pd.Series, *, rate: float, periods_per_year: float, draws: int = 2000, seed: int = 0
) -> SharpeDifference:
    """Difference of two Sharpe ratios, by a stationary bootstrap that draws both series' days together.

    The mean block length is the longer of the two that Politis and White's rule chooses for the series themselves. The
    p-value is the share of draws whose difference lies as far from the measured one as that lies from zero.

    References
    ----------
    Politis, D. and Romano, J. (1994). The stationary bootstrap. Journal of the American Statistical Association 89.
    Patton, A., Politis, D. and White, H. (2009). Correction to automatic block-length selection for the dependent
    bootstrap. Econometric Reviews 28(4). Ledoit, O. and Wolf, M. (2008). Robust performance hypothesis testing with
    the Sharpe ratio. Journal of Empirical Finance 15(5).
    """
    annual = {"periods_per_year": periods_per_year, "risk_free": rate}
    found = float(sharpe_ratio(ours, **annual) - sharpe_ratio(theirs, **annual))
    pair = np.column_stack([ours.to_numpy(), theirs.to_numpy()])
    if not np.isfinite(found) or np.array_equal(pair[:, 0], pair[:, 1]):
        return SharpeDifference(found, found, found, 1.0 if found == 0.0 else float("nan"), 1.0)
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    block = float(np.clip(optimal_block_length(pair)["stationary"].max(), 1.0, len(pair) / 4.0))
    # Its annotation says int; the mean length is a real number.
    bootstrap = StationaryBootstrap(block, pair, seed=np.random.default_rng(seed))  # type: ignore[arg-type]
    drawn = np.empty(draws)
    at_once = 100
    for first in range(0, draws, at_once):
        count = min(at_once, draws - first)
        rows = np.column_stack([bootstrap.update_indices() for _ in range(count)])
        ratios = [sharpe_ratio(pd.DataFrame(pair[rows, side], index=ours.index), **annual) for side in (0, 1)]
        drawn[first : first + count] = (ratios[0] - ratios[1]).to_numpy()
    lower, upper = np.nanpercentile(drawn, [2.5, 97.5])
    # The measured sample counts as one of its own draws, so that no p-value is zero.
    extreme = int((np.abs(drawn - found) >= abs(found)).sum())
    return SharpeDifference(found, float(lower), float(upper), (1.0 + extreme) / (1.0 + draws), block)
