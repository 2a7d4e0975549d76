"""Where a training that was interrupted goes on.

One document per training, replaced after every epoch and emptied at the end. Its name is derived from everything
that decides what the training does, so that a retry finds it and a changed parameter does not.
"""

import logging

import msgspec

from airlock.digests import digest_bytes
from airlock.stores.artifacts import ArtifactStore

log = logging.getLogger(__name__)


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state after an epoch.

    :param epoch: epochs done.
    :param best_epoch: the one with the lowest validation loss, from 1.
    :param history: the metrics of each epoch done.
    :param state: weights, random generators and optimizer, as ``.npz``.
    :param best: the weights of the best epoch, likewise.
    """

    epoch: int
    best_epoch: int
    history: list[dict[str, float]]
    state: bytes
    best: bytes


class CheckpointStore:
    """The checkpoint of one training.

    :param key: hexadecimal digest of what decides the training.
    """

    def __init__(self, artifacts: ArtifactStore, key: str) -> None:
        self._artifacts = artifacts
        self._name = f"checkpoints/{key}"

    def load(self) -> Checkpoint | None:
        """Return the last checkpoint; ``None`` when there is none, or when it is damaged."""
        document = self._artifacts.document(self._name)
        if not document:
            return None
        digest, _, body = document.partition(b"\n")
        if digest_bytes(body).encode() != digest:
            log.warning("The checkpoint %s is damaged: training starts from the beginning.", self._name)
            return None
        return msgspec.msgpack.decode(body, type=Checkpoint)

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint."""
        body = msgspec.msgpack.encode(checkpoint)
        self._artifacts.replace_document(self._name, digest_bytes(body).encode() + b"\n" + body)

    def clear(self) -> None:
        """Forget it: the training is over, and one asked for again starts from the beginning."""
        self._artifacts.replace_document(self._name, b"")
