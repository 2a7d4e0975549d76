"""Downloads: what a server may answer, and who must act."""

import socket
import threading

import httpx
import pytest

from airlock.data.download import download, fingerprint, shown
from airlock.errors import AirlockError, InfrastructureError, SourceError


@pytest.fixture
def fetch(tmp_path):
    """Give ``fetch(url)``: the bytes downloaded, and the progress reported on the way."""

    def run(url, max_bytes=10 << 20):
        seen: list[tuple[int, int, str]] = []
        path = download(url, tmp_path / "file", max_bytes=max_bytes, report=lambda *figures: seen.append(figures))
        return path.read_bytes(), seen

    return run


def test_bytes_arrive_as_they_are_and_progress_is_reported(fetch, site):
    body = bytes(range(256)) * 10_000
    data, seen = fetch(site.serve("/data.gz", body, Content_Type="application/gzip"))
    assert data == body
    assert seen[-1] == (len(body), len(body), "byte")
    assert len(seen) == 3, "one report per MiB"


def test_redirects_are_followed(fetch, site):
    target = site.serve("/new", b"data")
    assert fetch(site.serve("/old", b"", status=301, Location=target))[0] == b"data"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_error_that_a_retry_does_not_cure(fetch, site, status):
    with pytest.raises(SourceError, match=rf"/x answers {status}"):
        fetch(site.serve("/x", b"no", status=status))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_error_that_a_retry_may_cure(fetch, site, status):
    with pytest.raises(InfrastructureError, match=rf"/x answers {status}"):
        fetch(site.serve("/x", b"no", status=status))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<p>Please log in</p>", "text/html; charset=utf-8"),
        (b"\n <!DOCTYPE HTML><title>x</title>", "application/octet-stream"),
        (b"<html><body>x", "application/gzip"),
    ],
)
def test_html_instead_of_data(fetch, site, tmp_path, body, kind):
    with pytest.raises(SourceError, match="HTML page, not data") as caught:
        fetch(site.serve("/data.gz", body, Content_Type=kind))
    assert "file itself" in caught.value.hint


def test_zero_bytes(fetch, site):
    with pytest.raises(SourceError, match="serves zero bytes"):
        fetch(site.serve("/data.gz", b""))


def test_more_than_the_limit_is_refused_before_it_is_read(fetch, site):
    with pytest.raises(SourceError, match=r"2,000 bytes or more, above max_bytes=1,000") as caught:
        fetch(site.serve("/data.gz", bytes(2000)), max_bytes=1000)
    assert "max_bytes" in caught.value.hint


def test_more_than_the_limit_without_a_declared_length(fetch):
    with stub(b"HTTP/1.0 200 OK\r\n\r\n" + bytes(3 << 20)) as url, pytest.raises(SourceError, match="max_bytes"):
        fetch(url, max_bytes=1 << 20)


def test_server_that_breaks_off(fetch):
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + bytes(100)
    with stub(reply) as url, pytest.raises(InfrastructureError, match="cannot be fetched"):
        fetch(url)


def test_nobody_listens(fetch, free_port):
    with pytest.raises(InfrastructureError, match=f"127.0.0.1:{free_port}") as caught:
        fetch(f"http://127.0.0.1:{free_port}/x")
    assert "run the task again" in caught.value.hint


def test_redirects_in_a_circle(fetch, site):
    with pytest.raises(SourceError, match="redirect"):
        fetch(site.serve("/loop", b"", status=302, Location=site.url + "/loop"))


def test_secrets_in_a_url_are_not_shown(fetch, free_port):
    url = f"http://user:secret@127.0.0.1:{free_port}/x?signature=secret"
    assert shown(url) == f"http://127.0.0.1:{free_port}/x"
    with pytest.raises(AirlockError) as caught:
        fetch(url)
    assert "secret" not in str(caught.value)


class TestFingerprint:
    def test_same_etag_same_fingerprint(self, site):
        url = site.serve("/x", b"data", ETag='"1"')
        before = fingerprint(url)
        assert fingerprint(url) == before
        site.serve("/x", b"data", ETag='"2"')
        assert fingerprint(url) != before

    def test_server_without_marks_is_never_taken_as_unchanged(self, site):
        url = site.serve("/x", b"data")
        assert fingerprint(url) != fingerprint(url)

    def test_404(self, site):
        with pytest.raises(SourceError, match="404"):
            fingerprint(site.url + "/nowhere")


class stub:  # noqa: N801 - reads as a verb
    """A server on loopback that answers one request with given bytes and closes."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.answer)

    def answer(self) -> None:
        connection, _ = self.socket.accept()
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(self.reply)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                print("the client hung up")

    def __enter__(self) -> str:
        self.thread.start()
        return str(httpx.URL(scheme="http", host="127.0.0.1", port=self.socket.getsockname()[1], path="/x"))

    def __exit__(self, *_: object) -> None:
        self.thread.join()
        self.socket.close()
