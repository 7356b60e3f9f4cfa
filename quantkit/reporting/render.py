"""From a notebook with parameters to one HTML file that needs nothing else: papermill, then nbconvert."""

from __future__ import annotations

import sysconfig
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import quantkit
from quantkit.core.errors import DataError, SettingsError
from quantkit.core.imports import spare_grammars
from quantkit.core.results import Result
from quantkit.reporting.contents import MIME
from quantkit.reporting.markup import Html
from quantkit.reporting.record import Record
from quantkit.ui.theme import FONT_MONO, FONT_TEXT, THEMES, ThemeName

if TYPE_CHECKING:
    from quantkit.desk import Desk

__all__ = ["LIMIT", "Rendered", "here", "page", "render_report", "template_path"]

#: Bytes that a report may have: it must fit a mailbox.
LIMIT: Final = 600_000
_TEMPLATES: Final = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True, eq=False)
class Rendered(Result):
    """A report as it is written to a file.

    Attributes
    ----------
    html : str
        The whole document.
    record : Record
        Its figures, for the next report and the index.
    """

    html: str
    record: Record

    def __post_init__(self) -> None:
        size = len(self.html.encode())
        if size > LIMIT:
            raise DataError(f"the report of {self.record.name} is {size:,} bytes long; at most {LIMIT:,} may be")


def template_path(kind: str) -> Path:
    """Where the notebook ``daily_<kind>.ipynb`` is: in a clone, else in the installed wheel's shared data.

    Raises
    ------
    SettingsError
        Neither place has it; names both.
    """
    name = f"daily_{kind}.ipynb"
    places = (
        Path(quantkit.__file__).parents[1] / "reports" / name,
        Path(sysconfig.get_path("data")) / "share" / "quantkit" / "reports" / name,
    )
    for place in places:
        if place.is_file():
            return place
    raise SettingsError(f"no report template at {places[0]} nor at {places[1]}: is quantkit installed completely?")


_rendering = threading.local()


def here() -> Desk:
    """The desk that a report's notebook asks: the one that renders it, else one on the settings in force."""
    from quantkit.desk import Desk

    found: Desk | None = getattr(_rendering, "desk", None)
    return Desk.open() if found is None else found


@contextmanager
def _with(desk: Desk) -> Iterator[None]:
    before = getattr(_rendering, "desk", None)
    _rendering.desk = desk
    try:
        yield
    finally:
        _rendering.desk = before


def render_report(
    desk: Desk,
    kind: str,
    parameters: Mapping[str, Any],
    *,
    notebook: Path | None = None,
    keep: Path | None = None,
    stamp: bool = True,
) -> Rendered:
    """Run the template of `kind` with `parameters` and make its outputs a page.

    Parameters
    ----------
    desk : Desk
        Asked by the notebook through :func:`here`.
    kind : {"symbol", "portfolio"}
    parameters : mapping
        What the notebook's cell tagged ``parameters`` is overridden with; JSON-safe.
    notebook : Path, optional
        Another template of the same form.
    keep : Path, optional
        Where the executed notebook is written.
    stamp : bool
        Whether the page says when it was rendered: all that differs when it is rendered again.

    Raises
    ------
    QuantkitError
        As the notebook's own cells raise it.
    """
    import logging

    spare_grammars()
    from papermill import execute_notebook

    from quantkit.reporting.engine import ENGINE

    logging.getLogger("papermill").setLevel(logging.ERROR)
    with _with(desk):
        executed = execute_notebook(
            str(notebook or template_path(kind)), None if keep is None else str(keep), parameters=dict(parameters),
            engine_name=ENGINE, progress_bar=False, request_save_on_cell_execute=False, kernel_name="python3",
        )  # fmt: skip
    found = [
        output.data[MIME]
        for cell in executed.cells
        for output in cell.get("outputs", ())
        if MIME in output.get("data", {})
    ]
    if len(found) != 1:
        raise DataError(f"the template {notebook or kind} displays {len(found)} records; expected report.kept once")
    record = Record.from_dict(found[0])
    theme: ThemeName = "dark" if parameters.get("theme") == "dark" else "light"
    told = _told(f"{record.name} · {record.date}", theme, stamp)
    html, _ = _exporter().from_notebook_node(executed, resources={"quantkit": told})
    return Rendered(html=html, record=record)


def page(title: str, body: Html, *, theme: ThemeName = "light", stamp: bool = True) -> str:
    """`body` as a page in the same frame as a report: an index, or why there is none."""
    template = _exporter().environment.get_template("page.html.j2")
    return str(template.render(body=str(body), **_told(title, theme, stamp)))


@lru_cache(maxsize=1)
def _exporter() -> Any:
    spare_grammars()
    from nbconvert.exporters import TemplateExporter

    return TemplateExporter(
        template_name="report", extra_template_basedirs=[str(_TEMPLATES)], template_file="index.html.j2",
        file_extension=".html",
    )  # fmt: skip


def _told(title: str, theme: ThemeName, stamp: bool) -> dict[str, Any]:
    line = f"quantkit {quantkit.__version__} · research and education, not investment advice"
    now = datetime.now(UTC).isoformat(timespec="seconds") if stamp else ""
    return {"title": title, "css": style(theme), "version": quantkit.__version__, "version_line": line, "line": line,
            "rendered": now}  # fmt: skip


@lru_cache(maxsize=2)
def style(theme: ThemeName) -> str:
    """The style sheet with the theme's values written out: mail programs do not know custom properties."""
    text = (_TEMPLATES / "report" / "report.css").read_text()
    tokens = THEMES[theme]
    for name, value in asdict(tokens).items():
        if isinstance(value, str):
            text = text.replace(f"var(--{name})", value)
    return text.replace("FONT_TEXT", FONT_TEXT).replace("FONT_MONO", FONT_MONO).strip()
