"""What makes two tensors or two answers differ, value by value."""

import numpy as np
import pytest

from airlock.governance.revisions import ModelDifference, Revision, Tolerances
from airlock.model.revision import split_difference
from airlock.model.revision_report import render
from airlock.model.tensors import Split

IDS = np.array([f"{number:064x}" for number in range(4)], "S64")


def split(x: np.ndarray, ids: np.ndarray = IDS) -> Split:
    return Split(x, np.arange(4), ids)


def revision(**changes: object) -> Revision:
    fields = {"candidate": "sha256:c", "revised": ["transform"], "tolerances": Tolerances(), "tensors": "sha256:t"}
    return Revision(**fields | {"splits": []} | changes)  # type: ignore[arg-type]


class TestTensors:
    def test_of_the_same_bits_differ_nowhere(self) -> None:
        x = np.array([[0.0], [-1.5], [np.nan], [np.inf]], np.float32)
        found = split_difference("train", split(x), split(x.copy()))
        assert (found.differing, found.largest, found.examples) == (0, 0.0, [])

    def test_differ_by_the_largest_value_of_any_sample(self) -> None:
        x = np.zeros((4, 2), np.uint8)
        other = x.copy()
        other[1, 1], other[3, 0] = 200, 7
        found = split_difference("train", split(other), split(x))
        assert (found.differing, found.largest) == (2, 200.0), "unsigned bytes must not wrap around"
        assert found.examples == [IDS[1].decode(), IDS[3].decode()]

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_differ_beyond_any_tolerance_where_a_number_became_none(self, value: float) -> None:
        x = np.zeros((4, 1), np.float32)
        other = x.copy()
        other[2] = value
        found = split_difference("train", split(other), split(x))
        assert (found.differing, found.largest) == (1, None)
        told = revision(splits=[found], tolerances=Tolerances(transform=1e30))
        assert "what is no number" in told.misses[0]

    def test_of_other_samples_are_not_compared(self) -> None:
        x = np.zeros((4, 1), np.uint8)
        found = split_difference("train", split(x), split(x, IDS[::-1]))
        assert revision(splits=[found]).misses == ["train: other samples or labels than the candidate's"]

    def test_within_the_tolerance_pass(self) -> None:
        x = np.zeros((4, 1), np.float32)
        found = split_difference("train", split(x + 1e-4), split(x))
        assert revision(splits=[found], tolerances=Tolerances(transform=1e-3)).misses == []
        assert revision(splits=[found]).misses != []


class TestAVerdict:
    EQUAL = ModelDifference(
        parameters=1, parameters_before=1, architecture=[], weights=0.0, samples=4, largest=0.0, flips=0,
        accuracy=1.0, accuracy_before=1.0,
    )  # fmt: skip

    def test_needs_a_model_that_was_compared(self) -> None:
        assert revision().verdict == "different"

    def test_is_bit_equal_only_for_the_same_bytes_from_the_same_tensors(self) -> None:
        assert revision(difference=self.EQUAL, same_model=True).verdict == "bit-equal"
        assert revision(difference=self.EQUAL).verdict == "equal within tolerance"

    def test_on_its_page_is_escaped_and_whole(self) -> None:
        page = render(revision(difference=self.EQUAL, changed=["<script>"])).decode()
        assert "&lt;script&gt;" in page
        assert "<script>" not in page
