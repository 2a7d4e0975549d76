"""Validation as a function: what Great Expectations says, kept apart from what goes wrong inside it."""

import json

import pandas as pd
import pytest
from data_files import png

from airlock.data.report import OFFENDERS, render
from airlock.data.suites import decode_suite
from airlock.data.validation import validate
from airlock.errors import UserError

IDS = [character * 64 for character in "abcd"]


def suite(*expectations, **fields):
    listed = [
        {"type": kind, "kwargs": kwargs, "meta": {}, "severity": "critical"} | fields for kind, kwargs in expectations
    ]
    return decode_suite(json.dumps({"name": "pets", "id": None, "expectations": listed, "meta": {}}).encode())


def frame(**columns):
    values = {"sample_id": IDS, "label": ["cat", "cat", "dog", None], "std": [0.0, 30.0, 40.0, 50.0]}
    return pd.DataFrame(values | columns)


IN_SET = ("expect_column_values_to_be_in_set", {"column": "label", "value_set": ["cat"]})
ROWS = ("expect_table_row_count_to_be_between", {"min_value": 10})
BLANK = ("expect_column_values_to_be_between", {"column": "std", "min_value": 1.0, "mostly": 0.7})


def test_every_expectation_keeps_its_place_counts_and_ids():
    verdict = validate(frame(), suite(ROWS, IN_SET, BLANK))
    assert [check.type for check in verdict.checks] == [ROWS[0], IN_SET[0], BLANK[0]]
    rows, labels, blank = verdict.checks
    assert (rows.success, rows.observed, rows.sample_ids) == (False, "4", ())
    assert (labels.success, labels.failing, labels.sample_ids) == (False, 1, (IDS[2],))
    assert labels.observed == "1 unexpected: dog"
    assert (blank.success, blank.failing, blank.sample_ids) == (True, 1, (IDS[0],)), "within what mostly tolerates"
    assert verdict.failed == [rows, labels]


def test_distinct_values_that_are_unexpected_or_missing_are_named():
    values = {"column": "label", "value_set": ["cat", "cow"]}
    check = validate(frame(), suite(("expect_column_distinct_values_to_equal_set", values))).checks[0]
    assert (check.success, check.observed) == (False, "1 unexpected: dog; 1 missing: cow")
    assert check.failing == 0, "values are not samples"


def test_missing_column_names_it_and_says_nothing_about_the_data():
    with pytest.raises(UserError, match="'colour', which does not exist") as caught:
        validate(frame(), suite(("expect_column_values_to_not_be_null", {"column": "colour"})))
    assert type(caught.value) is UserError, "never DataRejected"
    assert "sample_id, label, std" in caught.value.hint


@pytest.mark.parametrize(
    "expectation",
    [
        ("expect_column_pair_values_to_be_equal", {"column_A": "std", "column_B": "colour"}),
        ("expect_compound_columns_to_be_unique", {"column_list": ["std", "colour"]}),
    ],
)
def test_missing_column_among_several(expectation):
    with pytest.raises(UserError, match="'colour'"):
        validate(frame(), suite(IN_SET, expectation))


def test_unknown_type_is_not_dropped_silently():
    # Great Expectations itself only logs it, and the rest of the suite would pass.
    with pytest.raises(UserError, match="no expectation type 'expect_good_data'") as caught:
        validate(frame(), suite(BLANK, ("expect_good_data", {})))
    assert "greatexpectations.io" in caught.value.hint


def test_wrong_arguments():
    with pytest.raises(
        UserError, match=r"expect_column_values_to_be_in_set cannot be built .*value_set field required"
    ):
        validate(frame(), suite(("expect_column_values_to_be_in_set", {"column": "label"})))


def test_exception_inside_an_expectation_is_no_verdict():
    compare_text_with_number = ("expect_column_values_to_be_between", {"column": "label", "min_value": 1})
    with pytest.raises(UserError, match=r"could not be checked: .*same type") as caught:
        validate(frame(), suite(compare_text_with_number))
    assert "nothing about the data" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (b"no json", "not a suite"),
        (b'{"name": "x"}', "expectations"),
        (b'{"name": "x", "expectations": [{"kwargs": {}}]}', "type"),
        (b'{"name": "x", "expectations": [{"type": "t", "kwargs": {}, "severity": "bad"}]}', "bad"),
        (b'{"name": "x", "expectations": []}', "let everything pass"),
    ],
)
def test_suite_that_cannot_be_read(text, part):
    with pytest.raises(UserError, match=part) as caught:
        decode_suite(text)
    assert "to_json_dict" in caught.value.hint


def test_note_of_the_author_is_what_people_read():
    verdict = validate(frame(), suite(IN_SET, meta={"notes": "Cats only"}))
    assert verdict.checks[0].description == "Cats only"


class TestReport:
    LABELS = dict(zip(IDS, ["cat", "cat", "dog", None], strict=True))

    @pytest.fixture
    def page(self):
        """Give ``page(verdict)`` and remember which pictures it asked for."""

        def draw(verdict, labels=self.LABELS):
            draw.asked = []

            def contents(ids):
                draw.asked = ids
                return {sample_id: png(number) for number, sample_id in enumerate(ids)}

            return render(verdict, "pets version 3", labels, contents).decode()

        return draw

    def test_failed_page_shows_the_offending_samples_only(self, page):
        text = page(validate(frame(), suite(IN_SET, BLANK)))
        assert page.asked == [IDS[2]]
        assert "1 of 2 expectations failed" in text
        assert "Samples that fail" in text
        assert text.count("data:image/png;base64,") == 1
        assert text.index("✗ failed") < text.index("✓ ok"), "what failed comes first"

    def test_passed_page_shows_samples_of_every_class(self, page):
        text = page(validate(frame(), suite(BLANK)))
        assert page.asked == sorted(IDS)
        assert "all 1 expectations passed" in text
        for name in ("cat", "dog", "(no label)"):
            assert f"<h3>{name}</h3>" in text

    def test_failure_of_the_whole_table_shows_samples_of_every_class(self, page):
        text = page(validate(frame(), suite(ROWS)))
        assert "Samples of every class" in text
        assert "Samples that fail" not in text

    def test_page_needs_nothing_but_itself_and_knows_dark_mode(self, page):
        text = page(validate(frame(), suite(BLANK)))
        assert "prefers-color-scheme: dark" in text
        for outside in ("http://", "https://", "<script", "<link", "url("):
            assert outside not in text

    def test_text_from_the_data_cannot_become_markup(self, page):
        evil = "<script>alert(1)</script>"
        labels = dict.fromkeys(IDS, evil)
        text = page(validate(frame(label=[evil] * 4), suite(IN_SET)), labels)
        assert "<script" not in text
        assert "&lt;script&gt;" in text

    def test_many_offenders_are_counted_and_some_shown(self, page):
        ids = [f"{number:064x}" for number in range(100)]
        many = pd.DataFrame({"sample_id": ids, "label": "cow", "std": 1.0})
        verdict = validate(many, suite(IN_SET))
        text = page(verdict, dict.fromkeys(ids, "cow"))
        assert len(page.asked) == OFFENDERS
        assert f"100 samples, {OFFENDERS} shown" in text
        assert len(verdict.checks[0].sample_ids) == 100
