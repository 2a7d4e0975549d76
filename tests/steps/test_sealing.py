"""Test data is sealed: what is written where, who is refused, and what a refused process is told."""

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airlock.data.images import encode_png
from airlock.errors import NotApproved
from airlock.governance.manifest import DataManifest, put
from airlock.references import Artifact, LabelSet
from airlock.settings import REFUSED, Settings
from airlock.steps.context import StepContext, narrowed
from airlock.steps.contract import Result, RunInfo, Spec
from airlock.steps.held_out import test_split as held_out_split
from airlock.steps.registry import STEPS, is_sealed
from airlock.stores.artifacts import open_artifacts
from airlock.stores.datasets import open_datasets
from airlock.stores.labels import Answer, LabelStore
from airlock.stores.layers import open_layers, open_sealed

pytestmark = pytest.mark.integration
TRAINING_SIDE = {"transform", "train"}
TRANSFORM = "import numpy as np\ndef transform(image):\n    return np.asarray(image)[..., None]\n"
SPY = """
from airlock.settings import load_settings
import os
def transform(image):
    told = load_settings()
    secrets = [value for value in os.environ.values() if "sealed-" in value]
    raise RuntimeError(f"told {told.sealed} {told.datasets} {secrets}")
"""


class Data:
    """A committed, labelled and split dataset of 60 small images."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        images = [encode_png(np.full((4, 4), number, np.uint8)) for number in range(60)]
        self.contents = {hashlib.sha256(image).hexdigest(): image for image in images}
        table = pa.table(
            {
                "sample_id": list(self.contents),
                "content": list(self.contents.values()),
                "source_split": pa.array([None] * 60, pa.string()),
                "source": [f"{n}.png" for n in range(60)],
            }
        )
        self.dataset, _ = open_datasets(settings.datasets).commit("grey", table, {})
        labels = LabelStore(LabelDatabase(settings))
        answers = [Answer(sample_id=name, annotator="source", label="grey") for name in self.contents]
        labels.record(self.dataset.digest, answers)
        self.labels: LabelSet = labels.resolve(self.dataset)

    def places(self, split: dict[str, Any]) -> dict[str, str]:
        data = open_artifacts(self.settings.artifacts).read(split["digest"])
        table = pq.read_table(io.BytesIO(data))
        return dict(zip(table["sample_id"].to_pylist(), table["split"].to_pylist(), strict=True))

    def manifest(self, split: dict[str, Any], counts: dict[str, int]) -> Artifact:
        store = open_artifacts(self.settings.artifacts)
        some = store.put(b"{}")
        made = DataManifest(
            use_case="grey",
            classes=["grey"],
            dataset=self.dataset,
            labels=self.labels,
            split=msgspec.convert(split, Artifact),
            report=some,
            dropped=some,
            counts=counts,
        )
        return put(store, made)


def LabelDatabase(settings: Settings) -> Any:  # noqa: N802 - reads like what it gives
    from airlock.stores.database import open_database

    return open_database(settings.database)


@pytest.fixture
def data(store_settings: Settings) -> Data:
    return Data(store_settings)


@pytest.fixture
def divided(data: Data, run_step: Callable[..., Result]) -> dict[str, Any]:
    both = {name: msgspec.to_builtins(getattr(data, name)) for name in ("dataset", "labels")}
    result = run_step("split", **both, fractions={"train": 0.6, "validation": 0.2, "test": 0.2})
    assert result.failure is None, result.failure
    return result.outputs


def transformed(data: Data, divided: dict[str, Any], run_step: Callable[..., Result], code: str) -> Result:
    manifest = data.manifest(divided["split"], divided["counts"])
    stored = open_artifacts(data.settings.artifacts).put(code.encode())
    return run_step("transform", manifest=msgspec.to_builtins(manifest), code=msgspec.to_builtins(stored))


def context_of(settings: Settings, tmp_path: Path, name: str) -> StepContext:
    folder = tmp_path / name
    folder.mkdir()
    return StepContext(settings, RunInfo(dag="d", run="r", task="train"), folder)


class TestWhatIsWritten:
    def test_the_open_store_holds_no_test_sample(self, data, divided, run_step):
        places = data.places(divided["split"])
        tensors = transformed(data, divided, run_step, TRANSFORM).outputs["tensors"]
        held = {name for name, place in places.items() if place == "test"}
        assert len(held) == divided["counts"]["test"] > 0
        found: set[str] = set()
        store = open_artifacts(data.settings.artifacts)
        for key in store.objects.keys("objects"):
            content = store.objects.read(key) or b""
            assert not any(data.contents[name] in content for name in held)
            if content.startswith(b"PAR1"):
                table = pq.read_table(io.BytesIO(content))
                if "content" in table.column_names:
                    found.update(table["sample_id"].to_pylist())
        assert found == places.keys() - held, "train and validation are there, nothing else"
        names = set(store.listing(msgspec.convert(tensors, Artifact)))
        parts = {f"{split}_{part}.npy" for split in ("train", "validation") for part in ("x", "y", "ids")}
        assert names == {"origin.json", *parts}

    def test_test_tensors_are_made_once_and_kept_in_the_sealed_store(self, data, divided, run_step, tmp_path):
        places = data.places(divided["split"])
        tensors = msgspec.convert(transformed(data, divided, run_step, TRANSFORM).outputs["tensors"], Artifact)
        first = held_out_split(context_of(data.settings, tmp_path, "first"), tensors)
        held = sorted(name for name, place in places.items() if place == "test")
        assert [name.decode() for name in first.ids] == held
        values = [data.contents[name] for name in held]
        assert [encode_png(x[..., 0]) for x in first.x] == values
        documents = list(open_sealed(data.settings).documents("tensors"))
        again = held_out_split(context_of(data.settings, tmp_path, "again"), tensors)
        assert np.array_equal(first.x, again.x)
        assert list(open_sealed(data.settings).documents("tensors")) == documents
        assert len(documents) == 1
        assert open_artifacts(data.settings.artifacts).document(documents[0]) is None

    def test_a_split_without_its_training_view_says_what_to_do(self, data, divided, run_step):
        for path in Path(data.settings.home).glob("artifacts/documents/training/**/*.json"):
            path.unlink()
        refused = transformed(data, divided, run_step, TRANSFORM).failure
        assert refused is not None
        assert refused.kind == "IntegrityError"
        assert "cache=False" in refused.hint


class TestWhoIsRefused:
    def test_exactly_the_training_side_and_what_needs_no_data(self):
        assert {step for step in STEPS if not is_sealed(step)} >= TRAINING_SIDE
        assert {"ingest", "version", "split", "evaluate", "compress", "package"} <= set(filter(is_sealed, STEPS))

    def test_a_training_side_context_opens_neither_datasets_nor_the_sealed_store(self, data, tmp_path):
        context = context_of(narrowed(data.settings), tmp_path, "work")
        with pytest.raises(NotApproved, match="'train' may not open the datasets") as caught:
            _ = context.datasets
        assert "SEALED = True" in caught.value.hint
        with pytest.raises(NotApproved, match="not granted"):
            _ = context.sealed

    def test_what_the_sealed_store_holds_is_not_found_by_digest(self, data, tmp_path):
        stored = open_sealed(data.settings).put(b"a test sample")
        assert open_layers(data.settings).read(stored.digest) == b"a test sample"
        with pytest.raises(ValueError, match="not in the store"):
            context_of(narrowed(data.settings), tmp_path, "work").fetch(stored, "stolen")

    def test_it_cannot_make_test_tensors(self, data, divided, run_step, tmp_path):
        tensors = msgspec.convert(transformed(data, divided, run_step, TRANSFORM).outputs["tensors"], Artifact)
        with pytest.raises(NotApproved):
            held_out_split(context_of(narrowed(data.settings), tmp_path, "work"), tensors)


def test_code_of_a_use_case_in_a_process_of_its_own_is_told_no_address(data, divided, monkeypatch):
    """A spy as ``transform.py``, in a real process with the environment that the operator gives it."""
    from airlock import settings as settings_module
    from airlock.operators.environment import step_environment

    addresses = {"AIRLOCK_SEALED": "file:///sealed-place", "AIRFLOW_CONN_AIRLOCK_SEALED": "s3://sealed-bucket"}
    for name, value in (data.settings.environment() | addresses).items():
        monkeypatch.setenv(name, value)
    settings_module.settings.cache_clear()
    store = open_artifacts(data.settings.artifacts)
    manifest = data.manifest(divided["split"], divided["counts"])
    code = store.put(SPY.encode())
    inputs = {"manifest": msgspec.to_builtins(manifest), "code": msgspec.to_builtins(code)}
    spec = Spec(step="transform", inputs=inputs, run=RunInfo(dag="d", run="r", task="t"), result="results/spy.json")
    store.create_document("specs/spy.json", msgspec.json.encode(spec))
    arguments = [sys.executable, "-m", "airlock.steps", "transform", "--spec", "specs/spy.json"]
    ended = subprocess.run(arguments, env=step_environment("transform"), check=False, capture_output=True, timeout=120)
    settings_module.settings.cache_clear()
    assert ended.returncode == 1, ended.stderr
    result = msgspec.json.decode(store.document("results/spy.json") or b"", type=Result)
    assert result.failure is not None
    assert f"told {REFUSED} {REFUSED} []" in result.failure.message


class TestEnvironment:
    @pytest.fixture(autouse=True)
    def worker(self, monkeypatch, tmp_path):
        from airlock import settings as settings_module

        for name in [name for name in os.environ if name.startswith("AIRLOCK_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AIRLOCK_HOME", str(tmp_path))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "broad")
        monkeypatch.setenv("AIRLOCK_TRAINING_AWS_ACCESS_KEY_ID", "narrow")
        settings_module.settings.cache_clear()
        yield
        settings_module.settings.cache_clear()

    def test_training_gets_its_own_credentials_in_place_of_the_workers(self):
        from airlock.operators.environment import step_environment

        training, measuring = step_environment("train"), step_environment("evaluate")
        assert (training["AWS_ACCESS_KEY_ID"], measuring["AWS_ACCESS_KEY_ID"]) == ("narrow", "broad")
        assert (training["AIRLOCK_SEALED"], training["AIRLOCK_DATASETS"]) == (REFUSED, REFUSED)
        assert measuring["AIRLOCK_SEALED"].endswith("/sealed")
        assert not [name for told in (training, measuring) for name in told if name.startswith("AIRLOCK_TRAINING")]

    def test_a_connection_may_hold_the_address(self, monkeypatch):
        from airlock import settings as settings_module
        from airlock.operators.environment import step_environment

        monkeypatch.setenv("AIRLOCK_SEALED", "airlock_sealed")
        monkeypatch.setenv(
            "AIRFLOW_CONN_AIRLOCK_SEALED", '{"conn_type": "airlock_sealed", "extra": {"uri": "s3://b/p"}}'
        )
        settings_module.settings.cache_clear()
        assert step_environment("evaluate")["AIRLOCK_SEALED"] == "s3://b/p"
        assert "AIRFLOW_CONN_AIRLOCK_SEALED" not in step_environment("evaluate")
        assert step_environment("train")["AIRLOCK_SEALED"] == REFUSED


def test_a_stratified_split_keeps_what_the_one_before_assigned(data, run_step):
    both = {name: msgspec.to_builtins(getattr(data, name)) for name in ("dataset", "labels")}
    fractions = {"train": 0.6, "validation": 0.2, "test": 0.2}
    first = run_step("split", **both, fractions=fractions, stratify=True).outputs
    assert first["counts"] == {"train": 36, "validation": 12, "test": 12}
    again = run_step("split", **both, fractions=fractions, stratify=True, previous=first["split"]).outputs
    assert again["split"] == first["split"]
