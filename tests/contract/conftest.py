"""S3 servers: radosgw, which is one, and moto, which has no authentication but a real create-if-absent."""

import uuid
from collections.abc import Iterator

import pytest

from tests.services import radosgw
from tests.services.radosgw import S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Run radosgw for the session, in memory."""
    if reason := radosgw.missing():
        pytest.skip(reason)
    with radosgw.running() as server:
        yield server


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """Run moto in this process."""
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield S3Server(endpoint=f"http://{host}:{port}", access_key="test", secret_key="test")
    server.stop()


@pytest.fixture
def s3_uri(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URI of an empty prefix on radosgw, reachable through boto3's usual variables."""
    return _prefix(s3_server, monkeypatch)


@pytest.fixture
def moto_uri(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URI of an empty prefix on moto."""
    return _prefix(moto_server, monkeypatch)


def _prefix(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    import boto3

    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="airlock")
    return f"s3://airlock/{uuid.uuid4().hex}"
