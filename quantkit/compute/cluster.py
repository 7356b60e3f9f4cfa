"""A Dask cluster, asked so that nothing it does can hang the asker.

``distributed``'s own time-outs do not cover a frozen peer, so the client lives on an event loop of our own, in a
daemon thread, and every wait ends by our clock: a connection that takes seconds, or a task whose worker has not been
heard of for ten, is given up and another place answers. The cluster is then left alone for half a minute.

Sharing and withdrawing are Dask's own reference counts: two clients that submit one key share its run, and a key that
no client wants any more is ``cancelled`` on its worker, which tells a question that its last asker withdrew from one
that somebody else still waits for.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import socket
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from quantkit.compute.shared import Avoided, Flight, Unavailable
from quantkit.compute.task import (
    Envelope,
    Order,
    Sealed,
    StoreAddress,
    keep_answer,
    kept_answer,
    open_order,
    travelling,
    work,
)
from quantkit.core.errors import Cancelled, ComputeError, StoreError

if TYPE_CHECKING:
    from distributed import Scheduler

    from quantkit.data.store import Store
    from quantkit.settings import Settings

__all__ = ["DaskBackend", "answer_on_worker", "read_address", "warming"]

log = logging.getLogger("quantkit.compute")

REACH_SECONDS = 4.0
CONNECT_SECONDS = 8.0
SILENCE_SECONDS = 10.0
POLL_SECONDS = 0.2
LOOK_SECONDS = 1.0
PROGRESS_SECONDS = 0.2


def read_address(scheduler: str) -> str | None:
    """The scheduler's address: `scheduler` itself, or what the file of that absolute path holds; None while absent."""
    path = Path(scheduler)
    if not path.is_absolute():
        return scheduler if "://" in scheduler else f"tcp://{scheduler}"
    try:
        return path.read_text().strip() or None
    except OSError:
        return None


class _Session:
    """A connected client on its own loop and thread."""

    def __init__(self, address: str, seconds: float) -> None:
        import distributed  # noqa: F401 - a second or more, which is not the scheduler's

        self.loop = asyncio.new_event_loop()
        self.client: Any = None
        threading.Thread(target=self._run, name="quantkit-dask", daemon=True).start()
        opening = asyncio.run_coroutine_threadsafe(self._open(address, seconds), self.loop)
        try:
            opening.result(seconds + 1.0)
        except Exception as error:
            opening.cancel()
            self.close()
            raise Unavailable(f"scheduler {address} does not answer: {type(error).__name__} {error}") from error

    @property
    def running(self) -> bool:
        return self.client is not None and self.client.status == "running"

    def submit(self, coroutine: Any) -> concurrent.futures.Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self, seconds: float = 0.0) -> None:
        """Stop the loop after a farewell; wait for that no longer than `seconds`."""
        ended = threading.Event()

        async def farewell() -> None:
            if self.client is not None:
                with suppress(Exception):
                    await asyncio.wait_for(self.client._close(fast=True), 1.0)
                # Or the garbage collector would close it again, and wait for this loop in whatever thread it runs.
                self.client.status = "closed"
            pending = asyncio.all_tasks() - {asyncio.current_task()}
            for task in pending:
                task.cancel()
            if pending:
                await asyncio.wait(pending, timeout=0.5)
            ended.set()
            self.loop.stop()

        self.loop.call_soon_threadsafe(lambda: self.loop.create_task(farewell()))
        ended.wait(seconds)

    def _run(self) -> None:
        self.loop.run_forever()
        self.loop.close()

    async def _open(self, address: str, seconds: float) -> None:
        from distributed import Client

        self.client = Client(  # type: ignore[no-untyped-call]
            address, asynchronous=True, set_as_default=False, timeout=seconds, name="quantkit"
        )
        await asyncio.wait_for(self.client, seconds)


class _Life:
    """When the place where a question stands was last known to live."""

    def __init__(self) -> None:
        self.seen = monotonic()


class DaskBackend:
    """A cluster, or ``Unavailable`` within about ten seconds."""

    name = "dask"

    def __init__(self, settings: Settings, store: Store) -> None:
        assert settings.scheduler is not None
        self._scheduler = settings.scheduler
        self._address = StoreAddress.of(settings)
        self._store = store
        self._session: _Session | None = None
        self._connecting = threading.Lock()
        self._avoided = Avoided()
        self._closed = False

    @property
    def available(self) -> bool:
        """False for half a minute after it was found wanting."""
        return self._avoided.available

    def answer(self, flight: Flight) -> Envelope:
        """Submit the task under its fingerprint and wait as long as a living worker has it."""
        sealed = Sealed.seal(Order(flight.task, self._address))
        try:
            session = self._connected()
            # A flag that an earlier asker left must not withdraw this asking.
            with suppress(StoreError):
                self._store.tasks.forget(flight.task.fingerprint)
            for attempt in range(5):
                envelope = self._ask(session, sealed, flight, attempt)
                if envelope.kind != "cancelled":
                    break
                # It was stopped for others just as we joined: the run is spent, so ask for another one.
        except Unavailable:
            if not self._closed:
                self._avoid()
            raise
        if envelope.kind == "unable":
            self._avoid()
            raise Unavailable(f"a worker cannot answer: {envelope.said}")
        if envelope.answer is not None and kept_answer(self._store, flight.task.fingerprint) is None:
            keep_answer(self._store, flight.task, envelope.answer, 0.0)
        return envelope

    def warm(self) -> None:
        """Connect."""
        try:
            self._connected()
        except Unavailable:
            self._avoid()
            raise

    def close(self) -> None:
        """Say farewell to the scheduler, if it listens."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            session.close(2.0)

    def _avoid(self) -> None:
        self._avoided.avoid()
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _connected(self) -> _Session:
        with self._connecting:
            if self._closed:
                raise Unavailable("closed")
            self._avoided.check()
            if self._session is not None and not self._session.running:
                self._session.close()
                self._session = None
            if self._session is None:
                address = _reachable(self._scheduler)
                self._session = _Session(address, CONNECT_SECONDS)
            return self._session

    def _ask(self, session: _Session, sealed: Sealed, flight: Flight, attempt: int) -> Envelope:
        fingerprint = flight.task.fingerprint
        key = f"quantkit-{fingerprint}" + (f"-{attempt}" if attempt else "")
        life = _Life()
        asking = session.submit(_submit(session.client, key, sealed, life))
        try:
            while not concurrent.futures.wait([asking], timeout=POLL_SECONDS).done:
                if flight.cancelled.is_set():
                    asking.cancel()
                    with suppress(StoreError):
                        self._store.tasks.cancel(fingerprint)
                    raise Cancelled("the question was withdrawn")
                if monotonic() - life.seen > SILENCE_SECONDS:
                    raise Unavailable(f"no living worker has been seen for {SILENCE_SECONDS:.0f} s")
                if not session.running:
                    raise Unavailable("the connection to the scheduler is lost")
                self._tell(flight)
        finally:
            asking.cancel()
        try:
            envelope: Envelope = asking.result()
        except concurrent.futures.CancelledError:
            raise Unavailable("the connection to the scheduler is lost") from None
        except Exception as error:
            raise _as_ours(error, flight.task.name) from error
        return envelope

    def _tell(self, flight: Flight) -> None:
        try:
            progress = self._store.tasks.progress(flight.task.fingerprint)
        except StoreError:
            return
        with suppress(Cancelled):
            if progress is not None:
                flight.report(progress.done, progress.total, progress.doing)
            elif flight.progress is None:
                flight.report(0, 1, "waiting for a worker")


def _reachable(scheduler: str) -> str:
    """Its address, once something listens there; waits a moment for one that is being started."""
    deadline = monotonic() + REACH_SECONDS
    while True:
        address = read_address(scheduler)
        if address is not None:
            parts = urlsplit(address)
            try:
                socket.create_connection((parts.hostname, parts.port or 8786), timeout=REACH_SECONDS).close()
                return address
            except (OSError, ValueError) as error:
                fault = f"scheduler {address} cannot be reached: {error}"
        else:
            fault = f"no scheduler has written its address to {scheduler}"
        if monotonic() > deadline:
            raise Unavailable(fault)
        sleep(0.2)


async def _submit(client: Any, key: str, sealed: Sealed, life: _Life) -> Envelope:
    future = client.submit(answer_on_worker, sealed, key=key, pure=False)
    watching = asyncio.create_task(_watch(client, key, life))
    try:
        envelope: Envelope = await future
        return envelope
    finally:
        watching.cancel()
        future.release()


async def _watch(client: Any, key: str, life: _Life) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        with suppress(Exception):
            silent = await asyncio.wait_for(client.run_on_scheduler(_silent_for, key), SILENCE_SECONDS)
            if silent is not None:
                life.seen = max(life.seen, monotonic() - silent)


def _silent_for(key: str, dask_scheduler: Scheduler | None = None) -> float | None:
    """Run on the scheduler: seconds since whoever has the task was heard of; None when nobody has it."""
    assert dask_scheduler is not None
    task = dask_scheduler.tasks.get(key)
    if task is None or task.state == "no-worker":
        return None
    if task.state == "erred":
        return 0.0
    holders = [task.processing_on] if task.processing_on is not None else list(task.who_has or ())
    seen = [worker.last_seen for worker in holders or dask_scheduler.workers.values()]
    return time() - max(seen) if seen else None


def _as_ours(error: Exception, name: str) -> ComputeError:
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        # It would take the fallback down as well.
        return ComputeError(f"{name} ended every worker that tried it; it may need more memory than there is")
    return Unavailable(f"the cluster failed: {type(error).__name__}: {error}")


class _StoreProgress:
    """Progress as a worker reports it, into the store; there it also reads that the question was withdrawn."""

    def __init__(self, store: Store, fingerprint: str, withdrawn: Any) -> None:
        self._store, self._fingerprint, self._withdrawn = store, fingerprint, withdrawn
        self._told = 0.0

    def __call__(self, done: int, total: int, doing: str = "") -> None:
        if monotonic() - self._told < PROGRESS_SECONDS:
            return
        self._told = monotonic()
        try:
            # Both are needed. Unwanted alone may be a page that was closed; flagged alone has another asker.
            if self._withdrawn() and self._store.tasks.cancelled(self._fingerprint):
                raise Cancelled("the question was withdrawn")
            self._store.tasks.report(self._fingerprint, done, total, doing)
        except StoreError as error:
            log.debug("progress is not told: %s", error)


#: Held while a worker imports what questions will need: two threads importing one package can meet it half made.
warming = threading.Lock()


def answer_on_worker(sealed: Sealed) -> Envelope:
    """What a worker runs; never raises, so that nothing of the question reaches the cluster's logs."""
    from distributed import get_worker

    with warming:
        pass
    order = open_order(sealed)
    if isinstance(order, Envelope):
        return order
    worker = get_worker()
    key = worker.get_current_task()
    fingerprint = order.task.fingerprint
    store = order.store.open()

    def withdrawn() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    if store is None:
        return travelling(work(order.task, None, lambda done, total, doing="": None))
    with suppress(StoreError):
        store.tasks.forget(fingerprint)
        store.tasks.report(fingerprint, 0, 1, "starting")
    envelope = travelling(work(order.task, store, _StoreProgress(store, fingerprint, withdrawn)))
    with suppress(StoreError):
        store.tasks.forget(fingerprint)
    return envelope
