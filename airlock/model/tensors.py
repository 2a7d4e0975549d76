"""A transform's result on disk: ``{train,validation,test}_{x,y,ids}.npy``, and ``origin.json``.

x: ``uint8``, ``int32`` or ``float32 [N, …]``, pictures as ``uint8 [N, height, width, channels]``; y: ``int64 [N]``,
the class's place in the manifest; ids: ``S64 [N]``, the sample ids. Plain ``.npy`` files need no library of ours to be
read, and open without being copied.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from airlock.errors import UserError
from airlock.references import Artifact
from airlock.stores.artifacts import ArtifactStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")


class Split(NamedTuple):
    """The samples of one split, in the order of their ids."""

    x: "NDArray[Any]"
    y: "NDArray[np.int64]"
    ids: "NDArray[np.bytes_]"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What tensors were made from, so that test samples can be put through the same.

    :param manifest: the data manifest.
    :param code: the use case's ``transform.py``.
    :param shape: of one sample.
    :param parameters: of the use case's ``transform``.
    """

    manifest: Artifact
    code: Artifact
    shape: tuple[int, ...]
    parameters: dict[str, Any] = {}


def save_origin(folder: Path, origin: Origin) -> None:
    """Write ``origin.json``."""
    (folder / "origin.json").write_bytes(msgspec.json.encode(origin))


def load_origin(folder: Path) -> Origin:
    """Read ``origin.json``.

    :raises UserError: there is none.
    """
    try:
        return msgspec.json.decode((folder / "origin.json").read_bytes(), type=Origin)
    except (OSError, msgspec.MsgspecError) as error:
        raise UserError(
            f"The tensors do not say what they were made from: {error}.", hint="Pass the output of the transform step."
        ) from error


def stored_origin(artifacts: ArtifactStore, tensors: Artifact) -> Origin:
    """Read ``origin.json`` of tensors where they are stored.

    :raises UserError: there is none.
    """
    entry = artifacts.listing(tensors).get("origin.json")
    if entry is None:
        raise UserError("The tensors do not say what they were made from.", hint="Pass what the transform step wrote.")
    return msgspec.json.decode(artifacts.read(str(entry["digest"])), type=Origin)


def save_split(folder: Path, name: str, split: Split) -> None:
    """Write one split's three files."""
    for part, array in split._asdict().items():
        np.save(folder / f"{name}_{part}.npy", array)


def load_split(folder: Path, name: str) -> Split:
    """Open one split; x stays on disk until it is read.

    :raises UserError: there is no such split, or it holds no sample.
    """
    if name not in SPLITS:
        raise UserError(f"There is no split {name!r}.", hint=f"Splits: {', '.join(SPLITS)}.")
    try:
        arrays = [np.load(folder / f"{name}_{part}.npy", mmap_mode="r") for part in Split._fields]
    except (FileNotFoundError, ValueError) as error:
        raise UserError(
            f"The tensors have no readable split {name!r}: {error}.", hint="Pass the output of the transform step."
        ) from error
    if not len(arrays[0]):
        raise UserError(f"The split {name!r} holds no sample.", hint="Enlarge its fraction in the split step.")
    return Split(*arrays)


def require_classes(split: Split, classes: list[str], name: str) -> None:
    """Check that a split's labels are the classes, each of them at least once.

    :raises UserError: a class has no sample, or a label is no class.
    """
    for label in (split.y.min(), split.y.max()):
        if not 0 <= label < len(classes):
            raise UserError(
                f"The {name} split has the label {label}, but there are {len(classes)} classes.",
                hint="Pass the classes of the data manifest that the tensors were made from.",
            )
    counts = np.bincount(split.y, minlength=len(classes))
    if missing := [label for label, count in zip(classes, counts, strict=True) if not count]:
        raise UserError(
            f"The {name} split has no sample of class {', '.join(map(repr, missing))}.",
            hint="Collect samples of it, or leave the class out of the use case's classes.",
        )
