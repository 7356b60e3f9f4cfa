"""Commands that start what keeps running."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["api", "collect", "dashboard", "up"]


def up(
    port: Annotated[int | None, typer.Option(help="Of the dashboards; the next free one is taken if in use")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback needs QUANTKIT_TOKEN")] = (
        "127.0.0.1"
    ),
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without a token")] = False,
) -> None:
    """Start everything: the dashboards and the workers that compute for them. Ctrl-C stops it all."""
    from quantkit.serve.up import run_up
    from quantkit.settings import Settings

    raise typer.Exit(run_up(Settings.load(), ip=host, port=port, insecure=insecure))


def dashboard(
    port: Annotated[int | None, typer.Option(help="The next free one is taken if in use")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback needs a token")] = "127.0.0.1",
    token: Annotated[str | None, typer.Option(help="What a visitor must know", envvar="QUANTKIT_TOKEN")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without a token")] = False,
    base_url: Annotated[str, typer.Option(help="Path prefix behind a proxy")] = "/",
) -> None:
    """Serve the dashboards alone, computing in their own helper processes."""
    from quantkit.serve.dashboard import run_dashboard
    from quantkit.settings import Settings

    run_dashboard(Settings.load(), ip=host, port=port, token=token, insecure=insecure, base_url=base_url)


def api(
    port: Annotated[int | None, typer.Option(help="8000 unless set; the next free one is taken if in use")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback needs QUANTKIT_API_KEYS")] = (
        "127.0.0.1"
    ),
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without keys")] = False,
    base_url: Annotated[str, typer.Option(help="Path prefix behind a proxy")] = "/",
) -> None:
    """Serve the REST API: the same answers as JSON, with a manual at /docs."""
    from quantkit.api.server import run_api
    from quantkit.settings import Settings

    run_api(Settings.load(), ip=host, port=port, insecure=insecure, base_url=base_url)


def collect(
    symbols: Annotated[str | None, typer.Option(help="Separated by commas; the watchlist unless given")] = None,
    every: Annotated[str | None, typer.Option(help="Poll this often: 60s, 5m")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Listen to the provider's stream")] = False,
    replay: Annotated[str | None, typer.Option(help="Play the recorded session of MSFT, AZN.L, 9988.HK")] = None,
    speed: Annotated[float, typer.Option(help="Of a replay: recorded seconds in a second")] = 60.0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin a replay again when it ends")] = False,
    restore: Annotated[bool, typer.Option("--restore", help="Give the sample back what a replay has set back")] = False,
    follow: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Collect bars into the store until Ctrl-C or SIGTERM: by a stream, by polling, or from a recorded session."""
    from quantkit.data.collect import run_collect
    from quantkit.settings import Settings

    run_collect(
        Settings.load(), symbols=symbols, every=every, stream=stream, replay=replay, speed=speed, loop=loop,
        restore_sample=restore, follow=follow,
    )  # fmt: skip
