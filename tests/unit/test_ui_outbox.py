"""What changes in one turn of a kernel's loop goes to the page as one message, in its order."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from comm.base_comm import BaseComm

from quantkit.ui.outbox import WIDGETS, Outbox, collected

Sent = list[tuple[str, str, Any]]


class Wire(Outbox):
    """An outbox whose messages can be read."""

    def __init__(self, sent: Sent) -> None:
        super().__init__()
        self.sent = sent

    def send(self, content: Any, buffers: Any = None) -> None:
        self.sent.append(("box", "", (content["parts"], list(buffers))))


def comms(sent: Sent, box: Outbox) -> type:
    """Comms as a kernel's, which note what is published."""

    class Noted(BaseComm):
        def __init__(self, comm_id: str, target_name: str = WIDGETS) -> None:
            super().__init__(target_name, comm_id=comm_id)

        def publish_msg(
            self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys
        ) -> None:
            sent.append((msg_type, self.comm_id, data))

    return collected(Noted, box)


def turn(act: Any, *, listening: bool = True) -> Sent:
    """What is sent by one turn of a loop in which `act` is given an outbox's class of comms."""
    sent: Sent = []

    async def run() -> None:
        box = Wire(sent)
        box.listening = listening
        kind = comms(sent, box)
        sent.clear()
        act(kind)
        await asyncio.sleep(0)

    asyncio.run(run())
    return sent


def update(**state: Any) -> dict[str, Any]:
    return {"method": "update", "state": state}


def test_one_turn_is_one_message_in_order() -> None:
    def act(kind: Any) -> None:
        one, other = kind(comm_id="one"), kind(comm_id="other")
        one.send(update(x=1), buffers=[b"a", b"b"])
        other.send(update(y=2))
        one.send({"method": "custom", "content": "save"}, buffers=[b"c"])

    opened = [("comm_open", "one", {}), ("comm_open", "other", {})]
    *before, (kind, _, (parts, buffers)) = turn(act)
    assert before == opened
    assert kind == "box"
    assert [(part["id"], part["data"], part["count"]) for part in parts] == [
        ("one", update(x=1), 2), ("other", update(y=2), 0), ("one", {"method": "custom", "content": "save"}, 1),
    ]  # fmt: skip
    assert buffers == [b"a", b"b", b"c"]


def test_a_widget_that_opens_or_closes_comes_after_what_was_said_before() -> None:
    def act(kind: Any) -> None:
        one = kind(comm_id="one")
        one.send(update(x=1))
        other = kind(comm_id="other")
        other.send(update(y=2))
        one.close()

    sent = turn(act)
    assert [(kind, name) for kind, name, _ in sent] == [
        ("comm_open", "one"), ("box", ""), ("comm_open", "other"), ("box", ""), ("comm_close", "one"),
    ]  # fmt: skip
    assert sent[1][2][0][0]["id"] == "one"
    assert sent[3][2][0][0]["id"] == "other"


def test_a_page_that_does_not_listen_gets_every_message_by_itself() -> None:
    sent = turn(lambda kind: kind(comm_id="one").send(update(x=1)), listening=False)
    assert sent == [("comm_open", "one", {}), ("comm_msg", "one", update(x=1))]


def test_a_comm_that_is_no_widget_s_speaks_for_itself() -> None:
    def act(kind: Any) -> None:
        kind(comm_id="one").send(update(x=1))
        kind(comm_id="plot", target_name="plot").send("a picture")

    assert [(kind, name) for kind, name, _ in turn(act)] == [
        ("comm_open", "one"), ("box", ""), ("comm_open", "plot"), ("comm_msg", "plot"),
    ]  # fmt: skip


def test_another_thread_speaks_for_itself() -> None:
    def act(kind: Any) -> None:
        one = kind(comm_id="one")
        one.send(update(x=1))
        thread = threading.Thread(target=one.send, args=(update(x=2),))
        thread.start()
        thread.join()

    assert [(kind, name) for kind, name, _ in turn(act)] == [("comm_open", "one"), ("comm_msg", "one"), ("box", "")]


def test_without_a_kernel_comms_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import comm

    before = comm.create_comm
    Outbox()
    assert comm.create_comm is before


def laid(*said: Any) -> Sent:
    """What is sent by comms that say `said`, name and data, between a page's look at all states and its listening."""

    def act(kind: Any) -> None:
        named = {name: kind(comm_id=name) for name in dict.fromkeys(name for name, _ in said)}
        named["one"].send(update(x=0))
        box.get_state()
        for name, data in said:
            named[name].send(data)
        box.listening = True
        named["one"].send(update(z=9))

    sent: Sent = []

    async def run() -> None:
        nonlocal box
        box = Wire(sent)
        act(comms(sent, box))
        await asyncio.sleep(0)

    box: Any = None
    asyncio.run(run())
    return sent


def test_what_a_page_may_have_missed_while_it_was_laid_is_said_again_once_it_listens() -> None:
    *before, (kind, _, (parts, _)) = laid(("one", update(x=1, y=1)), ("other", update(x=5)), ("one", update(y=2)))
    assert [(name, data) for kind, name, data in before if kind == "comm_msg"] == [
        ("one", update(x=0)), ("one", update(x=1, y=1)), ("other", update(x=5)), ("one", update(y=2)),
    ]  # fmt: skip
    assert kind == "box"
    assert [(part["id"], part["data"]) for part in parts] == [
        ("one", update(x=1, y=1)), ("other", update(x=5)), ("one", update(y=2)), ("one", update(z=9)),
    ]  # fmt: skip


def test_only_the_newest_of_what_replaces_each_other_is_said_again() -> None:
    *_, (_, _, (parts, _)) = laid(*[("one", update(x=x)) for x in range(1000)], ("one", {"method": "custom"}))
    assert [part["data"] for part in parts] == [update(x=999), update(z=9)]
