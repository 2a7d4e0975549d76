"""A small candidate, trained and evaluated once, whose stores each test may damage."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from airlock.governance.evaluations import Evaluation
from airlock.governance.manifest import DataManifest, put
from airlock.model.tensors import Split
from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.settings import Settings
from airlock.steps.contract import Failure, Result
from airlock.steps.runner import run_spec
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from tests.model.conftest import CLASSES, builtins, make_spec, training_inputs

Step = Callable[..., Result]


@pytest.fixture(scope="session")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, mlflow_server: str, few_digits: dict[str, Split]
) -> tuple[Path, dict[str, Any]]:
    """Train and evaluate once; give the folder of the stores and the register step's inputs."""
    folder = tmp_path_factory.mktemp("candidate")
    settings = Settings(home=str(folder), artifacts=(folder / "artifacts").as_uri(), tracking=mlflow_server)
    artifacts = open_artifacts(settings.artifacts)
    training = training_inputs(artifacts, folder / "few", few_digits)
    training["parameters"] = {"epochs": 8, "batch_size": 32, "learning_rate": 0.01}
    trained = run_spec(make_spec("train", training), settings).outputs
    subject = {"model": trained["model"], "tensors": training["tensors"], "run": trained["run"]}
    evaluated = run_spec(make_spec("evaluate", subject | {"classes": CLASSES}), settings).outputs
    return folder, {
        "use_case": "small",
        "data": builtins(put(artifacts, data_manifest(artifacts))),
        **subject,
        **{name: evaluated[name] for name in ("evaluation", "picture")},
        "transform_code": training["code"],
        "network_code": training["code"],
        "parameters": training["parameters"],
        "seed": 7,
        "code": {"commit": "0" * 40, "dirty": ""},
    }


@pytest.fixture
def registration(prepared: tuple[Path, dict[str, Any]], tmp_path: Path) -> dict[str, Any]:
    """Give the register step's inputs, on a copy of the store that the test may damage."""
    folder, inputs = prepared
    for name in ("artifacts", "sealed"):
        shutil.copytree(folder / name, tmp_path / name)
    return copy.deepcopy(inputs)


@pytest.fixture
def evaluation(registration: dict[str, Any]) -> dict[str, Any]:
    """Give the evaluate step's inputs."""
    return {name: registration[name] for name in ("model", "tensors", "run")} | {"classes": CLASSES}


def data_manifest(artifacts: ArtifactStore, classes: list[str] = CLASSES) -> DataManifest:
    dataset = DatasetVersion(name="small", version=1, digest="sha256:" + "1" * 64, rows=360)
    labels = LabelSet(digest="sha256:" + "2" * 64, dataset=dataset.digest, rows=360)
    some = artifacts.put(b"{}")
    return DataManifest(
        use_case="small",
        classes=classes,
        dataset=dataset,
        labels=labels,
        split=some,
        report=some,
        dropped=some,
        counts={},
    )


def failure(result: Result) -> Failure:
    assert result.failure is not None, "the step must fail"
    assert result.outputs == {}
    return result.failure


def evaluated(artifacts: ArtifactStore, result: Result) -> Evaluation:
    assert result.failure is None, result.failure
    return msgspec.json.decode(artifacts.read(result.outputs["evaluation"]["digest"]), type=Evaluation)


def model_of(evaluation: dict[str, Any]) -> Artifact:
    return msgspec.convert(evaluation["model"], Artifact)
