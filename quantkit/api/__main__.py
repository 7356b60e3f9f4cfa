"""``python -m quantkit.api``: the REST API, as a supervisor or a Procfile starts it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from quantkit.api.server import run_api
from quantkit.core.errors import QuantkitError
from quantkit.settings import Settings


def main(
    ip: Annotated[
        str, typer.Option(help="Interface to listen on; beyond loopback needs QUANTKIT_API_KEYS.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="0 takes a free one; one in use gives way to the next.")] = None,
    base_url: Annotated[str, typer.Option(help="Path prefix behind a proxy.")] = "/",
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without keys.")] = False,
    address_file: Annotated[Path | None, typer.Option(help="File that holds the manual's address.")] = None,
    follow: Annotated[int | None, typer.Option(help="A process id: end when that process has ended.")] = None,
    grace: Annotated[float, typer.Option(help="Seconds for what is running when it is told to stop.")] = 20.0,
) -> None:
    """Serve the REST API until SIGTERM or Ctrl-C."""
    try:
        run_api(
            Settings.load(), ip=ip, port=port, insecure=insecure, base_url=base_url, address_file=address_file,
            follow=follow, grace=grace,
        )  # fmt: skip
    except QuantkitError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(error.exit_code) from None


if __name__ == "__main__":
    typer.run(main)
