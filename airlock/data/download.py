"""Downloads: a URL to a file, with limits, or an error that says who must act."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from airlock.data.files import written
from airlock.digests import digest_document
from airlock.errors import InfrastructureError, SourceError

Report = Callable[[int, int, str], None]
TIMEOUT = httpx.Timeout(60, connect=20)
CHUNK = 1 << 20
# A busy or restarting server answers these; any other error status will not go away by itself.
RETRY = {408, 425, 429, 500, 502, 503, 504}


def is_url(location: str) -> bool:
    """Say whether a location is an http(s) URL; anything else is a path."""
    return urlsplit(location).scheme in ("http", "https")


def shown(url: str) -> str:
    """Return a URL for messages: without the user, password and signature it may carry."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def download(url: str, target: Path, *, max_bytes: int, report: Report) -> Path:
    """Copy what a URL serves to a file.

    :param max_bytes: more is refused, whatever the server declares.
    :param report: called with (bytes so far, bytes in all or 0, ``"byte"``).
    :raises SourceError: it answers with an error status, with an HTML page, or with too much.
    :raises InfrastructureError: it does not answer, or breaks off.
    """
    with _named(url), _client() as client, client.stream("GET", url) as reply:
        _check_status(url, reply)
        total = int(reply.headers.get("content-length", 0))
        _check_size(url, total, max_bytes)
        _save(url, reply, target, lambda done: _checked(url, done, total, max_bytes, report))
    return target


def fingerprint(url: str) -> str:
    """Return what tells whether a URL serves something new, without downloading it.

    A server that gives neither ETag nor Last-Modified gets a new fingerprint every time: better fetched twice
    than stale.
    """
    with _named(url), _client() as client:
        reply = client.head(url)
    if reply.status_code not in (405, 501):
        _check_status(url, reply)
    marks = {name: reply.headers[name] for name in ("etag", "last-modified") if name in reply.headers}
    if not marks or reply.is_error:
        return f"unknown {uuid.uuid4().hex}"
    return digest_document([url, marks, reply.headers.get("content-length", "")])


def _client() -> httpx.Client:
    # Without identity a server may compress on the way, and Content-Length would not count what is saved.
    return httpx.Client(follow_redirects=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"})


@contextmanager
def _named(url: str) -> Iterator[None]:
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
        raise SourceError(f"{shown(url)} cannot be fetched: {error}.", hint="Correct the source's location.") from error
    except httpx.RequestError as error:
        raise InfrastructureError(
            f"{shown(url)} cannot be fetched: {error or type(error).__name__}.",
            hint="Check that the server runs and can be reached from here, then run the task again.",
        ) from error


def _check_status(url: str, reply: httpx.Response) -> None:
    if not reply.is_error:
        return
    kind = InfrastructureError if reply.status_code in RETRY else SourceError
    raise kind(
        f"{shown(url)} answers {reply.status_code} {reply.reason_phrase} instead of data.",
        hint="Open the source's location in a browser, and correct it.",
    )


def _check_size(url: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise SourceError(
            f"{shown(url)} serves {size:,} bytes or more, above max_bytes={max_bytes:,}.",
            hint="Raise max_bytes in the source if that much is expected.",
        )


def _checked(url: str, done: int, total: int, max_bytes: int, report: Report) -> None:
    _check_size(url, done, max_bytes)
    report(done, total, "byte")


def _save(url: str, reply: httpx.Response, target: Path, advance: Callable[[int], None]) -> None:
    done = 0
    with written(target), target.open("wb") as file:
        for chunk in reply.iter_bytes(CHUNK):
            if not done:
                _check_page(url, reply, chunk)
            done += len(chunk)
            advance(done)
            file.write(chunk)
    if not done:
        raise SourceError(f"{shown(url)} serves zero bytes.", hint="Check the source's location.")


def _check_page(url: str, reply: httpx.Response, start: bytes) -> None:
    declared = reply.headers.get("content-type", "").startswith("text/html")
    if declared or start[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise SourceError(
            f"{shown(url)} serves an HTML page, not data.",
            hint="Give the address of the file itself, not of the page that links to it or asks to log in.",
        )
