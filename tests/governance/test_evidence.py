"""What a person sees before deciding: the right figures, each beside the champion's."""

import math
from pathlib import Path

import pytest

from airlock.errors import IntegrityError
from airlock.governance.evaluations import (
    Champion,
    Measurement,
    Predictions,
    SliceFigures,
    Verdict,
)
from airlock.governance.evidence import asked_in
from airlock.governance.evidence.markdown import figure
from airlock.governance.statistics import mcnemar, paired_difference, wilson
from airlock.stores.artifacts import open_artifacts
from tests.governance.maker import HOSTILE, PICTURE, Maker, flatten, maker

__all__ = ["maker"]


class TestStatistics:
    """Against figures from published tables and scipy (which is no dependency)."""

    def test_wilson(self) -> None:
        assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4), "Newcombe (1998), table I, method 3"
        assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
        assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4), "a perfect score on ten samples is not sure"
        assert wilson(0, 0) is None

    def test_mcnemar_is_the_exact_binomial_test(self) -> None:
        assert mcnemar(0, 0) == mcnemar(3, 3) == 1
        assert mcnemar(6, 0) == 2 / 64
        assert mcnemar(1, 9) == mcnemar(9, 1) == pytest.approx(2 * (1 + 10) / 1024)
        reference = 2 * sum(math.comb(2000, k) for k in range(901)) / 2**2000
        assert mcnemar(900, 1100) == reference, "exact for any number of flips"

    def test_the_interval_of_a_difference_holds_zero_without_flips_and_narrows_with_samples(self) -> None:
        low, high = paired_difference(0, 0, 100)
        assert low < 0 < high
        low, high = paired_difference(60, 20, 1000)
        assert 0 < low < 0.04 < high < 0.06


class TestCandidates:
    def test_flips_are_told_with_their_pictures_and_a_test(self, maker: Maker) -> None:
        now, before = maker.candidate([0, 1, 1, 1]), maker.candidate([1, 0, 1, 1])
        paired = maker.compare(now, before).paired
        assert paired is not None
        (gained,), (lost,) = paired.gained, paired.lost
        assert (gained.sample, gained.truth, gained.now, gained.before) == ("s0", "zero", "zero", "one")
        assert (lost.sample, lost.truth, lost.now, lost.before) == ("s1", "zero", "one", "zero")
        assert gained.picture == lost.picture == PICTURE, "one is an error of the champion, one of the candidate"
        assert (paired.samples, paired.p_value, paired.difference) == (4, 1, 0)
        text = maker.evidence(now, before)
        assert "**1 gained**, **1 lost**" in text
        assert "which chance explains" in text
        assert "`zero` as `one` (0.80)" in text

    def test_a_sample_with_another_label_is_not_compared(self, maker: Maker) -> None:
        columns = {"samples": ["s0", "s9"], "truth": [1, 0], "answer": [1, 0], "probability": [0.9, 0.9]}
        now = maker.candidate(told={"predictions": Predictions(**columns)})
        assert maker.compare(now, maker.candidate()).paired is None

    def test_classes_are_told_apart_by_name_not_by_place(self, maker: Maker) -> None:
        told = {"predictions": Predictions(samples=["s0"], truth=[1], answer=[1], probability=[0.9])}
        turned = maker.candidate(told=told, classes=["one", "zero"])
        paired = maker.compare(turned, maker.candidate([1, 0, 1, 1])).paired
        assert paired is not None
        assert [flip.now for flip in paired.gained] == ["zero"]

    def test_figures_have_intervals_and_differences(self, maker: Maker) -> None:
        text = maker.evidence(maker.candidate(), maker.candidate([1, 0, 1, 1]))
        assert "| accuracy | 1 (0.5101–1) | 0.75 (0.3006–0.9544) | +0.25 |" in text
        assert "`zero` (recall 1 (0.1–0.9), champion 0.75)" in text

    def test_what_made_it_is_compared(self, maker: Maker) -> None:
        now = maker.candidate(parameters={"epochs": 12, "rate": 0.1}, environment={"keras": "3.2"}, seed=8)
        text = maker.evidence(now, maker.candidate())
        assert "Parameters changed since the champion: epochs `30` → `12`, rate – → `0.1`, seed `7` → `8`." in text
        assert "Environment changed since the champion: keras `3.1` → `3.2`." in text
        assert "Same code." in text

    def test_without_a_champion_nothing_is_compared(self, maker: Maker) -> None:
        text = maker.evidence(maker.candidate())
        assert "no champion" in text
        assert "| accuracy | 1 (0.5101–1) | – |" in text
        assert "gained" not in text

    def sliced(self, name: str, verdict: Verdict, misses: list[str]) -> SliceFigures:
        figures = {"accuracy": 0.75} if verdict != "empty" else {}
        measured = Measurement(
            model="m",
            dataset=None,
            split="test",
            slice=name,
            rule="width < 10",
            count=4 if figures else 0,
            figures=figures,
            intervals={"accuracy": (0.3, 0.95)} if figures else {},
        )
        return SliceFigures(measured=measured, verdict=verdict, misses=misses)

    def test_slices_that_miss_a_threshold_come_first_and_say_so(self, maker: Maker) -> None:
        slices = [
            self.sliced("fine", "passed", []),
            self.sliced("nobody", "empty", []),
            self.sliced("small", "warned", ["small: accuracy 0.7500 (…), min_accuracy is 0.9"]),
        ]
        text = maker.evidence(maker.candidate(told={"slices": slices}))
        rows = [line for line in text.splitlines() if line.startswith("| `")]
        assert rows == [
            "| `small` | 4 | 0.75 (0.3–0.95) | – | **warned** |",
            "| `nobody` | 0 | – | – | **empty** |",
            "| `fine` | 4 | 0.75 (0.3–0.95) | – | passed |",
        ]
        assert "Missed: `small: accuracy 0.7500 (…), min_accuracy is 0.9`." in text

    @pytest.mark.parametrize("hostile", HOSTILE)
    def test_a_slice_cannot_write_into_the_evidence(self, maker: Maker, hostile: str) -> None:
        slices = [self.sliced(hostile, "missed", [hostile])]
        text = maker.evidence(maker.candidate(told={"slices": slices}))
        assert asked_in(text) == ""
        kinds = {token.type for token in flatten(text)}
        assert not kinds & {"html_block", "html_inline", "image"}
        assert [token.attrs["href"] for token in flatten(text) if token.type == "link_open"]
        assert "evil.example" not in str([t.attrs for t in flatten(text) if t.type == "link_open"])

    def test_the_champions_answers_to_exactly_these_samples_are_taken(self, maker: Maker) -> None:
        before = maker.candidate([0, 0, 1, 1])
        asked = Predictions(samples=["s0", "s1"], truth=[0, 0], answer=[1, 1], probability=[0.9, 0.8])
        measured = self.sliced("whole split", "measured", []).measured
        champion = Champion(manifest=before, model="m", measured=measured, predictions=asked)
        now = maker.candidate([0, 0, 1, 1], told={"champion": champion, "texts": {"s0": "Dear all"}})
        paired = maker.compare(now, before).paired
        assert paired is not None
        assert (paired.samples, len(paired.gained)) == (2, 2), "not what the champion was measured with in its time"
        assert {flip.sample: flip.text for flip in paired.gained} == {"s0": "Dear all", "s1": ""}
        other = maker.candidate([1, 0, 1, 1])
        assert len(maker.compare(now, other).paired.gained) == 1, "another champion than the one that was asked"

    def test_report_and_card_are_linked(self, maker: Maker) -> None:
        text = maker.evidence(maker.candidate(report=maker.some, card=maker.some))
        assert "[Evaluation report](" in text
        assert "[Model card](" in text

    def test_an_evaluation_from_before_there_were_intervals_is_read(self, maker: Maker) -> None:
        bare = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
        old = {
            "model": "m",
            "tensors": "t",
            "split": "test",
            "count": 4,
            "accuracy": 0.5,
            "per_class": {"zero": bare, "one": bare},
            "confusion": [[1, 1], [1, 1]],
        }
        champion = maker.candidate([1, 0, 0, 1], evaluation=maker.json(old))
        compared = maker.compare(maker.candidate(), champion)
        assert compared.paired is None
        assert "| accuracy | 1 (0.5101–1) | 0.5 | +0.5 |" in maker.evidence(maker.candidate(), champion)

    @pytest.mark.parametrize("answer", [[0], [7, 7, 7, 7], [-1, 0, 0, 0]])
    def test_predictions_that_do_not_fit_are_refused(self, maker: Maker, answer: list[int]) -> None:
        told = Predictions(samples=["s0", "s1", "s2", "s3"], truth=[0, 0, 1, 1], answer=answer, probability=[1.0] * 4)
        with pytest.raises(IntegrityError, match="do not fit together"):
            maker.evidence(maker.candidate(told={"predictions": told}), maker.candidate())

    def test_a_manifest_of_another_kind_is_no_champion(self, maker: Maker) -> None:
        with pytest.raises(IntegrityError, match="another kind"):
            maker.evidence(maker.candidate(), maker.data())


class TestData:
    def test_samples_and_labels_that_changed_are_counted(self, maker: Maker) -> None:
        before = maker.data(1, {"s1": "zero", "s2": "one", "s3": "one"})
        now = maker.data(2, {"s1": "one", "s2": "one", "s4": "zero"}, rows={"s2": b"x" * 32})
        changes = maker.compare(now, before).data
        assert changes is not None
        assert (changes.added, changes.removed, changes.changed) == (1, 1, 1)
        assert [(each.sample, each.before, each.now) for each in changes.relabelled] == [("s1", "zero", "one")]
        text = maker.evidence(maker.candidate(data=now), maker.candidate(data=before))
        assert "Samples since the champion: 1 added, 1 removed, 1 changed. **1 relabelled**: `zero` → `one` 1×." in text

    def test_a_manifest_without_an_index_is_compared_as_far_as_it_goes(self, maker: Maker) -> None:
        text = maker.evidence(maker.data(2, {"s1": "one"}), maker.data(1, index=None))
        assert "which samples is not known" in text
        assert "| samples | 1 | 2 |" in text

    def test_the_same_data_is_said_to_be_the_same(self, maker: Maker) -> None:
        assert "The data is the same as the champion's." in maker.evidence(maker.data(), maker.data(counts={}))


class TestReleases:
    def test_what_compressing_flipped_and_the_whole_chain_are_told(self, maker: Maker) -> None:
        before = maker.release(maker.candidate(), [0, 0, 1, 1], [0, 0, 1, 1])
        now = maker.release(maker.candidate(parameters={"epochs": 12}), [0, 1, 1, 1], [0, 0, 1, 1])
        text = maker.evidence(now, before)
        assert "Compressed by litert_int8" not in text, "names that came with the manifest are quoted"
        assert "Compressed by `litert_int8`: 0.25 points of accuracy lost, 0.27 of the size." in text
        assert "against the original: **0 gained**, **1 lost**" in text
        assert "against the champion: **0 gained**, **1 lost**" in text
        assert "| bytes | 60,000 | 60,000 | +0 |" in text
        assert "epochs `30` → `12`" in text
        assert text.count("/airlock/artifacts/sha256:") >= 4

    def test_every_way_to_compress_that_was_tried_is_told(self, maker: Maker) -> None:
        tried = maker.frontier("faint")
        text = maker.evidence(maker.release(maker.candidate(), [0, 1, 1, 1], [0, 0, 1, 1], frontier=tried))
        assert "The rule picks `the smallest`, on validation samples" in text
        assert "| `original` | original | 1.000 | 50,000 |" in text
        assert "| `litert_int8` | **picked** | 0.250 | 14,000 |" in text
        assert "| `low_rank` | too much lost: `loses 4.50 points on faint` | 0.250 |" in text
        assert "`faint` -4.50 points" in text
        assert "| `distillation` | failed: `faint` | – |" in text


def test_figures_read_well() -> None:
    assert [figure(value) for value in (None, 0.98765, 60_000, 60_000.0, 1, 1.0)] == [
        "–",
        "0.9877",
        "60,000",
        "60,000",
        "1",
        "1",
    ]
    assert figure(-0.0012, "+") == "-0.0012"


def test_the_same_manifests_give_the_same_text(maker: Maker, tmp_path: Path) -> None:
    now, before = maker.candidate([0, 1, 1, 1]), maker.candidate()
    again = open_artifacts(Path(tmp_path).as_uri())
    other = Maker(again)
    assert (other.candidate([0, 1, 1, 1]), other.candidate()) == (now, before)
    assert other.evidence(now, before) == maker.evidence(now, before)
