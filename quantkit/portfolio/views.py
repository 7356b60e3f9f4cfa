"""Opinions about returns, and how Black and Litterman blend them with what the market implies."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from quantkit.core.errors import UsageError
from quantkit.core.results import Result
from quantkit.core.schema import check_symbol
from quantkit.portfolio.constraints import Array

__all__ = ["MARKET_RISK_AVERSION", "Posterior", "View", "as_views", "black_litterman", "implied_returns"]

#: World average of He and Litterman (1999).
MARKET_RISK_AVERSION: Final = 2.5
#: Uncertainty of the prior mean as a share of the covariance, as in He and Litterman (1999).
TAU: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class View(Result):
    """One opinion: the portfolio of `assets` will earn `expected_return` a year.

    Attributes
    ----------
    assets : dict of symbol to weight
        ``{"AAPL": 1}`` for AAPL itself, ``{"AAPL": 1, "MSFT": -1}`` for AAPL beyond MSFT.
    expected_return : float
        Annual, a decimal.
    confidence : float in [0, 1]
        0 leaves the prior as it is, 1 takes the view as certain (Idzorek's scale).
    """

    assets: dict[str, float]
    expected_return: float
    confidence: float = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.assets, Mapping) or not any(self.assets.values()):
            raise UsageError(f"view on {self.assets!r}: expected weights by symbol such as {{'AAPL': 1, 'MSFT': -1}}")
        put = object.__setattr__
        put(self, "assets", {check_symbol(symbol): float(weight) for symbol, weight in self.assets.items()})
        for name, low, high in (("expected_return", -math.inf, math.inf), ("confidence", 0.0, 1.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                accepted = "a number" if low == -math.inf else f"a number from {low:g} to {high:g}"
                raise UsageError(f"view on {', '.join(self.assets)}: {name} {value!r} is not {accepted}")
            put(self, name, float(value))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A view from its JSON form; ``confidence`` may be left out."""
        names = [each.name for each in dataclasses.fields(cls)]
        if not isinstance(values, Mapping) or not {"assets", "expected_return"} <= set(values) <= set(names):
            raise UsageError(f"view {values!r}: expected assets, expected_return and, if wanted, confidence")
        return cls(**values)


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Returns and their covariance after the views.

    Attributes
    ----------
    mu : array, shape (N,)
    cov : array, shape (N, N)
        That of the returns themselves plus that of the estimate of their mean.
    """

    mu: Array
    cov: Array


def as_views(given: Sequence[View | Mapping[str, Any]] | Mapping[str, float] | None) -> tuple[View, ...]:
    """Views from what a caller may hand over: objects, their JSON forms, or annual returns by symbol.

    Examples
    --------
    >>> as_views({"AAPL": 0.1})[0].assets
    {'AAPL': 1.0}
    """
    if given is None:
        return ()
    if isinstance(given, Mapping) and not {"assets", "expected_return"} & set(given):
        return tuple(View({symbol: 1.0}, value) for symbol, value in given.items())
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Sequence):
        raise UsageError(f"views {given!r}: expected a list of views or annual returns by symbol")
    return tuple(each if isinstance(each, View) else View.from_dict(each) for each in given)


def implied_returns(cov: Array, market: Array, *, risk_aversion: float = MARKET_RISK_AVERSION) -> Array:
    """Excess returns under which the `market` weights are optimal, ``risk_aversion * cov @ market``.

    References
    ----------
    He, G. and Litterman, R. (1999). The intuition behind Black-Litterman model portfolios. Goldman Sachs.
    """
    return risk_aversion * (cov @ market)


def black_litterman(
    prior: Array,
    cov: Array,
    picks: Array,
    values: Array,
    *,
    confidences: Array | None = None,
    uncertainty: Array | None = None,
    tau: float = TAU,
) -> Posterior:
    """Blend `prior` excess returns with views.

    Parameters
    ----------
    prior : array, shape (N,)
    cov : array, shape (N, N)
    picks : array, shape (K, N)
        One view a row.
    values : array, shape (K,)
        Excess return of each view's portfolio, per the period of `prior`.
    confidences : array, shape (K,), in [0, 1]
        A view of confidence 0 is left out; the others have the variance ``tau (1 - c) / c`` times that of the view's
        portfolio (Idzorek's scale in Walters' closed form).
    uncertainty : array, shape (K,)
        Variances of the views, instead of confidences. With neither, ``tau`` times the variance of each portfolio.
    tau : float

    Returns
    -------
    Posterior
        The prior itself, mean and covariance, where no view is left.

    References
    ----------
    Black, F. and Litterman, R. (1992). Global portfolio optimization. Financial Analysts Journal 48(5). Walters, J.
    (2014). The Black-Litterman model in detail, formulas 41 and 44.
    """
    if confidences is not None:
        held = np.asarray(confidences) > 0.0
        picks, values, confidences = picks[held], values[held], np.asarray(confidences)[held]
    if len(picks) == 0:
        return Posterior(prior, cov)
    spread = np.einsum("kn,nm,km->k", picks, cov, picks)
    if uncertainty is None:
        share = np.ones(len(picks)) if confidences is None else (1.0 - confidences) / confidences
        uncertainty = tau * share * spread
    from pypfopt.black_litterman import BlackLittermanModel

    model = BlackLittermanModel(
        cov,
        pi=prior.reshape(-1, 1),
        P=picks,
        Q=values.reshape(-1, 1),
        omega=np.diag(uncertainty),
        tau=tau,
    )
    return Posterior(model.bl_returns().to_numpy(), model.bl_cov().to_numpy())
