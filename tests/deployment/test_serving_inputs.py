"""What `/predict` takes and gives: URLs, samples, files and large outputs; and what schemathesis makes of the rest."""

import io
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import httpx
import pytest

from airlock.deployment.child import Child
from airlock.deployment.package import Package

pytestmark = pytest.mark.integration
PNG = {"Content-Type": "image/png"}


class TestUrl:
    @pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://169.254.169.254/latest", "http://[::1]:1/x.png"])
    def test_that_points_inside_is_refused(self, server: Child, url: str) -> None:
        for reply in (
            httpx.post(server.url + "/predict", json={"url": url}),
            httpx.post(server.url + "/predict", params={"fileurl": url}),
        ):
            assert reply.status_code == 422
            assert "not a public one" in reply.json()["error"]

    def test_of_the_server_itself_is_fetched_only_where_its_host_is_allowed(
        self, serve: Callable[..., Child], package: Package
    ) -> None:
        server = serve(package, allowed_hosts=["localhost"])
        reply = httpx.post(server.url + "/predict", json={"url": f"http://localhost:{server.port}/get_config"})
        assert reply.status_code == 415
        assert "content type is application/json" in reply.json()["error"]


class TestPackageItself:
    def test_answers_its_samples(self, server: Child, package: Package) -> None:
        for number, sample in enumerate(package.samples):
            for name in (str(number), sample.file):
                found = httpx.get(server.url + "/predict_sample", params={"sample": name}).json()
                assert found["label"] == sample.label
        assert httpx.get(server.url + "/predict_sample", params={"sample": "99"}).status_code == 404

    def test_can_be_had_as_a_zip(self, server: Child, package: Package) -> None:
        archive = zipfile.ZipFile(io.BytesIO(httpx.get(server.url + "/get_model_files").content))
        assert {name: archive.read(name) for name in archive.namelist()} == package.files


class TestLargeOutput:
    def test_comes_as_hdf5_from_an_address_nobody_guesses(
        self, serve: Callable[..., Child], package: Package, png: Callable[..., bytes]
    ) -> None:
        server = serve(package, large_values=3, outputs_seconds=1.0)
        answer = httpx.post(server.url + "/predict", content=png("left"), headers=PNG).json()
        url = server.url + answer["url"].removeprefix("/shapes")
        with h5py.File(io.BytesIO(httpx.get(url).content)) as file:
            assert file["probabilities"][:].argmax() == 0
        assert httpx.get(url + "x").status_code == 404
        assert httpx.get(server.url + "/outputs/..%2f..%2fetc%2fpasswd").status_code == 404
        time.sleep(1.1)
        assert httpx.get(url).status_code == 404

    def test_for_which_there_is_no_room_is_refused(
        self, serve: Callable[..., Child], package: Package, png: Callable[..., bytes]
    ) -> None:
        server = serve(package, large_values=1, outputs_bytes=1)
        reply = httpx.post(server.url + "/predict", content=png("left"), headers=PNG)
        assert reply.status_code == 503
        assert "no room for this output" in reply.json()["error"]


class TestSchemathesis:
    def test_finds_no_server_error(self, serve: Callable[..., Child], package: Package, tmp_path: Path) -> None:
        server = serve(package)
        done = subprocess.run(
            [Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json", "--url", server.url,
             "--checks", "not_a_server_error,response_schema_conformance,status_code_conformance",
             "--max-examples", "30", "--seed", "7", "--phases", "examples,coverage,fuzzing", "--mode", "all",
             "--generation-database", "none", "--request-timeout", "10", "--max-time", "25"],
            capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        )  # fmt: skip
        print(done.stdout[-3000:])
        assert done.returncode == 0, done.stdout[-6000:]
        assert server.ready()
