"""What the frame around every page shows: the screens there are, the reports there are, and where they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tornado.escape import url_escape

__all__ = ["SCREENS", "Screen", "frame", "latest_reports", "screens"]

#: Alerts that the header lists; the rest are on the run's own page.
ALERTS_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Screen:
    """One dashboard: the stem of its notebook, its tab, and one line about it."""

    name: str
    title: str
    line: str


SCREENS: Final = (
    Screen("stock", "Stock", "Candles, volume and the next step's forecast, with the symbols you watch beside them."),
    Screen(
        "predictions", "Predictions", "One to five steps ahead, each model beside its record against the naive one."
    ),
    Screen("risk", "Risk", "Volatility, value at risk and drawdowns, with the tests that say whether to believe them."),
    Screen(
        "portfolio",
        "Portfolio",
        "The efficient frontier, the weights you choose on it, and how they did out of sample.",
    ),
)


def screens(folder: Path) -> list[Screen]:
    """The dashboards that exist in `folder`: the known ones in their order, then any other by name."""
    stems = {path.stem for path in folder.glob("*.ipynb")}
    known = [screen for screen in SCREENS if screen.name in stems]
    others = sorted(stems - {screen.name for screen in SCREENS})
    return known + [Screen(name, name.replace("_", " ").replace("-", " ").capitalize(), "") for name in others]


def latest_reports(folder: Path, limit: int | None = None) -> list[dict[str, str]]:
    """The HTML reports under `folder`, newest first, each with its path, name and day."""
    from datetime import UTC, datetime

    found = []
    for path in folder.rglob("*.html") if folder.is_dir() else ():
        try:
            found.append((path.stat().st_mtime, path.relative_to(folder).as_posix()))
        except OSError:
            continue
    found.sort(reverse=True)
    return [
        {
            "path": url_escape(name, plus=False).replace("%2F", "/"),
            "name": name.removesuffix(".html"),
            "day": datetime.fromtimestamp(when, UTC).date().isoformat(),
        }
        for when, name in found[:limit]
    ]


def frame(
    dashboards: Path,
    *,
    reports: Path | None = None,
    api_docs: str | Path | None = None,
    watchlist: tuple[str, ...] = (),
) -> dict[str, Any]:
    """What the templates know as ``frame``: ``screens``, ``reports``, ``alerts``, ``api_docs`` and ``watchlist``."""
    return {
        "screens": [asdict(screen) for screen in screens(dashboards)],
        "reports": latest_reports(reports, 5) if reports is not None else [],
        "alerts": _alerts(reports) if reports is not None else None,
        "api_docs": _written(api_docs) if isinstance(api_docs, Path) else api_docs,
        "watchlist": list(watchlist),
    }


def _alerts(reports: Path) -> dict[str, Any] | None:
    """What the latest run of reports found, for the header; None where it found nothing."""
    if not any(reports.glob("*/run.json")):
        return None
    from quantkit.reporting.latest import latest_alerts

    latest = latest_alerts(reports)
    if not latest.alerts:
        return None
    rows = [{"symbol": each.symbol, "title": each.title, "said": each.said} for each in latest.alerts]
    return {"date": latest.date, "count": len(rows), "rows": rows[:ALERTS_SHOWN], "words": latest.in_words()}


def _written(file: Path) -> str | None:
    """What `file` holds; None while it is not there."""
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
