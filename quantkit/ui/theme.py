"""Design tokens: the one place where colours, type and spacing are written down.

The page template's CSS variables are generated from here, the bqplot charts read the same tokens, and so do reports.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final, Literal

__all__ = ["DARK", "FONT_MONO", "FONT_TEXT", "LIGHT", "THEMES", "ThemeName", "Tokens", "css_variables"]

ThemeName = Literal["dark", "light"]

FONT_TEXT: Final = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
FONT_MONO: Final = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'


@dataclass(frozen=True, slots=True)
class Tokens:
    """Colours of one theme; text tokens keep 4.5:1 on `background` and on `panel`."""

    background: str
    panel: str
    raised: str
    line: str
    grid: str
    text: str
    muted: str
    up: str
    down: str
    accent: str
    forecast: str
    neutral: str
    series: tuple[str, ...]
    """For lines beside each other that mean no rise, fall or forecast."""


DARK: Final = Tokens(
    background="#0b0e14", panel="#12161f", raised="#1a2130", line="#1f2633", grid="#1a2029", text="#d7dde8",
    muted="#8a94a6", up="#26a69a", down="#ef5350", accent="#ffb000", forecast="#5aa9e6", neutral="#5b6880",
    series=("#e6c35a", "#b48ead", "#6fc3df", "#d08770", "#a3be8c", "#9d8cff"),
)  # fmt: skip

LIGHT: Final = Tokens(
    background="#f4f6f9", panel="#ffffff", raised="#e9eef5", line="#d5dbe5", grid="#e8ecf2", text="#1a2230",
    muted="#566174", up="#00796b", down="#c62828", accent="#8a5a00", forecast="#1565c0", neutral="#8792a5",
    series=("#8a5a00", "#7b3f98", "#00728f", "#a8431f", "#3f7a1a", "#5a48c0"),
)  # fmt: skip

THEMES: Final[dict[ThemeName, Tokens]] = {"dark": DARK, "light": LIGHT}


def css_variables(theme: ThemeName) -> str:
    """The tokens of `theme` as CSS custom properties, ``--qk-background: #0b0e14; …``."""
    colours = {name: value for name, value in asdict(THEMES[theme]).items() if isinstance(value, str)}
    return " ".join(f"--qk-{name}: {value};" for name, value in colours.items())
