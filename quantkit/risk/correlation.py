"""How symbols move together: correlation matrices in an order that shows their groups, and pairs over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantkit.core.errors import DataError, UsageError
from quantkit.core.fingerprint import fingerprint
from quantkit.core.results import Result
from quantkit.core.threads import one_thread
from quantkit.risk.arrays import matrix
from quantkit.risk.rolling import rolling
from quantkit.risk.tail_models import EWMA_DECAY

__all__ = [
    "CORRELATION_METHODS",
    "Correlation",
    "CorrelationMethod",
    "correlation",
    "covariance",
    "nearest_correlation",
    "rolling_correlation",
]

Array: TypeAlias = NDArray[np.float64]

CorrelationMethod = Literal["pearson", "spearman", "ewma", "ledoit_wolf"]
CORRELATION_METHODS: Final[tuple[CorrelationMethod, ...]] = get_args(CorrelationMethod)
# Eigenvalues below this are negative beyond what rounding explains.
_NEGATIVE: Final = -1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Correlation(Result):
    """A correlation matrix, ordered so that symbols that move together stand together.

    Attributes
    ----------
    method : {"pearson", "spearman", "ewma", "ledoit_wolf"}
    matrix : DataFrame, shape (N, N)
        Rows and columns in `order`.
    order : tuple of str
        Leaves of the tree of average linkage over the distance ``sqrt((1 - rho) / 2)``.
    merges : tuple of tuple of float
        The tree itself, scipy's linkage over `order`: left, right, distance, size.
    average : float
        Mean of the off-diagonal entries.
    repaired : float
        Largest change of an entry by the repair to a positive semi-definite matrix; 0 where none was needed.
    smallest_eigenvalue : float
        Before the repair.
    shrinkage : float
        Ledoit and Wolf's intensity in [0, 1]; NaN for other methods.
    observations : int
        Returns behind each entry; taken pairwise, behind the one that has fewest.
    start, as_of : Timestamp
        First and last return used.
    fingerprint : str
    """

    method: str
    matrix: pd.DataFrame
    order: tuple[str, ...]
    merges: tuple[tuple[float, ...], ...]
    average: float
    repaired: float
    smallest_eigenvalue: float
    shrinkage: float
    observations: int
    start: pd.Timestamp
    as_of: pd.Timestamp
    fingerprint: str

    def to_frame(self) -> pd.DataFrame:
        """The matrix."""
        return self.matrix

    def _repr_html_(self) -> str:
        return f"<p>{self.in_words()}</p>{self.matrix.round(2).to_html()}"

    def in_words(self) -> str:
        """One sentence on what the matrix stands on, and whether it had to be repaired."""
        said = f"{self.method} correlation of {len(self.order)} symbols over {self.observations} returns"
        if self.repaired > 0.0:
            said += f"; repaired to be positive semi-definite, entries moved by at most {self.repaired:.2g}"
        return said + "."


def correlation(
    returns: pd.DataFrame,
    *,
    method: CorrelationMethod = "pearson",
    decay: float = EWMA_DECAY,
    pairwise: bool = False,
) -> Correlation:
    """Correlation matrix of `returns`, in clustered order, positive semi-definite.

    Parameters
    ----------
    returns : DataFrame, shape (T, N)
        Simple per-period returns, at least two columns.
    method : {"pearson", "spearman", "ewma", "ledoit_wolf"}
        ``ewma`` weighs recent returns more (around zero, as RiskMetrics); ``ledoit_wolf`` shrinks the covariance
        towards a multiple of the identity.
    decay : float in (0, 1)
        Of ``ewma``.
    pairwise : bool
        Take each pair over the rows that both have, so that symbols with shorter histories (NaN) can stand beside
        longer ones; pearson and spearman only. Such a matrix may need the repair.

    Returns
    -------
    Correlation

    Raises
    ------
    UsageError
        Unknown method, one column, or a decay out of range.
    DataError
        NaN, fewer than 3 rows, or a column that does not vary (it has no correlation).

    References
    ----------
    Ledoit, O. and Wolf, M. (2004). A well-conditioned estimator for large-dimensional covariance matrices. Journal of
    Multivariate Analysis 88. Higham, N. (2002). Computing the nearest correlation matrix. IMA J. Numer. Anal. 22.
    """
    if method not in CORRELATION_METHODS:
        raise UsageError(f"unknown correlation method {method!r}; choose from {', '.join(CORRELATION_METHODS)}")
    if pairwise and method not in ("pearson", "spearman"):
        raise UsageError(f"{method} correlation cannot be taken pairwise; choose from pearson, spearman")
    values = matrix(returns.fillna(0.0) if pairwise else returns, minimum=3)
    if values.shape[1] < 2:
        raise UsageError(f"a correlation needs at least 2 symbols; got {values.shape[1]}")
    observations = _fewest_common(returns) if pairwise else len(values)
    _check_variation(returns)
    with one_thread():
        shrinkage = float("nan")
        if pairwise:
            raw = returns.corr(method=method).to_numpy()  # type: ignore[arg-type]
        elif method == "spearman":
            raw = np.corrcoef(returns.rank().to_numpy(), rowvar=False)
        else:
            cov, shrinkage = _covariance(values, method, decay)
            deviation = np.sqrt(np.diag(cov))
            raw = cov / np.outer(deviation, deviation)
        raw = np.clip((raw + raw.T) / 2.0, -1.0, 1.0)
        np.fill_diagonal(raw, 1.0)
        smallest = float(np.linalg.eigvalsh(raw)[0])
        repaired = nearest_correlation(raw) if smallest < _NEGATIVE else raw
        order, merges = _clusters(repaired)
    symbols = [str(returns.columns[each]) for each in order]
    ordered = repaired[np.ix_(order, order)]
    return Correlation(
        method=method,
        matrix=pd.DataFrame(ordered, index=symbols, columns=symbols),
        order=tuple(symbols),
        merges=merges,
        average=float(ordered[~np.eye(len(order), dtype=bool)].mean()),
        repaired=float(np.abs(repaired - raw).max()),
        smallest_eigenvalue=smallest,
        shrinkage=shrinkage,
        observations=observations,
        start=returns.index[0],
        as_of=returns.index[-1],
        fingerprint=fingerprint(
            {"kind": "correlation", "method": method, "decay": decay, "pairwise": pairwise}, returns
        ),
    )


def covariance(
    returns: pd.DataFrame, *, method: Literal["pearson", "ewma", "ledoit_wolf"] = "pearson", decay: float = EWMA_DECAY
) -> pd.DataFrame:
    """Covariance matrix per period, symbol by symbol; ``pearson`` is the sample's (denominator T - 1)."""
    if method not in ("pearson", "ewma", "ledoit_wolf"):
        raise UsageError(f"unknown covariance method {method!r}; choose from pearson, ewma, ledoit_wolf")
    with one_thread():
        cov, _ = _covariance(matrix(returns, minimum=3), method, decay)
    return pd.DataFrame(cov, index=returns.columns, columns=returns.columns)


def rolling_correlation(first: pd.Series, second: pd.Series, *, window: int = 63) -> pd.Series:
    """Pearson correlation of two return series over the last `window` periods; T - window + 1 rows."""
    answer: pd.Series = rolling(first, "correlation", window=window, periods_per_year=1.0, benchmark=second)
    return answer.rename(f"{first.name} / {second.name}")


def nearest_correlation(raw: Array, *, iterations: int = 1000, tolerance: float = 1e-12) -> Array:
    """Correlation matrix nearest to `raw` in the Frobenius norm, by alternating projections with Dykstra's correction.

    Parameters
    ----------
    raw : array, shape (N, N)
        Symmetric, with a unit diagonal.

    References
    ----------
    Higham, N. (2002). Computing the nearest correlation matrix: a problem from finance. IMA J. Numer. Anal. 22.
    """
    current, correction = raw.copy(), np.zeros_like(raw)
    for _ in range(iterations):
        shifted = current - correction
        eigenvalues, vectors = np.linalg.eigh(shifted)
        semidefinite = (vectors * np.maximum(eigenvalues, 0.0)) @ vectors.T
        correction = semidefinite - shifted
        nearer = semidefinite.copy()
        np.fill_diagonal(nearer, 1.0)
        moved = float(np.abs(nearer - current).max())
        current = nearer
        if moved < tolerance:
            break
    # The projections end outside the cone by their last step; scaling the semi-definite one back puts it inside.
    eigenvalues, vectors = np.linalg.eigh((current + current.T) / 2.0)
    inside = (vectors * np.maximum(eigenvalues, 0.0)) @ vectors.T
    deviation = np.sqrt(np.diag(inside))
    inside = inside / np.outer(deviation, deviation)
    np.fill_diagonal(inside, 1.0)
    return np.asarray(np.clip((inside + inside.T) / 2.0, -1.0, 1.0), dtype=np.float64)


def _covariance(values: Array, method: str, decay: float) -> tuple[Array, float]:
    if method == "ledoit_wolf":
        from sklearn.covariance import ledoit_wolf

        cov, shrinkage = ledoit_wolf(values)
        return np.asarray(cov, dtype=np.float64), float(shrinkage)
    if method == "ewma":
        if not 0.0 < decay < 1.0:
            raise UsageError(f"decay {decay!r} is not between 0 and 1, such as 0.94")
        weight = decay ** np.arange(len(values) - 1, -1, -1.0)
        return np.asarray((values.T * (weight / weight.sum())) @ values, dtype=np.float64), float("nan")
    return np.asarray(np.cov(values, rowvar=False).reshape(values.shape[1], -1), dtype=np.float64), float("nan")


def _clusters(rho: Array) -> tuple[list[int], tuple[tuple[float, ...], ...]]:
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = np.sqrt(np.maximum(1.0 - rho, 0.0) / 2.0)
    np.fill_diagonal(distance, 0.0)
    tree: Any = linkage(squareform(distance, checks=False), method="average", optimal_ordering=len(rho) <= 200)
    order = [int(each) for each in leaves_list(tree)]
    # Leaves are renumbered to their place in the order, so that the tree can be drawn beside the matrix.
    place = {leaf: float(at) for at, leaf in enumerate(order)}
    merges = tuple(
        (place.get(int(left), float(left)), place.get(int(right), float(right)), float(apart), float(size))
        for left, right, apart, size in tree
    )
    return order, merges


def _fewest_common(returns: pd.DataFrame) -> int:
    present = returns.notna().to_numpy().astype(np.int64)
    common = present.T @ present
    fewest = int(common.min())
    if fewest < 3:
        left, right = np.unravel_index(int(common.argmin()), common.shape)
        pair = f"{returns.columns[int(left)]} and {returns.columns[int(right)]}"
        raise DataError(f"{pair} have {fewest} returns in common; at least 3 are needed")
    return fewest


def _check_variation(returns: pd.DataFrame) -> None:
    flat = (returns.max() - returns.min()).to_numpy() == 0.0
    if flat.any():
        column = returns.columns[int(np.argmax(flat))]
        raise DataError(
            f"{column}: the returns are all {returns[column].dropna().iloc[0]:g}, so they have no correlation"
        )
