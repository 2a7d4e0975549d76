"""Turns a dataset version, its labels and its split into fixed-shape tensors with the use case's ``transform``."""

from typing import TYPE_CHECKING

import msgspec

from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airlock.governance.manifest import DataManifest
    from airlock.model.transformation import Sample

ENVIRONMENT = ("numpy", "pillow", "pyarrow", "pylance")


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param manifest: the data manifest.
    :param code: the use case's ``transform.py``.
    """

    manifest: Artifact
    code: Artifact


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param tensors: a tree of ``{train,validation,test}_{x,y,ids}.npy``, see :mod:`airlock.model.tensors`.
    :param shape: height, width, channels of one sample.
    :param counts: samples of each split.
    """

    tensors: Artifact
    shape: list[int]
    counts: dict[str, int]


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Transform every sample of the manifest's dataset version."""
    from airlock.governance.manifest import DataManifest, load
    from airlock.model.preprocessing import Preprocessor
    from airlock.model.tensors import save_split
    from airlock.model.transformation import transform_samples

    manifest = load(context.artifacts, inputs.manifest.digest, DataManifest)
    preprocess = Preprocessor(context.fetch(inputs.code, "transform.py"))
    total = manifest.dataset.rows
    splits = transform_samples(
        _samples(manifest, context),
        manifest.classes,
        preprocess,
        lambda done: context.progress(done, total, "sample"),
    )
    folder = context.workdir / "tensors"
    folder.mkdir()
    for name, split in splits.items():
        save_split(folder, name, split)
    return Outputs(
        tensors=context.artifacts.put_tree(folder),
        shape=list(preprocess.shape or ()),
        counts={name: len(split.y) for name, split in splits.items()},
    )


def _samples(manifest: "DataManifest", context: StepContext) -> "Iterator[Sample]":
    import pyarrow.parquet as pq

    from airlock.model.transformation import Sample
    from airlock.stores.labels import LabelStore

    labels = LabelStore(context.database).read(manifest.labels)
    parted = pq.read_table(context.fetch(manifest.split, "split.parquet"), columns=["sample_id", "split"])
    places = dict(zip(parted["sample_id"].to_pylist(), parted["split"].to_pylist(), strict=True))
    table = context.datasets.read(manifest.dataset, columns=["sample_id", "content"]).sort_by("sample_id")
    for batch in table.to_batches():
        for row in batch.to_pylist():
            name = row["sample_id"]
            yield Sample(name, row["content"], labels.get(name), places.get(name))
