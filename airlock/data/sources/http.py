"""Files at http(s) URLs: one, or all that a manifest names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from airlock.data.download import Report, download, is_url, shown
from airlock.data.download import fingerprint as url_fingerprint
from airlock.data.samples import Sample, Value
from airlock.data.sources.jsonl import parse_line
from airlock.data.sources.location import Location, bearer
from airlock.data.sources.source import Item
from airlock.data.sources.unpacking import lines
from airlock.digests import digest_document
from airlock.errors import SourceError


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of a manifest.

    :param url: of the file; relative to the manifest's own.
    :param sha256: hex digest it must have.
    :param label: its class; likewise ``split``, ``group`` and ``metadata``.
    """

    url: str
    sha256: str = ""
    label: str | None = None
    split: str | None = None
    group: str | None = None
    metadata: dict[str, Value] = {}


class Http(Location, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="http"):
    """One file at an http(s) URL: one sample.

    :param label: its class.
    """

    label: str | None = None
    max_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        if not is_url(self.location):
            raise ValueError(f"{self.location!r} is no http(s) URL")

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator["UrlSamples"]:  # noqa: ARG002 - told file by file
        """Name the file; it is fetched when it is asked for."""
        entry = Entry(url=self.location, sha256=self.sha256, label=self.label)
        yield UrlSamples([entry], [url_fingerprint(self.location, bearer(self.token_env))], self, workdir)


class Manifest(Location, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="manifest"):
    """Files at http(s) URLs that a manifest names: JSON Lines of url, sha256, label, split, group, metadata.

    :param location: the manifest's path, URL or place in S3.
    :param max_member_bytes: most bytes one file may have; it is held in memory.
    """

    max_member_bytes: int = 128 << 20

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator["UrlSamples"]:
        """Read the manifest; the files are fetched when they are asked for."""
        entries = self._entries(self.local(workdir, report))
        yield UrlSamples(entries, [digest_document(msgspec.to_builtins(entry)) for entry in entries], self, workdir)

    def _entries(self, path: Path) -> list[Entry]:
        seen: dict[str, int] = {}
        entries = []
        for number, line in lines(path, self.name, self.max_bytes):
            if line.strip():
                entry = self._entry(line, number)
                if (before := seen.setdefault(entry.url, number)) != number:
                    raise SourceError(
                        f"{self.name} names {shown(entry.url)} twice, at lines {before} and {number}.",
                        hint="Name every file once.",
                    )
                entries.append(entry)
        return entries

    def _entry(self, line: bytes, number: int) -> Entry:
        try:
            entry = msgspec.convert(parse_line(line, self.name, number), Entry)
        except msgspec.ValidationError as error:
            raise SourceError(
                f"{self.name} is not valid at line {number}: {error}.",
                hint='A line looks like {"url": …, "sha256": …, "label": …}.',
            ) from error
        url = urljoin(self.location, entry.url) if is_url(self.location) else entry.url
        if not is_url(url):
            raise SourceError(
                f"{self.name} names {entry.url!r} at line {number}, which is no http(s) URL.",
                hint="Give whole URLs; relative ones are possible when the manifest itself is at a URL.",
            )
        return msgspec.structs.replace(entry, url=url)


class UrlSamples:
    """Samples at URLs, each fetched when it is asked for.

    :param fingerprints: one for each entry.
    """

    remote: ClassVar[bool] = True

    def __init__(self, entries: list[Entry], fingerprints: list[str], source: Http | Manifest, workdir: Path) -> None:
        self.entries = entries
        self.source = source
        self.workdir = workdir
        self.items = [Item(shown(entry.url), mark) for entry, mark in zip(entries, fingerprints, strict=True)]
        self._headers = bearer(source.token_env)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        entry = self.entries[index]
        return Sample(
            source=unquote(urlsplit(entry.url).path).lstrip("/") or shown(entry.url),
            content=self._content(entry, index),
            label=entry.label,
            origin=f"manifest {self.source.name}",
            split=entry.split,
            group=entry.group,
            metadata=entry.metadata,
        )

    def _content(self, entry: Entry, index: int) -> bytes:
        limit = self.source.max_member_bytes if isinstance(self.source, Manifest) else self.source.max_bytes
        target = self.workdir / f"url-{index}"
        # The token is for the source's own server, not for whatever a manifest names.
        same = urlsplit(entry.url)[:2] == urlsplit(self.source.location)[:2]
        headers = self._headers if same else {}
        download(entry.url, target, max_bytes=limit, report=_silent, sha256=entry.sha256, headers=headers)
        content = target.read_bytes()
        for path in self.workdir.glob(f"{target.name}*"):
            if path.name.partition(".")[0] == target.name:
                path.unlink()
        return content


def _silent(_done: int, _total: int, _unit: str) -> None:
    """Files are counted, not their bytes."""
