"""What must be kept: the dataset versions that something refers to."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from airlock.governance.manifest import MEDIA_TYPE
from airlock.settings import Settings
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from airlock.stores.database import open_database
from airlock.stores.ledger import Ledger

DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
LABELLED = "SELECT dataset FROM airlock.label_set UNION SELECT dataset FROM airlock.label_answer"


def kept_digests(settings: Settings) -> set[str]:
    """Return every digest that the ledger, a manifest or somebody's label names; a superset of the dataset versions.

    Results that are only cached do not count: whoever finds one of theirs gone computes it again.

    :raises InfrastructureError: the database or a store does not answer: then nobody can say what is referred to.
    """
    found: set[str] = set()
    manifests: set[str] = set()
    for record in Ledger(open_database(settings.database)).read():
        found |= _digests(record.text.encode())
        manifests.add(str(record.body.get("manifest", "")))
    with open_database(settings.database).transaction() as cursor:
        cursor.execute(LABELLED)
        found |= {str(row["dataset"]) for row in cursor.fetchall()}
    for uri in filter(None, (settings.artifacts, settings.sealed)):
        store = open_artifacts(uri)
        for digest in manifests | set(_manifests(store)):
            if DIGEST.fullmatch(digest.encode()):
                hexadecimal = digest.removeprefix("sha256:")
                found |= _digests(store.objects.read(f"objects/{hexadecimal[:2]}/{hexadecimal[2:]}") or b"")
    return found


def _digests(text: bytes) -> set[str]:
    return {each.decode() for each in DIGEST.findall(text)}


def _manifests(store: ArtifactStore) -> Iterator[str]:
    """Yield the digests of the manifests that steps made."""
    for name in store.documents("results"):
        try:
            document = msgspec.json.decode(store.document(name) or b"null")
        except msgspec.MsgspecError:  # cut short by a kill: nothing it names is used
            continue
        yield from _artifacts(document)


def _artifacts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("media_type") == MEDIA_TYPE and isinstance(value.get("digest"), str):
            yield value["digest"]
        for item in value.values():
            yield from _artifacts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _artifacts(item)
