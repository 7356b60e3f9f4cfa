"""Slow questions off the thread that talks to the page: it never waits, and only the newest answer counts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock, Timer
from typing import Any, TypeVar

from quantkit.core.errors import Cancelled, QuantkitError
from quantkit.core.progress import Progress

__all__ = ["Background", "in_words", "running_loop"]

Answer = TypeVar("Answer")
_log = logging.getLogger(__name__)

#: Seconds between two words on how far a question is.
TELLING_SECONDS = 0.2


def in_words(error: BaseException) -> str:
    """An exception as a sentence for the person who asked; what is not ours is named without its innards."""
    text = str(error).strip() if isinstance(error, QuantkitError) else ""
    return text or f"This could not be worked out ({type(error).__name__}). Try again; the log has the details."


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread, as a kernel has one; None where there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Background:
    """Asks questions on threads of its own, one line of questions to a slot.

    In a slot the newest question wins: one that waits is dropped, one that runs is told through its `progress` that
    nobody wants it any more, and its answer is thrown away. Slots don't wait for each other: a forecast that takes
    seconds never stands before the next symbol's bars.

    Answers are handed over on the event loop of the thread that made this object (a kernel's), so that widgets are
    touched by one thread only; where there is no loop, on the worker's thread.
    """

    def __init__(self) -> None:
        self._lines: dict[str, ThreadPoolExecutor] = {}
        self._newest: dict[str, int] = {}
        self._waiting: dict[str, Future[None]] = {}
        self._lock = Lock()
        self._closed = False
        self._loop = running_loop()

    def ask(
        self,
        slot: str,
        question: Callable[[Progress], Answer],
        done: Callable[[Answer], None],
        failed: Callable[[str], None],
        told: Callable[[tuple[int, int, str]], None] | None = None,
    ) -> None:
        """Have `question` answered; `done` gets the answer, `failed` a sentence, `told` how far it is.

        Parameters
        ----------
        slot : str
            Line of questions of which only the newest matters, such as ``bars``.
        question : callable
            Given a ``Progress`` that raises ``Cancelled`` once a newer question was asked.
        told : callable, optional
            Given ``(done, total, doing)`` a few times a second.
        """
        with self._lock:
            if self._closed:
                return
            ticket = self._newest[slot] = self._newest.get(slot, 0) + 1
            line = self._lines.setdefault(slot, ThreadPoolExecutor(1, thread_name_prefix=f"quantkit-{slot}"))
            waiting = self._waiting.get(slot)
            if waiting is not None:
                waiting.cancel()
            self._waiting[slot] = line.submit(self._answer, slot, ticket, question, done, failed, told)

    def forget(self, slot: str) -> None:
        """Nobody wants the answer in `slot` any more."""
        with self._lock:
            self._newest[slot] = self._newest.get(slot, 0) + 1

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` after some seconds, on the same thread as answers, unless everything is closed by then."""

        def due() -> None:
            if not self._closed:
                act()

        if self._loop is None:
            timer = Timer(seconds, due)
            timer.daemon = True
            timer.start()
        elif not self._loop.is_closed():
            self._loop.call_later(seconds, due)

    def close(self) -> None:
        """Drop what waits and let what runs end by itself."""
        with self._lock:
            self._closed = True
            lines, self._lines = list(self._lines.values()), {}
            self._newest = {slot: ticket + 1 for slot, ticket in self._newest.items()}
        for line in lines:
            line.shutdown(wait=False, cancel_futures=True)

    def settle(self, timeout: float = 30.0) -> None:
        """Wait until every question has been answered, and those asked in answer too; where there is no event loop.

        Raises
        ------
        TimeoutError
            They were not within `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while pending := [each for each in list(self._waiting.values()) if not each.done()]:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(pending)} questions are unanswered after {timeout:g} s")
            wait(pending, timeout=max(end - time.monotonic(), 0.0))

    def _answer(
        self,
        slot: str,
        ticket: int,
        question: Callable[[Progress], Answer],
        done: Callable[[Answer], None],
        failed: Callable[[str], None],
        told: Callable[[tuple[int, int, str]], None] | None,
    ) -> None:
        last = 0.0

        def progress(done: int, total: int, doing: str = "") -> None:
            nonlocal last
            if self._newest.get(slot) != ticket:
                raise Cancelled(f"a newer question was asked in {slot}")
            if told is not None and time.monotonic() - last >= TELLING_SECONDS:
                last = time.monotonic()
                self._hand_over(slot, ticket, told, (done, total, doing), failed)

        try:
            answer = question(progress)
        except Cancelled:
            return
        except Exception as error:
            if not isinstance(error, QuantkitError):
                _log.exception("a question in %s failed", slot)
            sentence = in_words(error)
            self._hand_over(slot, ticket, failed, sentence, failed)
        else:
            self._hand_over(slot, ticket, done, answer, failed)

    def _hand_over(
        self, slot: str, ticket: int, receive: Callable[[Any], None], answer: Any, failed: Callable[[str], None]
    ) -> None:
        def deliver() -> None:
            if self._newest.get(slot) != ticket or self._closed:
                return
            try:
                receive(answer)
            except Exception as error:
                # On an event loop nobody would ever hear of it.
                _log.exception("an answer in %s could not be shown", slot)
                if receive is not failed:
                    failed(in_words(error))

        if self._loop is None:
            deliver()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(deliver)
