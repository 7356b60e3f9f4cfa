"""Whole shares for a sum of money: the nearest to the wanted weights that the money can buy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from quantkit.core.errors import ComputeError, DataError, UsageError
from quantkit.core.results import Result
from quantkit.portfolio.constraints import weights_vector

__all__ = ["Shares", "whole_shares"]

#: Branches that are searched; then the best found so far is taken.
NODES: Final = 300


@dataclass(frozen=True, slots=True, eq=False)
class Shares(Result):
    """What to hold and to trade.

    Attributes
    ----------
    shares : Series by symbol
        Held afterwards, negative for a short position.
    trades : Series by symbol
        Bought, negative for sold.
    value : Series by symbol
        Of each position in the currency of `capital`.
    weights : Series by symbol
        Shares of the capital that are really held.
    leftover_cash : float
        What remains after trades and their costs.
    costs : float
        Of the trades.
    capital : float
    deviation : float
        Sum of the absolute differences from the wanted weights.
    """

    shares: pd.Series
    trades: pd.Series
    value: pd.Series
    weights: pd.Series
    leftover_cash: float
    costs: float
    capital: float
    deviation: float

    def __post_init__(self) -> None:
        spent = float(self.value.sum()) + self.costs + self.leftover_cash
        if abs(spent - self.capital) > 1e-6 * self.capital:
            raise DataError(f"shares: positions, costs and cash come to {spent:,.2f}, not to {self.capital:,.2f}")


def whole_shares(
    weights: pd.Series,
    prices: Mapping[str, float] | pd.Series,
    capital: float,
    *,
    current_shares: Mapping[str, float] | pd.Series | None = None,
    cost_bps: float = 0.0,
    fractional: bool = False,
) -> Shares:
    """Number of shares whose values come nearest to ``weights * capital``, with as little cash left as possible.

    Minimises the sum of absolute deviations in value plus what stays uninvested (cash and costs), PyPortfolioOpt's
    objective, by mixed-integer programming; cash is never negative.

    Parameters
    ----------
    weights : Series by symbol
        Wanted, shares of the capital.
    prices : mapping of symbol to price
        Of one share now, all in the currency of `capital`.
    capital : float
        Cash and the value of what is held, together.
    current_shares : mapping of symbol to number
        What is held; nothing where it is not given.
    cost_bps : float
        Basis points of what is bought plus sold.
    fractional : bool
        Whether parts of a share can be held.

    Raises
    ------
    UsageError
        `capital` is not positive, a price is missing, or a symbol is held that is not among `weights`.

    Examples
    --------
    >>> found = whole_shares(pd.Series({"AAPL": 0.5, "MSFT": 0.5}), {"AAPL": 30.0, "MSFT": 40.0}, 110.0)
    >>> found.shares.to_dict(), found.leftover_cash
    ({'AAPL': 2.0, 'MSFT': 1.0}, 10.0)
    """
    symbols = list(weights.index)
    capital = _positive(capital, "capital")
    price = np.array([_positive(dict(prices).get(symbol), f"price of {symbol}") for symbol in symbols])
    if current_shares is not None and (odd := sorted(set(dict(current_shares)) - set(symbols))):
        raise UsageError(f"current_shares hold {', '.join(odd)}, not among {', '.join(symbols)}")
    held = weights_vector(current_shares, symbols)
    rate = float(cost_bps) / 1e4
    wanted = weights.to_numpy(dtype=np.float64) * capital
    number = _number_of(wanted, price, held, capital, rate, fractional=fractional)
    value, costs = number * price, rate * float(np.abs(number - held) @ price)

    def by_symbol(values: Any) -> pd.Series:
        return pd.Series(values, index=pd.Index(symbols), dtype=np.float64)

    return Shares(
        shares=by_symbol(number),
        trades=by_symbol(number - held),
        value=by_symbol(value),
        weights=by_symbol(value / capital),
        leftover_cash=max(float(capital - value.sum() - costs), 0.0),
        costs=costs,
        capital=capital,
        deviation=float(np.abs(value - wanted).sum() / capital),
    )


def _number_of(
    wanted: np.ndarray, price: np.ndarray, held: np.ndarray, capital: float, rate: float, *, fractional: bool
) -> np.ndarray:
    """Minimise ``sum(u) + v`` over shares n, deviations u, trades t and the deviation v of what is invested in all.

    With everything to be invested v is what is not: cash left over, and costs. Costs do not enter v as ``rate * t``:
    the solver could then feign trades to use up cash.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    size = len(price)
    # In units of a typical price: in those of the capital a share would drown in the solver's tolerances.
    money = float(np.median(price))
    unit, target, total = price / money, wanted / money, capital / money
    # Without costs nobody asks what is traded, and the search is faster without those variables.
    eye, moved = np.eye(size), np.eye(size)[:, : size if rate else 0]
    none, zero = np.zeros_like(moved), np.zeros((size, 1))
    spent = np.r_[unit, np.zeros(size), rate * unit[: moved.shape[1]], 0.0]
    invested = np.r_[unit, np.zeros(len(spent) - size)]
    last = np.r_[np.zeros(len(spent) - 1), 1.0]
    rows = [
        LinearConstraint(np.hstack([np.diag(unit), -eye, none, zero]), ub=target),
        LinearConstraint(np.hstack([-np.diag(unit), -eye, none, zero]), ub=-target),
        LinearConstraint(spent[None, :], ub=total),
        LinearConstraint(np.vstack([-invested - last, invested - last]), ub=np.array([-target.sum(), target.sum()])),
    ]
    if rate:
        nothing = np.zeros_like(eye)
        rows.append(LinearConstraint(np.hstack([eye, nothing, -moved, zero]), ub=held))
        rows.append(LinearConstraint(np.hstack([-eye, nothing, -moved, zero]), ub=-held))
    most = np.where(target < 0.0, 0.0, np.ceil(np.maximum(target, 0.0) / unit) + np.ceil(total / unit))
    least = np.where(target < 0.0, np.floor(target / unit) - 1.0, 0.0)
    others = len(spent) - size
    bounds = Bounds(np.r_[least, np.zeros(others)], np.r_[most, np.full(others, np.inf)])
    gain = np.r_[np.zeros(size), np.ones(size), np.zeros(moved.shape[1]), 1.0]
    whole = np.r_[np.full(size, 0 if fractional else 1), np.zeros(others)]
    # A limit in nodes, not in seconds, so that the answer does not depend on how busy the machine is.
    options = {"node_limit": NODES, "mip_rel_gap": 1e-3}
    found = milp(gain, constraints=rows, bounds=bounds, integrality=whole, options=options)
    if found.x is None:
        raise ComputeError(f"no number of shares was found: {found.message}")
    number = found.x[:size]
    return np.round(number) + 0.0 if not fractional else number


def _positive(value: Any, name: str) -> float:
    fine = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not fine or not math.isfinite(value) or value <= 0:
        raise UsageError(f"{name} {value!r} is not a positive number")
    return float(value)
