"""A step runner without services, a web server on loopback, and the real Fashion-MNIST subset."""

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import CHECKOUT

from airlock.references import Artifact
from airlock.settings import Settings
from airlock.steps.contract import Result, RunInfo, Spec
from airlock.steps.runner import run_spec
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.layers import open_layers

NUMBERS = itertools.count(1)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_layers(Settings(home=str(tmp_path), artifacts=(tmp_path / "artifacts").as_uri()))


@pytest.fixture
def bare_step(tmp_path: Path) -> Callable[..., Result]:
    """Give ``bare_step(name, **inputs)`` for steps that need no database."""
    settings = Settings(home=str(tmp_path), artifacts=(tmp_path / "artifacts").as_uri())

    def run(step: str, **inputs: Any) -> Result:
        number = next(NUMBERS)
        info = RunInfo(dag="test", run="run", task=step, attempt=number)
        return run_spec(Spec(step=step, inputs=inputs, run=info, result=f"results/{number}.json"), settings)

    return run


@pytest.fixture
def ingest(bare_step: Callable[..., Result]) -> Callable[..., Result]:
    """Give ``ingest(kind=…, location=…, …)``."""
    return lambda limit=0, **source: bare_step("ingest", source=source, limit=limit)


@pytest.fixture
def rows(store: ArtifactStore, tmp_path: Path) -> Callable[[dict[str, Any]], pa.Table]:
    """Give ``rows(artifact)``: the table of a Parquet artifact."""

    def read(artifact: dict[str, Any]) -> pa.Table:
        reference = Artifact(digest=artifact["digest"], size=artifact["size"])
        return pq.read_table(store.fetch(reference, tmp_path / f"{next(NUMBERS)}.parquet"))

    return read


class Site:
    """A web site: path to (status, headers, body)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}

    def serve(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (status, {"Content-Length": str(len(body)), **named}, body)
        return self.url + path


@pytest.fixture
def site() -> Iterator[Site]:
    """Run a web server on loopback that serves what the test puts on it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = page.pages.get(self.path, (404, {"Content-Length": "0"}, b""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        page = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield page
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def fashion() -> Path:
    """Give the folder with the real Fashion-MNIST subset, or say why there is none."""
    named = os.environ.get("AIRLOCK_TEST_DATA")
    root = Path(named) if named else CHECKOUT.parent / "shared" / "data"
    if not (root / "fashion-mnist").is_dir():
        pytest.skip(f"no real Fashion-MNIST below {root}: name the folder above it with AIRLOCK_TEST_DATA")
    return root / "fashion-mnist"


@pytest.fixture
def dripping() -> Iterator[str]:
    """Give the URL of a server that sends a byte now and then."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            try:
                while not stop.wait(0.02):
                    self.wfile.write(b"x")
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/slow"
        stop.set()
        server.shutdown()
        thread.join()
