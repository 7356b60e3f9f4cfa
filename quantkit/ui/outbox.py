"""One message to the page for all that changes in one turn of the kernel's loop; its other end is ``outbox.js``.

A bar moves some twenty widgets: marks, scales, axes, panels. By itself each is a message that the kernel signs, the
server hands on, and the browser unpacks and often paints before the next one is there. Together they are one message
and one picture.

It also mends what a page misses while it is being laid. The page asks once for the state of all widgets, then loads the
scripts of their classes; a change that comes in between finds no model yet and is dropped (jupyter-widgets keeps no
queue for it). Such changes are kept here, and said again once the page listens.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anywidget
import comm
import traitlets as t

from quantkit.ui.background import running_loop

__all__ = ["WIDGETS", "Outbox", "collected"]

#: Target of the comms of ipywidgets.
WIDGETS: Final = "jupyter.widget"


class Outbox(anywidget.AnyWidget):
    """Collects what the widgets that are made after it say to the page.

    Everything goes its usual way until the page has said that it can take such messages apart (`listening`), and where
    there is no kernel, such as in tests.
    """

    _esm = Path(__file__).with_name("outbox.js")

    listening = t.Bool(False).tag(sync=True)

    #: What a page that is being laid may not have heard; None where there is no such page.
    _missed: list[_Change] | None = None

    def __init__(self) -> None:
        super().__init__()
        self._keeping = threading.Lock()
        self._missed = None
        self._parts: list[dict[str, Any]] = []
        self._buffers: list[Any] = []
        self._loop, self._thread = running_loop(), threading.get_ident()
        kernel = sys.modules.get("ipykernel.comm.comm")
        if kernel is not None and self._loop is not None:
            comm.create_comm = collected(kernel.BaseComm, self)  # the package's own way to have other comms made

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """As any widget's; who asks for all of it is a page that is being laid, and hears nothing before it listens."""
        if key is None:
            self._missed = self._missed or []
            self.listening = False
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        return state

    def put(self, name: str, data: Any, buffers: Any) -> bool:
        """Take a message of the comm `name`; False where it must go by itself."""
        if not self.listening or self._loop is None or threading.get_ident() != self._thread:
            self._keep(_Change(name, data, buffers))
            return False
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append({"id": name, "data": data, "count": len(buffers or ())})
        self._buffers += buffers or ()
        return True

    def flush(self) -> None:
        """Send what was collected."""
        if self._parts and threading.get_ident() == self._thread:
            parts, buffers = self._parts, self._buffers
            self._parts, self._buffers = [], []
            self.send({"parts": parts}, buffers)

    def _keep(self, change: _Change) -> None:
        with self._keeping:
            if self._missed is not None and change.names is not None:
                self._missed = [*(each for each in self._missed if not each.replaced_by(change)), change]

    @t.observe("listening")
    def _say_again(self, change: dict[str, Any]) -> None:
        if change["new"]:
            with self._keeping:
                missed, self._missed = self._missed, None
            for each in missed or ():
                self.put(each.comm, each.data, each.buffers)


@dataclass(frozen=True, slots=True)
class _Change:
    """What a widget said to the page."""

    comm: str
    data: Any
    buffers: Any

    @property
    def names(self) -> Set[str] | None:
        """Of the traits that it changes; None where it is something else."""
        return self.data["state"].keys() if self.data.get("method") == "update" else None

    def replaced_by(self, newer: _Change) -> bool:
        """Whether nothing is left of it once `newer` has come."""
        return self.comm == newer.comm and self.names <= newer.names  # type: ignore[operator]


def collected(base: type, outbox: Outbox) -> type:
    """A comm like `base` that leaves its messages to `outbox`; one that opens or closes comes after those before it."""

    class Collected(base):  # type: ignore[misc, valid-type]
        def publish_msg(
            self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
        ) -> None:
            # Whoever else speaks to the page by a comm has no model there to be given anything.
            for_widget = msg_type == "comm_msg" and self.target_name == WIDGETS
            if not (for_widget and outbox.put(self.comm_id, data, buffers)):
                outbox.flush()
                super().publish_msg(msg_type, data=data, metadata=metadata, buffers=buffers, **keys)

    return Collected
