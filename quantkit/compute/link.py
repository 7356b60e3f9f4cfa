"""Messages over a pipe or a socket whose other end may die or freeze without blocking this one.

A message is a tuple, pickled, after eight bytes that hold its length. This module imports nothing but the standard
library: a helper says that it lives before anything heavy is loaded.
"""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Callable
from time import monotonic
from typing import IO, Any

__all__ = ["SILENCE_SECONDS", "Gone", "Link", "receive", "send"]

#: The other end says that it lives once a second; after this many without a word it counts as frozen.
SILENCE_SECONDS = 10.0
POLL_SECONDS = 0.1


class Gone(Exception):  # noqa: N818 - a finding, not a failure
    """The other end has closed, or has been silent for too long."""


def send(stream: IO[bytes], message: Any) -> None:
    """Write one message."""
    blob = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(len(blob).to_bytes(8, "big") + blob)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one message; None at the end of the stream."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    size = int.from_bytes(head, "big")
    blob = stream.read(size)
    return pickle.loads(blob) if len(blob) == size else None


class Link:
    """This end: a thread that writes and one that reads, so that no call here waits longer than a moment."""

    def __init__(
        self,
        source: IO[bytes],
        sink: IO[bytes],
        *,
        patience: float = SILENCE_SECONDS,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        """The first word may take `patience` seconds; `closed` is called when the last message has been written."""
        self._source, self._sink, self._closed = source, sink, closed
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._heard = monotonic() + patience - SILENCE_SECONDS
        for move in (self._write, self._read):
            threading.Thread(target=move, name="quantkit-link", daemon=True).start()

    @property
    def silent(self) -> bool:
        """Whether the other end has not been heard of for too long."""
        return monotonic() - self._heard > SILENCE_SECONDS

    def send(self, *message: Any) -> None:
        """Hand over a message to be written."""
        self._outbox.put(message)

    def receive(self) -> Any:
        """The next message, None when there is none for a moment; ``Gone`` when there will be none."""
        try:
            message = self._inbox.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if self.silent:
                raise Gone(f"silent for {SILENCE_SECONDS:.0f} s") from None
            return None
        if message is None:
            raise Gone("closed")
        return message

    def close(self) -> None:
        """Close the sending side once what was handed over is written."""
        self._outbox.put(None)

    def _write(self) -> None:
        try:
            while (message := self._outbox.get()) is not None:
                send(self._sink, message)
            self._sink.close()
            self._closed()
        except (OSError, ValueError):
            pass  # the reader meets the end too, and says so

    def _read(self) -> None:
        try:
            while (message := receive(self._source)) is not None:
                self._heard = monotonic()
                if message != ("alive",):
                    self._inbox.put(message)
        except (OSError, ValueError, EOFError):
            pass
        self._inbox.put(None)
