"""Pages that are written before Sphinx reads: one for each module of the API reference, and the lessons.

autosummary asks for a module by its name and is given the function of the same name where a package has one
(`quantkit.risk.value_at_risk`); a module is meant here, always.
"""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

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


def copy_lessons(app: Sphinx) -> None:
    """Bring the notebooks under the source folder, where Sphinx finds its pages."""
    lessons = Path(app.srcdir) / "lessons"
    lessons.mkdir(exist_ok=True)
    for notebook in sorted((Path(app.srcdir).parent / "notebooks").glob("*.ipynb")):
        shutil.copy2(notebook, lessons / notebook.name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Both are there before Sphinx looks for its pages."""
    app.add_config_value("api_modules", [], "env")
    app.connect("builder-inited", write_pages)
    app.connect("builder-inited", copy_lessons)
    return {"parallel_read_safe": True}
