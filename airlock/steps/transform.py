"""Turns what training may see of a dataset version into fixed-shape tensors with the use case's ``transform``.

The test samples are not among them: :mod:`airlock.steps.held_out` transforms those where they are measured with.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airlock.governance.manifest import DataManifest
    from airlock.model.transformation import Sample

ENVIRONMENT = ("numpy", "pillow", "pyarrow")
BATCH = 1024


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param manifest: the data manifest.
    :param code: the use case's ``transform.py``.
    :param parameters: handed to its ``transform``.
    """

    manifest: Artifact
    code: Artifact
    parameters: dict[str, Any] = {}


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param tensors: a tree of ``{train,validation}_{x,y,ids}.npy`` and ``origin.json``, see
        :mod:`airlock.model.tensors`.
    :param shape: of one sample.
    :param counts: samples of each split.
    """

    tensors: Artifact
    shape: list[int]
    counts: dict[str, int]


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Transform every sample that training may see.

    :raises IntegrityError: the split step left no training view of the manifest's dataset version.
    """
    from airlock.governance.manifest import DataManifest, load
    from airlock.model.tensors import stored_origin
    from airlock.model.transforms import TransformRegistry

    manifest = load(context.artifacts, inputs.manifest.digest, DataManifest)
    registry = TransformRegistry(context.artifacts)
    key = _key(inputs, manifest)
    known = registry.find(key)
    context.metric("reused", known is not None)
    tensors = known or registry.add(key, make_tensors(inputs, manifest, context))
    shape = stored_origin(context.artifacts, tensors).shape
    counts = {name: count for name, count in manifest.counts.items() if name != "test"}
    return Outputs(tensors=tensors, shape=list(shape), counts=counts)


def make_tensors(inputs: Inputs, manifest: "DataManifest", context: StepContext) -> Artifact:
    """Transform, whether or not it was done before."""
    from airlock.model.preprocessing import Preprocessor
    from airlock.model.tensors import Origin, save_origin, save_split
    from airlock.model.transformation import transform_samples

    preprocess = Preprocessor(context.fetch(inputs.code, "transform.py"), parameters=inputs.parameters)
    total = sum(count for name, count in manifest.counts.items() if name != "test")
    splits = transform_samples(
        _samples(manifest, context),
        manifest.classes,
        preprocess,
        lambda done: context.progress(done, total, "sample"),
    )
    folder = context.workdir / "tensors"
    folder.mkdir()
    del splits["test"]
    for name, split in splits.items():
        save_split(folder, name, split)
    shape = preprocess.shape or (0,)
    save_origin(folder, Origin(manifest=inputs.manifest, code=inputs.code, shape=shape, parameters=inputs.parameters))
    return context.artifacts.put_tree(folder)


def _key(inputs: Inputs, manifest: "DataManifest") -> str:
    """Name the tensors by what decides them: not by the report or the gates that the manifest went through."""
    from airlock.digests import digest_document
    from airlock.steps.cache import environment
    from airlock.steps.source import source_digest

    decides: dict[str, Any] = {name: getattr(manifest, name).digest for name in ("dataset", "labels", "split")}
    decides |= {"classes": manifest.classes, "code": inputs.code.digest, "parameters": inputs.parameters}
    decides |= {"source": source_digest("transform"), "environment": environment("transform")}
    return digest_document(decides).removeprefix("sha256:")


def _samples(manifest: "DataManifest", context: StepContext) -> "Iterator[Sample]":
    import pyarrow.parquet as pq

    from airlock.data.training_view import TrainingView
    from airlock.model.transformation import Sample
    from airlock.stores.labels import LabelStore

    labels = LabelStore(context.database).read(manifest.labels)
    view = TrainingView(context.artifacts, manifest.dataset.digest, manifest.split.digest).find()
    with pq.ParquetFile(context.fetch(view, "training.parquet")) as file:
        for batch in file.iter_batches(BATCH, columns=["sample_id", "split", "content"]):
            for row in batch.to_pylist():
                name = row["sample_id"]
                yield Sample(name, row["content"], labels.get(name), row["split"])
