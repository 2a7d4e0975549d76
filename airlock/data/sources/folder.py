"""A folder of image files, one sub-folder per class."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from airlock.data.download import Report, is_url
from airlock.data.samples import Sample
from airlock.data.sources.files import existing, fingerprint, is_clutter, label_of
from airlock.errors import SourceError


class Folder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="folder"):
    """A folder of image files; a file's class is the sub-folder it lies in, at any depth.

    :param location: path of the folder. Files directly in it have no label; hidden files are no samples.
    """

    location: str

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator["FolderSamples"]:  # noqa: ARG002 - nothing to download
        """List the files; they are read one by one."""
        root = self._root()
        yield FolderSamples(root, _files(root))

    def fingerprint(self) -> str:
        """Digest of all names, sizes and modification times."""
        root = self._root()
        return fingerprint(_files(root), root)

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

    def __init__(self, root: Path, files: list[Path]) -> None:
        self.root = root
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        path = self.files[index]
        name = path.relative_to(self.root)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}.", hint="Check its permissions.") from error
        return Sample(source=name.as_posix(), content=content, label=label_of(name.parts), origin="folder name")


def _files(root: Path) -> list[Path]:
    found = (path for path in root.rglob("*") if not is_clutter(path.relative_to(root).parts))
    return sorted(path for path in found if path.is_file())
