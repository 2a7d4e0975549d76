"""The S3 source: a prefix of objects, or one file; against moto's server, and a server that misbehaves."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from data_files import assert_refused, png

from airlock.data.sources import parse_source
from airlock.errors import UserError


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Run moto's S3 server; give its URL."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """Give a bucket of this test's own, with three images in it."""
    import boto3

    variables = {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}
    for name, value in (variables | {"ENDPOINT_URL": s3_server}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    found = boto3.resource("s3").create_bucket(Bucket=f"b{abs(hash(request.node.nodeid))}")
    for number, name in enumerate(("cat/1.png", "cat/2.png", "dog/3.png"), start=1):
        found.put_object(Key=f"pets/{name}", Body=png(number))
    return found


def test_a_prefix_of_objects(ingest, rows, bucket):
    bucket.put_object(Key="pets/", Body=b"")
    bucket.put_object(Key="pets/cat/.hidden", Body=b"x")
    bucket.put_object(Key="pets-of-others/cat/9.png", Body=b"x")
    result = ingest(kind="s3", location=f"s3://{bucket.name}/pets")
    found = rows(result.outputs["samples"]).to_pylist()
    assert {row["source"]: row["label"] for row in found} == {
        "cat/1.png": "cat",
        "cat/2.png": "cat",
        "dog/3.png": "dog",
    }
    assert [row["content"] for row in found] == [png(1), png(2), png(3)]


def test_more_objects_than_a_page(ingest, bucket):
    for number in range(1100):
        bucket.put_object(Key=f"many/x/{number}", Body=str(number).encode())
    assert ingest(kind="s3", location=f"s3://{bucket.name}/many/").outputs["rows"] == 1100


def test_fingerprint_follows_the_objects(bucket):
    source = parse_source({"kind": "s3", "location": f"s3://{bucket.name}/pets"})
    before = source.fingerprint()
    assert source.fingerprint() == before
    bucket.put_object(Key="pets/cat/1.png", Body=png(9))
    assert source.fingerprint() != before


def test_an_archive_in_a_bucket(ingest, bucket, tmp_path):
    from test_source_tar import PETS, tar

    bucket.put_object(Key="pets.tgz", Body=tar(tmp_path / "pets.tgz", PETS).read_bytes())
    result = ingest(kind="tar", location=f"s3://{bucket.name}/pets.tgz")
    assert result.outputs["rows"] == 3
    assert parse_source({"kind": "tar", "location": f"s3://{bucket.name}/pets.tgz"}).fingerprint()


def test_an_object_is_resumed(bucket, tmp_path):
    from airlock.data.sources.bucket import Bucket

    body = bytes(range(256)) * 10_000
    bucket.put_object(Key="big", Body=body)
    target, location = tmp_path / "big", f"s3://{bucket.name}/big"
    seen: list[int] = []
    arguments: dict[str, Any] = {"max_bytes": 1 << 30, "sha256": "", "report": lambda done, *_: seen.append(done)}
    assert Bucket().download(location, target, **arguments).read_bytes() == body
    target.rename(tmp_path / "big.part")
    with (tmp_path / "big.part").open("r+b") as file:
        file.truncate(2_000_000)
    seen.clear()
    assert Bucket().download(location, target, **arguments).read_bytes() == body
    assert seen[0] > 2_000_000
    seen.clear()
    Bucket().download(location, target, **arguments)
    assert seen == [], "a whole file is not fetched again"


def test_no_bucket(ingest, bucket):
    result = ingest(kind="s3", location="s3://no-such-bucket-here/pets")
    assert_refused(result, "SourceError", "s3://no-such-bucket-here/pets", "404 NoSuchBucket", "aws s3 ls")


def test_empty_prefix(ingest, bucket):
    assert_refused(ingest(kind="s3", location=f"s3://{bucket.name}/nothing"), "SourceError", "no sample")


def test_object_larger_than_allowed(ingest, bucket):
    bucket.put_object(Key="pets/cat/big", Body=bytes(5000))
    result = ingest(kind="s3", location=f"s3://{bucket.name}/pets", max_member_bytes=4000)
    assert_refused(result, "SourceError", "cat/big", "5,000 bytes", "4,000", "max_member_bytes")


def test_no_credentials(ingest, bucket, monkeypatch, tmp_path):
    public = list(bucket.objects.all())  # whose client keeps the credentials it began with
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    location = f"s3://{bucket.name}/pets"
    assert_refused(ingest(kind="s3", location=location), "UserError", location, "no credentials", "anonymous=true")
    forbidden = ingest(kind="s3", location=location, anonymous=True)
    assert_refused(forbidden, "SourceError", "403", "Check the credentials")
    for item in public:
        item.Acl().put(ACL="public-read")
    assert ingest(kind="s3", location=location, anonymous=True).outputs["rows"] == 3


def test_no_place_in_s3(ingest):
    assert_refused(ingest(kind="s3", location="/tmp/x"), "UserError", "'/tmp/x' is no place in S3", "s3://bucket")
    with pytest.raises(UserError, match="colour"):
        parse_source({"kind": "s3", "location": "s3://b", "colour": "red"})


@pytest.fixture
def misbehaving(monkeypatch) -> Iterator[Any]:
    """Give ``misbehaving(status, code, delay)``: the endpoint of a server that always answers so."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "test")

    def start(status: int, code: str, delay: float = 0.0) -> str:
        body = f"<Error><Code>{code}</Code><Message>as told</Message></Error>".encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                time.sleep(delay)
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    return

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def test_forbidden(ingest, misbehaving):
    result = ingest(kind="s3", location="s3://b/pets", endpoint=misbehaving(403, "AccessDenied"))
    assert_refused(result, "SourceError", "s3://b/pets", "403 AccessDenied", "Check the credentials")


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable")])
def test_busy_or_broken(ingest, misbehaving, status, code):
    result = ingest(kind="s3", location="s3://b/pets", endpoint=misbehaving(status, code))
    parts = ("s3://b/pets", f"{status} {code}", "run the task again")
    assert_refused(result, "InfrastructureError", *parts, category="infrastructure")


def test_timeout(ingest, misbehaving):
    endpoint = misbehaving(200, "x", delay=2.0)
    result = ingest(kind="s3", location="s3://b/pets", endpoint=endpoint, read_timeout=0.3)
    assert_refused(result, "InfrastructureError", "s3://b/pets", "timeout", "network", category="infrastructure")


def test_nobody_listens(ingest, misbehaving, free_port):
    result = ingest(kind="s3", location="s3://b/pets", endpoint=f"http://127.0.0.1:{free_port}")
    assert_refused(result, "InfrastructureError", str(free_port), "Check the endpoint", category="infrastructure")
