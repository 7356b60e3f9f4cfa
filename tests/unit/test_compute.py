"""What a task says of itself, and what travels between processes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from pydantic import SecretStr

from quantkit.compute.cluster import read_address
from quantkit.compute.task import Envelope, Order, Sealed, StoreAddress, Task, open_order
from quantkit.core.errors import ComputeError
from quantkit.core.results import Result

FRAME = pd.DataFrame({"a": [1.0]})


@dataclass(frozen=True, slots=True, eq=False)
class One(Result):
    value: float


def annotated(frame: pd.DataFrame, *, other: Missing = None) -> One:  # type: ignore[name-defined]  # noqa: F821
    return One(float(frame["a"].sum()))


def unannotated(frame):
    return One(float(frame["a"].sum()))


def test_the_result_type_is_read_from_the_function_whatever_else_it_names():
    assert Task(annotated, (FRAME,), {}, "f").result({"value": 2.5}) == One(2.5)


def test_the_result_type_can_be_given_and_is_asked_for_where_it_is_missing():
    assert Task(unannotated, (FRAME,), {}, "f", result_type=One).result({"value": 2.5}) == One(2.5)
    with pytest.raises(ComputeError, match=r"unannotated returns None; expected a Result, or Task.result_type"):
        Task(unannotated, (FRAME,), {}, "f").result({"value": 2.5})


def test_the_password_of_the_database_is_never_printed_but_travels(tmp_path: Path):
    address = StoreAddress(tmp_path, SecretStr("postgresql://me:marker-4711@db/quantkit"))
    order = Order(Task(pd.DataFrame.sum, (FRAME,), {}, "f"), address)
    sealed = Sealed.seal(order)
    assert "marker-4711" not in f"{address!r} {order!r} {sealed!r} {sealed}"
    opened = sealed.open()
    assert opened.store.database_url.get_secret_value() == "postgresql://me:marker-4711@db/quantkit"


def test_another_version_of_the_sources_refuses_to_answer(tmp_path: Path):
    task = Task(pd.DataFrame.sum, (FRAME,), {}, "f")
    address = StoreAddress(tmp_path, None)
    assert isinstance(open_order(Sealed.seal(Order(task, address))), Order)
    refused = open_order(Sealed.seal(Order(task, address, code="0" * 64)))
    assert isinstance(refused, Envelope)
    assert refused.kind == "unable"
    assert "another version" in refused.said


def test_an_order_that_cannot_be_read_is_refused_and_not_raised():
    refused = open_order(Sealed(b"\x80\x04cno_such_module\nfunction\n."))
    assert isinstance(refused, Envelope)
    assert refused.kind == "unable"
    assert "no_such_module" in refused.said


def test_a_scheduler_is_an_address_or_the_file_that_holds_one(tmp_path: Path):
    assert read_address("tcp://10.0.0.7:8786") == "tcp://10.0.0.7:8786"
    assert read_address("10.0.0.7:8786") == "tcp://10.0.0.7:8786"
    assert read_address(str(tmp_path / "scheduler")) is None
    (tmp_path / "scheduler").write_text("tcp://127.0.0.1:4711\n")
    assert read_address(str(tmp_path / "scheduler")) == "tcp://127.0.0.1:4711"


def test_to_import_compute_loads_nothing_heavy():
    script = (
        "import quantkit.compute, sys; print([m for m in ('distributed', 'dask', 'sqlalchemy', 'typer', "
        "'scipy', 'statsmodels', 'sklearn', 'threadpoolctl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
