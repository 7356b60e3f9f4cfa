"""The REST API beside an empty FastAPI endpoint in the same process, and under load from a second process."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import psutil
from fastapi import FastAPI

from quantkit import Desk
from quantkit.api.app import create_app

Row = dict[str, Any]

CALLS, ROUNDS = 300, 9
SECONDS = float(os.environ.get("QUANTKIT_BENCH_SECONDS", "20"))
RATE = 200


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as home, Desk.open(home=home, api_rate_limit=0.0, api_timeout=300.0) as desk:
        return [*asyncio.run(in_process(desk)), *under_load(desk)]


async def in_process(desk: Desk) -> list[Row]:
    """The applications alone, without a socket between: what is ours to make fast."""
    empty = FastAPI()

    @empty.get("/empty")
    async def nothing() -> dict[str, str]:
        return {}

    app = create_app(desk)
    rows = []
    async with app.router.lifespan_context(app):
        price = await call(app, "/price", b"symbol=AAPL")
        history = await call(app, "/history", b"symbol=AAPL&start=2013-09-22")
        tag = history[1][b"etag"]
        peers = await interleaved(
            lambda: call(empty, "/empty"),
            lambda: call(app, "/price", b"symbol=AAPL"),
            lambda: call(app, "/history", b"symbol=AAPL&start=2013-09-22", (b"if-none-match", tag)),
        )
        assert price[0] == history[0] == 200
        assert (await call(app, "/history", b"symbol=AAPL&start=2013-09-22", (b"if-none-match", tag)))[0] == 304
        rows.append(row("API /price / an empty FastAPI endpoint", peers[1], peers[0], 2.0))
        rows.append(row("API 304 of ten years / an empty FastAPI endpoint", peers[2], peers[0], 1.5))
        answers, reads = [], []
        for day in range(1, 16):
            start = f"2013-09-{day:02d}"
            began = time.perf_counter()
            await call(app, "/history", f"symbol=AAPL&start={start}".encode())
            answers.append(time.perf_counter() - began)
            began = time.perf_counter()
            desk.history("AAPL", start=start)
            reads.append(time.perf_counter() - began)
        beyond = median(answers) - median(reads)
        rows.append({"what": "API /history of ten years, never asked before, beyond Desk.history", "ours": beyond,
                     "budget": 0.015, "unit": "s"})  # fmt: skip
    return rows


async def call(
    app: Any, path: str, query: bytes = b"", *headers: tuple[bytes, bytes]
) -> tuple[int, dict[bytes, bytes]]:
    found: dict[str, Any] = {}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found.update(status=message["status"], headers=dict(message["headers"]))

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query, "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), *headers], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
        "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    return found["status"], found["headers"]


async def interleaved(*calls: Callable[[], Any]) -> list[float]:
    """Median seconds a call of each, taken in turns so that a busy moment meets all of them."""
    for each in calls:
        for _ in range(50):
            await each()
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for at, each in enumerate(calls):
            gc.collect()
            began = time.perf_counter()
            for _ in range(CALLS):
                await each()
            taken[at].append((time.perf_counter() - began) / CALLS)
    return [median(each) for each in taken]


def under_load(desk: Desk) -> list[Row]:
    """200 mixed requests a second from another process while a leaderboard is computed; p99 and memory."""
    os.environ["QUANTKIT_ISOLATE"] = "1"
    home = str(desk.settings.home)
    env = {**os.environ, "QUANTKIT_HOME": home, "QUANTKIT_API_RATE_LIMIT": "0", "QUANTKIT_API_TIMEOUT": "300"}
    server = subprocess.Popen(
        [sys.executable, "-m", "quantkit.api", "--port", "0", "--address-file", f"{home}/api"], env=env,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not os.path.exists(f"{home}/api"):
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        address = open(f"{home}/api").read().strip().removesuffix("docs")  # noqa: SIM115
        memory: list[int] = []
        over = threading.Event()
        process = psutil.Process(server.pid)
        watch = threading.Thread(target=lambda: [memory.append(process.memory_info().rss) or over.wait(1) for _ in
                                                 iter(over.is_set, True)])  # fmt: skip
        watch.start()
        try:
            load = [sys.executable, "-m", "benchmarks.api_load", address, str(RATE), str(SECONDS)]
            said = json.loads(subprocess.run(load, capture_output=True, text=True, check=True).stdout)
        finally:
            over.set()
            watch.join()
    finally:
        server.terminate()
        server.wait(60)
    warm = memory[len(memory) // 3]
    return [
        {"what": f"API: p99 at {said['rate']:.0f} mixed requests a second for {SECONDS:g} s beside a leaderboard "
                 f"({said['errors']} failed)", "ours": said["p99"], "budget": 0.1, "unit": "s"},
        {"what": "API: memory at the end / after a third of that", "ours": memory[-1] / 1e6, "peer": warm / 1e6,
         "ratio": memory[-1] / warm, "budget": 1.1, "unit": "MB"},
    ]  # fmt: skip


def row(what: str, ours: float, peer: float, budget: float) -> Row:
    return {"what": what, "ours": ours, "peer": peer, "ratio": ours / peer, "budget": budget, "unit": "s"}


if __name__ == "__main__":
    for each in run():
        print(each)
