"""Questions for the compute tests, importable by workers and helpers through PYTHONPATH."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from quantkit.core.errors import DataError, UnknownSymbolError
from quantkit.core.progress import Progress, silent
from quantkit.core.results import Result


@dataclass(frozen=True, slots=True, eq=False)
class Numbers(Result):
    numbers: pd.Series
    answered_by: int
    note: str = ""


def column_means(frame: pd.DataFrame, *, times: float, progress: Progress = silent) -> Numbers:
    progress(1, 1, "means")
    return Numbers(frame.mean() * times, os.getpid())


def linear_algebra(frame: pd.DataFrame) -> Numbers:
    """Sums whose order, and so whose last bits, depend on how many threads BLAS takes; scipy's is loaded only here."""
    from scipy.linalg import eigvalsh

    product = frame.to_numpy() @ frame.to_numpy().T
    return Numbers(pd.Series(eigvalsh(product)), os.getpid())


def arima(returns: pd.Series, *, order: list[int]) -> Numbers:
    from statsmodels.tsa.arima.model import ARIMA

    fitted = ARIMA(returns.to_numpy(), order=tuple(order)).fit()
    values = np.concatenate([fitted.params, fitted.forecast(5), [fitted.llf]])
    return Numbers(pd.Series(values), os.getpid())


def blas_threads(frame: pd.DataFrame) -> Numbers:
    import scipy.linalg
    from threadpoolctl import threadpool_info

    del scipy
    return Numbers(pd.Series([float(each["num_threads"]) for each in threadpool_info()]), os.getpid())


def steps(
    frame: pd.DataFrame, *, count: int, pause: float, log: str, swift: str = "", progress: Progress = silent
) -> Numbers:
    """Takes ``count * pause`` seconds; `log` gets ``begun``, then ``ended`` or ``stopped``, each with the process.

    Processes that are named in the file `swift` do not pause, from when they are.
    """
    _write(log, "begun")
    try:
        for step in range(count):
            progress(step, count, "stepping")
            if not (swift and str(os.getpid()) in Path(swift).read_text().split()):
                time.sleep(pause)
    except BaseException:
        _write(log, "stopped")
        raise
    _write(log, "ended")
    return Numbers(frame.sum(), os.getpid())


def deaf(frame: pd.DataFrame, *, seconds: float, log: str) -> Numbers:
    """Takes no progress, so that nothing but the end of its process stops it."""
    _write(log, "begun")
    time.sleep(seconds)
    _write(log, "ended")
    return Numbers(frame.sum(), os.getpid())


def dies(frame: pd.DataFrame, *, times: int, log: str) -> Numbers:
    """Kills its own process the first `times` times."""
    _write(log, "begun")
    if lines(log).count("begun") <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return Numbers(frame.sum(), os.getpid(), "survived")


class OddError(Exception):
    """An error that cannot be unpickled: its arguments are not its message."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def fails(frame: pd.DataFrame, *, how: str) -> Numbers:
    if how == "data":
        raise DataError("AAPL: close is not a number at 2023-09-20")
    if how == "symbol":
        raise UnknownSymbolError("TSLA is not in the sample")
    if how == "odd":
        raise OddError("this", "that")
    return Numbers(frame.mean() / {}["missing"], os.getpid())


def not_a_result(frame: pd.DataFrame) -> Numbers:
    return 42  # type: ignore[return-value]


def _write(log: str, word: str) -> None:
    with Path(log).open("a") as file:
        file.write(f"{word} {os.getpid()}\n")


def lines(log: str | Path) -> list[str]:
    path = Path(log)
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []
