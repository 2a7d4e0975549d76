"""The splits a dataset had, oldest first: documents ``splits/NAME/SALT/N.json`` that are never overwritten."""

import json
from typing import Any

import msgspec

from airlock.digests import digest_document
from airlock.references import Artifact
from airlock.stores.artifacts import ArtifactStore


def latest_split(artifacts: ArtifactStore, dataset: str, salt: str) -> dict[str, Any] | None:
    """Return a dataset's newest split as a plain reference, ``None`` when it had none."""
    names = list(artifacts.documents(_folder(dataset, salt)))
    document = artifacts.document(names[-1]) if names else None
    found: dict[str, Any] | None = json.loads(document) if document else None
    return found


def remember_split(artifacts: ArtifactStore, dataset: str, salt: str, split: Artifact) -> None:
    """Add a split to the history, unless it is already the newest."""
    plain = msgspec.to_builtins(split)
    added = latest_split(artifacts, dataset, salt) == plain
    while not added:  # another run may take the number
        number = len(list(artifacts.documents(_folder(dataset, salt))))
        added = artifacts.create_document(f"{_folder(dataset, salt)}/{number:06}.json", msgspec.json.encode(plain))


def _folder(dataset: str, salt: str) -> str:
    return f"splits/{dataset}/{digest_document(salt).removeprefix('sha256:')[:16]}"
