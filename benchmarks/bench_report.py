"""A daily report beside quantstats' tear sheet of the same series: one cold process each, and many in a warm one.

The tear sheet draws and measures; a report also walks every model through the past, tests VaR by seven methods, and
explains the forecast. Those walks are nearly all of its time, so it is measured twice: with one model, and with all. A
process that rendered a symbol before keeps the walk, and the day after walks one bar.

Seconds are of processor time: both work in one thread, and two workers take half as long for a batch, which is what the
rows on two cores say. Whether they do is measured by the clock, on as many reports from one worker and from two.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

#: Of the sample: each has daily bars up to the last day.
SYMBOLS = ("AAPL", "AMZN", "GOOG", "META", "NFLX", "NVDA")
DAY, NEXT = "2023-09-20", "2023-09-21"

_PEER = """
import time
import warnings, logging
warnings.simplefilter("ignore"); logging.disable(logging.CRITICAL)
import pandas as pd
import quantkit.data
bars = pd.read_parquet(quantkit.data.__path__[0] + "/sample/1d/AAPL.parquet").set_index("time")
returns = bars["adj_close"].pct_change().dropna().tz_localize(None)
import quantstats
quantstats.reports.html(returns, output={out!r}, title="AAPL")
first = time.process_time()
quantstats.reports.html(returns, output={out!r}, title="AAPL")
print(first, time.process_time() - first)
"""

_OURS = """
import json, resource, time
from quantkit import Desk
from quantkit.reporting import render_report
seconds = []
with Desk.open(home={home!r}) as desk:
    for symbol, day, more in {asked!r}:
        before = time.process_time()
        render_report(desk, "symbol", dict(symbol=symbol, date=day, **more))
        seconds.append(time.process_time() - (before if seconds else 0.0))
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""

_BATCH = """
import json, time
from pathlib import Path
import psutil
from quantkit import Desk
from quantkit.reporting.batch import run_batch, symbol_jobs
from quantkit.reporting.workers import local_workers

def peak(process):
    lines = Path(f"/proc/{{process.pid}}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

with local_workers({workers}) as scheduler, Desk.open(home={home!r}, scheduler=scheduler) as desk:
    def seconds(day):
        began = time.perf_counter()
        run = run_batch(desk, symbol_jobs({symbols!r}, **{more!r}), date=day, out=Path({home!r}) / "reports")
        assert not run.failed, run.failed
        return time.perf_counter() - began
    seconds({day!r})  # every worker has imported what it needs, and the store holds the bars
    taken = seconds({after!r})
    assert desk.compute.name == "dask"
    workers = [each for each in psutil.Process().children(recursive=True) if "worker" in each.cmdline()]
    print(json.dumps([taken, max(map(peak, workers))]))
"""


def _run(script: str) -> str:
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return ended.stdout.strip().splitlines()[-1]


def _ours(home: Path, asked: list[tuple[str, str, dict[str, Any]]]) -> tuple[list[float], float]:
    seconds, megabytes = json.loads(_run(_OURS.format(home=str(home), asked=asked)))
    return seconds, megabytes


def _batch(home: Path, workers: int, more: dict[str, Any]) -> tuple[float, float]:
    asked = {"home": str(home), "workers": workers, "symbols": SYMBOLS, "more": more, "day": DAY, "after": NEXT}
    seconds, megabytes = json.loads(_run(_BATCH.format(**asked)))
    return seconds, megabytes


def run() -> list[dict[str, Any]]:
    """Rows of the benchmark table."""
    quick = {"model": "drift", "models": ["drift"]}
    with tempfile.TemporaryDirectory(prefix="quantkit-bench-") as folder:
        cold_peer, _ = map(float, _run(_PEER.format(out=str(Path(folder) / "peer.html"))).split())
        plain, _ = _ours(Path(folder) / "quick", [(symbol, DAY, quick) for symbol in SYMBOLS])
        asked: list[tuple[str, str, dict[str, Any]]] = [(each, day, {}) for day in (DAY, NEXT) for each in SYMBOLS[:2]]
        whole, memory = _ours(Path(folder) / "whole", asked)
        two, of_worker = _batch(Path(folder) / "two", 2, quick)
        one, _ = _batch(Path(folder) / "one", 1, quick)

    def row(what: str, ours: float, budget: float | None) -> dict[str, Any]:
        return {"what": what, "ours": ours, "peer": cold_peer, "ratio": ours / cold_peer, "budget": budget, "unit": "s"}

    rest = plain[1:]
    return [
        row("report with one model, cold process, beside quantstats.reports.html", plain[0], 1.5),
        row("the same, each further one, on two cores", sum(rest) / len(rest) / 2, 0.4),
        row("report with all models, cold process", whole[0], 1.5),
        row("the same, each further one, on two cores", whole[1] / 2, 0.4),
        row("the same, the day after in that process, on two cores", whole[3] / 2, 0.4),
        {"what": "memory of that process, peak", "ours": memory, "budget": 500, "unit": "MB"},
        {"what": f"{len(SYMBOLS)} reports with one model by two workers, beside one", "ours": two, "peer": one,
         "ratio": two / one, "budget": 1 / 1.7, "unit": "s"},
        {"what": "memory of a worker that rendered them, peak", "ours": of_worker, "budget": 500, "unit": "MB"},
    ]  # fmt: skip


if __name__ == "__main__":
    for each in run():
        print(each)
