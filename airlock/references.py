"""References: what travels between steps instead of data. Each names immutable content by digest."""

from typing import Literal

import msgspec


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Root of the references; the runner and the cache verify every one they meet."""


class Artifact(Reference, frozen=True, tag_field="ref", tag="artifact"):
    """Immutable bytes, or a tree of files, in the artifact store.

    :param digest: ``sha256:…`` of the bytes, or of the tree's canonical listing.
    :param size: bytes; for a tree the sum over its files.
    """

    digest: str
    size: int
    kind: Literal["file", "tree"] = "file"
    media_type: str = "application/octet-stream"


class DatasetVersion(Reference, frozen=True, tag_field="ref", tag="dataset"):
    """An immutable state of a dataset; refers to samples and metadata, never to labels.

    :param version: the store's own number of this state.
    :param digest: digest over (sample id, content digest, metadata) of every sample, order-free.
    :param rows: number of samples.
    """

    name: str
    version: int
    digest: str
    rows: int


class LabelSet(Reference, frozen=True, tag_field="ref", tag="labels"):
    """A versioned set of resolved labels for a dataset version.

    :param digest: digest over (sample id, label), order-free.
    :param dataset: digest of the dataset version it labels.
    """

    digest: str
    dataset: str
    rows: int


class TrackingRun(Reference, frozen=True, tag_field="ref", tag="run"):
    """A run in the experiment registry (MLflow)."""

    run_id: str
    experiment: str


class ModelVersion(Reference, frozen=True, tag_field="ref", tag="model"):
    """A version in the model registry (MLflow)."""

    name: str
    version: str


AnyReference = Artifact | DatasetVersion | LabelSet | TrackingRun | ModelVersion
