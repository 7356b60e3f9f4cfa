"""One message to the page for all that changes in one turn of the kernel's loop; its other end is ``outbox.js``.

A bar moves some twenty widgets: marks, scales, axes, panels. By itself each is a message that the kernel signs, the
server hands on, and the browser unpacks and often paints before the next one is there. Together they are one message
and one picture.
"""

from __future__ import annotations

import sys
import threading
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

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[dict[str, Any]] = []
        self._buffers: list[Any] = []
        self._loop, self._thread = running_loop(), threading.get_ident()
        kernel = sys.modules.get("ipykernel.comm.comm")
        if kernel is not None and self._loop is not None:
            comm.create_comm = collected(kernel.BaseComm, self)  # the package's own way to have other comms made

    def put(self, name: str, data: Any, buffers: Any) -> bool:
        """Take a message of the comm `name`; False where it must go by itself."""
        if not self.listening or self._loop is None or threading.get_ident() != self._thread:
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
