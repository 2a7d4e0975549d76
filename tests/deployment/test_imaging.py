"""The image of one approved release: its context is the same whenever it is made, and refused without an approval."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from serving_machine import Machine

from airlock.deployment.config import HEADER
from airlock.deployment.imaging import main, prepare, tag_of
from airlock.deployment.package import Package, read_package
from airlock.deployment.release import decode_release
from airlock.digests import digest_file
from airlock.errors import IntegrityError, NotApproved, UserError
from airlock.governance.manifest import ReleaseManifest
from airlock.references import Artifact
from airlock.settings import settings

ROOT = Path(__file__).parents[2]
PYTHON = "python:3.11-slim-bookworm"


@pytest.fixture
def release(release_of: Callable[[Package], Artifact], package: Package) -> Artifact:
    return release_of(package)


def contents(folder: Path) -> dict[str, tuple[str, str, float]]:
    """Return path to digest, rights and time of everything below a folder."""
    return {
        path.relative_to(folder).as_posix(): (
            digest_file(path) if path.is_file() else "",
            oct(path.stat().st_mode),
            path.stat().st_mtime,
        )
        for path in folder.rglob("*")
    }


class TestTheContext:
    def test_holds_the_release_and_its_proof(
        self, machine: Machine, release: Artifact, package: Package, tmp_path: Path
    ) -> None:
        machine.approve(release)
        tag = prepare(machine.settings, release.digest[7:19], tmp_path / "image")
        assert tag == f"airlock/shapes:sha256-{release.digest.removeprefix('sha256:')}"
        assert sorted(path.name for path in (tmp_path / "image").iterdir()) == [
            "decision.jsonl",
            "package",
            "release.json",
        ]
        named = decode_release((tmp_path / "image/release.json").read_bytes(), release.digest)
        assert named.package.digest == package.digest == read_package(tmp_path / "image/package").digest
        told = subprocess.run(
            [sys.executable, ROOT / "airlock/governance/verify_export.py", tmp_path / "image/decision.jsonl"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.startswith("ok: ")

    def test_is_the_same_when_the_ledger_has_grown(self, machine: Machine, release: Artifact, tmp_path: Path) -> None:
        machine.approve(release)
        prepare(machine.settings, release.digest, tmp_path / "one")
        machine.governed.approve(machine.governed.manifest())
        before = os.umask(0o077)
        try:
            prepare(machine.settings, release.digest, tmp_path / "two")
        finally:
            os.umask(before)
        assert contents(tmp_path / "one") == contents(tmp_path / "two")

    def test_says_nothing_of_what_came_after_the_approval(
        self, machine: Machine, release: Artifact, tmp_path: Path
    ) -> None:
        record = machine.approve(release)
        machine.governed.approve(later := machine.governed.manifest())
        prepare(machine.settings, release.digest, tmp_path / "image")
        lines = (tmp_path / "image/decision.jsonl").read_text().splitlines()
        assert json.loads(lines[-1])["hash"] == record
        assert later.digest not in "".join(lines)


class TestRefused:
    def test_without_an_approval(self, machine: Machine, release: Artifact, tmp_path: Path) -> None:
        machine.ask(release)
        with pytest.raises(NotApproved, match="no decision about manifest"):
            prepare(machine.settings, release.digest, tmp_path / "image")
        assert not (tmp_path / "image").exists()

    def test_after_a_rejection(self, machine: Machine, release: Artifact, tmp_path: Path) -> None:
        machine.approve(release, approved=False)
        with pytest.raises(NotApproved, match="rejected manifest"):
            prepare(machine.settings, release.digest, tmp_path / "image")

    def test_when_a_file_of_the_package_was_altered(
        self, machine: Machine, release: Artifact, package: Package, tmp_path: Path
    ) -> None:
        machine.approve(release)
        store = machine.governed.artifacts
        listing = store.listing(Artifact(digest=package.digest, size=0))
        some = str(listing["airlock.json"]["digest"]).removeprefix("sha256:")
        path = tmp_path / "artifacts" / "objects" / some[:2] / some[2:]
        path.chmod(0o644)
        path.write_bytes(b"{}")
        with pytest.raises(IntegrityError, match="was altered"):
            prepare(machine.settings, release.digest, tmp_path / "made" / "image")
        assert list((tmp_path / "made").iterdir()) == [], "half a context must not be built from"

    def test_over_a_folder_that_is_there(self, machine: Machine, release: Artifact, tmp_path: Path) -> None:
        machine.approve(release)
        (tmp_path / "image").mkdir()
        with pytest.raises(UserError, match="exists"):
            prepare(machine.settings, release.digest, tmp_path / "image")

    @pytest.mark.parametrize("name", ["../shapes", "shapes:latest", "-shapes", "ſhapes", ""])
    def test_for_a_use_case_that_no_image_can_be_called_by(self, name: str) -> None:
        some = Artifact(digest="sha256:a", size=0)
        named = ReleaseManifest(
            use_case=name, classes=[], candidate="", package=some, model=some, comparison=some, metrics={}
        )
        with pytest.raises(UserError, match="No image can be called"):
            tag_of(named, "sha256:a")

    def test_on_the_command_line_with_the_reason(
        self,
        machine: Machine,
        release: Artifact,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for name, value in machine.settings.environment().items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        machine.ask(release)
        assert main([release.digest, str(tmp_path / "image")]) == 1
        assert "Refused: There is no decision about manifest" in capsys.readouterr().err
        machine.approve(release)
        assert main([release.digest, str(tmp_path / "image")]) == 0
        assert capsys.readouterr().out.startswith("airlock/shapes:sha256-")
        settings.cache_clear()


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert not (check and done.returncode), f"{arguments}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done


@pytest.fixture(scope="module")
def engine() -> str:
    """Give the third layer, built; skip unless an engine answers and Python's image is there or can be pulled."""
    told = subprocess.run(
        [sys.executable, "-m", "airlock.deployment.server", "--help"], capture_output=True, check=True
    )
    if b"--decision" not in told.stdout:
        pytest.skip("the model server of this checkout takes no --decision")
    if not shutil.which("docker") or docker("version", check=False).returncode:
        pytest.skip("no container engine answers `docker version`")
    if docker("image", "inspect", PYTHON, check=False).returncode and docker("pull", PYTHON, check=False).returncode:
        pytest.skip(f"{PYTHON} is not here and cannot be pulled; docs/containers.md makes a stand-in")
    before = f"PYTHON={PYTHON}"
    for layer in ("base", "runtime", "engine"):
        tag = f"airlock/{layer}:test"
        docker(
            "build",
            "--network=host",
            "--build-arg",
            before,
            "-f",
            f"deploy/images/{layer}/Dockerfile",
            "-t",
            tag,
            ".",
        )
        before = f"BASE={tag}"
    return tag


@pytest.mark.containers
@pytest.mark.timeout(1800)
class TestTheImage:
    """Built from its four layers and started, where a container engine answers. How to get one: docs/containers.md."""

    @pytest.fixture
    def image(self, engine: str, machine: Machine, release: Artifact, tmp_path: Path) -> Iterator[str]:
        """Give the image of an approved release."""
        machine.approve(release)
        tag = prepare(machine.settings, release.digest, tmp_path / "image")
        given = ["--build-arg", f"BASE={engine}", "--build-arg", f"MANIFEST={release.digest}"]
        docker("build", *given, "-f", "deploy/images/model/Dockerfile", "-t", tag, str(tmp_path / "image"))
        yield tag
        docker("rmi", "--force", tag)

    @pytest.fixture
    def run(self, image: str, machine: Machine, tmp_path: Path) -> Iterator[Callable[..., str]]:
        """Give ``run(*options)``: starts the image as it would be in production; returns the container."""
        keys = tmp_path / "trusted"
        shutil.copytree(machine.settings.public_keys, keys, ignore=shutil.ignore_patterns("*.json"))
        for path in (keys, *keys.iterdir()):
            path.chmod(0o755)
        started: list[str] = []

        def start(*options: str, keys: Path = keys, port: int = 8080) -> str:
            hardened = ["--cap-drop=ALL", "--read-only", "--tmpfs=/tmp", "--security-opt=no-new-privileges"]
            name = docker(
                "run", "--detach", *hardened, f"--volume={keys}:/keys:ro", *options, image, f"--port={port}"
            ).stdout.strip()
            started.append(name)
            return name

        yield start
        for name in started:
            docker("rm", "--force", name, check=False)

    def test_serves_its_release_as_nobody_in_particular(
        self, run: Callable[..., str], release: Artifact, png: Callable[..., bytes], free_port: int
    ) -> None:
        name = run("--network=host", port=free_port)
        answer = _ask(f"http://127.0.0.1:{free_port}", name, png("left"))
        assert answer.headers[HEADER] == release.digest
        assert docker("exec", name, "id", "-u").stdout.strip() == "10001"
        assert docker("exec", name, "sh", "-c", "command -v gcc cc; ls /opt/airlock/bin/pip*", check=False).stdout == ""
        began = time.monotonic()
        docker("stop", "--time=30", name)
        assert time.monotonic() - began < 15, "it must end when asked"

    def test_refuses_to_start_with_keys_that_did_not_sign(self, run: Callable[..., str], tmp_path: Path) -> None:
        from airlock.governance.signing import create_keypair

        create_keypair(tmp_path / "others")
        for path in (tmp_path / "others/public", *(tmp_path / "others/public").iterdir()):
            path.chmod(0o755)
        name = run("--network=none", keys=tmp_path / "others/public")
        assert docker("wait", name).stdout.strip() == "3"
        assert "public keys" in docker("logs", name).stderr

    def test_refuses_to_start_as_another_release(self, run: Callable[..., str]) -> None:
        name = run("--network=none", f"--env=AIRLOCK_MANIFEST=sha256:{'c' * 64}")
        assert docker("wait", name).stdout.strip() == "3"
        assert "hashes to" in docker("logs", name).stderr


def _ask(url: str, container: str, picture: bytes) -> httpx.Response:
    with httpx.Client(base_url=url, trust_env=False) as client:
        end = time.monotonic() + 60
        while True:
            try:
                if client.get("/v2/health/ready").is_success:
                    return client.post("/predict", content=picture, headers={"Content-Type": "image/png"})
            except httpx.TransportError:
                pass
            assert time.monotonic() < end, docker("logs", container).stderr
            time.sleep(0.3)
