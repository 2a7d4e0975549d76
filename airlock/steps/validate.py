"""Check a Great Expectations suite on a dataset version, failing closed, and draw the report."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from airlock.errors import DataRejected
from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.data.validation import Verdict

ENVIRONMENT = ("great-expectations", "jinja2", "pandas", "pillow", "pyarrow", "pylance")
NAMED = 5


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to check.

    :param expectations: suite as JSON, on the columns sample_id, label, width, height, mode, bytes, mean, std,
        source_split and source.
    """

    dataset: DatasetVersion
    labels: LabelSet
    expectations: Artifact


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    :param report: HTML page with pictures.
    :param result: JSON with every expectation's outcome and failing sample ids.
    :param checked: expectations; ``passed`` is the same number, or the step fails.
    """

    report: Artifact
    result: Artifact
    checked: int
    passed: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Check, store report and result, link both, then pass or reject.

    :raises DataRejected: an expectation is not met.
    :raises UserError: an expectation cannot be checked, which says nothing about the data.
    """
    from airlock.data.metadata import STORED, check_match, metadata_frame
    from airlock.data.suites import decode_suite
    from airlock.data.validation import validate
    from airlock.stores.labels import LabelStore

    check_match(inputs.dataset, inputs.labels)
    suite = decode_suite(context.artifacts.read(inputs.expectations.digest))
    table = context.datasets.read(inputs.dataset, columns=list(STORED))
    frame = metadata_frame(table, LabelStore(context.database).read(inputs.labels))
    verdict = validate(frame, suite)
    labels = dict(zip(frame["sample_id"], frame["label"], strict=True))
    outputs = _store(verdict, labels, inputs.dataset, context)
    _reject(verdict, inputs.dataset)
    return outputs


def _store(
    verdict: "Verdict", labels: Mapping[str, str | None], dataset: DatasetVersion, context: StepContext
) -> Outputs:
    from airlock.data.report import render

    def contents(ids: list[str]) -> Mapping[str, bytes]:
        found = context.datasets.take(dataset, ids, ["sample_id", "content"]) if ids else None
        return dict(zip(*(found[name].to_pylist() for name in found.column_names), strict=True)) if found else {}

    result = context.artifacts.put(msgspec.json.encode(verdict), "application/json")
    page = render(verdict, f"{dataset.name} version {dataset.version}", labels, contents)
    report = context.artifacts.put(page, "text/html")
    context.link("Report", report.digest)
    context.link("Validation result", result.digest)
    checked = len(verdict.checks)
    passed = checked - len(verdict.failed)
    context.metric("expectations_passed", passed)
    return Outputs(report=report, result=result, checked=checked, passed=passed)


def _reject(verdict: "Verdict", dataset: DatasetVersion) -> None:
    if not verdict.failed:
        return
    reasons = []
    for check in verdict.failed:
        named = ", ".join(sample_id[:12] for sample_id in check.sample_ids[:NAMED])
        reasons.append(
            f"{check.description} [{check.type}] observed {check.observed}" + (f", samples {named}" if named else "")
        )
    raise DataRejected(
        f"{dataset.name} version {dataset.version} fails {len(reasons)} of {len(verdict.checks)} expectations: "
        f"{'; '.join(reasons)}.",
        hint="See the linked data report; correct the data, or the expectation if it is wrong.",
    )
