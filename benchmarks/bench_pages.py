"""Each screen in a real browser, beside an empty notebook under plain Voila; all with pre-heated kernels."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.pages import EMPTY_IS_SHOWN, READY, chromium, dashboards, empty, kernels, visit, wait_until_idle

VISITS = 5
SCREENS = {
    "stock": "symbol=AAPL",
    "predictions": "symbol=AAPL",
    "risk": "symbol=AAPL",
    "portfolio": "symbols=AAPL,MSFT,JPM,XOM",
}
#: The page is at work, and a chart holds something: a candle, a line, a bar, a dot.
CHART = f"{READY} && document.querySelector('svg.svg-figure :is(path.line[d], .bargroup rect, path.dot)')"
SWITCHES = ("MSFT", "NVDA", "AAPL", "AMZN", "MSFT", "NVDA", "AAPL", "AMZN")


def run() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        if browser is None:
            return []
        folder = Path(place)
        with dashboards(folder) as (base, server), empty(folder) as (blank, peer):
            address = {name: f"{base}voila/render/{name}.ipynb?{query}" for name, query in SCREENS.items()}
            taken: dict[str, list[float]] = {name: [] for name in (*SCREENS, "empty")}
            # The first visit of a screen computes what the next ones find kept; it is made, and not counted.
            for turn in range(VISITS + 1):
                for name in taken:
                    for process in (server, peer):
                        wait_until_idle(process)
                    shown = visit(browser, address.get(name, blank), EMPTY_IS_SHOWN if name == "empty" else CHART)
                    if turn:
                        taken[name].append(shown)
            wait_until_idle(server)
            switch, memory = _switches(browser, address["stock"], server)
    typical = {name: statistics.median(each) for name, each in taken.items()}
    base_line = typical["empty"]
    return [
        *(
            {"what": f"{name} page to its first chart, beside an empty Voila page", "ours": typical[name],
             "peer": base_line, "ratio": typical[name] / base_line, "budget": 1.3, "unit": "s"}
            for name in SCREENS
        ),
        {"what": "symbol switch to the painted chart", "ours": switch, "peer": None, "ratio": None,
         "budget": 0.25, "unit": "s"},
        {"what": "one visitor's kernel, resident", "ours": memory, "peer": None, "ratio": None,
         "budget": 220.0, "unit": "MB"},
    ]  # fmt: skip


def _switches(browser: Any, address: str, server: psutil.Process) -> tuple[float, float]:
    """Median seconds of a switch, and megabytes of the kernel that made them."""
    before = kernels(server)
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
    running = [kernel for kernel in before | kernels(server) if kernel.is_running()]
    memory = next(k.memory_info().rss / 2**20 for k in running if connected in " ".join(k.cmdline()))
    context.close()
    return statistics.median(taken[len(set(SWITCHES)) :]), memory


if __name__ == "__main__":
    for row in run():
        print(row)
