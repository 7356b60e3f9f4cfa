"""One thing that a screen asks: its answer, its error, how far it is, and how it is withdrawn or asked again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import traitlets as t

from quantkit.core.progress import Progress
from quantkit.ui.background import Background
from quantkit.ui.screen_state import sentence_of

__all__ = ["SLOW_SHARE", "Question", "time_left"]

#: Of the time, that what takes seconds may be worked on while bars come in.
SLOW_SHARE: Final = 0.2
#: Seconds after which an answer that follows the market is worked out again, however long the last one took.
LONGEST_REST: Final = 60.0


class Question(t.HasTraits):
    """A question to ``Desk`` that a panel waits for.

    Parameters
    ----------
    background : Background
        Where it is answered; the newest question of this name wins.
    name : str
        What is asked, in a word.
    share : float in (0, 1]
        Of the time, that it may be worked on when every new bar asks it again: a slow question would otherwise keep
        the machine from everything else.

    Attributes
    ----------
    answer : object or None
        The last one; an error or a cancellation leaves it.
    error : str
        A sentence, or nothing.
    busy : bool
        Somebody waits for the answer; one that only follows the market comes unannounced.
    share : float
        Of the work that is done, in [0, 1].
    said : str
        What is being done, and about how long it will still take.
    """

    answer = t.Any(None, allow_none=True)
    error = t.Unicode("")
    busy = t.Bool(False)
    share = t.Float(0.0)
    said = t.Unicode("")

    def __init__(self, background: Background, name: str, *, share: float = 1.0) -> None:
        super().__init__()
        self.name, self._share = name, share
        self._background = background
        self._question: Callable[[Progress], Any] | None = None
        self._next: Callable[[Progress], Any] | None = None
        self._running = self._resting = False
        self._began = self._took = self._rested = 0.0

    def ask(self, question: Callable[[Progress], Any]) -> None:
        """Have `question` answered; what was asked before is withdrawn."""
        self._next = None
        with self.hold_trait_notifications():
            self.busy, self.error, self.share, self.said = True, "", 0.0, ""
        self._start(question)

    def refresh(self, question: Callable[[Progress], Any]) -> None:
        """Ask `question` because the market has moved: what is being worked out is let come first.

        However often it is called, one question runs and the newest waits; withdrawing instead would never let a slow
        answer arrive. An answer that is shown stays until the new one is there, and nothing says that it is awaited.
        """
        if self.answer is None and not self._running:
            self.ask(question)
            return
        self._next = question
        self._go_on()

    def again(self) -> None:
        """Ask once more."""
        if self._question is not None:
            self.ask(self._question)

    def cancel(self) -> None:
        """Nobody wants the answer any more."""
        if self.busy:
            self._background.forget(self.name)
            self._running, self._next = False, None
            with self.hold_trait_notifications():
                self.busy, self.said = False, ""
                self.error = f"Cancelled: {self.name} was not worked out."

    def clear(self) -> None:
        """Have neither question nor answer."""
        self._background.forget(self.name)
        self._question = self._next = None
        self._running, self._rested = False, 0.0
        with self.hold_trait_notifications():
            self.busy, self.error, self.said, self.answer = False, "", "", None

    def _arrived(self, answer: Any) -> None:
        with self.hold_trait_notifications():
            self.busy, self.error, self.said, self.share = False, "", "", 1.0
        self.answer = answer
        self._ended()

    def _refused(self, why: str) -> None:
        with self.hold_trait_notifications():
            self.busy, self.said, self.error = False, "", sentence_of(why)
        self._ended()

    def _start(self, question: Callable[[Progress], Any]) -> None:
        self._question, self._running, self._began = question, True, time.monotonic()
        self._background.ask(self.name, question, self._arrived, self._refused, self._told)

    def _ended(self) -> None:
        now = time.monotonic()
        self._running, self._took, self._rested = False, now - self._began, now
        self._go_on()

    def _go_on(self) -> None:
        """Begin with what waits, once the last answer's work has been rested from."""
        if self._next is None or self._running or self._resting:
            return
        rest = self._rested + min(self._took * (1.0 / self._share - 1.0), LONGEST_REST) - time.monotonic()
        if rest > 0.0:
            self._resting = True
            self._background.later(rest, self._wake)
            return
        waiting, self._next = self._next, None
        self._start(waiting)

    def _wake(self) -> None:
        self._resting = False
        self._go_on()

    def _told(self, progress: tuple[int, int, str]) -> None:
        done, total, doing = progress
        self.share = min(max(done / total, 0.0), 1.0) if total > 0 else 0.0
        left = time_left(time.monotonic() - self._began, self.share)
        self.said = " · ".join(part for part in (sentence_of(doing).rstrip(".") if doing else "", left) if part)


def time_left(seconds: float, share: float) -> str:
    """About how long the rest takes, where `share` of the work took `seconds`.

    Examples
    --------
    >>> time_left(4.0, 0.25), time_left(60.0, 0.2), time_left(1.0, 0.0)
    ('about 12 s left', 'about 4 min left', '')
    """
    if share <= 0.02:
        return ""
    left = seconds * (1.0 - share) / share
    return f"about {max(left, 1.0):.0f} s left" if left < 90.0 else f"about {left / 60.0:.0f} min left"
