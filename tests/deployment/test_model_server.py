"""The real server as a process: the whole contract, what it refuses, and that it only serves what was released."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from airlock.deployment import badinput
from airlock.deployment.child import Child
from airlock.deployment.client import ModelClient
from airlock.deployment.contract import Contract
from airlock.deployment.package import Package
from airlock.errors import InfrastructureError, UserError
from airlock.references import Artifact

pytestmark = pytest.mark.integration
MakePackage = Callable[..., Package]


@pytest.fixture
def release(package: Package, release_of: Callable[[Package], Artifact]) -> Artifact:
    return release_of(package)


@pytest.fixture
def folder(release: Artifact, laid_out: Callable[[Artifact], Path]) -> Path:
    return laid_out(release)


class TestServer:
    def test_keeps_the_whole_contract(self, server: Child, package: Package) -> None:
        checks = Contract(server.url, package, server.manifest).run()
        assert [check for check in checks if not check.passed] == []
        assert len(checks) > 50

    def test_breaks_the_contract_of_another_release(self, server: Child, make_package: MakePackage) -> None:
        checks = Contract(server.url, make_package("sharp"), "sha256:" + "0" * 64).run()
        failed = {check.name for check in checks if not check.passed}
        assert {"alive: the answer names the manifest", "samples/00.png as a body: same output"} <= failed

    def test_needs_less_than_150_megabytes(self, server: Child) -> None:
        memory = psutil.Process(server.pid).memory_info().rss / 1e6
        print(f"server: {memory:.0f} MB resident")
        assert memory < 150

    def test_gets_no_password_of_the_stores(self, server: Child) -> None:
        assert not [name for name in psutil.Process(server.pid).environ() if name.startswith(("AIRLOCK_", "AWS_"))]

    def test_knows_colour_pictures_of_another_size(self, server: Child, png: Callable[..., bytes]) -> None:
        with ModelClient(server.url) as client:
            assert client.predict(png("top", size=64)).label == "top"

    def test_says_what_is_wrong_with_an_image(self, server: Child) -> None:
        with ModelClient(server.url) as client, pytest.raises(UserError, match="not an image that can be read"):
            client.predict(b"words")

    def test_body_without_a_length_is_limited_too(self, server: Child, package: Package) -> None:
        limit = package.config.limits.body_bytes
        chunks = (b"\0" * (1 << 20) for _ in range(limit // (1 << 20) + 1))
        reply = httpx.post(server.url + "/predict", content=chunks, headers={"Content-Type": "image/png"})
        assert reply.status_code == 413
        assert str(limit) in reply.json()["error"]

    def test_answers_others_while_a_client_sends_nothing(self, server: Child) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
            assert server.ready()

    @pytest.mark.parametrize("count", [1, 7])
    def test_answers_batches_through_the_inference_protocol(self, server: Child, count: int) -> None:
        tensor = {"name": "image", "datatype": "UINT8", "shape": [count, 8, 8, 1], "data": [0] * 64 * count}
        reply = httpx.post(server.url + "/v2/models/shapes/infer", json={"inputs": [tensor]}).json()
        assert reply["outputs"][0]["shape"] == [count, 3]
        assert reply["outputs"][0]["data"] == pytest.approx([1 / 3] * 3 * count)


class TestPackageThatIsNotTheReleased:
    def serve(self, folder: Path, manifest: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "airlock.deployment.server", "--package", str(folder / "package"),
                   "--manifest", manifest, "--port", "1"]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def test_with_an_altered_file_is_refused(self, folder: Path, release: Artifact) -> None:
        (folder / "package" / "preprocessing.py").write_text("def transform(image): ...\n")
        done = self.serve(folder, release.digest)
        assert done.returncode == 3
        assert "the release manifest names" in done.stderr

    def test_with_an_altered_manifest_is_refused(self, folder: Path, release: Artifact) -> None:
        path = folder / "release.json"
        path.write_bytes(path.read_bytes().replace(b"shapes", b"shopes"))
        assert "hashes to" in self.serve(folder, release.digest).stderr

    def test_under_another_digest_is_refused(self, folder: Path) -> None:
        assert self.serve(folder, "sha256:" + "0" * 64).returncode == 3

    def test_without_a_manifest_is_refused(self, folder: Path, release: Artifact) -> None:
        (folder / "release.json").unlink()
        done = self.serve(folder, release.digest)
        assert done.returncode == 3
        assert "--release FILE" in done.stderr


class TestModelThatAnswersOtherwiseThanPackaged:
    def test_is_never_ready_and_says_why(
        self,
        make_package: MakePackage,
        release_of: Callable[[Package], Artifact],
        laid_out: Callable[[Artifact], Path],
        tmp_path: Path,
        wait: Callable[..., float],
    ) -> None:
        package, other = make_package("soft"), make_package("sharp")
        release = release_of(Package(package.files | {"model.tflite": other.files["model.tflite"]}))
        child = Child(laid_out(release), release.digest, "shapes", tmp_path / "log")
        wait(lambda: not child.alive(), seconds=60, what="the server ends")
        assert "exit status 3" in child.obituary()
        assert "samples differ" in child.obituary()
        child.stop()


class TestServerThatIsStopped:
    def test_leaves_no_process(
        self, folder: Path, release: Artifact, tmp_path: Path, wait: Callable[..., float]
    ) -> None:
        child = Child(folder, release.digest, "shapes", tmp_path / "log")
        seconds = wait(child.ready, seconds=60, what="the server is ready")
        print(f"server: ready after {seconds:.1f} s")
        child.stop()
        assert not psutil.pid_exists(child.pid)


class TestParentThatIsKilled:
    def test_takes_its_server_with_it(
        self, folder: Path, release: Artifact, tmp_path: Path, wait: Callable[..., float]
    ) -> None:
        script = (
            "import sys, time; from pathlib import Path; from airlock.deployment.child import Child\n"
            f"child = Child(Path({str(folder)!r}), {release.digest!r}, 'shapes', Path({str(tmp_path / 'log')!r}))\n"
            "while not child.ready(): time.sleep(0.1)\n"
            "print(child.pid, flush=True); time.sleep(600)"
        )
        parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert parent.stdout
        pid = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        wait(lambda: not _runs(pid), seconds=15, what="the server ends")


class TestEndpointThatIsGone:
    def test_is_an_infrastructure_error_that_names_it(self, free_port: int) -> None:
        with ModelClient(f"http://127.0.0.1:{free_port}") as client:
            with pytest.raises(InfrastructureError, match=str(free_port)):
                client.predict(b"")
            assert client.manifest() is None


def test_bomb_is_small_and_claims_to_be_large() -> None:
    assert len(badinput.png_header(50_000, 50_000)) < 200


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
