"""MNIST's IDX files, as Fashion-MNIST is published: images and labels, a training and a test part."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from airlock.data.download import Report, download, is_url
from airlock.data.download import fingerprint as url_fingerprint
from airlock.data.samples import Sample
from airlock.data.sources.files import existing, fingerprint
from airlock.digests import digest_document
from airlock.errors import SourceError

if TYPE_CHECKING:
    import numpy as np

Split = Literal["train", "test"]
PREFIX: dict[str, str] = {"train": "train", "test": "t10k"}
KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")


class Idx(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="idx"):
    """A folder of IDX files under their published names, with or without ``.gz``.

    :param location: the folder's path, or the http(s) URL it is published under.
    :param classes: name of each label number; empty for the numbers themselves.
    :param splits: which parts to read.
    :param max_bytes: most bytes a file may have, and may unpack to.
    """

    location: str
    classes: tuple[str, ...] = ()
    splits: tuple[Split, ...] = ("train", "test")
    max_bytes: int = 1 << 30

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator["IdxSamples"]:
        """Read all parts into memory: images are small."""
        yield IdxSamples([self._part(split, workdir, report) for split in self.splits])

    def fingerprint(self) -> str:
        """ETags and dates of the URLs; sizes and dates of the files."""
        names = [_name(split, kind) for split in self.splits for kind in KINDS]
        if is_url(self.location):
            return digest_document([url_fingerprint(self._url(name)) for name in names])
        root = existing(self.location, folder=True)
        return fingerprint([self._local(name) for name in names], root)

    def _part(self, split: Split, workdir: Path, report: Report) -> "IdxPart":
        from airlock.data.idx import read_idx

        paths = [self._path(_name(split, kind), workdir, report) for kind in KINDS]
        images, labels = (read_idx(path, self.max_bytes, of) for path, of in zip(paths, (3, 1), strict=True))
        if len(images) != len(labels):
            raise SourceError(
                f"{paths[0].name} holds {len(images)} images, {paths[1].name} {len(labels)} labels.",
                hint="Fetch both files from the same place again.",
            )
        return IdxPart(split, paths[0].name, paths[1].name, images, labels, self.classes)

    def _path(self, name: str, workdir: Path, report: Report) -> Path:
        if not is_url(self.location):
            return self._local(name)
        return download(self._url(name), workdir / f"{name}.gz", max_bytes=self.max_bytes, report=report)

    def _url(self, name: str) -> str:
        return f"{self.location.rstrip('/')}/{name}.gz"

    def _local(self, name: str) -> Path:
        root = existing(self.location, folder=True)
        for path in (root / f"{name}.gz", root / name):
            if path.is_file():
                return path
        raise SourceError(
            f"The folder {self.location} has no file {name}.gz.",
            hint="Put the four published files there, or name only the splits you have.",
        )


class IdxPart:
    """The training or the test part.

    :param images: uint8 (count, height, width).
    :param labels: uint8 (count,).
    :param classes: name of each label number; a number beyond them is its own name, for cleaning to refuse.
    """

    def __init__(
        self,
        split: Split,
        images_name: str,
        labels_name: str,
        images: "np.ndarray",
        labels: "np.ndarray",
        classes: tuple[str, ...],
    ) -> None:
        self.split = split
        self.images_name = images_name
        self.labels_name = labels_name
        self.images = images
        self.labels = labels
        self.classes = classes

    def sample(self, index: int) -> Sample:
        from airlock.data.images import encode_png

        number = int(self.labels[index])
        return Sample(
            source=f"{self.images_name}#{index}",
            content=encode_png(self.images[index]),
            label=self.classes[number] if number < len(self.classes) else str(number),
            origin=self.labels_name,
            split=self.split,
        )


class IdxSamples:
    """Samples of all parts, one after the other."""

    def __init__(self, parts: list[IdxPart]) -> None:
        self.parts = parts
        self.ends = list(accumulate(len(part.labels) for part in parts))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> Sample:
        number = bisect_right(self.ends, index)
        return self.parts[number].sample(index - (self.ends[number - 1] if number else 0))


def _name(split: str, kind: str) -> str:
    return f"{PREFIX[split]}-{kind}"
