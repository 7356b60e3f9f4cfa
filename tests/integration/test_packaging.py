import re
import subprocess
import sys
import zipfile
from itertools import chain
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_wheel_carries_dashboards_sample_and_page_template(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        r"quantkit/data/sample/.*\.parquet$",
        r"quantkit/data/sample/SOURCES\.md$",
        r"quantkit/serve/share/jupyter/voila/templates/quantkit/index\.html\.j2$",
        r"quantkit/ui/style\.css$",
        r"\.data/data/share/quantkit/dashboards/stock\.ipynb$",
        r"\.data/data/share/quantkit/reports/",
    ):
        assert any(re.search(wanted, name) for name in names), wanted


def test_constraints_pin_every_version_and_name_no_address():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert len(lines) > 100
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[^\s;/]+( ; .*)?", line), line


def test_what_pyproject_names_is_pinned():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}

    def plain(requirement: str) -> str:
        return re.sub(r"[-_.]+", "-", re.split(r"[ ;\[<>=]", requirement)[0]).lower()

    assert [name for name in wanted if plain(name) not in {plain(each) for each in pinned}] == []


def test_the_conda_environment_installs_the_project_with_the_same_constraints(tmp_path):
    wanted = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert "python=3.11" in wanted["dependencies"]
    (pip,) = [each["pip"] for each in wanted["dependencies"] if isinstance(each, dict)]
    assert pip == ["-c constraints.txt", "-e ."]
    # Everything is installed already, so a resolver that agrees has nothing to fetch.
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("\n".join(pip).replace("constraints.txt", str(ROOT / "constraints.txt")))
    done = subprocess.run(
        [Path(sys.executable).with_name("uv"), "pip", "install", "--dry-run", "--offline", "--python", sys.executable,
         "-r", str(requirements)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    changed = [line for line in done.stderr.splitlines() if line.startswith((" + ", " - ")) and "quantkit" not in line]
    assert changed == []


def test_no_file_names_a_registry_or_a_machine():
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    foreign = re.compile(rb"index-url\s*=|find-links|/root/|" + b"files.python" + b"hosted")
    suffixes = (".py", ".toml", ".txt", ".yml", ".md", ".ipynb", ".sh", "")
    named = [
        name.decode()
        for name in files
        if name and (ROOT / name.decode()).suffix in suffixes and (ROOT / name.decode()).is_file()
        and name != b"tests/integration/test_packaging.py" and foreign.search((ROOT / name.decode()).read_bytes())
    ]  # fmt: skip
    assert named == []
