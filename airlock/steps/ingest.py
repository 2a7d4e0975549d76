"""Fetch samples from a source and keep their bytes as they came."""

import logging
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import AirlockError, UserError
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.data.samples import SampleWriter

ENVIRONMENT = ("boto3", "httpx", "numpy", "pyarrow", "scikit-learn", "sqlalchemy")
SEALED = True
PARQUET = "application/vnd.apache.parquet"
RECEIPT = "receipt"
log = logging.getLogger(__name__)


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to fetch.

    :param source: its kind (folder, zip, tar, http, manifest, s3, sql, csv, jsonl, parquet, idx, sklearn, simulator,
        joined, or one of another package), mostly a location, and the keys of that kind.
    :param limit: at most that many samples, taken evenly over the source; 0 for all.
    :param fingerprint: ``parse_source(source).fingerprint()`` when the task began. Only the cache looks at it: it
        is how new data behind an old location is noticed.
    """

    source: dict[str, Any]
    limit: int = 0
    fingerprint: str = ""


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What was fetched.

    :param samples: Parquet: sample_id, content, label, origin, source, source_split, group, metadata (JSON), and
        stream_NAME for each stream.
    :param rows: different samples.
    :param duplicates: samples whose content came before.
    :param provenance: kind, fingerprint, and whether the samples are synthetic; with them how they were made.
    """

    samples: Artifact
    rows: int
    duplicates: int
    provenance: dict[str, Any] = {}


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a try stored, for the next try of the same task should this one be killed before it can say so."""

    task: str
    inputs: Inputs
    outputs: Outputs


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Fetch, hash and store. A try that was killed is gone on with: what it fetched and verified is not fetched again.

    :raises SourceError: the source is missing, damaged, empty or over a limit.
    """
    from airlock.data.spool import spool

    if inputs.limit < 0:
        raise UserError(f"limit is {inputs.limit}, below 0.", hint="Use 0 for all samples.")
    with spool(Path(context.settings.home), context.workdir, inputs.source) as folder:
        outputs = _received(inputs, context, folder) or _fetch(inputs, context, folder)
        context.metric("duplicates", outputs.duplicates)
        return outputs


def _fetch(inputs: Inputs, context: StepContext, folder: Path) -> Outputs:
    from airlock.data.ingestion import write_samples
    from airlock.data.sources import parse_source

    source = parse_source(inputs.source)
    target = context.workdir / "samples.parquet"
    with source.open(folder, context.progress) as samples:
        written = write_samples(samples, target, inputs.limit, context.progress, folder)
    tell_conflicts(written, context)
    outputs = Outputs(
        samples=context.sealed.put_file(target, PARQUET),
        rows=written.rows,
        duplicates=written.duplicates,
        provenance=_provenance(source, inputs),
    )
    _give_receipt(inputs, context, folder, outputs)
    return outputs


def tell_conflicts(written: "SampleWriter", context: StepContext) -> None:
    """Say which duplicates do not agree on their label."""
    if written.conflicts:
        first = "; ".join(written.conflicts[:5])
        log.warning("%d duplicates have another label; the first one counts: %s", len(written.conflicts), first)
    context.metric("conflicting_duplicates", len(written.conflicts))


def _provenance(source: Any, inputs: Inputs) -> dict[str, Any]:
    made: dict[str, Any] = getattr(source, "provenance", dict)()
    return {"kind": inputs.source.get("kind", ""), "fingerprint": inputs.fingerprint, "synthetic": False} | made


def _received(inputs: Inputs, context: StepContext, folder: Path) -> Outputs | None:
    """Return what an earlier try of this very task stored, if it is still there and the source is still the same."""
    if not inputs.fingerprint:  # nobody can say whether the source changed since
        return None
    try:
        receipt = msgspec.json.decode((folder / RECEIPT).read_bytes(), type=Receipt)
        if receipt.task != task_name(context) or receipt.inputs != inputs:
            return None
        context.artifacts.verify(receipt.outputs.samples)
    except (FileNotFoundError, msgspec.MsgspecError, AirlockError):
        return None
    log.info("An earlier try stored these samples before it was killed.")
    return receipt.outputs


def _give_receipt(inputs: Inputs, context: StepContext, folder: Path, outputs: Outputs) -> None:
    """The samples are safe: note where, and drop what was downloaded."""
    receipt = msgspec.json.encode(Receipt(task=task_name(context), inputs=inputs, outputs=outputs))
    staged = folder / f"{RECEIPT}.new"
    staged.write_bytes(receipt)
    staged.replace(folder / RECEIPT)
    for path in folder.iterdir():
        if path.is_dir():
            rmtree(path)
        elif path.name != RECEIPT:
            path.unlink()


def task_name(context: StepContext) -> str:
    """Name a task of a run, whatever the try."""
    run = context.run
    return f"{run.dag}/{run.run}/{run.task}/{run.map_index}"
