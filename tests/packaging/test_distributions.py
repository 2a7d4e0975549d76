"""What people install: sdist and wheel built from the tracked files, then used with the source out of the way."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2]
ROOMS = ("operators", "hooks", "plugins", "dags")
DATA = {
    "airlock/py.typed",
    "airlock/dags/.airflowignore",
    "airlock/dags/digits/expectations.json",
    "airlock/dags/digits/gates.json",
    "airlock/plugins/.airflowignore",
    "airlock/data/report.html",
    "airlock/deployment/package.schema.json",
    "airlock/steps/schemas/spec.schema.json",
    "airlock/steps/schemas/result.schema.json",
    "airlock/stores/migrations/script.py.mako",
    "airlock/stores/migrations/versions/r0001_stores.py",
    "airlock/stores/migrations/versions/r0002_gates.py",
}
NOTHING = """
import json, subprocess, sys
from airlock.settings import settings
from airlock.stores.artifacts import open_artifacts
store = open_artifacts(settings().artifacts)
run = {"dag": "d", "run": "r", "task": "t", "attempt": 1}
spec = {"airlock_spec": 1, "step": "nothing", "inputs": {"value": 7}, "run": run, "result": "results/1.json"}
store.replace_document("specs/1.json", json.dumps(spec).encode())
subprocess.run([sys.executable, "-m", "airlock.steps", "nothing", "--spec", "specs/1.json"], check=True)
print(store.document("results/1.json").decode())
"""
DAGS = """
import json
from pathlib import Path
import airlock.dags
from airflow.dag_processing.dagbag import DagBag
folder = Path(airlock.dags.__file__).parent
bag = DagBag(str(folder))
print(json.dumps([str(folder), sorted(bag.dags), bag.import_errors]))
"""
IMPORTS = """
import json, sys
import airlock.operators.model, airlock.operators.pods.twins, airlock.hooks.git, airlock.plugins.airlock_plugin
from importlib.metadata import entry_points
loaded = [m.__file__ for name, m in sys.modules.items() if name.split(".")[0] == "airlock"]
groups = ("console_scripts", "airflow.plugins", "apache_airflow_provider")
entries = [e.load().__module__ for g in groups for e in entry_points(group=g) if e.value.startswith("airlock.")]
print(json.dumps([loaded, entries]))
"""


def tracked() -> list[str]:
    """Every file that git tracks and that is there."""
    listing = subprocess.run(["git", "-C", str(SOURCE), "ls-files", "-z"], capture_output=True, text=True, check=True)
    return [name for name in listing.stdout.split("\0") if name and os.path.lexists(SOURCE / name)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both in a copy of the tracked files, so that the source tree stays as it is."""
    folder = tmp_path_factory.mktemp("build")
    for name in tracked():
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (SOURCE / name).is_symlink():
            target.symlink_to((SOURCE / name).readlink())
        else:
            target.write_bytes((SOURCE / name).read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), "."]
    ended = subprocess.run(command, cwd=folder / "source", capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder / "dist"


@pytest.fixture(scope="module")
def files(built: Path) -> dict[str, set[str]]:
    """Names in each distribution, without the sdist's leading folder."""
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    with tarfile.open(sdist) as archive:
        members = [member for member in archive.getmembers() if not member.isdir()]
    assert all(member.isfile() for member in members), "A link would lead out of the archive."
    with zipfile.ZipFile(wheel) as archive:
        return {"wheel": set(archive.namelist()), "sdist": {m.name.partition("/")[2] for m in members}}


class TestContents:
    @pytest.mark.parametrize("kind", ["sdist", "wheel"])
    def test_every_tracked_file_of_the_package_is_in_it(self, files: dict[str, set[str]], kind: str) -> None:
        package = {name for name in tracked() if name.startswith("airlock/")} - {f"airlock/{room}" for room in ROOMS}
        package |= {f"airlock/{name}" for name in tracked() if name.partition("/")[0] in ROOMS}
        assert {name for name in files[kind] if name.startswith("airlock/")} == package
        assert package >= DATA

    def test_the_wheel_holds_the_package_and_nothing_else(self, files: dict[str, set[str]]) -> None:
        others = {name.partition("/")[0] for name in files["wheel"]} - {"airlock"}
        assert [name.endswith(".dist-info") for name in others] == [True], others

    def test_both_hold_the_licence(self, files: dict[str, set[str]]) -> None:
        assert "LICENSE" in files["sdist"]
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in files["wheel"])


class Installed:
    """An environment that holds the wheel and sees the dependencies of this one, but not its editable Airlock."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        self.empty = folder / "empty"
        self.empty.mkdir()
        venv.create(folder / "venv")
        self.python = folder / "venv" / "bin" / "python"
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(self.python),
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
        ]
        subprocess.run([*pip, str(wheel)], check=True)
        (here,) = (folder / "venv").glob("lib/*/site-packages")
        # A folder named in a .pth file is searched, its own .pth files are not read: no way back to the source.
        (here / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(self, *command: str) -> str:
        """Run a command of the environment from an empty folder; return what it printed last."""
        environment = {"PATH": "", "AIRFLOW_HOME": str(self.folder), "AIRLOCK_HOME": str(self.folder / "home")}
        ended = subprocess.run(command, cwd=self.empty, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    (wheel,) = built.glob("*.whl")
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


class TestInstalled:
    def python(self, installed: Installed, program: str) -> str:
        return installed.run(str(installed.python), "-c", program).splitlines()[-1]

    def test_everything_comes_from_the_wheel(self, installed: Installed) -> None:
        loaded, entries = json.loads(self.python(installed, IMPORTS))
        assert len(loaded) > 20
        assert [path for path in loaded if not path.startswith(str(installed.folder))] == []
        assert sorted(entries) == ["airlock.cli", "airlock.plugins.airlock_plugin", "airlock.provider"]

    def test_its_dags_parse(self, installed: Installed) -> None:
        folder, dags, errors = json.loads(self.python(installed, DAGS))
        assert folder.startswith(str(installed.folder))
        assert errors == {}
        cases, parts = ("digits", "fashion", "news"), ("data", "model", "deployment")
        whole = [f"{case}_{part}" for case in cases for part in parts]
        assert dags == sorted([*whole, "digits_revision"])

    def test_the_command_line_answers(self, installed: Installed) -> None:
        said = installed.run(str(installed.python.with_name("airlock")), "--help")
        assert all(command in said for command in ("up", "down", "demo", "ledger"))

    def test_a_step_runs(self, installed: Installed) -> None:
        result = json.loads(self.python(installed, NOTHING))
        assert (result["status"], result["outputs"]) == ("succeeded", {"value": 7})
