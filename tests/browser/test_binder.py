"""The clone as Binder builds and starts it: postBuild, then Jupyter behind a path and a token, Voila its extension."""

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
from urllib.parse import urlsplit

import httpx
import numpy as np
import pandas as pd
import pytest

from quantkit import Desk
from quantkit.data.files import import_file
from quantkit.serve.config import EXTENSIONS

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
PREFIX = "/user/quantkit-quantkit-h5k2/"
TOKEN = "sesame-b8r1nder"


@dataclass
class Binder:
    base: str
    built: str
    log: Path

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.base + path, trust_env=False, timeout=120, **options)

    def kernels(self) -> set[str]:
        return {kernel["id"] for kernel in self.get("api/kernels", params={"token": TOKEN}).json()}

    def wait_for_kernels(self, wanted: set[str], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while (left := self.kernels()) != wanted:
            assert time.monotonic() < deadline, f"{left} run, {wanted} were to be left"
            time.sleep(0.3)


def spawned_with(port: int) -> list[str]:
    """What BinderHub starts (``BinderSpawnerMixin.get_args``): every setting under Jupyter's old name and its new."""
    settings = [f"base_url={PREFIX}", f"token={TOKEN}", "trust_xheaders=True"]
    return [
        "jupyter-notebook", "--ip=0.0.0.0", f"--port={port}",
        *(f"--{app}.{setting}" for app in ("NotebookApp", "ServerApp") for setting in settings),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def binder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Binder]:
    clone, home = tmp_path_factory.mktemp("jovyan"), tmp_path_factory.mktemp("home")
    for folder in ("binder", "dashboards", "notebooks"):
        shutil.copytree(ROOT / folder, clone / folder, ignore=shutil.ignore_patterns("notebooks", ".ipynb_checkpoints"))
    (clone / "quantkit").symlink_to(ROOT / "quantkit")
    # One screen that fails, to see what is told of it.
    shutil.copy(Path(__file__).with_name("notebooks") / "broken.ipynb", clone / "dashboards")
    # The build works the whole watchlist out, in minutes; here it is one short series.
    closes = 100 * np.exp(np.random.default_rng(7).normal(0, 0.01, 150).cumsum())
    pd.DataFrame({"Date": pd.bdate_range("2023-01-02", periods=150), "Close": closes}).to_csv(home / "mine.csv")
    with Desk.open(home=home) as desk:
        import_file(desk.store, home / "mine.csv", symbol="MINE")
    environment = {
        **os.environ, "QUANTKIT_HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "JUPYTER_CONFIG_DIR": str(home / "no-settings-of-ours"),
    }  # fmt: skip
    built = subprocess.run(
        ["binder/postBuild"], cwd=clone, env={**environment, "QUANTKIT_WATCHLIST": "MINE"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    extra = ["--no-browser", "--allow-root", "--VisitorKernelManager.grace=2"]
    log = home / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["binder/start", *spawned_with(port), *extra], cwd=clone, env=environment, stdout=out,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while "is running at" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield Binder(f"http://127.0.0.1:{port}{PREFIX}", built.stdout, log)
    finally:
        process.terminate()
        process.wait(30)


def test_the_build_leaves_a_store_with_answers_and_the_lessons_beside_the_screens(binder: Binder) -> None:
    assert "1 answers are kept" in binder.built
    listed = binder.get("api/contents/notebooks", params={"token": TOKEN}).json()["content"]
    assert "01_market_data.ipynb" in {each["name"] for each in listed}


def test_the_badge_opens_the_stock_screen_and_the_token_stays_out_of_every_link(
    binder: Binder, visit: Callable[..., Any]
) -> None:
    visitor = visit()
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    visitor.open(f"{binder.base}voila/render/stock.ipynb?token={TOKEN}", seconds=120)
    assert visitor.said("document.querySelectorAll('.qk-chart .bqplot path[d]').length") > 0
    assert urlsplit(visitor.page.url).path == f"{PREFIX}voila/render/stock.ipynb"
    links = visitor.said("[...document.querySelectorAll('a[href], form')].map(each => each.href || each.action)")
    tabs = [link for link in links if "/voila/render/" in link]
    assert len(tabs) >= 4
    assert all(urlsplit(link).path.startswith(PREFIX) for link in links)
    assert TOKEN not in visitor.page.url
    assert TOKEN not in visitor.page.content()
    assert [url for url in asked[1:] if TOKEN in url] == []
    assert [url for url in asked if PREFIX not in url and not url.startswith(("data:", "blob:"))] == []
    assert (visitor.foreign, visitor.errors) == ([], [])

    # The other screens follow by their tabs, with no token in the address: it has become a cookie.
    visitor.page.click(".qk-tabs a[data-qk-screen=portfolio]")
    visitor.page.wait_for_url("**/portfolio.ipynb*", wait_until="commit")
    visitor.page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=120_000)


def test_a_visitors_kernel_ends_with_the_visitor_and_jupyterlabs_never(
    binder: Binder, visit: Callable[..., Any]
) -> None:
    lab = binder_kernel(binder)
    before = binder.kernels()
    visitor = visit()
    visitor.open(f"{binder.base}voila/render/risk.ipynb?token={TOKEN}", seconds=120)
    assert len(binder.kernels() - before) == 1
    visitor.page.close()
    # Nobody has ever been connected to JupyterLab's, which is longer than a visitor's may be without.
    binder.wait_for_kernels({lab})


def binder_kernel(binder: Binder) -> str:
    """A kernel such as JupyterLab starts for a notebook."""
    answer = httpx.post(f"{binder.base}api/kernels", params={"token": TOKEN}, json={}, trust_env=False, timeout=60)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_a_screen_that_fails_tells_no_details_and_gets_only_the_extensions_it_needs(binder: Binder) -> None:
    page = binder.get("voila/render/broken.ipynb", params={"token": TOKEN}).text
    assert "data-qk-failed" in page
    assert "Traceback" not in page
    assert "secret detail" not in page
    config = json.loads(page.partition('id="jupyter-config-data"')[2].partition(">")[2].partition("</script>")[0])
    assert {each["name"] for each in config["federated_extensions"]} == set(EXTENSIONS)
    assert binder.get("voila/files/voila.json", params={"token": TOKEN}).status_code == 403


def test_nothing_is_open_without_the_token(binder: Binder) -> None:
    for path in ("voila", "voila/render/stock.ipynb", "quantkit-api/price?symbol=AAPL", "api/kernels"):
        answer = binder.get(path)
        assert answer.status_code in (302, 403), (path, answer.status_code)


def test_the_rest_api_answers_beside_the_screens_with_addresses_that_lead_back_to_it(binder: Binder) -> None:
    with Desk.open(home=binder.log.parent) as desk:
        quote = desk.quote("MINE")
    asked = binder.get("quantkit-api/v1/price", params={"symbol": "MINE", "token": TOKEN})
    assert asked.json()["close"] == quote.close
    manual = binder.get("quantkit-api/openapi.json", params={"token": TOKEN}).json()
    assert [server["url"] for server in manual["servers"]] == [f"{PREFIX}quantkit-api/v1", f"{PREFIX}quantkit-api"]
