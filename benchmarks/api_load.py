"""Load on the REST API from a process of its own: ``python -m benchmarks.api_load ADDRESS RATE SECONDS``.

Requests leave on their own clock, whether or not the last one has been answered, and each one's time counts from when
it was due: a server that stops for a second is seen to.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import httpx

MIX = (
    "/price?symbol=AAPL", "/price?symbol=MSFT", "/price?symbol=NVDA", "/history?symbol=AAPL&period=1y",
    "/history?symbol=XOM&period=1mo", "/symbols", "/correlation?symbols=AAPL,MSFT,JPM,XOM", "/risk?symbol=AAPL",
    "/v1/price?symbol=GOOG", "/health/live",
)  # fmt: skip


async def main(address: str, rate: float, seconds: float) -> dict[str, float]:
    limits = httpx.Limits(max_connections=50, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=300, trust_env=False) as client:
        for path in MIX:
            (await client.get(path)).raise_for_status()
        job = await client.get("/leaderboard?symbol=NVDA&origins=1000&wait=0")
        taken: list[float] = []
        errors = 0

        async def ask(path: str, due: float) -> None:
            nonlocal errors
            try:
                answer = await client.get(path)
                errors += answer.status_code not in (200, 304, 429)
            except httpx.HTTPError:
                errors += 1
            taken.append(time.perf_counter() - due)

        began, tasks = time.perf_counter(), set()
        for at in range(int(rate * seconds)):
            due = began + at / rate
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            task = asyncio.create_task(ask(MIX[at % len(MIX)], due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        lasted = time.perf_counter() - began
        if job.status_code == 202:
            await client.delete(job.json()["location"])
    taken.sort()
    return {"p50": taken[len(taken) // 2], "p99": taken[int(len(taken) * 0.99)], "rate": len(taken) / lasted,
            "errors": errors}  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))))
