"""A server that has too much to do, is told to stop, or wants to know who asks: 429, 503 and 401, in words."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from airlock.deployment.child import Child
from airlock.deployment.keys import add_key
from airlock.deployment.package import Package
from airlock.deployment.smoke import smoke
from airlock.errors import UserError
from airlock.settings import settings

pytestmark = pytest.mark.integration
Serve = Callable[..., Child]
PNG = {"Content-Type": "image/png"}
INFER = "/v2/models/shapes/infer"
SLEEPY = b"""
import time

import numpy as np


def transform(image):
    picture = np.asarray(image.convert("L").resize((8, 8)), dtype=np.uint8)[..., np.newaxis]
    if not picture.any():
        time.sleep(1.5)
    return picture
"""


@pytest.fixture
def sleepy(make_package: Callable[..., Package]) -> Package:
    """A package whose preprocessing takes long over dark pictures."""
    return make_package(transform=SLEEPY)


@pytest.fixture
def dark(png: Callable[..., bytes]) -> bytes:
    return png("top", bright=0)


def tensor(values: int = 0) -> dict[str, object]:
    return {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 1], "data": [values] * 64}]}


class TestQueueThatIsFull:
    def test_is_answered_429_with_when_to_come_again(self, serve: Serve, sleepy: Package, dark: bytes) -> None:
        server = serve(sleepy, queue=2)
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(httpx.post, server.url + "/predict", content=dark, headers=PNG) for _ in range(6)]
            replies = [one.result() for one in asked]
        assert sorted({reply.status_code for reply in replies}) == [200, 429]
        refused = next(reply for reply in replies if reply.status_code == 429)
        assert refused.headers["Retry-After"] == "1"
        assert "requests wait here already" in refused.json()["error"]
        assert refused.json()["manifest"] == server.manifest
        assert httpx.get(server.url + "/v2/health/ready").status_code == 200

    def test_of_bodies_is_answered_429_too(self, serve: Serve, package: Package) -> None:
        server = serve(package, buffered_bytes=1 << 20)
        reply = httpx.post(server.url + INFER, content=b"[" * (2 << 20), headers={"Content-Type": "application/json"})
        assert reply.status_code == 429
        assert "filled the memory" in reply.json()["error"]
        assert httpx.post(server.url + INFER, json=tensor()).status_code == 200


class TestInputThatTakesTooLong:
    def test_is_answered_503_and_the_server_is_not_ready_meanwhile(
        self, serve: Serve, sleepy: Package, dark: bytes, wait: Callable[..., float]
    ) -> None:
        server = serve(sleepy, timeout=0.4)
        reply = httpx.post(server.url + "/predict", content=dark, headers=PNG)
        assert reply.status_code == 503
        assert "not prepared within 0.4 s" in reply.json()["error"]
        assert httpx.get(server.url + "/v2/health/ready").status_code == 503
        wait(server.ready, seconds=10, what="ready again")

    def test_to_arrive_is_answered_408(self, serve: Serve, package: Package) -> None:
        server = serve(package, body_seconds=0.5)
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode())
            stop = threading.Event()

            def drip() -> None:
                while not stop.wait(0.1):
                    try:
                        slow.sendall(b"[")
                    except OSError:
                        return

            thread = threading.Thread(target=drip)
            thread.start()
            slow.settimeout(10)
            answer = slow.recv(4096)
            stop.set()
            thread.join()
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"did not arrive within 0.5 s" in answer


class TestModelThatAnswersNaN:
    def test_is_the_servers_fault_and_nobody_sees_it(self, serve: Serve, make_package: Callable[..., Package]) -> None:
        server = serve(make_package("brittle"))
        reply = httpx.post(server.url + INFER, json=tensor(0))
        assert reply.status_code == 500
        assert "NaN" not in reply.text
        assert "no finite numbers" in server.log.read_text()
        assert httpx.post(server.url + INFER, json=tensor(9)).status_code == 200


class TestServerThatIsToldToStop:
    def test_finishes_what_it_has_and_takes_nothing_new(self, serve: Serve, sleepy: Package, dark: bytes) -> None:
        server = serve(sleepy)
        with ThreadPoolExecutor(1) as pool, httpx.Client() as other:
            other.get(server.url + "/v2/health/ready")
            asked = pool.submit(httpx.post, server.url + "/predict", content=dark, headers=PNG)
            time.sleep(0.5)
            server._process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            late = other.post(server.url + INFER, json=tensor())
            assert late.status_code == 503
            assert "stopping" in late.json()["error"]
            assert other.get(server.url + "/v2/health/ready").status_code == 503
            assert asked.result().status_code == 200
        assert server._process.wait(10) in (0, -signal.SIGTERM)


class TestServerWithKeys:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "keys.json"

    @pytest.fixture
    def key(self, file: Path) -> str:
        return add_key(file, "ana", days=1)

    @pytest.fixture
    def server(self, serve: Serve, package: Package, file: Path, key: str) -> Iterator[Child]:
        return serve(package, keys=str(file))

    def test_asks_for_one(self, server: Child, key: str, file: Path) -> None:
        assert key not in file.read_text()
        url = server.url + INFER
        refused = httpx.post(url, json=tensor())
        assert refused.status_code == 401
        assert "wants an API key" in refused.json()["error"]
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert httpx.post(url, json=tensor(), headers={"X-API-Key": key}).status_code == 200
        assert httpx.post(url, json=tensor(), headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert "not known" in httpx.post(url, json=tensor(), headers={"X-API-Key": key + "x"}).json()["error"]
        assert httpx.get(server.url + "/get_config").status_code == 401

    def test_is_asked_by_steps_with_the_key_of_the_settings(
        self, server: Child, key: str, package: Package, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(UserError, match="wants an API key"):
            smoke(server.url, package, server.manifest, requests=1)
        monkeypatch.setenv("AIRLOCK_SERVING_KEY", key)
        settings.cache_clear()
        try:
            smoke(server.url, package, server.manifest, requests=1).require_same()
        finally:
            settings.cache_clear()

    def test_says_that_one_expired(self, server: Child, file: Path, wait: Callable[..., float]) -> None:
        old = add_key(file, "ben", days=-1)

        def error() -> str:
            return str(httpx.post(server.url + INFER, json=tensor(), headers={"X-API-Key": old}).json()["error"])

        wait(lambda: "key of ben expired on" in error(), seconds=5, what="the file is read again")


class TestBatches:
    @pytest.mark.parametrize("options", [{"batch": 1}, {"batch": 8}, {"batch": 8, "delay_us": 2000}])
    def test_give_everybody_their_own_answer(
        self, serve: Serve, make_package: Callable[..., Package], options: dict[str, int]
    ) -> None:
        server = serve(make_package("sharp"), **options)
        pictures = np.random.default_rng(1).integers(0, 255, (40, 8, 8, 1)).tolist()

        def ask(http: httpx.Client, picture: object) -> list[float]:
            given = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 1], "data": [picture]}
            found = http.post(server.url + INFER, json={"inputs": [given]}).json()["outputs"][0]["data"]
            assert len(found) == 3
            return list(found)

        with httpx.Client() as http:
            alone = [ask(http, picture) for picture in pictures]
            with ThreadPoolExecutor(16) as pool:
                together = list(pool.map(lambda picture: ask(http, picture), pictures))
        assert np.allclose(alone, together, atol=1e-6)
