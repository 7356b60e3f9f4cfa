"""What the questions of all subjects stand on: a store, a market, and answers that are computed once and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from inspect import signature
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import pandas as pd

from quantkit.core.fingerprint import fingerprint
from quantkit.core.progress import Progress
from quantkit.data.bus import Watch
from quantkit.data.market import Market
from quantkit.data.store import Store
from quantkit.settings import Settings

if TYPE_CHECKING:
    from quantkit.compute import Compute, Task

__all__ = ["Answers"]

_planning: ContextVar[bool] = ContextVar("planning", default=False)


class _Planned(Exception):  # noqa: N818 - a way out, not a failure
    def __init__(self, task: Task) -> None:
        super().__init__(task.fingerprint)
        self.task = task


class Answers:
    """Answers heavy questions where the settings say, and keeps what was answered."""

    def __init__(self, settings: Settings, store: Store, market: Market) -> None:
        self.settings = settings
        self.store = store
        self.market = market
        self._compute: Compute | None = None
        self._opening = threading.Lock()
        self._watches: WeakSet[Watch] = WeakSet()

    def plan(self, question: Callable[..., Any], *args: Any, **arguments: Any) -> Task:
        """The task that `question`, a heavy method of this desk, would compute first; nothing is computed.

        Its fingerprint says where the answer will be kept, and ``desk.compute.run`` answers it.

        Examples
        --------
        >>> from quantkit import Desk
        >>> with Desk.open() as desk:
        ...     task = desk.plan(desk.leaderboard, "AAPL", ["naive"])
        ...     len(task.fingerprint)
        32
        """
        token = _planning.set(True)
        try:
            question(*args, **arguments)
        except _Planned as planned:
            return planned.task
        finally:
            _planning.reset(token)
        raise TypeError(f"{question} computes nothing that is kept")

    @property
    def compute(self) -> Compute:
        """Where heavy questions run; opened at the first one."""
        with self._opening:
            if self._compute is None:
                from quantkit.compute import open_compute

                self._compute = open_compute(self.settings, self.store)
            return self._compute

    def _answer(
        self,
        function: Any,
        data: tuple[pd.DataFrame | pd.Series | None, ...],
        question: dict[str, Any],
        progress: Progress,
    ) -> Any:
        """The answer kept under the fingerprint of the question and its data, computed if nobody has yet."""
        from quantkit.compute import Task

        known = [frame for frame in data if frame is not None]
        # What an answer says of its data beside the numbers: the sample's caveats, indicative currency figures.
        about = [{name: frame.attrs.get(name) for name in ("source", "price_basis")} for frame in known]
        key = fingerprint({"function": function.__name__, "about": about, **question}, *known)
        takes = signature(function).parameters
        named = {"fingerprint": key} if {"fingerprint", "options"} & set(takes) else {}
        task = Task(function=function, data=data, question={**question, **named}, fingerprint=key,
                    takes_progress=bool({"progress", "options"} & set(takes)))  # fmt: skip
        if _planning.get():
            raise _Planned(task)
        kept = self.store.result(key)
        return self.compute.run(task, progress=progress) if kept is None else task.result(kept)
