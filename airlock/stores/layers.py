"""The artifact store as a process may see it: the open one, and behind it the sealed one where it is granted.

What could give away test data (raw samples, test tensors, pictures of errors) is written to the sealed store only.
Whoever may read it finds it by digest like any other artifact; what is written goes to the open store.
"""

from collections.abc import Iterator
from pathlib import Path

from airlock.errors import NotApproved
from airlock.settings import Settings
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from airlock.stores.objects import Objects, open_objects

HINT = "A step that needs them declares SEALED = True, and runs no code of a use case that learns from them."


class LayeredObjects:
    """Objects of two stores: read from the first that has them, written to the first.

    :param first: the open store.
    :param second: the sealed one.
    """

    def __init__(self, first: Objects, second: Objects) -> None:
        self.first = first
        self.second = second

    def create(self, key: str, source: Path | bytes) -> bool:
        return self.first.create(key, source)

    def replace(self, key: str, data: bytes) -> None:
        self.first.replace(key, data)

    def fetch(self, key: str, target: Path) -> bool:
        return self.first.fetch(key, target) or self.second.fetch(key, target)

    def read(self, key: str) -> bytes | None:
        found = self.first.read(key)
        return self.second.read(key) if found is None else found

    def digest(self, key: str) -> str | None:
        return self.first.digest(key) or self.second.digest(key)

    def keys(self, prefix: str) -> Iterator[str]:
        return self.first.keys(prefix)

    def remove(self, key: str) -> bool:
        return self.first.remove(key) | self.second.remove(key)


def open_layers(settings: Settings) -> ArtifactStore:
    """Open what these settings grant: both stores, or the open one alone."""
    if (sealed := _granted(settings)) is None:
        return open_artifacts(settings.artifacts)
    return ArtifactStore(LayeredObjects(open_objects(settings.artifacts), open_objects(sealed)))


def open_sealed(settings: Settings) -> ArtifactStore:
    """Open the sealed store.

    :raises NotApproved: it is not granted to this process.
    """
    if (sealed := _granted(settings)) is None:
        raise NotApproved("The sealed store, which holds the test samples, is not granted to this process.", hint=HINT)
    return open_artifacts(sealed)


def _granted(settings: Settings) -> str | None:
    if settings.sealed:
        return settings.sealed if "://" in settings.sealed else None
    return (Path(settings.home) / "sealed").as_uri()
