"""Reports on a real Dask cluster of two worker processes, one of which is killed while it renders."""

from __future__ import annotations

import re
import subprocess
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
    # In a process of its own, as somebody without a cluster has it, who has given charts another look beforehand.
    script = f"""
import sys
from pathlib import Path
import matplotlib.style
matplotlib.style.use(["dark_background", {{"svg.fonttype": "path", "font.size": 14, "axes.grid": True}}])
from quantkit import Desk
from quantkit.reporting.batch import run_batch, symbol_jobs
with Desk.open(home={str(tmp_path / "other")!r}) as desk:
    jobs = symbol_jobs({SYMBOLS[:1]!r}, **{QUICK!r})
    done = run_batch(desk, jobs, date={DAY!r}, out=Path({str(tmp_path / "near")!r}))
assert "lark" not in sys.modules  # the grammar of IRIs: a third of a cold report's time, for nothing
assert "matplotlib.pyplot" not in sys.modules
print(done.folder, done.entries[{SYMBOLS[0]!r}].fingerprint)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=240)
    folder, fingerprint = said.stdout.splitlines()[-1].rsplit(" ", 1)
    name = SYMBOLS[0]
    far, near = ((Path(each) / f"{name}.html").read_text() for each in (run.folder, folder))
    assert unstamped(far) == unstamped(near)
    assert run.entries[name].fingerprint == fingerprint
