"""A real Dask scheduler and real workers as processes; killed, frozen, absent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import compute_tasks as tasks
from test_compute import FRAME, ask, wait_until

from quantkit.compute import Compute, open_compute
from quantkit.compute.broker import broker_file
from quantkit.core.errors import Cancelled, ComputeError, DataError
from quantkit.data.store import Store
from quantkit.settings import Settings

HERE = Path(__file__).parent


class Cluster:
    """A scheduler and workers, started as a supervisor starts them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address_file = folder / "scheduler"
        self.log = folder / "cluster.log"
        self.scheduler: subprocess.Popen | None = None
        self.workers: list[subprocess.Popen] = []

    def start(self, *arguments: str) -> subprocess.Popen:
        path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
        with self.log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "quantkit.compute", *arguments, "--address-file", str(self.address_file)],
                env={**os.environ, "PYTHONPATH": path},
                stdout=log,
                stderr=log,
            )

    def start_scheduler(self) -> None:
        self.scheduler = self.start("scheduler", "--follow", str(os.getpid()))
        wait_until(self.address_file.exists, 60.0)

    def start_workers(self, count: int, *, warm: bool = False) -> None:
        joined = self.log.read_text().count("worker tcp://")
        options = ["--warm" if warm else "--no-warm", "--follow", str(os.getpid())]
        self.workers += [self.start("worker", *options) for _ in range(count)]
        wait_until(lambda: self.log.read_text().count("worker tcp://") == joined + count, 120.0)

    def stop(self) -> None:
        for process in [*self.workers, *filter(None, [self.scheduler])]:
            process.kill()
            process.wait()
        self.workers = []


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """Two workers, for tests that leave them well."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start_scheduler()
        cluster.start_workers(2, warm=True)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of its own, for a test that does it harm."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder)
    yield cluster
    cluster.stop()


class Asker:
    """A face: its own store and compute on a shared home."""

    def __init__(self, home: Path, scheduler: str, stack: ExitStack, *, isolate: bool = False) -> None:
        self.settings = Settings(home=home, scheduler=scheduler)
        self.store = stack.enter_context(closing(Store.open(self.settings)))
        self.compute: Compute = stack.enter_context(closing(open_compute(self.settings, self.store, isolate=isolate)))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture(params=["broker", "client"])
def asker(request, cluster: Cluster, tmp_path: Path, stack: ExitStack) -> Asker:
    """By way of the broker, as every local face, or as a Dask client, as one that was given an address."""
    scheduler = str(cluster.address_file)
    if request.param == "client":
        scheduler = cluster.address_file.read_text().strip()
    return Asker(tmp_path / "home", scheduler, stack)


@pytest.fixture
def other(cluster: Cluster, tmp_path: Path, stack: ExitStack) -> Asker:
    """Another face of the same installation, as another visitor's kernel is one."""
    return Asker(tmp_path / "home", str(cluster.address_file), stack)


@pytest.fixture
def log(tmp_path: Path) -> str:
    return str(tmp_path / "log")


def pids(cluster: Cluster) -> set[int]:
    return {worker.pid for worker in cluster.workers}


def test_a_worker_answers_and_keeps_the_answer_itself(cluster, asker, other, log):
    task = ask(tasks.steps, count=3, pause=0.01, log=log)
    result = asker.compute.run(task)
    assert asker.compute.name == "dask"
    assert result.answered_by in pids(cluster)
    assert other.store.result(task.fingerprint) == result.to_dict()
    assert other.compute.run(task) == result
    assert tasks.lines(log) == ["begun", "ended"]


def test_an_asker_that_is_killed_leaves_its_answer_to_be_finished_and_kept(cluster, asker, log):
    script = f"""
import compute_tasks as tasks
from test_compute import ask
from quantkit.compute import open_compute
from quantkit.data.store import Store
from quantkit.settings import Settings
settings = Settings(home={str(asker.settings.home)!r}, scheduler={asker.settings.scheduler!r})
open_compute(settings, Store.open(settings)).run(ask(tasks.steps, count=20, pause=0.1, log={log!r}))
"""
    with psutil.Popen([sys.executable, "-c", script], cwd=HERE) as visitor:
        wait_until(lambda: tasks.lines(log) == ["begun"])
        visitor.kill()
    wait_until(lambda: tasks.lines(log) == ["begun", "ended"])
    task = ask(tasks.steps, count=20, pause=0.1, log=log)
    wait_until(lambda: asker.store.result(task.fingerprint) is not None)
    assert asker.compute.run(task).answered_by in pids(cluster)


def test_the_cluster_the_helper_and_this_process_answer_with_the_same_bits(cluster, tmp_path, stack):
    rng = np.random.default_rng(11)
    questions = [
        ask(tasks.arima, pd.Series(rng.normal(0, 0.01, 300)), takes_progress=False, order=[1, 0, 1]),
        ask(tasks.linear_algebra, pd.DataFrame(rng.normal(size=(257, 257))), takes_progress=False),
    ]
    answers = []
    for name, scheduler, isolate in (
        ("dask", str(cluster.address_file), False),
        ("inline", "", False),
        ("process", "", True),
    ):
        asker = Asker(tmp_path / name, scheduler, stack, isolate=isolate)
        assert asker.compute.name == name
        answers.append([asker.compute.run(task).numbers.to_numpy().tobytes() for task in questions])
    assert answers[0] == answers[1] == answers[2]


def test_two_visitors_with_the_same_question_share_one_computation(asker, other, log):
    task = ask(tasks.steps, count=10, pause=0.1, log=log)
    with ThreadPoolExecutor(2) as askers:
        first, second = askers.map(lambda face: face.compute.run(task), (asker, other))
    assert first == second
    assert tasks.lines(log) == ["begun", "ended"]


def test_progress_travels_through_the_store(asker, log):
    seen = []
    task = ask(tasks.steps, count=15, pause=0.1, log=log)
    asker.compute.run(task, progress=lambda done, total, doing="": seen.append((done, total, doing)))
    steps = [done for done, total, doing in seen if (total, doing) == (15, "stepping")]
    assert len(set(steps)) >= 4
    assert steps == sorted(steps)
    assert asker.store.tasks.progress(task.fingerprint) is None


def test_a_withdrawn_question_stops_on_its_worker_and_can_be_asked_again_at_once(asker, log):
    task = ask(tasks.steps, count=30, pause=0.1, log=log)
    with ThreadPoolExecutor(1) as askers:
        asking = askers.submit(asker.compute.run, task)
        wait_until(lambda: tasks.lines(log) == ["begun"], asking=asking)
        began = time.monotonic()
        asker.compute.cancel(task.fingerprint)
        with pytest.raises(Cancelled):
            asking.result(5)
        assert time.monotonic() - began < 1.0
        wait_until(lambda: tasks.lines(log) == ["begun", "stopped"], 5.0)
        assert askers.submit(asker.compute.run, task).result(20).numbers.to_dict() == FRAME.sum().to_dict()
    assert tasks.lines(log) == ["begun", "stopped", "begun", "ended"]


def test_a_question_asked_again_right_after_it_was_withdrawn_is_answered(asker, log):
    task = ask(tasks.steps, count=50, pause=0.1, log=log)
    with ThreadPoolExecutor(2) as askers:
        for pause in (0.0, 0.05, 0.3):
            asking = askers.submit(asker.compute.run, task)
            time.sleep(1.0)
            asker.compute.cancel(task.fingerprint)
            with pytest.raises(Cancelled):
                asking.result(5)
            time.sleep(pause)
        assert askers.submit(asker.compute.run, task).result(20).numbers.to_dict() == FRAME.sum().to_dict()


def test_one_visitor_who_withdraws_leaves_the_other_its_answer(asker, other, log):
    task = ask(tasks.steps, count=30, pause=0.1, log=log)
    with ThreadPoolExecutor(2) as askers:
        leaving = askers.submit(asker.compute.run, task)
        wait_until(lambda: tasks.lines(log) == ["begun"], asking=leaving)
        staying = askers.submit(other.compute.run, task)
        time.sleep(0.7)
        asker.compute.cancel(task.fingerprint)
        with pytest.raises(Cancelled):
            leaving.result(5)
        assert staying.result(20).numbers.to_dict() == FRAME.sum().to_dict()
    assert tasks.lines(log) == ["begun", "ended"]


def test_errors_of_a_worker_come_back_as_themselves(asker):
    with pytest.raises(DataError, match="AAPL: close is not a number at 2023-09-20"):
        asker.compute.run(ask(tasks.fails, takes_progress=False, how="data"))
    with pytest.raises(KeyError, match="missing") as caught:
        asker.compute.run(ask(tasks.fails, takes_progress=False, how="key"))
    assert "compute_tasks.py" in caught.value.__notes__[0]


def test_a_question_behind_busy_workers_waits_for_them_and_does_not_fall_back(cluster, other, tmp_path):
    asked = [
        ask(tasks.steps, count=count, pause=0.1, log=str(tmp_path / f"log{n}")) for n, count in enumerate((115, 115, 1))
    ]
    with ThreadPoolExecutor(3) as askers:
        results = list(askers.map(other.compute.run, asked))
    assert {result.answered_by for result in results} <= pids(cluster)


def test_a_worker_that_is_killed_costs_a_retry(broken, tmp_path, stack, log):
    broken.start_scheduler()
    broken.start_workers(2)
    asker = Asker(tmp_path / "home", str(broken.address_file), stack)
    result = asker.compute.run(ask(tasks.dies, takes_progress=False, times=1, log=log))
    assert result.note == "survived"
    assert result.answered_by in pids(broken)
    assert tasks.lines(log) == ["begun", "begun"]


def test_a_question_that_kills_its_workers_is_an_error_and_does_not_reach_the_asker(broken, tmp_path, stack, log):
    broken.start_scheduler()
    broken.start_workers(3)
    asker = Asker(tmp_path / "home", str(broken.address_file), stack, isolate=True)
    with pytest.raises(ComputeError, match=r"compute_tasks\.dies ended every worker that tried it"):
        asker.compute.run(ask(tasks.dies, takes_progress=False, times=9, log=log))


def fallback_answers(asker: Asker, task, *, within: float) -> None:
    began = time.monotonic()
    assert asker.compute.run(task).answered_by == os.getpid()
    assert time.monotonic() - began < within
    assert asker.compute.name == "inline"


def test_a_frozen_worker_a_frozen_scheduler_and_then_none_are_left_for_the_fallback(broken, tmp_path, stack, log):
    broken.start_scheduler()
    broken.start_workers(1)
    (worker,) = broken.workers
    ways = [str(broken.address_file), broken.address_file.read_text().strip()]
    homes = iter(range(99))
    hit, connected, fresh, late = (
        [Asker(tmp_path / f"home{next(homes)}", way, stack) for way in ways] for _ in range(4)
    )
    for n, face in enumerate(hit + connected):
        assert face.compute.run(ask(tasks.column_means, times=1.0 + n)).answered_by == worker.pid

    with ThreadPoolExecutor(2) as askers:
        logs = [f"{log}{n}" for n in range(2)]
        asking = [
            askers.submit(fallback_answers, face, ask(tasks.steps, count=10, pause=0.1, log=log), within=18.0)
            for face, log in zip(hit, logs, strict=True)
        ]
        wait_until(lambda: sum(len(tasks.lines(log)) for log in logs) >= 1, asking=asking[0])
        worker.send_signal(signal.SIGSTOP)
        for each in asking:
            each.result(25)
    for face in hit:
        fallback_answers(face, ask(tasks.column_means, times=20.0), within=1.0)

    broken.scheduler.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(4) as askers:
        for asking in [
            askers.submit(fallback_answers, face, ask(tasks.column_means, times=30.0), within=13.0)
            for face in connected + fresh
        ]:
            asking.result()
    began = time.monotonic()
    for face in connected + fresh:
        face.compute.close()
    assert time.monotonic() - began < 5.0

    broken.scheduler.kill()
    with ThreadPoolExecutor(2) as askers:
        for asking in [
            askers.submit(fallback_answers, face, ask(tasks.column_means, times=40.0), within=8.0) for face in late
        ]:
            asking.result()


def test_what_never_comes_is_not_waited_for(broken, tmp_path, stack):
    broken.start_scheduler()
    with socket.socket() as mute, socket.socket() as unused:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        unused.bind(("127.0.0.1", 0))
        mute_port, refused_port = mute.getsockname()[1], unused.getsockname()[1]
        unused.close()
        spoken_for = tmp_path / "spoken_for"
        broker_file(spoken_for).write_text(f"127.0.0.1:{mute_port} token")
        limits = {
            str(broken.address_file): 14.0,  # a worker
            broken.address_file.read_text().strip(): 14.0,
            f"tcp://127.0.0.1:{mute_port}": 13.0,  # a word
            str(spoken_for): 13.0,
            f"tcp://127.0.0.1:{refused_port}": 8.0,  # a connection
            str(tmp_path / "nobody-wrote-this"): 8.0,  # an address
        }
        with ThreadPoolExecutor(len(limits)) as askers:
            for asking in [
                askers.submit(
                    fallback_answers,
                    Asker(tmp_path / f"home{n}", scheduler, stack),
                    ask(tasks.column_means, times=1.0),
                    within=within,
                )
                for n, (scheduler, within) in enumerate(limits.items())
            ]:
                asking.result()


def test_a_dashboards_kernel_falls_back_to_a_helper_and_not_to_itself(tmp_path, stack):
    asker = Asker(tmp_path / "home", str(tmp_path / "nobody-wrote-this"), stack, isolate=True)
    assert asker.compute.run(ask(tasks.column_means, times=1.0)).answered_by != os.getpid()
    assert asker.compute.name == "process"


def test_a_scheduler_that_is_killed_during_a_question_hands_it_to_the_fallback(broken, tmp_path, stack, log):
    broken.start_scheduler()
    broken.start_workers(1)
    ways = [str(broken.address_file), broken.address_file.read_text().strip()]
    faces = [Asker(tmp_path / f"home{n}", way, stack) for n, way in enumerate(ways)]
    # A minute on the worker, so that on no machine it has answered before the askers notice.
    swift = tmp_path / "swift"
    swift.write_text(str(os.getpid()))
    task = ask(tasks.steps, count=600, pause=0.1, swift=str(swift), log=log)
    with ThreadPoolExecutor(2) as askers:
        asking = [askers.submit(face.compute.run, task) for face in faces]
        wait_until(lambda: tasks.lines(log) == ["begun"], asking=asking[0])
        time.sleep(0.5)
        broken.scheduler.kill()
        assert [each.result(30).answered_by for each in asking] == [os.getpid()] * 2
    (worker,) = broken.workers
    swift.write_text(str(worker.pid))
    assert worker.wait(20) != 0


def test_an_interpreter_that_used_a_frozen_cluster_ends_at_once(broken, tmp_path):
    broken.start_scheduler()
    broken.start_workers(1)
    script = f"""
import os, signal, sys, time
import compute_tasks as tasks
from test_compute import ask
from quantkit.compute import open_compute
from quantkit.data.store import Store
from quantkit.settings import Settings
settings = Settings(home={str(tmp_path)!r}, scheduler={broken.address_file.read_text().strip()!r})
compute = open_compute(settings, Store.open(settings))
compute.run(ask(tasks.column_means, times=1.0))
os.kill({broken.scheduler.pid}, signal.SIGSTOP)
print(compute.name, time.time(), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=HERE, capture_output=True, text=True, timeout=60)
    ended = time.time()
    name, at = done.stdout.split()
    assert (done.returncode, name, done.stderr) == (0, "dask", "")
    assert ended - float(at) < 3.0


def test_a_face_on_the_local_cluster_loads_no_dask(cluster, tmp_path):
    script = f"""
import sys
import compute_tasks as tasks
from test_compute import ask
from quantkit.compute import open_compute
from quantkit.data.store import Store
from quantkit.settings import Settings
settings = Settings(home={str(tmp_path)!r}, scheduler={str(cluster.address_file)!r})
compute = open_compute(settings, Store.open(settings))
compute.run(ask(tasks.column_means, times=1.0))
print(compute.name, "distributed" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=HERE, capture_output=True, text=True, timeout=120)
    assert (done.stdout.split(), done.stderr) == (["dask", "False"], "")


def test_a_broker_listens_to_nobody_without_its_token(cluster):
    address = broker_file(cluster.address_file).read_text().split()[0]
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as stranger:
        stranger.sendall(b"0" * 32 + b"whatever")
        assert stranger.recv(1) == b""
    assert broker_file(cluster.address_file).stat().st_mode & 0o077 == 0


def test_both_end_cleanly_when_told_and_bind_loopback_alone(broken):
    broken.start_scheduler()
    broken.start_workers(1)
    (worker,) = broken.workers
    listening = [
        each.laddr.ip
        for process in (broken.scheduler, worker)
        for each in psutil.Process(process.pid).net_connections()
        if each.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}
    worker.terminate()
    assert worker.wait(10) == 0
    broken.scheduler.terminate()
    assert broken.scheduler.wait(10) == 0
    assert not broken.address_file.exists()


def test_both_end_with_the_process_that_they_follow(broken):
    with psutil.Popen([sys.executable, "-c", "input()"], stdin=-1) as followed:
        scheduler = broken.start("scheduler", "--follow", str(followed.pid))
        broken.workers.append(broken.start("worker", "--no-warm", "--follow", str(followed.pid)))
        broken.scheduler = scheduler
        wait_until(lambda: "worker tcp://" in broken.log.read_text(), 120.0)
        followed.kill()
    assert scheduler.wait(20) == 0
    broken.workers[0].wait(20)


def test_what_is_asked_is_in_no_log_of_the_cluster(cluster, asker):
    with pytest.raises(KeyError):
        asker.compute.run(ask(tasks.fails, takes_progress=False, how="marker-4711"))
    assert "marker-4711" not in cluster.log.read_text()
