"""The reconciler as a real process on a real PostgreSQL: serves what is approved, and nothing else, whatever dies."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest

from airlock.deployment.client import ModelClient
from airlock.deployment.package import Package
from airlock.digests import canonical, digest_bytes
from airlock.governance import manifest as manifests
from airlock.governance.decisions import closing_body
from airlock.governance.manifest import ReleaseManifest
from airlock.governance.policy import GatePolicy, Stage
from airlock.governance.signing import create_keypair, load_signer
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.references import Artifact
from airlock.settings import Settings
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.database import Database
from tests.deployment.serving_machine import POLICY, Machine

pytestmark = pytest.mark.integration


class TestApprovedRelease:
    def test_is_served_and_says_what_it_is(
        self, machine: Machine, release_of: Callable[[Package], Artifact], package: Package, png: Callable[..., bytes]
    ) -> None:
        release = release_of(package)
        machine.approve(release)
        machine.start()
        generation = machine.want(release)
        seconds = machine.wait_served(release)
        with ModelClient(f"{machine.settings.serving}/shapes") as client:
            prediction = client.predict(png("right"))
            assert "/predict" in client.request("GET", "/openapi.json").json()["paths"]
        assert (prediction.label, prediction.manifest) == ("right", release.digest)
        seen = machine.wait_state("ready")
        assert (seen.generation, seen.endpoint) == (generation, f"{machine.settings.serving}/shapes")
        champion = machine.deployments.champion("shapes")
        assert champion
        assert champion.manifest == release.digest
        memory = psutil.Process(machine.process.pid).memory_info().rss / 1e6 if machine.process else 0
        print(f"reconciler: {memory:.0f} MB resident; served {seconds:.1f} s after it was wanted")

    def test_is_served_again_when_its_server_is_killed(
        self, machine: Machine, release_of: Callable[[Package], Artifact], package: Package
    ) -> None:
        release = release_of(package)
        machine.approve(release)
        machine.start()
        machine.want(release)
        machine.wait_served(release)
        (server,) = machine.servers()
        server.kill()
        server.wait()
        seconds = machine.wait_served(release)
        print(f"served again {seconds:.1f} s after the server was killed")
        assert machine.servers()[0].pid != server.pid
        assert machine.wait_state("ready").manifest == release.digest

    def test_leaves_no_process_after_sigterm(
        self, machine: Machine, release_of: Callable[[Package], Artifact], package: Package
    ) -> None:
        release = release_of(package)
        machine.approve(release)
        machine.start()
        machine.want(release)
        machine.wait_served(release)
        processes = machine.servers()
        machine.stop()
        assert machine.process
        assert machine.process.returncode == 0
        assert not any(process.is_running() for process in processes)

    def test_comes_back_with_a_reconciler_that_was_killed(
        self, machine: Machine, release_of: Callable[[Package], Artifact], package: Package
    ) -> None:
        release = release_of(package)
        machine.approve(release)
        machine.start()
        machine.want(release)
        machine.wait_served(release)
        orphans = machine.servers()
        machine.stop(signal.SIGKILL)
        machine.wait(lambda: not any(map(_runs, orphans)), seconds=15, what="the servers of the killed reconciler end")
        machine.start()
        machine.wait_served(release)

    def test_is_laid_out_again_when_its_folder_was_altered(
        self, machine: Machine, release_of: Callable[[Package], Artifact], package: Package
    ) -> None:
        release = release_of(package)
        machine.approve(release)
        machine.start()
        machine.want(release)
        machine.wait_served(release)
        for path in Path(machine.settings.home, "serving").rglob("preprocessing.py"):
            path.write_text("def transform(image): ...\n")
        machine.servers()[0].kill()
        machine.wait(lambda: machine.serves() is None, seconds=10, what="the loss is noticed")
        machine.wait_served(release)


class TestReleaseThatMustNotBeServed:
    def test_unapproved(self, machine: Machine, release_of: Callable[[Package], Artifact], package: Package) -> None:
        machine.start()
        machine.want(release_of(package))
        assert "no decision about" in machine.wait_state("refused").detail
        assert machine.servers() == []
        reply = httpx.get(f"{machine.settings.serving}/shapes/v2/health/ready", trust_env=False)
        assert (reply.status_code, "not served" in reply.text) == (503, True)

    def test_rejected(self, machine: Machine, release_of: Callable[[Package], Artifact], package: Package) -> None:
        release = release_of(package)
        machine.approve(release)
        machine.approve(release, approved=False)
        machine.start()
        machine.want(release)
        assert "rejected" in machine.wait_state("refused").detail

    def test_approved_for_another_use_case(
        self, machine: Machine, release_of: Callable[[Package], Artifact], make_package: Callable[..., Package]
    ) -> None:
        release = release_of(make_package(use_case="other"))
        machine.approve(release)
        machine.start()
        machine.want(release)
        assert "belongs to 'other'" in machine.wait_state("refused").detail

    def test_altered_in_the_artifact_store(
        self, machine: Machine, release_of: Callable[[Package], Artifact], package: Package
    ) -> None:
        release = release_of(package)
        machine.approve(release)
        _alter(Path(machine.settings.home, "artifacts"), package.file("model.tflite"))
        machine.start()
        machine.want(release)
        assert "was altered" in machine.wait_state("refused").detail
        assert machine.servers() == []

    def test_leaves_the_one_before_serving(
        self, machine: Machine, release_of: Callable[[Package], Artifact], make_package: Callable[..., Package]
    ) -> None:
        first, second = release_of(make_package("soft")), release_of(make_package("sharp"))
        machine.approve(first)
        machine.start()
        machine.want(first)
        machine.wait_served(first)
        machine.want(second)
        assert machine.wait_state("refused").manifest == second.digest
        assert machine.serves() == first.digest
        machine.servers()[0].kill()
        machine.wait(lambda: machine.serves() is None, seconds=10, what="the loss is noticed")
        machine.wait_served(first)


class TestApprovalThatDoesNotHold:
    """Somebody rewrote history, or what was decided is not what the gate's policy asks for."""

    @pytest.fixture
    def release(self, artifacts: ArtifactStore) -> Artifact:
        """Give a release without a model: none of these is looked into."""
        nothing = artifacts.put(b"{}")
        release = ReleaseManifest(
            use_case="shapes",
            classes=["left", "right", "top"],
            candidate="sha256:" + "c" * 64,
            package=nothing,
            model=nothing,
            comparison=nothing,
            metrics={},
        )
        return manifests.put(artifacts, release)

    @pytest.fixture
    def refused(self, machine: Machine, release: Artifact) -> Callable[[], str]:
        """Give ``refused()``: wants the release; returns why it is not served."""

        def want() -> str:
            machine.start()
            machine.want(release)
            detail = machine.wait_state("refused").detail
            assert (machine.servers(), machine.serves()) == ([], None)
            return detail

        return want

    def test_because_a_rejection_was_rewritten(
        self, machine: Machine, release: Artifact, refused: Callable[[], str], superuser: Database
    ) -> None:
        machine.approve(release, approved=False)
        rewrite = "UPDATE airlock.ledger SET record = replace(record, '\"rejected\"', '\"approved\"')"
        tamper(superuser, rewrite)
        assert "altered" in refused()

    def test_because_nobody_signed_it(
        self, machine: Machine, release: Artifact, refused: Callable[[], str], superuser: Database
    ) -> None:
        request = machine.ask(release)
        machine.governed.decide(request, roles=["devops_engineer"])
        forge(superuser, closing_body(request, "approved"))
        assert "a closed that nobody signed" in refused()

    def test_because_another_key_signed_it(
        self, machine: Machine, release: Artifact, refused: Callable[[], str], tmp_path: Path
    ) -> None:
        request = machine.ask(release)
        other = load_signer(path=create_keypair(tmp_path / "other"))
        machine.governed.ledger.append("closed", closing_body(request, "approved"), other)
        assert "is not among the public keys" in refused()

    def test_because_nobody_decided_what_was_closed(
        self, machine: Machine, release: Artifact, refused: Callable[[], str]
    ) -> None:
        machine.governed.close(machine.ask(release), "approved")
        assert "Only 0 answers" in refused()

    def test_because_another_policy_came_into_force_before_the_answer(
        self, machine: Machine, release: Artifact, refused: Callable[[], str]
    ) -> None:
        request = machine.ask(release, policy=POLICY)
        two = msgspec.structs.replace(POLICY, stages=[Stage(roles=["devops_engineer"], quorum=2)])
        machine.governed.adopt(two, "shapes", "release")
        machine.answer(request)
        assert "under another policy" in refused()

    def test_because_the_policy_was_its_authors_own(
        self, machine: Machine, release: Artifact, refused: Callable[[], str]
    ) -> None:
        asked = machine.ask(release)
        own = msgspec.structs.replace(asked, run="own", policy=GatePolicy.of("data_engineer").digest)
        machine.governed.requests.open(own)
        machine.governed.decide(own)
        machine.governed.close(own, "approved")
        assert "under another policy" in refused()

    def test_because_what_came_after_was_cut_off(
        self, machine: Machine, release: Artifact, refused: Callable[[], str], superuser: Database
    ) -> None:
        machine.approve(release)
        cut = len(machine.governed.ledger.records())
        machine.approve(release, approved=False)
        tamper(superuser, f"DELETE FROM airlock.ledger WHERE seq > {cut}")
        assert "the end is missing" in refused()

    @pytest.mark.parametrize("what", ["the closing", "the decision"])
    def test_because_it_was_declared_void(
        self, machine: Machine, release: Artifact, refused: Callable[[], str], what: str
    ) -> None:
        closing = machine.approve(release)
        decision = machine.governed.ledger.records()[-2].hash
        record = closing if what == "the closing" else decision
        machine.governed.sign("void", {"use_case": "shapes", "record": record, "reason": "test"})
        assert ("declared void" if what == "the closing" else "Only 0 answers") in refused()


class TestNextRelease:
    def test_takes_over_without_a_failed_request(
        self,
        machine: Machine,
        release_of: Callable[[Package], Artifact],
        make_package: Callable[..., Package],
        png: Callable[..., bytes],
    ) -> None:
        first, second = release_of(make_package("soft")), release_of(make_package("sharp"))
        machine.approve(first)
        machine.approve(second)
        machine.start()
        machine.want(first)
        machine.wait_served(first)
        stop, answered = threading.Event(), []

        def ask() -> None:
            with ModelClient(f"{machine.settings.serving}/shapes") as client:
                while not stop.wait(0.01):
                    answered.append(client.predict(png("left")).manifest)

        asking = threading.Thread(target=ask)
        asking.start()
        machine.want(second)
        try:
            machine.wait_served(second)
            machine.wait(lambda: len(machine.servers()) == 1, seconds=15, what="the old server is gone")
        finally:
            stop.set()
            asking.join()
        switch = answered.index(second.digest)
        assert set(answered[:switch]) == {first.digest}
        assert set(answered[switch:]) == {second.digest}
        machine.wait_state("ready")
        assert len(list(Path(machine.settings.home, "serving").iterdir())) == 1

    def test_that_cannot_start_leaves_the_one_before_serving(
        self, machine: Machine, release_of: Callable[[Package], Artifact], make_package: Callable[..., Package]
    ) -> None:
        soft, sharp = make_package("soft"), make_package("sharp")
        first = release_of(soft)
        second = release_of(Package(soft.files | {"model.tflite": sharp.files["model.tflite"]}))
        machine.approve(first)
        machine.approve(second)
        machine.start()
        machine.want(first)
        machine.wait_served(first)
        machine.want(second)
        assert "samples differ" in machine.wait_state("failed", seconds=90).detail
        assert machine.serves() == first.digest


class TestDatabaseThatGoesAway:
    def test_changes_nothing_for_who_asks_and_is_picked_up_again(
        self,
        machine: Machine,
        postgres: EmbeddedPostgres,
        release_of: Callable[[Package], Artifact],
        make_package: Callable[..., Package],
    ) -> None:
        first, second = release_of(make_package("soft")), release_of(make_package("sharp"))
        machine.approve(first)
        machine.approve(second)
        machine.start()
        machine.want(first)
        machine.wait_served(first)
        postgres.stop()
        try:
            machine.servers()[0].kill()
            machine.wait(lambda: machine.serves() is None, seconds=10, what="the loss is noticed")
            machine.wait_served(first)
        finally:
            postgres.start()
        machine.want(second)
        machine.wait_served(second)
        machine.wait_state("ready")
        log = machine.log.read_text()
        assert "what is served goes on" in log
        assert "answers again" in log


class TestPortInUse:
    def test_is_named(self, store_settings: Settings) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = listener.getsockname()[1]
            settings = msgspec.structs.replace(store_settings, serving=f"http://127.0.0.1:{port}")
            command = [sys.executable, "-m", "airlock.deployment.reconciler"]
            environment = os.environ | settings.environment()
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert f"port {port} cannot be taken" in done.stderr


def tamper(superuser: Database, statement: str) -> None:
    """Change the ledger as whoever owns the whole server can."""
    with superuser.transaction() as cursor:
        cursor.execute("ALTER TABLE airlock.ledger DISABLE TRIGGER ALL")
        cursor.execute(statement)


def forge(superuser: Database, body: dict[str, Any]) -> None:
    """Append an unsigned closing that fits the chain."""
    with superuser.transaction() as cursor:
        cursor.execute("SELECT seq, hash FROM airlock.ledger ORDER BY seq DESC LIMIT 1")
        last = cursor.fetchone() or {}
        fields = {"seq": last["seq"] + 1, "kind": "closed", "use_case": body["use_case"], "body": body}
        text = canonical(fields | {"previous": last["hash"], "key_id": "", "created": time.time()})
        cursor.execute(
            "INSERT INTO airlock.ledger (seq, record, hash, signature) VALUES (%s, %s, %s, '')",
            (fields["seq"], text.decode(), digest_bytes(text)),
        )


def _alter(folder: Path, content: bytes) -> None:
    (path,) = (path for path in folder.rglob("*") if path.is_file() and path.read_bytes() == content)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
