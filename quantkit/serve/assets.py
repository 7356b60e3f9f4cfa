"""The style sheet that every page links to: tokens, frame and components in one file.

``python -m quantkit.serve.assets`` writes it, and so does a server that starts in a clone; a test compares the committed
file with what the sources give, so that an installed wheel never carries a stale one.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from quantkit.ui.theme import FONT_MONO, FONT_TEXT, css_variables

__all__ = ["STYLESHEET", "refresh", "stylesheet"]

STYLESHEET: Final = Path(__file__).parent / "share/jupyter/voila/templates/quantkit/static/quantkit.css"

JUPYTER_VARIABLES: Final = """\
html {
  --jp-ui-font-family: var(--qk-font-text); --jp-content-font-family: var(--qk-font-text); --jp-code-font-family: var(--qk-font-mono);
  --jp-ui-font-size0: 11px; --jp-ui-font-size1: 13px; --jp-ui-font-size2: 15px; --jp-code-font-size: 12px;
  --jp-content-font-size1: 13px; --jp-content-line-height: 1.45; --jp-border-width: 1px; --jp-border-radius: 4px;
  --jp-layout-color0: var(--qk-background); --jp-layout-color1: var(--qk-panel); --jp-layout-color2: var(--qk-raised);
  --jp-layout-color3: var(--qk-line); --jp-layout-color4: var(--qk-neutral);
  --jp-ui-font-color0: var(--qk-text); --jp-ui-font-color1: var(--qk-text); --jp-ui-font-color2: var(--qk-muted);
  --jp-ui-font-color3: var(--qk-muted); --jp-content-font-color0: var(--qk-text); --jp-content-font-color1: var(--qk-text);
  --jp-content-font-color2: var(--qk-muted); --jp-content-font-color3: var(--qk-muted);
  --jp-border-color0: var(--qk-line); --jp-border-color1: var(--qk-line); --jp-border-color2: var(--qk-line);
  --jp-border-color3: var(--qk-line); --jp-inverse-layout-color4: var(--qk-neutral);
  --jp-brand-color0: var(--qk-accent); --jp-brand-color1: var(--qk-accent); --jp-brand-color2: var(--qk-accent);
  --jp-brand-color3: var(--qk-accent); --jp-accent-color1: var(--qk-accent); --jp-success-color1: var(--qk-up);
  --jp-info-color1: var(--qk-forecast); --jp-warn-color1: var(--qk-accent); --jp-error-color1: var(--qk-down);
}
"""
"""What the style sheets of ipywidgets and ipydatagrid ask for, which a JupyterLab theme would define."""


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
        JUPYTER_VARIABLES,
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
    except PermissionError:
        return False
    return True


if __name__ == "__main__":
    print(f"{STYLESHEET}: {'written' if refresh() else 'up to date'}")
