"""Compares what a gate asks about with the champion: a pure function of two manifests, and light to import."""

from airlock.governance.comparison.parts import (
    Change,
    ClassRow,
    Comparison,
    DataChanges,
    Flip,
    Link,
    Metric,
    Paired,
    Relabelled,
    Shrunk,
)
from airlock.stores.artifacts import ArtifactStore

__all__ = [
    "Change",
    "ClassRow",
    "Comparison",
    "DataChanges",
    "Flip",
    "Link",
    "Metric",
    "Paired",
    "Relabelled",
    "Shrunk",
    "compare",
]


def compare(store: ArtifactStore, manifest_digest: str, champion_digest: str) -> Comparison:
    """Compare a manifest with the champion's of the same kind.

    :param champion_digest: empty when nothing serves the use case.
    """
    raise NotImplementedError
