"""Checks of unstructured data: each finds what was planted, names it, and passes without it."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from data_files import png
from PIL import Image
from subjects import frames, jpeg, names, run, scene, subject_of

from airlock.data.checks import Previous, Subject, decode_checks
from airlock.data.checks.drift import compare, psi
from airlock.data.images import encode_png
from airlock.data.validation import Verdict
from airlock.errors import UserError


class TestFiles:
    def test_corrupt_files_are_named_with_their_reason(self):
        contents = [png(1), png(2, 64)[:-2000], b"", png(3)]
        check = run(subject_of(contents, columns={"mode": ["L"] * 4}), check="corrupt_files")
        assert not check.success
        assert check.sample_ids == tuple(names(4)[1:3])
        assert "2 of 4" in check.observed
        assert "zero bytes" in check.observed
        assert run(subject_of(contents, columns={"mode": ["L"] * 4}), check="corrupt_files", max_share=0.5).success

    @pytest.mark.parametrize(
        ("columns", "good", "bad"),
        [
            ({"characters": [1, 1]}, b"text", b"\xff\xfe"),
            ({"sample_rate": [1, 1]}, None, b"no audio"),
            ({}, b'{"a":1}', b'{"a":'),
        ],
    )
    def test_every_kind_is_decoded_as_what_it_is(self, columns, good, bad):
        contents = [good, bad] if good else [bad, bad]
        check = run(subject_of(contents, columns=columns), check="corrupt_files")
        assert check.sample_ids[-1] == names(2)[1]
        assert len(check.sample_ids) == (1 if good else 2)

    def test_same_pixels_in_other_bytes_are_exact_duplicates(self):
        pixels = np.random.default_rng(1).integers(0, 256, (9, 9), dtype=np.uint8)
        packed = io.BytesIO()
        Image.fromarray(pixels).save(packed, "PNG", optimize=True)
        assert packed.getvalue() != encode_png(pixels)
        check = run(subject_of([png(1), encode_png(pixels), packed.getvalue()]), check="exact_duplicates")
        assert (check.success, check.sample_ids, check.figure) == (False, (names(3)[2],), pytest.approx(1 / 3))
        assert run(subject_of([png(1), png(2)]), check="exact_duplicates").success

    def test_same_words_in_other_blanks_are_exact_duplicates(self):
        texts = [b"The  quick\nfox", b"the quick fox", b"the quick dog"]
        check = run(subject_of(texts), check="exact_duplicates")
        assert [(pair.first, pair.second) for pair in check.twins] == [tuple(names(2))]

    def test_what_cannot_be_decoded_was_not_compared_and_fails(self):
        contents = [png(1), b"broken", png(2)]
        for name in ("exact_duplicates", "near_duplicates"):
            check = run(subject_of(contents, columns={"mode": ["L"] * 3}), check=name, max_share=1)
            assert not check.success
            assert "1 cannot be decoded" in check.observed


class TestNearDuplicates:
    def test_changed_copies_are_found_and_nothing_else(self):
        images = [scene(seed) for seed in range(40)]
        copies = [images[3].resize((48, 48)), images[7].point(lambda value: int(value * 0.9))]
        contents = [jpeg(image) for image in images] + [jpeg(copies[0]), jpeg(copies[1], 40)]
        check = run(subject_of(contents), check="near_duplicates", max_share=0.01)
        ids = names(42)
        assert {(pair.first, pair.second) for pair in check.twins} == {(ids[3], ids[40]), (ids[7], ids[41])}
        assert not check.success
        assert check.figure == pytest.approx(2 / 42)
        assert run(subject_of(contents), check="near_duplicates", max_share=0.05).success

    def test_a_group_of_copies_counts_all_but_one(self):
        contents = [jpeg(scene(1), quality) for quality in (95, 80, 60, 40)] + [jpeg(scene(2))]
        check = run(subject_of(contents), check="near_duplicates", max_share=0)
        assert check.failing == 3
        assert len(check.twins) == 6

    def test_a_negative_and_a_blank_are_no_copies(self):
        image = scene(1)
        grey = Image.new("L", (64, 64), 128)
        contents = [
            jpeg(image),
            jpeg(image.point(lambda value: 255 - value)),
            jpeg(grey),
            jpeg(Image.new("L", (64, 64))),
        ]
        assert run(subject_of(contents), check="near_duplicates", max_share=0).success

    def test_other_modes_are_compared_as_people_see_them(self):
        image = scene(1)
        contents = []
        for mode in ("L", "RGB", "RGBA", "P", "LA", "I;16"):
            buffer = io.BytesIO()
            wide = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
            (wide if mode == "I;16" else image.convert(mode)).save(buffer, "PNG")
            contents.append(buffer.getvalue())
        assert run(subject_of(contents), check="near_duplicates", max_share=0).failing == 5

    def test_texts_with_few_changed_words(self):
        words = [f"word{number}" for number in range(300)]
        other = " ".join(reversed(words)).encode()
        changed = " ".join(["changed", *words[1:150], "here", *words[151:]]).encode()
        check = run(subject_of([" ".join(words).encode(), other, changed]), check="near_duplicates", max_share=0)
        ids = names(3)
        assert [(pair.first, pair.second) for pair in check.twins] == [(ids[0], ids[2])]
        assert 0.95 < check.twins[0].similarity < 1

    def test_real_news(self, test_data):
        path = test_data / "bbc-fulltext.zip"
        if not path.is_file():
            pytest.skip(f"no {path.name} in {test_data}: name its folder with AIRLOCK_TEST_DATA")
        with zipfile.ZipFile(path) as file:
            sport = sorted(name for name in file.namelist() if "/sport/" in name and name.endswith(".txt"))
            contents = list(dict.fromkeys(file.read(name) for name in sport))
        subject = subject_of(contents)
        exact, near = (run(subject, check=name, max_share=0) for name in ("exact_duplicates", "near_duplicates"))
        assert set(exact.sample_ids) <= set(near.sample_ids), "what is the same is also nearly the same"
        if len(sport) == 409:
            assert exact.failing == 2, "332 is 344 and 432 is 438, but for blanks and case"
            assert near.failing >= 5

    def test_rows_have_no_looks(self):
        with pytest.raises(UserError, match="these samples are rows"):
            run(subject_of([b'{"a":1}']), check="near_duplicates")


class TestLeakage:
    IDS = names(4)

    def split(self, *parts):
        return dict(zip(self.IDS, parts, strict=True))

    def test_by_near_duplicate(self):
        contents = [jpeg(scene(1)), jpeg(scene(1), 50), jpeg(scene(2)), jpeg(scene(3))]
        split = self.split("train", "test", "train", "test")
        check = run(subject_of(contents, split=split), check="leakage", by=["content", "near_duplicate"])
        assert (check.success, check.sample_ids, check.figure) == (False, (self.IDS[1],), 0.25)
        assert "1 pairs of nearly the same content" in check.observed
        apart = self.split("train", "train", "test", "test")
        assert run(subject_of(contents, split=apart), check="leakage", by=["content", "near_duplicate"]).success

    def test_by_content(self):
        contents = [b"Same text", b"same  text", b"other", b"more"]
        split = self.split("test", "validation", "train", "train")
        check = run(subject_of(contents, split=split), check="leakage", by=["content"])
        assert check.sample_ids == (self.IDS[0], self.IDS[1]), "neither is in train: both are told"

    def test_by_group(self):
        groups = {"group": ["a", "a", "b", None]}
        contents = [b"one", b"two", b"three", b"four"]
        straddling = self.split("train", "test", "train", "test")
        check = run(subject_of(contents, columns=groups, split=straddling), check="leakage", by=["group"])
        assert (check.success, check.sample_ids) == (False, (self.IDS[1],))
        apart = self.split("train", "train", "test", "test")
        assert run(subject_of(contents, columns=groups, split=apart), check="leakage", by=["group"]).success

    def test_without_what_it_needs_it_does_not_pass(self):
        with pytest.raises(UserError, match="needs the split"):
            run(subject_of([b"a"]), check="leakage")
        with pytest.raises(UserError, match="these samples have none"):
            run(subject_of([b"a"], split={}), check="leakage", by=["group"])


class TestLabels:
    def test_balance(self):
        subject = subject_of([b""] * 10, labels=["cat"] * 7 + ["dog"] * 2 + [None])
        assert run(subject, check="class_balance").success
        assert not run(subject, check="class_balance", min_count=3).success
        assert not run(subject, check="class_balance", min_share=0.3).success
        assert not run(subject, check="class_balance", max_ratio=3).success
        assert run(subject, check="class_balance", max_ratio=3.5).success
        check = run(subject, check="class_balance", classes=["cat", "dog", "cow"])
        assert (check.success, check.observed) == (False, "cow 0")
        check = run(subject, check="class_balance", classes=["cat"])
        assert (check.success, check.sample_ids) == (False, tuple(names(9)[7:]))
        assert "no class: dog" in check.observed

    def test_no_label_at_all_is_no_balance(self):
        assert not run(subject_of([b""], labels=[None]), check="class_balance").success

    def test_consensus(self):
        ids = names(4)
        answers = {
            ids[0]: {"ann": "cat", "bob": "cat"},
            ids[1]: {"ann": "cat", "bob": "dog"},
            ids[2]: {"ann": "cat"},
        }
        subject = subject_of([b""] * 4, answers=answers)
        check = run(subject, check="label_consensus", min_share=0.6)
        assert (check.success, check.figure, check.sample_ids) == (False, 0.5, (ids[1],))
        assert run(subject, check="label_consensus", min_share=0.5).success
        assert not run(subject, check="label_consensus", min_share=0.5, min_covered=0.6).success
        assert not run(subject_of([b""], answers={}), check="label_consensus", min_share=0).success, "nobody was asked"
        with pytest.raises(UserError, match="annotators' answers"):
            run(subject_of([b""]), check="label_consensus")


class TestDrift:
    def subject(self, now, before):
        return Subject(now, lambda: iter(()), previous=Previous(title="pets version 1", frame=before))

    def test_the_same_distribution_does_not_drift(self):
        check = run(self.subject(frames(), frames()), check="drift")
        assert check.success, check.observed
        assert {plot.title for plot in check.plots} == {"mean", "label", "mode"}

    def test_shifted_numbers_drift(self):
        check = run(self.subject(frames(shift=15), frames()), check="drift")
        assert not check.success
        assert "pets version 1: mean PSI" in check.observed
        assert [plot.title for plot in check.plots] == ["mean"]

    def test_labels_drift(self):
        check = run(self.subject(frames(labels="abb"), frames(labels="aab")), check="drift")
        assert not check.success
        assert "label PSI" in check.observed
        assert "chi2" in check.observed

    def test_a_new_value_and_a_vanished_column_drift(self):
        before, now = frames(), frames()
        now["mode"] = "RGB"
        assert "mode PSI" in run(self.subject(now, before), check="drift").observed
        now["mode"] = None
        assert "mode PSI" in run(self.subject(now, before), check="drift", columns=["mode"]).observed

    def test_a_constant_that_moves_drifts_both_ways(self):
        before = pd.Series([5.0] * 100)
        for moved in (4.0, 6.0):
            change = compare("side", before, pd.Series([moved] * 100))
            assert change.psi > 1
            assert change.p < 1e-6
        assert compare("side", before, before).psi == 0

    def test_few_samples_by_accident_do_not_drift(self):
        before = frames(2000)
        small = pd.DataFrame(
            {"sample_id": names(5), "label": list("aabab"), "mean": [70.0, 95, 101, 110, 130], "mode": "L"}
        )
        check = run(self.subject(small, before), check="drift")
        assert check.figure > 0.2, "the index alone would cry wolf"
        assert check.success

    def test_first_version_and_unknown_column(self):
        check = run(Subject(frames(), lambda: iter(())), check="drift")
        assert (check.success, check.observed) == (True, "there is no version before")
        with pytest.raises(UserError, match="'colour', which is no column of both"):
            run(self.subject(frames(), frames()), check="drift", columns=["colour"])

    def test_index_of_known_value(self):
        assert psi(np.array([0.5, 0.5]), np.array([0.8, 0.2])) == pytest.approx(0.3 * np.log(1.6) - 0.3 * np.log(0.4))


class TestSameCleaning:
    @staticmethod
    def record(*cleaners):
        listed = [{"name": name, "digest": digest} for name, digest in cleaners]
        return {"digest": "sha256:" + json.dumps(listed), "cleaners": listed}

    ONE = record(("repair_text", "1"), ("min_length", "2"))
    OTHER = record(("repair_text", "1"), ("min_length", "3"))

    def run(self, cleanings, record=None, **check):
        before = Previous(title="news version 1", frame=None, cleaning=record) if record != "none" else None
        return run(subject_of([b""], cleanings=cleanings, previous=before), check="same_cleaning", **check)

    def test_train_and_test_cleaned_by_other_code_fail(self):
        assert self.run({"train": self.ONE, "test": self.ONE}, "none").success
        check = self.run({"train": self.ONE, "test": self.OTHER}, "none")
        assert (check.success, check.figure) == (False, 2)
        assert "they differ in min_length" in check.observed

    def test_the_version_before_is_reported_and_counts_on_request(self):
        check = self.run({"train": self.ONE}, self.OTHER)
        assert check.success
        assert "not by min_length" in check.observed
        assert not self.run({"train": self.ONE}, self.OTHER, previous=True).success
        assert not self.run({"train": self.ONE}, None, previous=True).success, "without a record nobody knows"
        assert self.run({"train": self.ONE}, self.ONE, previous=True).success

    def test_order_matters(self):
        turned = self.record(("min_length", "2"), ("repair_text", "1"))
        assert "they differ in their order" in self.run({"a": self.ONE, "b": turned}, "none").observed

    def test_without_a_record_it_does_not_pass(self):
        with pytest.raises(UserError, match="what cleaned the data"):
            self.run({}, "none")


class TestDeclaration:
    @pytest.mark.parametrize(
        ("check", "message"),
        [
            ({"check": "near"}, "Invalid value 'near'"),
            ({"max_share": 1}, "missing required field `check`"),
            ({"check": "near_duplicates", "share": 1}, "unknown field `share`"),
            ({"check": "near_duplicates", "max_share": 2}, "<= 1.0"),
            ({"check": "near_duplicates", "distance": 20}, "<= 11"),
            ({"check": "drift", "severity": "bad"}, "Invalid enum value 'bad'"),
            ({"check": "leakage", "by": ["luck"]}, "Invalid enum value 'luck'"),
        ],
    )
    def test_wrong_declaration(self, check, message):
        with pytest.raises(UserError, match=message) as caught:
            decode_checks([check])
        assert "near_duplicates, leakage" in caught.value.hint

    def test_a_warning_is_told_and_rejects_nothing(self):
        check = run(subject_of([b"a b", b"A B"]), check="exact_duplicates", severity="warning", notes="No copies")
        verdict = Verdict(suite="s", rows=2, checks=(check,))
        assert (verdict.failed, verdict.warnings) == ([], [check])
        assert (check.description, check.kwargs) == ("No copies", {"max_share": 0.0})

    def test_what_raises_inside_a_check_is_no_verdict(self):
        def broken():
            raise OSError("disk on fire")
            yield

        subject = Subject(pd.DataFrame({"sample_id": names(1), "label": ["a"], "mode": "L"}), broken)
        with pytest.raises(UserError, match="corrupt_files could not be made: OSError: disk on fire") as caught:
            run(subject, check="corrupt_files")
        assert "nothing about the data" in caught.value.hint
