"""Screens that move: a bar from the store to pixels, for one visitor and for eight, and a pan over a million bars."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import numpy as np

from benchmarks.pages import chromium, dashboards, everything, kernels, wait_until_idle, wait_until_warm
from quantkit import Desk
from quantkit.data.live import LiveBar
from quantkit.data.replay import recorded_session, rewind

#: One bar a second, as a session replayed at sixty times its speed brings them.
BARS = 60
VISITORS = 8
PANS = 40

# Each paint of the chart, and the last close that its tag showed.
WATCH = """() => {
  const chart = document.querySelector(".qk-plot svg.svg-figure");
  let due = false;
  window.__painted = [];
  new MutationObserver(() => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => setTimeout(() => {
      due = false;
      window.__painted.push([Date.now(), document.querySelector(".qk-plot .qk-tag").textContent]);
    }));
  }).observe(chart, { subtree: true, childList: true, attributes: true, characterData: true });
}"""
# From every move of the pointer to the paint that follows the first change in the chart.
PAN = """() => {
  const chart = document.querySelector(".qk-plot svg.svg-figure");
  window.__moved = null;
  window.__pans = [];
  addEventListener("pointermove", () => { window.__moved ??= performance.now(); }, true);
  new MutationObserver(() => {
    if (window.__moved === null) return;
    const began = window.__moved;
    window.__moved = null;
    requestAnimationFrame(() => setTimeout(() => window.__pans.push(performance.now() - began)));
  }).observe(chart, { subtree: true, childList: true, attributes: true });
}"""
MILLION = """\
from benchmarks.bench_charts import BARS, minutes
from quantkit.ui import CandleChart

chart = CandleChart(minutes(BARS), period="max")
chart
"""


def run() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        if browser is None:
            return []
        folder = Path(place)
        alone, together, memory = _live(browser, folder)
        pans = _pans(browser, folder)
    return [
        {"what": f"bar in the store to pixels on the Stock screen, p95 of {len(alone)}", "ours": _p95(alone),
         "budget": 0.3, "unit": "s"},
        {"what": f"the same in {VISITORS} open screens, p95 of {len(together)}", "ours": _p95(together),
         "budget": 0.5, "unit": "s"},
        {"what": f"the largest of those {VISITORS} kernels, resident", "ours": memory, "budget": 220, "unit": "MB"},
        {"what": f"a pan step over a million bars to the paint, p95 of {len(pans)}", "ours": _p95(pans),
         "budget": 0.05, "unit": "s"},
        {"what": "the same, median", "ours": statistics.median(pans), "unit": "s"},
    ]  # fmt: skip


def _p95(seconds: list[float]) -> float:
    return float(np.quantile(seconds, 0.95))


def _live(browser: Any, folder: Path) -> tuple[list[float], list[float], float]:
    """Seconds from bars to pixels, alone and among others, and megabytes of the largest kernel."""
    with Desk.open(home=folder / "home") as desk:
        desk.history("MSFT", interval="1m", period="1d")
        rewind(desk.settings, desk.store, ["MSFT"])
        bars = iter(_bars(desk))
        with everything(folder) as (base, server):
            wait_until_warm(server)
            address = f"{base}voila/render/stock.ipynb?symbol=MSFT&interval=1m&period=1d"
            pages = [_open(browser, address)]
            wait_until_idle(server)
            alone = _measure(desk, pages, [next(bars) for _ in range(BARS)])
            for _ in range(VISITORS - 1):
                pages.append(_open(browser, address))
                wait_until_idle(server)
            together = _measure(desk, pages, [next(bars) for _ in range(BARS)])
            memory = max(kernel.memory_info().rss for kernel in kernels(server)) / 2**20
            for page in pages:
                page.context.close()
    return alone, together, memory


def _bars(desk: Desk) -> list[LiveBar]:
    """The minutes of a session, each at a price that no other has."""
    last = float(desk.history("MSFT", interval="1m", period="1d")["close"].iloc[-1])
    minutes = recorded_session("MSFT").index.as_unit("us").asi8
    prices = np.round(last + 0.01 * (1 + np.arange(len(minutes))), 2)
    return [
        LiveBar("MSFT", int(at), price - 0.01, price + 0.02, price - 0.02, price, 1000.0)
        for at, price in zip(minutes, prices.tolist(), strict=True)
    ]


def _open(browser: Any, address: str) -> Any:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(address, wait_until="commit")
    page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=120_000)
    page.wait_for_selector(".qk-plot path.line[d]", state="attached", timeout=60_000)
    page.evaluate(WATCH)
    return page


def _measure(desk: Desk, pages: list[Any], bars: list[LiveBar]) -> list[float]:
    """Seconds from each bar's commit until each page had painted it, or a later one."""
    stored = []
    began = time.monotonic()
    for number, bar in enumerate(bars):
        time.sleep(max(began + number - time.monotonic(), 0.0))
        desk.store.live.put([bar], [], source="replay")
        stored.append((time.time(), bar.close))
    time.sleep(5)
    waited = []
    for page in pages:
        painted = page.evaluate("window.__painted.splice(0)")
        first = {text: at / 1000 for at, text in reversed(painted)}
        seen = [(moment, first.get(f"{close:,.2f}")) for moment, close in stored]
        for number, (moment, at) in enumerate(seen):
            # A bar that no paint shows was overtaken; it was seen to be over when a later one was painted.
            later = [each for _, each in seen[number:] if each is not None]
            waited.append((at or min(later, default=moment + 60.0)) - moment)
    return waited


def _pans(browser: Any, folder: Path) -> list[float]:
    """Seconds of each step of a drag over a chart of a million bars."""
    notebooks, home = folder / "million", folder / "million-home"
    notebooks.mkdir()
    home.mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(MILLION)])
    nbformat.write(notebook, notebooks / "million.ipynb")
    with dashboards(home, "--dashboards", str(notebooks)) as (base, server):
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.goto(f"{base}voila/render/million.ipynb", wait_until="commit")
        page.wait_for_selector(".qk-plot path.line[d]", state="attached", timeout=120_000)
        wait_until_idle(server)
        box = page.locator(".qk-plot svg.svg-figure").first.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        for _ in range(8):
            page.mouse.wheel(0, -240)
            page.wait_for_timeout(300)
        page.evaluate(PAN)
        page.mouse.down()
        for step in range(PANS):
            page.mouse.move(x + 6 * (step + 1 if step < PANS / 2 else PANS - step), y)
            page.wait_for_timeout(120)
        page.mouse.up()
        pans = page.evaluate("window.__pans")
        page.context.close()
    return [each / 1000 for each in pans]


if __name__ == "__main__":
    for row in run():
        print(row)
