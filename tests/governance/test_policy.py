"""Policies are data that is refused when it is wrong; their digest says everything in them; they count when adopted."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from airlock.errors import NotApproved, UserError
from airlock.governance.adoption import adopt
from airlock.governance.authority import Authority, authority
from airlock.governance.forms import Field
from airlock.governance.people import check_satisfiable
from airlock.governance.policy import GatePolicy, Stage, gates_schema, read_gates
from tests.governed import Governed

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "airlock" / "governance" / "gates.schema.json"
STAGES = [{"roles": ["data_engineer"]}]


def written(folder: Path, **gates: Any) -> Path:
    path = folder / "gates.json"
    path.write_text(json.dumps({"airlock_gates": 1, "use_case": "digits", "gates": gates}))
    return path


class TestAFile:
    @pytest.mark.parametrize("path", sorted((ROOT / "dags").glob("*/gates.json")), ids=lambda path: path.parent.name)
    def test_of_a_use_case_fits_the_published_schema(self, path: Path) -> None:
        jsonschema.validate(json.loads(path.read_text()), json.loads(SCHEMA.read_text()))
        assert read_gates(path).use_case == path.parent.name

    def test_the_schema_is_the_current_one(self) -> None:
        assert SCHEMA.read_bytes() == gates_schema(), "Write it anew with airlock.governance.policy.gates_schema()."

    def test_may_name_its_schema(self, tmp_path: Path) -> None:
        path = tmp_path / "gates.json"
        path.write_text(json.dumps({"$schema": "x", "airlock_gates": 1, "use_case": "d", "gates": {}}))
        assert read_gates(path).gates == {}

    @pytest.mark.parametrize(
        ("policy", "said"),
        [
            ({"stages": []}, "asks nobody"),
            ({"stages": [{"roles": []}]}, "asks nobody"),
            ({"stages": [{"roles": ["boss"]}]}, "boss"),
            ({"stages": [{"roles": ["data_engineer"], "quorum": 0}]}, "quorum of 0"),
            ({"stages": STAGES, "exclude": ["boss"]}, "exclude"),
            ({"stages": STAGES, "minimum_age": -1}, "minimum age"),
            ({"stages": STAGES, "window": 60, "reminder": 61}, "reminder of 61"),
            ({"stages": STAGES, "window": 60, "escalation": {"after": 90, "roles": ["data_engineer"]}}, "escalation"),
            ({"stages": STAGES, "rework": {"Approve": {"dag": "d", "step": "s"}}}, "Approve"),
            ({"stages": STAGES, "checklist": {"comment": "x"}}, "names no field"),
            ({"stages": STAGES, "form": {"comment": {"title": "x"}}}, "names no field"),
            ({"stages": STAGES, "form": {"a": {"title": "x"}}, "checklist": {"a": "b"}}, "'a' names no field"),
            ({"stages": STAGES, "form": {"a": {"title": "x", "options": ["low", "low"]}}}, "not different words"),
            ({"stages": STAGES, "form": {"a": {"options": ["low"]}}}, "title"),
            ({"stages": STAGES, "quorun": 2}, "quorun"),
        ],
    )
    def test_that_is_wrong_is_named_with_the_rule(self, tmp_path: Path, policy: dict[str, Any], said: str) -> None:
        with pytest.raises(UserError, match=rf"gates\.json.*{said}"):
            read_gates(written(tmp_path, data=policy))


class TestADigest:
    def test_changes_with_anything_in_the_policy(self) -> None:
        plain = GatePolicy.of("data_engineer")
        changed = [
            GatePolicy.of("data_scientist"),
            GatePolicy(stages=[Stage(roles=["data_engineer"], quorum=2)]),
            msgspec.structs.replace(plain, exclude=["submitter"]),
            msgspec.structs.replace(plain, comment_required=True),
            msgspec.structs.replace(plain, checklist={"a": "b"}),
            msgspec.structs.replace(plain, form={"a": Field(title="b")}),
            msgspec.structs.replace(plain, window=60.0),
            msgspec.structs.replace(plain, supersede=False),
        ]
        assert len({policy.digest for policy in [plain, *changed]}) == 1 + len(changed)

    def test_of_a_policy_without_a_form_is_what_it_was_before_there_were_forms(self) -> None:
        was = "sha256:0fe66d9f7b4fdfdd0ebdd8dac8e797d09c21723198df12896b1d4f0f51b050a2"
        assert GatePolicy.of("data_engineer").digest == was, "approvals under it would not count any more"

    def test_survives_the_ledgers_canonical_form(self) -> None:
        policy = GatePolicy(stages=[Stage(roles=["data_engineer"])], checklist={"b": "2", "a": "1"})
        again = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(policy), sort_keys=True)), GatePolicy)
        assert again.digest == policy.digest


class TestWhoCouldSatisfyIt:
    TWICE = GatePolicy(stages=[Stage(roles=["data_scientist"]), Stage(roles=["model_validator", "data_scientist"])])

    def test_nobody_counts_twice(self) -> None:
        with pytest.raises(UserError, match="stage 2"):
            check_satisfiable(self.TWICE, {"sami": ["data_scientist", "model_validator"]})

    def test_seats_are_shared_out_so_that_they_suffice(self) -> None:
        check_satisfiable(self.TWICE, {"both": ["data_scientist", "model_validator"], "sami": ["data_scientist"]})


class TestAdopting:
    @pytest.fixture
    def guard(self, governed: Governed) -> Authority:
        return authority()

    def test_puts_every_gate_of_the_file_in_force_once(self, governed: Governed, guard: Authority) -> None:
        gates = read_gates(ROOT / "dags" / "digits" / "gates.json")
        assert len(adopt(guard, governed.keys, gates)) == len(gates.gates) == 5
        assert adopt(guard, governed.keys, gates) == []
        for name, policy in gates.gates.items():
            governed.book().require_policy("digits", name, policy)

    def test_only_new_leaves_a_policy_in_force_alone(
        self, governed: Governed, guard: Authority, tmp_path: Path
    ) -> None:
        first, later = GatePolicy.of("data_engineer"), {"stages": [{"roles": ["data_scientist"]}]}
        governed.adopt(first)
        gates = read_gates(written(tmp_path, data=later, model=later))
        assert [record.body["gate"] for record in adopt(guard, governed.keys, gates, only_new=True)] == ["model"]
        assert governed.book().policy_in_force("digits", "data") == first.digest

    def test_another_policy_than_the_one_in_force_is_refused(self, governed: Governed) -> None:
        governed.adopt(GatePolicy.of("data_engineer"))
        with pytest.raises(NotApproved, match="differs from the one in force"):
            governed.book().require_policy("digits", "data", GatePolicy.of("data_labeler"))
        with pytest.raises(NotApproved, match="never adopted"):
            governed.book().require_policy("digits", "model", GatePolicy.of("data_labeler"))
