"""``python -m quantkit.compute scheduler|worker``: the processes that ``quantkit up`` supervises."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import psutil
import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

Host = Annotated[str, typer.Option(help="Interface to bind; whoever reaches it can run code here.")]
File = Annotated[Path | None, typer.Option(help="File that holds the scheduler's address while it runs.")]

Follow = Annotated[int | None, typer.Option(help="A process id: end when that process has ended, however it did.")]


@app.command()
def scheduler(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    address_file: File = None,
    follow: Follow = None,
) -> None:
    """Serve a Dask scheduler until SIGTERM."""
    from quantkit.compute.nodes import run_scheduler

    raise typer.Exit(run_scheduler(host, port, address_file, follow=follow))


@app.command()
def worker(
    address: Annotated[str | None, typer.Option(help="The scheduler's address.")] = None,
    address_file: File = None,
    host: Host = "127.0.0.1",
    memory_limit: Annotated[int, typer.Option(help="Megabytes at which an idle worker ends; 0 chooses.")] = 0,
    warm: Annotated[bool, typer.Option(help="Import the heavy libraries before the first question.")] = True,
    follow: Follow = None,
) -> None:
    """Work for a Dask scheduler, one question at a time, until it ends or SIGTERM."""
    from quantkit.compute.nodes import run_worker

    if (address is None) == (address_file is None):
        raise typer.BadParameter("give either --address or --address-file")
    chosen = address if address is not None else str(address_file.absolute())  # type: ignore[union-attr]
    limit = memory_limit * 2**20 or max(2**30, psutil.virtual_memory().total // 8)
    raise typer.Exit(run_worker(chosen, host, limit, warm=warm, follow=follow))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    app()
