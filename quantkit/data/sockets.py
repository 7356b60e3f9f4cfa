"""One WebSocket connection as an iterator of its messages: quiet seconds, drops and closings are all told apart.

The vendors' own clients return silently after a clean close, retry a refused connection for ever, or spin.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Final

from quantkit.core.errors import VendorDownError

__all__ = ["listen"]

#: How often a quiet connection gives its listener the word, in seconds.
_BEAT: Final = 1.0

# At DEBUG, websockets logs every frame, and one of them holds the key.
_log = logging.getLogger("quantkit.data.sockets")
_log.setLevel(logging.INFO)


def listen(
    vendor: str,
    url: str,
    *,
    stop: threading.Event,
    hello: Sequence[str] = (),
    again: tuple[str, float] | None = None,
    answer: Callable[[str], Sequence[str]] | None = None,
    timeout: float = 15.0,
) -> Iterator[str | None]:
    """Messages of one connection to `url` until `stop` is set; None about every second in which none came.

    Parameters
    ----------
    vendor : str
        For messages.
    hello : sequence of str
        Sent on connecting.
    again : tuple of (str, seconds), optional
        Sent over and over.
    answer : callable, optional
        What to send back for a message, before it is given out.
    timeout : float
        Seconds to connect, and for the vendor to answer a ping.

    Raises
    ------
    VendorDownError
        It cannot be made, breaks, falls dead, or is closed by the vendor, cleanly or not.
    """
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
    from websockets.sync.client import connect

    with ExitStack() as closing:
        try:
            connection = closing.enter_context(
                connect(
                    url, open_timeout=timeout, ping_interval=20, ping_timeout=timeout, close_timeout=2, logger=_log,
                    max_size=4 * 2**20,
                )
            )  # fmt: skip
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
            raise VendorDownError(f"{vendor}'s stream cannot be reached: {error}") from None
        try:
            for text in hello:
                connection.send(text)
            sent = time.monotonic()
            while not stop.is_set():
                try:
                    message = connection.recv(timeout=_BEAT)
                except TimeoutError:
                    message = None
                if again is not None and time.monotonic() - sent >= again[1]:
                    connection.send(again[0])
                    sent = time.monotonic()
                if message is None:
                    yield None
                    continue
                text = message if isinstance(message, str) else message.decode("utf-8", "replace")
                for reply in answer(text) if answer else ():
                    connection.send(reply)
                yield text
        except GeneratorExit:
            # A listener that has heard enough is no error, which leaving by an exception would tell the vendor.
            return
        except ConnectionClosed as error:
            raise VendorDownError(f"{vendor} closed its stream: {error}") from None
        except OSError as error:
            raise VendorDownError(f"{vendor}'s stream broke: {error}") from None
