"""A folder of files, one sub-folder per class."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import ClassVar

import msgspec

from airlock.data.download import Report, is_url
from airlock.data.samples import Sample
from airlock.data.sources.files import CLUTTER, existing
from airlock.data.sources.layout import Layout, check_pattern
from airlock.data.sources.source import Item
from airlock.digests import digest_document
from airlock.errors import SourceError

SMALL = 32 << 10


class Folder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="folder"):
    """A folder of files (images, texts, audio); a file's class is the sub-folder it lies in, at any depth.

    :param location: path of the folder. Files directly in it have no label; hidden files are no samples.
    :param root: folder in it that holds the classes' folders.
    :param pattern: names that are samples, for example ``*.txt``.
    :param group_pattern: regular expression whose first group, found in a path, is the sample's group.
    """

    location: str
    root: str = ""
    pattern: str = "*"
    group_pattern: str = ""

    def __post_init__(self) -> None:
        check_pattern(self.group_pattern)

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator["FolderSamples"]:  # noqa: ARG002 - nothing to download
        """List the files; they are read one by one."""
        with _opened(self._root(), self._layout) as samples:
            yield samples

    def fingerprint(self) -> str:
        """Digest of all names, sizes and modification times."""
        with _opened(self._root(), self._layout) as samples:
            return digest_document([[name, stat.st_size, stat.st_mtime_ns] for name, stat in samples.stats()])

    @property
    def _layout(self) -> Layout:
        return Layout(self.root, self.pattern, self.group_pattern)

    def _root(self) -> Path:
        if is_url(self.location):
            raise SourceError(
                "A folder source cannot be a URL.", hint="Give a path, or serve one zip file and use the kind zip."
            )
        return existing(self.location, folder=True)


class FolderSamples:
    """Samples of an opened folder.

    :param folder: descriptor of the opened folder: names below it are found in half the time that whole paths take.
    :param names: paths below ``root``, in the order of their parts.
    """

    remote: ClassVar[bool] = False

    def __init__(self, root: Path, folder: int, names: list[str], layout: Layout) -> None:
        self.root = root
        self.folder = folder
        self.names = names
        self.layout = layout

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        name = self.names[index]
        try:
            content = _read(name, self.folder)
        except OSError as error:
            raise SourceError(
                f"{self.root / name} cannot be read: {error.strerror}.", hint="Check its permissions."
            ) from error
        return self.layout.sample(name, content, "folder name")

    @cached_property
    def items(self) -> list[Item]:
        """Names, sizes and dates."""
        return [Item(name, f"{stat.st_size}-{stat.st_mtime_ns}", stat.st_mtime) for name, stat in self.stats()]

    def stats(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield each name with what the disk knows about the file."""
        return ((name, os.stat(name, dir_fd=self.folder)) for name in self.names)


@contextmanager
def _opened(root: Path, layout: Layout) -> Iterator[FolderSamples]:
    try:
        folder = os.open(root, os.O_RDONLY)
    except OSError as error:
        raise SourceError(f"{root} cannot be read: {error.strerror}.", hint="Check its permissions.") from error
    try:
        yield FolderSamples(root, folder, _names(root, layout), layout)
    finally:
        os.close(folder)


def _read(name: str, folder: int) -> bytes:
    """Read a small file in three system calls; Python's ``open`` makes seven."""
    file = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        content = os.read(file, SMALL)
        if len(content) < SMALL:
            return content
        with open(file, "rb", buffering=0, closefd=False) as rest:
            return content + rest.readall()
    finally:
        os.close(file)


def _names(root: Path, layout: Layout) -> list[str]:
    """List the files that are samples; without a path object for each, which would take longer than the disk."""
    found = _walk(str(root), "")
    return list(found) if layout.pattern == "*" and not layout.root else [name for name in found if layout.keeps(name)]


def _walk(root: str, below: str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(f"{root}/{below}"), key=attrgetter("name"))
    except PermissionError:  # as if it were not there, like every listing of this system
        return
    for entry in entries:
        if entry.name[0] == "." or entry.name in CLUTTER:
            continue
        if entry.is_file():
            yield f"{below}{entry.name}"
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(root, f"{below}{entry.name}/")
