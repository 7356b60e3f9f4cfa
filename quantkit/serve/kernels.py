"""Ending a visitor's kernel when the visitor has gone, and how many visitors there may be at once.

Voila starts one kernel per opened page and leaves ending it to a message that the page sends when it is closed. Pages
of a crashed browser or a lost network send nothing, and a page with live updates is never idle, so idle culling cannot
tell it from a watched one. What does tell is the number of connections.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.ioloop import PeriodicCallback
from traitlets import Float, Integer

__all__ = ["Visit", "VisitorKernelManager"]

VOILA_MARK = "VOILA_BASE_URL"
"""Set by Voila in the environment of every kernel it starts, and by nobody else (JupyterLab's kernels lack it)."""


@dataclass(slots=True, eq=False)
class Visit:
    """A page that is being rendered: it holds its place before its kernel is known."""

    kernel_id: str | None = None


@dataclass(slots=True)
class _Absence:
    """Since when nobody has been connected to a kernel, and whether anybody ever was."""

    since: float
    was_connected: bool


class VisitorKernelManager(AsyncMappingKernelManager):
    """A kernel manager whose kernels live as long as their visitors.

    A sweep every `sweep_interval` seconds ends each kernel that Voila started once its last connection has been gone
    for `grace` seconds, or that nobody connected to within `connect_grace` seconds of the page's end. Kernels which
    wait pre-heated for their visitor are left alone, and a pool that has lost one (it died, or failed to start) is
    filled again. Under Voila the class is extended by its pool (``voila_kernel_manager_factory``); as the kernel
    manager of a Jupyter server it looks only after the kernels that Voila started there.
    """

    max_visitors = Integer(16, help="Pages that may be open at once; kernels waiting pre-heated are not counted").tag(
        config=True
    )
    grace = Float(15.0, help="Seconds without a connection after which a visitor has gone").tag(config=True)
    connect_grace = Float(60.0, help="Seconds in which a page that was sent must connect").tag(config=True)
    loading = Float(20.0, help="Seconds for which a page that was sent still counts as a visitor").tag(config=True)
    sweep_interval = Float(2.0, help="Seconds between two sweeps").tag(config=True)
    refill_interval = Float(10.0, help="Seconds between two attempts to mend one notebook's pool").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        self._ours: set[str] = set()
        self._visits: set[Visit] = set()
        self._absent: dict[str, _Absence] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._mended: dict[str, float] = {}
        self._sweeper: PeriodicCallback | None = None
        super().__init__(**kwargs)

    async def start_kernel(  # type: ignore[override]
        self, *, kernel_id: str | None = None, path: Any = None, **kwargs: Any
    ) -> str:
        """Start a kernel, and look after it if it is Voila's."""
        started: str = await super().start_kernel(kernel_id=kernel_id, path=path, **kwargs)
        if VOILA_MARK in (kwargs.get("env") or {}):
            self._ours.add(started)
        if self._sweeper is None:
            self._sweeper = PeriodicCallback(self.sweep, self.sweep_interval * 1000)
            self._sweeper.start()
        return started

    def notify_connect(self, kernel_id: str) -> None:
        """Notice a page that has connected to its kernel."""
        super().notify_connect(kernel_id)
        self._absent.pop(kernel_id, None)

    def notify_disconnect(self, kernel_id: str) -> None:
        """Notice a page that has gone, or lost its network."""
        super().notify_disconnect(kernel_id)
        if kernel_id in self and not self._connections(kernel_id):
            self._absent[kernel_id] = _Absence(time.monotonic(), was_connected=True)

    def visitors(self) -> int:
        """How many pages are open: connected, being rendered, or sent moments ago and still loading."""
        now = time.monotonic()
        rendering = {visit.kernel_id for visit in self._visits}
        others = [kernel_id for kernel_id in self._handed_out() if kernel_id not in rendering]
        held = sum(bool(self._connections(k)) or self._still_loading(k, now) for k in others)
        # A kernel is handed out one turn of the loop before its page's visit carries its name: count the two once.
        nameless = sum(visit.kernel_id is None for visit in self._visits)
        unclaimed = sum(not self._connections(k) and k not in self._absent for k in others)
        return len(rendering - {None}) + held + max(nameless, unclaimed)

    def admit(self) -> Visit | None:
        """A place for one more page, or None when all are taken.

        Kernels whose visitors have left give way at once, so that a grace period never keeps anybody out nor the
        number of kernels above `max_visitors` and the pool.
        """
        if self.visitors() >= self.max_visitors:
            return None
        now = time.monotonic()
        left = [k for k in self._handed_out() if k in self._absent and not self._still_loading(k, now)]
        left.sort(key=lambda kernel_id: self._absent[kernel_id].since)
        surplus = self.visitors() + len(left) + 1 - self.max_visitors
        for kernel_id in left[: max(surplus, 0)]:
            self.end(kernel_id)
        visit = Visit()
        self._visits.add(visit)
        return visit

    def release(self, visit: Visit, *, gone: bool = False) -> None:
        """The page of `visit` has been sent, or its visitor has `gone` before it was, and cannot come back to it."""
        self._visits.discard(visit)
        kernel_id = visit.kernel_id
        if kernel_id is None or kernel_id not in self or self._connections(kernel_id):
            return
        if gone:
            self.end(kernel_id)
        else:
            self._absent.setdefault(kernel_id, _Absence(time.monotonic(), was_connected=False))

    def end(self, kernel_id: str) -> None:
        """Shut `kernel_id` down in the background."""
        if kernel_id not in self._ending:
            self._ending[kernel_id] = asyncio.ensure_future(self._end(kernel_id))

    async def sweep(self) -> None:
        """End the kernels whose visitors have gone, and mend the pools."""
        self._mend_pools()
        now = time.monotonic()
        rendering = {visit.kernel_id for visit in self._visits}
        handed_out = self._handed_out()
        for kernel_id in handed_out:
            if kernel_id in rendering or self._connections(kernel_id):
                self._absent.pop(kernel_id, None)
                continue
            absence = self._absent.setdefault(kernel_id, _Absence(now, was_connected=False))
            if now - absence.since >= (self.grace if absence.was_connected else self.connect_grace):
                self.log.info("Nobody is connected to kernel %s any more: ending it", kernel_id)
                self.end(kernel_id)
        for kernel_id in self._absent.keys() - set(handed_out):
            del self._absent[kernel_id]
        self._ours.intersection_update(self.list_kernel_ids())

    async def shutdown_all(self, now: bool = False) -> None:  # type: ignore[override]
        """Stop sweeping, then end every kernel."""
        if self._sweeper is not None:
            self._sweeper.stop()
        await super().shutdown_all(now=now)

    def _connections(self, kernel_id: str) -> int:
        return int(self._kernel_connections.get(kernel_id, 0))

    def _still_loading(self, kernel_id: str, now: float) -> bool:
        absence = self._absent.get(kernel_id)
        return absence is not None and not absence.was_connected and now - absence.since < self.loading

    def _pools_by_notebook(self) -> dict[str, list[asyncio.Future[Any]]]:
        """Voila's own record of its pre-heated kernels: for each notebook the tasks that yield them."""
        return getattr(self, "_pools", {})

    def _pooled(self) -> set[str]:
        return {
            task.result()["kernel_id"]
            for pool in self._pools_by_notebook().values()
            for task in pool
            if task.done() and not _failed(task)
        }

    def _handed_out(self) -> list[str]:
        others = self._pooled() | self._ending.keys()
        return [kernel_id for kernel_id in self.list_kernel_ids() if kernel_id in self._ours - others]

    def _mend_pools(self) -> None:
        """Drop pooled kernels that died or never started: Voila would hand them out, or never fill their place."""
        now = time.monotonic()
        for notebook, pool in self._pools_by_notebook().items():
            pool[:] = [t for t in pool if not t.done() or not (_failed(t) or t.result()["kernel_id"] not in self)]
            if not pool and now - self._mended.get(notebook, -1e9) >= self.refill_interval:
                self._mended[notebook] = now
                self.fill_if_needed(delay=0, notebook_name=notebook)  # type: ignore[attr-defined]

    async def _end(self, kernel_id: str) -> None:
        try:
            if kernel_id in self:
                await self.shutdown_kernel(kernel_id)
        except Exception:
            self.log.warning("Kernel %s could not be shut down in order", kernel_id, exc_info=True)
        finally:
            self._ending.pop(kernel_id, None)
            self._absent.pop(kernel_id, None)


def _failed(task: asyncio.Future[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
