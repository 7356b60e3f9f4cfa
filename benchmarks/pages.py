"""What benchmarks of pages share: a dashboard server, an empty notebook under plain Voila beside it, and a browser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
READY = 'document.documentElement?.dataset.qk === "ready"'
EMPTY_IS_SHOWN = 'document.getElementById("rendered_cells")?.style.display === ""'


@contextmanager
def chromium() -> Iterator[Any]:
    """A real Chromium, headless; None, and words why, where there is none."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        print("no Chromium on this machine: pages are not measured", file=sys.stderr)
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def dashboards(folder: Path, *options: str) -> Iterator[tuple[str, psutil.Process]]:
    """The dashboards' server on a store in `folder`: its address and its process."""
    place = folder / "address"
    command = [sys.executable, "-m", "quantkit.serve", "--port", "0", "--address-file", str(place), *options]
    with _process(command, QUANTKIT_HOME=str(folder / "home")) as process:
        _until(place.exists)
        yield place.read_text().strip(), process


@contextmanager
def everything(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """All that ``make run`` starts, workers that compute for every visitor among it: its address and its process."""
    home = folder / "home"
    place = home / "run" / "dashboard"
    with _process([sys.executable, "-m", "quantkit.cli", "up", "--port", "0"], QUANTKIT_HOME=str(home)) as process:
        _until(place.exists, 120.0)
        yield place.read_text().strip(), process


@contextmanager
def empty(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A notebook of one empty cell under plain Voila with pre-heated kernels: its address and its process."""
    import nbformat

    root = folder / "empty"
    root.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("")]), root / "empty.ipynb")
    port = 8866 + os.getpid() % 20_000
    with _process(
        [sys.executable, "-m", "voila", str(root), f"--port={port}", "--no-browser", "--preheat_kernel=True"]
    ) as process:
        base = f"http://127.0.0.1:{port}/"
        _until(lambda: _answers(base))
        yield base + "voila/render/empty.ipynb", process


def visit(browser: Any, address: str, shown: str) -> float:
    """Seconds from navigation until `shown` holds, by the page's own clock."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    # Plain Voila asks content delivery networks for fonts; whether they answer is not what is measured.
    context.route("**/*", lambda route: route.continue_() if "127.0.0.1" in route.request.url else route.abort())
    page = context.new_page()
    page.add_init_script(
        f"(function look() {{ if ({shown}) requestAnimationFrame(() => {{ window.__shown = performance.now(); }});"
        " else requestAnimationFrame(look); })();"
    )
    page.goto(address, wait_until="commit")
    page.wait_for_function("window.__shown", timeout=120_000)
    seconds = page.evaluate("window.__shown") / 1000
    page.goto("about:blank")
    context.close()
    return float(seconds)


@contextmanager
def _process(command: list[str], **environment: str) -> Iterator[psutil.Process]:
    env = {**os.environ, **environment}
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def kernels(server: psutil.Process) -> set[psutil.Process]:
    """Kernels of a server that run."""
    found = set()
    for child in server.children(recursive=True):
        with suppress(psutil.Error):
            if "ipykernel_launcher" in " ".join(child.cmdline()):
                found.add(child)
    return found


def _used(processes: list[psutil.Process]) -> float:
    seconds = 0.0
    for process in processes:
        with suppress(psutil.Error):
            seconds += sum(process.cpu_times()[:2])
    return seconds


def wait_until_idle(server: psutil.Process, seconds: float = 60.0) -> None:
    """Until the pool's kernel has run as far as it can without its visitor."""
    deadline, quiet = time.monotonic() + seconds, 0
    while quiet < 3 and time.monotonic() < deadline:
        processes = [server, *kernels(server)]
        used = _used(processes)
        time.sleep(0.5)
        quiet = quiet + 1 if _used(processes) - used < 0.05 else 0


def wait_until_warm(server: psutil.Process) -> None:
    """Until what ``quantkit up`` works out for its first visitors is there."""

    def warming() -> bool:
        found = False
        for child in server.children(recursive=True):
            with suppress(psutil.Error):
                found |= "quantkit.serve.warm" in child.cmdline()
        return found

    _until(lambda: not warming(), 600.0)


def _until(condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the server did not start")
        time.sleep(0.2)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except OSError:
        return False
