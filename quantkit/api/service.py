"""What answers: a desk asked from a bounded number of threads, replies that are kept while the store stands still."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from quantkit.api.answers import Answer, ask
from quantkit.api.problems import Problem, RefusedError, TooManyError
from quantkit.api.replies import Format, Reply, Sent, reply_of
from quantkit.core.errors import Cancelled
from quantkit.core.progress import Progress

if TYPE_CHECKING:
    from quantkit.desk import Desk

__all__ = ["Service"]

log = logging.getLogger("quantkit.api")

T = TypeVar("T")

THREADS: Final = 8
WAITING: Final = 64
"""Questions that may wait for a thread; more are told to come back."""

MOST_WORDS: Final = 4096
LONGEST_WORDS: Final = 512
"""Questions remembered as they were put, and the longest of them in bytes."""

KEPT_BYTES: Final = 64 << 20
LARGEST_KEPT: Final = 8 << 20
SECONDS_KEPT: Final = {"price": 1.0}
"""Seconds for which a reply is given again that tells its age."""
SECONDS_KEPT_ELSE: Final = 10.0
"""Seconds for which any other is, where a vendor may have more although nothing was stored."""


@dataclass(slots=True)
class _Kept:
    reply: Reply
    version: int
    change: int
    until: float
    moves: bool


class Service:
    """One desk behind the API.

    Parameters
    ----------
    desk : Desk
    timeout : float
        Seconds after which a question is given up, or told to come back.
    """

    def __init__(self, desk: Desk, *, timeout: float = 60.0) -> None:
        self.desk = desk
        self.timeout = timeout
        self.stopping = asyncio.Event()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="quantkit-api")
        self._asked = 0
        self._flights: dict[Hashable, asyncio.Task[Reply]] = {}
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._kept_bytes = 0
        self._words: OrderedDict[tuple[str, bytes], Hashable] = OrderedDict()

    def close(self) -> None:
        """Let go of the threads; what they still compute is given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def at_hand(self, key: Hashable) -> Reply | None:
        """The reply kept under `key`, if nothing that it stands on can have changed."""
        kept = self._kept.get(key)
        if kept is None or monotonic() > kept.until:
            return None
        version = self.desk.store.data_version()
        if version != kept.version:
            # Most of what is committed are answers and progress; a bar that is forming moves the price alone.
            if kept.moves or self.desk.store.last_change() != kept.change:
                return None
            kept.version = version
        self._kept.move_to_end(key)
        return kept.reply

    @staticmethod
    def key(question: str, arguments: dict[str, Any], form: Format) -> Hashable:
        """Under what the reply to a question is kept."""
        return (question, form, _hashable(arguments))

    async def reply(
        self, question: str, arguments: dict[str, Any], *, form: Format = "json", address: str = ""
    ) -> Reply:
        """The answer to a question of :data:`quantkit.api.answers.ANSWERS`; who asks the same meanwhile shares it.

        Raises
        ------
        QuantkitError
            Whatever the desk raises.
        RefusedError
            Too many questions wait, or this one takes longer than the time-out.
        """
        key = self.key(question, arguments, form)
        kept = self.at_hand(key)
        if kept is not None:
            return kept
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.get_running_loop().create_task(self._fly(key, question, arguments, form, address))
            self._flights[key] = flight
            flight.add_done_callback(functools.partial(self._landed, key))
        # A visitor who leaves takes nobody else's answer along.
        return await asyncio.shield(flight)

    def in_the_same_words(self, path: str, query: bytes) -> Reply | None:
        """The reply to what has been asked in these very words, if it still holds."""
        key = self._words.get((path, query))
        return None if key is None else self.at_hand(key)

    async def send(self, request: Request, key: Hashable, reply: Reply) -> Response:
        """`reply` as the response to `request`, compressed in a thread where that is wanted."""
        if reply.to_pack(request.scope):
            await self.run(lambda progress: reply.pack())
        words = (request.scope["path"], request.scope["query_string"])
        if request.method == "GET" and len(words[1]) <= LONGEST_WORDS:
            self._words[words] = key
            if len(self._words) > MOST_WORDS:
                self._words.popitem(last=False)
        return Sent(reply)

    async def run(self, function: Callable[..., T], *arguments: Any, timeout: float | None = None) -> T:
        """`function` of `arguments` in a thread, with a progress that ends it when its time is over."""
        if self._asked >= THREADS + WAITING:
            raise TooManyError(f"{self._asked} questions are being answered or wait", 2.0)
        over = threading.Event()
        self._asked += 1
        future = asyncio.get_running_loop().run_in_executor(
            self._threads, functools.partial(function, *arguments, progress=_until(over))
        )
        future.add_done_callback(self._answered)
        try:
            return await asyncio.wait_for(asyncio.shield(future), timeout or self.timeout)
        except TimeoutError:
            over.set()
            said = f"no answer within {timeout or self.timeout:g} s; ask for less, or again later"
            raise RefusedError(Problem.own("timeout", said, headers={"Retry-After": "5"})) from None

    def keep(
        self, key: Hashable, reply: Reply, version: int, change: int, seconds: float, *, moves: bool = False
    ) -> None:
        """Keep `reply` as of the store's `version` and last `change`; one that `moves` is old after any commit."""
        if reply.size > LARGEST_KEPT:
            return
        before = self._kept.pop(key, None)
        self._kept_bytes += reply.size - (before.reply.size if before else 0)
        self._kept[key] = _Kept(reply, version, change, monotonic() + seconds, moves)
        while self._kept_bytes > KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= oldest.reply.size

    async def _fly(self, key: Hashable, question: str, arguments: dict[str, Any], form: Format, address: str) -> Reply:
        def answer(progress: Progress) -> tuple[Reply, int, int]:
            store = self.desk.store
            # Read before the question is asked: a bar that arrives meanwhile makes the reply old, never the reverse.
            # The first question for a symbol stores its bars, and what it answers stands on them.
            version, change = store.data_version(), store.last_change()
            found: Answer = ask(self.desk, question, progress=progress, **arguments)
            return reply_of(found, form, address=address), version, change

        reply, version, change = await self.run(answer)
        lasting = SECONDS_KEPT_ELSE if self.desk.market.asks else math.inf
        seconds = SECONDS_KEPT.get(question, lasting)
        self.keep(key, reply, version, change, seconds, moves=question in SECONDS_KEPT)
        return reply

    def _landed(self, key: Hashable, flight: asyncio.Task[Reply]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # looked at, so that a failure whose asker has left is not reported as forgotten

    def _answered(self, future: asyncio.Future[Any]) -> None:
        self._asked -= 1
        if not future.cancelled():
            future.exception()


def _until(over: threading.Event) -> Progress:
    def progress(done: int, total: int, doing: str = "") -> None:
        if over.is_set():
            raise Cancelled("the question took too long")

    return progress


def _hashable(value: Any) -> Hashable:
    if isinstance(value, dict):
        return tuple((name, _hashable(each)) for name, each in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(each) for each in value)
    return (type(value).__name__, value)
