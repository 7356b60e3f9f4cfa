"""Visitors' kernels are forked from a process that has imported what they need; with real kernels."""

import ast
import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager

import psutil
import pytest
from jupyter_client.manager import AsyncKernelManager

from quantkit.serve import provisioner
from quantkit.serve.config import OwnKernelSpecManager

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")


@asynccontextmanager
async def kernel(tmp_path, **environment):
    """A kernel started in `tmp_path`, and how to have it evaluate an expression."""
    manager = AsyncKernelManager(kernel_spec_manager=OwnKernelSpecManager(), connection_file=str(tmp_path / "k.json"))
    await manager.start_kernel(env=os.environ | environment, cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)

        async def evaluate(expression, first=""):
            reply = await client.execute(first, user_expressions={"it": expression}, reply=True, timeout=60)
            content = reply["content"]
            assert content["status"] == "ok", content
            return ast.literal_eval(content["user_expressions"]["it"]["data"]["text/plain"])

        yield manager, evaluate
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


def fork_servers():
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "quantkit.serve.preload" in " ".join(child.cmdline())]


def test_it_has_what_was_imported_once_and_an_environment_and_folder_of_its_own(tmp_path):
    async def run():
        async with kernel(tmp_path, QUANTKIT_TEST="mine") as (manager, evaluate):
            (server,) = fork_servers()
            assert psutil.Process(manager.provisioner.pid).ppid() == server.pid
            assert "bqplot" in await evaluate("sorted(m for m in sys.modules if '.' not in m)", "import sys")
            assert await evaluate("(os.environ['QUANTKIT_TEST'], os.getcwd())", "import os") == ("mine", str(tmp_path))
            assert await evaluate("os.getpgid(0) == os.getpid()")
            assert "k.json" in " ".join(psutil.Process(manager.provisioner.pid).cmdline())
        async with kernel(tmp_path) as (_, evaluate):
            assert not await evaluate("'QUANTKIT_TEST' in os.environ", "import os")

    asyncio.run(run())


def test_a_page_may_ask_for_all_widgets_at_once(tmp_path):
    """The channel for it is registered when ipywidgets is imported, if that is in a kernel, which it was not."""
    targets = "sorted(get_ipython().kernel.comm_manager.targets)"

    async def run():
        async with kernel(tmp_path) as (_, evaluate):
            assert {"jupyter.widget", "jupyter.widget.control"} <= set(await evaluate(targets))

    asyncio.run(run())


def test_two_of_them_draw_different_numbers(tmp_path):
    draw = "(random.random(), np.random.random(), np.random.default_rng().random())"

    async def run():
        drawn = []
        for _ in range(2):
            async with kernel(tmp_path) as (_, evaluate):
                drawn.append(await evaluate(draw, "import random, numpy as np"))
        assert all(one != other for one, other in zip(*drawn, strict=True))

    asyncio.run(run())


def test_it_may_have_threads_and_children_and_answers_an_interrupt(tmp_path):
    script = """
import multiprocessing, threading, numpy as np
threading.Thread(target=print).start()
(np.ones((300, 300)) @ np.ones((300, 300))).sum()
process = multiprocessing.get_context("fork").Process(target=print)
process.start()
process.join()
"""

    async def run():
        async with kernel(tmp_path) as (manager, evaluate):
            assert await evaluate("process.exitcode", script) == 0
            client = manager.client()
            client.start_channels()
            await client.wait_for_ready(timeout=60)
            began = time.monotonic()
            waiting = asyncio.ensure_future(client.execute("import time; time.sleep(60)", reply=True, timeout=60))
            await asyncio.sleep(1.0)
            await manager.interrupt_kernel()
            assert (await waiting)["content"]["ename"] == "KeyboardInterrupt"
            assert time.monotonic() - began < 30
            client.stop_channels()

    asyncio.run(run())


def test_a_kernel_that_ends_or_is_killed_is_known_to_have_ended(tmp_path):
    async def run():
        for end in (signal.SIGKILL, signal.SIGTERM):
            async with kernel(tmp_path) as (manager, _):
                assert await manager.is_alive()
                os.kill(manager.provisioner.pid, end)
                for _ in range(200):
                    if not await manager.is_alive():
                        break
                    await asyncio.sleep(0.05)
                assert not await manager.is_alive()

    asyncio.run(run())


def test_a_fork_server_that_died_is_followed_by_another(tmp_path):
    async def run():
        async with kernel(tmp_path):
            (server,) = fork_servers()
        server.kill()
        while server.status() != psutil.STATUS_ZOMBIE:  # for multiprocessing to take away
            await asyncio.sleep(0.05)
        async with kernel(tmp_path) as (manager, evaluate):
            assert await evaluate("1 + 1") == 2
            (other,) = fork_servers()
            assert psutil.Process(manager.provisioner.pid).ppid() == other.pid != server.pid

    asyncio.run(run())


def test_behind_a_frozen_fork_server_a_kernel_starts_from_nothing(tmp_path, monkeypatch):
    async def run():
        async with kernel(tmp_path):
            (server,) = fork_servers()
        monkeypatch.setattr(provisioner, "PATIENCE", 1.0)
        server.suspend()
        try:
            async with kernel(tmp_path) as (manager, evaluate):
                assert await evaluate("1 + 1") == 2
                assert psutil.Process(manager.provisioner.pid).ppid() == os.getpid()
        finally:
            server.resume()
        while provisioner._Forked._one_at_a_time.locked():
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        assert not server.children(), "the kernel that came late has no owner"

    asyncio.run(run())


# A process of its own that starts a kernel, says its number, and is killed.
KILLED = """
import asyncio, os, sys, time
from jupyter_client.manager import AsyncKernelManager
from quantkit.serve.config import OwnKernelSpecManager

async def main():
    manager = AsyncKernelManager(kernel_spec_manager=OwnKernelSpecManager(), connection_file=sys.argv[1])
    await manager.start_kernel(env=dict(os.environ))
    print(manager.provisioner.pid, flush=True)
    time.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_kernels_and_their_fork_server_end_with_a_server_that_is_killed(tmp_path):
    script = tmp_path / "server.py"
    script.write_text(KILLED)
    server = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "k.json")], stdout=subprocess.PIPE, text=True
    )
    with server:
        kernel = psutil.Process(int(server.stdout.readline()))
        left = [kernel, *kernel.parents()[:1]]
        server.kill()
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]
