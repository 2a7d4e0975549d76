"""The rules that the Dockerfiles must keep."""

import importlib.util
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

IMAGES = ("airflow", "step", "server")
BASE = "python:3.11-slim-bookworm"
ROOT = Path(__file__).parents[2]


def instructions(image: str) -> list[tuple[str, str]]:
    """Return (instruction, rest) of a Dockerfile, continued lines joined."""
    text = (ROOT / "deploy/images" / image / "Dockerfile").read_text()
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.M)).splitlines()
    return [(head.upper(), rest.strip()) for head, _, rest in (line.partition(" ") for line in lines if line.strip())]


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.fixture
def tool() -> ModuleType:
    """Give ``deploy/images/requirements.py``."""
    spec = importlib.util.spec_from_file_location("requirements", ROOT / "deploy/images/requirements.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("image", IMAGES)
class TestEveryImage:
    def test_starts_from_the_pinned_base(self, image: str) -> None:
        bases = [rest.split()[0] for head, rest in instructions(image) if head == "FROM"]
        assert set(bases) == {BASE}

    def test_runs_as_an_ordinary_user_with_a_number(self, image: str) -> None:
        users = [rest for head, rest in instructions(image) if head == "USER"]
        assert users[-1] == "10001:10001", "Kubernetes can check runAsNonRoot only against a number"

    def test_takes_nothing_from_an_address(self, image: str) -> None:
        found = instructions(image)
        assert not [rest for head, rest in found if head == "ADD"]
        assert not [rest for head, rest in found if head == "RUN" and re.search(r"https?://|curl|wget|index-url", rest)]

    def test_holds_no_secret(self, image: str) -> None:
        for head, rest in instructions(image):
            if head in ("ENV", "ARG"):
                assert not re.search(r"PASSWORD|SECRET|TOKEN|KEY|DSN", rest, re.I), rest

    def test_copies_what_is_there_and_not_ignored(self, image: str) -> None:
        allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        for head, rest in instructions(image):
            if head == "COPY" and "--from" not in rest:
                for source in rest.split()[:-1]:
                    assert (ROOT / source).exists(), source
                    assert source == "." or any(source == one or source.startswith(one + "/") for one in allowed), (
                        source
                    )

    def test_installs_only_constrained_versions(self, image: str) -> None:
        installs = [rest for head, rest in instructions(image) if head == "RUN" and "pip install" in rest]
        assert installs
        assert all("-c constraints.txt" in rest or "--no-deps" in rest for rest in installs)

    def test_rebuilds_only_a_small_layer_when_code_changes(self, image: str) -> None:
        final = [rest for _, rest in instructions(image)]
        dependencies = next(i for i, rest in enumerate(final) if "-c constraints.txt" in rest)
        code = next(i for i, rest in enumerate(final) if rest.startswith("--from=wheel /wheel"))
        assert dependencies < code


class TestDependencies:
    def test_of_the_airflow_image_are_base_and_both_extras(self, tool: ModuleType) -> None:
        names = {Requirement(line).name for line in tool.requirements(ROOT / "pyproject.toml", ["kubernetes", "steps"])}
        assert {"apache-airflow", "apache-airflow-providers-cncf-kubernetes", "tensorflow", "mlflow"} <= names

    def test_of_the_step_image_have_no_airflow(self, tool: ModuleType) -> None:
        found = tool.requirements(ROOT / "pyproject.toml", ["steps"], without="apache-airflow")
        names = {Requirement(line).name for line in found}
        assert {"tensorflow", "msgspec", "boto3", "psycopg2-binary"} <= names
        assert not [name for name in names if "airflow" in name]

    def test_are_all_constrained(self, tool: ModuleType) -> None:
        wanted = tool.requirements(ROOT / "pyproject.toml", ["kubernetes", "steps", "server"])
        pinned = {canonicalize_name(name) for name in constraints()}
        for line in wanted:
            assert canonicalize_name(Requirement(line).name) in pinned, line

    def test_constraints_satisfy_the_project(self, tool: ModuleType) -> None:
        pinned = {canonicalize_name(name): version for name, version in constraints().items()}
        for line in tool.requirements(ROOT / "pyproject.toml", ["all", "dev"]):
            wanted = Requirement(line)
            if wanted.name != "airlock" and canonicalize_name(wanted.name) in pinned:
                assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), line

    def test_constraints_are_bare_versions(self) -> None:
        assert all(re.fullmatch(r"\d[\w.+!]*", version) for version in constraints().values())
        assert not {"pip", "uv", "setuptools", "wheel", "airlock"} & constraints().keys()


class TestServerImage:
    def test_requirements_are_the_constrained_versions(self) -> None:
        lines = (ROOT / "deploy/images/server/requirements.txt").read_text().splitlines()
        pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
        assert pins == {name: constraints()[name] for name in pins}

    def test_serving_can_be_imported_with_nothing_else_installed(self) -> None:
        """The container test says the same for real; this one needs no container engine."""
        there = _installed_by((ROOT / "deploy/images/server/requirements.txt").read_text().splitlines()) | {"airlock"}
        owners = metadata.packages_distributions()
        lacking = [name for name, found in owners.items() if not {canonicalize_name(one) for one in found} & there]
        done = subprocess.run([sys.executable, "-c", HIDE, *lacking], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


# Imports what serving needs, at module level and later, where the named packages look as if they were not installed.
HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in lacking:
            raise ModuleNotFoundError(name)
lacking = set(sys.argv[1:]) - {"airlock"}
sys.meta_path.insert(0, Hidden())
import airlock.deployment.reconciler, airlock.deployment.server
import airlock.stores.objects, airlock.governance.signing
import ai_edge_litert.interpreter, boto3, cryptography.hazmat.primitives.serialization, multipart, psycopg2.extras
"""


def _installed_by(lines: list[str]) -> set[str]:
    """Return every distribution that a list of requirements brings."""
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    found: set[str] = set()
    while wanted:
        name = canonicalize_name(wanted.pop().name)
        if name in found:
            continue
        found.add(name)
        needs = [Requirement(line) for line in metadata.requires(name) or []]
        wanted += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found
