"""A Dask scheduler and a Dask worker as processes of their own, as a supervisor starts them.

Both bind loopback unless told otherwise, since whoever reaches a scheduler can run code; both end on SIGTERM, and a
worker ends when its scheduler does, so that whoever supervises it starts it again.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import psutil

from quantkit.compute.broker import Broker, broker_file
from quantkit.compute.cluster import read_address, warming
from quantkit.compute.priority import give_way
from quantkit.core.fingerprint import code_version

__all__ = ["run_scheduler", "run_worker"]

log = logging.getLogger("quantkit.compute")

#: Seconds without a heartbeat after which the scheduler gives a worker's tasks to another.
WORKER_TTL = 15.0
JOIN_SECONDS = 15.0
FILE_SECONDS = 60.0
WATCH_SECONDS = 2.0

#: What takes seconds to import and would otherwise be paid by the first question.
HEAVY = (
    "quantkit.forecast",
    "quantkit.risk",
    "quantkit.portfolio",
    "quantkit.data.store",
    "scipy.optimize",
    "scipy.stats",
    "statsmodels.tsa.arima.model",
    "statsmodels.tsa.statespace.sarimax",
    "arch",
    "sklearn.ensemble",
    "xgboost",
)


def run_scheduler(host: str, port: int, address_file: Path | None, *, follow: int | None = None) -> int:
    """Serve until SIGTERM, or the end of process `follow`; the address stands in `address_file` meanwhile.

    Returns the exit code: 0 when it was told to end.
    """
    code_version()
    return _until_told(follow, lambda stop: _scheduler(host, port, address_file, stop))


def run_worker(scheduler: str, host: str, memory_limit: int, *, warm: bool = True, follow: int | None = None) -> int:
    """Work for the scheduler that `scheduler` names, an address or a file with one, as long as that lives.

    Above `memory_limit` bytes the worker ends once it is idle, above twice as many at once; with `warm` it imports
    the heavy libraries before its first question. It also ends on SIGTERM and with process `follow`. Returns the exit
    code: 0 when it was told to end.
    """
    code_version()  # of the sources as they are loaded now, not as they stand when the first question arrives
    if warm:
        # It joins meanwhile: a question then waits for a worker that lives, where with none in sight it would go
        # to the fallback.
        warming.acquire()
        threading.Thread(target=_warm_up, name="quantkit-warm", daemon=True).start()
    return _until_told(follow, lambda stop: _worker(scheduler, host, memory_limit, stop))


def _until_told(follow: int | None, main: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    import dask

    dask.config.set(
        {
            "distributed.worker.profile.enabled": False,
            "distributed.admin.system-monitor.gil.enabled": False,
            "distributed.scheduler.active-memory-manager.start": False,
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
            # A worker that hears nothing must not take half a minute to notice.
            "distributed.comm.timeouts.connect": "5s",
            "distributed.comm.timeouts.tcp": "15s",
        }
    )

    async def run() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, stop.set)
        following = asyncio.create_task(_follow(follow, stop))
        try:
            return await main(stop)
        finally:
            following.cancel()

    code = asyncio.run(run())
    # A function that is still at work would hold the interpreter back.
    logging.shutdown()
    os._exit(code)


async def _scheduler(host: str, port: int, address_file: Path | None, stop: asyncio.Event) -> int:
    from distributed import Scheduler

    scheduler: Any = await Scheduler(
        host=host, port=port, dashboard=False, dashboard_address=f"{host}:0", worker_ttl=WORKER_TTL, allowed_failures=2
    )
    print(f"scheduler at {scheduler.address}", flush=True)
    if address_file is not None:
        broker = Broker(host, scheduler.address)
        _write(broker_file(address_file), broker.describe())
        _write(address_file, scheduler.address)
    told = await _first(stop.wait(), scheduler.finished())
    if address_file is not None:
        with suppress(OSError):
            if read_address(str(address_file)) == scheduler.address:
                address_file.unlink()
                broker_file(address_file).unlink()
    with suppress(Exception):
        await asyncio.wait_for(scheduler.close(), 3.0)
    return 0 if told == 0 else 1


async def _worker(scheduler: str, host: str, memory_limit: int, stop: asyncio.Event) -> int:
    from distributed import Worker

    give_way()
    waited = 0.0
    while (address := read_address(scheduler)) is None:
        if stop.is_set() or waited > FILE_SECONDS:
            log.error("no scheduler has written its address to %s", scheduler)
            return 0 if stop.is_set() else 1
        await asyncio.sleep(0.2)
        waited += 0.2
    with tempfile.TemporaryDirectory(prefix="quantkit-worker-", ignore_cleanup_errors=True) as folder:
        # No memory limit of Dask's own: it would pause a worker, which then looks alive and never answers.
        worker: Any = Worker(
            address, host=host, nthreads=1, memory_limit=0, local_directory=folder, dashboard_address=f"{host}:0"
        )
        try:
            await asyncio.wait_for(worker, JOIN_SECONDS)
        except (OSError, TimeoutError, RuntimeError) as error:
            log.error("scheduler %s does not take this worker: %s", address, error)
            return 1
        print(f"worker {worker.address} for {address}", flush=True)
        watch = asyncio.create_task(_watch_memory(worker, memory_limit))
        told = await _first(stop.wait(), worker.finished(), watch)
        with suppress(Exception):
            await asyncio.wait_for(worker.close(timeout=1, executor_wait=False), 3.0)
    return 0 if told == 0 else 1


async def _follow(pid: int | None, stop: asyncio.Event) -> None:
    while pid is not None:
        await asyncio.sleep(WATCH_SECONDS)
        if not psutil.pid_exists(pid):
            stop.set()
            return


async def _watch_memory(worker: Any, limit: int) -> None:
    """Return when the worker is idle and above `limit`, or at work and above twice as much."""
    process = psutil.Process()
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        used = process.memory_info().rss
        if used > limit * (2 if worker.state.executing_count else 1):
            log.warning("worker ends at %d MB, to be started afresh", used // 2**20)
            return


async def _first(*endings: Any) -> int:
    """Position of the first of `endings` to end."""
    tasks = [asyncio.ensure_future(ending) for ending in endings]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return next(at for at, task in enumerate(tasks) if task.done())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(text + "\n")
    os.replace(file.name, path)


def _warm_up() -> None:
    began = monotonic()
    try:
        for name in HEAVY:
            try:
                importlib.import_module(name)
            except Exception as error:
                log.info("%s is not warmed: %s", name, error)
    finally:
        warming.release()
    log.info("warm after %.1f s", monotonic() - began)
