"""Fetch samples from a source and keep their bytes as they came."""

import logging
from typing import Any

import msgspec

from airlock.errors import UserError
from airlock.references import Artifact
from airlock.steps.context import StepContext

ENVIRONMENT = ("httpx", "numpy", "pyarrow", "scikit-learn")
PARQUET = "application/vnd.apache.parquet"
log = logging.getLogger(__name__)


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to fetch.

    :param source: kind (folder, zip, idx, sklearn), location (path or http(s) URL) and the keys of that kind.
    :param limit: at most that many samples, taken evenly over the source; 0 for all.
    :param fingerprint: ``parse_source(source).fingerprint()`` when the task began. Only the cache looks at it: it
        is how new data behind an old location is noticed.
    """

    source: dict[str, Any]
    limit: int = 0
    fingerprint: str = ""


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What was fetched.

    :param samples: Parquet: sample_id (sha256 of content), content (encoded image), label, origin, source,
        source_split.
    :param rows: different samples.
    :param duplicates: samples whose content came before.
    """

    samples: Artifact
    rows: int
    duplicates: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Fetch, hash and store.

    :raises SourceError: the source is missing, damaged, empty or over a limit.
    """
    from airlock.data.ingestion import write_samples
    from airlock.data.sources import parse_source

    if inputs.limit < 0:
        raise UserError(f"limit is {inputs.limit}, below 0.", hint="Use 0 for all samples.")
    target = context.workdir / "samples.parquet"
    with parse_source(inputs.source).open(context.workdir, context.progress) as samples:
        written = write_samples(samples, target, inputs.limit, context.progress)
    if written.conflicts:
        first = "; ".join(written.conflicts[:5])
        log.warning("%d duplicates have another label; the first one counts: %s", len(written.conflicts), first)
    context.metric("duplicates", written.duplicates)
    context.metric("conflicting_duplicates", len(written.conflicts))
    artifact = context.artifacts.put_file(target, PARQUET)
    return Outputs(samples=artifact, rows=written.rows, duplicates=written.duplicates)
