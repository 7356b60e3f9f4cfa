"""Kernels end when their visitors have gone; with real kernels, and without a browser."""

import asyncio
import time
from contextlib import asynccontextmanager

from quantkit.serve.config import OwnKernelSpecManager
from quantkit.serve.kernels import VOILA_MARK, VisitorKernelManager

VOILA = {VOILA_MARK: "/"}


@asynccontextmanager
async def managing(tmp_path, **options):
    kernels = VisitorKernelManager(
        connection_dir=str(tmp_path), kernel_spec_manager=OwnKernelSpecManager(), root_dir=str(tmp_path),
        sweep_interval=0.2, **options,
    )  # fmt: skip
    try:
        yield kernels
    finally:
        await kernels.shutdown_all(now=True)


async def gone(kernels, kernel_id, seconds):
    began = time.monotonic()
    while kernel_id in kernels:
        assert time.monotonic() - began < seconds, f"kernel {kernel_id} still runs"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


def environment(**extra):
    import os

    return {**os.environ, **extra}


def test_a_kernel_ends_when_its_last_connection_has_been_gone_for_the_grace_period(tmp_path):
    async def run():
        async with managing(tmp_path, grace=1.0) as kernels:
            kernel_id = await kernels.start_kernel(env=environment(**VOILA))
            kernels.notify_connect(kernel_id)
            kernels.notify_connect(kernel_id)
            kernels.notify_disconnect(kernel_id)
            await asyncio.sleep(1.6)
            assert kernel_id in kernels, "one connection is left"
            kernels.notify_disconnect(kernel_id)
            assert await gone(kernels, kernel_id, 15) > 0.7

    asyncio.run(run())


def test_a_visitor_who_comes_back_within_the_grace_period_finds_the_kernel(tmp_path):
    async def run():
        async with managing(tmp_path, grace=1.0) as kernels:
            kernel_id = await kernels.start_kernel(env=environment(**VOILA))
            kernels.notify_connect(kernel_id)
            kernels.notify_disconnect(kernel_id)
            await asyncio.sleep(0.5)
            kernels.notify_connect(kernel_id)
            await asyncio.sleep(1.5)
            assert kernel_id in kernels

    asyncio.run(run())


def test_a_kernel_that_nobody_ever_connected_to_ends_later(tmp_path):
    async def run():
        async with managing(tmp_path, grace=0.2, connect_grace=1.5) as kernels:
            kernel_id = await kernels.start_kernel(env=environment(**VOILA))
            await asyncio.sleep(0.8)
            assert kernel_id in kernels
            await gone(kernels, kernel_id, 15)

    asyncio.run(run())


def test_a_kernel_that_voila_did_not_start_is_nobody_elses_business(tmp_path):
    async def run():
        async with managing(tmp_path, grace=0.2, connect_grace=0.2) as kernels:
            kernel_id = await kernels.start_kernel(env=environment())
            await asyncio.sleep(1.5)
            assert kernel_id in kernels
            assert kernels.visitors() == 0

    asyncio.run(run())


def test_the_cap_counts_visitors_and_those_who_left_give_way(tmp_path):
    async def run():
        async with managing(tmp_path, max_visitors=2, grace=60.0) as kernels:
            visits = [kernels.admit(), kernels.admit()]
            assert None not in visits
            assert kernels.admit() is None, "two pages are being rendered"
            for visit in visits:
                visit.kernel_id = await kernels.start_kernel(env=environment(**VOILA))
                kernels.notify_connect(visit.kernel_id)
                kernels.release(visit)
            assert kernels.visitors() == 2
            assert kernels.admit() is None
            first = visits[0].kernel_id
            kernels.notify_disconnect(first)
            assert kernels.visitors() == 1
            assert first in kernels, "a reload within the grace period would still find it"
            third = kernels.admit()
            assert third is not None
            await gone(kernels, first, 15)
            assert visits[1].kernel_id in kernels

    asyncio.run(run())


def test_a_page_that_was_sent_a_moment_ago_still_holds_its_place(tmp_path):
    async def run():
        async with managing(tmp_path, max_visitors=1, loading=1.0) as kernels:
            visit = kernels.admit()
            visit.kernel_id = await kernels.start_kernel(env=environment(**VOILA))
            kernels.release(visit)
            assert kernels.admit() is None, "its scripts are loading"
            await asyncio.sleep(1.1)
            assert kernels.admit() is not None
            await gone(kernels, visit.kernel_id, 15)

    asyncio.run(run())


def test_a_visitor_who_leaves_while_the_page_is_rendered_leaves_no_kernel(tmp_path):
    async def run():
        async with managing(tmp_path) as kernels:
            visit = kernels.admit()
            visit.kernel_id = await kernels.start_kernel(env=environment(**VOILA))
            kernels.release(visit, gone=True)
            await gone(kernels, visit.kernel_id, 15)
            assert kernels.visitors() == 0

    asyncio.run(run())
