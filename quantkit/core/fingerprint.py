"""The hash of data, question and version that stands under every figure.

Same fingerprint, same figure, on every face. It covers the bytes of the data used, the question asked, the sources of
everything that computes (core, forecast, risk, portfolio), and the versions of the numerical libraries; a change in
any of them is a different fingerprint, and a kept answer under the old one is never served for the new. A question
that names a model (or any other choice) which somebody has added from outside is about that code as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quantkit.core.registry import own_code

__all__ = ["code_version", "data_hash", "fingerprint"]

_COMPUTING = ("core", "forecast", "risk", "portfolio")
# bottleneck is nobody's dependency here, but pandas takes its reductions where it is installed: other last digits.
_LIBRARIES = ("numpy", "pandas", "scipy", "statsmodels", "arch", "scikit-learn", "xgboost-cpu", "keras", "jax",
              "PyPortfolioOpt", "cvxpy", "cvxcla", "cvx-linalg",
              "clarabel", "bottleneck")  # fmt: skip


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of the sources that compute and of the versions of the libraries they stand on."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for folder in _COMPUTING:
        for source in sorted((root / folder).rglob("*.py")):
            digest.update(source.relative_to(root).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    for library in _LIBRARIES:
        try:
            digest.update(f"{library}=={version(library)}\0".encode())
        except PackageNotFoundError:
            digest.update(f"{library} absent\0".encode())
    return digest.hexdigest()


def data_hash(data: pd.DataFrame | pd.Series) -> str:
    """Hash of labels, times and values; every NaN counts the same, and so do -0.0 and 0.0."""
    frame = data.to_frame() if isinstance(data, pd.Series) else data
    digest = hashlib.sha256()
    index = frame.index
    if isinstance(index, pd.DatetimeIndex):
        digest.update(index.as_unit("us").asi8.tobytes())
    else:
        digest.update("\0".join(map(str, index)).encode())
    for column in frame.columns:
        values = frame[column].to_numpy(dtype=np.float64) + 0.0
        values[np.isnan(values)] = np.nan
        digest.update(str(column).encode() + b"\0" + values.tobytes())
    return digest.hexdigest()


def fingerprint(question: Mapping[str, Any], *data: pd.DataFrame | pd.Series) -> str:
    """32 hexadecimal digits for a `question` (JSON-safe) asked of `data`.

    Examples
    --------
    >>> prices = pd.Series([1.0, 2.0], name="AAPL")
    >>> fingerprint({"kind": "risk", "level": 0.95}, prices) == fingerprint({"level": 0.95, "kind": "risk"}, prices)
    True
    """
    asked = json.dumps(question, sort_keys=True, separators=(",", ":"), allow_nan=False)
    own = own_code(_texts(question))
    parts = [code_version(), asked, *(data_hash(each) for each in data), *own]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _texts(asked: Any) -> Iterator[str]:
    if isinstance(asked, str):
        yield asked
    elif isinstance(asked, Mapping):
        for value in asked.values():
            yield from _texts(value)
    elif isinstance(asked, (list, tuple)):
        for value in asked:
            yield from _texts(value)
