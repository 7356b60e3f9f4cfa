"""A real server on a port of the system's choice, in a thread of the test's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from quantkit.api.app import create_app
from quantkit.serve.ports import bind


@contextmanager
def serving(desk, settings=None, *, grace=5.0, **options) -> Iterator[httpx.Client]:
    port, sockets = bind("127.0.0.1", 0, say=print)
    app = create_app(desk, settings, grace=grace, **options)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets})
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as client:
            client.app = app  # type: ignore[attr-defined]
            yield client
    finally:
        service = getattr(app.state, "service", None)
        if service is not None:
            service.stopping.set()
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()
