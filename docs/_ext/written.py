"""Pages that are written before Sphinx reads, one for each module of the API reference, and the lessons.

autosummary asks for a module by its name and is given the function of the same name where a package has one
(`quantkit.risk.value_at_risk`); a module is meant here, always.
"""

from __future__ import annotations

import re
import shutil
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def write_pages(app: Sphinx) -> None:
    """Write ``api/generated``, anew, so that no page outlives its module."""
    folder = Path(app.srcdir) / "api" / "generated"
    wanted = dict(page for name in app.config.api_modules for page in _pages(name))
    for path in folder.glob("*.rst"):
        if path.stem not in wanted:
            path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        path = folder / f"{name}.rst"
        # A page that says the same keeps its time, and Sphinx what it has made of it.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _pages(name: str) -> list[tuple[str, str]]:
    """The page of a module, and those of the modules under it."""
    module = import_module(name)
    lines = [name, "=" * len(name), "", f".. automodule:: {name}"]
    below = [f"{name}.{each.name}" for each in iter_modules(getattr(module, "__path__", ())) if each.name[0] != "_"]
    if below:
        lines += ["   :no-members:", "", ".. toctree::", "   :maxdepth: 1", "", *(f"   {each}" for each in below)]
    return [(name, "\n".join([*lines, ""])), *(page for each in below for page in _pages(each))]


def mend_fields(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Two things that napoleon leaves: names that end in ``_``, a link to reStructuredText, and two names in one field.

    Of several names the last one keeps the text.
    """
    mended: list[str] = []
    for line in lines:
        field = re.match(r":(ivar|vartype|param|type) (\w+(?:, \w+)*):(.*)", line)
        if field is None:
            mended.append(line)
            continue
        kind, names, text = field.groups()
        *others, last = (re.sub("_$", r"\_", each) for each in names.split(", "))
        mended += [f":{kind} {each}:{text if kind.endswith('type') else ''}" for each in others]
        mended.append(f":{kind} {last}:{text}")
    lines[:] = mended


def copy_lessons(app: Sphinx) -> None:
    """Bring the notebooks under the source folder, where Sphinx finds its pages."""
    lessons = Path(app.srcdir) / "lessons"
    lessons.mkdir(exist_ok=True)
    for notebook in sorted((Path(app.srcdir).parent / "notebooks").glob("*.ipynb")):
        shutil.copy2(notebook, lessons / notebook.name)


def say_where_charts_are(app: Sphinx, doctree: nodes.document) -> None:
    """A widget needs a kernel; without one all that there is of it is the list of its children."""
    for block in list(doctree.findall(nodes.literal_block)):
        if re.match(r"\w+\(children=", block.astext()):
            said = nodes.emphasis(text="A chart stands here when the notebook is opened in JupyterLab.")
            block.replace_self(nodes.paragraph("", "", said))


def setup(app: Sphinx) -> dict[str, bool]:
    """The pages are there before Sphinx looks for them; fields are mended once napoleon has made them."""
    app.add_config_value("api_modules", [], "env")
    app.connect("builder-inited", write_pages)
    app.connect("builder-inited", copy_lessons)
    app.connect("autodoc-process-docstring", mend_fields, priority=900)
    app.connect("doctree-read", say_where_charts_are)
    return {"parallel_read_safe": True}
