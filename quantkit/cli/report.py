"""The command that writes daily reports."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantkit.cli.output import open_desk, watched
from quantkit.core.errors import UsageError

if TYPE_CHECKING:
    from quantkit.desk import Desk
    from quantkit.reporting.batch import Entry, Job, Run

__all__ = ["report"]


def report(
    symbols: Annotated[str | None, typer.Option(help="Separated by commas, such as AAPL,MSFT")] = None,
    watchlist: Annotated[bool, typer.Option("--watchlist", help="The symbols of QUANTKIT_WATCHLIST")] = False,
    portfolio: Annotated[
        Path | None, typer.Option(help="CSV with the columns symbol and one of shares, value, weight")
    ] = None,
    date: Annotated[str | None, typer.Option(help="Day of the report; today, or the sample's last day")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; reports under QUANTKIT_HOME if left out")] = None,
    horizon: Annotated[int, typer.Option(help="Sessions ahead")] = 5,
    level: Annotated[float, typer.Option(help="Of intervals, VaR and ES")] = 0.95,
    model: Annotated[str, typer.Option(help="Of the forecast: auto, or a model by name")] = "auto",
    models: Annotated[str | None, typer.Option(help="On the leaderboard; all that are quick if left out")] = None,
    objective: Annotated[str, typer.Option(help="Of a portfolio's suggested weights")] = "max_sharpe",
    theme: Annotated[str, typer.Option(help="light or dark")] = "light",
    pdf: Annotated[bool, typer.Option("--pdf", help="Also print every page, by Chromium")] = False,
    mail: Annotated[bool, typer.Option("--mail", help="Send the run to QUANTKIT_MAIL_TO")] = False,
    if_session: Annotated[bool, typer.Option("--if-session", help="Do nothing on an exchange's holiday")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Also what an earlier run has written already")] = False,
    workers: Annotated[int | None, typer.Option(help="Processes to start; 0 renders here")] = None,
) -> None:
    """Write daily reports, a page a symbol or portfolio, and an index. Run again, it goes on where it stopped."""
    from quantkit.reporting.batch import portfolio_job, run_batch, symbol_jobs
    from quantkit.reporting.schedule import is_session, report_day
    from quantkit.reporting.workers import local_workers, workers_for

    shared: dict[str, Any] = {"level": level, "theme": theme}
    named = [each.strip() for each in models.split(",") if each.strip()] if models else None
    with ExitStack() as stack:
        desk = stack.enter_context(open_desk())
        wanted = [*(symbols.split(",") if symbols else ()), *(desk.settings.watchlist if watchlist else ())]
        if not wanted and portfolio is None:
            raise UsageError("nothing to report on; give --symbols AAPL,MSFT, --watchlist or --portfolio FILE")
        day = report_day(desk, date, wanted)
        if if_session and not is_session(desk, day, wanted):
            print(f"{day} is no session: nothing to do", file=sys.stderr)
            return
        jobs: list[Job] = symbol_jobs(wanted, horizon=horizon, model=model, models=named, **shared)
        if portfolio is not None:
            jobs.append(portfolio_job(desk, _read(portfolio), portfolio.stem, day, objective=objective, **shared))
        target = out if out is not None else desk.settings.home / "reports"
        count = workers_for(len(jobs), desk.settings.scheduler) if workers is None else workers
        if count:
            from quantkit.desk import Desk

            scheduler = stack.enter_context(local_workers(count))
            desk = stack.enter_context(Desk.open(desk.settings.model_copy(update={"scheduler": scheduler})))
        run = watched(
            "reports",
            lambda progress: run_batch(desk, jobs, date=day, out=target, fresh=fresh, progress=progress, done=_say),
        )
        _finish(desk, run, pdf=pdf, mail=mail)
    raise typer.Exit(1 if run.failed else 0)


def _finish(desk: Desk, run: Run, *, pdf: bool, mail: bool) -> None:
    written = [run.folder / each.file for each in run.entries.values() if each.status == "done"]
    if pdf:
        from quantkit.reporting.pdf import print_pages

        print_pages(written)
    if mail:
        from quantkit.reporting.deliver import mark_sent, message, send, unsent

        alerts = unsent(desk.store, run.alerts)
        send(message(run, desk.settings, alerts), desk.settings)
        mark_sent(desk.store, alerts)
    kept = f", {run.kept} of them kept from an earlier run" if run.kept else ""
    print(f"{len(written)} of {len(run.entries)} reports{kept}: {run.folder / 'index.html'}")


def _say(entry: Entry) -> None:
    if entry.status == "failed":
        print(f"quantkit: {entry.name}: {entry.error}", file=sys.stderr)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
