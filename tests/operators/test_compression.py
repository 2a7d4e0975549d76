"""What the compress operator checks when a DAG is parsed, and what it stores when it runs."""

from pathlib import Path
from typing import Any

import pytest

from airlock.errors import UserError
from airlock.operators.model import CompressOperator
from tests.governed import Governed

ARCHITECTURE = str(Path(__file__).parents[2] / "dags" / "digits" / "network.yaml")


def operator(**changes: Any) -> CompressOperator:
    given: dict[str, Any] = {"manifest": {}, "methods": ["litert_int8"]}
    return CompressOperator(task_id="compress", **given | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": []}, "not a list of ways to compress"),
        ({"methods": "litert_int8"}, "not a list of ways to compress"),
        ({"methods": ["litert_int3"]}, "litert_int3' is not valid"),
        ({"rule": {"pick": "prettiest"}}, "The rule of the compression is not valid"),
        ({"slices": [{"name": "a", "where": "__import__('os')"}]}, "has a Call in it"),
    ],
)
def test_what_is_wrong_is_an_import_error(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        operator(**changes)


def test_a_chain_becomes_plain_data_and_a_students_network_an_artifact(governed: Governed) -> None:
    chain = [{"method": "distillation", "architecture": ARCHITECTURE}, "litert_dynamic"]
    inputs = operator(methods=["litert_int8", chain], rule={"max_points_lost": 1}).inputs
    assert inputs["methods"][0] == [{"method": "litert_int8"}]
    student, export = inputs["methods"][1]
    assert export == {"method": "litert_dynamic"}
    assert student["architecture"]["ref"] == "artifact"
    assert b"airlock_architecture" in governed.artifacts.read(student["architecture"]["digest"])
    assert inputs["rule"] == {"max_points_lost": 1}
