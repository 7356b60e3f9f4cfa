"""Visitors who go, who crowd in, and whose server ends: no kernel is left behind, and nobody is left without a word."""

import contextlib
import re
import signal
import time

import psutil
import pytest

pytestmark = pytest.mark.browser

POOL = 3  # one kernel waits for each notebook in tests/browser/notebooks


@pytest.fixture(scope="module")
def server(serve, notebooks):
    with serve(notebooks) as running:
        yield running


@pytest.mark.parametrize("batches", [2, pytest.param(5, marks=pytest.mark.soak)])
def test_pages_opened_and_closed_leave_no_more_kernels_than_the_pool(server, browser, batches):
    server.wait_for_kernels(POOL, seconds=60)
    server.settle(POOL)
    context = browser.new_context()
    for batch in range(batches):
        pages = [context.new_page() for _ in range(4)]
        for page in pages:
            page.goto(server.address("live", f"symbol=S{batch}"), wait_until="commit")
        for page in pages[:2]:
            page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=120_000)
        for page in pages:
            page.close()
    context.close()
    server.wait_for_kernels(POOL, seconds=60)
    server.settle(POOL)


def test_a_page_that_is_left_ends_its_kernel_at_once(server, visit):
    server.settle(POOL)
    visitor = visit()
    visitor.open(server.address("live"))
    server.settle(POOL + 1)
    server.wait_for_kernels(POOL + 1, seconds=60)
    visitor.page.goto("about:blank")
    assert server.wait_for_kernels(POOL, seconds=60) < 12, "the grace period of a visitor who only vanished is 15 s"


def test_a_browser_that_is_killed_leaves_no_kernels(server, launch):
    me = psutil.Process()
    server.wait_for_kernels(POOL, seconds=60)
    server.settle(POOL)
    before = {child.pid for child in me.children(recursive=True)}
    doomed = launch()
    for _ in range(2):
        page = doomed.new_page()
        page.goto(server.address("live"), wait_until="commit")
        page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=120_000)
    server.settle(POOL + 2)
    started = [child for child in me.children(recursive=True) if child.pid not in before and "chrom" in child.name()]
    for child in started:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended with the one before
            child.kill()
    server.wait_for_kernels(POOL, seconds=60)
    with contextlib.suppress(Exception):
        doomed.close()


def test_a_visitor_beyond_the_cap_is_told_and_let_in_when_a_seat_is_free(serve, notebooks, visit):
    with serve(notebooks, QUANTKIT_MAX_KERNELS="2") as running:
        first, second, third = visit(), visit(), visit()
        for visitor in (first, second):
            visitor.open(running.address("live"), seconds=120)
        answer = third.page.goto(running.address("live", "symbol=MSFT"))
        assert answer.status == 503
        assert answer.headers["retry-after"] == "15"
        assert "2 pages are open" in third.page.locator(".qk-notice").inner_text()
        assert third.foreign == []
        running.settle(POOL + 2)
        assert len(running.kernels()) == POOL + 2, "the pool is full, and nothing was started for the third"
        first.page.close()
        third.page.wait_for_selector('html[data-qk="ready"][data-qk-symbol="MSFT"]', state="attached", timeout=120_000)
        running.wait_for_kernels(POOL + 2, seconds=60)


def test_a_pool_whose_kernel_died_is_filled_again(server, visit):
    server.settle(POOL)
    time.sleep(3)
    for kernel in server.kernels():
        kernel.kill()
    server.wait_for_kernels(0, seconds=10)
    server.settle(POOL)
    visit().open(server.address("live"), seconds=120)


def test_the_server_ends_at_once_and_takes_its_kernels_with_it_and_its_pages_say_so(serve, notebooks, visit):
    visitor = visit()
    with serve(notebooks) as running:
        running.settle(POOL)
        visitor.open(running.address("live"), seconds=120)
        kernels = running.kernels()
        began = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(15) == 0
        assert time.monotonic() - began < 10
        psutil.wait_procs(kernels, timeout=5)
        assert [kernel for kernel in kernels if kernel.is_running()] == []
        assert "Traceback" not in running.log.read_text()
    visitor.page.wait_for_selector("#qk-overlay:not([hidden])", timeout=30_000)
    assert re.search("cannot be reached|has ended", visitor.page.locator("#qk-overlay").inner_text())
