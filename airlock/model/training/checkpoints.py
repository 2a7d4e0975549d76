"""Where a training that was interrupted goes on.

One document per training, replaced at intervals and emptied at the end. Its name is derived from everything that
decides what the training does, so that a retry finds it and a changed parameter does not.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from airlock.digests import digest_bytes
from airlock.stores.artifacts import ArtifactStore

log = logging.getLogger(__name__)


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state in the middle or at the end of an epoch.

    :param epoch: epochs done.
    :param batch: batches done of the epoch that follows.
    :param partial: means over these batches.
    :param best_epoch: the one with the lowest validation loss, from 1.
    :param history: the metrics of each epoch done.
    :param state: weights, random generators and optimizer, as ``.npz``.
    :param best: the weights of the best epoch, likewise.
    """

    epoch: int = 0
    batch: int = 0
    partial: dict[str, float] = {}
    best_epoch: int = 0
    history: list[dict[str, float]] = []
    state: bytes = b""
    best: bytes = b""


class CheckpointStore:
    """The checkpoint of one training. It is written beside the training, one at a time.

    :param key: hexadecimal digest of what decides the training.
    """

    def __init__(self, artifacts: ArtifactStore, key: str) -> None:
        self._artifacts = artifacts
        self._name = f"checkpoints/{key}"
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def load(self) -> Checkpoint | None:
        """Return the last checkpoint; ``None`` when there is none, or when it is damaged."""
        document = self._artifacts.document(self._name)
        if not document:
            return None
        digest, _, body = document.partition(b"\n")
        try:
            if digest_bytes(body).encode() == digest:
                return msgspec.msgpack.decode(body, type=Checkpoint)
        except msgspec.MsgspecError:  # of another version of this module
            pass
        log.warning("The checkpoint %s is damaged: training starts from the beginning.", self._name)
        return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Begin to replace the checkpoint, after the one before is written.

        :raises OSError: the one before could not be written.
        """
        self.wait()
        self._writing = self._writer.submit(self._write, checkpoint)

    def wait(self) -> None:
        """Return when what was saved is in the store, or raise why it is not."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def clear(self) -> None:
        """Forget it: the training is over, and one asked for again starts from the beginning."""
        self.wait()
        self._artifacts.replace_document(self._name, b"")

    def _write(self, checkpoint: Checkpoint) -> None:
        body = msgspec.msgpack.encode(checkpoint)
        self._artifacts.replace_document(self._name, digest_bytes(body).encode() + b"\n" + body)
