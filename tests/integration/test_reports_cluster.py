"""Reports on a real Dask cluster of two worker processes, one of which is killed while it renders."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from test_compute_cluster import Cluster

from quantkit import Desk
from quantkit.reporting.batch import run_batch, symbol_jobs
from quantkit.settings import Settings

DAY = "2023-09-20"
SYMBOLS = ["AAPL", "AMZN", "META", "NFLX"]
QUICK = {"model": "naive", "models": ["naive"]}


def unstamped(page: str) -> str:
    return re.sub(r"<time .*?</time>", "", page)


def test_a_worker_killed_midway_costs_a_retry_and_the_pages_are_those_of_one_process(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder)
    home = tmp_path / "home"
    try:
        cluster.start_scheduler()
        cluster.start_workers(2)
        with Desk.open(Settings(home=home, scheduler=str(cluster.address_file))) as desk:
            ended = threading.Event()
            killed = []

            def kill_one(entry) -> None:
                # The other three reports are waiting or at work: whoever holds one of them is lost.
                if not ended.is_set():
                    ended.set()
                    victim = cluster.workers[0]
                    victim.kill()
                    victim.wait()
                    killed.append(victim.pid)

            run = run_batch(desk, symbol_jobs(SYMBOLS, **QUICK), date=DAY, out=tmp_path / "far", done=kill_one)
            # Nobody fell back to this process: the cluster was available throughout.
            assert desk.compute.name == "dask"
        assert killed == [cluster.workers[0].pid]
        assert cluster.workers[1].poll() is None
        assert [each.status for each in run.entries.values()] == ["done"] * 4
    finally:
        cluster.stop()
    with Desk.open(home=tmp_path / "other") as desk:
        here = run_batch(desk, symbol_jobs(SYMBOLS[:1], **QUICK), date=DAY, out=tmp_path / "near")
    for name in SYMBOLS[:1]:
        far, near = ((each.folder / f"{name}.html").read_text() for each in (run, here))
        assert unstamped(far) == unstamped(near)
        assert run.entries[name].fingerprint == here.entries[name].fingerprint
