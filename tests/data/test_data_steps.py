"""The data pipeline's steps one after the other on real stores: versions, labels, validation, split, manifest."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import CHECKOUT, assert_refused, idx_files, image_folder, png

from airlock.governance.comparison.index import Index
from airlock.governance.manifest import DataManifest, load
from airlock.references import Artifact, DatasetVersion
from airlock.settings import Settings
from airlock.steps.contract import Result
from airlock.stores.datasets import open_datasets

Step = Callable[..., Result]
CLEANERS = [{"name": "decode_image", "mode": "L"}]
CHECKS = [
    {"check": "corrupt_files"},
    {"check": "near_duplicates", "max_share": 0.08},
    {"check": "leakage", "by": ["content"]},
    {"check": "class_balance", "min_count": 50},
    {"check": "drift"},
    {"check": "same_cleaning"},
]
FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}
pytestmark = pytest.mark.integration


@pytest.fixture
def outputs(run_step: Step) -> Callable[..., dict[str, Any]]:
    """Give ``outputs(step, **inputs)`` of a step that must succeed."""

    def run(step: str, **inputs: Any) -> dict[str, Any]:
        result = run_step(step, **inputs)
        assert result.failure is None, result.failure
        return result.outputs

    return run


@pytest.fixture
def commit(outputs) -> Callable[..., dict[str, Any]]:
    """Give ``commit(folder)``: outputs of version, after ingest and clean."""

    def run(folder: Path, classes: tuple[str, ...] = ("cat", "dog")) -> dict[str, Any]:
        samples = outputs("ingest", source={"kind": "folder", "location": str(folder)})["samples"]
        cleaned = outputs("clean", samples=samples, classes=classes, cleaners=CLEANERS)
        return outputs("version", samples=cleaned["samples"], dataset="pets")

    return run


@pytest.fixture
def suite(store) -> Callable[..., dict[str, Any]]:
    """Give ``suite((type, kwargs), …)``: a stored suite."""

    def make(*expectations: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        listed = [{"type": kind, "kwargs": kwargs, "meta": {}, "severity": "critical"} for kind, kwargs in expectations]
        return reference(store.put(json.dumps({"name": "pets", "expectations": listed}).encode()))

    return make


def reference(artifact: Artifact) -> dict[str, Any]:
    return {"ref": "artifact", "digest": artifact.digest, "size": artifact.size}


def both(version: dict[str, Any]) -> dict[str, Any]:
    return {"dataset": version["dataset"], "labels": version["labels"]}


class TestVersion:
    def test_same_folder_twice_is_the_same_version(self, commit, tmp_path):
        folder = image_folder(tmp_path / "pets", {"cat": 6, "dog": 6})
        first, second = commit(folder), commit(folder)
        assert (first["added"], first["changed"], first["removed"]) == (12, 0, 0)
        assert both(second) == both(first)
        assert (second["added"], second["changed"], second["removed"]) == (0, 0, 0)

    def test_digest_does_not_depend_on_the_order(self, outputs, rows, store, tmp_path):
        folder = image_folder(tmp_path / "pets", {"cat": 6, "dog": 6})
        samples = outputs("ingest", source={"kind": "folder", "location": str(folder)})["samples"]
        cleaned = outputs("clean", samples=samples, classes=["cat", "dog"], cleaners=CLEANERS)["samples"]
        table = rows(cleaned)
        pq.write_table(table.take(pa.array(range(len(table) - 1, -1, -1))), tmp_path / "reversed.parquet")
        turned = reference(store.put_file(tmp_path / "reversed.parquet"))
        versions = [outputs("version", samples=item, dataset=f"pets{n}") for n, item in enumerate((cleaned, turned))]
        assert versions[0]["dataset"]["digest"] == versions[1]["dataset"]["digest"]
        assert versions[0]["labels"]["digest"] == versions[1]["labels"]["digest"]

    def test_samples_that_come_and_go_are_counted(self, commit, tmp_path):
        folder = image_folder(tmp_path / "pets", {"cat": 6, "dog": 6})
        first = commit(folder)
        image_folder(folder, {"cat": 3}, seed=50)
        (folder / "dog" / "0007.png").unlink()
        second = commit(folder)
        assert (second["added"], second["changed"], second["removed"]) == (3, 0, 1)
        assert second["dataset"]["digest"] != first["dataset"]["digest"]
        assert second["dataset"]["rows"] == 14

    def test_labels_are_kept_apart_with_their_origin(self, commit, tmp_path, database, store_settings: Settings):
        version = commit(image_folder(tmp_path / "pets", {"cat": 2, "dog": 1}))
        table = open_datasets(store_settings.datasets).read(_version(version))
        assert not {"label", "origin"} & set(table.column_names)
        with database.transaction() as cursor:
            cursor.execute("SELECT annotator, label, origin, count(*) AS n FROM airlock.label_answer GROUP BY 1, 2, 3")
            found = sorted(tuple(row.values()) for row in cursor.fetchall())
        assert found == [("source", "cat", "folder name", 2), ("source", "dog", "folder name", 1)]


class TestValidate:
    @pytest.fixture
    def version(self, commit, tmp_path):
        return commit(image_folder(tmp_path / "pets", {"cat": 5, "dog": 3}))

    def test_met_expectations(self, outputs, version, suite, store):
        expectations = suite(
            ("expect_column_values_to_be_in_set", {"column": "label", "value_set": ["cat", "dog"]}),
            ("expect_table_row_count_to_be_between", {"min_value": 8, "max_value": 8}),
            ("expect_column_values_to_be_in_set", {"column": "width", "value_set": [8]}),
            ("expect_column_values_to_not_be_null", {"column": "source"}),
        )
        found = outputs("validate", **both(version), expectations=expectations)
        assert (found["checked"], found["passed"]) == (4, 4)
        assert found["report"]["media_type"] == "text/html"
        page = store.read(found["report"]["digest"]).decode()
        assert page.count("data:image/png;base64,") == 8
        assert "pets version 1" in page
        assert json.loads(store.read(found["result"]["digest"]))["rows"] == 8

    def test_unmet_expectation_rejects_and_keeps_ids_and_report(self, run_step, version, suite, store):
        cats_only = suite(
            ("expect_column_values_to_be_in_set", {"column": "label", "value_set": ["cat"]}),
            ("expect_table_row_count_to_be_between", {"min_value": 1}),
        )
        result = run_step("validate", **both(version), expectations=cats_only)
        kept = json.loads(store.read(result.links["Validation result"]))
        check = kept["checks"][0]
        assert (check["success"], check["failing"], len(check["sample_ids"])) == (False, 3, 3)
        parts = ("pets version 1 fails 1 of 2", "in_set", "dog", check["sample_ids"][0][:12], "data report")
        assert_refused(result, "DataRejected", *parts)
        assert store.read(result.links["Report"]).decode().count("data:image/png;base64,") == 3

    def test_missing_column_is_no_verdict(self, run_step, version, suite):
        expectations = suite(("expect_column_values_to_not_be_null", {"column": "colour"}))
        result = run_step("validate", **both(version), expectations=expectations)
        assert_refused(
            result, "UserError", "'colour'", "does not exist", "sample_id, label, source", "width, height, mode"
        )
        assert result.links == {}

    def test_unknown_type_is_no_verdict(self, run_step, version, suite):
        result = run_step("validate", **both(version), expectations=suite(("expect_good_data", {})))
        assert_refused(result, "UserError", "no expectation type 'expect_good_data'")

    def test_labels_of_another_version(self, run_step, commit, version, suite, tmp_path):
        other = commit(image_folder(tmp_path / "pets", {"cat": 1}, seed=70))
        expectations = suite(("expect_table_row_count_to_be_between", {"min_value": 1}))
        result = run_step("validate", dataset=version["dataset"], labels=other["labels"], expectations=expectations)
        assert_refused(result, "UserError", "label set", "pets version 1", "same version task")


class TestSplit:
    def test_old_samples_stay_when_new_ones_arrive(self, outputs, commit, rows, tmp_path):
        folder = image_folder(tmp_path / "pets", {"cat": 40, "dog": 40})
        before = _places(rows, outputs("split", **both(commit(folder)), fractions=FRACTIONS))
        image_folder(folder, {"cat": 20, "dog": 20}, seed=500)
        found = outputs("split", **both(commit(folder)), fractions=FRACTIONS)
        after = _places(rows, found)
        assert len(after) == 120
        assert {name: after[name] for name in before} == before
        assert found["counts"] == {name: list(after.values()).count(name) for name in FRACTIONS}

    def test_samples_without_a_label_are_left_out(self, run_step, commit, rows, tmp_path):
        folder = image_folder(tmp_path / "pets", {"cat": 30, "dog": 30})
        (folder / "loose.png").write_bytes(png(999))
        result = run_step("split", **both(commit(folder)), fractions=FRACTIONS)
        assert len(_places(rows, result.outputs)) == 60
        assert result.metrics["unlabelled"] == 1

    def test_fractions_that_do_not_sum_to_1(self, run_step, commit, tmp_path):
        version = commit(image_folder(tmp_path / "pets", {"cat": 3}))
        result = run_step("split", **both(version), fractions={"train": 0.5, "test": 0.4})
        assert_refused(result, "UserError", "sum to 0.9, not 1", "For example")

    def test_published_split_of_idx_files_is_kept(self, outputs, rows, tmp_path):
        source = {"kind": "idx", "location": str(idx_files(tmp_path / "set", train=40, test=9))}
        samples = outputs("ingest", source=source)["samples"]
        cleaned = outputs("clean", samples=samples, classes=["0", "1", "2"], cleaners=CLEANERS)
        version = outputs("version", samples=cleaned["samples"], dataset="letters")
        found = outputs("split", **both(version), fractions={"train": 0.85, "validation": 0.15, "test": 0.0})
        assert found["counts"]["test"] == 9
        assert found["counts"]["train"] + found["counts"]["validation"] == 40


def _version(outputs: dict[str, Any]) -> DatasetVersion:
    return DatasetVersion(**{name: value for name, value in outputs["dataset"].items() if name != "ref"})


def _places(rows: Callable[..., pa.Table], found: dict[str, Any]) -> dict[str, str]:
    table = rows(found["split"])
    assert table["sample_id"].to_pylist() == sorted(table["sample_id"].to_pylist())
    return dict(zip(table["sample_id"].to_pylist(), table["split"].to_pylist(), strict=True))


def _pipeline(outputs: Callable[..., dict[str, Any]], name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Run the whole data pipeline as ``dags/<name>`` does, with the expectations that lie beside it."""
    classes = inputs["classes"]
    ingested = outputs("ingest", source=inputs["source"])
    cleaned = outputs("clean", samples=ingested["samples"], classes=classes, cleaners=inputs["cleaners"])
    version = both(outputs("version", samples=cleaned["samples"], dataset=name))
    divided = outputs("split", **version, fractions=inputs["fractions"])
    more = {"checks": CHECKS, "split": divided["split"], "cleaning": {"all": cleaned["cleaning"]}}
    validated = outputs("validate", **version, expectations=inputs["expectations"], **more)
    parts = {"report": validated["report"], "dropped": cleaned["dropped"]}
    parts |= {"split": divided["split"], "counts": divided["counts"]}
    return outputs("data_manifest", use_case=name, classes=classes, **version, **parts)


def _shipped(store, name: str) -> dict[str, Any]:
    return reference(store.put_file(CHECKOUT / "dags" / name / "expectations.json"))


class TestWholePipeline:
    def test_digits(self, outputs, store):
        classes = [str(number) for number in range(10)]
        inputs = {
            "source": {"kind": "sklearn", "location": "digits"},
            "classes": classes,
            "cleaners": [{"name": "decode_image", "mode": "L", "min_side": 8, "max_side": 8}],
            "fractions": FRACTIONS,
            "expectations": _shipped(store, "digits"),
        }
        first, second = (_pipeline(outputs, "digits", inputs) for _ in range(2))
        assert first == second, "the same data gives the same manifest"
        manifest = load(store, first["manifest"]["digest"], DataManifest)
        assert (manifest.dataset.rows, manifest.labels.rows, sum(manifest.counts.values())) == (1797, 1797, 1797)
        assert manifest.classes == classes
        assert manifest.index is not None
        index = msgspec.json.decode(store.read(manifest.index.digest), type=Index)
        assert (len(index.samples), len(set(index.samples)), len(index.rows)) == (1797, 1797, 1797)
        assert set(index.labels) == set(classes), "two manifests can be told apart without their tables"

    def test_fashion(self, outputs, store, fashion):
        shipped = json.loads((CHECKOUT / "dags" / "fashion" / "expectations.json").read_text())
        kwargs = (item["kwargs"] for item in shipped["expectations"])
        classes = next(item["value_set"] for item in kwargs if item.get("column") == "label" and "value_set" in item)
        inputs = {
            "source": {"kind": "idx", "location": str(fashion), "classes": classes},
            "classes": classes,
            "cleaners": [{"name": "decode_image", "mode": "L", "min_side": 28, "max_side": 28}],
            "fractions": {"train": 0.85, "validation": 0.15, "test": 0.0},
            "expectations": _shipped(store, "fashion"),
        }
        manifest = load(store, _pipeline(outputs, "fashion", inputs)["manifest"]["digest"], DataManifest)
        assert manifest.counts["test"] == 120
        assert sum(manifest.counts.values()) == 720
