"""From an approved candidate to the parts of its package: which samples, which input, which words."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from airlock.deployment.config import ImageInput, Licences, PackageConfig
from airlock.deployment.package import Package
from airlock.deployment.served import ServedModel
from airlock.errors import IntegrityError, UserError
from airlock.governance.manifest import CandidateManifest
from airlock.model.tensors import Split

if TYPE_CHECKING:
    from airlock.stores.datasets import DatasetStore

NO_LICENCE = b"No licence is declared for this model and its samples: all rights stay with their owners.\n"
MODES: dict[int, Literal["L", "RGB"]] = {1: "L", 3: "RGB"}


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A test sample that goes into the package.

    :param tensor: what training made of it (height, width, channels).
    """

    sample_id: str
    label: str
    tensor: NDArray[np.uint8]


def config_of(candidate: CandidateManifest, digest: str, shape: tuple[int, ...], licences: Licences) -> PackageConfig:
    """Return the configuration for a candidate.

    :param digest: of the candidate manifest.
    :param shape: height, width, channels of the tensors it was trained on.
    :raises UserError: the number of channels is neither grey's nor colour's.
    """
    height, width, channels = shape
    if channels not in MODES:
        raise UserError(f"The tensors have {channels} channels, not 1 or 3.", hint="Change the use case's transform.")
    return PackageConfig(
        name=candidate.use_case,
        use_case=candidate.use_case,
        classes=candidate.classes,
        input=ImageInput(mode=MODES[channels], width=width, height=height, channels=channels),
        preprocessing_parameters=candidate.transform_parameters,
        licences=licences,
        metrics=candidate.metrics,
        manifest=digest,
    )


def choose(test: Split, classes: list[str]) -> list[Chosen]:
    """Return one sample of each class that the test split has: the one with the smallest id, so always the same."""
    chosen = []
    for index, label in enumerate(classes):
        places = np.flatnonzero(test.y == index)
        if len(places):
            place = min(places, key=lambda at: bytes(test.ids[at]))
            chosen.append(Chosen(sample_id=test.ids[place].decode(), label=label, tensor=np.asarray(test.x[place])))
    return chosen


def images_of(datasets: "DatasetStore", candidate: CandidateManifest, chosen: list[Chosen]) -> list[tuple[str, bytes]]:
    """Return label and encoded image of each chosen sample.

    :raises IntegrityError: the dataset version does not hold a sample it was trained on.
    """
    rows = datasets.take(candidate.dataset, [item.sample_id for item in chosen], columns=["sample_id", "content"])
    content = {row["sample_id"]: row["content"] for row in rows.to_pylist()}
    if missing := [item.sample_id for item in chosen if item.sample_id not in content]:
        raise IntegrityError(
            f"Dataset {candidate.dataset.name} version {candidate.dataset.version} has no sample {missing[0]}.",
            hint="Run the transform step on this dataset version again.",
        )
    return [(item.label, content[item.sample_id]) for item in chosen]


def require_same_tensors(package: Package, chosen: Iterable[Chosen]) -> None:
    """Fail when serving prepares an image otherwise than training did.

    :raises UserError: names the sample.
    """
    served = ServedModel(package)
    for sample, item in zip(package.samples, chosen, strict=True):
        if not np.array_equal(served.prepare(package.file(sample.file), sample.file), item.tensor):
            raise UserError(
                f"Sample {item.sample_id} becomes another tensor when it is served than when it was trained on.",
                hint="transform.py must depend on the image alone, and the images must have the mode it expects.",
            )
