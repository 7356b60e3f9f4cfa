"""Workers for one run: a Dask scheduler and workers of this machine, started afresh and gone when the run is over."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from quantkit.core.errors import ComputeError

__all__ = ["local_workers", "workers_for"]

START_SECONDS = 90.0
END_SECONDS = 5.0


def workers_for(reports: int, scheduler: str | None) -> int:
    """How many workers a run of `reports` starts by itself: none where there is a cluster, or too little to do."""
    cores = os.cpu_count() or 1
    return 0 if scheduler or reports < 4 or cores < 2 else min(cores, reports)


@contextmanager
def local_workers(count: int) -> Iterator[str]:
    """`count` worker processes while the block runs; yields what ``Settings.scheduler`` takes.

    They are new interpreters, never forks of this one, and end with it even if it is killed.

    Raises
    ------
    ComputeError
        They did not start; says what they printed last.
    """
    with tempfile.TemporaryDirectory(prefix="quantkit-run-", ignore_cleanup_errors=True) as folder:
        address, log = Path(folder) / "scheduler", Path(folder) / "log"
        follow = ["--address-file", str(address), "--follow", str(os.getpid())]
        started: list[subprocess.Popen[bytes]] = []
        try:
            with log.open("wb") as written:

                def start(*arguments: str) -> None:
                    command = [sys.executable, "-m", "quantkit.compute", *arguments, *follow]
                    started.append(subprocess.Popen(command, stdout=written, stderr=written))

                start("scheduler")
                for _ in range(count):
                    start("worker")
            _wait(started, log, count)
            yield str(address)
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                try:
                    process.wait(END_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _wait(started: list[subprocess.Popen[bytes]], log: Path, count: int) -> None:
    """Until every worker has joined: asked earlier, the first questions would be answered in this process."""
    deadline = monotonic() + START_SECONDS
    while log.read_text(errors="replace").count("worker tcp://") < count:
        ended = any(process.poll() is not None for process in started)
        if ended or monotonic() > deadline:
            last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            raise ComputeError(f"{count} workers did not start; the last they said: {last[0][:200]}")
        sleep(0.1)
