"""Notes what a server predicted, beside the requests: they leave a note in a bounded queue, a thread does the rest."""

import io
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from airlock.deployment.answers import to_json
from airlock.deployment.protocol import Tensors, row_count
from airlock.deployment.spool import Predicted, Segment, Spool, Truth
from airlock.digests import digest_bytes

MOST_WAITING = 20_000  # records in memory: some seconds of what one server can answer
EVERY_SECONDS = 0.25  # a segment
BURST_SECONDS = 0.02  # of notes that are worked off at a time: while that lasts answers take twice as long
SEGMENT_ROWS = 4_096
NPZ = "application/x-npz"
DOCUMENT_BYTES = 4_096


class Note(msgspec.Struct, frozen=True):
    """One answered request.

    :param upload: the encoded input and its media type, where it was one.
    """

    id: str
    inputs: Tensors
    outputs: Tensors | None
    latency: float
    status: int
    time: float
    upload: tuple[bytes, str] | None = None


class PredictionLog:
    """Takes notes and writes them into a spool.

    :param share: of the inputs that are kept.
    :param describe: row of outputs by name to the document a client would get of it; without it, as where that takes
        long or runs a use case's code, only a digest of the outputs is noted.
    """

    def __init__(self, spool: Spool, share: float, describe: Callable[[Tensors], Any] | None) -> None:
        self.spool = spool
        self.share = share
        self.describe = describe
        self.written = self.dropped = 0
        self._notes: deque[Note] = deque()
        self._truths: deque[Truth] = deque()
        self._rows: list[Predicted] = []  # of the next segment
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="predictions", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left and end."""
        self._stop.set()
        self._thread.join()

    def note(self, note: Note) -> None:
        """Take a note, or count it as dropped: whoever waits for the answer does not wait for this."""
        if len(self._notes) >= MOST_WAITING:
            self.dropped += 1
        else:
            self._notes.append(note)

    def truth(self, prediction: str, truth: Any) -> bool:
        """Take what turned out to be true; return whether there was room."""
        if len(self._truths) >= MOST_WAITING:
            return False
        self._truths.append(Truth(id=self.spool.new_id(), prediction=prediction, truth=truth, time=time.time()))
        return True

    def _work(self) -> None:
        due = time.monotonic() + EVERY_SECONDS
        while not self._stop.wait(BURST_SECONDS):
            self._take()
            if time.monotonic() >= due:
                self._write()
                due = time.monotonic() + EVERY_SECONDS
        self._take()
        self._write()

    def _take(self) -> None:
        while self._notes:
            note = self._notes.popleft()
            count = row_count(note.inputs)
            self._rows += (self._row(note, at, f"{note.id}.{at}" if count > 1 else note.id) for at in range(count))
            if len(self._rows) >= SEGMENT_ROWS:
                self._write()

    def _write(self) -> None:
        """Write a segment of what there is."""
        truths = [self._truths.popleft() for _ in range(len(self._truths))]
        if not self._rows and not truths:
            return
        if self.spool.write(Segment(predictions=self._rows, truths=truths)):
            self.written += len(self._rows)
        else:
            self.dropped += len(self._rows) + len(truths)
        self._rows = []

    def _row(self, note: Note, at: int, name: str) -> Predicted:
        inputs = {key: np.ascontiguousarray(values[at]) for key, values in note.inputs.items()}
        document = None if note.outputs is None else self._document({k: v[at] for k, v in note.outputs.items()})
        found = document if isinstance(document, dict) else {}
        payload, media_type = self._payload(note, inputs)
        return Predicted(
            id=name,
            time=note.time,
            input=_digest(inputs),
            outputs=document,
            label=found.get("label"),
            probability=found.get("probability"),
            latency=note.latency,
            status=note.status,
            payload=payload,
            media_type=media_type,
        )

    def _document(self, row: Tensors) -> Any:
        if self.describe is None:
            return {"digest": _digest({name: np.ascontiguousarray(values) for name, values in row.items()})}
        return _brief(self.describe(row))

    def _payload(self, note: Note, inputs: Tensors) -> tuple[bytes | None, str]:
        if random.random() >= self.share:
            return None, ""
        if note.upload:
            return note.upload
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **inputs)
        return file.getvalue(), NPZ


def _digest(inputs: Tensors) -> str:
    """Digest of one row: every input's name and bytes, in the order of the names."""
    parts = (name.encode() + b"\0" + inputs[name].tobytes() for name in sorted(inputs))
    return digest_bytes(b"\0".join(parts))


def _brief(document: Any) -> Any:
    """Return a document that is small enough for a row of a table, else its digest."""
    data = to_json(document)
    return document if len(data) <= DOCUMENT_BYTES else {"digest": digest_bytes(data), "bytes": len(data)}
