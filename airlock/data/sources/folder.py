"""A folder of files, one sub-folder per class."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import msgspec

from airlock.data.download import Report, is_url
from airlock.data.samples import Sample
from airlock.data.sources.files import existing, fingerprint, is_clutter
from airlock.data.sources.layout import Layout, check_pattern
from airlock.data.sources.source import Item
from airlock.errors import SourceError


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
        root = self._root()
        yield FolderSamples(root, _files(root, self._layout), self._layout)

    def fingerprint(self) -> str:
        """Digest of all names, sizes and modification times."""
        root = self._root()
        return fingerprint(_files(root, self._layout), root)

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

    :param files: paths below ``root``, sorted.
    """

    remote: ClassVar[bool] = False

    def __init__(self, root: Path, files: list[Path], layout: Layout) -> None:
        self.root = root
        self.files = files
        self.layout = layout

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        path = self.files[index]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}.", hint="Check its permissions.") from error
        return self.layout.sample(path.relative_to(self.root).as_posix(), content, "folder name")

    @cached_property
    def items(self) -> list[Item]:
        """Names, sizes and dates."""
        return [_item(path, self.root) for path in self.files]


def _files(root: Path, layout: Layout) -> list[Path]:
    found = (path for path in root.rglob("*") if not is_clutter(path.relative_to(root).parts))
    kept = (path for path in found if layout.keeps(path.relative_to(root).as_posix()))
    return sorted(path for path in kept if path.is_file())


def _item(path: Path, root: Path) -> Item:
    stat = path.stat()
    return Item(path.relative_to(root).as_posix(), f"{stat.st_size}-{stat.st_mtime_ns}", stat.st_mtime)
