"""Questions answered in this process and in a helper process; what holds for every place."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import compute_tasks as tasks

from quantkit.compute import Compute, Task, open_compute
from quantkit.compute.process import ProcessBackend
from quantkit.compute.shared import Flight
from quantkit.core.errors import Cancelled, ComputeError, DataError, UnknownSymbolError
from quantkit.core.fingerprint import fingerprint
from quantkit.data.store import Store
from quantkit.settings import Settings

FRAME = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [0.1, 0.2, 0.4]})


def ask(function, data=FRAME, *, takes_progress=True, **question) -> Task:
    return Task(
        function,
        (data,),
        question,
        fingerprint({"function": function.__name__, **question}, data),
        takes_progress=takes_progress,
    )


def wait_until(condition, seconds: float = 20.0, *, asking: Future | None = None) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if asking is not None and asking.done():
            asking.result()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with closing(Store.open(settings)) as opened:
        yield opened


@pytest.fixture(scope="module", params=["inline", "process"])
def compute(request, tmp_path_factory) -> Iterator[Compute]:
    """Kept over the module: a helper takes seconds to start. Questions that are counted hold the path of their log."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    with (
        closing(Store.open(settings)) as store,
        closing(open_compute(settings, store, isolate=request.param == "process")) as opened,
    ):
        assert opened.name == request.param
        yield opened


@pytest.fixture
def helped(settings: Settings, store: Store) -> Iterator[Compute]:
    with closing(open_compute(settings, store, isolate=True)) as opened:
        yield opened


@pytest.fixture
def log(tmp_path: Path) -> str:
    return str(tmp_path / "log")


def test_the_environment_decides_where_when_nobody_says(settings, store, monkeypatch):
    monkeypatch.delenv("QUANTKIT_ISOLATE", raising=False)
    assert open_compute(settings, store).name == "inline"
    monkeypatch.setenv("QUANTKIT_ISOLATE", "1")
    assert open_compute(settings, store).name == "process"


def test_an_answer_comes_back_typed_and_from_where_it_was_asked(compute):
    result = compute.run(ask(tasks.column_means, times=3.0))
    assert isinstance(result, tasks.Numbers)
    assert result.numbers.to_dict() == (FRAME.mean() * 3.0).to_dict()
    assert (result.answered_by == os.getpid()) == (compute.name == "inline")


def test_a_kept_answer_is_served_and_not_computed_again(compute, log):
    task = ask(tasks.steps, count=1, pause=0.0, log=log)
    first = compute.run(task)
    assert compute.run(task) == first
    assert tasks.lines(log) == ["begun", "ended"]


@pytest.mark.parametrize("isolate", [False, True])
def test_what_is_computed_is_in_the_store_and_outlives_who_computed_it(settings, store, log, isolate):
    task = ask(tasks.steps, count=1, pause=0.0, log=log)
    with closing(open_compute(settings, store, isolate=isolate)) as compute:
        first = compute.run(task)
    with closing(Store.open(settings)) as reopened:
        assert reopened.result(task.fingerprint) == first.to_dict()
        with closing(open_compute(settings, reopened, isolate=False)) as other:
            assert other.run(task) == first
    assert tasks.lines(log) == ["begun", "ended"]


def test_a_question_is_answered_with_the_same_bits_here_and_in_a_helper(settings, tmp_path):
    rng = np.random.default_rng(7)
    returns = pd.Series(rng.normal(0, 0.01, 400))
    frame = pd.DataFrame(rng.normal(size=(300, 300)))
    answers = {}
    for isolate in (False, True):
        own = Settings(home=tmp_path / str(isolate))
        with closing(Store.open(own)) as store, closing(open_compute(own, store, isolate=isolate)) as compute:
            answers[isolate] = [
                compute.run(task).numbers.to_numpy().tobytes()
                for task in (
                    ask(tasks.arima, returns, takes_progress=False, order=[2, 0, 1]),
                    ask(tasks.linear_algebra, frame, takes_progress=False),
                )
            ]
    assert answers[False] == answers[True]


def test_every_numerical_library_works_on_one_thread_even_one_loaded_inside_the_question(compute):
    result = compute.run(ask(tasks.blas_threads, takes_progress=False))
    assert len(result.numbers) >= 2
    assert set(result.numbers) == {1.0}


def test_progress_reaches_the_asker_in_the_asking_thread(compute, log):
    seen = []

    def progress(done: int, total: int, doing: str = "") -> None:
        seen.append((done, total, doing, threading.get_ident()))

    compute.run(ask(tasks.steps, count=10, pause=0.15, log=log), progress=progress)
    steps = [each for each in seen if each[2] == "stepping"]
    assert {each[3] for each in seen} == {threading.get_ident()}
    assert len({each[0] for each in steps}) >= 5
    assert [each[0] for each in steps] == sorted(each[0] for each in steps)


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("data", DataError, "AAPL: close is not a number at 2023-09-20"),
        ("symbol", UnknownSymbolError, "TSLA is not in the sample"),
        ("key", KeyError, "missing"),
    ],
)
def test_an_error_comes_back_as_itself(compute, how, kind, message):
    with pytest.raises(kind, match=message) as caught:
        compute.run(ask(tasks.fails, takes_progress=False, how=how))
    assert type(caught.value) is kind


def test_an_error_that_cannot_travel_comes_back_in_words(helped):
    with pytest.raises(ComputeError, match="OddError: this and that"):
        helped.run(ask(tasks.fails, takes_progress=False, how="odd"))


def test_a_function_that_returns_no_result_is_named(compute):
    with pytest.raises(ComputeError, match=r"compute_tasks\.not_a_result returned int; expected a Result"):
        compute.run(ask(tasks.not_a_result, takes_progress=False))


def test_a_function_that_cannot_travel_is_named(helped):
    def local(frame: pd.DataFrame) -> tasks.Numbers:
        return tasks.Numbers(frame.sum(), 0)

    with pytest.raises(ComputeError, match=r"local cannot run in another process"):
        helped.run(ask(local, takes_progress=False))


def test_two_who_ask_the_same_at_once_share_one_computation(compute, log):
    task = ask(tasks.steps, count=5, pause=0.1, log=log)
    with ThreadPoolExecutor(4) as askers:
        results = list(askers.map(lambda _: compute.run(task), range(4)))
    assert all(result == results[0] for result in results)
    assert tasks.lines(log) == ["begun", "ended"]


def test_different_questions_at_once_are_all_answered(compute):
    with ThreadPoolExecutor(4) as askers:
        results = list(askers.map(lambda n: compute.run(ask(tasks.column_means, times=float(n))), range(8)))
    assert [result.numbers["a"] for result in results] == [FRAME["a"].mean() * n for n in range(8)]


def test_cancel_frees_the_asker_at_once_stops_the_work_and_leaves_the_question_askable(compute, log):
    task = ask(tasks.steps, count=1200, pause=0.05, log=log)
    with ThreadPoolExecutor(1) as asker:
        asking = asker.submit(compute.run, task)
        wait_until(lambda: tasks.lines(log) == ["begun"], asking=asking)
        began = time.monotonic()
        compute.cancel(task.fingerprint)
        with pytest.raises(Cancelled):
            asking.result(5)
        assert time.monotonic() - began < 1.0
    wait_until(lambda: tasks.lines(log) == ["begun", "stopped"])
    again = ask(tasks.steps, count=2, pause=0.0, log=log)
    retry = Task(again.function, again.data, again.question, task.fingerprint)
    assert compute.run(retry).numbers.to_dict() == FRAME.sum().to_dict()


def test_one_of_two_askers_who_withdraws_leaves_the_other_its_answer(compute, log):
    task = ask(tasks.steps, count=20, pause=0.2, log=log)

    def give_up(done: int, total: int, doing: str = "") -> None:
        if doing == "stepping":
            raise Cancelled("enough")

    with ThreadPoolExecutor(2) as askers:
        staying, leaving = askers.submit(compute.run, task), askers.submit(compute.run, task, progress=give_up)
        with pytest.raises(Cancelled, match="enough"):
            leaving.result(60)
        assert not staying.done()
        assert staying.result(60).numbers.to_dict() == FRAME.sum().to_dict()
    assert tasks.lines(log) == ["begun", "ended"]


def test_the_last_asker_who_withdraws_stops_the_work(compute, log):
    def give_up(done: int, total: int, doing: str = "") -> None:
        if doing == "stepping":
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        compute.run(ask(tasks.steps, count=1200, pause=0.05, log=log), progress=give_up)
    wait_until(lambda: tasks.lines(log) == ["begun", "stopped"])


def test_a_question_asked_from_within_a_question_does_not_wait_for_itself(settings, store):
    with closing(open_compute(settings, store, isolate=False)) as compute:

        def outer(frame: pd.DataFrame) -> tasks.Numbers:
            return compute.run(ask(tasks.column_means, times=2.0))

        assert compute.run(ask(outer, takes_progress=False)).numbers["a"] == FRAME["a"].mean() * 2.0


def test_the_helper_is_kept_warm_and_ends_with_its_compute(settings, store):
    compute = open_compute(settings, store, isolate=True)
    first = compute.run(ask(tasks.column_means, times=1.0)).answered_by
    assert compute.run(ask(tasks.column_means, times=2.0)).answered_by == first
    helper = psutil.Process(first)
    compute.close()
    assert not helper.is_running()


@pytest.mark.parametrize("isolate", [False, True])
def test_a_database_that_breaks_costs_the_keeping_and_not_the_answer(settings, store, isolate):
    for file in settings.home.glob("quantkit.db*"):
        file.write_bytes(b"this is not a database " * 1000)
    with closing(open_compute(settings, store, isolate=isolate)) as compute:
        assert compute.run(ask(tasks.column_means, times=5.0)).numbers["a"] == FRAME["a"].mean() * 5.0


def test_a_helper_that_is_killed_costs_a_retry(helped, log):
    task = ask(tasks.dies, takes_progress=False, times=1, log=log)
    assert helped.run(task).note == "survived"
    assert tasks.lines(log) == ["begun", "begun"]


def test_a_question_that_kills_every_helper_is_an_error_and_the_next_one_is_answered(helped, log):
    with pytest.raises(ComputeError, match=r"compute_tasks\.dies could not be finished.*(code -9|did not answer)"):
        helped.run(ask(tasks.dies, takes_progress=False, times=9, log=log))
    assert len(tasks.lines(log)) == 2
    assert helped.run(ask(tasks.column_means, times=1.0)).numbers["a"] == FRAME["a"].mean()


def test_a_frozen_helper_is_replaced(helped, log):
    frozen = helped.run(ask(tasks.column_means, times=1.0)).answered_by
    os.kill(frozen, signal.SIGSTOP)
    began = time.monotonic()
    # More than a pipe holds: writing to it must not block either.
    large = pd.DataFrame(np.ones((200_000, 4)))
    result = helped.run(ask(tasks.column_means, large, times=2.0))
    assert result.answered_by != frozen
    assert time.monotonic() - began < 16.0
    assert not psutil.pid_exists(frozen)


def test_work_that_does_not_look_up_is_stopped_with_its_process(helped, log):
    task = ask(tasks.deaf, takes_progress=False, seconds=60.0, log=log)
    with ThreadPoolExecutor(1) as asker:
        asking = asker.submit(helped.run, task)
        wait_until(lambda: tasks.lines(log) == ["begun"], asking=asking)
        helped.cancel(task.fingerprint)
        with pytest.raises(Cancelled):
            asking.result(1)
        assert asker.submit(helped.run, ask(tasks.column_means, times=1.0)).result(15).numbers["b"] > 0


def test_a_question_withdrawn_while_its_progress_is_told_is_stopped_all_the_same(settings, log):
    class Withdrawn(Flight):
        def report(self, done: int, total: int, doing: str = "") -> None:
            if doing == "stepping":
                self.cancelled.set()
            super().report(done, total, doing)

    with closing(ProcessBackend(settings)) as helper:
        flight = Withdrawn(ask(tasks.steps, count=1200, pause=0.05, log=log))
        assert helper.answer(flight).kind == "cancelled"
        assert tasks.lines(log) == ["begun", "stopped"]


def test_a_helper_ends_when_its_asker_is_killed(settings, tmp_path):
    script = f"""
import compute_tasks as tasks, sys
from test_compute import ask
from quantkit.compute import open_compute
from quantkit.data.store import Store
from quantkit.settings import Settings
settings = Settings(home={str(settings.home)!r})
compute = open_compute(settings, Store.open(settings), isolate=True)
print(compute.run(ask(tasks.column_means, times=1.0)).answered_by, flush=True)
sys.stdin.read()
"""
    with psutil.Popen(
        [sys.executable, "-c", script], stdin=-1, stdout=-1, text=True, cwd=Path(__file__).parent
    ) as asker:
        helper = psutil.Process(int(asker.stdout.readline()))
        asker.kill()
    wait_until(lambda: not helper.is_running() or helper.status() == psutil.STATUS_ZOMBIE, 5.0)
