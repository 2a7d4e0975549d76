"""Many models on one dataset version: the newest measurement of each, and claims outside its interval."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airlock.errors import UserError
from airlock.governance.evaluations import WHOLE_SPLIT, Measurement
from airlock.model.evaluation.kept import Kept, measurements
from airlock.model.evaluation.tables import Subject, names, render, table
from airlock.references import DatasetVersion
from airlock.stores.artifacts import ArtifactStore, open_artifacts

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def version(number: int = 1) -> DatasetVersion:
    return DatasetVersion(name="digits", version=number, digest="sha256:" + f"{number:x}" * 64, rows=9)


def measured(model: str = ONE, accuracy: float = 0.9, **changes: Any) -> Measurement:
    fields: dict[str, Any] = {
        "model": model,
        "dataset": version(),
        "split": "test",
        "slice": WHOLE_SPLIT,
        "rule": "",
        "count": 100,
        "figures": {"accuracy": accuracy, "odd": 1.0, "ece": 0.1},
        "intervals": {"accuracy": (accuracy - 0.05, accuracy + 0.05)},
    }
    return Measurement(**fields | changes)


class TestATable:
    def test_flags_what_was_claimed_outside_the_measured_interval(self) -> None:
        subjects = [
            Subject(title="honest", model=ONE, claimed={"accuracy": 0.92}),
            Subject(title="proud", model=TWO, claimed={"accuracy": 0.99}),
        ]
        rows = table(subjects, [measured(ONE), measured(TWO)], "digits")
        differs = {row.subject.title: cell.differs for row in rows for cell in row.cells if cell.name == "accuracy"}
        assert differs == {"honest": False, "proud": True}
        shown = render(rows, "digits").decode()
        assert shown.count("outside") == 1
        assert names(rows) == ["accuracy", "ece", "odd"]

    def test_takes_the_newest_version_unless_one_is_named(self) -> None:
        found = [measured(accuracy=0.5), measured(accuracy=0.7, dataset=version(2))]
        subject = [Subject(title="m", model=ONE)]

        def accuracy(dataset: str) -> float:
            (row,) = table(subject, found, dataset)
            return row.cells[0].measured

        assert accuracy("digits") == 0.7
        assert accuracy("digits@1") == 0.5
        assert accuracy("sha256:1111") == 0.5

    def test_takes_what_was_measured_last(self) -> None:
        found = [measured(accuracy=0.6, time=2.0), measured(accuracy=0.5, time=1.0)]
        (row,) = table([Subject(title="m", model="1111")], found, "digits")
        assert row.cells[0].measured == 0.6

    def test_shows_a_model_that_was_never_measured_on_it_as_that(self) -> None:
        rows = table([Subject(title="new", model=TWO)], [measured()], "digits")
        assert rows[0].measurement is None
        assert "not measured on this" in render(rows, "t").decode()

    @pytest.mark.parametrize("dataset", ["fashion", "digits@7", "sha256:99"])
    def test_of_data_on_which_nothing_was_measured_names_what_there_is(self, dataset: str) -> None:
        with pytest.raises(UserError, match=r"Nothing was measured on .*There is digits@1"):
            table([Subject(title="m", model=ONE)], [measured()], dataset)

    def test_is_of_one_slice(self) -> None:
        found = [measured(accuracy=0.9), measured(accuracy=0.4, slice="small")]
        (row,) = table([Subject(title="m", model=ONE)], found, "digits", "small")
        assert row.cells[0].measured == 0.4

    def test_escapes_what_came_with_a_model(self) -> None:
        page = render(table([Subject(title="<script>", model=ONE)], [measured()], "digits"), "t").decode()
        assert "<script>" not in page


class TestWhatIsKept:
    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        return open_artifacts((tmp_path / "sealed").as_uri())

    def test_is_computed_once_by_model_dataset_version_and_slice(self, store: ArtifactStore) -> None:
        kept, calls = Kept(store), []

        def compute() -> Measurement:
            calls.append(1)
            return measured(accuracy=len(calls) / 10)

        keys = [measured(), measured(), measured(TWO), measured(dataset=version(2)), measured(slice="small")]
        found = [kept.measurement(key, "sha256:" + "a" * 64, compute).figures["accuracy"] for key in keys]
        assert found == [0.1, 0.1, 0.2, 0.3, 0.4]
        other_labels = kept.measurement(measured(), "sha256:" + "b" * 64, compute)
        assert other_labels.figures["accuracy"] == 0.5, "the same samples with other labels are another slice"

    def test_answers_come_back_as_they_were(self, store: ArtifactStore) -> None:
        made = np.random.default_rng(0).random((5, 3)).astype(np.float32)
        kept = Kept(store)
        assert np.array_equal(kept.answers(ONE, TWO, lambda: made), made)
        again = kept.answers(ONE, TWO, lambda: np.zeros((1, 1), np.float32))
        assert np.array_equal(again, made)
        assert again.dtype == np.float32

    def test_is_found_by_the_beginning_of_the_models_digest(self, store: ArtifactStore) -> None:
        kept = Kept(store)
        for model in (ONE, TWO):
            kept.measurement(measured(model), ONE, lambda model=model: measured(model))
        assert [each.model for each in measurements(store, "sha256:11")] == [ONE]
        assert len(list(measurements(store))) == 2
