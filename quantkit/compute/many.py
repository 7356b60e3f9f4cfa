"""Many questions at once, over whatever answers them, with one progress and one way to cancel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, TypeVar

from quantkit.core.errors import Cancelled, QuantkitError
from quantkit.core.progress import Progress, silent

__all__ = ["AT_ONCE", "ask_many"]

Answer = TypeVar("Answer")

#: Questions under way at once: more than a large cluster has workers, so that none of them waits for us.
AT_ONCE: Final = 64
_POLL_SECONDS: Final = 0.2


def ask_many(
    questions: Mapping[str, Callable[[Progress], Answer]], *, progress: Progress = silent, at_once: int = AT_ONCE
) -> tuple[dict[str, Answer], dict[str, str]]:
    """Ask all of `questions`; one that fails takes nothing from the others.

    Parameters
    ----------
    questions : mapping of name to callable
        Each is called in a thread of its own with a progress, and blocks until it is answered.
    progress : callable
        Told in this thread how many questions' worth is done, of a thousand each; may raise ``Cancelled``, which
        withdraws every question.
    at_once : int
        Most questions under way at a time.

    Returns
    -------
    answers, failures : dict
        By name, in the order asked; a failure is the sentence of its error.
    """
    withdrawn = threading.Event()
    parts = dict.fromkeys(questions, 0.0)

    def ask(name: str) -> Answer:
        def part(done: int, total: int, doing: str = "") -> None:
            if withdrawn.is_set():
                raise Cancelled("the questions were withdrawn")
            parts[name] = done / total if total else 0.0

        part(0, 1)
        answer = questions[name](part)
        parts[name] = 1.0
        return answer

    answers: dict[str, Answer] = {}
    failures: dict[str, str] = {}
    with ThreadPoolExecutor(max(1, min(at_once, len(questions))), thread_name_prefix="quantkit-many") as pool:
        pending: dict[Future[Answer], str] = {pool.submit(ask, name): name for name in questions}
        try:
            while pending:
                finished, _ = wait(pending, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in finished:
                    name = pending.pop(future)
                    try:
                        answers[name] = future.result()
                    except Cancelled:
                        raise
                    except QuantkitError as error:
                        failures[name] = str(error)
                        parts[name] = 1.0
                done = len(questions) - len(pending)
                progress(int(1000 * sum(parts.values())), 1000 * len(questions), f"{done} of {len(questions)}")
        except BaseException:
            withdrawn.set()
            for future in pending:
                future.cancel()
            raise
    return {name: answers[name] for name in questions if name in answers}, failures
