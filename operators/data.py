"""Operators of the data pipeline: from a source to a labelled, validated dataset version."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from airlock.operators.compute import by_compute
from airlock.operators.links import MANIFEST, REPORT
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator


class IngestStep(StepOperator):
    """Fetch samples from a source, keep their bytes as they came, count duplicates.

    :param source: ``{"kind": "folder" | "zip" | "s3" | "sql" | …, "location": path or URL, …}``.
    :param limit: at most that many samples; 0 for all.
    """

    step = "ingest"
    template_fields: Sequence[str] = ("source", "limit")

    def __init__(self, *, source: dict[str, Any], limit: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.limit = limit

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments, and a fingerprint of what the source holds now: new files are not taken from the cache."""
        from airlock.data.sources import parse_source  # half a second that parsing a DAG does not pay

        return super().inputs | {"fingerprint": parse_source(self.source).fingerprint()}


class CleanStep(StepOperator):
    """Apply declared cleaners to every sample: keep, change or drop it, each with its reason, and measure the rest.

    :param samples: the ingested samples.
    :param classes: the labels there may be.
    :param cleaners: in this order, ``{"name": "decode_image", "mode": "L", "min_side": 8}``; the name
        ``path/to/file.py:function`` is one of your own.
    :param max_dropped: fail when a larger share would be dropped.
    """

    step = "clean"
    template_fields: Sequence[str] = ("samples", "classes", "cleaners", "max_dropped")

    def __init__(
        self, *, samples: Any, classes: Any, cleaners: list[dict[str, Any]], max_dropped: float = 0.05, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.samples = samples
        self.classes = classes
        self.cleaners = cleaners
        self.max_dropped = max_dropped

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments, with the file of a cleaner of one's own stored as an artifact."""
        given = super().inputs
        return given | {"cleaners": [self._with_code(dict(cleaner)) for cleaner in given["cleaners"]]}

    def _with_code(self, cleaner: dict[str, Any]) -> dict[str, Any]:
        file, mark, function = str(cleaner.get("name", "")).rpartition(".py:")
        if not mark:
            return cleaner
        path = Path(f"{file}.py")
        code = msgspec.to_builtins(self.artifacts.put_file(path, "text/plain"))
        return cleaner | {"name": f"{path.name}:{function}", "code": code}


class VersionStep(StepOperator):
    """Commit the samples as a dataset version, and the labels known in advance as a label set.

    :param samples: the cleaned samples.
    :param dataset: name of the dataset.
    :param process: what made this version, kept with it.
    """

    step = "version"
    template_fields: Sequence[str] = ("samples", "dataset", "process")

    def __init__(self, *, samples: Any, dataset: str, process: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.samples = samples
        self.dataset = dataset
        self.process = process or {}


class ValidateStep(StepOperator):
    """Check expectations on the samples' metadata and checks on their contents, failing closed; draw the report.

    :param dataset: the dataset version.
    :param labels: its label set.
    :param expectations: path of a Great Expectations suite as JSON.
    :param checks: of unstructured data, ``{"check": "near_duplicates", "max_share": 0.01}`` each.
    :param split: the split, for the check ``leakage``.
    :param cleaning: ``{"train": cleaned["cleaning"]}``, for the check ``same_cleaning``.
    :param previous: the dataset version that ``drift`` compares with, by default the one before; ``previous_labels``
        its label set.
    """

    step = "validate"
    files = ("expectations",)
    template_fields: Sequence[str] = (
        "dataset",
        "labels",
        "expectations",
        "checks",
        "split",
        "cleaning",
        "previous",
        "previous_labels",
    )
    operator_extra_links = (REPORT,)

    def __init__(
        self,
        *,
        dataset: Any,
        labels: Any,
        expectations: str,
        checks: Sequence[dict[str, Any]] = (),
        split: Any = None,
        cleaning: dict[str, Any] | None = None,
        previous: Any = None,
        previous_labels: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.labels = labels
        self.expectations = expectations
        self.checks = list(checks)
        self.split = split
        self.cleaning = cleaning or {}
        self.previous = previous
        self.previous_labels = previous_labels


class SplitStep(StepOperator):
    """Assign every sample to train, validation or test by its own hash: old samples never move, groups stay together.

    :param fractions: share of each split; they sum to 1.
    :param salt: change it to draw another split.
    :param stratify: every class keeps the fractions; what the dataset's split before assigned stays as it is.
    :param test_sources: patterns of source paths whose samples are test, for example ``["hospital-b/*"]``.
    """

    step = "split"
    template_fields: Sequence[str] = ("dataset", "labels", "fractions", "salt", "stratify", "test_sources")

    def __init__(
        self,
        *,
        dataset: Any,
        labels: Any,
        fractions: dict[str, float],
        salt: str = "airlock",
        stratify: bool = False,
        test_sources: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.labels = labels
        self.fractions = fractions
        self.salt = salt
        self.stratify = stratify
        self.test_sources = list(test_sources)

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments, and for a stratified split the one before: what it assigned must not move."""
        from airlock.data.split_history import latest_split

        before = latest_split(self.artifacts, self.dataset["name"], self.salt) if self.stratify else None
        return super().inputs | {"previous": before}


class DataManifestStep(StepOperator):
    """Tie dataset version, label set, split and report into the manifest the data gate approves.

    :param use_case: name of the use case.
    :param dropped: the record of dropped samples.
    :param counts: samples in each split.
    :param process: what else made this data, kept in the manifest.
    :param labelling: the figures of ``pull_labels``, when people were asked; ``label_report`` its report.
    """

    step = "data_manifest"
    template_fields: Sequence[str] = (
        "use_case",
        "classes",
        "dataset",
        "labels",
        "split",
        "report",
        "dropped",
        "counts",
        "process",
        "labelling",
        "label_report",
    )
    operator_extra_links = (MANIFEST,)

    def __init__(
        self,
        *,
        use_case: str,
        classes: Any,
        dataset: Any,
        labels: Any,
        split: Any,
        report: Any,
        dropped: Any,
        counts: Any,
        process: dict[str, Any] | None = None,
        labelling: Any = None,
        label_report: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.use_case = use_case
        self.classes = classes
        self.dataset = dataset
        self.labels = labels
        self.split = split
        self.report = report
        self.dropped = dropped
        self.counts = counts
        self.process = process or {}
        self.labelling = labelling
        self.label_report = label_report


class IngestOperator(SubprocessPlace, IngestStep):
    """:class:`IngestStep` in a subprocess of the worker."""


class CleanOperator(SubprocessPlace, CleanStep):
    """:class:`CleanStep` in a subprocess of the worker."""


class VersionOperator(SubprocessPlace, VersionStep):
    """:class:`VersionStep` in a subprocess of the worker."""


class ValidateOperator(SubprocessPlace, ValidateStep):
    """:class:`ValidateStep` in a subprocess of the worker."""


class SplitOperator(SubprocessPlace, SplitStep):
    """:class:`SplitStep` in a subprocess of the worker."""


class DataManifestOperator(SubprocessPlace, DataManifestStep):
    """:class:`DataManifestStep` in a subprocess of the worker."""


ingest = by_compute(IngestOperator)
clean = by_compute(CleanOperator)
version = by_compute(VersionOperator)
validate = by_compute(ValidateOperator)
split = by_compute(SplitOperator)
data_manifest = by_compute(DataManifestOperator)
