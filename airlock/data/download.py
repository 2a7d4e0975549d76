"""Downloads: a URL to a file, resumed, verified and with limits, or an error that says who must act."""

import ssl
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from airlock.data.files import written
from airlock.data.pace import Pace
from airlock.data.partial import Partial
from airlock.digests import digest_document
from airlock.errors import InfrastructureError, SourceError

Report = Callable[[int, int, str], None]
TIMEOUT = httpx.Timeout(60, connect=20)
CHUNK = 1 << 20
REDIRECTS = 10
# A busy or restarting server answers these, or one whose file shrank (416); the others will not go away by themselves.
RETRY = {408, 416, 425, 429, 500, 502, 503, 504}


def is_url(location: str) -> bool:
    """Say whether a location is an http(s) URL; anything else is a path."""
    return urlsplit(location).scheme in ("http", "https")


def shown(url: str) -> str:
    """Return a URL for messages: without the user, password and signature it may carry."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def download(
    url: str,
    target: Path,
    *,
    max_bytes: int,
    report: Report,
    sha256: str = "",
    headers: Mapping[str, str] | None = None,
    pace: Pace | None = None,
) -> Path:
    """Copy what a URL serves to a file; what an earlier try left beside it is gone on with, if it is the same file.

    :param max_bytes: more is refused, whatever the server declares.
    :param report: called with (bytes so far, bytes in all or 0, ``"byte"``).
    :param sha256: hex digest the file must have, when one is known.
    :param headers: of the request, for example ``Authorization``; never sent to another host on a redirect.
    :param pace: how slow the server may be.
    :raises SourceError: it answers with an error status, with an HTML page, or with too much.
    :raises IntegrityError: the file has another sha256.
    :raises InfrastructureError: it does not answer, breaks off, or is too slow.
    """
    partial = Partial(target, shown(url))
    if sha256 and partial.note.digest == f"sha256:{sha256.lower()}" and partial.complete():
        return target
    asked = {**(headers or {}), **_conditions(partial)}
    with _named(url), _client() as client, client.stream("GET", url, headers=asked) as reply:
        if reply.status_code == 304:
            return target
        if not _all_there(reply, partial):
            if reply.status_code == 416:
                partial.forget()
            _check_status(url, reply)
            _receive(url, reply, partial, max_bytes, report, pace or Pace())
    return partial.finish(sha256)


def _conditions(partial: Partial) -> dict[str, str]:
    """Ask for what is missing only."""
    if partial.validator and partial.complete():
        name = "If-None-Match" if partial.validator.startswith('"') else "If-Modified-Since"
        return {name: partial.validator}
    if partial.size:
        return {"Range": f"bytes={partial.size}-", "If-Range": partial.validator}
    return {}


def _all_there(reply: httpx.Response, partial: Partial) -> bool:
    """Whether an earlier try got the last byte and was killed then: the server has nothing beyond it."""
    return reply.status_code == 416 and reply.headers.get("content-range") == f"bytes */{partial.size}"


def _receive(url: str, reply: httpx.Response, partial: Partial, max_bytes: int, report: Report, pace: Pace) -> None:
    kept = partial.size if reply.status_code == 206 else 0
    if kept and not reply.headers.get("content-range", "").startswith(f"bytes {kept}-"):
        raise InfrastructureError(f"{shown(url)} resumes elsewhere than asked.", hint="Run the task again.")
    if not kept:
        partial.begin(_validator(reply))
    total = int(reply.headers.get("content-length", 0))
    total += kept if total else 0
    _check_size(url, total, max_bytes)
    _save(url, reply, partial.part, kept, lambda done: _checked(url, done, total, max_bytes, report), pace)


def _validator(reply: httpx.Response) -> str:
    """A strong ETag, else the date; nothing for a reply that was packed on the way: its bytes are not the file's."""
    if reply.headers.get("content-encoding", "identity") != "identity":
        return ""
    etag: str = reply.headers.get("etag", "")
    return etag if etag.startswith('"') else str(reply.headers.get("last-modified", ""))


def fingerprint(url: str, headers: Mapping[str, str] | None = None) -> str:
    """Return what tells whether a URL serves something new, without downloading it.

    A server that gives neither ETag nor Last-Modified gets a new fingerprint every time: better fetched twice
    than stale.
    """
    with _named(url), _client() as client:
        reply = client.head(url, headers=headers)
    if reply.status_code not in (405, 501):
        _check_status(url, reply)
    marks = {name: reply.headers[name] for name in ("etag", "last-modified") if name in reply.headers}
    if not marks or reply.is_error:
        return f"unknown {uuid.uuid4().hex}"
    return digest_document([url, marks, reply.headers.get("content-length", "")])


def _client() -> httpx.Client:
    # Without identity a server may compress on the way, and Content-Length would not count what is saved.
    identity = {"Accept-Encoding": "identity"}
    return httpx.Client(
        follow_redirects=True, max_redirects=REDIRECTS, timeout=TIMEOUT, headers=identity, verify=_trust()
    )


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Reading the certificates takes longer than fetching a small file: once a process is enough."""
    return httpx.create_ssl_context()


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


def _save(url: str, reply: httpx.Response, part: Path, kept: int, advance: Callable[[int], None], pace: Pace) -> None:
    done, told = kept, kept // CHUNK
    # Unbuffered, and in the pieces that arrive: a killed try leaves all it got, and a drip is seen as one.
    with written(part), part.open("ab", buffering=0) as file:
        for chunk in reply.iter_bytes():
            if not done:
                _check_page(url, reply, chunk)
            done += len(chunk)
            if done // CHUNK > told:
                told = done // CHUNK
                advance(done)
            file.write(chunk)
            pace.check(shown(url), done - kept)
        advance(done)
    if not done:
        raise SourceError(f"{shown(url)} serves zero bytes.", hint="Check the source's location.")


def _check_page(url: str, reply: httpx.Response, start: bytes) -> None:
    declared = reply.headers.get("content-type", "").startswith("text/html")
    if declared or start[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise SourceError(
            f"{shown(url)} serves an HTML page, not data.",
            hint="Give the address of the file itself, not of the page that links to it or asks to log in.",
        )
