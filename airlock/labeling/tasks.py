"""From chosen samples to Label Studio tasks: what labelers see, and what the champion thinks of it."""

import base64
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.digests import digest_bytes
from airlock.errors import DataRejected, UserError
from airlock.labeling.config import LabelConfig

if TYPE_CHECKING:
    from airlock.references import DatasetVersion
    from airlock.stores.artifacts import ArtifactStore
    from airlock.stores.datasets import DatasetStore

CHUNK = 250
INLINE = 256 << 10
LARGEST = 8 << 20
# As long as S3 signs for.
PRESIGNED_SECONDS = 7 * 24 * 3600
SAMPLE_ID = "sample_id"


class Chosen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sample that people are asked about.

    :param why: the strategy that chose it.
    :param urgency: how much an answer is worth by that strategy; more is more.
    :param label: what the champion thinks.
    :param confidence: its probability, 0 to 1.
    :param model: which model that was.
    """

    sample_id: str
    why: str = ""
    urgency: float | None = None
    label: str | None = None
    confidence: float | None = None
    model: str = ""


def encode_chosen(chosen: Iterable[Chosen]) -> bytes:
    """Write a batch as JSON Lines."""
    return b"".join(msgspec.json.encode(item) + b"\n" for item in chosen)


def decode_chosen(content: bytes) -> list[Chosen]:
    """Read a batch.

    :raises UserError: it is none, or names a sample twice.
    """
    try:
        found = msgspec.json.Decoder(Chosen).decode_lines(content)
    except msgspec.MsgspecError as error:
        raise UserError(f"The batch cannot be read: {error}.", hint="Pass the output of choose_batch.") from error
    if len({item.sample_id for item in found}) != len(found):
        raise UserError("The batch names a sample twice.", hint="Choose it again.")
    return found


def contents(datasets: "DatasetStore", dataset: "DatasetVersion", wanted: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield sample id and content of some samples of a dataset version.

    :raises DataRejected: it does not have one of them.
    """
    for start in range(0, len(wanted), CHUNK):
        part = wanted[start : start + CHUNK]
        table = datasets.take(dataset, part, [SAMPLE_ID, "content"])
        found = dict(zip(table[SAMPLE_ID].to_pylist(), table["content"].to_pylist(), strict=True))
        for sample_id in part:
            if sample_id not in found:
                raise DataRejected(
                    f"{dataset.name} version {dataset.version} has no sample {sample_id[:12]}.",
                    hint="Choose the batch from this dataset version.",
                )
            yield sample_id, found[sample_id]


def task_of(chosen: Chosen, content: bytes, config: LabelConfig, shown: "Shown") -> dict[str, Any]:
    """Return the task of a sample. Its source is left out: a path often gives the answer away."""
    data = {SAMPLE_ID: chosen.sample_id, config.field: shown.value(chosen.sample_id, content, config)}
    task: dict[str, Any] = {"data": data, "meta": {"why": chosen.why}}
    if chosen.label in config.classes:
        prediction: dict[str, Any] = {"model_version": chosen.model, "result": config.result(str(chosen.label))}
        task["predictions"] = [prediction | ({"score": chosen.confidence} if chosen.confidence is not None else {})]
    return task


class Shown:
    """How a sample's content reaches a labeler's browser: inside the task, or presigned when it is large.

    :param artifacts: where large ones are put, to be presigned.
    """

    def __init__(self, artifacts: "ArtifactStore") -> None:
        self.artifacts = artifacts

    def value(self, sample_id: str, content: bytes, config: LabelConfig) -> str:
        """Return a text, a ``data:`` URI or a presigned URL.

        :raises UserError: it cannot be shown.
        """
        if config.kind == "text":
            return _text(sample_id, content)
        if len(content) > INLINE and (url := self._presigned(content)):
            return url
        if len(content) > LARGEST:
            raise UserError(
                f"Sample {sample_id[:12]} has {len(content):,} bytes, too many to put into a task.",
                hint="Keep the artifacts on S3, from where large ones are presigned, or make the images smaller.",
            )
        return f"data:{media_type(content)};base64,{base64.b64encode(content).decode()}"

    def _presigned(self, content: bytes) -> str | None:
        if self.artifacts.presigned(digest_bytes(content), PRESIGNED_SECONDS) is None:
            return None
        stored = self.artifacts.put(content, media_type(content))
        return self.artifacts.presigned(stored.digest, PRESIGNED_SECONDS)


def media_type(content: bytes) -> str:
    """Tell an encoded image by its first bytes."""
    signatures = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"BM": "image/bmp"}
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in signatures.items() if content.startswith(start)), "application/octet-stream")


def _text(sample_id: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"Sample {sample_id[:12]} is no UTF-8 text ({error.reason}).", hint="Clean the texts before labelling."
        ) from error
