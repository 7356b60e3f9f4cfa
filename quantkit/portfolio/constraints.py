"""What a portfolio must hold to, as people say it, and the same as linear limits on the weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantkit.core.errors import UsageError
from quantkit.core.results import Result
from quantkit.core.returns import annualise_volatility
from quantkit.core.schema import check_symbol

__all__ = ["Array", "Constraints", "Feasible", "Limit", "as_constraints", "percent", "weights_vector"]

Array = NDArray[np.float64]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Constraints(Result):
    """Limits on a portfolio; every weight is a share of the capital, 0.1 for 10 %.

    Attributes
    ----------
    bounds : (float, float)
        Least and most of every asset; ``(0, 1)`` is long-only, ``(-1, 1)`` allows short positions.
    asset_bounds : dict of symbol to (float, float)
        Instead of `bounds` for single assets.
    sectors : dict of symbol to sector
    sector_bounds : dict of sector to (float, float)
        Least and most of the sum over the sector's assets.
    net : (float, float)
        Least and most of the sum of the weights; one number means exactly that. What is not invested earns the
        risk-free rate.
    gross : float or None
        Most of the sum of absolute weights: 1.6 with net 1 is a 130/30 portfolio.
    turnover : float or None
        Most that may be traded, bought plus sold, from the current weights.
    cost_bps : float
        Cost of trading from the current weights, in basis points of what is bought plus sold. It is taken off the
        expected return of the objectives that know one, spread over `holding_periods`.
    holding_periods : int
        Periods until the next rebalancing.
    tracking_error : float or None
        Most annual standard deviation of the return beside that of `benchmark_weights`.
    benchmark_weights : dict of symbol to float

    Raises
    ------
    UsageError
        A limit is not a number, or its least is above its most; names the limit and what is accepted.
    """

    bounds: Range = (0.0, 1.0)
    asset_bounds: dict[str, Range] = field(default_factory=dict)
    sectors: dict[str, str] = field(default_factory=dict)
    sector_bounds: dict[str, Range] = field(default_factory=dict)
    net: Range = (1.0, 1.0)
    gross: float | None = None
    turnover: float | None = None
    cost_bps: float = 0.0
    holding_periods: int = 21
    tracking_error: float | None = None
    benchmark_weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "bounds", _range(self.bounds, "bounds"))
        put(self, "net", _range(self.net, "net"))
        for name in ("asset_bounds", "sectors", "sector_bounds", "benchmark_weights"):
            if not isinstance(getattr(self, name), Mapping):
                raise UsageError(f"{name} {getattr(self, name)!r} is not a mapping")
        put(self, "asset_bounds", {
            check_symbol(symbol): _range(limits, f"asset_bounds of {symbol}")
            for symbol, limits in self.asset_bounds.items()
        })  # fmt: skip
        put(self, "sector_bounds", {
            str(sector): _range(limits, f"sector_bounds of {sector}") for sector, limits in self.sector_bounds.items()
        })  # fmt: skip
        put(self, "sectors", {check_symbol(symbol): str(sector) for symbol, sector in self.sectors.items()})
        put(self, "benchmark_weights", {
            check_symbol(symbol): _number(weight, f"benchmark_weights of {symbol}")
            for symbol, weight in self.benchmark_weights.items()
        })  # fmt: skip
        for name in ("gross", "turnover", "tracking_error", "cost_bps"):
            value = getattr(self, name)
            if value is not None or name == "cost_bps":
                put(self, name, _number(value, name, least=0.0))
        periods = self.holding_periods
        if isinstance(periods, bool) or not isinstance(periods, int) or periods < 1:
            raise UsageError(f"holding_periods {periods!r} is not a whole number of at least 1")
        known = set(self.sectors.values())
        for sector in self.sector_bounds:
            if sector not in known:
                raise UsageError(
                    f"sector_bounds name sector {sector!r}, which no asset has; "
                    f"sectors has {', '.join(sorted(known)) or 'none'}"
                )
        if self.tracking_error is not None and not self.benchmark_weights:
            raise UsageError("tracking_error needs benchmark_weights to be measured against")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Constraints from any of the fields by name, as JSON has them; what is left out has its default.

        Raises
        ------
        UsageError
            A name is unknown, or a value cannot be used.

        Examples
        --------
        >>> Constraints.from_dict({"bounds": [0, 0.4], "net": 1}).bounds
        (0.0, 0.4)
        """
        if not isinstance(values, Mapping):
            raise UsageError(f"constraints {values!r} are not a mapping of names to limits")
        names = [each.name for each in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise UsageError(f"unknown constraint {name!r}; choose from {', '.join(names)}")
        return cls(**{name: value for name, value in values.items() if value is not None})

    @property
    def long_only(self) -> bool:
        """Whether no asset may be held short."""
        return self.bounds[0] >= 0.0 and all(lower >= 0.0 for lower, _ in self.asset_bounds.values())

    def resolve(
        self,
        symbols: Sequence[str],
        *,
        current: Mapping[str, float] | pd.Series | None = None,
        periods_per_year: float = 252.0,
        known: Sequence[str] = (),
    ) -> Feasible:
        """The same limits for these `symbols`, in their order, per period.

        Parameters
        ----------
        symbols : sequence of str
        current : mapping of symbol to weight
            What is held now; nothing where it is not given.
        periods_per_year : float
        known : sequence of str
            Further symbols that may be named although they are not among `symbols`.

        Raises
        ------
        UsageError
            A symbol is named that is neither in `symbols` nor `known`, or turnover is limited with no holdings given.
        """
        named = {*self.asset_bounds, *self.benchmark_weights}
        if unknown := sorted(named - {*symbols, *known}):
            raise UsageError(f"constraints name {', '.join(unknown)}, not among {', '.join(symbols)}")
        if self.turnover is not None and current is None:
            raise UsageError("turnover is limited, but current_weights are not given")
        pairs = np.array([self.asset_bounds.get(symbol, self.bounds) for symbol in symbols])
        if self.net[1] < 0.0 and (pairs[:, 0] >= 0.0).all():
            raise UsageError(f"net {self.net[1]:g} is below 0, but bounds {self.bounds} allow no short position")
        groups = tuple(
            Group(sector, np.array([float(self.sectors.get(symbol) == sector) for symbol in symbols]), *limits)
            for sector, limits in self.sector_bounds.items()
        )
        error, allowed = self.tracking_error, None
        if error is not None:
            # The inverse of annualising: a year seen as one period out of 1 / periods_per_year.
            allowed = annualise_volatility(error, periods_per_year=1.0 / periods_per_year)
        return Feasible(
            symbols=tuple(symbols),
            lower=pairs[:, 0],
            upper=pairs[:, 1],
            shared=tuple(symbol not in self.asset_bounds for symbol in symbols),
            net=self.net,
            groups=groups,
            gross=self.gross,
            current=weights_vector(current, symbols),
            turnover=self.turnover,
            cost=self.cost_bps / 1e4 / self.holding_periods,
            benchmark=weights_vector(self.benchmark_weights, symbols),
            tracking_error=allowed,
            tracking_name="" if error is None else f"tracking error at most {percent(error)} a year",
        )


class Group(NamedTuple):
    """Assets whose weights are limited together: `member` is 1 for those inside, shape (N,)."""

    name: str
    member: Array
    lower: float
    upper: float


class Limit(NamedTuple):
    """``coefficients @ weights <= upper``.

    Attributes
    ----------
    name : str
        In words. Limits of one name are relaxed by one and the same amount.
    coefficients : array, shape (N,)
    upper : float
    span : float
        Range of values that the limited quantity can take, by which a relaxation is measured.
    asset : int or None
        Position of the one asset whose bound this is.
    """

    name: str
    coefficients: Array
    upper: float
    span: float
    asset: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Feasible:
    """The set of weights that meet the constraints, in arrays over N assets, per period.

    Attributes
    ----------
    symbols : tuple of str
    lower, upper : array, shape (N,)
    shared : tuple of bool
        Whether an asset's bounds are those of every asset.
    net : (float, float)
    groups : tuple of Group
    gross, turnover : float or None
    current : array, shape (N,)
    cost : float
        Per unit traded and period.
    benchmark : array, shape (N,)
    tracking_error : float or None
    tracking_name : str
        That limit in words.
    """

    symbols: tuple[str, ...]
    lower: Array
    upper: Array
    shared: tuple[bool, ...]
    net: Range
    groups: tuple[Group, ...]
    gross: float | None
    current: Array
    turnover: float | None
    cost: float
    benchmark: Array
    tracking_error: float | None
    tracking_name: str

    @property
    def size(self) -> int:
        """Number of assets."""
        return len(self.symbols)

    @property
    def on_critical_line(self) -> bool:
        """Whether the set is a fixed budget with bounds, sectors and gross exposure, which the critical line takes."""
        return self.net[0] == self.net[1] and self.turnover is None and not self.cost and self.tracking_error is None

    @property
    def trades(self) -> bool:
        """Whether what is traded from the current weights matters."""
        return self.turnover is not None or self.cost > 0.0

    def limits(self) -> list[Limit]:
        """Every linear limit that may be relaxed when they cannot all hold.

        The budget never is, and long-only never is: a lower bound of zero or above is relaxed down to zero at most.
        """
        found = []
        for at in range(self.size):
            unit = np.zeros(self.size)
            unit[at] = 1.0
            who = "every asset" if self.shared[at] else self.symbols[at]
            found.append(Limit(f"{who} at most {percent(self.upper[at])}", unit, self.upper[at], 1.0, at))
            if self.lower[at] != 0.0:
                found.append(Limit(f"{who} at least {percent(self.lower[at])}", -unit, -self.lower[at], 1.0, at))
        for group in self.groups:
            at_most, at_least = self.group_names(group)
            found.append(Limit(at_most, group.member, group.upper, 1.0))
            if group.lower > self.lower @ group.member:
                found.append(Limit(at_least, -group.member, -group.lower, 1.0))
        return found

    @staticmethod
    def group_names(group: Group) -> tuple[str, str]:
        """The upper and the lower limit of a group in words."""
        return f"{group.name} at most {percent(group.upper)}", f"{group.name} at least {percent(group.lower)}"

    def violations(self, weights: Array, *, tolerance: float = 1e-7) -> list[str]:
        """Limits, in words, that `weights` break by more than `tolerance`; tracking error is not looked at."""
        broken = [each.name for each in self.limits() if each.coefficients @ weights > each.upper + tolerance]
        net = float(weights.sum())
        if not self.net[0] - tolerance <= net <= self.net[1] + tolerance:
            broken.append(self.net_name)
        if (weights < np.minimum(self.lower, 0.0) - tolerance).any():
            broken.append("no short positions")
        if self.gross is not None and np.abs(weights).sum() > self.gross + tolerance:
            broken.append(self.gross_name)
        if self.turnover is not None and np.abs(weights - self.current).sum() > self.turnover + tolerance:
            broken.append(self.turnover_name)
        return list(dict.fromkeys(broken))

    @property
    def net_name(self) -> str:
        """The budget in words."""
        low, high = self.net
        if low == high:
            return f"net exposure {percent(low)}"
        return f"net exposure between {percent(low)} and {percent(high)}"

    @property
    def gross_name(self) -> str:
        """The limit on absolute weights in words."""
        return f"gross exposure at most {percent(self.gross or 0.0)}"

    @property
    def turnover_name(self) -> str:
        """The limit on trading in words."""
        return f"turnover at most {percent(self.turnover or 0.0)}"


def as_constraints(given: Constraints | Mapping[str, Any] | None) -> Constraints:
    """Constraints from what a caller may hand over: the object, its JSON form, or nothing."""
    if given is None:
        return Constraints()
    return given if isinstance(given, Constraints) else Constraints.from_dict(given)


def weights_vector(weights: Mapping[str, float] | pd.Series | None, symbols: Sequence[str]) -> Array:
    """Weights in the order of `symbols`, zero where none is given."""
    if weights is None:
        return np.zeros(len(symbols))
    given = {str(symbol): _number(weight, f"weight of {symbol}") for symbol, weight in dict(weights).items()}
    return np.array([given.get(symbol, 0.0) for symbol in symbols])


def _number(value: Any, name: str, *, least: float = -math.inf) -> float:
    fine = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not fine or not math.isfinite(value) or value < least:
        raise UsageError(f"{name} {value!r} is not a number{'' if least == -math.inf else f' of at least {least:g}'}")
    return float(value)


def _range(value: Any, name: str) -> Range:
    pair = (value, value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise UsageError(f"{name} {value!r} is not a pair of least and most, such as [0, 0.4]")
    low, high = (_number(each, name) for each in pair)
    if low > high:
        raise UsageError(f"{name} {value!r}: its least is above its most")
    return low, high


def percent(value: float) -> str:
    """A share as people read it."""
    return f"{100.0 * value:.4g} %"
