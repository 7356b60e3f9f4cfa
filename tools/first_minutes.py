"""The first five minutes, timed: from ``git clone`` to the first chart painted, as the README tells a newcomer.

``make minutes`` clones this repository, committed state, into an empty folder, runs what ``make run`` runs there, and
opens the Stock screen in a browser with an empty cache. The package cache is the machine's own: run it twice for a
warm one. Wall time is what the newcomer waits, processor time what the machine did meanwhile.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PATIENCE = 600

parts: list[tuple[str, float, float]] = []


@contextmanager
def part(name: str, running: psutil.Process | None = None) -> Iterator[None]:
    """Time what is done within; `running` is a process that works for it and lives on."""
    began, worked = time.monotonic(), _processor_seconds(running)
    yield
    parts.append((name, time.monotonic() - began, _processor_seconds(running) - worked))
    print(f"{parts[-1][1]:7.1f} s   {parts[-1][2]:7.1f} s   {name}", flush=True)


def _processor_seconds(running: psutil.Process | None) -> float:
    ended = os.times()
    total = ended.children_user + ended.children_system
    for process in [] if running is None else [running, *running.children(recursive=True)]:
        try:
            total += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return total


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on this machine")
    print("   wall    processor")
    with tempfile.TemporaryDirectory(prefix="first-minutes-") as name:
        folder = Path(name)
        clone, home = folder / "quantkit", folder / "home"
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("QUANTKIT_", "VIRTUAL"))
        }
        # Not the clone's whole history over a local link, but the files as a network would bring them.
        with part("git clone"):
            _run(["git", "clone", "--quiet", f"file://{ROOT}", clone], environment)
        with part("make run, first half: the environment"):
            _run(["make", "--quiet", "-C", clone, ".venv/.run"], environment)
        command = [clone / ".venv/bin/quantkit", "up", "--port", "0"]
        up = subprocess.Popen(
            command, cwd=clone, env={**environment, "QUANTKIT_HOME": str(home)}, stdout=subprocess.PIPE, text=True
        )
        try:
            running = psutil.Process(up.pid)
            with part("make run, second half: until it says where it is", running):
                address = _address(up)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                with part("the home page", running):
                    page.goto(address)
                    page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=PATIENCE * 1000)
                with part("a click on Stock, until its chart is painted", running):
                    page.click('.qk-card[data-qk-screen="stock"]')
                    page.wait_for_url("**/stock.ipynb*", wait_until="commit", timeout=PATIENCE * 1000)
                    page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=PATIENCE * 1000)
                browser.close()
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)
    print(f"{sum(wall for _, wall, _ in parts):7.1f} s   {sum(work for *_, work in parts):7.1f} s   in all")


def _run(command: list[str | Path], environment: dict[str, str]) -> None:
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def _address(up: subprocess.Popen[str]) -> str:
    assert up.stdout is not None
    for line in up.stdout:
        if found := re.search(r"quantkit is at\s+(\S+)", line):
            return found[1]
    raise SystemExit("quantkit up ended without an address")


if __name__ == "__main__":
    main()
