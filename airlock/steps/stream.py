"""Take the next micro-batch of a folder or bucket prefix that keeps growing, every object exactly once."""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import UserError
from airlock.references import Artifact
from airlock.steps.context import StepContext
from airlock.steps.ingest import PARQUET, task_name, tell_conflicts

if TYPE_CHECKING:
    from airlock.data.sources.source import Listed
    from airlock.stores.streams import Batch, Turn

ENVIRONMENT = ("boto3", "httpx", "pyarrow")
SEALED = True
log = logging.getLogger(__name__)


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to take, and how much of it.

    :param stream: its name; what was taken is kept under it.
    :param source: of a kind that lists objects: folder, zip, s3, manifest, http.
    :param max_objects: most objects of a batch; the oldest come first.
    :param settle: seconds an object must have been left alone: a file may still be written.
    """

    stream: str
    source: dict[str, Any]
    max_objects: int = 10_000
    settle: float = 5.0


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """The batch.

    :param samples: Parquet as ``ingest`` writes it; ``None`` when there is nothing new.
    :param batch: its number in the stream, 0 when there is nothing new.
    :param objects: how many were taken; ``waiting`` are left for the next batch.
    :param changed: objects that were taken before and look different now: they are left alone, and logged.
    """

    samples: Artifact | None
    batch: int
    rows: int
    duplicates: int
    objects: int
    waiting: int
    changed: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Take what is new. The batch is noted after its samples are safe, in the same transaction as its objects.

    A task that is tried again, or cleared, gets the batch it took; a killed one has taken nothing or everything.

    :raises UserError: the source lists no objects.
    """
    from airlock.data.sources import parse_source
    from airlock.data.sources.source import Listed
    from airlock.data.spool import spool
    from airlock.stores.streams import StreamStore

    source = parse_source(inputs.source)
    with (
        spool(Path(context.settings.home), context.workdir, {"stream": inputs.stream, **inputs.source}) as folder,
        StreamStore(context.database).turn(inputs.stream) as turn,
    ):
        if before := turn.batch_of(task_name(context)):
            log.info("This task has taken batch %d before: here it is again.", before.number)
            return _outputs(before, context, 0, 0)
        with source.open(folder, context.progress) as samples:
            if not isinstance(samples, Listed):
                raise UserError(
                    f"A source of kind {inputs.source.get('kind')!r} lists no objects, so it cannot be a stream.",
                    hint="Streams are of kind folder or s3, or of another kind whose samples are objects of their own.",
                )
            outputs = _take(inputs, context, turn, samples, folder)
    (folder / "journal").unlink(missing_ok=True)  # after the commit
    return outputs


def _take(inputs: Inputs, context: StepContext, turn: "Turn", samples: "Listed", folder: Path) -> Outputs:
    from airlock.data.ingestion import write_chosen

    new, changed = _new(samples, turn, inputs.settle)
    chosen = sorted(new[: inputs.max_objects])
    waiting = len(new) - len(chosen)
    if not chosen:
        return Outputs(samples=None, batch=0, rows=0, duplicates=0, objects=0, waiting=0, changed=changed)
    target = context.workdir / "samples.parquet"
    written = write_chosen(samples, chosen, target, context.progress, folder)
    tell_conflicts(written, context)
    artifact = context.sealed.put_file(target, PARQUET)
    taken = [(samples.items[index].name, samples.items[index].fingerprint) for index in chosen]
    batch = turn.commit(task_name(context), taken, artifact, written.rows, written.duplicates)
    return _outputs(batch, context, waiting, changed)


def _new(samples: "Listed", turn: "Turn", settle: float) -> tuple[list[int], int]:
    """Return the numbers of what was not taken yet, oldest first, and how many taken ones look different."""
    items = samples.items
    taken = turn.taken([item.name for item in items])
    changed = [item.name for item in items if taken.get(item.name, item.fingerprint) != item.fingerprint]
    if changed:
        log.warning("%d objects changed after they were taken; left alone: %s", len(changed), "; ".join(changed[:5]))
    ready = time.time() - settle
    new = [index for index, item in enumerate(items) if item.name not in taken and item.modified <= ready]
    return sorted(new, key=lambda index: (items[index].modified, items[index].name)), len(changed)


def _outputs(batch: "Batch", context: StepContext, waiting: int, changed: int) -> Outputs:
    context.metric("objects", batch.objects)
    context.metric("waiting", waiting)
    return Outputs(
        samples=Artifact(digest=batch.artifact, size=batch.size, kind="file", media_type=PARQUET),
        batch=batch.number,
        rows=batch.rows,
        duplicates=batch.duplicates,
        objects=batch.objects,
        waiting=waiting,
        changed=changed,
    )
