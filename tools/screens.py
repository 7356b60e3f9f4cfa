"""Pictures of every screen, both sizes, both themes, into screenshots/ (ignored by git), to be looked at critically."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

SIZES = {"desk": (1440, 900), "phone": (390, 844)}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
OUT = Path("screenshots")


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as home:
        command = [Path(sys.executable).with_name("quantkit"), "up", "--port", str(port)]
        server = subprocess.Popen(command, env={**os.environ, "QUANTKIT_HOME": home})
        try:
            _wait(base)
            screens = sorted(Path("dashboards").glob("*.ipynb"))
            pages = ["/", *(f"/voila/render/{each.name}?symbol=AAPL" for each in screens)]
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
                for page in pages:
                    for size, (width, height) in SIZES.items():
                        for theme in ("dark", "light"):
                            path = OUT / f"{_name(page)}-{size}-{theme}.png"
                            _picture(browser, base + page, width, height, theme, path)
                browser.close()
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


def _wait(base: str) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(base, timeout=2)
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"nothing answers at {base}")


def _picture(browser, url: str, width: int, height: int, theme: str, path: Path) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    page = context.new_page()
    page.add_init_script(f"localStorage.setItem('qk-theme', '{theme}')")
    page.goto(url)
    page.wait_for_selector('[data-qk="ready"]', state="attached", timeout=120_000)
    # The forecast comes after the chart.
    page.wait_for_timeout(8000 if ".ipynb" in url else 500)
    page.screenshot(path=str(path))
    context.close()
    print(path)


def _name(page: str) -> str:
    return page.split("?")[0].rsplit("/", 1)[-1].removesuffix(".ipynb") or "home"


if __name__ == "__main__":
    main()
