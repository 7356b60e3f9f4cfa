"""deploy/nginx.conf in a real nginx: the dashboards and the REST API under a path each, behind TLS and a host name."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from quantkit import Desk

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
HOST = "desk.localhost"  # which every browser takes for this machine, and no server for its own name
TOKEN, KEY = "open-sesame", "key-of-a-program"


def nginx() -> str:
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no nginx on this machine; CI must have it")
        pytest.skip("no nginx on this machine")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@dataclass
class Site:
    """What the world sees: a host with a certificate."""

    port: int
    home: Path
    trusted: ssl.SSLContext

    @property
    def base(self) -> str:
        return f"https://{HOST}:{self.port}"

    def client(self, **headers: str) -> httpx.Client:
        # By address, with the name in the header: not every resolver knows .localhost.
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}", verify=self.trusted, trust_env=False, timeout=60,
            headers={"Host": f"{HOST}:{self.port}", **headers},
        )  # fmt: skip


@pytest.fixture(scope="module")
def site(serve_screen: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    program = nginx()
    folder, home = tmp_path_factory.mktemp("nginx"), tmp_path_factory.mktemp("home")
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST, "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "both.pem"))
    port, api_port = free_port(), free_port()
    environment = {"QUANTKIT_HOME": str(home), "QUANTKIT_TOKEN": TOKEN, "QUANTKIT_API_KEYS": KEY}
    api = subprocess.Popen(
        [sys.executable, "-m", "quantkit.api", "--port", str(api_port), "--base-url", "/api/", "--grace", "1"],
        env={**os.environ, **environment},
    )  # fmt: skip
    web = None
    try:
        with serve_screen("stock", "--base-url", "/desk/", **environment) as dashboards:
            dashboard_port = re.search(r":(\d+)/desk/", dashboards.base)[1]  # type: ignore[index]
            text = (ROOT / "deploy/nginx.conf").read_text()
            for ours, theirs in {
                "listen 443": f"listen 127.0.0.1:{port}",
                "/etc/ssl/quantkit.pem": str(folder / "both.pem"),
                "/etc/ssl/quantkit.key": str(folder / "both.pem"),
                "http://127.0.0.1:8866": f"http://127.0.0.1:{dashboard_port}",
                "http://127.0.0.1:8000": f"http://127.0.0.1:{api_port}",
            }.items():
                assert text.count(ours) == 1, ours
                text = text.replace(ours, theirs)
            (folder / "quantkit.conf").write_text(text)
            (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
            web = subprocess.Popen([program, "-p", str(folder), "-c", "nginx.conf"])
            context = ssl.create_default_context()
            authority.configure_trust(context)
            running = Site(port, home, context)
            with running.client() as client:
                _wait(client, api, web)
            yield running
    finally:
        for process in (web, api):
            if process is not None:
                process.terminate()
                process.wait(30)


AROUND = """\
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/quantkit.conf;
}}
"""


def _wait(client: httpx.Client, *processes: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while True:
        assert [process.poll() for process in processes] == [None] * len(processes)
        try:
            if client.get("/api/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_stock_screen_opens_and_lives_behind_it(site: Site, visit: Callable[..., Any]) -> None:
    visitor = visit(ignore_https_errors=True)
    sockets: list[str] = []
    visitor.page.on("websocket", lambda opened: sockets.append(opened.url))
    visitor.page.goto(f"{site.base}/")
    visitor.page.fill("#qk-token", TOKEN)
    visitor.page.press("#qk-token", "Enter")
    visitor.page.wait_for_url(f"{site.base}/desk/")
    (cookie,) = [each for each in visitor.page.context.cookies() if each["name"].startswith("username")]
    assert (cookie["secure"], cookie["httpOnly"], cookie["path"]) == (True, True, "/desk/")

    visitor.open(f"{site.base}/desk/voila/render/stock.ipynb?symbol=AAPL", seconds=120)
    assert visitor.said("document.querySelectorAll('.qk-chart .bqplot path[d]').length") > 0
    # What is typed goes to the kernel and comes back, over the one websocket.
    visitor.page.fill("#qk-symbol", "MSFT")
    visitor.page.press("#qk-symbol", "Enter")
    visitor.page.wait_for_selector('html[data-qk-symbol="MSFT"]', state="attached", timeout=60_000)
    assert [url.partition("/api/kernels/")[0] for url in sockets] == [f"wss://{HOST}:{site.port}/desk"]
    assert [url for url in visitor.foreign if f"//{HOST}:{site.port}/desk/" not in url and url != f"{site.base}/"] == []
    assert visitor.errors == []


def test_the_rest_api_answers_under_its_path_with_addresses_that_lead_back_there(site: Site) -> None:
    with Desk.open(home=site.home) as desk:
        close = desk.quote("AAPL").close
    with site.client() as stranger:
        assert stranger.get("/api/price?symbol=AAPL").status_code == 401
        assert [each["url"] for each in stranger.get("/api/openapi.json").json()["servers"]] == ["/api/v1", "/api"]
        assert "openapi.json" in stranger.get("/api/docs").text
    with site.client(**{"X-API-Key": KEY}) as program:
        assert program.get("/api/price?symbol=AAPL").json()["close"] == close
        page = program.get("/api/history?symbol=AAPL&period=max&limit=100")
        following = re.search(r'<(.*)>; rel="next"', page.headers["Link"])[1]  # type: ignore[index]
        assert following.startswith("/api/v1/history?")
        assert program.get(following).json()["bars"][0]["timestamp"] > page.json()["bars"][-1]["timestamp"]
        asked = program.get("/api/leaderboard?symbol=AAPL&models=naive,drift&wait=0")
        assert asked.status_code == 202
        assert asked.headers["Location"].startswith("/api/v1/jobs/")
        assert program.get(asked.headers["Location"]).status_code == 200


def test_quotes_are_streamed_and_not_held_back(site: Site) -> None:
    with (
        site.client(**{"X-API-Key": KEY}) as program,
        program.stream("GET", "/api/stream?symbols=MSFT") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        # The stream stays open: an answer that nginx kept until its end would never come.
        data = next(line for line in answer.iter_lines() if line.startswith("data:"))
    assert '"MSFT"' in data
