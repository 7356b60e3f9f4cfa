"""Pages as PDF, printed by the machine's Chromium where there is one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from quantkit.core.errors import ComputeError, SettingsError

__all__ = ["chromium", "print_pages"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
SECONDS = 60.0


def chromium() -> str:
    """Where a Chromium is.

    Raises
    ------
    SettingsError
        There is none on the path.
    """
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    raise SettingsError(
        f"--pdf needs a Chromium on the path, one of {', '.join(NAMES)}; the HTML prints from any browser"
    )


def print_pages(pages: Iterable[Path]) -> list[Path]:
    """Print each page beside itself, ``AAPL.html`` to ``AAPL.pdf``.

    Raises
    ------
    SettingsError
        There is no Chromium.
    ComputeError
        It did not print one; names it.
    """
    browser = chromium()
    printed = []
    with tempfile.TemporaryDirectory(prefix="quantkit-pdf-", ignore_cleanup_errors=True) as profile:
        for page in pages:
            target = page.with_suffix(".pdf").absolute()
            # The page asks nobody for anything; a sandbox needs rights that a container's root does not have.
            command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
                       f"--user-data-dir={profile}", f"--print-to-pdf={target}", page.absolute().as_uri()]  # fmt: skip
            try:
                ended = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
            except subprocess.TimeoutExpired:
                raise ComputeError(f"{browser} did not print {page} within {SECONDS:.0f} s") from None
            if ended.returncode != 0 or not target.is_file():
                raise ComputeError(f"{browser} did not print {page} (exit code {ended.returncode})")
            printed.append(target)
    return printed
