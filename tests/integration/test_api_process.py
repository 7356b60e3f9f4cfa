"""``python -m quantkit.api`` as somebody runs it, asked from another process: under load, and told to stop under it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import httpx

from quantkit.core.errors import SettingsError

ROOT = Path(__file__).parents[2]
MIX = ("/price?symbol=AAPL", "/history?symbol=AAPL&period=5y", "/symbols", "/correlation?symbols=AAPL,XOM",
       "/history?symbol=XOM&period=5y&format=csv")  # fmt: skip


@contextmanager
def process(tmp_path, *options, **environment):
    said = tmp_path / "said"
    with said.open("w") as handle:
        running = subprocess.Popen(
            [sys.executable, "-m", "quantkit.api", "--port", "0", *options], cwd=ROOT, stdout=handle,
            stderr=subprocess.STDOUT, env={**os.environ, "QUANTKIT_HOME": str(tmp_path / "home"), **environment},
        )  # fmt: skip
    running.said = said.read_text  # type: ignore[attr-defined]
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()


def address(running):
    deadline = time.monotonic() + 120
    while not (found := re.search(r"REST API: (http://127\.0\.0\.1:\d+)/", running.said())):
        assert running.poll() is None, running.said()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found[1]


class Askers:
    """Threads that ask, each request on a connection of its own, and count what they were answered."""

    def __init__(self, where, count):
        self.answers, self.over = Counter(), threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(where, at)) for at in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self, where, at):
        # A client reads the certificates of this world when it is made: one for all requests of a thread.
        with httpx.Client(base_url=where, timeout=120, trust_env=False, headers={"connection": "close"}) as client:
            while not self.over.is_set():
                at += 1
                try:
                    self.answers[client.get(MIX[at % len(MIX)]).status_code] += 1
                except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
                    self.answers["not taken"] += 1
                    self.over.wait(0.05)

    def stop(self):
        self.over.set()
        for thread in self._threads:
            thread.join(120)


def test_stopped_under_load_it_answers_all_that_it_has_taken(tmp_path):
    with process(tmp_path, QUANTKIT_API_RATE_LIMIT="0") as running:
        where = address(running)
        askers = Askers(where, 6)
        deadline = time.monotonic() + 120
        while askers.answers[200] < 60:
            assert time.monotonic() < deadline, (askers.answers, running.said())
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0, running.said()
        askers.stop()
        taken, answered = map(int, re.search(r"(\d+) requests taken, (\d+) answered", running.said()).groups())
        assert taken == answered == askers.answers[200], (askers.answers, running.said())
        assert set(askers.answers) <= {200, "not taken"}
        assert "Traceback" not in running.said()


def test_more_than_is_allowed_is_refused_and_nothing_else_goes_wrong(tmp_path):
    with process(tmp_path, QUANTKIT_API_RATE_LIMIT="10") as running:
        askers = Askers(address(running), 4)
        deadline = time.monotonic() + 120
        while askers.answers[429] < 20:
            assert time.monotonic() < deadline, askers.answers
            time.sleep(0.05)
        askers.stop()
        assert set(askers.answers) == {200, 429}


def test_beyond_this_machine_only_with_keys_or_when_that_is_meant(tmp_path):
    with process(tmp_path, "--ip", "0.0.0.0") as running:
        assert running.wait(120) == SettingsError.exit_code
        assert "QUANTKIT_API_KEYS" in running.said()
        assert "Traceback" not in running.said()
    with process(tmp_path, "--ip", "0.0.0.0", QUANTKIT_API_KEYS="one") as running:
        where = address(running)
        assert httpx.get(f"{where}/price?symbol=AAPL", trust_env=False, timeout=60).status_code == 401
        known = httpx.get(f"{where}/price?symbol=AAPL", headers={"X-API-Key": "one"}, trust_env=False, timeout=60)
        assert known.status_code == 200
        assert "one" not in running.said().replace("requests", "").split("REST API")[0]
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
