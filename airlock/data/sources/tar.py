"""A tar archive of files, packed or not, one folder per class. Members are read in place and in order."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from airlock.data.download import Report
from airlock.data.samples import Sample
from airlock.data.sources.archive import Archive
from airlock.data.sources.source import Sequential
from airlock.data.sources.unpacking import unpacked
from airlock.errors import SourceError

BLOCK = 512
CHUNK = 1 << 16


class Tar(Archive, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="tar"):
    """A tar archive of files (``.tar``, packed with gzip, bzip2 or xz or not); a class is the folder a file lies in."""

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator[Sequential]:
        """Check every member's name, kind and size before one is read."""
        path = self.local(workdir, report)
        members = self._members(path)
        yield Sequential(sum(map(self.layout.keeps, members)), lambda: self._samples(path))

    def _members(self, path: Path) -> list[str]:
        names: list[str] = []
        total = 0
        with self._opened(path) as archive:
            for info in archive:
                self._check(info)
                total += info.size
                names += [info.name] if info.isreg() else []
                self.check_members(len(names), total, (info.size, info.name))
        return names

    def _check(self, info: tarfile.TarInfo) -> None:
        self.check_inside(info.name)
        if not (info.isreg() or info.isdir()):
            kinds = {tarfile.SYMTYPE: "symbolic link", tarfile.LNKTYPE: "hard link"}
            self.refuse_special(info.name, kinds.get(info.type, "device or pipe"))

    def _samples(self, path: Path) -> Iterator[Sample]:
        with self._opened(path) as archive:
            for info in archive:
                if info.isreg() and self.layout.keeps(info.name):
                    content = cast("IO[bytes]", archive.extractfile(info)).read()
                    yield self.layout.sample(info.name, content, "folder name in tar")

    @contextmanager
    def _opened(self, path: Path) -> Iterator[tarfile.TarFile]:
        # Headers hide sizes too (a pax header of 8 GiB): nothing larger than a member is ever read at once. What comes
        # beside the members' bytes, headers and padding, is three blocks a member at most, or as good as a bomb.
        room = self.max_bytes + 4 * BLOCK * (self.max_members + 20)
        with unpacked(path, self.name, room, self.max_member_bytes + BLOCK) as file:
            try:
                with tarfile.open(fileobj=file, mode="r:") as archive:
                    yield archive
                    self._check_end(archive)
            except tarfile.TarError as error:
                raise SourceError(
                    f"{self.name} is not a tar archive, or is cut short: {error}.",
                    hint="Fetch it again and test it with `tar -tf`.",
                ) from error

    def _check_end(self, archive: tarfile.TarFile) -> None:
        # tarfile takes a file cut between two members for a whole one; a whole one ends with a block of zeros.
        if archive.fileobj is None or not archive.getmembers():
            return
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(BLOCK) != bytes(BLOCK):
            raise SourceError(f"{self.name} is cut short: its end mark is missing.", hint="Fetch it again.")
        piece = min(CHUNK, self.max_member_bytes)
        while archive.fileobj.read(piece):  # to the end of the packing, where its checksum is
            pass
