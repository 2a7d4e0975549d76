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
    import pandas as pd

    from airlock.governance.manifest import DataManifest
    from airlock.model.tensors import Origin, Split
    from airlock.model.transformation import Sample

TEST = "test"
ENVIRONMENT = ("numpy", "pillow", "pyarrow", "pylance")


def test_split(context: StepContext, tensors: Artifact) -> "Split":
    """Return the test split that belongs to a tree of tensors; see :func:`split_through`."""
    return split_through(context, tensors, None)


def split_through(context: StepContext, tensors: Artifact, through: Artifact | None) -> "Split":
    """Return the test split that belongs to a tree of tensors.

    :param through: other tensors, whose code the same samples are put through: those of another model.
    :raises NotApproved: the step may not see test samples.
    :raises UserError: there is no test sample, or ``transform`` fails on one.
    """
    from airlock.model.tensors import load_split, stored_origin

    folder = context.workdir / ("held_out_through" if through else "held_out")
    if through is None and f"{TEST}_x.npy" in context.artifacts.listing(tensors):
        # Tensors that no transform step wrote: nothing of them is sealed.
        return load_split(fetch_some(context, tensors, f"{TEST}_", folder), TEST)
    document = f"{sealed_name(tensors, through)}.json"
    if (known := context.sealed.document(document)) is not None:
        return load_split(context.sealed.fetch(msgspec.json.decode(known, type=Artifact), folder), TEST)
    data, way = (stored_origin(context.artifacts, each) for each in (tensors, through or tensors))
    _transform(context, data, way, folder)
    stored = context.sealed.put_tree(folder)
    context.sealed.replace_document(document, msgspec.json.encode(stored))
    return load_split(folder, TEST)


def sealed_name(tensors: Artifact, through: Artifact | None = None) -> str:
    """Return under which name the sealed store knows test tensors."""
    parts = [tensors, through] if through else [tensors]
    return f"tensors/{'/'.join(part.digest.removeprefix(PREFIX) for part in parts)}"


def data_of(context: StepContext, tensors: Artifact) -> "DataManifest | None":
    """Return the data manifest that tensors were made from; ``None`` for tensors that no transform step wrote."""
    from airlock.governance.manifest import DataManifest, load
    from airlock.model.tensors import stored_origin

    if "origin.json" not in context.artifacts.listing(tensors):
        return None
    return load(context.artifacts, stored_origin(context.artifacts, tensors).manifest.digest, DataManifest)


def metadata_of(context: StepContext, manifest: "DataManifest", ids: list[str]) -> "pd.DataFrame":
    """Return the metadata of test samples, one row each in the order of their ids, labels among them."""
    from airlock.data.metadata import metadata_frame, stored_metadata
    from airlock.data.training_view import columns_of
    from airlock.stores.labels import LabelStore

    labels = LabelStore(context.database).read(manifest.labels)
    columns = stored_metadata(columns_of(context.datasets, manifest.dataset))
    found = metadata_frame(context.datasets.take(manifest.dataset, ids, columns), labels)
    return found.set_index("sample_id", drop=False).loc[ids]


def fetch_some(context: StepContext, tree: Artifact, prefix: str, folder: Path) -> Path:
    """Fetch the files of a tree whose names begin so: the far larger training split stays in the store."""
    folder.mkdir(exist_ok=True)
    for name, entry in context.artifacts.listing(tree).items():
        if name.startswith(prefix):
            part = Artifact(digest=str(entry["digest"]), size=int(entry["size"]))
            context.artifacts.fetch(part, folder / name)
    return folder


def _transform(context: StepContext, data: "Origin", way: "Origin", folder: Path) -> None:
    from airlock.governance.manifest import DataManifest, load
    from airlock.model.preprocessing import Preprocessor
    from airlock.model.tensors import save_split
    from airlock.model.transformation import transform_samples

    manifest = load(context.artifacts, data.manifest.digest, DataManifest)
    code = context.workdir / f"transform_{way.code.digest[-12:]}.py"
    preprocess = Preprocessor(context.artifacts.fetch(way.code, code), way.shape, way.parameters)
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
    parted = pq.read_table(_split_file(context, manifest), columns=["sample_id", "split"])
    names = parted.filter([place == TEST for place in parted["split"].to_pylist()])["sample_id"].to_pylist()
    for start in range(0, len(names), BATCH):
        rows = context.datasets.take(manifest.dataset, names[start : start + BATCH], ["sample_id", "content"])
        for row in rows.sort_by("sample_id").to_pylist():
            yield Sample(row["sample_id"], row["content"], labels.get(row["sample_id"]), TEST)


def _split_file(context: StepContext, manifest: "DataManifest") -> Path:
    return context.artifacts.fetch(manifest.split, context.workdir / f"split_{manifest.split.digest[-12:]}.parquet")
