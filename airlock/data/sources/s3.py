"""Objects below a prefix of an S3 bucket, one folder per class."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import msgspec

from airlock.data.download import Report
from airlock.data.samples import Sample
from airlock.data.sources.bucket import Bucket, parts_of
from airlock.data.sources.layout import Layout, check_pattern
from airlock.data.sources.source import Item
from airlock.digests import digest_document


class S3(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="s3"):
    """Objects below a prefix; an object's class is the folder it lies in.

    :param location: ``s3://bucket/prefix``; classes are the folders below it.
    :param root: folder below the prefix that holds the classes' folders.
    :param pattern: names that are samples, for example ``*.txt``.
    :param group_pattern: regular expression whose first group, found in a key, is the sample's group.
    :param endpoint: URL of the server, when it is not AWS and the environment does not name it.
    :param anonymous: send no credentials.
    :param max_member_bytes: most bytes one object may have; it is held in memory.
    :param read_timeout: seconds to wait for an answer.
    """

    location: str
    root: str = ""
    pattern: str = "*"
    group_pattern: str = ""
    endpoint: str = ""
    anonymous: bool = False
    max_member_bytes: int = 128 << 20
    read_timeout: float = 60.0

    def __post_init__(self) -> None:
        check_pattern(self.group_pattern)

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator["S3Samples"]:  # noqa: ARG002 - told object by object
        """List the objects; they are read one by one, or several at a time."""
        yield S3Samples(self)

    def fingerprint(self) -> str:
        """Digest of all keys and ETags."""
        return digest_document([[item.name, item.fingerprint] for item in self.items()])

    def items(self) -> list[Item]:
        """List what is a sample, sorted by name."""
        return [item for item in self.bucket.items(self._folder) if self.layout.keeps(item.name)]

    def url(self, name: str) -> str:
        """Return where an item is."""
        return f"{self._folder}{name}"

    @property
    def bucket(self) -> Bucket:
        return Bucket(self.endpoint, self.anonymous, self.read_timeout)

    @property
    def layout(self) -> Layout:
        return Layout(self.root, self.pattern, self.group_pattern)

    @property
    def _folder(self) -> str:
        bucket, prefix = parts_of(self.location)
        return f"s3://{bucket}/{prefix.rstrip('/')}/" if prefix.strip("/") else f"s3://{bucket}/"


class S3Samples:
    """Samples of a listed prefix."""

    remote: ClassVar[bool] = True

    def __init__(self, source: S3) -> None:
        self.source = source
        self.bucket = source.bucket
        self.items = source.items()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        item = self.items[index]
        content = self.bucket.read(self.source.url(item.name), item.fingerprint, self.source.max_member_bytes)
        return self.source.layout.sample(item.name, content, "folder name in S3")
