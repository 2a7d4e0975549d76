"""A zip archive of image files, one folder per class. Members are read in place: nothing is unpacked to disk."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import msgspec

from airlock.data.download import Report, download, is_url, shown
from airlock.data.download import fingerprint as url_fingerprint
from airlock.data.samples import Sample
from airlock.data.sources.files import existing, fingerprint, is_clutter, label_of
from airlock.errors import SourceError, UserError
from airlock.stores.artifacts import safe_relative


class Zip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="zip"):
    """A zip archive of image files; a file's class is the folder it lies in.

    :param location: path or http(s) URL.
    :param root: folder inside the archive that holds the classes' folders; what lies outside it is left alone.
    :param max_bytes: most bytes to download, and most bytes all members may unpack to.
    :param max_member_bytes: most bytes one member may unpack to; it is held in memory.
    :param max_members: most files in the archive.
    """

    location: str
    root: str = ""
    max_bytes: int = 8 << 30
    max_member_bytes: int = 128 << 20
    max_members: int = 1_000_000

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator["ZipSamples"]:
        """Check every member's name and declared size before one is read."""
        name = shown(self.location) if is_url(self.location) else self.location
        try:
            archive = zipfile.ZipFile(self._path(workdir, report))
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise SourceError(
                f"{name} is not a zip archive, or is cut short: {error}.",
                hint="Fetch it again and test it with `unzip -t`.",
            ) from error
        with archive:
            yield ZipSamples(archive, self._members(archive, name), PurePosixPath(self.root), name)

    def fingerprint(self) -> str:
        """ETag and date of a URL; size and date of a file."""
        if is_url(self.location):
            return url_fingerprint(self.location)
        path = existing(self.location, folder=False)
        return fingerprint([path], path.parent)

    def _path(self, workdir: Path, report: Report) -> Path:
        if not is_url(self.location):
            return existing(self.location, folder=False)
        return download(self.location, workdir / "source.zip", max_bytes=self.max_bytes, report=report)

    def _members(self, archive: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
        files = [info for info in archive.infolist() if not info.is_dir()]
        for info in files:
            _check_inside(info, name)
        self._check_sizes(files, name)
        root = PurePosixPath(self.root)
        inside = (info for info in files if PurePosixPath(info.filename).is_relative_to(root))
        kept = (info for info in inside if not is_clutter(PurePosixPath(info.filename).parts))
        return sorted(kept, key=lambda info: info.filename)

    def _check_sizes(self, files: list[zipfile.ZipInfo], name: str) -> None:
        # zipfile never reads more of a member than its declared size, so checking what is declared is enough.
        total = sum(info.file_size for info in files)
        largest = max(files, key=lambda info: info.file_size, default=None)
        if len(files) > self.max_members:
            raise SourceError(_limit(name, f"holds {len(files):,} files", "max_members", self.max_members), hint=RAISE)
        if total > self.max_bytes:
            raise SourceError(_limit(name, f"unpacks to {total:,} bytes", "max_bytes", self.max_bytes), hint=RAISE)
        if largest is not None and largest.file_size > self.max_member_bytes:
            what = f"has a member {largest.filename} of {largest.file_size:,} bytes"
            raise SourceError(_limit(name, what, "max_member_bytes", self.max_member_bytes), hint=RAISE)


RAISE = "If this is no zip bomb but what you expect, raise that limit in the source."


class ZipSamples:
    """Samples of an opened archive.

    :param members: the files that are samples, sorted by name.
    :param root: folder that the classes' folders lie in.
    :param name: the archive's name for messages.
    """

    def __init__(
        self, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], root: PurePosixPath, name: str
    ) -> None:
        self.archive = archive
        self.members = members
        self.root = root
        self.name = name

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> Sample:
        info = self.members[index]
        parts = PurePosixPath(info.filename).relative_to(self.root).parts
        return Sample(
            source=info.filename, content=self._read(info), label=label_of(parts), origin="folder name in zip"
        )

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        try:
            return self.archive.read(info)
        except RuntimeError as error:  # zipfile's way to say that a member is encrypted, or needs an unknown method
            raise SourceError(
                f"{self.name}: {info.filename} cannot be unpacked: {error}.", hint="Pack it again without a password."
            ) from error
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise SourceError(
                f"{self.name}: {info.filename} is damaged: {error}.", hint="Fetch the archive again."
            ) from error


def _check_inside(info: zipfile.ZipInfo, name: str) -> None:
    try:
        safe_relative(info.filename)
    except UserError as error:
        raise SourceError(
            f"{name}: the member {info.filename!r} lies outside the archive's own folder.",
            hint="An honest archive has relative names without '..': do not trust this one, or pack it again.",
        ) from error


def _limit(name: str, what: str, knob: str, limit: int) -> str:
    return f"{name} {what}, above {knob}={limit:,}."
