"""Askers of one process who share computations, and the order in which places are tried."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from quantkit.compute.task import Envelope, Task, kept_answer, work, working_here
from quantkit.core.errors import Cancelled, ComputeError
from quantkit.core.progress import Progress, silent
from quantkit.core.results import Result

if TYPE_CHECKING:
    from quantkit.data.store import Store

__all__ = ["Avoided", "Backend", "Compute", "Fallback", "Flight", "InlineBackend", "SharedCompute", "Unavailable"]

log = logging.getLogger("quantkit.compute")

POLL_SECONDS = 0.1
AVOID_SECONDS = 30.0


class Compute(Protocol):
    """Where heavy questions are answered; safe to use from several threads."""

    @property
    def name(self) -> str:
        """``dask``, ``process`` or ``inline``: who would answer now."""

    def run(self, task: Task, *, progress: Progress = silent) -> Result:
        """Answer `task`; blocks.

        Parameters
        ----------
        task : Task
        progress : callable
            Called in the asking thread, about ten times a second, with the latest that is known. To raise
            ``Cancelled`` from it withdraws this asker's question.

        Raises
        ------
        Cancelled
            The question was withdrawn.
        ComputeError
            It could not be finished anywhere.
        Exception
            Whatever the task's function raised, as itself.
        """

    def cancel(self, fingerprint: str) -> None:
        """Withdraw the question for every asker of this process; its ``run`` raises ``Cancelled`` at once."""

    def warm(self) -> None:
        """Connect, or start the helper, in the background, so that the first question need not wait for that."""

    def close(self) -> None:
        """Withdraw what is still asked and let go of processes and connections; never takes longer than seconds."""


class Unavailable(ComputeError):  # noqa: N818 - a finding, not a failure
    """This place cannot answer now; another may."""


class Flight:
    """One computation under way, with those of this process who wait for it."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.askers = 0
        self.cancelled = threading.Event()
        self.finished = threading.Event()
        self.envelope: Envelope | None = None
        self.progress: tuple[int, int, str] | None = None

    def report(self, done: int, total: int, doing: str = "") -> None:
        """Note how far it is; ``Cancelled`` once nobody waits any more."""
        if self.cancelled.is_set():
            raise Cancelled("the question was withdrawn")
        self.progress = (done, total, doing)


class Backend(Protocol):
    """A place where computing happens."""

    @property
    def name(self) -> str:
        """As in ``Compute.name``."""

    def answer(self, flight: Flight) -> Envelope:
        """Answer the flight's task, keeping what is computed; ``Unavailable`` where another place must be asked."""

    def warm(self) -> None:
        """See ``Compute.warm``; blocks."""

    def close(self) -> None:
        """See ``Compute.close``."""


class InlineBackend:
    """This process: JupyterLab, Binder, the command line, tests."""

    name = "inline"

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, flight: Flight) -> Envelope:
        """Work in the calling thread."""
        return work(flight.task, self._store, flight.report)

    def warm(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to let go of."""


class Avoided:
    """For half a minute after a place was found wanting, it is not tried again."""

    def __init__(self) -> None:
        self._avoid_until = 0.0

    @property
    def available(self) -> bool:
        """Whether it may be tried."""
        return monotonic() >= self._avoid_until

    def check(self) -> None:
        """``Unavailable`` while it is avoided."""
        if not self.available:
            raise Unavailable("the cluster was unavailable a moment ago")

    def avoid(self) -> None:
        """Begin the half minute."""
        self._avoid_until = monotonic() + AVOID_SECONDS


class Fallback:
    """One place, and another for when the first is unavailable."""

    def __init__(self, first: Backend, second: Backend) -> None:
        self._first, self._second = first, second

    @property
    def name(self) -> str:
        """Who would answer now."""
        return self._first.name if getattr(self._first, "available", True) else self._second.name

    def answer(self, flight: Flight) -> Envelope:
        """Ask the first, then the second."""
        try:
            return self._first.answer(flight)
        except Unavailable as error:
            log.info("%s answers: %s", self._second.name, error)
            return self._second.answer(flight)

    def warm(self) -> None:
        """Warm the first; the second where that is unavailable."""
        try:
            self._first.warm()
        except Unavailable:
            self._second.warm()

    def close(self) -> None:
        """Close both."""
        self._first.close()
        self._second.close()


class SharedCompute:
    """The ``Compute`` over any backend: kept answers first, one computation a fingerprint, the last asker cancels."""

    def __init__(self, store: Store, backend: Backend) -> None:
        self._store = store
        self._backend = backend
        self._flights: dict[str, Flight] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Who would answer now."""
        return self._backend.name

    def run(self, task: Task, *, progress: Progress = silent) -> Result:
        """See ``Compute.run``."""
        if working_here():
            return _unwrap(task, work(task, self._store, progress))
        return _unwrap(task, self.answer(task, progress))

    def answer(self, task: Task, progress: Progress) -> Envelope:
        """``run``, with what comes back still in its envelope."""
        kept = kept_answer(self._store, task.fingerprint)
        if kept is not None:
            return Envelope("answer", kept)
        flight = self._board(task)
        try:
            while not flight.finished.wait(POLL_SECONDS) and not flight.cancelled.is_set():
                if flight.progress is not None:
                    progress(*flight.progress)
                else:
                    progress(0, 1, "starting")
            if flight.progress is not None and flight.finished.is_set():
                progress(*flight.progress)
        finally:
            self._leave(flight)
        return flight.envelope or Envelope("cancelled")

    def cancel(self, fingerprint: str) -> None:
        """See ``Compute.cancel``."""
        with self._lock:
            flight = self._flights.pop(fingerprint, None)
        if flight is not None:
            flight.cancelled.set()

    def warm(self) -> None:
        """See ``Compute.warm``."""
        threading.Thread(target=self._warm, name="quantkit-warm", daemon=True).start()

    def close(self) -> None:
        """See ``Compute.close``."""
        for fingerprint in list(self._flights):
            self.cancel(fingerprint)
        self._backend.close()

    def _warm(self) -> None:
        try:
            self._backend.warm()
        except ComputeError as error:
            log.info("nothing warmed: %s", error)

    def _board(self, task: Task) -> Flight:
        with self._lock:
            flight = self._flights.get(task.fingerprint)
            if flight is None:
                flight = self._flights[task.fingerprint] = Flight(task)
                name = f"quantkit-{task.fingerprint[:8]}"
                threading.Thread(target=self._fly, args=(flight,), name=name, daemon=True).start()
            flight.askers += 1
            return flight

    def _leave(self, flight: Flight) -> None:
        with self._lock:
            flight.askers -= 1
            if flight.askers == 0 and not flight.finished.is_set():
                flight.cancelled.set()
                self._drop(flight)

    def _fly(self, flight: Flight) -> None:
        try:
            flight.envelope = self._backend.answer(flight)
        except Cancelled:
            flight.envelope = Envelope("cancelled")
        except BaseException as error:
            flight.envelope = Envelope("error", error=error)
        with self._lock:
            self._drop(flight)
            flight.finished.set()

    def _drop(self, flight: Flight) -> None:
        # After a cancel, a newer flight of the same question may stand in its place.
        if self._flights.get(flight.task.fingerprint) is flight:
            del self._flights[flight.task.fingerprint]


def _unwrap(task: Task, envelope: Envelope) -> Result:
    if envelope.answer is not None:
        return task.result(envelope.answer)
    if envelope.error is not None:
        if isinstance(envelope.error, Exception):
            raise envelope.error
        raise ComputeError(f"{task.name} ended with {type(envelope.error).__name__}") from envelope.error
    if envelope.kind == "cancelled":
        raise Cancelled("the question was withdrawn")
    raise ComputeError(f"{task.name} could not be answered: {envelope.said}")
