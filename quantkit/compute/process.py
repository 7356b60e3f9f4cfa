"""One helper process, started at the first question and kept warm: what a dashboard's kernel falls back to."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from quantkit.compute.link import Gone, Link
from quantkit.compute.shared import Flight
from quantkit.compute.task import Envelope, Order, Sealed, StoreAddress
from quantkit.core.errors import Cancelled, ComputeError

if TYPE_CHECKING:
    from quantkit.settings import Settings

__all__ = ["ProcessBackend"]

log = logging.getLogger("quantkit.compute")

START_SECONDS = 30.0
GRACE_SECONDS = 5.0
END_SECONDS = 1.0
POLL_SECONDS = 0.1


class _Helper:
    """A running helper process and the link to it."""

    def __init__(self) -> None:
        # The paths of this process, so that whatever is importable here is importable there.
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "quantkit.compute.helper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.link = Link(self._process.stdout, self._process.stdin, patience=START_SECONDS)

    @property
    def well(self) -> bool:
        return self._process.poll() is None and not self.link.silent

    def end(self) -> str:
        """Make sure that it runs no more; says how it came to that."""
        code = self._process.poll()
        self.link.close()
        self._process.kill()  # SIGKILL also ends a stopped process
        self._process.wait()
        return f"helper process {self._process.pid} " + (
            "did not answer" if code is None else f"ended with code {code}"
        )


class ProcessBackend:
    """One question at a time in one helper process; a dead or frozen helper is replaced and asked once more."""

    name = "process"

    def __init__(self, settings: Settings) -> None:
        self._store = StoreAddress.of(settings)
        self._turn = threading.Lock()
        self._helper: _Helper | None = None
        self._count = 0
        self._closed = False

    def answer(self, flight: Flight) -> Envelope:
        """Wait for a turn and ask the helper; ``ComputeError`` where two helpers in a row did not survive it."""
        sealed = Sealed.seal(Order(flight.task, self._store))
        while not self._turn.acquire(timeout=POLL_SECONDS):
            flight.report(0, 1, "waiting for another question")
        try:
            faults = []
            for _ in range(2):
                if self._closed or flight.cancelled.is_set():
                    raise Cancelled("the question was withdrawn")
                try:
                    envelope = self._ask(self._ready(), sealed, flight)
                except Gone:
                    faults.append(self._end())
                    log.warning("%s", faults[-1])
                    continue
                if envelope.kind == "unable":
                    self._end()
                    raise ComputeError(f"{flight.task.name}: {envelope.said}")
                return envelope
            raise ComputeError(f"{flight.task.name} could not be finished: {'; '.join(faults)}")
        finally:
            self._turn.release()

    def warm(self) -> None:
        """Start the helper."""
        with self._turn:
            if not self._closed:
                self._ready()

    def close(self) -> None:
        """End the helper."""
        self._closed = True
        self._end()

    def _ready(self) -> _Helper:
        helper = self._helper
        if helper is None or not helper.well:
            self._end()
            helper = self._helper = _Helper()
        return helper

    def _end(self) -> str:
        helper, self._helper = self._helper, None
        return helper.end() if helper is not None else "no helper process"

    def _ask(self, helper: _Helper, sealed: Sealed, flight: Flight) -> Envelope:
        self._count += 1
        number = self._count
        helper.link.send("ask", number, sealed)
        withdrawn: float | None = None
        while True:
            if flight.cancelled.is_set():
                if withdrawn is None:
                    withdrawn = monotonic()
                    helper.link.send("cancel", number)
                elif monotonic() - withdrawn > GRACE_SECONDS:
                    # A function that does not look up between its steps is stopped with its process.
                    self._end()
                    raise Cancelled("the question was withdrawn")
            match helper.link.receive():
                case ("progress", int(asked), int(done), int(total), str(doing)) if asked == number:
                    # Withdrawn in this very moment: the helper must be told, which the next turn does.
                    with suppress(Cancelled):
                        flight.report(done, total, doing)
                case ("done", int(asked), Envelope() as envelope) if asked == number:
                    return envelope
