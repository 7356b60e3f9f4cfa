"""How a visitor's kernel starts: forked from a process that has imported what the dashboards need.

A kernel that starts from nothing spends two of its three seconds of processor time importing pandas, bqplot and what
stands on them, and holds in memory what all others hold too. Forked from multiprocessing's fork server, which has
imported it once and runs no thread, it is there after a fifth of a second, and shares all pages that it leaves alone.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import threading
from functools import lru_cache
from typing import Any, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner

from quantkit.serve.kernel import LAUNCHER, run

__all__ = ["NAME", "ForkingProvisioner"]

#: Under which it is registered with Jupyter, in pyproject.toml.
NAME = "quantkit-forking-provisioner"
#: Seconds after which a fork server is taken to be frozen; the first kernel waits for its imports, too.
PATIENCE = 60.0


class ForkingProvisioner(LocalProvisioner):
    """Forks a kernel where that is safe, which is on Linux, and starts a process of its own elsewhere."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel that `cmd` names."""
        if sys.platform != "linux" or LAUNCHER not in cmd:
            return await super().launch_kernel(cmd, **kwargs)
        options = cmd[cmd.index(LAUNCHER) + 1 :]
        # Voila's names are members of an enumeration; a kernel that unpickled them would import Voila.
        environment = {str.__str__(name): value for name, value in kwargs["env"].items()}
        start = asyncio.ensure_future(asyncio.to_thread(_Forked, options, environment, kwargs.get("cwd")))
        await asyncio.wait({start}, timeout=PATIENCE)
        if not start.done():
            start.add_done_callback(_end_what_came_late)
            self.log.warning("No kernel was forked within %.0f seconds: starting one from nothing", PATIENCE)
            return await super().launch_kernel(cmd, **kwargs)
        try:
            forked = start.result()
        except (OSError, EOFError) as error:
            self.log.warning("No kernel could be forked (%s): starting one from nothing", error)
            return await super().launch_kernel(cmd, **kwargs)
        # A kernel leads a process group of its own; until it does, signals to the group find nobody and go to it alone.
        self.process, self.pid, self.pgid = cast(Any, forked), forked.pid, forked.pid
        return self.connection_info


class _Forked:
    """A forked kernel, with what Jupyter asks of a ``subprocess.Popen``."""

    stdin = stdout = stderr = None
    _one_at_a_time = threading.Lock()

    def __init__(self, options: list[str], environment: dict[str, str], folder: str | None) -> None:
        # A daemon ends with the server.
        self._process = _context().Process(target=run, args=(options, environment, folder), daemon=True)
        with self._one_at_a_time:
            self._process.start()
        self.pid = int(self._process.pid or 0)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def _end_what_came_late(start: asyncio.Future[_Forked]) -> None:
    if not start.cancelled() and start.exception() is None:
        start.result().kill()


@lru_cache(maxsize=1)
def _context() -> Any:
    # A title must not be written over the environment, by which a run's processes are known (`serve/up.py`).
    os.environ.setdefault("SPT_NOENV", "1")
    context = multiprocessing.get_context("forkserver")
    # The first looks for the command line beside the environment, while that is still where it was.
    context.set_forkserver_preload(["setproctitle", "quantkit.serve.preload"])
    return context
