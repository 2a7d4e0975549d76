"""A zip archive of files, one folder per class. Members are read in place: nothing is unpacked to disk."""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from airlock.data.download import Report
from airlock.data.samples import Sample
from airlock.data.sources.archive import Archive
from airlock.data.sources.source import Item
from airlock.errors import SourceError


class Zip(Archive, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="zip"):
    """A zip archive of files (images, texts, audio); a file's class is the folder it lies in."""

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator["ZipSamples"]:
        """Check every member's name and declared size before one is read."""
        try:
            archive = zipfile.ZipFile(self.local(workdir, report))
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise SourceError(
                f"{self.name} is not a zip archive, or is cut short: {error}.",
                hint="Fetch it again and test it with `unzip -t`.",
            ) from error
        with archive:
            yield ZipSamples(archive, self._members(archive), self)

    def _members(self, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
        files = [info for info in archive.infolist() if not info.is_dir()]
        for info in files:
            self.check_inside(info.filename)
            if stat.S_ISLNK(info.external_attr >> 16):
                self.refuse_special(info.filename, "symbolic link")
        # zipfile never reads more of a member than its declared size, so checking what is declared is enough.
        largest = max(((info.file_size, info.filename) for info in files), default=(0, ""))
        self.check_members(len(files), sum(info.file_size for info in files), largest)
        return sorted((info for info in files if self.layout.keeps(info.filename)), key=lambda info: info.filename)


class ZipSamples:
    """Samples of an opened archive.

    :param members: the files that are samples, sorted by name.
    :param source: what was declared.
    """

    remote: ClassVar[bool] = False

    def __init__(self, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], source: Zip) -> None:
        self.archive = archive
        self.members = members
        self.source = source
        self.items = [Item(info.filename, f"{info.CRC:08x}-{info.file_size}") for info in members]

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> Sample:
        info = self.members[index]
        return self.source.layout.sample(info.filename, self._read(info), "folder name in zip")

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        name = self.source.name
        try:
            return self.archive.read(info)
        except RuntimeError as error:  # zipfile's way to say that a member is encrypted, or needs an unknown method
            raise SourceError(
                f"{name}: {info.filename} cannot be unpacked: {error}.", hint="Pack it again without a password."
            ) from error
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise SourceError(
                f"{name}: {info.filename} is damaged: {error}.", hint="Fetch the archive again."
            ) from error
