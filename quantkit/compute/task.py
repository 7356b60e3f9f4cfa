"""What a heavy question is, and how it is worked on, wherever that happens."""

from __future__ import annotations

import logging
import os
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

import pandas as pd
from pydantic import SecretStr

from quantkit.core.errors import Cancelled, ComputeError, QuantkitError, StoreError
from quantkit.core.fingerprint import code_version
from quantkit.core.progress import Progress
from quantkit.core.results import Result

if TYPE_CHECKING:
    from quantkit.data.store import Store
    from quantkit.settings import Settings

__all__ = ["Envelope", "Order", "Sealed", "StoreAddress", "Task", "keep_answer", "kept_answer", "open_order",
           "store_at_work", "travelling", "work", "working_here"]  # fmt: skip

log = logging.getLogger("quantkit.compute")


@dataclass(frozen=True, slots=True)
class Task:
    """A heavy question.

    Attributes
    ----------
    function : callable
        Pure and at module level: ``function(*data, **question, progress=...)`` returns a ``Result``.
    data : tuple of DataFrame or Series
    question : mapping
        Keyword arguments, JSON-safe.
    fingerprint : str
        Of data, question and version: tasks with the same one have the same answer.
    takes_progress : bool
        Whether `function` has the argument ``progress``; without it a computation cannot be stopped half way.
    result_type : type of Result, optional
        What `function` returns, where its return annotation does not say so.
    keep : bool
        Whether the answer is kept in the store; False for one that goes to a file, such as a report's page.
    """

    function: Callable[..., Result]
    data: tuple[pd.DataFrame | pd.Series, ...]
    question: Mapping[str, Any]
    fingerprint: str
    takes_progress: bool = True
    result_type: type[Result] | None = None
    keep: bool = True

    @property
    def name(self) -> str:
        """The function's module and name, for messages."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def result(self, answer: Mapping[str, Any]) -> Result:
        """The typed result that `answer`, a ``Result.to_dict()``, stands for."""
        return self._type().from_dict(answer)

    def _type(self) -> type[Result]:
        if self.result_type is not None:
            return self.result_type
        annotation = getattr(self.function, "__annotations__", {}).get("return")
        try:
            # Only the return annotation: the others may name what is imported for type checking alone.
            hints = get_type_hints(SimpleNamespace(__annotations__={"return": annotation}), self.function.__globals__)
        except NameError:
            hints = {}
        found = hints.get("return")
        if not (isinstance(found, type) and issubclass(found, Result)):
            raise ComputeError(f"{self.name} returns {annotation!r}; expected a Result, or Task.result_type beside it")
        return found


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """What another process needs to open the same store; the database's password is never printed."""

    home: Path
    database_url: SecretStr | None

    @classmethod
    def of(cls, settings: Settings) -> StoreAddress:
        """Where `settings` keep the store."""
        return cls(settings.home, settings.database_url)

    def settings(self, **others: Any) -> Settings:
        """Settings of this process with that store."""
        from quantkit.settings import Settings

        return Settings(home=self.home, database_url=self.database_url, **others)

    def open(self) -> Store | None:
        """The store, opened once a process; None where it cannot be (answers then travel, but are not kept)."""
        return _open_store(str(self.home), self.database_url.get_secret_value() if self.database_url else None)


@lru_cache(maxsize=8)
def _open_store(home: str, database_url: str | None) -> Store | None:
    from quantkit.data.store import Store

    try:
        return Store.open(StoreAddress(Path(home), SecretStr(database_url) if database_url else None).settings())
    except StoreError as error:
        log.warning("answers are not kept: %s", error)
        return None


@dataclass(frozen=True, slots=True)
class Order:
    """A task on its way to another process."""

    task: Task
    store: StoreAddress
    code: str = field(default_factory=code_version)


class Sealed:
    """An order as bytes that print as nothing: cluster logs show a task's arguments, and one holds a password."""

    __slots__ = ("blob",)

    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    @classmethod
    def seal(cls, order: Order) -> Sealed:
        """`order` as bytes; ``ComputeError`` where the function or its arguments cannot travel."""
        try:
            return cls(pickle.dumps(order, protocol=pickle.HIGHEST_PROTOCOL))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ComputeError(f"{order.task.name} cannot run in another process: {error}") from error

    def open(self) -> Order:
        """The order; raises whatever importing its function raises."""
        order: Order = pickle.loads(self.blob)
        return order

    def __repr__(self) -> str:
        return f"<{len(self.blob)} bytes>"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What comes back: an answer, an error, word that it was cancelled, or that this place cannot answer at all."""

    kind: Literal["answer", "error", "cancelled", "unable"]
    answer: dict[str, Any] | None = None
    error: BaseException | None = None
    said: str = ""

    @classmethod
    def unable(cls, said: str) -> Envelope:
        """Another place should be asked."""
        return cls("unable", said=said)


def open_order(sealed: Sealed) -> Order | Envelope:
    """The order, or why this process cannot work on it: it lacks the function, or runs other sources."""
    try:
        order = sealed.open()
    except Exception as error:
        return Envelope.unable(f"the question cannot be read there: {type(error).__name__}: {error}")
    if order.code != code_version():
        return Envelope.unable("another version of quantkit runs there; restart whichever began before the update")
    return order


def kept_answer(store: Store | None, fingerprint: str) -> dict[str, Any] | None:
    """The answer kept under `fingerprint`; a store that cannot be read keeps none."""
    try:
        return store.result(fingerprint) if store is not None else None
    except StoreError as error:
        log.warning("kept answers cannot be read: %s", error)
        return None


def keep_answer(store: Store | None, task: Task, answer: dict[str, Any], seconds: float) -> None:
    """Keep `answer`; a store that cannot be written costs the keeping, never the answer."""
    try:
        if store is not None and task.keep:
            store.put_result(task.fingerprint, question=dict(task.question), answer=answer, seconds=seconds)
    except StoreError as error:
        log.warning("an answer is not kept: %s", error)


def work(task: Task, store: Store | None, progress: Progress) -> Envelope:
    """Answer `task` in this thread, or serve the answer that is kept; keeps what it computes.

    One task at a time works in a process, on one thread of BLAS and OpenMP: sums are then added in the same order
    everywhere, and models that seed a library's global generator do not disturb each other.
    """
    try:
        with _alone(progress, store):
            answer = kept_answer(store, task.fingerprint)
            if answer is not None:
                return Envelope("answer", answer)
            began = perf_counter()
            extra = {"progress": progress} if task.takes_progress else {}
            result = task.function(*task.data, **task.question, **extra)
            if not isinstance(result, Result):
                raise ComputeError(f"{task.name} returned {type(result).__name__}; expected a Result")
            answer = result.to_dict()
            keep_answer(store, task, answer, perf_counter() - began)
            return Envelope("answer", answer)
    except Cancelled:
        return Envelope("cancelled")
    except BaseException as error:
        return Envelope("error", error=error)


def travelling(envelope: Envelope) -> Envelope:
    """`envelope` with an error that can be pickled, and that tells where it was raised."""
    error = envelope.error
    if error is None:
        return envelope
    if not isinstance(error, QuantkitError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = ComputeError(f"{type(error).__name__}: {error}")
    return Envelope("error", error=error)


_working = threading.Lock()
_mine = threading.local()
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def store_at_work() -> Store | None:
    """The store that the task at work in this thread belongs to: for a task that asks questions of its own."""
    return getattr(_mine, "store", None)


def working_here() -> bool:
    """Whether the calling thread is at work on a task: what that asks in turn cannot wait for its own end."""
    return getattr(_mine, "working", False)


@contextmanager
def _alone(progress: Progress, store: Store | None) -> Iterator[None]:
    if working_here():
        yield
        return
    while not _working.acquire(timeout=0.1):
        progress(0, 1, "waiting for another question")
    try:
        _mine.working, _mine.store = True, store
        with _one_thread():
            yield
    finally:
        _mine.working, _mine.store = False, None
        _working.release()


@contextmanager
def _one_thread() -> Iterator[None]:
    from quantkit.core.threads import one_thread

    # The variables are for libraries that load only now, inside the function: limits reach what is loaded already.
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        with one_thread():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
