"""The validate step with checks, on real stores: rejected or passed, with a report either way."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import assert_refused, png

from airlock.data.samples import Sample, SampleWriter
from airlock.references import DatasetVersion
from airlock.stores.labels import Answer, LabelStore

pytestmark = pytest.mark.integration
CLEANERS = [{"name": "decode_image", "mode": "L"}]


def reference(artifact):
    return {"ref": "artifact", "digest": artifact.digest, "size": artifact.size}


@pytest.fixture
def outputs(run_step):
    """Give ``outputs(step, **inputs)`` of a step that must succeed."""

    def run(step, **inputs):
        result = run_step(step, **inputs)
        assert result.failure is None, result.failure
        return result.outputs

    return run


@pytest.fixture
def version(outputs, store, tmp_path):
    """Give ``version(samples, cleaners)``: outputs of clean and version together."""

    def run(samples, cleaners=CLEANERS):
        path = tmp_path / "samples.parquet"
        with SampleWriter(path) as writer:
            for sample in samples:
                writer.add(sample)
        classes = sorted({sample.label for sample in samples if sample.label})
        cleaned = outputs("clean", samples=reference(store.put_file(path)), classes=classes, cleaners=cleaners)
        process = {"cleaning": cleaned["cleaning"]}
        return cleaned | outputs("version", samples=cleaned["samples"], dataset="pets", process=process)

    return run


@pytest.fixture
def validate(run_step, store):
    """Give ``validate(made, *checks, **inputs)``: the result of the step."""
    row = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}, "severity": "critical"}
    suite = reference(store.put(json.dumps({"name": "pets", "expectations": [row]}).encode()))

    def run(made, *checks, expectations=suite, **inputs):
        both = {"dataset": made["dataset"], "labels": made["labels"]}
        return run_step("validate", **both, expectations=expectations, checks=list(checks), **inputs)

    return run


def pets(count, start=0, **more):
    return [
        Sample(source=f"{n}.png", content=png(n, 16), label="cat" if n % 2 else "dog", origin="test", **more)
        for n in range(start, start + count)
    ]


def test_all_checks_at_once(version, validate, store, outputs):
    made = version(pets(40))
    both = {"dataset": made["dataset"], "labels": made["labels"]}
    divided = outputs("split", **both, fractions={"train": 0.7, "validation": 0.15, "test": 0.15})
    checks = [
        {"check": "corrupt_files"},
        {"check": "exact_duplicates"},
        {"check": "near_duplicates", "max_share": 0},
        {"check": "leakage", "by": ["content", "near_duplicate"]},
        {"check": "class_balance", "min_count": 20},
        {"check": "drift"},
        {"check": "same_cleaning"},
    ]
    result = validate(made, *checks, split=divided["split"], cleaning={"all": made["cleaning"]})
    assert result.failure is None
    assert (result.outputs["checked"], result.outputs["passed"], result.outputs["warnings"]) == (8, 8, 0)
    assert result.metrics["near_duplicates"] == 0
    assert "pets version 1" in store.read(result.links["Report"]).decode()


def test_a_critical_check_rejects_and_a_warning_does_not(version, validate, store):
    made = version(pets(10))
    balance = {"check": "class_balance", "min_count": 6, "notes": "Six of each"}
    result = validate(made, balance)
    assert_refused(result, "DataRejected", "fails 1 of 2 expectations", "Six of each [class_balance] observed", "cat 5")
    page = store.read(result.links["Report"]).decode()
    assert "✗ failed" in page, "the report is stored before the step fails"
    result = validate(made, balance | {"severity": "warning"})
    assert result.failure is None
    assert (result.outputs["passed"], result.outputs["warnings"]) == (1, 1)


def test_groups_that_straddle_splits_are_rejected(version, validate, store, tmp_path):
    made = version([*pets(4, group="scene 1"), *pets(4, start=10, group="scene 2")])
    found = validate(made, {"check": "corrupt_files"})
    assert found.failure is None
    ids = sorted(Sample(source="", content=png(n, 16)).sample_id for n in [*range(4), *range(10, 14)])
    pq.write_table(pa.table({"sample_id": ids, "split": ["train", "test"] * 4}), tmp_path / "split.parquet")
    split = reference(store.put_file(tmp_path / "split.parquet"))
    result = validate(made, {"check": "leakage", "by": ["group"]}, split=split)
    assert_refused(result, "DataRejected", "[leakage]", "pairs of the same group")
    assert_refused(validate(made, {"check": "leakage"}), "UserError", "needs the split")


def test_drift_against_the_version_before_with_its_labels(version, validate):
    version(pets(200))
    same = version(pets(200, start=10))
    assert validate(same, {"check": "drift"}).failure is None
    later = [*pets(20), *(Sample(source=f"{n}", content=png(n, 16), label="dog", origin="t") for n in range(300, 500))]
    result = validate(version(later), {"check": "drift"})
    assert_refused(result, "DataRejected", "[drift]", "against pets version 2: label PSI")


def test_what_cleaned_the_version_before_is_known(version, validate):
    version(pets(6))
    made = version(pets(8), [CLEANERS[0] | {"min_side": 4}])
    check = {"check": "same_cleaning", "previous": True}
    result = validate(made, check, cleaning={"all": made["cleaning"]})
    assert_refused(result, "DataRejected", "pets version 1", "not by decode_image")
    parts = {"train": made["cleaning"], "test": version(pets(8))["cleaning"]}
    assert_refused(validate(made, check, cleaning=parts), "DataRejected", "they differ in decode_image")


def test_consensus_of_people(version, validate, database):
    made = version(pets(4))
    dataset = DatasetVersion(**{name: made["dataset"][name] for name in ("name", "version", "digest", "rows")})
    ids = [Sample(source="", content=png(n, 16)).sample_id for n in range(4)]
    said = [(ids[0], "ann", "cat"), (ids[0], "bob", "dog"), (ids[1], "ann", "cat"), (ids[1], "bob", "cat")]
    answers = [Answer(sample_id=name, annotator=who, label=label, kind="label") for name, who, label in said]
    LabelStore(database).record(dataset.digest, answers)
    result = validate(made, {"check": "label_consensus", "min_share": 0.9})
    assert_refused(result, "DataRejected", "1 of 2 (50 %)", ids[0][:12])
    assert validate(made, {"check": "label_consensus", "min_share": 0.5}).failure is None


def test_metadata_of_the_source_can_be_expected(version, validate, store):
    made = version([*pets(3, metadata={"camera": "a", "iso": 100}), *pets(3, start=5, metadata={"camera": "b"})])
    expected = [
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "camera", "value_set": ["a"]}},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "iso", "max_value": 200}},
    ]
    suite = reference(store.put(json.dumps({"name": "pets", "expectations": expected}).encode()))
    result = validate(made, expectations=suite)
    assert_refused(result, "DataRejected", "3 unexpected: b", "fails 1 of 2")


def test_unknown_check(version, validate):
    made = version(pets(2))
    assert_refused(validate(made, {"check": "beauty"}), "UserError", "Invalid value 'beauty'", "checks: corrupt_files")


def test_shipped_checks_and_cleaners_are_known():
    from airlock.dags.digits import use_case as digits
    from airlock.dags.fashion import use_case as fashion
    from airlock.data.checks import decode_checks
    from airlock.data.cleaning.declaration import bind

    for use_case in (digits, fashion):
        assert len(decode_checks(use_case.CHECKS)) >= 4
        assert bind(use_case.CLEANERS, lambda _artifact, _name: None)
