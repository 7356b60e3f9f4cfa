"""A real dashboard server and a real browser.

Without Chromium these tests are skipped with the reason; under ``CI=true`` that is a failure.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from quantkit import Desk

ROOT = Path(__file__).parents[2]
NOTEBOOKS = Path(__file__).with_name("notebooks")

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def missing(reason: str) -> None:
    """Skip what cannot run here, or fail where everything must."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must have it")
    pytest.skip(reason)


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        missing("no Chromium on this machine")
    return str(found)


# Playwright keeps an event loop running in its thread: not beyond a module, whose neighbours may want one of their own.
@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[[], Any]]:
    """Starts another browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    executable = chromium()
    with sync_playwright() as play:
        yield lambda: play.chromium.launch(executable_path=executable, args=FLAGS)


@pytest.fixture(scope="module")
def browser(launch: Callable[[], Any]) -> Iterator[Any]:
    launched = launch()
    yield launched
    launched.close()


@dataclass
class Visitor:
    """A page in a browser of its own, and what went wrong in it."""

    page: Any
    foreign: list[str]
    errors: list[str]

    def open(self, address: str, *, until: str = "ready", seconds: float = 60) -> None:
        self.page.goto(address, wait_until="commit")
        self.page.wait_for_selector(f'html[data-qk="{until}"]', state="attached", timeout=seconds * 1000)
        self.page.wait_for_load_state()

    def said(self, script: str) -> Any:
        return self.page.evaluate(script)

    def text(self, selector: str) -> str:
        return " ".join(self.page.inner_text(selector).split())

    def eventually(self, read: Callable[[], str], part: str, what: str, seconds: float = 30) -> str:
        """What `read` gives once it holds `part`: the parts of a page follow one change in messages of their own."""
        end = time.monotonic() + seconds
        while part not in (said := read()):
            assert time.monotonic() < end, f"{what} says {said!r}, not {part!r}"
            self.page.wait_for_timeout(50)
        return said

    def wait_for(self, selector: str, part: str, seconds: float = 30) -> str:
        """Text of `selector` once it holds `part`."""
        return self.eventually(lambda: self.text(selector), part, selector, seconds)

    def wait_for_address(self, part: str) -> str:
        return self.eventually(lambda: self.said("location.search"), part, "the address")


@pytest.fixture(scope="module")
def visit_once(browser: Any) -> Iterator[Callable[..., Visitor]]:
    """Opens pages that all tests of a module share: a kernel takes seconds to start."""
    with _visits(browser) as start:
        yield start


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visitor]]:
    """Opens pages, each in a context of its own; all are closed at the end."""
    with _visits(browser) as start:
        yield start


@contextmanager
def _visits(browser: Any) -> Iterator[Callable[..., Visitor]]:
    contexts = []

    def start(width: int = 1440, height: int = 900, **options: Any) -> Visitor:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        visitor = Visitor(page, [], [])
        page.on("request", lambda asked: _note_foreign(visitor, asked.url))
        page.on("pageerror", lambda error: visitor.errors.append(str(error)))
        page.on("console", lambda said: visitor.errors.append(said.text) if said.type == "error" else None)
        return visitor

    yield start
    for context in contexts:
        context.close()


def _note_foreign(visitor: Visitor, url: str) -> None:
    if urlsplit(url).scheme in {"http", "https", "ws", "wss"} and urlsplit(url).hostname != "127.0.0.1":
        visitor.foreign.append(url)


@dataclass
class Served:
    """A running dashboard server."""

    base: str
    process: subprocess.Popen[str]
    log: Path
    home: Path

    def address(self, name: str, query: str = "") -> str:
        return f"{self.base}voila/render/{name}.ipynb{'?' + query if query else ''}"

    def kernels(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if _is_kernel(child)]

    def wait_for_kernels(self, count: int, seconds: float) -> float:
        """Seconds until no more than `count` kernels run; fails when they still do after `seconds`."""
        began = time.monotonic()
        while (left := len(self.kernels())) > count:
            if time.monotonic() - began > seconds:
                about = "; ".join(f"{each.pid} {each.status()} {each.num_threads()} threads" for each in self.kernels())
                said = self.log.read_text()[-2000:]
                pytest.fail(f"{left} kernels run after {seconds:.0f} s, {count} were to be left: {about}\n{said}")
            time.sleep(0.5)
        return time.monotonic() - began

    def settle(self, count: int, seconds: float = 60) -> None:
        """Wait until the pool's kernels have started."""
        began = time.monotonic()
        while len(self.kernels()) < count:
            assert time.monotonic() - began < seconds, self.log.read_text()
            time.sleep(0.3)


def _is_kernel(process: psutil.Process) -> bool:
    try:
        return "ipykernel_launcher" in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@contextmanager
def serving(folder: Path, place: Path, *options: str, home: Path | None = None, **environment: str) -> Iterator[Served]:
    """A dashboard server over the notebooks in `folder`, on a port that the system chose.

    It writes into `place`, where its store is too unless there is one at `home`.
    """
    place.mkdir(parents=True, exist_ok=True)
    home = home or place
    log = place / "server.log"
    where = place / "address"
    command = [
        sys.executable, "-m", "quantkit.serve", "--port", "0", "--dashboards", str(folder),
        "--address-file", str(where), *options,
    ]  # fmt: skip
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "QUANTKIT_HOME": str(home), "PYTHONFAULTHANDLER": "1", **environment},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not where.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Served(where.read_text().strip().partition("?")[0], process, log, home)
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child in children:
            if child.is_running():
                child.kill()


@pytest.fixture(scope="session")
def notebooks() -> Path:
    return NOTEBOOKS


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Starts servers: ``with serve(folder, "--base-url", "/desk/", QUANTKIT_TOKEN="t") as server:``."""

    def start(folder: Path, *options: str, **environment: Any) -> Any:
        return serving(folder, tmp_path_factory.mktemp("served"), *options, **environment)

    return start


@pytest.fixture(scope="session")
def serve_screen(
    serve: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, shared_desk: Desk
) -> Callable[..., Any]:
    """Starts servers of one dashboard alone: ``with serve_screen("risk") as server:``. No other waits pre-heated.

    They are on the store of the shared desk: what a screen or the desk has answered, the others find there.
    """

    def start(name: str, *options: str, **environment: Any) -> Any:
        folder = tmp_path_factory.mktemp("dashboards")
        shutil.copy(ROOT / "dashboards" / f"{name}.ipynb", folder)
        return serve(folder, *options, home=shared_desk.settings.home, **environment)

    return start
