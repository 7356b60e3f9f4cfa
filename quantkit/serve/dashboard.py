"""``quantkit dashboard``: the dashboards in the browser, until Ctrl-C."""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Callable
from pathlib import Path

from quantkit.core.errors import SettingsError
from quantkit.core.imports import spare_grammars
from quantkit.settings import Settings

__all__ = ["address", "check_exposure", "is_loopback", "run_dashboard", "write_private"]


def run_dashboard(
    settings: Settings,
    *,
    ip: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    insecure: bool = False,
    base_url: str = "/",
    dashboards: Path | None = None,
    api_docs: str | Path | None = None,
    address_file: Path | None = None,
    follow: int | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Serve the dashboards until Ctrl-C or SIGTERM.

    Parameters
    ----------
    settings : Settings
        Gives the port, the token and the number of visitors unless the arguments do.
    ip : str
        Interface to listen on; anything but loopback needs a token.
    port : int, optional
        0 lets the system choose; one in use is said, by whom, and the next is taken.
    token : str, optional
        What a visitor must know.
    insecure : bool
        Listen beyond loopback without a token all the same.
    base_url : str
        Path under which everything is served.
    dashboards : Path, optional
        Folder of the notebooks, when it is not the project's own.
    api_docs : str or Path, optional
        Address of the REST API's manual, or the file that holds it while the API runs.
    address_file : Path, optional
        Holds the address while the dashboards run.
    follow : int, optional
        A process id: they end when that process has ended, however it did.
    say : callable, optional
        Told in sentences where the dashboards are and what had to be decided.

    Raises
    ------
    SettingsError
        No token for an address beyond loopback, an unusable address or port, or no notebooks.
    """
    spare_grammars()
    from quantkit.serve import assets
    from quantkit.serve.config import dashboards_folder, jupyter_root, voila_config
    from quantkit.serve.ports import bind
    from quantkit.serve.server import DashboardServer

    say = say or (lambda text: print(text, flush=True))
    if token is None and settings.token is not None:
        token = settings.token.get_secret_value()
    check_exposure(ip, token, insecure=insecure)
    folder = (dashboards or dashboards_folder()).absolute()
    base_url = "/" + base_url.strip("/") + "/" if base_url.strip("/") else "/"
    taken, sockets = bind(ip, settings.dashboard_port if port is None else port, say=say)
    _environment(jupyter_root(), ip)
    assets.refresh()
    where = address(ip, taken, base_url, token)

    def listening() -> None:
        say(f"quantkit dashboards: {where}   (Ctrl-C stops them)")
        if address_file is not None:
            write_private(address_file, where)

    server = DashboardServer(
        sockets=sockets,
        reports=settings.home / "reports",
        api_docs=api_docs,
        watchlist=settings.watchlist,
        on_listening=listening,
        follow=follow,
        config=voila_config(
            max_kernels=settings.max_kernels, token=token, base_url=base_url, compress=not is_loopback(ip)
        ),
        config_file_paths=[],
        root_dir=str(folder),
        ip=ip,
        port=taken,
        log_level=logging.WARNING,
    )
    server.initialize([])
    try:
        server.start()
    finally:
        if address_file is not None:
            address_file.unlink(missing_ok=True)


def check_exposure(ip: str, token: str | None, *, insecure: bool) -> None:
    """Refuse to listen beyond this machine when everybody would be let in.

    Raises
    ------
    SettingsError
        `ip` is not loopback, there is no token, and `insecure` was not asked for.
    """
    if not token and not insecure and not is_loopback(ip):
        raise SettingsError(
            f"listening on {ip} would open the dashboards to everybody who can reach this machine: "
            "set a token (QUANTKIT_TOKEN or --token), or say --insecure if that is meant"
        )


def address(ip: str, port: int, base_url: str, token: str | None) -> str:
    """What to open in a browser on this machine."""
    host = "127.0.0.1" if ip in {"0.0.0.0", "::", ""} else f"[{ip}]" if ":" in ip else ip
    return f"http://{host}:{port}{base_url}{'?token=' + token if token else ''}"


def is_loopback(ip: str) -> bool:
    """Whether `ip` is this machine's own address, which no other machine can reach."""
    if ip == "localhost":
        return True
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return False


def write_private(file: Path, text: str) -> None:
    """Write `text` at once, readable by this user only: an address may hold the token."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}-{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(text + "\n")
    draft.replace(file)


def _environment(template_root: Path, ip: str) -> None:
    """Where Voila finds the page template, and where a kernel finds the server that its visitor comes through."""
    paths = [str(template_root), *filter(None, os.environ.get("JUPYTER_PATH", "").split(os.pathsep))]
    os.environ["JUPYTER_PATH"] = os.pathsep.join(dict.fromkeys(paths))
    os.environ["VOILA_APP_IP"] = "127.0.0.1" if ip in {"0.0.0.0", "::", "", "localhost"} else ip
    # A kernel stays small and answers its visitor meanwhile: what is heavy runs in a helper where there is no cluster.
    os.environ.setdefault("QUANTKIT_ISOLATE", "1")
    # glibc gives every thread a heap of its own, and a kernel has some twenty threads: 8 MB of a visitor's 220.
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    # What a page changes would come back to it as a message, for other pages of the same kernel: here are none.
    os.environ.setdefault("JUPYTER_WIDGETS_ECHO", "0")
    # The debugger's file check costs a warning at every kernel's start, and no kernel here is debugged.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
