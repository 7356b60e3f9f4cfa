"""``python -m quantkit.serve.warm``: works out what the first visitor will ask, so that it is there at once.

One question at a time: the other worker stays free for whoever is there already.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from quantkit.core.errors import Cancelled, QuantkitError
from quantkit.core.progress import Progress, silent
from quantkit.desk import Desk
from quantkit.settings import Settings

__all__ = ["warm"]

#: Seconds after the dashboards answer.
PATIENCE: Final = 5.0

log = logging.getLogger(__name__)


def warm(desk: Desk, progress: Progress = silent) -> int:
    """Forecast and risk of every symbol on the watchlist, as the Stock screen asks for them; how many are kept now."""
    symbols, kept = desk.settings.watchlist, 0
    for at, symbol in enumerate(symbols):
        progress(at, len(symbols), symbol)
        for ask in (desk.predict, desk.risk):
            try:
                ask(symbol, progress=progress)
                kept += 1
            except Cancelled:
                raise
            except QuantkitError as error:
                log.info("%s: %s", symbol, error)
    return kept


def main(
    follow: Annotated[int | None, typer.Option(help="A process id: end when that process has ended.")] = None,
    after: Annotated[Path | None, typer.Option(help="Begin once this file is there, and a moment has passed.")] = None,
) -> None:
    """Work out the watchlist's forecasts and risk, then end."""

    def progress(done: int, total: int, doing: str = "") -> None:
        if follow is not None and os.getppid() != follow:
            raise Cancelled("whoever asked for it has ended")

    with Desk.open(Settings.load()) as desk:
        try:
            while after is not None and not after.exists():
                progress(0, 0)
                time.sleep(1.0)
            # The page that opens now needs the processors more.
            time.sleep(PATIENCE if after is not None else 0.0)
            print(f"{warm(desk, progress)} answers are kept", flush=True)
        except Cancelled:
            raise typer.Exit(1) from None


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    typer.run(main)
