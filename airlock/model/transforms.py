"""The transformation registry: which tensors a dataset version, its labels and a transform were made into."""

import msgspec

from airlock.errors import AirlockError
from airlock.references import Artifact
from airlock.stores.artifacts import ArtifactStore


class TransformRegistry:
    """Tensors by what decides them, verified before they are used again."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts

    def find(self, key: str) -> Artifact | None:
        """Return the tensors of a key; ``None`` when there are none, or when they are damaged.

        :param key: hexadecimal digest of data, labels, split and transform.
        """
        document = self._artifacts.document(_name(key))
        if document is None:
            return None
        tensors = msgspec.json.decode(document, type=Artifact)
        try:
            self._artifacts.verify(tensors)
        except AirlockError:  # somebody forgot a sample, or tidied up: they are made again
            return None
        return tensors

    def add(self, key: str, tensors: Artifact) -> Artifact:
        """Remember tensors."""
        self._artifacts.replace_document(_name(key), msgspec.json.encode(tensors))
        return tensors


def _name(key: str) -> str:
    return f"transforms/{key}.json"
