"""The scripts that every screen needs, as one file in place of some 120.

Voila's front end and the widgets' extensions come as webpack chunks, each fetched on its own. A chunk that is there
before its runtime asks for it is not fetched, so one file that holds them, with the front end's entry at its end,
starts the same code in one request. ``bundle.txt`` names them (``python -m quantkit.serve.bundle`` writes it); a name
that is not installed is left out, and a chunk that is not named is fetched by its runtime as ever: a list that no
longer fits costs time, never a screen.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ENTRY", "LIST", "PATIENCE", "Bundle", "build", "names"]

LIST: Final = Path(__file__).with_name("bundle.txt")
ENTRY: Final = "static/voila.js"
#: Seconds that the front end waits for a kernel to describe its widgets.
PATIENCE: Final = 30
#: After 4 s ipywidgets asks for every widget by itself, which takes longer still, and a view whose model is not there
#: after 2 s is given up for good: on a machine that is busy with others the page would stay blank.
_HASTY: Final = (
    re.compile(rb'("Control comm did not respond in time"\),)4e3(?=\))'),
    re.compile(rb"(;Date\.now\(\)-\w+<)2e3(?=;\)\{if\(void 0!==\(\w+=this\._models\[)"),
)
_SOURCE_MAP: Final = re.compile(rb"^//[#@] sourceMappingURL=.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bundle:
    """One script, its digest, and which of the names could not be found."""

    script: bytes
    digest: str
    missing: tuple[str, ...]

    def compressed(self) -> bytes:
        """The script for the network."""
        return gzip.compress(self.script, 6)


def names() -> list[str]:
    """The chunks' paths under ``/voila/``, in the order in which a browser asked for them."""
    return [line for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def build(static_paths: Sequence[str], labextension_paths: Sequence[str]) -> Bundle:
    """The bundle of what is installed in these folders, the first of which that has a file wins.

    Raises
    ------
    FileNotFoundError
        Voila's own entry script is not there.
    """
    parts, missing = [], []
    for name in names():
        kind, _, rest = name.partition("/")
        file = _find(static_paths if kind == "static" else labextension_paths, rest)
        if file is None:
            missing.append(name)
            continue
        # As a function of its own: a chunk's "use strict" must not become the next one's.
        parts.append(b";(function () {\n" + _text(file) + b"\n}).call(self);\n")
    entry = _find(static_paths, ENTRY.partition("/")[2])
    if entry is None:
        raise FileNotFoundError(f"{ENTRY} is in none of {', '.join(static_paths)}")
    parts.append(_text(entry) + b"\n")
    script = b"".join(parts)
    return Bundle(script, hashlib.sha256(script).hexdigest()[:20], tuple(missing))


def _find(folders: Iterable[str], name: str) -> Path | None:
    return next((path for folder in folders if (path := Path(folder) / name).is_file()), None)


def _text(file: Path) -> bytes:
    # Source maps of a development build are as long as the code itself.
    text = _SOURCE_MAP.sub(b"", file.read_bytes())
    for hasty in _HASTY:
        text = hasty.sub(rb"\g<1>%de3" % PATIENCE, text)
    return text


def record(address: str, *screens: str) -> list[str]:
    """The chunks that a browser fetches for `screens` from a server at `address` that sends no bundle."""
    import shutil
    from urllib.parse import urlsplit

    from playwright.sync_api import sync_playwright

    found: dict[str, None] = {}

    def note(url: str) -> None:
        path = urlsplit(url).path.partition("/voila/")[2]
        if re.fullmatch(r"static/\d+\.voila\.js|labextensions/.+/static/(?!remoteEntry|style).+\.js", path):
            found[path] = None

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        for screen in screens:
            page = browser.new_page()
            page.on("requestfinished", lambda request: note(request.url))
            page.goto(f"{address}voila/render/{screen}.ipynb")
            page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=120_000)
            page.wait_for_timeout(2000)
            page.close()
        browser.close()
    return list(found)


if __name__ == "__main__":
    import sys

    recorded = record(sys.argv[1], *sys.argv[2:])
    LIST.write_text(
        "# python -m quantkit.serve.bundle ADDRESS SCREEN ..., of a server started with QUANTKIT_NO_BUNDLE=1\n"
        + "\n".join(recorded)
        + "\n",
        encoding="utf-8",
    )
    print(f"{LIST}: {len(recorded)} chunks")
