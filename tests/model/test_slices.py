"""Slices: what may be declared, which samples they have, and what their thresholds say."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airlock.errors import UserError
from airlock.governance.evaluations import Evaluation, Measurement
from airlock.governance.statistics import paired_difference
from airlock.model.evaluation.judging import Rights, judge, require_thresholds
from airlock.model.evaluation.slices import Slice, columns_of, decode_slices, read_ids
from airlock.model.evaluation.slicing import Slicer, query
from airlock.model.tensors import Split

IDS = [f"{number:064x}" for number in range(6)]
FRAME = pd.DataFrame(
    {
        "sample_id": IDS,
        "label": ["3", "8", "3", "1", "8", "8"],
        "width": [8, 9, 10, 11, np.nan, 13],
        "source": ["scan", "photo", "scan", None, "photo", "scan"],
    },
    index=IDS,
)


def some_split(x: np.ndarray | None = None) -> Split:
    x = np.zeros((6, 2), np.float32) if x is None else x
    return Split(x, np.zeros(6, np.int64), np.array(IDS, "S64"))


def slicer(x: np.ndarray | None = None, listed: Any = None) -> Slicer:
    split = some_split(x)
    return Slicer(FRAME, split, listed or (lambda declared: []), lambda: np.asarray(split.x))


class TestADeclaration:
    def test_plain_data_is_read(self) -> None:
        declared = [
            {"name": "small", "where": "width < 10", "min_accuracy": 0.9, "max_points_lost": 1.0},
            {"name": "all", "severity": "warning", "max_ece": 0.1},
            {"name": "clusters", "clusters": 5, "on": "pixels"},
        ]
        small, every, clusters = decode_slices(declared)
        assert (small.rule, small.min_accuracy, small.severity) == ("width < 10", 0.9, "error")
        assert (every.rule, every.max_ece) == ("every sample", 0.1)
        assert clusters.rule == "k-means on pixels, 5 clusters, seed 0"

    @pytest.mark.parametrize(
        ("declared", "said"),
        [
            ({"where": "width < 10"}, "Slice 1 is not valid.*name"),
            ({"name": "a", "wher": "width < 10"}, "'a' is not valid.*wher"),
            ({"name": "a", "min_accuracy": 90}, "min_accuracy"),
            ({"name": "a", "severity": "fatal"}, "severity"),
            ({"name": "a", "where": "width < 10", "clusters": 3}, "more than one of where, samples and clusters"),
            ({"name": "../a"}, "regex|pattern"),
            ("small", "Slice 1 is not valid"),
        ],
    )
    def test_what_breaks_a_rule_is_named(self, declared: Any, said: str) -> None:
        with pytest.raises(UserError, match=said):
            decode_slices([declared])

    def test_two_of_one_name_are_refused(self) -> None:
        with pytest.raises(UserError, match="Two slices are called 'a'"):
            decode_slices([{"name": "a"}, {"name": "a", "where": "width < 10"}])

    @pytest.mark.parametrize(
        ("where", "columns"),
        [
            ("width < 10", {"width"}),
            ("5 < width <= 10 and not label in ['3', '8']", {"width", "label"}),
            ("source == 'scan' or width > -1.5", {"source", "width"}),
        ],
    )
    def test_a_query_names_its_columns(self, where: str, columns: set[str]) -> None:
        assert columns_of(where) == columns

    @pytest.mark.parametrize(
        "where",
        [
            "__import__('os').system('id')",
            "width.values < 3",
            "@pd.io < 3",
            "label[0] == '3'",
            "width < (lambda: 3)()",
            "width + 1 < 3",
            "[w for w in width] == 1",
            "width < f'{label}'",
            "width := 3",
            "width",
            "1 < 2",
            "width < None",
            "width <",
            "width < 1; label == 2",
            "(" * 300 + "width" + ")" * 300 + " < 3",
        ],
    )
    def test_anything_but_comparisons_is_refused(self, where: str) -> None:
        with pytest.raises(UserError, match="query"):
            decode_slices([{"name": "a", "where": where}])

    def test_a_saved_list_holds_ids_and_comments(self, tmp_path: Path) -> None:
        path = tmp_path / "hard.txt"
        path.write_text(f"# hard ones\n{IDS[1]}  # smudged\n\n{IDS[4]}\n")
        assert read_ids(path) == [IDS[1], IDS[4]]

    @pytest.mark.parametrize(("text", "said"), [("", "names no sample"), ("seven\n", "'seven', which is no sample id")])
    def test_a_saved_list_without_ids_is_refused(self, text: str, said: str, tmp_path: Path) -> None:
        path = tmp_path / "hard.txt"
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            read_ids(path)

    def test_a_saved_list_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="cannot be read"):
            read_ids(tmp_path / "none.txt")


class TestMembers:
    @pytest.mark.parametrize(
        ("where", "members"),
        [
            ("width < 10", [0, 1]),
            ("label == '8'", [1, 4, 5]),
            ("label in ['3', '1'] and width >= 10", [2, 3]),
            ("not source == 'scan'", [1, 3, 4]),
            ("8 < width < 13", [1, 2, 3]),
            ("width > 100", []),
        ],
    )
    def test_a_query_finds_what_pandas_finds(self, where: str, members: list[int]) -> None:
        assert np.flatnonzero(query(FRAME, Slice(name="a", where=where))).tolist() == members

    def test_a_column_that_is_not_there_is_named_with_those_that_are(self) -> None:
        with pytest.raises(UserError, match=r"'height', which is no column.*label, width, source"):
            query(FRAME, Slice(name="a", where="height < 10"))

    def test_what_cannot_be_compared_is_named(self) -> None:
        with pytest.raises(UserError, match="cannot be asked as"):
            query(FRAME, Slice(name="a", where="source < 10"))

    def test_the_index_of_the_frame_is_no_column(self) -> None:
        with pytest.raises(UserError, match="'index', which is no column"):
            query(FRAME, Slice(name="a", where="index < 3"))

    def test_a_saved_list_has_those_of_it_that_are_in_the_split(self) -> None:
        declared = Slice(name="hard", samples="hard.txt")
        (part,) = slicer(listed=lambda asked: [IDS[1], "f" * 64]).parts(declared)
        assert np.flatnonzero(part.members).tolist() == [1]

    def test_without_a_rule_it_is_every_sample(self) -> None:
        (part,) = slicer().parts(Slice(name="all"))
        assert part.members.all()

    def test_clusters_are_disjoint_cover_everything_and_are_the_same_again(self) -> None:
        x = np.array([[0, 0], [0, 1], [0, 2], [9, 9], [9, 8], [50, 50]], np.float32)
        declared = Slice(name="clusters", clusters=3, seed=4)
        parts = slicer(x).parts(declared)
        assert [part.name for part in parts] == ["clusters 1", "clusters 2", "clusters 3"]
        assert [np.flatnonzero(part.members).tolist() for part in parts] == [[0, 1, 2], [3, 4], [5]]
        again = slicer(x).parts(declared)
        assert all(np.array_equal(a.members, b.members) for a, b in zip(parts, again, strict=True))

    def test_more_clusters_than_samples_are_refused(self) -> None:
        with pytest.raises(UserError, match="7 clusters of 6 samples"):
            slicer().parts(Slice(name="a", clusters=7))


def measured(count: int = 40, **figures: float) -> Measurement:
    figures = {"accuracy": 0.8, "macro_f1": 0.75, "log_loss": 0.5, "ece": 0.05} | figures if count else {}
    intervals = {name: (value - 0.1, value + 0.1) for name, value in figures.items()}
    return Measurement(
        model="m", dataset=None, split="test", slice="small", rule="", count=count, figures=figures, intervals=intervals
    )


class TestThresholds:
    def test_a_missed_one_names_slice_figure_interval_and_threshold(self) -> None:
        found = judge(Slice(name="small", min_accuracy=0.9), measured(), None, None)
        assert found.verdict == "missed"
        assert found.misses == [
            "small: accuracy 0.8000 (95 % interval 0.7000 to 0.9000, 40 samples), min_accuracy is 0.9"
        ]

    @pytest.mark.parametrize(
        "bounds", [{"max_log_loss": 0.4}, {"max_ece": 0.01}, {"min_macro_f1": 0.76}, {"min_count": 41}]
    )
    def test_each_kind_can_be_missed(self, bounds: dict[str, Any]) -> None:
        assert judge(Slice(name="small", **bounds), measured(), None, None).verdict == "missed"

    def test_reaching_it_exactly_passes(self) -> None:
        declared = Slice(name="small", min_accuracy=0.8, max_log_loss=0.5, min_count=40)
        assert judge(declared, measured(), None, None).verdict == "passed"

    def test_a_warning_is_shown_and_fails_nothing(self) -> None:
        declared = Slice(name="small", min_accuracy=0.9, severity="warning")
        assert judge(declared, measured(), None, None).verdict == "warned"

    def test_without_thresholds_it_is_only_measured(self) -> None:
        assert judge(Slice(name="small"), measured(), None, None).verdict == "measured"

    def test_an_empty_slice_is_no_pass(self) -> None:
        found = judge(Slice(name="small", min_accuracy=0.5), measured(0), None, None)
        assert (found.verdict, found.misses) == ("empty", [])
        assert found.unjudged == ["small: min_accuracy 0.5 needs a sample"]
        assert judge(Slice(name="small", min_count=1), measured(0), None, None).verdict == "missed"

    def test_points_lost_are_against_the_champion_on_the_same_samples(self) -> None:
        now = np.array([True] * 30 + [False] * 10)
        before = np.array([True] * 34 + [False] * 6)
        rights = Rights(now, before)
        assert rights.points_lost == 10
        low, high = paired_difference(0, 4, 40)
        assert rights.interval == pytest.approx((-100 * high, -100 * low), abs=1e-3)
        missed = judge(Slice(name="small", max_points_lost=9.9), measured(), measured(), rights)
        assert "10.00 points of accuracy lost against the champion" in missed.misses[0]
        assert "max_points_lost is 9.9" in missed.misses[0]
        assert judge(Slice(name="small", max_points_lost=10), measured(), measured(), rights).verdict == "passed"

    def test_without_a_champion_it_is_said_that_nobody_judged(self) -> None:
        found = judge(Slice(name="small", max_points_lost=1), measured(), None, None)
        assert found.misses == []
        assert found.unjudged == ["small: max_points_lost 1 needs a champion and a sample"]

    def test_only_misses_of_severity_error_refuse_a_model(self) -> None:
        def evaluation(*slices: Slice) -> Evaluation:
            found = [judge(each, measured(), None, None) for each in slices]
            return Evaluation(
                model="m", tensors="t", split="test", count=1, accuracy=1, per_class={}, confusion=[], slices=found
            )

        require_thresholds(evaluation(Slice(name="a", min_accuracy=0.9, severity="warning"), Slice(name="b")))
        with pytest.raises(UserError, match=r"misses what is asked of it: small: accuracy 0.8.*min_accuracy is 0.9"):
            require_thresholds(evaluation(Slice(name="a", min_accuracy=0.9)))
