"""Past-only train and test slices: the engine under forecasts, VaR and portfolio evaluation.

A decision at origin ``t`` sees rows ``..t`` and is scored on ``t+1 .. t+horizon``. The engine hands out the past as a
copy cut at the origin, so that whoever decides cannot reach the future even by mistake; tests corrupt the future and
compare bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from quantkit.core.errors import DataError, UsageError

__all__ = ["Slice", "WalkForward"]

Decision = TypeVar("Decision")


@dataclass(frozen=True, slots=True)
class Slice:
    """One step of a walk-forward.

    Attributes
    ----------
    origin : int
        Position of the last row that the decision may see.
    train, test : slice
        Positions: `train` ends with the origin, `test` is the `horizon` rows after it.
    refit : bool
        Whether parameters are estimated anew here; elsewhere the last estimate is applied to the newer rows.
    """

    origin: int
    train: slice
    test: slice
    refit: bool


@dataclass(frozen=True, slots=True)
class WalkForward:
    """Where the origins of an evaluation lie.

    Parameters
    ----------
    origins : int
        How many, one row apart times `step`; the last one has `horizon` rows after it.
    horizon : int
        Rows after the origin that are forecast.
    min_train : int
        Rows that the first decision must have; fewer origins are used when the data is shorter.
    window : int or None
        Rows of a rolling window; None lets the window expand from the first row.
    refit : int
        Parameters are estimated every so many origins, the first one included.
    step : int
        Rows between origins.
    live : bool
        Whether the walk goes on to the last row, whose outcome nobody knows yet: what is decided there is then the
        next step of the very procedure that was scored. `test` slices near the end are cut short.
    anchored : bool
        Whether refits stand on fixed rows (``origin + 1`` a multiple of `refit`, and the first origin), so that a new
        row at the end changes nothing about older decisions.

    Examples
    --------
    >>> [(s.train, s.test) for s in WalkForward(origins=2, horizon=1, min_train=3).slices(6)]
    [(slice(0, 4, None), slice(4, 5, None)), (slice(0, 5, None), slice(5, 6, None))]
    """

    origins: int = 250
    horizon: int = 1
    min_train: int = 250
    window: int | None = None
    refit: int = 1
    step: int = 1
    live: bool = False
    anchored: bool = False

    def __post_init__(self) -> None:
        for name in ("origins", "horizon", "min_train", "refit", "step"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} {value!r} is not a whole number of at least 1")
        if self.window is not None and self.window < self.min_train:
            raise UsageError(f"window {self.window} is shorter than min_train {self.min_train}")

    def slices(self, length: int) -> Iterator[Slice]:
        """Slices over `length` rows, oldest first.

        Raises
        ------
        DataError
            Not one origin has `min_train` rows up to it and `horizon` after it.
        """
        last = length - 1 - (0 if self.live else self.horizon)
        first = max(last - (self.origins - 1) * self.step, self.min_train - 1)
        first += (last - first) % self.step
        if last < self.min_train - 1:
            raise DataError(
                f"{length} rows are too few for a walk-forward: "
                f"{self.min_train} to learn from and {0 if self.live else self.horizon} to be tested on are needed"
            )
        for count, origin in enumerate(range(first, last + 1, self.step)):
            start = 0 if self.window is None else max(origin + 1 - self.window, 0)
            yield Slice(
                origin=origin,
                train=slice(start, origin + 1),
                test=slice(origin + 1, min(origin + 1 + self.horizon, length)),
                refit=count == 0 or (origin + 1 if self.anchored else count) % self.refit == 0,
            )

    def run(
        self, data: pd.DataFrame, decide: Callable[[pd.DataFrame, Slice], Decision], *, since: int = 0
    ) -> list[Decision]:
        """``decide(past, slice)`` at every origin; `past` is a copy of the training rows and nothing else.

        Origins before row `since` are passed over: an anchored walk that has decided them goes on from there.
        """
        return [decide(data.iloc[step.train].copy(), step) for step in self.slices(len(data)) if step.origin >= since]

    def blocks(self, length: int, *, size: int, since: int = 0) -> Iterator[list[Slice]]:
        """The slices from row `since` on in runs of at most `size`, each ending before the next refit.

        For whoever decides at several origins at once with the same parameters: what it is given ends with the last
        of them, and that a decision ignores the rows after its own origin is then its promise, to be tested.
        """
        block: list[Slice] = []
        for step in self.slices(length):
            if step.origin < since:
                continue
            if block and (step.refit or len(block) == size):
                yield block
                block = []
            block.append(step)
        if block:
            yield block
