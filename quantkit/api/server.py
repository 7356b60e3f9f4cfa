"""``quantkit api``: the REST API on a port, until Ctrl-C or SIGTERM, which let what is running be finished."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from quantkit.api.app import create_app
from quantkit.core.errors import SettingsError
from quantkit.serve.dashboard import address, is_loopback, write_private
from quantkit.serve.ports import bind
from quantkit.settings import Settings

__all__ = ["check_api_exposure", "run_api"]


def run_api(
    settings: Settings,
    *,
    ip: str = "127.0.0.1",
    port: int | None = None,
    insecure: bool = False,
    base_url: str = "/",
    address_file: Path | None = None,
    follow: int | None = None,
    grace: float = 20.0,
    say: Callable[[str], None] | None = None,
) -> None:
    """Serve the API until it is told to stop.

    Parameters
    ----------
    settings : Settings
        Keys, limits, port.
    ip : str
        Interface to listen on; anything but loopback needs keys.
    port : int, optional
        0 lets the system choose; one in use is said, by whom, and the next is taken.
    insecure : bool
        Listen beyond loopback without keys all the same.
    base_url : str
        Path under which a proxy serves it; the addresses in answers begin with it.
    address_file : Path, optional
        Holds the manual's address while the API runs.
    follow : int, optional
        A process id: the API ends when that process has ended.
    grace : float
        Seconds that requests and jobs under way are given to finish.
    say : callable, optional

    Raises
    ------
    SettingsError
        No keys for an address beyond loopback, or an unusable address or port.
    """
    say = say or (lambda text: print(text, flush=True))
    check_api_exposure(ip, settings, insecure=insecure)
    taken, sockets = bind(ip, settings.api_port if port is None else port, say=say)
    # What is heavy runs in a helper process where there is no cluster: this one keeps answering meanwhile.
    os.environ.setdefault("QUANTKIT_ISOLATE", "1")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("quantkit.api").setLevel(logging.INFO)
    app = create_app(settings=settings, check_host=is_loopback(ip), grace=grace, base_url=base_url)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="on",
        timeout_graceful_shutdown=max(int(grace), 1), timeout_keep_alive=30, proxy_headers=False,
    )  # fmt: skip
    where = address(ip, taken, "/", None)

    def listening() -> None:
        say(f"quantkit REST API: {where}   manual: {where}docs   (Ctrl-C stops it)")
        if address_file is not None:
            write_private(address_file, f"{where}docs")

    # uvicorn raises the signal again once it has stopped; that is the end that was asked for, and no failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        _Server(config, app, listening, follow).run(sockets=sockets)
    except KeyboardInterrupt:
        pass
    finally:
        if address_file is not None:
            address_file.unlink(missing_ok=True)


def check_api_exposure(ip: str, settings: Settings, *, insecure: bool) -> None:
    """Refuse to listen beyond this machine when everybody would be answered.

    Raises
    ------
    SettingsError
        `ip` is not loopback, there are no keys, and `insecure` was not asked for.
    """
    from quantkit.api.guard import Keys

    keys = Keys(None if settings.api_keys is None else settings.api_keys.get_secret_value())
    if not keys and not insecure and not is_loopback(ip):
        raise SettingsError(
            f"listening on {ip} would answer everybody who can reach this machine: set keys (QUANTKIT_API_KEYS), "
            "or say --insecure if that is meant"
        )


class _Server(uvicorn.Server):
    """uvicorn that says when it listens, and whose streams end before it waits for requests to finish."""

    def __init__(self, config: uvicorn.Config, app: Any, on_listening: Callable[[], None], follow: int | None) -> None:
        super().__init__(config)
        self._app = app
        self._on_listening = on_listening
        self._follow = follow

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets=sockets)
        self._loop = asyncio.get_running_loop()
        self._on_listening()
        if self._follow is not None:
            self._watching = self._loop.create_task(self._stop_with(self._follow))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        service = getattr(self._app.state, "service", None)
        if service is not None:
            self._loop.call_soon_threadsafe(service.stopping.set)

    async def _stop_with(self, pid: int) -> None:
        import psutil

        while psutil.pid_exists(pid):
            await asyncio.sleep(2.0)
        self._app.state.service.stopping.set()
        self.should_exit = True
