"""Daily reports: one HTML page a symbol or portfolio, with what changed first; batches, alerts, mail.

>>> from quantkit.reporting import symbol_report
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantkit.reporting.contents import portfolio_report, symbol_report
    from quantkit.reporting.render import Rendered, here, render_report

_HOMES = {
    "Rendered": "render", "here": "render", "render_report": "render",
    "portfolio_report": "contents", "symbol_report": "contents",
}  # fmt: skip

__all__ = ["Rendered", "here", "portfolio_report", "render_report", "symbol_report"]


def __getattr__(name: str) -> Any:
    # matplotlib, papermill and nbconvert load with the part that needs them.
    if name in _HOMES:
        return getattr(import_module(f"quantkit.reporting.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'quantkit.reporting' has no attribute {name!r}")
