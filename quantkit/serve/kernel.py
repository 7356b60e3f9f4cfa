"""What runs in the process that was forked for a visitor: ipykernel, as if it had been started from nothing."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import threading

__all__ = ["LAUNCHER", "run"]

LAUNCHER = "ipykernel_launcher"


def run(options: list[str], environment: dict[str, str], folder: str | None) -> None:
    """Be a kernel until it is told to end.

    Parameters
    ----------
    options : list of str
        Of ``python -m ipykernel_launcher``.
    environment : dict
        All of it.
    folder : str or None
        Where it works; None is where it is.
    """
    import numpy as np
    from setproctitle import setproctitle

    os.setsid()
    parent = os.getppid()
    # Two things happen when a module is imported, which was before there was a kernel: ipykernel reads who started it,
    # and ipywidgets registers the channel by which a page asks what all widgets are like, not each by itself.
    late = [f"--IPKernelApp.parent_handle={parent}", "--IPKernelApp.extra_extensions=ipywidgets"]
    sys.argv = [LAUNCHER, *options, *late]
    setproctitle(" ".join([sys.executable, "-m", *sys.argv]))  # it needs the environment where it was
    os.environ.clear()
    os.environ.update(environment, JPY_PARENT_PID=str(parent))
    if folder is not None:
        os.chdir(folder)
    # Python's own generator is seeded anew by every fork; numpy's old one is not.
    np.random.seed()  # noqa: NPY002
    # A daemon must not have children by multiprocessing; a notebook may want some.
    multiprocessing.current_process().daemon = False
    threading.Thread(target=_end_with_the_server, name="server", daemon=True).start()

    from ipykernel import kernelapp

    try:
        kernelapp.launch_new_instance()
    finally:
        atexit._run_exitfuncs()  # multiprocessing runs its own only


def _end_with_the_server() -> None:
    """The fork server lives as long as anybody it has forked: a server that was killed is noticed here."""
    server = multiprocessing.parent_process()
    if server is not None:
        server.join()
        os._exit(1)
