"""A portfolio between rebalancings: weights drift with returns, trades cost money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quantkit.portfolio.constraints import Array

__all__ = ["Account", "History", "follow"]


@dataclass(slots=True)
class Account:
    """What is held, in units of the first capital.

    Attributes
    ----------
    positions : array, shape (N,)
        Value in each asset.
    cash : float
        Earns `rate` a period; negative where short sales or leverage borrow.
    cost : float
        Per unit traded.
    """

    positions: Array
    cash: float
    cost: float
    rate: float = 0.0

    @property
    def wealth(self) -> float:
        """Positions and cash."""
        return float(self.positions.sum()) + self.cash

    @property
    def weights(self) -> Array:
        """Shares of the wealth."""
        return self.positions / self.wealth

    def drift(self, returns: Array) -> None:
        """One period passes."""
        self.positions = self.positions * (1.0 + returns)
        self.cash *= 1.0 + self.rate

    def trade(self, weights: Array) -> tuple[float, float]:
        """Trade to `weights`; what was traded, bought plus sold, and what it cost, as shares of the wealth before."""
        before = self.wealth
        turnover = float(np.abs(weights - self.weights).sum())
        cost = self.cost * turnover
        after = before * (1.0 - cost)
        self.positions = weights * after
        self.cash = after - float(self.positions.sum())
        return turnover, cost


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """How an account fared.

    Attributes
    ----------
    wealth : array, shape (T,)
        After costs, of 1 before the first trade; row 0 is the first trade's.
    turnover : dict of row to float
    costs : float
        Sum of the shares of wealth that trades cost.
    """

    wealth: Array
    turnover: dict[int, float]
    costs: float


def follow(targets: Mapping[int, Array], returns: Array, *, start: int, cost: float, rate: float) -> History:
    """Hold to `targets`, which name the row at whose close each is traded, from row `start` on.

    Parameters
    ----------
    targets : mapping of row to weights, shape (N,)
    returns : array, shape (T, N)
        Row t is the return from t - 1 to t.
    start : int
        Row of the first trade.
    cost : float
        Per unit traded.
    rate : float
        Per period, on cash.
    """
    account = Account(np.zeros(returns.shape[1]), 1.0, cost, rate)
    wealth = np.empty(len(returns) - start)
    turnover: dict[int, float] = {}
    costs = 0.0
    for row in range(start, len(returns)):
        if row > start:
            account.drift(returns[row])
        if row in targets:
            turnover[row], paid = account.trade(targets[row])
            costs += paid
        wealth[row - start] = account.wealth
    return History(wealth, turnover, costs)
