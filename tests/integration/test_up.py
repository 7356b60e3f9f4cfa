"""``quantkit up`` as somebody runs it: a process of its own, in a home of its own, on a port that the system chose."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from quantkit.core.errors import SettingsError
from quantkit.serve.dashboard import check_exposure
from quantkit.serve.ports import bind
from quantkit.serve.up import programs
from quantkit.serve.warm import warm
from quantkit.settings import Settings

ROOT = Path(__file__).parents[2]


class Run:
    def __init__(self, home, output, *options, **environment):
        self.home, self.output = home, output
        self.handle = self.output.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "quantkit.cli", "up", *options], cwd=ROOT, stdout=self.handle, text=True,
            stderr=subprocess.STDOUT,
            env={**os.environ, "QUANTKIT_HOME": str(home), "QUANTKIT_WARM": "false", **environment},
        )  # fmt: skip

    def said(self, pattern, seconds=120):
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.output.read_text())):
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.2)
        return found

    def children(self):
        return {role(child): child for child in psutil.Process(self.process.pid).children()}

    def everything(self):
        return psutil.Process(self.process.pid).children(recursive=True)


def role(process):
    words = process.cmdline()
    modules = {"quantkit.serve": "dashboard", "quantkit.api": "api"}
    known = (role for module, role in modules.items() if module in words)
    return next(known, "worker" if "worker" in words else "scheduler")


@contextmanager
def running(home, *options, **environment):
    folder = next(each for each in home.parents if each.is_dir())
    run = Run(home, folder / f"up-{time.monotonic_ns()}.out", *options, **environment)
    try:
        yield run
    finally:
        known = run.everything() if run.process.poll() is None else []
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
        for process in known:
            if process.is_running():
                process.kill()
        run.handle.close()


def test_everything_starts_what_fails_starts_again_and_ctrl_c_stops_it_all(tmp_path):
    with running(tmp_path / "home", "--port", "0") as run:
        where = run.said(r"quantkit is at\s+(http://127\.0\.0\.1:\d+/)")[1]
        with urllib.request.urlopen(where, timeout=30) as answer:
            assert "quantkit" in answer.read().decode()
        children = run.children()
        assert set(children) == {"dashboard", "api", "scheduler", "worker"}
        manual = run.said(r"manual is at\s+(http://127\.0\.0\.1:\d+/docs)")[1]
        with urllib.request.urlopen(manual, timeout=30) as answer:
            assert "REST API" in answer.read().decode()
        with urllib.request.urlopen(where, timeout=30) as answer:
            assert manual in answer.read().decode(), "the home page links to it"

        children["dashboard"].kill()
        run.said(r"dashboard had ended and was started again")
        deadline = time.monotonic() + 60
        # A process that has just been forked is still called what its parent is.
        while (again := run.children().get("dashboard")) is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert again.pid != children["dashboard"].pid
        while len(re.findall("quantkit is at", run.output.read_text())) < 1 or not reachable(run):
            assert time.monotonic() < deadline
            time.sleep(0.3)

        everything = run.everything()
        assert len(everything) >= 4
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(30) == 0
        _, alive = psutil.wait_procs(everything, timeout=5)
        assert alive == []
        assert "quantkit has stopped" in run.output.read_text()
        assert "Traceback" not in run.output.read_text()
        assert not (tmp_path / "home" / "run" / "up.json").exists()


def reachable(run):
    try:
        where = (run.home / "run" / "dashboard").read_text().strip()
        with urllib.request.urlopen(where, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_a_second_run_of_the_same_home_is_refused_and_a_killed_one_leaves_nothing_behind(tmp_path):
    home = tmp_path / "home"
    with running(home, "--port", "0", QUANTKIT_SCHEDULER="tcp://127.0.0.1:1") as run:
        run.said("quantkit is at")
        assert set(run.children()) == {"dashboard", "api"}, "with a cluster named, none is started"
        with running(home, "--port", "0") as second:
            assert second.process.wait(60) != 0
            assert f"running already (process {run.process.pid}" in second.output.read_text()

        orphans = run.everything()
        run.process.kill()
        run.process.wait()
        _, alive = psutil.wait_procs(orphans, timeout=40)
        assert alive == [], "they end with the process that supervised them"


def test_what_a_killed_run_left_is_named_and_left_alone(tmp_path):
    home = tmp_path / "home"
    marked = {**os.environ, "QUANTKIT_RUN": str(home / "run")}
    command = [sys.executable, "-c", "import time; time.sleep(300)", "quantkit.compute", "worker"]
    relic = subprocess.Popen(command, env=marked)
    (home / "run").mkdir(parents=True)
    (home / "run" / "up.json").write_text(json.dumps({"pid": 2**22 - 1, "started": 1.0}))
    try:
        with running(home, "--port", "0", QUANTKIT_SCHEDULER="tcp://127.0.0.1:1") as run:
            found = run.said(r"left over from a run that was killed: (\w+) \(process (\d+)\)")
            assert (found[1], int(found[2])) == ("worker", relic.pid)
            run.said("quantkit is at")
            assert relic.poll() is None
    finally:
        relic.kill()
        relic.wait()


def test_a_port_in_use_is_said_and_the_next_one_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        said = []
        port, sockets = bind("127.0.0.1", wanted, say=said.append)
        for one in sockets:
            one.close()
        assert wanted < port < wanted + 20
        assert said == [
            f"port {wanted} is in use by {psutil.Process().name()} (process {os.getpid()}); taking {port}"
        ] or ("another quantkit" in said[0] and str(os.getpid()) in said[0])
        with running(tmp_path / "home", "--port", str(wanted), QUANTKIT_SCHEDULER="tcp://127.0.0.1:1") as run:
            assert int(run.said(r"quantkit is at\s+http://127\.0\.0\.1:(\d+)/")[1]) != wanted
            assert f"port {wanted} is in use by" in run.output.read_text()


@pytest.mark.parametrize(("ip", "port"), [("203.0.113.9", 8866), ("no such host", 8866)])
def test_an_address_of_another_machine_is_refused(ip, port):
    with pytest.raises(SettingsError, match=re.escape(ip)):
        bind(ip, port, say=print)


@pytest.mark.parametrize("ip", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_nothing_is_opened_to_the_network_without_a_token(ip):
    with pytest.raises(SettingsError, match="token"):
        check_exposure(ip, None, insecure=False)
    check_exposure(ip, "a token", insecure=False)
    check_exposure(ip, None, insecure=True)
    check_exposure("127.0.0.1", None, insecure=False)


def test_a_home_that_cannot_be_written_to_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with running(tmp_path / "file" / "home", "--port", "0") as run:
        assert run.process.wait(60) == SettingsError.exit_code
        text = run.output.read_text()
        assert "cannot be written to" in text
        assert "Traceback" not in text


def test_unusable_settings_are_one_sentence(tmp_path):
    with running(tmp_path / "home", "--port", "0", QUANTKIT_MAX_KERNELS="0") as run:
        assert run.process.wait(60) == SettingsError.exit_code
        assert "QUANTKIT_MAX_KERNELS" in run.output.read_text()
    with running(tmp_path / "home", "--port", "0", "--host", "203.0.113.9", "--insecure") as run:
        assert run.process.wait(60) == SettingsError.exit_code
        assert "203.0.113.9" in run.output.read_text()


def test_dashboards_that_cannot_start_end_the_run_and_say_why(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "voila.py").write_text("raise ImportError('this voila is broken')")
    path = os.pathsep.join([str(tmp_path / "broken"), os.environ.get("PYTHONPATH", "")])
    with running(tmp_path / "home", "--port", "0", QUANTKIT_SCHEDULER="tcp://127.0.0.1:1", PYTHONPATH=path) as run:
        assert run.process.wait(240) == 1
        text = run.output.read_text()
        assert "dashboard cannot be started" in text
        assert "this voila is broken" in text


def test_what_the_first_visitor_asks_is_worked_out_beforehand(tmp_path, shared_desk):
    class Quick:
        """The real desk with a short watchlist, asked for the naive forecast and for the risk of a short past."""

        def __init__(self):
            self.settings = Settings.load(home=tmp_path, watchlist="AAPL,NOPE")
            self.asked = []

        def predict(self, symbol, **question):
            self.asked.append(shared_desk.predict(symbol, model="naive", **question).fingerprint)

        def risk(self, symbol, **question):
            self.asked.append(shared_desk.risk(symbol, period="6mo", **question).fingerprint)

    quick = Quick()
    assert warm(quick) == 2
    assert all(shared_desk.store.result(each) is not None for each in quick.asked)
    table = programs(Settings.load(home=tmp_path), tmp_path, ip="127.0.0.1", port=8866)
    assert [program.name for program in table if program.once] == ["warm"]
    table = programs(Settings.load(home=tmp_path, warm=False), tmp_path, ip="127.0.0.1", port=8866)
    assert not any(program.once for program in table)


def test_the_procfile_runs_the_same_programs(tmp_path):
    text = (ROOT / "Procfile").read_text()
    lines = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith("#"))
    table = programs(Settings.load(home=tmp_path), tmp_path, ip="127.0.0.1", port=8866)
    table = [program for program in table if not program.once]
    assert set(lines) == {program.name for program in table}
    for program in table:
        module = program.command[program.command.index("-m") + 1]
        assert f"python -m {module}" in lines[program.name]
