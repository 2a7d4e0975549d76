"""What became of parameters, code, environment and data since the champion."""

import json
from collections.abc import Mapping

from msgspec.structs import asdict, replace

from airlock.governance.comparison.index import differences
from airlock.governance.comparison.parts import Change, DataChanges
from airlock.governance.manifest import CandidateManifest, DataManifest
from airlock.stores.artifacts import ArtifactStore


def changes(now: Mapping[str, str], before: Mapping[str, str] | None) -> list[Change]:
    """Return what differs between two documents, by name; nothing without a document to compare with."""
    if before is None:
        return []
    names = [name for name in sorted(now.keys() | before.keys()) if now.get(name) != before.get(name)]
    return [Change(name=name, before=before.get(name), now=now.get(name)) for name in names]


def parameters_of(manifest: CandidateManifest) -> dict[str, str]:
    """Return what a candidate was trained with, each value as JSON."""
    document = manifest.parameters | {"seed": manifest.seed}
    return {name: json.dumps(value, sort_keys=True, ensure_ascii=False) for name, value in sorted(document.items())}


def code_of(manifest: CandidateManifest) -> dict[str, str]:
    """Return what made a candidate: the repository's state, and its own transform and network."""
    return manifest.code | {"transform": manifest.transform_code.digest, "network": manifest.network_code.digest}


def data_changes(store: ArtifactStore, now: DataManifest, before: DataManifest | None) -> DataChanges:
    """Compare samples and labels."""
    own = DataChanges(dataset=now.dataset, labels=now.labels, counts=now.counts, dropped=_dropped(store, now))
    if before is None:
        return own
    found = differences(store, now, before)
    return replace(
        own,
        before_dataset=before.dataset,
        before_labels=before.labels,
        before_counts=before.counts,
        before_dropped=_dropped(store, before),
        classes_added=[name for name in now.classes if name not in before.classes],
        classes_removed=[name for name in before.classes if name not in now.classes],
        **(asdict(found) if found else {}),
    )


def _dropped(store: ArtifactStore, manifest: DataManifest) -> int:
    return len(store.read(manifest.dropped.digest).splitlines())
