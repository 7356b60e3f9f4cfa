"""A release, rehearsed: ``make release`` builds it from what is committed and tries it where nothing of the clone is.

Nothing is published and no tag is set. In ``dist/`` lie the sdist and the wheel, the wheel made from the sdist, which
proves that complete; the wheel is then installed in an empty environment, with the pinned versions, and has to answer.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
SECONDS_TO_START = 300


def main() -> None:
    version = clean_version()
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        wheel, sdist = build(Path(name), version)
        for file in (sdist, wheel):
            print(f"built      {file.relative_to(ROOT)}, {file.stat().st_size / 1e6:.1f} MB", flush=True)
        try_out(wheel, Path(name), version)
    print(
        f"quantkit {version} could be released; nothing has been published. To release it: date its section in "
        f"CHANGELOG.md, git tag v{version}, push the tag, and upload what is in dist/."
    )


def clean_version() -> str:
    """The version, once it is sure that what is committed is what would be released."""
    changed = _said("git", "status", "--porcelain", cwd=ROOT)
    if changed:
        raise SystemExit(f"not a clean tree; commit or remove first:\n{changed}")
    found = re.search(r'^__version__ = "(.+)"$', (ROOT / "quantkit/__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit("quantkit/__init__.py names no version")
    version = found[1]
    if _said("git", "tag", "--list", f"v{version}", cwd=ROOT):
        raise SystemExit(f"v{version} has been released; raise __version__ in quantkit/__init__.py")
    return version


def build(scratch: Path, version: str) -> tuple[Path, Path]:
    """Wheel and sdist of the last commit, in ``dist/``."""
    source = scratch / "source"
    source.mkdir()
    with (
        subprocess.Popen(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE) as archive,
        tarfile.open(fileobj=archive.stdout, mode="r|") as files,
    ):
        files.extractall(source, filter="data")
    shutil.rmtree(DIST, ignore_errors=True)
    _hatch("sdist", source)
    (sdist,) = DIST.glob("*.tar.gz")
    with tarfile.open(sdist) as files:
        files.extractall(scratch, filter="data")
    _hatch("wheel", scratch / f"quantkit-{version}")
    (wheel,) = DIST.glob("*.whl")
    return wheel, sdist


def _hatch(target: str, source: Path) -> None:
    _run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", DIST, cwd=source)


def try_out(wheel: Path, scratch: Path, version: str) -> None:
    """Install `wheel` where nothing else is, and ask it everything a newcomer asks first."""
    place = scratch / "elsewhere"
    place.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("QUANTKIT_", "PYTHON"))}
    environment["QUANTKIT_HOME"] = str(scratch / "home")
    _run(sys.executable, "-m", "venv", scratch / "venv", cwd=place)
    python, quantkit = scratch / "venv/bin/python", scratch / "venv/bin/quantkit"
    constraints = ("-c", ROOT / "constraints.txt")
    uv = Path(sys.executable).with_name("uv")
    try:
        _run(uv, "pip", "install", "--quiet", "--python", python, *constraints, wheel, cwd=place)
    except SystemExit:  # as in the Makefile: uv does not read every configuration that pip reads
        _run(python, "-m", "pip", "install", "--quiet", *constraints, wheel, cwd=place)
    print("installed  in an empty environment, with the pinned versions", flush=True)

    said = _said(quantkit, "--version", cwd=place, env=environment)
    if said != version:
        raise SystemExit(f"the wheel says that it is {said}, not {version}")
    _run(quantkit, "doctor", cwd=place, env=environment)
    quote = json.loads(_said(quantkit, "quote", "AAPL", "--json", cwd=place, env=environment))
    print(f"answered   quantkit doctor, and quantkit quote AAPL with {quote['close']:.2f}", flush=True)
    up(quantkit, place, environment, quote["close"])


def up(quantkit: Path, place: Path, environment: dict[str, str], close: float) -> None:
    """``quantkit up``: the home page, a screen with its kernel, and the REST API with the same close."""
    process = subprocess.Popen(
        [quantkit, "up", "--port", "0"], cwd=place, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    # Reading its lines has no end of its own.
    watchdog = threading.Timer(SECONDS_TO_START, process.kill)
    watchdog.start()
    try:
        found: dict[str, str] = {}
        lines = []
        while len(found) < 2 and (line := process.stdout.readline()):
            lines.append(line)
            if match := re.search(r"quantkit is at\s+(\S+)", line):
                found["dashboards"] = match[1]
            if match := re.search(r"manual is at\s+(\S+)docs", line):
                found["api"] = match[1]
        if len(found) < 2:
            raise SystemExit(f"quantkit up ended or gave no address:\n{''.join(lines)}")
        page = _fetch(f"{found['dashboards']}voila/render/stock.ipynb?symbol=AAPL")
        if "data-qk-failed" in page or "jupyter-config-data" not in page:
            raise SystemExit("the Stock screen of the installed wheel does not start")
        if json.loads(_fetch(f"{found['api']}price?symbol=AAPL"))["close"] != close:
            raise SystemExit("the REST API and the command line disagree")
    finally:
        watchdog.cancel()
        process.send_signal(signal.SIGINT)
        status = process.wait(60)
    if status:
        raise SystemExit(f"quantkit up ended with {status}")
    print("answered   quantkit up: the Stock screen and the REST API", flush=True)


def _fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=SECONDS_TO_START) as answer:
        return str(answer.read().decode())


def _run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> None:
    _said(*command, cwd=cwd, env=env)


def _said(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


if __name__ == "__main__":
    main()
