"""A port to listen on, and who has the one that was wanted."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from tornado.netutil import bind_sockets

from quantkit.core.errors import SettingsError

__all__ = ["bind", "holder"]

ATTEMPTS = 20


def bind(ip: str, port: int, *, say: Callable[[str], None]) -> tuple[int, list[socket.socket]]:
    """Listening sockets on `ip` at `port`, or at the next port that is free.

    Parameters
    ----------
    ip : str
        Address of a local interface, or a host name.
    port : int
        0 lets the system choose.
    say : callable
        Told in one sentence when another port is taken, and by whom the wanted one is used.

    Returns
    -------
    (int, list of socket)
        The port that was taken, and the sockets bound to it.

    Raises
    ------
    SettingsError
        `ip` is no address of this machine, the port is not permitted, or twenty ports in a row are in use.
    """
    for candidate in range(port, min(port + ATTEMPTS, 65536)) if port else (0,):
        try:
            sockets = bind_sockets(candidate, ip)
        except PermissionError:
            raise SettingsError(f"port {candidate} is not permitted to this user; use one above 1023") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            raise SettingsError(f"cannot listen on {ip!r}: {error.strerror or error}") from None
        taken = sockets[0].getsockname()[1]
        if port and taken != port:
            say(f"port {port} is in use by {holder(port)}; taking {taken}")
        return taken, sockets
    raise SettingsError(f"ports {port} to {port + ATTEMPTS - 1} are all in use; the first by {holder(port)}")


def holder(port: int) -> str:
    """Which process listens on `port`, as far as this user may know: ``another quantkit (process 123)``."""
    import psutil

    try:
        pids = {
            connection.pid
            for connection in psutil.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid
        }
        if not pids:
            return "another user's process"
        process = psutil.Process(min(pids))
        ours = any("quantkit" in part.rsplit("/", 1)[-1] for part in process.cmdline())
        return f"{'another quantkit' if ours else process.name()} (process {process.pid})"
    except (psutil.Error, OSError):
        return "another process"
