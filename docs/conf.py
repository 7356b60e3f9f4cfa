"""Sphinx: prose in Markdown, reference pages out of the code, lessons executed while the site is built."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

# A developer's own settings must not decide what the lessons print.
for _name in [name for name in os.environ if name.startswith("QUANTKIT_")]:
    del os.environ[_name]
os.environ["QUANTKIT_HOME"] = tempfile.mkdtemp(prefix="quantkit-docs-")
atexit.register(shutil.rmtree, os.environ["QUANTKIT_HOME"], ignore_errors=True)

import quantkit  # noqa: E402
from quantkit.core.fingerprint import code_version  # noqa: E402
from quantkit.ui.theme import FONT_MONO, FONT_TEXT, THEMES, css_variables  # noqa: E402

project = "quantkit"
author = "the quantkit developers"
version = release = quantkit.__version__

extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "catalogue", "faces", "written",
]  # fmt: skip
templates_path = ["_templates"]
# In a docstring a name between single backticks is an argument or a value.
default_role = "literal"

api_modules = [
    "quantkit.desk", "quantkit.settings", "quantkit.core", "quantkit.data", "quantkit.forecast", "quantkit.risk",
    "quantkit.portfolio", "quantkit.compute", "quantkit.ui.charts", "quantkit.ui.theme",
]  # fmt: skip
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
# A type in a docstring is a word, such as `float`, and no link that has to be unique.
suppress_warnings = ["ref.python"]
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
# Charts are widgets, which need a kernel: here stands what they are, and no script is asked from a CDN to say more.
nb_execution_mode = "cache"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_cache_path = str(HERE.parent / "build" / "lessons" / code_version()[:16])
nb_ipywidgets_js = {}
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_merge_streams = True

html_theme = "pydata_sphinx_theme"
html_title = "quantkit"
html_static_path = ["_static"]
html_css_files = ["quantkit.css"]
html_show_sourcelink = False
html_copy_source = False
html_context = {
    "tokens": [f'html[data-theme="{theme}"] {{ {css_variables(theme)} }}' for theme in THEMES],
    "fonts": {"text": FONT_TEXT, "mono": FONT_MONO},
    "default_mode": "auto",
}
html_theme_options = {
    "logo": {"text": "quantkit"},
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "back_to_top_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
project_copyright = "the quantkit developers, BSD-3-Clause"
