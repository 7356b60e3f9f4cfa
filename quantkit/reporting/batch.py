"""Many reports in one run: through ``quantkit.compute``, resumable, one failure a page of its own.

A run writes ``OUT/<date>/``: a page and a record a report, ``index.html``, and ``run.json``, which says after every
report how each one stands. Workers are told where the store is and read it themselves; only the question travels to
them, and the page back.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Literal

import quantkit
from quantkit.compute.task import Task, store_at_work
from quantkit.core.errors import Cancelled, ComputeError, DataError, QuantkitError, UsageError
from quantkit.core.fingerprint import code_version, fingerprint
from quantkit.core.progress import Progress, silent
from quantkit.core.results import Result
from quantkit.core.schema import check_symbol
from quantkit.desk import DEFAULT_BENCHMARK
from quantkit.reporting.alerts import Alert
from quantkit.reporting.index import index_page
from quantkit.reporting.markup import Html, notes, section
from quantkit.reporting.record import Record, file_stem, previous_record, read_record
from quantkit.reporting.render import Rendered, page, render_report

if TYPE_CHECKING:
    from quantkit.desk import Desk

__all__ = ["Entry", "Job", "Run", "portfolio_job", "render_task", "run_batch", "symbol_jobs"]

#: Questions that are asked at once; whoever computes takes them one by one.
IN_FLIGHT: Final = 32


@dataclass(frozen=True, slots=True)
class Job:
    """One report to be written.

    Attributes
    ----------
    kind : {"symbol", "portfolio"}
    name : str
        The symbol as it was asked for, or the portfolio's name.
    symbols : tuple of str
        Whose bars it stands on.
    parameters : mapping
        Of the notebook, but for the date and the record before.
    """

    kind: Literal["symbol", "portfolio"]
    name: str
    symbols: tuple[str, ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Entry(Result):
    """How one report of a run stands.

    Attributes
    ----------
    name, kind : str
    status : {"waiting", "done", "failed"}
    file : str
        Its page, in the run's folder.
    seconds : float
        From the question to the page; NaN while waiting.
    fingerprint : str
        Of the report; empty without one.
    error : str
        Why there is none.
    asked : str
        Hash of everything that the page depends on: a later run that asks the same keeps it.
    alerts : int
    """

    name: str
    kind: str
    status: str
    file: str
    seconds: float = float("nan")
    fingerprint: str = ""
    error: str = ""
    asked: str = ""
    alerts: int = 0


@dataclass
class Run:
    """A run of reports: its folder and its entries, as ``run.json`` holds them."""

    date: str
    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    kept: int = 0
    started: str = field(default_factory=lambda: _now())

    @property
    def failed(self) -> list[Entry]:
        """Those that have no report."""
        return [each for each in self.entries.values() if each.status == "failed"]

    @property
    def alerts(self) -> list[Alert]:
        """Of all reports, in the order that was asked, whichever was ready first."""
        return [alert for name in self.entries if name in self.records for alert in self.records[name].alerts]

    def write(self, *, ended: bool = False) -> None:
        """Bring ``run.json`` up to date."""
        body = {
            "date": self.date,
            "started": self.started,
            "ended": _now() if ended else None,
            "quantkit": quantkit.__version__,
            "code": code_version(),
            "reports": [each.to_dict() for each in self.entries.values()],
            "alerts": [alert.to_dict() for alert in self.alerts],
        }
        write_whole(self.folder / "run.json", json.dumps(body, indent=1, allow_nan=False) + "\n")


def symbol_jobs(symbols: Iterable[str], **parameters: Any) -> list[Job]:
    """One report a symbol; a malformed one becomes a page that says so."""
    wanted = dict.fromkeys(_spelt(str(each).strip()) for each in symbols)
    return [Job("symbol", each, (each,), {"symbol": each, **parameters}) for each in wanted if each]


def _spelt(symbol: str) -> str:
    """As the store spells it, so that its reports come to one file; one that is no symbol stays as it was given."""
    try:
        return check_symbol(symbol)
    except UsageError:
        return symbol


def portfolio_job(desk: Desk, text: str, name: str, date: str, **parameters: Any) -> Job:
    """The report of the holdings in a CSV, valued at the closes known on `date`.

    Raises
    ------
    DataError
        The CSV cannot be read; names the row.
    """
    from quantkit.portfolio.holdings import read_holdings, value_holdings

    rows = read_holdings(text)
    bars = {symbol: desk.history(symbol, period="5d", as_of=date) for symbol in rows.amounts}
    held = value_holdings(
        rows,
        {symbol: float(each["close"].iloc[-1]) for symbol, each in bars.items()},
        {symbol: str(each.attrs["currency"]) for symbol, each in bars.items()},
    )
    return Job("portfolio", name, tuple(held.weights), {"weights": held.weights, "name": name, **parameters})


def render_task(
    *, kind: str, parameters: Mapping[str, Any], provider: Sequence[str], alerts: Mapping[str, Any],
    progress: Progress = silent,
) -> Rendered:  # fmt: skip
    """What a worker runs: the report on the store that its task belongs to."""
    from quantkit.data.market import Market
    from quantkit.desk import Desk
    from quantkit.settings import AlertRules, Settings

    store = store_at_work()
    if store is None:
        raise ComputeError("the worker cannot open the store that the report's data is in")
    progress(0, 1, "rendering")
    settings = Settings.load(provider=list(provider), alerts=AlertRules(**alerts), scheduler="")
    # The store stays open for the next report.
    return render_report(Desk(settings, store, Market(settings, store)), kind, parameters)


def run_batch(
    desk: Desk,
    jobs: Sequence[Job],
    *,
    date: str,
    out: Path,
    fresh: bool = False,
    progress: Progress = silent,
    done: Callable[[Entry], None] = lambda entry: None,
) -> Run:
    """Write the reports of `jobs` for one day, and their index.

    Parameters
    ----------
    desk : Desk
        Its ``compute`` is where they are rendered.
    jobs : sequence of Job
    date : str
        ISO 8601 day.
    out : Path
        The reports' folder; the run writes ``out/<date>``.
    fresh : bool
        Render also what an earlier run has written from the same data, question and version.
    progress : callable
        Told how many are done.
    done : callable
        Told each entry as it ends.

    Returns
    -------
    Run
        A report that could not be written is an entry whose `error` says why, and a page that says it too.
    """
    folder = out / date
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(date, folder)
    before = {} if fresh else _entries(folder / "run.json")
    stems: set[str] = set()
    for job in jobs:
        file = f"{_free(file_stem(job.name), stems)}.html"
        run.entries[job.name] = Entry(job.name, job.kind, "waiting", file)
    run.write()
    progress(0, len(jobs), "")
    with ThreadPoolExecutor(max_workers=IN_FLIGHT, thread_name_prefix="quantkit-report") as askers:
        futures = [askers.submit(_settle, desk, job, run, before.get(job.name)) for job in jobs]
        try:
            for finished, future in enumerate(as_completed(futures), 1):
                entry = future.result()
                run.entries[entry.name] = entry
                run.write()
                done(entry)
                progress(finished, len(jobs), entry.name)
        except BaseException:
            for future in futures:
                future.cancel()
            # What is being rendered is withdrawn, or the end would wait for it.
            desk.compute.close()
            raise
    entries = list(run.entries.values())
    write_whole(folder / "index.html", index_page(date, entries, run.records))
    run.write(ended=True)
    return run


def _settle(desk: Desk, job: Job, run: Run, earlier: Entry | None) -> Entry:
    """Have the report of `job`: from an earlier run that asked the same, or rendered now."""
    began = perf_counter()
    file = run.folder / run.entries[job.name].file
    told: dict[str, Any] = {"name": job.name, "kind": job.kind, "file": file.name}
    try:
        question = _question(desk, job, run.date, run.folder.parent)
        told["asked"] = fingerprint({"report": question, "bars": _state(desk, job)})
        if earlier is not None and (record := _kept(earlier, told["asked"], file)) is not None:
            run.records[job.name] = record
            run.kept += 1
            return earlier
        task = Task(function=render_task, data=(), question=question, fingerprint=told["asked"], keep=False)
        rendered: Rendered = desk.compute.run(task)  # type: ignore[assignment]
    except Cancelled:
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, QuantkitError) else f"{type(error).__name__}: {error}"
        write_whole(file, failure_page(job.name, run.date, reason))
        return Entry(status="failed", seconds=perf_counter() - began, error=reason, **told)
    write_whole(file, rendered.html)
    write_whole(file.with_suffix(".json"), json.dumps(rendered.record.to_dict(), allow_nan=False) + "\n")
    run.records[job.name] = rendered.record
    return Entry(
        status="done", seconds=perf_counter() - began, fingerprint=rendered.record.fingerprint,
        alerts=len(rendered.record.alerts), **told,
    )  # fmt: skip


def failure_page(name: str, date: str, reason: str) -> str:
    """A page in the place of a report that could not be written."""
    from quantkit.ui.formats import escape

    heading = Html(f"<header><h1>{escape(name)}</h1></header>")
    said = section("No report", notes([reason]), name="failed", lead=f"The report of {date} could not be written.")
    return page(f"{name} · {date}", Html(heading + said))


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def _question(desk: Desk, job: Job, date: str, out: Path) -> dict[str, Any]:
    before = previous_record(out, job.name, date)
    parameters = {**job.parameters, "date": date, "previous": None if before is None else before.to_dict()}
    return {
        "kind": job.kind,
        "parameters": parameters,
        "provider": list(desk.settings.provider),
        "alerts": desk.settings.alerts.model_dump(),
    }


def _state(desk: Desk, job: Job) -> list[Any]:
    """How far the stored bars reach: with new ones, a page of the same day is another one.

    What is not stored yet is fetched here, once: workers then find it in the store.
    """
    ranges = []
    for symbol in dict.fromkeys((*job.symbols, DEFAULT_BENCHMARK)):
        try:
            desk.market.ensure(symbol)
        except QuantkitError:
            if symbol in job.symbols:
                raise
        found = desk.store.bar_range(symbol)
        ranges.append(None if found is None else [found[0].isoformat(), found[1].isoformat(), found[2]])
    return ranges


def _entries(path: Path) -> dict[str, Entry]:
    try:
        return {each["name"]: Entry.from_dict(each) for each in json.loads(path.read_text())["reports"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _kept(entry: Entry, asked: str, file: Path) -> Record | None:
    if entry.status != "done" or (entry.asked, entry.file) != (asked, file.name) or not file.is_file():
        return None
    try:
        return read_record(file.with_suffix(".json"))
    except DataError:
        return None


def _free(stem: str, taken: set[str]) -> str:
    """`stem`, or with a number where two names come to the same file; ``index`` is the index's."""
    taken.add("index")
    found, at = stem, 2
    while found.lower() in taken:
        found, at = f"{stem}-{at}", at + 1
    taken.add(found.lower())
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
