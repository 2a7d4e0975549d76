"""Check a dataset version, failing closed, and draw the report: expectations on metadata, checks on contents."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import DataRejected
from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    import pandas as pd

    from airlock.data.checks import Subject
    from airlock.data.validation import Check, Verdict

ENVIRONMENT = (
    "datasketch",
    "great-expectations",
    "jinja2",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "pylance",
    "scipy",
    "soundfile",
)
SEALED = True
NAMED = 5


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to check.

    :param expectations: suite as JSON, on sample_id, label, source, source_split, group, what cleaning measured, and
        the source's metadata.
    :param checks: of unstructured data, ``{"check": "near_duplicates", "max_share": 0.01}`` each.
    :param split: Parquet as ``split`` writes it; ``leakage`` looks at it.
    :param previous: what ``drift`` compares with; by default the version before.
    :param previous_labels: its label set; by default the newest one of that version.
    :param cleaning: output ``cleaning`` of each clean task, by the name of its part; ``same_cleaning`` compares them.
    """

    dataset: DatasetVersion
    labels: LabelSet
    expectations: Artifact
    checks: tuple[dict[str, Any], ...] = ()
    split: Artifact | None = None
    previous: DatasetVersion | None = None
    previous_labels: LabelSet | None = None
    cleaning: dict[str, dict[str, Any]] = {}


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    :param report: HTML page with pictures.
    :param result: JSON with every expectation's and check's outcome and the samples that offend.
    :param checked: expectations and checks; without ``warnings`` as many ``passed``, or the step fails.
    :param warnings: those that are not met and only shown.
    """

    report: Artifact
    result: Artifact
    checked: int
    passed: int
    warnings: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Check, store report and result, link both, then pass or reject.

    :raises DataRejected: an expectation or a critical check is not met.
    :raises UserError: one cannot be checked, which says nothing about the data.
    """
    from airlock.data.checks import decode_checks, run_checks
    from airlock.data.metadata import check_match
    from airlock.data.suites import decode_suite
    from airlock.data.validation import validate

    check_match(inputs.dataset, inputs.labels)
    checks = decode_checks(inputs.checks)
    suite = decode_suite(context.artifacts.read(inputs.expectations.digest))
    subject = _subject(inputs, context, _frame(context, inputs.dataset, inputs.labels))
    verdict = validate(subject.frame, suite)
    verdict = msgspec.structs.replace(verdict, checks=verdict.checks + run_checks(checks, subject))
    outputs = _store(verdict, subject, inputs.dataset, context)
    _reject(verdict, inputs.dataset)
    return outputs


def _frame(context: StepContext, dataset: DatasetVersion, labels: LabelSet | None) -> "pd.DataFrame":
    from airlock.data.metadata import metadata_frame, stored_metadata
    from airlock.stores.labels import LabelStore

    columns = stored_metadata(context.datasets.open(dataset).schema.names)
    known = LabelStore(context.database).read(labels) if labels else {}
    return metadata_frame(context.datasets.read(dataset, columns=columns), known)


def _subject(inputs: Inputs, context: StepContext, frame: "pd.DataFrame") -> "Subject":
    import pyarrow.parquet as pq

    from airlock.data.checks import Subject

    def contents() -> Iterator[tuple[str, bytes]]:
        done = 0
        for batch in context.datasets.batches(inputs.dataset, ["sample_id", "content"]):
            yield from zip(batch["sample_id"].to_pylist(), batch["content"].to_pylist(), strict=True)
            done += batch.num_rows
            context.progress(done, len(frame), "sample")

    split = None
    if inputs.split is not None:
        table = pq.read_table(context.fetch(inputs.split, "split.parquet"))
        split = dict(zip(table["sample_id"].to_pylist(), table["split"].to_pylist(), strict=True))
    wanted = {check["check"] for check in inputs.checks}
    return Subject(
        frame,
        contents,
        answers=_answers(context, inputs.dataset) if "label_consensus" in wanted else None,
        split=split,
        previous=_previous(inputs, context) if wanted & {"drift", "same_cleaning"} else None,
        cleanings=inputs.cleaning,
    )


def _answers(context: StepContext, dataset: DatasetVersion) -> dict[str, dict[str, str]]:
    """What people said; labels that came with the samples and adjudications are no second opinion."""
    from airlock.stores.labels import LabelStore

    said: dict[str, dict[str, str]] = {}
    for answer in LabelStore(context.database).latest(dataset.digest):
        if answer.kind == "label":
            said.setdefault(answer.sample_id, {})[answer.annotator] = answer.label
    return said


def _previous(inputs: Inputs, context: StepContext) -> Any:
    from airlock.data.checks import Previous
    from airlock.stores.labels import LabelStore

    before = inputs.previous
    if before is None:
        earlier = [
            item for item in context.datasets.versions(inputs.dataset.name) if item.version < inputs.dataset.version
        ]
        if not earlier:
            return None
        before = earlier[-1]
    labels = inputs.previous_labels or LabelStore(context.database).newest(before.digest)
    frame = _frame(context, before, labels)
    if labels is None:  # not that all labels vanished: nobody asked yet
        frame = frame.drop(columns="label")
    process = context.datasets.process(before)
    return Previous(title=f"{before.name} version {before.version}", frame=frame, cleaning=process.get("cleaning"))


def _store(verdict: "Verdict", subject: "Subject", dataset: DatasetVersion, context: StepContext) -> Outputs:
    from airlock.data.report import render

    def contents(ids: list[str]) -> Mapping[str, bytes]:
        found = context.datasets.take(dataset, ids, ["sample_id", "content"]) if ids else None
        return dict(zip(*(found[name].to_pylist() for name in found.column_names), strict=True)) if found else {}

    result = context.sealed.put(msgspec.json.encode(verdict), "application/json")
    page = render(verdict, f"{dataset.name} version {dataset.version}", subject.labels, contents)
    report = context.sealed.put(page, "text/html")  # it shows samples
    context.link("Report", report.digest)
    context.link("Validation result", result.digest)
    checked = len(verdict.checks)
    passed = sum(check.success for check in verdict.checks)
    context.metric("expectations_passed", passed)
    for check in verdict.checks:
        if check.figure is not None:
            context.metric(check.type, check.figure)
    return Outputs(report=report, result=result, checked=checked, passed=passed, warnings=len(verdict.warnings))


def _reject(verdict: "Verdict", dataset: DatasetVersion) -> None:
    if not verdict.failed:
        return
    raise DataRejected(
        f"{dataset.name} version {dataset.version} fails {len(verdict.failed)} of {len(verdict.checks)} expectations: "
        f"{'; '.join(map(_reason, verdict.failed))}.",
        hint="See the linked data report; correct the data, or the expectation if it is wrong.",
    )


def _reason(check: "Check") -> str:
    named = ", ".join(sample_id[:12] for sample_id in check.sample_ids[:NAMED])
    return f"{check.description} [{check.type}] observed {check.observed}" + (f", samples {named}" if named else "")
