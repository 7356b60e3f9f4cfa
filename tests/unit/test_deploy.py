"""Files that hosts read: they parse, and every command and setting in them is one that exists."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from quantkit.cli import app as quantkit_app
from quantkit.compute.__main__ import app as compute_app
from quantkit.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
RENDER = yaml.safe_load((ROOT / "render.yaml").read_text())
RAILWAY = json.loads((ROOT / "railway.json").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def shell(command: str) -> list[str]:
    """Words of the quantkit command in a line for a shell, its variables filled in."""
    found = re.search(r"exec (quantkit [^'\"]*?(?:\"\$\w+\"[^'\"]*?)*)['\"]?$", command.strip())
    text = found[1] if found else command
    return shlex.split(re.sub(r"\$\{?(\w+)(?::-[^}]*)?\}?", "1", text.replace('\\"', '"')))


COMMANDS = [
    *(service["command"] for service in COMPOSE["services"].values() if "redis-server" not in service.get("command", ())
      and "command" in service),
    shell(RENDER["services"][0]["startCommand"]),
    shell(RAILWAY["deploy"]["startCommand"].removesuffix("'")),
    shell(json.loads(re.search(r"^CMD (.*)$", DOCKERFILE, re.M)[1])[-1]),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_and_option_exists(command: list[str]) -> None:
    if command[:2] == ["sh", "-c"]:
        command = shell(command[2])
    root, words = (quantkit_app, command[1:]) if command[0] == "quantkit" else (compute_app, command[3:])
    group = typer.main.get_command(root)
    chosen = group.commands[words[0]]
    known = {option for parameter in chosen.params for option in parameter.opts}
    given = {word for word in words[1:] if word.startswith("--")}
    assert given <= known, f"{given - known} of {' '.join(command)}"


def test_every_setting_exists() -> None:
    named = set()
    for service in COMPOSE["services"].values():
        named |= set(service.get("environment", {}))
    named |= {each["key"] for each in RENDER["services"][0]["envVars"]}
    named |= set(re.findall(r"\b(QUANTKIT_[A-Z_]+)", DOCKERFILE))
    ours = {name.removeprefix("QUANTKIT_").lower() for name in named if name.startswith("QUANTKIT_")}
    assert ours
    assert ours <= set(Settings.model_fields)


def test_the_image_runs_as_nobody_in_particular_and_holds_no_secret() -> None:
    assert re.search(r"^USER quantkit$", DOCKERFILE, re.M)
    assert re.search(r"^HEALTHCHECK ", DOCKERFILE, re.M)
    for text in (DOCKERFILE, (ROOT / "compose.yaml").read_text()):
        assert not re.search(r"(TOKEN|PASSWORD|API_KEYS)[=:] *[A-Za-z0-9]{6,}", text)


def test_binders_image_is_built_and_started_by_our_scripts() -> None:
    """repo2docker writes its Dockerfile without a Docker daemon; it says which of our files it has understood."""
    done = subprocess.run(
        [Path(sys.executable).with_name("jupyter-repo2docker"), "--no-build", "--debug", ROOT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    dockerfile = done.stdout + done.stderr
    assert "environment-2epy-2d3-2e11" in dockerfile, "another Python than runtime.txt names"
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile
    steps = ["COPY --chown=0:0 src/ ${REPO_DIR}/", 'pip install --no-cache-dir -r "binder/requirements.txt"',
             "RUN ./binder/postBuild"]  # fmt: skip
    found = [dockerfile.index(step) for step in steps]
    assert found == sorted(found)
    # pip takes an editable path from the folder it runs in, which is the clone, not from the file that names it.
    assert (ROOT / "binder/requirements.txt").read_text().splitlines() == ["-c ../constraints.txt", "-e .[binder]"]
