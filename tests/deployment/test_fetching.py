"""Inputs by URL: nothing inside is reached, whatever the address looks like, and nothing outside may take its time."""

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airlock.deployment.fetching import Fetched, Fetcher, public
from airlock.errors import SourceError

LIMIT = 1000


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self) -> None:
        paths: dict[str, Callable[[], None]] = {
            "/good": lambda: self.say(200, b"picture"),
            "/missing": lambda: self.say(404, b""),
            "/large": lambda: self.say(200, b"x" * (LIMIT + 1)),
            "/packed": lambda: self.say(200, b"x", {"Content-Encoding": "gzip"}),
            "/inside": lambda: self.say(302, b"", {"Location": "http://127.0.0.1:1/secret"}),
            "/metadata": lambda: self.say(302, b"", {"Location": "http://169.254.169.254/latest/meta-data"}),
            "/file": lambda: self.say(302, b"", {"Location": "file:///etc/passwd"}),
            "/once": lambda: self.say(301, b"", {"Location": "/good"}),
            "/loop": lambda: self.say(302, b"", {"Location": "/loop"}),
            "/drip": self.drip,
        }
        paths[self.path]()

    def say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (
            {"Content-Type": "image/png; x=1", "Content-Length": str(len(body))} | (headers or {})
        ).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)
        except OSError:
            return

    def log_message(self, *_arguments: object) -> None:
        return


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """Run a web server; return its URL by name, which resolves to a private address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch(url: str, allowed: list[str] | None = None, seconds: float = 5.0) -> Fetched:
    return asyncio.run(Fetcher(LIMIT, seconds, allowed or []).fetch(url))


class TestAllowedHost:
    def test_is_fetched_from(self, web: str) -> None:
        assert fetch(web + "/good", ["LocalHost"]) == Fetched(b"picture", "image/png")

    def test_may_redirect_to_itself(self, web: str) -> None:
        assert fetch(web + "/once", ["localhost"]).content == b"picture"

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("/inside", "127.0.0.1, which is not a public one"),
            ("/metadata", "169.254.169.254, which is not a public one"),
            ("/file", "no http or https URL"),
            ("/loop", "redirects more than 3 times"),
            ("/large", "more than 1000 bytes"),
            ("/packed", "compressed content"),
            ("/missing", "answered 404"),
        ],
    )
    def test_does_not_lead_elsewhere(self, web: str, path: str, words: str) -> None:
        with pytest.raises(SourceError, match=words):
            fetch(web + path, ["localhost"])

    def test_that_drips_is_left_in_time(self, web: str) -> None:
        started = time.monotonic()
        with pytest.raises(SourceError, match=r"within 0\.5 s"):
            fetch(web + "/drip", ["localhost"], seconds=0.5)
        assert time.monotonic() - started < 3


class TestUrlThatPointsInside:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
            "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[::ffff:127.0.0.1]",
            "[::ffff:169.254.169.254]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]",
            "[fc00::1]", "[ff02::1]",
        ],
    )  # fmt: skip
    def test_is_refused_before_anything_is_sent(self, host: str) -> None:
        with pytest.raises(SourceError, match=r"not a public one|is not known"):
            fetch(f"http://{host}:9/secret")

    @pytest.mark.parametrize(
        "url",
        ["ftp://example.org/", "file:///etc/passwd", "gopher://x", "//x", "words", "", "http://", "http://x:99999/",
         "http://[::1/", "http://a b/", "http://x/\r\nHost: y", "http://x/" + "a" * 3000],
    )  # fmt: skip
    def test_is_no_url(self, url: str) -> None:
        with pytest.raises(SourceError, match="no http or https URL"):
            fetch(url)

    def test_names_a_user(self) -> None:
        with pytest.raises(SourceError, match="names a user"):
            fetch("http://ana:secret@example.org/")

    def test_uses_no_proxy_of_the_environment(self, monkeypatch: pytest.MonkeyPatch, web: str) -> None:
        monkeypatch.setenv("http_proxy", web)
        with pytest.raises(SourceError, match="not a public one"):
            fetch("http://127.0.0.1:9/")


class TestNameThatAnswersTwice:
    def test_is_resolved_once_and_every_address_is_checked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []

        def resolve(host: str, port: int, *_more: object, **_named: object) -> list[tuple[object, ...]]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("8.8.8.8", "10.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with pytest.raises(SourceError, match=r"10\.0\.0\.1, which is not a public one"):
            fetch("http://rebinding.example/")
        assert asked == ["rebinding.example"]


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_public_addresses_are_public(address: str) -> None:
    assert public(ipaddress.ip_address(address))
