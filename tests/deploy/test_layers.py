"""The four layers of a model's image: the rules that their Dockerfiles keep, and that they are built the same twice."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from tests.deploy.test_images import HIDE, ROOT, _installed_by, constraints, instructions

LAYERS = ("base", "runtime", "engine", "model")
FOLDER = ROOT / "deploy/images"
PYTHON = "python:3.11-slim-bookworm"
EPOCH = "315532800"


def arguments(layer: str) -> dict[str, str]:
    """Return a Dockerfile's build arguments with their defaults."""
    found = [rest.partition("=") for head, rest in instructions(layer) if head == "ARG"]
    return {name: value for name, _, value in found}


@pytest.mark.parametrize("layer", LAYERS)
class TestEveryLayer:
    def test_stands_on_the_one_before(self, layer: str) -> None:
        stages = {rest.split()[-1] for head, rest in instructions(layer) if head == "FROM" and " AS " in rest}
        bases = {rest.split()[0] for head, rest in instructions(layer) if head == "FROM"} - stages
        name = "PYTHON" if layer == "base" else "BASE"
        assert bases == {f"${{{name}}}"}
        before = {"base": PYTHON, "runtime": "airlock/base:0.1.0", "engine": "airlock/runtime:0.1.0"}
        assert arguments(layer)[name] == before.get(layer, "airlock/engine-litert:0.1.0")

    def test_has_no_tag_that_moves(self, layer: str) -> None:
        named = [value for name, value in arguments(layer).items() if name in ("BASE", "PYTHON")]
        assert all(re.search(r":[\w.-]*\d", value) and "latest" not in value for value in named), named

    def test_ends_as_an_ordinary_user_with_a_number(self, layer: str) -> None:
        users = [rest for head, rest in instructions(layer) if head == "USER"]
        assert users[-1] == "10001:10001"

    def test_is_made_by_root_only_in_a_stage_that_is_thrown_away(self, layer: str) -> None:
        last = max(place for place, (head, _) in enumerate(instructions(layer)) if head == "FROM")
        assert ("USER", "0:0") not in instructions(layer)[last:]

    def test_takes_nothing_from_an_address(self, layer: str) -> None:
        for head, rest in instructions(layer):
            assert head != "ADD"
            if head == "RUN":
                assert not re.search(r"https?://|curl|wget|index-url|apt-get|sudo", rest), rest

    def test_holds_no_secret_and_no_trusted_key(self, layer: str) -> None:
        for head, rest in instructions(layer):
            if head in ("ENV", "ARG"):
                assert not re.search(r"PASSWORD|SECRET|TOKEN|KEY|DSN", rest, re.I), rest
            if head == "COPY":
                assert "keys" not in rest

    def test_installs_pinned_versions_and_keeps_no_cache(self, layer: str) -> None:
        for head, rest in instructions(layer):
            if head == "RUN" and "pip" in rest:
                for command in (each for each in rest.split("&&") if " install " in each or " wheel " in each):
                    assert re.search(r"-c constraints\.txt|--no-deps|-r build\.txt", command), command
        if any("pip" in rest for head, rest in instructions(layer) if head == "RUN"):
            assert any("PIP_NO_CACHE_DIR=1" in rest for head, rest in instructions(layer) if head == "ENV")

    def test_knows_no_time_of_its_own(self, layer: str) -> None:
        made = [rest for head, rest in instructions(layer) if head == "RUN"]
        assert not made or arguments(layer)["SOURCE_DATE_EPOCH"] == EPOCH
        assert not [rest for rest in made if re.search(r"\bdate\b|\$RANDOM|uuid", rest)]

    def test_copies_what_is_there_and_not_ignored(self, layer: str) -> None:
        if layer == "model":
            return  # its context is not the repository
        allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        for head, rest in instructions(layer):
            if head == "COPY" and "--from" not in rest:
                for source in rest.replace("${ENGINE}", "litert").split()[:-1]:
                    assert (ROOT / source).exists(), source
                    assert source == "." or any(source == one or source.startswith(f"{one}/") for one in allowed)


class TestTheModelsLayer:
    def test_copies_exactly_what_is_prepared(self) -> None:
        from airlock.deployment.child import PACKAGE, RELEASE
        from airlock.deployment.imaging import DECISION

        copied = [name for head, rest in instructions("model") if head == "COPY" for name in rest.split()[:-1]]
        assert sorted(copied) == sorted([PACKAGE, RELEASE, DECISION])

    def test_runs_nothing_while_it_is_built(self) -> None:
        assert [head for head, _ in instructions("model") if head in ("RUN", "ADD")] == []

    def test_is_asked_how_it_is_and_stops_when_asked(self) -> None:
        heads = dict(instructions("model"))
        assert "/v2/health/ready" in heads["HEALTHCHECK"]
        assert heads["STOPSIGNAL"] == "SIGTERM"
        assert '"exec python -m airlock.deployment.server' in heads["ENTRYPOINT"], "a shell would keep the signal"

    def test_verifies_the_decision_with_keys_that_are_not_its_own(self) -> None:
        started = dict(instructions("model"))["ENTRYPOINT"]
        assert "--decision /model/decision.jsonl --keys /keys" in started
        assert '--manifest \\"$AIRLOCK_MANIFEST\\"' in started


class TestRequirements:
    @pytest.mark.parametrize("path", ["runtime/requirements.txt", "engine/litert.txt"])
    def test_are_the_constrained_versions(self, path: str) -> None:
        pins = dict(line.split("==") for line in lines(path))
        assert pins == {name: constraints()[name] for name in pins}

    def test_of_runtime_and_engine_suffice_for_the_model_server(self) -> None:
        there = _installed_by(lines("runtime/requirements.txt") + lines("engine/litert.txt")) | {"airlock"}
        owners = metadata.packages_distributions()
        lacking = [name for name, found in owners.items() if not {_plain(one) for one in found} & there]
        program = HIDE[: HIDE.index("import airlock.deployment.reconciler")] + NEEDED
        done = subprocess.run([sys.executable, "-c", program, *lacking], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def test_of_what_builds_are_exact(self) -> None:
        assert all(re.fullmatch(r"[a-z]+==[\d.]+", line) for line in lines("runtime/build.txt"))


NEEDED = """
import airlock.deployment.server, airlock.governance.book
import ai_edge_litert.interpreter, cryptography.hazmat.primitives.serialization, multipart, httpx
"""


def lines(path: str) -> list[str]:
    return [line for line in (FOLDER / path).read_text().splitlines() if line and not line.startswith("#")]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.containers
@pytest.mark.timeout(1800)
class TestBuiltTwice:
    """Buildah gives every file of a layer the same time; with that the digests are the same, or something is wrong."""

    @pytest.fixture
    def buildah(self, tmp_path: Path) -> Iterator[Callable[..., str]]:
        """Give ``buildah(store, *arguments)``, each store apart from the machine's own; skip where it cannot be."""
        if not shutil.which("buildah"):
            pytest.skip("buildah is not installed: docs/containers.md")

        def run(store: str, *given: str, check: bool = True) -> str:
            places = ["--root", str(tmp_path / store), "--runroot", str(tmp_path / f"{store}-run")]
            done = subprocess.run(["buildah", *places, *given], cwd=ROOT, capture_output=True, text=True, check=False)
            if check and done.returncode:
                pytest.fail(f"{given}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
            return done.stdout.strip() if not done.returncode else ""

        yield run
        for store in ("one", "two"):
            run(store, "rm", "--all", check=False)
            run(store, "rmi", "--all", "--force", check=False)

    @pytest.fixture
    def saved(self, buildah: Callable[..., str], tmp_path: Path) -> Path:
        """Give where docker's own image of Python lies, if it cannot be pulled; skip where docker has none either."""
        path = tmp_path / "python.tar"
        if not buildah("one", "pull", f"docker://{PYTHON}", check=False):
            docker = shutil.which("docker") or "true"
            subprocess.run([docker, "save", PYTHON, "--output", path], capture_output=True, check=False)
            if not path.is_file():
                pytest.skip(f"{PYTHON} can neither be pulled nor is it docker's: docs/containers.md")
        return path

    def test_they_are_the_same_to_the_last_bit(self, buildah: Callable[..., str], saved: Path) -> None:
        digests = []
        for store in ("one", "two"):
            buildah(store, "pull", f"docker-archive:{saved}" if saved.is_file() else f"docker://{PYTHON}")
            names = [_name(buildah, store), "localhost/airlock/base:0.1.0", "localhost/airlock/runtime:0.1.0"]
            arguments = [f"PYTHON={names[0]}", *(f"BASE={name}" for name in names[1:])]
            digests.append([_build(buildah, store, *each) for each in zip(LAYERS, arguments, strict=False)])
        assert digests[0] == digests[1]


def _name(buildah: Callable[..., str], store: str) -> str:
    found = buildah(store, "images", "--format", "{{.Name}}:{{.Tag}}")
    return next(line for line in found.splitlines() if line.endswith(PYTHON))


def _build(buildah: Callable[..., str], store: str, layer: str, argument: str) -> str:
    name = f"localhost/airlock/{'engine-litert' if layer == 'engine' else layer}:0.1.0"
    options = ["--isolation", "chroot", "--layers", "--timestamp", EPOCH, "--build-arg", argument]
    buildah(store, "bud", *options, "-f", f"deploy/images/{layer}/Dockerfile", "-t", name, ".")
    return buildah(store, "inspect", "--type", "image", "--format", "{{.FromImageDigest}}", name)
