"""Load on the REST API from a process of its own: ``python -m benchmarks.api_load ADDRESS RATE SECONDS``.

Requests leave on their own clock, whether or not the last one has been answered, and each one's time counts from when
it was due: a server that stops for a second is seen to.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp

MIX = (
    "/price?symbol=AAPL", "/price?symbol=MSFT", "/price?symbol=NVDA", "/history?symbol=AAPL&period=1y",
    "/history?symbol=XOM&period=1mo", "/symbols", "/correlation?symbols=AAPL,MSFT,JPM,XOM", "/risk?symbol=AAPL",
    "/v1/price?symbol=GOOG", "/health/live",
)  # fmt: skip


async def main(address: str, rate: float, seconds: float) -> dict[str, float]:
    # aiohttp, since the load must not be what is measured: httpx takes half a core for these requests.
    async with aiohttp.ClientSession(
        address, connector=aiohttp.TCPConnector(limit=50), timeout=aiohttp.ClientTimeout(300)
    ) as client:
        for path in 2 * MIX:  # the first question for a symbol stores its bars, which makes the answers before it old
            async with client.get(path) as answer:
                answer.raise_for_status()
        async with client.get("/leaderboard?symbol=NVDA&origins=1000&wait=0") as job:
            location = (await job.json())["location"] if job.status == 202 else None
        taken: list[float] = []
        errors = 0

        async def ask(path: str, due: float) -> None:
            nonlocal errors
            try:
                async with client.get(path) as answer:
                    await answer.read()
                    errors += answer.status not in (200, 304, 429)
            except aiohttp.ClientError:
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
        if location is not None:
            async with client.delete(location):
                pass
    taken.sort()
    return {"p50": taken[len(taken) // 2], "p99": taken[int(len(taken) * 0.99)], "rate": len(taken) / lasted,
            "errors": errors}  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))))
