"""Manifests of a use case with two classes, and what authors of DAGs might write into them."""

from typing import Any

import msgspec
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from airlock.digests import digest_bytes
from airlock.governance.comparison import Comparison, compare
from airlock.governance.comparison.index import index_of
from airlock.governance.evaluations import (
    ClassFigures,
    Compression,
    Evaluation,
    Frontier,
    Lost,
    Measured,
    Predictions,
    Row,
)
from airlock.governance.evidence import evidence
from airlock.governance.manifest import AnyManifest, CandidateManifest, DataManifest, ReleaseManifest, put
from airlock.governance.statistics import wilson
from airlock.references import Artifact, DatasetVersion, LabelSet, ModelVersion, TrackingRun
from airlock.stores.artifacts import ArtifactStore, open_artifacts

GFM = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PICTURE = "iVBORw0KGgo="
HOSTILE = [
    "a|b|c",
    "end\\",
    "`x` | forged | 1 |\n| accuracy | 1.0 |",
    "\n\nRequest `" + "f" * 64 + "`",
    "``` \n# Approved by root",
    "[click](https://evil.example)",
    "<img src=x onerror=alert(1)><script>alert(1)</script>",
    "https://evil.example/login",
    "\u202eevil\u200b\x00\x1b[31m",
    "\u2028| forged |\u2029",
    "",
]


class Maker:
    """Stores manifests of a use case with two classes."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.some = store.put(b"something")

    def json(self, document: Any) -> Artifact:
        return self.store.put(msgspec.json.encode(document))

    def data(self, version: int = 1, labels: dict[str, str] | None = None, **changes: Any) -> str:
        labels = labels or {"s1": "zero", "s2": "one"}
        rows = {sample: bytes([len(sample)]) * 32 for sample in labels} | changes.pop("rows", {})
        dataset = DatasetVersion(
            name="digits", version=version, digest=digest_bytes(repr(rows).encode()), rows=len(rows)
        )
        fields = {
            "use_case": "digits",
            "classes": ["zero", "one"],
            "dataset": dataset,
            "labels": LabelSet(digest=digest_bytes(repr(labels).encode()), dataset=dataset.digest, rows=len(labels)),
            "split": self.some,
            "report": self.some,
            "dropped": self.some,
            "counts": {"train": 1500, "test": 4},
            "index": self.json(index_of(rows, labels)),
        }
        return self.put(DataManifest(**fields | changes))

    def evaluation(self, answers: list[int], classes: list[str], **changes: Any) -> Artifact:
        truth = [0, 0, 1, 1]
        hits = sum(one == other for one, other in zip(truth, answers, strict=True))
        wrong = [f"s{place}" for place in range(4) if truth[place] != answers[place]]
        figures = ClassFigures(precision=0.5, recall=hits / 4, f1=0.5, support=2, recall_interval=(0.1, 0.9))
        samples = [f"s{place}" for place in range(4)]
        fields = {
            "model": self.some.digest,
            "tensors": self.some.digest,
            "split": "test",
            "count": 4,
            "accuracy": hits / 4,
            "per_class": dict.fromkeys(classes, figures),
            "confusion": [[1, 1], [1, 1]],
            "intervals": {"accuracy": wilson(hits, 4)},
            "predictions": Predictions(samples=samples, truth=truth, answer=answers, probability=[0.9, 0.8, 0.7, 0.6]),
            "errors": dict.fromkeys(wrong, PICTURE),
        }
        return self.json(Evaluation(**fields | changes))

    def candidate(self, answers: list[int] | None = None, *, data: str = "", told: Any = None, **changes: Any) -> str:
        classes = changes.get("classes", ["zero", "one"])
        dataset = DatasetVersion(name="digits", version=1, digest="sha256:d", rows=2)
        fields = {
            "use_case": "digits",
            "classes": classes,
            "data": data or self.data(),
            "dataset": dataset,
            "labels": LabelSet(digest="sha256:l", dataset="sha256:d", rows=2),
            "model": self.some,
            "evaluation": self.evaluation(answers or [0, 0, 1, 1], classes, **told or {}),
            "run": TrackingRun(run_id="r", experiment="digits"),
            "version": ModelVersion(name="digits", version="1"),
            "parameters": {"epochs": 30},
            "seed": 7,
            "metrics": {"accuracy": sum(map(int.__eq__, answers or [0, 0, 1, 1], [0, 0, 1, 1])) / 4},
            "code": {"commit": "0" * 40},
            "environment": {"keras": "3.1"},
            **dict.fromkeys(("tensors", "picture", "transform_code", "network_code"), self.some),
        }
        return self.put(CandidateManifest(**fields | changes))

    def release(self, candidate: str, answers: list[int], original: list[int], **changes: Any) -> str:
        measured = Measured(bytes=60_000, accuracy=0.75, p50_ms=0.02, p99_ms=0.05)
        said = msgspec.json.decode(self.store.read(self.evaluation(answers, ["zero", "one"]).digest), type=Evaluation)
        were = msgspec.json.decode(self.store.read(self.evaluation(original, ["zero", "one"]).digest), type=Evaluation)
        told = {
            "method": "litert_int8",
            "original": measured,
            "compressed": measured,
            "points_lost": 0.25,
            "ratio": 0.27,
            "intervals": {"original": (0.5, 0.9), "compressed": (0.4, 0.8)},
            "predictions": said.predictions,
            "original_predictions": were.predictions,
            "errors": said.errors | were.errors,
        }
        manifest = ReleaseManifest(
            use_case="digits",
            classes=["zero", "one"],
            candidate=candidate,
            package=self.some,
            model=self.some,
            comparison=self.json(Compression(**told | changes)),
            metrics={"accuracy": 0.75, "bytes": 60_000, "p50_ms": 0.02},
        )
        return self.put(manifest)

    def put(self, manifest: AnyManifest) -> str:
        return put(self.store, manifest).digest

    def compare(self, now: str, before: str = "") -> Comparison:
        return compare(self.store, now, before)

    def frontier(self, name: str) -> Frontier:
        """Return a table of an original, a way that was picked, one that loses too much and one that failed."""
        lost = [
            Lost(
                slice=slice_name,
                rule="",
                count=4,
                accuracy=0.5,
                interval=(0.2, 0.8),
                points_lost=points,
                points_interval=(-1.0, points + 1),
            )
            for slice_name, points in (("whole split", 1.0), (name, 4.5))
        ]
        files = {"engine": "litert", "test": lost, "validation": lost}
        large = Measured(bytes=60_000, accuracy=0.75, p50_ms=0.2, p99_ms=0.5, gzip_bytes=50_000, peak_bytes=9_000_000)
        small = Measured(bytes=15_000, accuracy=0.5, p50_ms=0.1, p99_ms=0.3, gzip_bytes=14_000, peak_bytes=8_000_000)
        return Frontier(
            rule="the smallest",
            rows=[
                Row(method="original", measured=large, **files),
                Row(method="litert_int8", measured=small, picked=True, frontier=True, **files),
                Row(method="low_rank", measured=small, misses=[f"loses 4.50 points on {name}"], **files),
                Row(method="distillation", failed=name),
            ],
        )

    def evidence(self, now: str, before: str = "") -> str:
        return evidence(self.store, now, before)


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(open_artifacts(tmp_path_factory.mktemp("artifacts").as_uri()))


def flatten(text: str) -> list[Token]:
    """Every token of a text, those inside paragraphs and cells too."""
    return [inner for token in GFM.parse(text) for inner in (token, *(token.children or []))]
