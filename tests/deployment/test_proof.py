"""A server where there is no ledger: it verifies the decision shipped beside the release, or serves nothing."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving_machine import Machine

from airlock.deployment.child import Child
from airlock.deployment.package import Package
from airlock.governance.export import export
from airlock.governance.signing import create_keypair
from airlock.references import Artifact
from airlock.stores.ledger import Ledger

pytestmark = pytest.mark.integration


@pytest.fixture
def release(package: Package, release_of: Callable[[Package], Artifact]) -> Artifact:
    return release_of(package)


@pytest.fixture
def folder(release: Artifact, laid_out: Callable[[Artifact], Path]) -> Path:
    return laid_out(release)


@pytest.fixture
def ship(machine: Machine, tmp_path: Path) -> Callable[[], Path]:
    """Give ``ship()``: write the ledger as it is now beside the release."""

    def write() -> Path:
        path = tmp_path / "decision.jsonl"
        path.write_text("".join(export(Ledger(machine.database), machine.settings.public_keys)))
        return path

    return write


class TestServerWithADecision:
    def refused(self, folder: Path, release: Artifact, decision: Path, keys: str) -> str:
        command = [sys.executable, "-m", "airlock.deployment.server", "--package", str(folder / "package")]
        command += ["--manifest", release.digest, "--port", "1", "--decision", str(decision), "--keys", keys]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 3
        return done.stderr

    @pytest.fixture
    def child(
        self, machine: Machine, release: Artifact, folder: Path, ship: Callable[[], Path], tmp_path: Path
    ) -> Iterator[Child]:
        machine.approve(release)
        given = ["--decision", str(ship()), "--keys", machine.settings.public_keys]
        child = Child(folder, release.digest, "shapes", tmp_path / "log", given)
        yield child
        child.stop()

    def test_that_approves_it_serves(self, child: Child) -> None:
        child.wait_ready(60)

    def test_that_is_about_nothing_or_rejects_it_refuses(
        self, machine: Machine, release: Artifact, folder: Path, ship: Callable[[], Path]
    ) -> None:
        keys = machine.settings.public_keys
        request = machine.ask(release)
        assert "There is no decision about" in self.refused(folder, release, ship(), keys)
        machine.answer(request, approved=False)
        assert "rejected" in self.refused(folder, release, ship(), keys)

    def test_that_was_altered_cut_short_or_is_missing_refuses(
        self, machine: Machine, release: Artifact, folder: Path, ship: Callable[[], Path], tmp_path: Path
    ) -> None:
        machine.approve(release)
        keys, path = machine.settings.public_keys, ship()
        lines = path.read_text().splitlines(keepends=True)
        altered = [line.replace("approved", "APPROVED") for line in lines]
        for changed, words in (
            (altered, "does not verify"),
            (lines[:-1], "the end is missing"),
            (["words\n", "words\n"], "no export of a ledger"),
            ([lines[0], json.dumps({"record": 1}) + "\n"], "no export of a ledger"),
        ):
            path.write_text("".join(changed))
            assert words in self.refused(folder, release, path, keys)
        assert "cannot be read" in self.refused(folder, release, tmp_path / "nowhere", keys)

    def test_that_others_signed_refuses(
        self, machine: Machine, release: Artifact, folder: Path, ship: Callable[[], Path], tmp_path: Path
    ) -> None:
        machine.approve(release)
        create_keypair(tmp_path / "others")
        path = ship()
        assert "not among the public keys" in self.refused(folder, release, path, str(tmp_path / "others" / "public"))
        assert "no public key in" in self.refused(folder, release, path, str(tmp_path))
