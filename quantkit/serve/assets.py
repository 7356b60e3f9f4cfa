"""The style sheet that every page links to: tokens, frame and components in one file.

``python -m quantkit.serve.assets`` writes it (and ``dashboards/voila.json``), and so does a server that starts in a
clone; a test compares the committed files with what the sources give, so that a wheel never carries stale ones.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from quantkit.ui.theme import FONT_MONO, FONT_TEXT, css_variables

__all__ = ["STYLESHEET", "refresh", "stylesheet"]

STYLESHEET: Final = Path(__file__).parent / "share/jupyter/voila/templates/quantkit/static/quantkit.css"


def stylesheet() -> str:
    """The style sheet, from the tokens, the frame's rules and the components' rules."""
    fonts = f"--qk-font-text: {FONT_TEXT}; --qk-font-mono: {FONT_MONO};"
    themes = (
        f"html {{ color-scheme: dark; {fonts} {css_variables('dark')} }}\n"
        f'html[data-theme="light"] {{ color-scheme: light; {css_variables("light")} }}\n'
    )
    components = files("quantkit.ui").joinpath("style.css")
    parts = [
        "/* Written by python -m quantkit.serve.assets from theme.py, frame.css and ui/style.css: edit those. */\n",
        themes,
        files("quantkit.serve").joinpath("frame.css").read_text(encoding="utf-8"),
        components.read_text(encoding="utf-8") if components.is_file() else "",
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def refresh() -> bool:
    """Write the style sheet if its sources have changed, and say whether it was written.

    A folder that cannot be written to (a system-wide install) keeps the file it came with.
    """
    text = stylesheet()
    try:
        if STYLESHEET.is_file() and STYLESHEET.read_text(encoding="utf-8") == text:
            return False
        STYLESHEET.write_text(text, encoding="utf-8")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    from quantkit.serve.config import dashboards_folder, voila_json

    (dashboards_folder() / "voila.json").write_text(voila_json(dashboards_folder()), encoding="utf-8")
    print(f"{STYLESHEET}: {'written' if refresh() else 'up to date'}")
