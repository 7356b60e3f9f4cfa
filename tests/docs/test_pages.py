"""What the documentation says is true: its code runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import doctest
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
import typer
import yaml
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from quantkit import Desk
from quantkit.cli import app
from quantkit.core import registry
from quantkit.core.indicators import INDICATORS
from quantkit.forecast import FORECASTERS, VOLATILITY_MODELS
from quantkit.portfolio import COVARIANCES, EXPECTED_RETURNS, OBJECTIVES
from quantkit.risk import VAR_METHODS, coverage, measures, relative
from quantkit.settings import Settings
from tests.integration.api_server import serving

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WRITTEN_BY_THE_BUILD = (DOCS / "lessons", DOCS / "api" / "generated")
SOURCES = sorted(
    path
    for suffix in ("*.md", "*.rst")
    for path in DOCS.rglob(suffix)
    if not path.is_relative_to(DOCS / "_templates") and not any(map(path.is_relative_to, WRITTEN_BY_THE_BUILD))
)
PAGES = [path for path in SOURCES if path.suffix == ".md"] + [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

#: What takes seconds of processor time is run by `make soak`, and by `make test` only read.
QUICK_COMMANDS = {"symbols", "quote", "history", "data"}
QUICK_ENDPOINTS = {"/price", "/history", "/leaderboard"}
SLOW_PAGES = {ROOT / "README.md"}
#: What runs until it is stopped, sends mail, or works for minutes.
NEVER_RUN = {"up", "dashboard", "api", "collect", "report", "survey", "doctor", "leaderboard"}


class Block(NamedTuple):
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str


@cache
def blocks() -> tuple[Block, ...]:
    markdown = MarkdownIt().enable("table")
    return tuple(
        Block(page, token.map[0] + 1, token.info.strip(), token.content)
        for page in PAGES
        for token in markdown.parse(page.read_text())
        if token.type == "fence"
    )


def with_code(*languages: str) -> list[Any]:
    pages = dict.fromkeys(block.page for block in blocks() if block.language in languages)
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with the files that the pages speak of, and a home that all pages share."""
    folder = tmp_path_factory.mktemp("docs")
    with Desk.open(home=folder / "home") as desk:
        desk.history("AAPL", period="max").to_csv(folder / "prices.csv")
    (folder / "holdings.csv").write_text("symbol,shares\nAAPL,10\nMSFT,5\n")
    return folder


@pytest.fixture(autouse=True)
def at_home(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("QUANTKIT_HOME", str(place / "home"))
    # What a page adds to a table is gone with its test.
    for table in registry._TABLES:
        monkeypatch.setattr(table, "_choices", dict(table._choices))
        monkeypatch.setattr(table, "own", dict(table.own))


# Code


@pytest.mark.parametrize("page", [each for each in with_code("python", "pycon") if each.values[0] not in SLOW_PAGES])
def test_python_runs(page: Path) -> None:
    run_python(page)


@pytest.mark.soak
@pytest.mark.parametrize("page", [each for each in with_code("python") if each.values[0] in SLOW_PAGES])
def test_python_that_takes_longer_runs(page: Path) -> None:
    run_python(page)


def run_python(page: Path) -> None:
    """Every block of a page in turn, in one namespace; what stands behind ``>>>`` is compared with what comes."""
    names: dict[str, Any] = {"__name__": "__page__"}
    options = doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
    for block in blocks():
        if block.page != page:
            continue
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        elif block.language == "pycon":
            test = doctest.DocTestParser().get_doctest(block.text, names, page.name, str(page), block.line)
            said: list[str] = []
            doctest.DocTestRunner(verbose=False, optionflags=options).run(test, out=said.append, clear_globs=False)
            assert not said, "".join(said)


def test_calls_of_desk_in_readme_bind() -> None:
    """README's forecasts take too long to be made here; that each call could be made is seen from its arguments."""
    text = "\n".join(block.text for block in blocks() if block.page in SLOW_PAGES and block.language == "python")
    calls = re.findall(r"^desk\.(\w+)(\(.*\))$", text, re.M)
    assert len(calls) >= 4
    for method, arguments in calls:
        bind = inspect.signature(getattr(Desk, method)).bind
        eval(f"bind(None, {arguments[1:]}", {"bind": bind})


class Line(NamedTuple):
    """One command of a shell block: what it sets, and its words."""

    page: Path
    sets: dict[str, str]
    words: list[str]


def shell_lines() -> Iterator[Line]:
    for block in blocks():
        if block.language in ("sh", "bash", "console"):
            for text in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(text.removeprefix("$ "), comments=True)
                sets = {}
                while words and re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", words[0]):
                    name, _, sets[name] = words.pop(0).partition("=")
                if words:
                    yield Line(block.page, sets, words)


def test_settings_before_commands_exist() -> None:
    known = {f"QUANTKIT_{name.upper()}" for name in Settings.model_fields}
    known |= {"ALPHAVANTAGE_API_KEY", "MASSIVE_API_KEY", "POLYGON_API_KEY"}
    named = {name for line in shell_lines() for name in line.sets if name.startswith("QUANTKIT_") or "API_KEY" in name}
    assert named
    assert named <= known


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    asked = {word for line in shell_lines() if line.words[0] == "make" for word in line.words[1:]}
    asked = {word for word in asked if not word.startswith("-") and "=" not in word}
    assert {"run", "test"} <= asked <= targets


def test_commands_parse() -> None:
    lines = [line for line in shell_lines() if Path(line.words[0]).name == "quantkit"]
    assert len(lines) > 20
    for line in lines:
        command, arguments = found_command(line.words[1:])
        try:
            command.make_context(command.name, list(arguments)).close()
        except Exception as error:
            pytest.fail(f"{line.page.name}: {' '.join(line.words)}: {error!r}")


def found_command(words: list[str]) -> tuple[Any, list[str]]:
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        if words[0].startswith("-"):
            break
        command, words = command.commands[words[0]], words[1:]
    return command, words


def is_quick(line: Line) -> bool:
    return line.words[1] in QUICK_COMMANDS or "drift" in line.words


def test_quick_commands_run() -> None:
    run_commands(is_quick)


@pytest.mark.soak
def test_commands_run() -> None:
    run_commands(lambda line: line.words[1] not in NEVER_RUN)


def run_commands(chosen: Callable[[Line], bool]) -> None:
    ran = 0
    for line in shell_lines():
        if Path(line.words[0]).name == "quantkit" and line.words[1] not in NEVER_RUN and chosen(line):
            found = CliRunner().invoke(app, line.words[1:])
            assert found.exit_code == 0, f"{line.page.name}: {' '.join(line.words)}: {found.output} {found.exception!r}"
            ran += 1
    assert ran > 5


@pytest.fixture
def client(place: Path) -> Iterator[httpx.Client]:
    with Desk.open() as desk, serving(desk) as client:
        yield client


def test_quick_requests_are_answered(client: httpx.Client) -> None:
    send_requests(client, lambda path: path in QUICK_ENDPOINTS)


@pytest.mark.soak
def test_requests_are_answered(client: httpx.Client) -> None:
    send_requests(client, lambda path: path != "/stream")


def send_requests(client: httpx.Client, chosen: Callable[[str], bool]) -> None:
    """What the curl lines ask of port 8000, asked of a server here."""
    sent = 0
    for line in shell_lines():
        address = next((word for word in line.words if word.startswith("http://127.0.0.1:8000")), "")
        path = urlsplit(address).path
        if line.words[0] == "curl" and address and chosen(path):
            body = json.loads(line.words[line.words.index("-d") + 1]) if "-d" in line.words else None
            answer = client.request("POST" if body else "GET", address.removeprefix("http://127.0.0.1:8000"), json=body)
            assert answer.status_code in (200, 202), f"{line.page.name}: {address}: {answer.text}"
            sent += 1
    assert sent > 3


def test_configuration_blocks_are_usable(place: Path) -> None:
    seen = set()
    for block in blocks():
        if block.language == "toml":
            assert set(tomllib.loads(block.text)) <= set(Settings.model_fields)
            (place / "quantkit.toml").write_text(block.text)
            Settings.load()
            (place / "quantkit.toml").unlink()
        elif block.language == "yaml":
            assert yaml.safe_load(block.text)
        elif block.language == "json":
            assert json.loads(block.text)
        seen.add(block.language)
    assert {"toml", "yaml", "json"} <= seen


# Links


def test_every_page_is_in_a_toctree() -> None:
    reached, ahead = set(), [DOCS / "index.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        assert page.exists(), f"a toctree names {page.relative_to(ROOT)}, which is not there"
        reached.add(page)
        ahead += toctree(page)
    assert {page.relative_to(ROOT) for page in SOURCES} == {page.relative_to(ROOT) for page in reached}


def toctree(page: Path) -> Iterator[Path]:
    """Pages that the toctrees of `page` name; notebooks and API pages are there only once the site is built."""
    fence = r"^```\{toctree\}\n(.*?)^```" if page.suffix == ".md" else r"^\.\. toctree::\n((?:(?:   .*)?\n)*)"
    for found in re.findall(fence, page.read_text(), re.M | re.S if page.suffix == ".md" else re.M):
        for entry in map(str.strip, found.splitlines()):
            if not entry or entry.startswith(":"):
                continue
            path = (page.parent / re.sub(r".*<(.*)>", r"\1", entry)).resolve()
            if path.parent in WRITTEN_BY_THE_BUILD:
                assert (ROOT / "notebooks" / f"{path.name}.ipynb").exists() or find_spec(path.name)
            else:
                both = (path.with_name(path.name + ".md"), path.with_name(path.name + ".rst"))
                yield next((each for each in both if each.exists()), path)


def test_relative_links_resolve() -> None:
    markdown = MarkdownIt().enable("table")
    checked = 0
    for page in PAGES:
        for token in markdown.parse(page.read_text()):
            for child in token.children or ():
                target = child.attrGet("href") or child.attrGet("src") or ""
                if target and not urlsplit(str(target)).scheme and not str(target).startswith("#"):
                    path = page.parent / urlsplit(str(target)).path
                    assert path.exists(), f"{page.relative_to(ROOT)} links {target}"
                    checked += 1
    for page in SOURCES:
        for target in re.findall(r":doc:`(?:.*<)?([^`>]+)>?`", page.read_text() if page.suffix == ".rst" else ""):
            at = DOCS / target.lstrip("/") if target.startswith("/") else page.parent / target
            assert any(at.with_name(at.name + suffix).exists() for suffix in (".md", ".rst")), f"{page}: {target}"
    assert checked > 40


# The catalogue is made out of docstrings

VAR_TESTS = re.search(r":only: (.*)", (DOCS / "catalogue" / "var-tests.rst").read_text())[1].split()  # type: ignore[index]


def documented() -> Iterator[Any]:
    tables = {
        "model": FORECASTERS.built_in(), "volatility model": VOLATILITY_MODELS, "VaR method": VAR_METHODS,
        "expected returns": EXPECTED_RETURNS, "covariance": COVARIANCES,
        "objective": {name: each.choose for name, each in OBJECTIVES.items()},
        "indicator": {name: each.definition for name, each in INDICATORS.items()},
        "measure": {name: getattr(measures, name) for name in measures.__all__ if name != "summary"},
        "test of VaR": {name: getattr(coverage, name) for name in VAR_TESTS},
        "relative measure": {name: getattr(relative, name) for name in relative.__all__},
    }  # fmt: skip
    for kind, table in tables.items():
        for name, definition in table.items():
            yield pytest.param(definition, id=f"{kind} {name}")


@pytest.mark.parametrize("definition", list(documented()))
def test_formula_and_source_are_said(definition: Any) -> None:
    text = inspect.getdoc(definition) or ""
    assert re.search(r"``[^`]*[=/(*][^`]*``|::\n\n    ", text), "no formula"
    # The largest and the smallest return have no inventor.
    assert "References\n----------\n" in text or definition in (measures.best, measures.worst), "no source"


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="make docs installs it")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path)]
    built = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert built.returncode == 0, built.stderr[-4000:]
    page = (tmp_path / "catalogue" / "forecasters.html").read_text()
    assert all(f">{name}<" in page for name in FORECASTERS.built_in())
