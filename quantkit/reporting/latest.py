"""The alerts of the latest run, for faces that show them without making a report: the API, a dashboard's header."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from quantkit.core.results import Result
from quantkit.reporting.alerts import Alert

__all__ = ["LatestAlerts", "latest_alerts"]


@dataclass(frozen=True, slots=True, eq=False)
class LatestAlerts(Result):
    """What the latest run found.

    Attributes
    ----------
    date : str
        Day of that run, ISO 8601; empty where there is none.
    alerts : tuple of Alert
    """

    date: str
    alerts: tuple[Alert, ...]

    def in_words(self) -> str:
        """One line for a header; empty without alerts."""
        if not self.alerts:
            return ""
        symbols = dict.fromkeys(each.symbol for each in self.alerts)
        return f"{len(self.alerts)} alert{'s' if len(self.alerts) > 1 else ''}, {self.date}: {', '.join(symbols)}"


def latest_alerts(folder: Path) -> LatestAlerts:
    """The alerts of the newest run under the reports' `folder` (``settings.home / "reports"``).

    A run that cannot be read is passed over for the one before it.
    """
    for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]/run.json"), reverse=True):
        try:
            found = json.loads(path.read_text())
            return LatestAlerts(str(found["date"]), tuple(Alert.from_dict(each) for each in found["alerts"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return LatestAlerts("", ())
