"""The test tensors: made where a model is measured, by a step that may see test samples, kept in the sealed store.

What a transform step wrote says which manifest and code it came from; the test samples are put through the same code.
The next step that measures finds them under the digest of those tensors.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from airlock.digests import PREFIX
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.governance.manifest import DataManifest
    from airlock.model.tensors import Split
    from airlock.model.transformation import Sample

TEST = "test"
ENVIRONMENT = ("numpy", "pillow", "pyarrow", "pylance")


def test_split(context: StepContext, tensors: Artifact) -> "Split":
    """Return the test split that belongs to a tree of tensors.

    :raises NotApproved: the step may not see test samples.
    :raises UserError: there is no test sample, or ``transform`` fails on one.
    """
    from airlock.model.tensors import load_split

    folder = context.workdir / "held_out"
    listing = context.artifacts.listing(tensors)
    if f"{TEST}_x.npy" in listing:  # tensors that no transform step wrote: nothing of them is sealed
        return load_split(_some(context, tensors, f"{TEST}_", folder), TEST)
    document = f"tensors/{tensors.digest.removeprefix(PREFIX)}.json"
    if (known := context.sealed.document(document)) is not None:
        return load_split(context.sealed.fetch(msgspec.json.decode(known, type=Artifact), folder), TEST)
    _transform(context, _some(context, tensors, "origin", context.workdir / "origin"), folder)
    stored = context.sealed.put_tree(folder)
    context.sealed.replace_document(document, msgspec.json.encode(stored))
    return load_split(folder, TEST)


def _some(context: StepContext, tree: Artifact, prefix: str, folder: Path) -> Path:
    """Fetch some files of a tree: the far larger training split stays in the store."""
    folder.mkdir()
    for name, entry in context.artifacts.listing(tree).items():
        if name.startswith(prefix):
            part = Artifact(digest=str(entry["digest"]), size=int(entry["size"]))
            context.artifacts.fetch(part, folder / name)
    return folder


def _transform(context: StepContext, origin_folder: Path, folder: Path) -> None:
    from airlock.governance.manifest import DataManifest, load
    from airlock.model.preprocessing import Preprocessor
    from airlock.model.tensors import load_origin, save_split
    from airlock.model.transformation import transform_samples

    origin = load_origin(origin_folder)
    manifest = load(context.artifacts, origin.manifest.digest, DataManifest)
    preprocess = Preprocessor(context.fetch(origin.code, "held_out_transform.py"), origin.shape)
    samples = _samples(manifest, context)
    made = transform_samples(samples, manifest.classes, preprocess, lambda done: context.progress(done, 0, "sample"))
    folder.mkdir()
    save_split(folder, TEST, made[TEST])


def _samples(manifest: "DataManifest", context: StepContext) -> "Iterator[Sample]":
    import pyarrow.parquet as pq

    from airlock.data.training_view import BATCH
    from airlock.model.transformation import Sample
    from airlock.stores.labels import LabelStore

    labels = LabelStore(context.database).read(manifest.labels)
    parted = pq.read_table(context.fetch(manifest.split, "split.parquet"), columns=["sample_id", "split"])
    names = parted.filter([place == TEST for place in parted["split"].to_pylist()])["sample_id"].to_pylist()
    for start in range(0, len(names), BATCH):
        rows = context.datasets.take(manifest.dataset, names[start : start + BATCH], ["sample_id", "content"])
        for row in rows.sort_by("sample_id").to_pylist():
            yield Sample(row["sample_id"], row["content"], labels.get(row["sample_id"]), TEST)
