"""A vendor's allowance and its circuit breaker, as several processes of one home see them."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from quantkit.core.errors import ThrottledError, VendorDownError
from quantkit.data.pacing import AllowanceSpentError, Circuit, Limit, Memory, Pace

TAKE = """
import sys
from pathlib import Path
from quantkit.data.pacing import AllowanceSpentError, Limit, Pace
pace = Pace(Path(sys.argv[1]), "vendor", (Limit(10, 600),))
taken = 0
try:
    while True:
        pace.take(patience=0)
        taken += 1
except AllowanceSpentError:
    print(taken)
"""


def test_processes_spend_one_allowance_together(tmp_path):
    running = [
        subprocess.Popen([sys.executable, "-c", TAKE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    taken = [int(each.communicate(timeout=120)[0]) for each in running]
    assert sum(taken) == 10
    pace = Pace(tmp_path, "vendor", (Limit(10, 600),))
    assert pace.left() == 0
    with pytest.raises(AllowanceSpentError, match="all 10 requests of 10 minutes are used; the next is free in"):
        pace.take(patience=5)


def test_a_full_limit_is_waited_for_when_that_is_soon(tmp_path):
    pace = Pace(tmp_path, "vendor", (Limit(1, 0.5), Limit(5, 3600)))
    began = time.monotonic()
    pace.take(patience=60)
    pace.take(patience=60)
    assert time.monotonic() - began >= 0.5
    assert pace.left() == 3


def test_vendors_do_not_share_an_allowance(tmp_path):
    one, other = (Pace(tmp_path, name, (Limit(1, 600),)) for name in ("one", "other"))
    one.take(patience=0)
    other.take(patience=0)
    assert (one.left(), other.left()) == (0, 0)


def test_a_throttle_opens_the_circuit_at_once_and_a_success_closes_it(tmp_path):
    ours, theirs = Circuit(tmp_path, "vendor"), Circuit(tmp_path, "vendor")
    ours.failed(ThrottledError("slow down", retry_after=0.3))
    with pytest.raises(ThrottledError, match=r"left alone for another .*slow down"):
        theirs.check()
    deadline = time.monotonic() + 30
    while theirs.state().is_open and time.monotonic() < deadline:
        time.sleep(0.02)
    theirs.check()
    theirs.succeeded()
    assert ours.state().failures == 0


def test_three_failures_in_a_row_open_the_circuit_and_each_more_doubles_the_pause(tmp_path):
    circuit = Circuit(tmp_path, "vendor")
    for _ in range(2):
        circuit.failed(VendorDownError("no answer"))
        circuit.check()
    circuit.failed(VendorDownError("no answer"))
    with pytest.raises(VendorDownError, match="no answer"):
        circuit.check()
    first = circuit.state().until - time.time()
    circuit.failed(VendorDownError("no answer"))
    assert circuit.state().until - time.time() == pytest.approx(2 * first, rel=0.2)


def test_memory_is_kept_by_name(tmp_path):
    memory = Memory(tmp_path)
    assert memory.get("gaps AAPL 1d") is None
    memory.put("gaps AAPL 1d", "a")
    memory.put("gaps AAPL 1d", "b")
    assert Memory(tmp_path).get("gaps AAPL 1d") == "b"
