"""Between labelled frames and plain matrices: every measure checks once and computes on T x N arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantkit.core.errors import DataError
from quantkit.core.schema import check_returns

__all__ = [
    "NEGLIGIBLE",
    "Array",
    "Returns",
    "RiskFree",
    "align",
    "applied",
    "by_columns",
    "excess_of",
    "matrix",
    "ratio",
    "same_times",
    "spread",
]

Array: TypeAlias = NDArray[np.float64]
Returns: TypeAlias = pd.Series | pd.DataFrame
#: Per period, a decimal: one number, or one a period.
RiskFree: TypeAlias = float | pd.Series

# A standard deviation below this share of the mean is rounding, not variation.
NEGLIGIBLE = 1e-9
BLOCK = 16


def matrix(returns: Returns, *, minimum: int = 2, name: str = "returns") -> Array:
    """Values of `returns`, shape (T, N), N = 1 for a Series.

    Raises
    ------
    DataError
        Fewer than `minimum` rows, NaN, infinities or returns below -1; names the first offending date and column.
    """
    if not isinstance(returns, (pd.Series, pd.DataFrame)):
        raise DataError(f"{name}: expected a Series or DataFrame of returns, got {type(returns).__name__}")
    values = returns.to_numpy(dtype=np.float64, na_value=np.nan)
    values = values[:, None] if values.ndim == 1 else values
    sound = isinstance(returns.index, pd.DatetimeIndex) and len(values) >= minimum
    if not (sound and returns.index.is_monotonic_increasing and np.isfinite(values).all() and (values >= -1.0).all()):
        called = str(returns.name) if isinstance(returns, pd.Series) and returns.name is not None else name
        check_returns(returns, name=called, minimum=minimum)
    return values


def applied(returns: Returns, kernel: Callable[[Array], Array], *, minimum: int = 2) -> Any:
    """`kernel`, which takes (T, N) to (N,), of `returns`: a float for a Series, a Series by column for a frame.

    What is infinite or undefined comes back as NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        answer = by_columns(matrix(returns, minimum=minimum), kernel)
    answer = np.where(np.isfinite(answer), answer, np.nan)
    return pd.Series(answer, index=returns.columns) if isinstance(returns, pd.DataFrame) else float(answer[0])


def by_columns(values: Array, kernel: Callable[[Array], Array]) -> Array:
    """`kernel` of `values`, a few columns at a time: intermediate matrices then stay in the processor's cache."""
    if values.shape[1] <= BLOCK:
        return kernel(values)
    blocks = range(0, values.shape[1], BLOCK)
    return np.concatenate([kernel(np.ascontiguousarray(values[:, at : at + BLOCK])) for at in blocks], axis=-1)


def same_times(returns: Returns, other: Returns, *, name: str) -> None:
    """Refuse two series whose times differ; :func:`align` makes them agree and counts what that drops.

    Raises
    ------
    DataError
        Names the first time that one has and the other has not.
    """
    if returns.index.equals(other.index):
        return
    odd = returns.index.symmetric_difference(other.index)
    first = odd[0]
    owner = "the returns" if first in returns.index else name
    raise DataError(f"{name} and the returns do not share their times: {first} is only in {owner}; align them first")


def align(returns: Returns, other: Returns, *, name: str) -> tuple[Any, Any, int]:
    """Rows that both have, and how many rows of `returns` were left out for that.

    Raises
    ------
    DataError
        No common time; names both spans.
    """
    common = returns.index.intersection(other.index)
    if common.empty:
        spans = [f"{each.index[0]:%Y-%m-%d} to {each.index[-1]:%Y-%m-%d}" if len(each) else "nothing"
                 for each in (other, returns)]  # fmt: skip
        raise DataError(f"{name} covers {spans[0]} and the returns {spans[1]}: they do not overlap")
    return returns.loc[common], other.loc[common], len(returns) - len(common)


def excess_of(returns: Returns, values: Array, risk_free: RiskFree) -> Array:
    """`values` of `returns` less the risk-free rate of each period."""
    if isinstance(risk_free, pd.Series):
        same_times(returns, risk_free, name=str(risk_free.name or "risk_free"))
        return values - matrix(risk_free, minimum=1, name="risk_free")
    return values - float(risk_free) if risk_free else values


def spread(values: Array) -> Array:
    """Sample standard deviation (denominator T - 1) of each column; exactly 0 where it is only rounding."""
    deviation = values.std(axis=0, ddof=1)
    return np.where(deviation <= NEGLIGIBLE * np.abs(values.mean(axis=0)), 0.0, deviation)


def ratio(numerator: Array, denominator: Array) -> Array:
    """`numerator / denominator`, NaN where the denominator is not positive: such a ratio has no meaning."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    return np.divide(numerator, denominator, out=np.full(shape, np.nan), where=np.broadcast_to(denominator > 0, shape))
