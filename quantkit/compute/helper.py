"""The helper process itself: reads questions from its standard input, writes answers to its standard output.

It says that it lives once a second, and ends when its standard input does, or after ten minutes without a question.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from time import monotonic, sleep
from typing import Any

from quantkit.compute.link import receive, send
from quantkit.compute.priority import give_way

__all__ = ["main"]

IDLE_SECONDS = 600.0
PROGRESS_SECONDS = 0.1


class _Line:
    """The pipe back, shared by the thread at work and the one that says that it lives."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever a library prints must not stand between two messages
        self._lock = threading.Lock()

    def send(self, *message: Any) -> None:
        with self._lock:
            try:
                send(self._stream, message)
            except OSError:
                os._exit(0)

    def keep_saying_alive(self) -> None:
        while True:
            self.send("alive")
            sleep(1.0)


class _Questions:
    """What has been asked, and what has been withdrawn; the process ends with its asker."""

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self.withdrawn: set[int] = set()

    def listen(self) -> None:
        while True:
            match receive(sys.stdin.buffer):
                case ("ask", int(number), sealed):
                    self.waiting.put((number, sealed))
                case ("cancel", int(number)):
                    self.withdrawn.add(number)
                case _:
                    os._exit(0)


def main() -> None:
    """Answer until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the asker decides
    give_way()
    line, questions = _Line(), _Questions()
    for run in (line.keep_saying_alive, questions.listen):
        threading.Thread(target=run, daemon=True).start()

    from quantkit.compute.task import Envelope, open_order, travelling, work
    from quantkit.core.errors import Cancelled
    from quantkit.core.fingerprint import code_version

    code_version()
    while True:
        try:
            number, sealed = questions.waiting.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            os._exit(0)
        told = 0.0

        def report(done: int, total: int, doing: str = "", *, number: int = number) -> None:
            nonlocal told
            if number in questions.withdrawn:
                raise Cancelled("the question was withdrawn")
            if monotonic() - told >= PROGRESS_SECONDS:
                told = monotonic()
                line.send("progress", number, done, total, doing)

        order = open_order(sealed)
        envelope = order if isinstance(order, Envelope) else work(order.task, order.store.open(), report)
        line.send("done", number, travelling(envelope))


if __name__ == "__main__":
    main()
