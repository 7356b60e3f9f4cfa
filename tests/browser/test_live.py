"""Every screen that shows the market moves with it, in a real browser, and what it shows then is what Desk says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from drawn import CANDLES
from recording import playing

from quantkit import Desk
from quantkit.data.live import LiveBar
from quantkit.data.replay import rewind

pytestmark = pytest.mark.browser

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
LAST_CANDLE = f"() => ({CANDLES})().pop()"
TILE = "[data-qk-tile='{}'] b"
TEXT = 'document.querySelector("{}").textContent'
FAN = "() => [...document.querySelectorAll('.qk-answer .object_grp')].map((g) => g.getAttribute('transform')).join()"


def screens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the screens that show one symbol."""
    folder = tmp_path_factory.mktemp("dashboards")
    for name in ("stock", "predictions", "risk"):
        shutil.copy(DASHBOARDS / f"{name}.ipynb", folder)
    return folder


@pytest.fixture(scope="module")
def server(serve: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serve(screens(tmp_path_factory)) as running:
        yield running


@pytest.fixture(scope="module")
def desk(server: Any) -> Iterator[Desk]:
    """On the store of the server, as the collector's is, with the session that will be played taken out of it."""
    with Desk.open(home=server.home) as opened:
        opened.history("MSFT", interval="1m", period="1d")
        rewind(opened.settings, opened.store, ["MSFT"])
        yield opened


def moves(visitor: Any, script: str, before: Any, what: str, seconds: float = 120) -> None:
    end = visitor.page.evaluate("performance.now()") + seconds * 1000
    while visitor.said(script) == before:
        assert visitor.page.evaluate("performance.now()") < end, f"{what} has not moved within {seconds} s"
        visitor.page.wait_for_timeout(100)


def test_candle_quote_and_forecast_move_in_every_open_screen(server, desk, visit) -> None:
    view = "symbol=MSFT&interval=1m"
    stock, predictions = visit(), visit()
    stock.open(server.address("stock", f"{view}&period=1d"))
    predictions.open(server.address("predictions", f"{view}&model=naive&models=naive,drift&horizon=2"))
    predictions.wait_for(TILE.format("Predicted next"), ".", 90)
    candle, fan = stock.said(LAST_CANDLE), predictions.said(FAN)
    quote, price = stock.text("[data-qk-last]"), predictions.text(TILE.format("Predicted next"))
    assert candle
    with playing(desk, "MSFT", 300.0):
        moves(stock, LAST_CANDLE, candle, "the last candle")
        moves(stock, TEXT.format("[data-qk-last]"), quote, "the last price")
        moves(predictions, TEXT.format(TILE.format("Predicted next")), price, "the forecast")
        moves(predictions, FAN, fan, "the fan")
    stock.wait_for("[data-qk-last]", f"{desk.quote('MSFT').close:,.2f}")
    made = desk.predict("MSFT", model="naive", interval="1m", horizon=2)
    predictions.wait_for(TILE.format("Predicted next"), f"{made.predicted_price:,.2f}", 90)
    assert made.as_of > pd.Timestamp("2022-06-01", tz="UTC")
    for visitor in (stock, predictions):
        assert visitor.errors == []
        assert visitor.foreign == []


def test_a_bar_is_a_handful_of_messages(server, desk, visit) -> None:
    stock = visit()
    frames: list[Any] = []
    stock.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame)))
    stock.open(server.address("stock", "symbol=MSFT&interval=1m&period=1d&overlays="))
    stock.page.wait_for_timeout(1500)
    candle, price = stock.said(LAST_CANDLE), stock.text("[data-qk-last]")
    frames.clear()
    bar = desk.history("MSFT", interval="1m", period="1d").iloc[-1]
    at = int(desk.quote("MSFT").timestamp.timestamp()) * 1_000_000 + 60_000_000
    close = round(bar["close"] * 0.999, 2)
    desk.store.live.put([LiveBar("MSFT", at, close, close + 0.05, close - 0.05, close, 1000.0)], [], source="replay")
    moves(stock, LAST_CANDLE, candle, "the last candle")
    stock.wait_for("[data-qk-last]", f"{close:,.2f}")
    stock.page.wait_for_timeout(500)
    # News, the bar with all its marks, and what the page answers: twenty widgets have changed.
    assert 1 <= len(frames) <= 10, len(frames)
    assert price != stock.text("[data-qk-last]")
    assert stock.errors == []


# The first report on minutes takes seconds of a processor that nobody else wants; each further bar, a fraction of one.
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_value_at_risk_moves_in_an_open_screen(server, desk, visit) -> None:
    risk = visit()
    risk.open(server.address("risk", "symbol=MSFT&interval=1m"), seconds=120)
    risk.wait_for(TILE.format("VaR"), "%", 240)
    at_risk = risk.text(TILE.format("VaR"))
    with playing(desk, "MSFT", 300.0):
        moves(risk, TEXT.format(TILE.format("VaR")), at_risk, "the value at risk", 300)
    report = desk.risk("MSFT", interval="1m")
    risk.wait_for(TILE.format("VaR"), f"{report.value_at_risk['auto'] * 100:,.2f}%", 300)
    assert risk.errors == []


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_half_an_hour_of_a_looping_replay_leaves_nothing_behind(serve, visit, tmp_path_factory) -> None:
    """Ten bars a second in three screens: neither a kernel nor a page holds more at the end than after five minutes."""
    minutes = float(os.environ.get("QUANTKIT_SOAK_MINUTES", "30"))
    with serve(screens(tmp_path_factory)) as server:
        home = server.home
        replay = [sys.executable, "-m", "quantkit.cli", "collect", "--replay", "MSFT", "--speed", "600", "--loop"]
        with (home / "replay.log").open("w") as out:
            collector = subprocess.Popen(
                replay, env=os.environ | {"QUANTKIT_HOME": str(home)}, stdout=out, stderr=subprocess.STDOUT
            )
        try:
            pages = [visit(), visit(), visit()]
            for page, name in zip(pages, ("stock", "predictions", "risk"), strict=True):
                query = "symbol=MSFT&interval=1m" + ("&period=1d" if name == "stock" else "&level=0.95")
                page.open(server.address(name, query), seconds=120)
            # What comes late, and once: weighed before it, a backtest's dots and rows would count as growth.
            for page, late in ((pages[1], TILE.format("Predicted next")), (pages[2], ".qk-methods tbody tr")):
                page.page.wait_for_selector(late, state="attached", timeout=900_000)
            ids = [
                json.loads(page.said("document.getElementById('jupyter-config-data').textContent"))["kernelId"]
                for page in pages
            ]
            time.sleep(60 * minutes / 6)
            began = weigh(server, pages, ids)
            time.sleep(60 * minutes * 5 / 6)
            ended = weigh(server, pages, ids)
        finally:
            collector.terminate()
            assert collector.wait(30) == 0, (home / "replay.log").read_text()
    print(began, ended, sep="\n")
    for name, limit in (("resident", 1.10), ("heap", 1.25), ("nodes", 1.25), ("threads", 1.0)):
        for before, after in zip(began[name], ended[name], strict=True):
            assert after <= before * limit, (name, began[name], ended[name])


def weigh(server: Any, pages: list[Any], ids: list[str]) -> dict[str, list[float]]:
    """What each page and its kernel hold, the page's rubbish taken away."""
    kernels = [next(each for each in server.kernels() if kernel in " ".join(each.cmdline())) for kernel in ids]
    heaps, nodes = [], []
    for page in pages:
        session = page.page.context.new_cdp_session(page.page)
        session.send("Runtime.enable")
        counts = []
        # Between two collections a page that is drawn ten times a second leaves thousands of nodes lying, and one
        # collection does not find those that a message on its way still holds.
        for _ in range(6):
            session.send("HeapProfiler.collectGarbage")
            counts.append(float(session.send("Memory.getDOMCounters")["nodes"]))
            page.page.wait_for_timeout(500)
        nodes.append(min(counts))
        heaps.append(session.send("Runtime.getHeapUsage")["usedSize"] / 2**20)
        session.detach()
    return {
        "resident": [each.memory_info().rss / 2**20 for each in kernels],
        "heap": heaps,
        "nodes": nodes,
        "threads": [float(each.num_threads()) for each in kernels],
    }
