"""One helper process, started at the first question and kept warm: what a dashboard's kernel falls back to."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from quantkit.compute.helper import receive, send
from quantkit.compute.shared import Flight
from quantkit.compute.task import Envelope, Order, Sealed, StoreAddress
from quantkit.core.errors import Cancelled, ComputeError

if TYPE_CHECKING:
    from quantkit.settings import Settings

__all__ = ["ProcessBackend"]

log = logging.getLogger("quantkit.compute")

START_SECONDS = 30.0
SILENCE_SECONDS = 10.0
GRACE_SECONDS = 2.0
POLL_SECONDS = 0.1


class _Gone(Exception):  # noqa: N818 - a finding, not a failure
    """The helper died or fell silent."""


class _Helper:
    """A running helper process and the two threads that move its messages, so that a frozen one blocks nobody."""

    def __init__(self) -> None:
        # The paths of this process, so that whatever is importable here is importable there.
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "quantkit.compute.helper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.heard = monotonic() + START_SECONDS - SILENCE_SECONDS
        for move in (self._write, self._read):
            threading.Thread(target=move, name="quantkit-helper-pipe", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None and monotonic() - self.heard < SILENCE_SECONDS

    def send(self, message: Any) -> None:
        self._outbox.put(message)

    def receive(self) -> Any:
        """The next message; ``queue.Empty`` when there is none for a moment, ``_Gone`` when there will be none."""
        try:
            message = self._inbox.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if monotonic() - self.heard > SILENCE_SECONDS:
                raise _Gone(f"helper process {self.pid} has been silent for {SILENCE_SECONDS:.0f} s") from None
            raise
        if message is None:
            raise _Gone(f"helper process {self.pid} ended with code {self._process.wait()}")
        return message

    def kill(self) -> None:
        self._outbox.put(None)
        self._process.kill()  # SIGKILL also ends a stopped process
        self._process.wait()

    def _write(self) -> None:
        stream = self._process.stdin
        assert stream is not None
        try:
            while (message := self._outbox.get()) is not None:
                send(stream, message)
            stream.close()
        except OSError:
            pass  # the reader sees the end too, and says so

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        try:
            while (message := receive(stream)) is not None:
                self.heard = monotonic()
                if message != ("alive",):
                    self._inbox.put(message)
        except OSError:
            pass
        self._inbox.put(None)


class ProcessBackend:
    """One question at a time in one helper process; a dead or frozen helper is replaced and asked once more."""

    name = "process"

    def __init__(self, settings: Settings) -> None:
        self._store = StoreAddress.of(settings)
        self._turn = threading.Lock()
        self._helper: _Helper | None = None
        self._count = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The helper's process id, None while none runs."""
        return self._helper.pid if self._helper is not None else None

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
                except _Gone as gone:
                    log.warning("%s", gone)
                    faults.append(str(gone))
                    self._end()
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
        if helper is None or not helper.alive():
            self._end()
            helper = self._helper = _Helper()
        return helper

    def _end(self) -> None:
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.kill()

    def _ask(self, helper: _Helper, sealed: Sealed, flight: Flight) -> Envelope:
        self._count += 1
        number = self._count
        helper.send(("ask", number, sealed))
        withdrawn: float | None = None
        while True:
            if flight.cancelled.is_set():
                if withdrawn is None:
                    withdrawn = monotonic()
                    helper.send(("cancel", number))
                elif monotonic() - withdrawn > GRACE_SECONDS:
                    # A function that does not look up between its steps is stopped with its process.
                    self._end()
                    raise Cancelled("the question was withdrawn")
            try:
                message = helper.receive()
            except queue.Empty:
                continue
            match message:
                case ("progress", int(asked), int(done), int(total), str(doing)) if asked == number:
                    if withdrawn is None:
                        flight.report(done, total, doing)
                case ("done", int(asked), Envelope() as envelope) if asked == number:
                    return envelope
