"""Networks that are data, on the operators' side: checked while the DAG is parsed, stored resolved."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from airlock.errors import UserError
from airlock.model.architecture import MEDIA_TYPE, resolve
from airlock.operators.model import RegisterOperator, TrainOperator
from airlock.operators.model.architecture import check_network
from tests.governed import Governed

BASE = """
airlock_architecture: 1
input: {shape: [8, 8, 1], dtype: uint8}
parameters: {units: 16}
nodes:
  - scale: {Rescaling: {scale: 0.5}}
  - flat: Flatten
  - wide: {Dense: {units: "${units}"}}
  - out: {Dense: {units: "${classes}", activation: softmax}}
"""
DAG = """
from airflow.sdk import DAG
from airlock.operators.model import train

with DAG("{name}", schedule=None) as dag:
    train(tensors={{}}, code={code!r}, classes={classes}, parameters={parameters}, experiment="x")
"""
CLASSES = ["a", "b", "c"]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    path = tmp_path / "network.yaml"
    path.write_text("airlock_architecture: 1\nextends: base.yaml\nnodes:\n  - wide: {Dense: {activation: relu}}\n")
    return path


def operator(network: Path, **given: Any) -> TrainOperator:
    arguments = {"classes": CLASSES, "parameters": {}} | given
    return TrainOperator(task_id="train", tensors={}, code=str(network), experiment="x", **arguments)


class TestParsing:
    def parse(self, tmp_path: Path, code: Path, parameters: str = "{}", classes: str = repr(CLASSES)) -> DagBag:
        folder = tmp_path / "dags"
        folder.mkdir()
        text = DAG.format(name="parsed", code=str(code), parameters=parameters, classes=classes)
        (folder / "parsed_dag.py").write_text(text)
        return DagBag(str(folder))

    def test_a_right_network_parses(self, tmp_path: Path, network: Path) -> None:
        bag = self.parse(tmp_path, network, "{'units': 4, 'net[\"wide\"].lr': 0.1}")
        assert (bag.import_errors, list(bag.dags)) == ({}, ["parsed"])

    def test_the_import_error_shows_every_problem(self, tmp_path: Path, network: Path) -> None:
        (tmp_path / "base.yaml").write_text(
            BASE.replace("Flatten", "Flaten").replace("Rescaling: {", "Rescaling: {x: 1, ")
        )
        bag = self.parse(tmp_path, network, "{'units': 0}")
        (shown,) = bag.import_errors.values()
        for line in (
            "The architecture network.yaml has 3 problems",
            "- base.yaml, scale: Rescaling has no attribute x",
            "- base.yaml, flat: Keras has no layer Flaten; did you mean Flatten?",
            "- network.yaml, wide: units is 0 (from ${units}); it must be a whole number ≥ 1",
        ):
            assert line in shown

    def test_a_missing_file_is_an_import_error(self, tmp_path: Path) -> None:
        (shown,) = self.parse(tmp_path, tmp_path / "none.yaml").import_errors.values()
        assert "The architecture none.yaml cannot be read: No such file" in shown

    def test_what_comes_from_other_tasks_or_templates_is_not_looked_at(self, network: Path) -> None:
        check_network(str(network), {"units": "{{ params.units }}"}, "{{ params.classes }}")
        check_network("{{ params.code }}", {}, CLASSES)
        check_network(str(network), object(), object())
        with pytest.raises(UserError, match="it must make"):
            check_network(str(network), {'net["out"].units': 7, "units": "{{ x }}"}, CLASSES)


class TestCache:
    def test_a_file_is_read_again_when_it_or_its_base_was_written(self, tmp_path: Path, network: Path) -> None:
        check_network(str(network), {}, CLASSES)
        base = tmp_path / "base.yaml"
        base.write_text(BASE.replace("Flatten", "Flaten"))
        os.utime(base, ns=(1, 1))
        with pytest.raises(UserError, match="Flaten"):
            check_network(str(network), {}, CLASSES)


class TestStoring:
    def test_an_architecture_is_stored_resolved(self, governed: Governed, network: Path) -> None:
        train = operator(network)
        stored = train.inputs["code"]
        assert stored["media_type"] == MEDIA_TYPE
        assert stored["digest"] == resolve(network).digest
        document = json.loads(train.artifacts.read(stored["digest"]))
        assert "extends" not in document
        assert document["nodes"][2] == {
            "wide": {"Dense": {"activation": "relu", "units": "${units}"}, "inputs": ["flat"]}
        }

    def test_code_is_stored_as_it_is(self, governed: Governed, tmp_path: Path) -> None:
        (tmp_path / "network.py").write_text("def build(): ...")
        assert operator(tmp_path / "network.py").inputs["code"]["media_type"] == "text/plain"

    def test_what_is_registered_is_what_was_trained(self, governed: Governed, network: Path, tmp_path: Path) -> None:
        (tmp_path / "transform.py").write_text("def transform(image): ...")
        names = ("data", "tensors", "model", "run", "evaluation", "picture")
        register = RegisterOperator(
            task_id="register",
            use_case="digits",
            transform_code=str(tmp_path / "transform.py"),
            network_code=str(network),
            parameters={},
            **dict.fromkeys(names),
        )
        assert register.inputs["network_code"] == operator(network).inputs["code"]
        assert register.inputs["transform_code"]["media_type"] == "text/plain"
