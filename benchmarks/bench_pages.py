"""The Stock page in a real browser, beside an empty notebook under plain Voila; both with pre-heated kernels."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

VISITS = 5
SWITCHES = ("MSFT", "NVDA", "AAPL", "AMZN", "MSFT", "NVDA", "AAPL", "AMZN")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


def run() -> list[dict[str, Any]]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium on this machine: pages are not measured", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        with _stock(Path(folder)) as (stock, server), _empty(Path(folder)) as (empty, peer):
            ours, theirs = [], []
            for _ in range(VISITS):
                for process in (server, peer):
                    _wait_until_idle(process)
                ours.append(_visit(browser, stock, 'document.documentElement?.dataset.qk === "ready"'))
                for process in (server, peer):
                    _wait_until_idle(process)
                theirs.append(_visit(browser, empty, EMPTY_IS_SHOWN))
            _wait_until_idle(server)
            switch, memory = _switches(browser, stock, server)
        browser.close()
    page, base = statistics.median(ours), statistics.median(theirs)
    return [
        {"what": "stock page to its first chart, beside an empty Voila page", "ours": page, "peer": base,
         "ratio": page / base, "budget": 1.3, "unit": "s"},
        {"what": "symbol switch to the painted chart", "ours": switch, "peer": None, "ratio": None,
         "budget": 0.25, "unit": "s"},
        {"what": "one visitor's kernel, resident", "ours": memory, "peer": None, "ratio": None,
         "budget": 220.0, "unit": "MB"},
    ]  # fmt: skip


EMPTY_IS_SHOWN = 'document.getElementById("rendered_cells")?.style.display === ""'


def _visit(browser: Any, address: str, shown: str) -> float:
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


def _switches(browser: Any, address: str, server: psutil.Process) -> tuple[float, float]:
    """Median seconds of a switch, and megabytes of the kernel that made them."""
    before = _kernels(server)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(address, wait_until="commit")
    page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=120_000)
    taken = []
    for symbol in SWITCHES:
        time.sleep(3)
        page.evaluate(
            """symbol => {
              const root = document.documentElement, chart = document.querySelector(".bqplot svg.svg-figure");
              const began = performance.now(), changes = {subtree: true, childList: true, attributes: true};
              let drawn = false;
              window.__taken = null;
              const seen = new MutationObserver(() => {
                seen.disconnect();
                requestAnimationFrame(() => setTimeout(() => { drawn = true; }));
              });
              seen.observe(chart, changes);
              (function look() {
                // The page gives its symbol after the paint that follows the kernel's word.
                if (drawn && root.dataset.qkSymbol === symbol) window.__taken = performance.now() - began;
                else setTimeout(look, 1);
              })();
              const box = document.getElementById("qk-symbol");
              box.value = symbol;
              box.form.requestSubmit();
            }""",
            symbol,
        )
        page.wait_for_function("window.__taken !== null", timeout=60_000)
        taken.append(page.evaluate("window.__taken") / 1000)
    time.sleep(2)
    connected = json.loads(page.evaluate("document.getElementById('jupyter-config-data').textContent"))["kernelId"]
    kernels = [kernel for kernel in before | _kernels(server) if kernel.is_running()]
    memory = next(k.memory_info().rss / 2**20 for k in kernels if connected in " ".join(k.cmdline()))
    context.close()
    return statistics.median(taken[len(set(SWITCHES)) :]), memory


@contextmanager
def _stock(folder: Path) -> Any:
    home = folder / "home"
    with _process(
        [sys.executable, "-m", "quantkit.serve", "--port", "0", "--address-file", str(folder / "address")],
        QUANTKIT_HOME=str(home),
    ) as process:
        _until(lambda: (folder / "address").exists())
        yield (folder / "address").read_text().strip() + "voila/render/stock.ipynb?symbol=AAPL", process


@contextmanager
def _empty(folder: Path) -> Any:
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


@contextmanager
def _process(command: list[str], **environment: str) -> Any:
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


def _kernels(server: psutil.Process) -> set[psutil.Process]:
    found = set()
    for child in server.children(recursive=True):
        with suppress(psutil.Error):
            if "ipykernel_launcher" in child.cmdline():
                found.add(child)
    return found


def _used(processes: list[psutil.Process]) -> float:
    seconds = 0.0
    for process in processes:
        with suppress(psutil.Error):
            seconds += sum(process.cpu_times()[:2])
    return seconds


def _wait_until_idle(server: psutil.Process, seconds: float = 60.0) -> None:
    """Until the pool's kernel has run as far as it can without its visitor."""
    deadline, quiet = time.monotonic() + seconds, 0
    while quiet < 3 and time.monotonic() < deadline:
        processes = [server, *_kernels(server)]
        used = _used(processes)
        time.sleep(0.5)
        quiet = quiet + 1 if _used(processes) - used < 0.05 else 0


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


if __name__ == "__main__":
    for row in run():
        print(row)
