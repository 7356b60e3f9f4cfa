"""What a kernel knows of the visitor it was given.

``voila.utils.get_query_string`` asks the same question, but importing it brings Voila's whole server into the visitor's
kernel: 58 MB and 860 modules, of a budget of 220 MB.
"""

from __future__ import annotations

import json
import os

__all__ = ["visitor_query"]

ATTEMPTS = 3


def visitor_query() -> str:
    """The visitor's query string under Voila, the token included; empty everywhere else.

    In a pre-heated kernel this waits for the visitor, for as long as it takes: call it after the imports.
    """
    if os.environ.get("VOILA_PREHEAT") == "True":
        _wait_for_visitor()
    return os.environ.get("QUERY_STRING", "")


def _wait_for_visitor() -> None:
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    host = os.environ.get("VOILA_APP_IP", "127.0.0.1")
    port = os.environ.get("VOILA_APP_PORT", "8866")
    base = os.environ.get("VOILA_SERVER_URL", "/")
    kernel = os.environ.get("VOILA_KERNEL_ID", "")
    address = f"ws://{f'[{host}]' if ':' in host else host}:{port}{base}voila/query/{kernel}"
    # No pings: a server slow to answer one still holds the visitor's query, and one that ended closes the socket.
    for _ in range(ATTEMPTS):
        try:
            with connect(address, open_timeout=20, ping_interval=None, proxy=None) as socket:
                request = json.loads(socket.recv())
        except (OSError, WebSocketException, ValueError):
            continue
        os.environ.update({name: str(value) for name, value in request.items()})
        return
