"""Compares what a gate asks about with the champion: a pure function of two manifests, and light to import."""

from typing import Any

from msgspec.structs import replace

from airlock.digests import short
from airlock.errors import IntegrityError
from airlock.governance.comparison import kinds
from airlock.governance.comparison.parts import (
    Change,
    ClassRow,
    Comparison,
    DataChanges,
    Flip,
    Kind,
    Link,
    Metric,
    Paired,
    Relabelled,
    Shrunk,
)
from airlock.governance.manifest import CandidateManifest, DataManifest, LabellingManifest, ReleaseManifest, load_any
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
    :raises IntegrityError: something the manifests name is missing, altered or not what it should be.
    """
    now = load_any(store, manifest_digest)
    before = load_any(store, champion_digest) if champion_digest else None
    if before is not None and type(before) is not type(now):
        raise IntegrityError(
            f"Manifest {short(champion_digest)} is of another kind than {short(manifest_digest)}.",
            hint="Name the champion's manifest of the same kind.",
        )
    kind, about = _KINDS[type(now)]
    base = Comparison(kind=kind, use_case=now.use_case, manifest=manifest_digest, champion=champion_digest)
    compared: Comparison = about(store, base, now, before)
    return replace(compared, parent=compare(store, now.parent, before.parent if before else "") if now.parent else None)


_KINDS: dict[type, tuple[Kind, Any]] = {
    DataManifest: ("data", kinds.data),
    LabellingManifest: ("labelling", kinds.labelling),
    CandidateManifest: ("candidate", kinds.candidate),
    ReleaseManifest: ("release", kinds.release),
}
