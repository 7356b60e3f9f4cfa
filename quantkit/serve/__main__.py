"""``python -m quantkit.serve``: the dashboards alone, as a supervisor or a Procfile starts them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from quantkit.core.errors import QuantkitError
from quantkit.serve.dashboard import run_dashboard
from quantkit.settings import Settings


def main(
    ip: Annotated[
        str, typer.Option(help="Interface to listen on; beyond loopback needs QUANTKIT_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="0 takes a free one; one in use gives way to the next.")] = None,
    base_url: Annotated[str, typer.Option(help="Path prefix behind a proxy.")] = "/",
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without a token.")] = False,
    dashboards: Annotated[Path | None, typer.Option(help="Folder of notebooks, if not the project's own.")] = None,
    address_file: Annotated[Path | None, typer.Option(help="File that holds the address while they run.")] = None,
    api_file: Annotated[Path | None, typer.Option(help="File that holds the address of the API's manual.")] = None,
    follow: Annotated[int | None, typer.Option(help="A process id: end when that process has ended.")] = None,
) -> None:
    """Serve the dashboards until SIGTERM or Ctrl-C."""
    try:
        run_dashboard(
            Settings.load(),
            ip=ip,
            port=port,
            insecure=insecure,
            base_url=base_url,
            dashboards=dashboards,
            address_file=address_file,
            api_docs=api_file,
            follow=follow,
        )
    except QuantkitError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(error.exit_code) from None


if __name__ == "__main__":
    typer.run(main)
