"""Portfolios as weights: their returns, and what each symbol adds to their volatility, VaR and ES.

Volatility, VaR and ES grow in proportion to the weights, so Euler's theorem splits each into parts
``weight x marginal`` that sum to the total. Weights are restored every period.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantkit.core.errors import DataError, UsageError
from quantkit.core.fingerprint import fingerprint
from quantkit.core.results import Result
from quantkit.core.threads import one_thread
from quantkit.risk.arrays import matrix
from quantkit.risk.distributions import Empirical
from quantkit.risk.value_at_risk import check_tail_level

__all__ = ["Contributions", "check_weights", "portfolio_returns", "risk_contributions"]

Array: TypeAlias = NDArray[np.float64]

#: How far from 1 the sum of weights may be.
WEIGHT_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Contributions(Result):
    """What each symbol adds to the risk of a portfolio, all per period.

    Attributes
    ----------
    level : float
    volatility, value_at_risk, expected_shortfall : float
        Of the portfolio; VaR and ES by historical simulation, negative for a loss.
    table : DataFrame, shape (N, 7)
        ``weight``, then ``volatility value_at_risk expected_shortfall`` (parts that sum to the totals) and
        ``marginal_volatility marginal_value_at_risk marginal_expected_shortfall`` (change of the total per unit of
        weight).
    diversification : float
        Weighted mean of the symbols' volatilities over the portfolio's: 1 without diversification.
    as_of : Timestamp
    observations : int
    fingerprint : str
    """

    level: float
    volatility: float
    value_at_risk: float
    expected_shortfall: float
    table: pd.DataFrame
    diversification: float
    as_of: pd.Timestamp
    observations: int
    fingerprint: str

    def __post_init__(self) -> None:
        for name in ("volatility", "value_at_risk", "expected_shortfall"):
            total, parts = getattr(self, name), float(self.table[name].sum())
            if not np.isnan(total) and abs(total - parts) > 1e-9 * max(abs(total), 1e-9):
                raise DataError(f"contributions to {name} sum to {parts}, not to {total}")

    def to_frame(self) -> pd.DataFrame:
        """The table."""
        return self.table

    def _repr_html_(self) -> str:
        return self.table.to_html(float_format=lambda value: f"{value:.4f}")


def check_weights(weights: Mapping[str, float] | pd.Series, columns: pd.Index) -> pd.Series:
    """Return `weights` as a Series over `columns` of returns; a symbol without a weight has 0.

    Raises
    ------
    UsageError
        A weight that is no number, a symbol without returns, or a sum other than 1; the message says which.
    """
    given = pd.Series(dict(weights), dtype=np.float64)
    unknown = given.index.difference(columns)
    if len(unknown):
        raise UsageError(f"no returns for {', '.join(map(str, unknown))}; there are {', '.join(map(str, columns))}")
    unusable = given.index[~np.isfinite(given.to_numpy())]
    if len(unusable):
        raise UsageError(f"the weight of {unusable[0]} is not a number: {given[unusable[0]]}")
    total = float(given.sum())
    if abs(total - 1.0) > WEIGHT_TOLERANCE:
        listed = ", ".join(f"{symbol} {weight:g}" for symbol, weight in given.items())
        raise UsageError(f"the weights sum to {total:g}, not to 1: {listed}")
    return given.reindex(columns, fill_value=0.0)


def portfolio_returns(
    returns: pd.DataFrame,
    weights: Mapping[str, float] | pd.Series,
    *,
    currencies: Mapping[str, str] | None = None,
    name: str = "portfolio",
) -> pd.Series:
    """Returns of a portfolio held at `weights`, restored every period.

    Parameters
    ----------
    returns : DataFrame, shape (T, N)
    weights : mapping or Series by symbol
        Sum to 1; negative is short.
    currencies : mapping, optional
        Of the symbols; more than one among those with a weight is refused, since returns in different currencies do
        not add.

    Raises
    ------
    UsageError
        Weights that do not sum to 1 or name an unknown symbol.
    DataError
        NaN, or mixed currencies.
    """
    checked = check_weights(weights, returns.columns)
    if currencies is not None:
        held = {
            str(currencies.get(symbol, "no known currency")): str(symbol) for symbol in checked.index[checked != 0.0]
        }
        if len(held) > 1:
            listed = ", ".join(f"{symbol} in {currency}" for currency, symbol in sorted(held.items()))
            raise DataError(f"a portfolio in one currency is needed; got {listed}")
    values = matrix(returns)
    return pd.Series(values @ checked.to_numpy(), index=returns.index, name=name)


def risk_contributions(
    returns: pd.DataFrame, weights: Mapping[str, float] | pd.Series, *, level: float = 0.95
) -> Contributions:
    """Split a portfolio's volatility, historical VaR and historical ES over its symbols.

    The marginal VaR of a symbol is its mean return on days on which the portfolio is near its VaR, weighed by a
    Gaussian kernel and scaled so that the parts sum to the VaR. The marginal ES is its mean return in the portfolio's
    worst days, the last with its fraction.

    Parameters
    ----------
    returns : DataFrame, shape (T, N)
    weights : mapping or Series by symbol
        Sum to 1.
    level : float in (0.5, 1)

    Returns
    -------
    Contributions

    Raises
    ------
    UsageError, DataError
        As :func:`portfolio_returns`; fewer than 100 returns; a portfolio that does not vary.

    References
    ----------
    Tasche, D. (1999). Risk contributions and performance measurement. Epperlein, E. and Smillie, A. (2006). Cracking
    VaR with kernels. Risk, August.
    """
    level = check_tail_level(level)
    values = matrix(returns, minimum=100)
    weight = check_weights(weights, returns.columns).to_numpy()
    with one_thread():
        total = values @ weight
        cov = np.cov(values, rowvar=False).reshape(len(weight), -1)
        volatility = float(np.sqrt(weight @ cov @ weight))
        if volatility <= 1e-9 * abs(float(total.mean())) or volatility == 0.0:
            raise DataError("the portfolio's returns do not vary, so there is no risk to split")
        marginal_volatility = cov @ weight / volatility
        belief = Empirical(total)
        var, es = belief.quantile(1.0 - level), belief.tail_mean(1.0 - level)
        marginal_var = _marginal_var(values, total, weight, var)
        marginal_es = _marginal_es(values, total, 1.0 - level)
    alone = np.sqrt(np.diag(cov))
    table = pd.DataFrame(
        {
            "weight": weight,
            "volatility": weight * marginal_volatility,
            "value_at_risk": weight * marginal_var,
            "expected_shortfall": weight * marginal_es,
            "marginal_volatility": marginal_volatility,
            "marginal_value_at_risk": marginal_var,
            "marginal_expected_shortfall": marginal_es,
        },
        index=[str(symbol) for symbol in returns.columns],
    )
    return Contributions(
        level=level,
        volatility=volatility,
        value_at_risk=var,
        expected_shortfall=es,
        table=table,
        diversification=float(np.abs(weight) @ alone) / volatility,
        as_of=returns.index[-1],
        observations=len(values),
        fingerprint=fingerprint({"kind": "contributions", "level": level, "weights": weight.tolist()}, returns),
    )


def _marginal_var(values: Array, total: Array, weight: Array, var: float) -> Array:
    # Silverman's width: near enough to the VaR to be about it, wide enough to hold more than one day.
    width = 1.06 * total.std(ddof=1) * len(total) ** -0.2
    kernel = np.exp(-0.5 * ((total - var) / width) ** 2)
    near: Array = kernel @ values / kernel.sum()
    sum_of_parts = float(weight @ near)
    if sum_of_parts * var <= 0.0:
        # A VaR beside zero cannot be reached by scaling; shift every symbol alike, which the weights sum to.
        return near + (var - sum_of_parts)
    return near * (var / sum_of_parts)


def _marginal_es(values: Array, total: Array, p: float) -> Array:
    order = np.argsort(total, kind="stable")
    count = len(total) * p
    whole = int(count)
    share = np.zeros(len(total))
    share[order[:whole]] = 1.0
    if count > whole:
        share[order[whole]] = count - whole
    return np.asarray(share @ values / count, dtype=np.float64)
