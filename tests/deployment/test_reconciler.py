"""The reconciler as a real process on a real PostgreSQL: serves what is approved, and nothing else, whatever dies."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest
from serving_machine import Machine

from airlock.deployment.client import ModelClient
from airlock.deployment.package import Package
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.references import Artifact
from airlock.settings import Settings
from airlock.stores.database import Database

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

    def test_in_a_ledger_that_was_altered(
        self,
        machine: Machine,
        release_of: Callable[[Package], Artifact],
        package: Package,
        superuser: Database,
    ) -> None:
        release = release_of(package)
        machine.approve(release, approved=False)
        with superuser.transaction() as cursor:
            cursor.execute("ALTER TABLE airlock.ledger DISABLE TRIGGER ALL")
            cursor.execute("UPDATE airlock.ledger SET body = replace(body, '\"approved\":false', '\"approved\":true')")
        machine.start()
        machine.want(release)
        assert "does not verify" in machine.wait_state("refused").detail

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


def _alter(folder: Path, content: bytes) -> None:
    (path,) = (path for path in folder.rglob("*") if path.is_file() and path.read_bytes() == content)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
