"""The first lesson as a reader opens it: a real JupyterLab, run from top to bottom, its chart painted and alive."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quantkit import Desk

pytestmark = pytest.mark.browser

LESSON = Path(__file__).parents[2] / "notebooks" / "01_market_data.ipynb"
CODE_CELLS = sum(cell["cell_type"] == "code" for cell in json.loads(LESSON.read_text())["cells"])


@dataclass
class Lab:
    """A JupyterLab, its lesson's address and the folder that the lesson lies in."""

    address: str
    folder: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    shutil.copy(LESSON, folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = home / "log"
    settings = ["--ServerApp.token=", f"--ServerApp.port={port}", "--no-browser", "--allow-root"]
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *settings], cwd=folder, stdout=out, stderr=subprocess.STDOUT,
            env={
                **os.environ, "QUANTKIT_HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / "jupyter"),
                "JUPYTERLAB_SETTINGS_DIR": str(home / "lab"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "lab"),
            },
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while "is running at" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield Lab(f"http://127.0.0.1:{port}/lab/tree/{LESSON.name}?reset", folder)
    finally:
        process.terminate()
        process.wait(30)


def ran(page: Any, folder: Path) -> int:
    """How many cells of the saved lesson carry a number. Cells out of sight are not on the page, but in the file."""
    page.keyboard.press("Control+s")
    page.wait_for_timeout(500)
    try:
        cells = json.loads((folder / LESSON.name).read_text())["cells"]
    except json.JSONDecodeError:  # it is being written
        return 0
    return sum(cell.get("execution_count") is not None for cell in cells)


def test_the_first_lesson_runs_through_and_its_chart_is_painted_and_answers(
    lab: Lab, visit: Callable[..., Any], shared_desk: Desk
) -> None:
    visitor = visit(height=1000)
    page = visitor.page
    page.goto(lab.address)
    # Told to run before its kernel is there, JupyterLab runs nothing.
    page.wait_for_selector('#jp-main-statusbar :text("(ipykernel) | Idle")', timeout=120_000)
    page.click('.lm-MenuBar-itemLabel:text-is("Run")')
    page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')
    # The lesson asserts its own numbers: had one been wrong, the cells after it would not have been counted.
    visitor.eventually(lambda: str(ran(page, lab.folder)), str(CODE_CELLS), "the number of cells that ran", 150)

    chart = page.locator(".qk-plot").first
    chart.scroll_into_view_if_needed()
    last = shared_desk.history("AAPL", period="1y").iloc[-1]
    visitor.eventually(lambda: visitor.text(".qk-readout"), f"C{last.close:,.2f}", "the readout")
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visitor.eventually(lambda: str("2023-09-21" not in visitor.text(".qk-readout")), "True", "the crosshair")
    # Zooming asks the kernel for other candles. In a notebook the wheel is the page's until the chart is clicked.
    seen = lambda: visitor.said("document.querySelector('.qk-plot').getAttribute('aria-label')")  # noqa: E731
    before = seen()
    page.mouse.down()
    page.mouse.up()
    page.mouse.wheel(0, -400)
    visitor.eventually(lambda: str(seen() != before), "True", "that the chart shows other bars", 60)
    assert visitor.foreign == []
