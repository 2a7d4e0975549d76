"""``airlock policy``: only whoever holds the signing key adopts."""

import json
from pathlib import Path
from typing import Any

import pytest

from airlock.errors import NotApproved, UserError
from airlock.governance.authority import DATABASE, KEY_FILE
from airlock.governance.people import write_people
from airlock.settings import settings
from tests.governed import Governed


def gates(folder: Path, *roles: str, **more: Any) -> Path:
    path = folder / "gates.json"
    document = {"airlock_gates": 1, "use_case": "digits", "gates": {"data": {"stages": [{"roles": roles}]} | more}}
    path.write_text(json.dumps(document))
    return path


class TestAdopt:
    def test_a_new_gate_needs_no_question(self, governed: Governed, airlock: Any, tmp_path: Path) -> None:
        path = gates(tmp_path, "data_engineer")
        said = airlock("policy", "adopt", path).output
        assert "digits, data gate: new" in said
        assert "adopted: data gate of digits (ledger record 1)" in said
        assert "nothing to adopt" in airlock("policy", "adopt", path).output
        assert "Needs a data_engineer" in airlock("policy", "show").output

    def test_a_policy_in_force_is_replaced_when_somebody_says_so(
        self, governed: Governed, airlock: Any, tmp_path: Path
    ) -> None:
        airlock("policy", "adopt", gates(tmp_path, "data_engineer"))
        before = governed.book().policy_in_force("digits", "data")
        refused = airlock("policy", "adopt", gates(tmp_path, "data_labeler"), input="n\n")
        assert (refused.exit_code, governed.book().policy_in_force("digits", "data")) == (1, before)
        assert '-        "data_engineer"\n+        "data_labeler"' in refused.output
        airlock("policy", "adopt", "--yes", gates(tmp_path, "data_labeler"))
        assert governed.book().policy_in_force("digits", "data") != before

    def test_without_the_key_nobody_adopts(
        self, governed: Governed, airlock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = gates(tmp_path, "data_engineer")
        monkeypatch.delenv(KEY_FILE)
        error = airlock("policy", "adopt", path).exception
        assert isinstance(error, NotApproved)
        monkeypatch.delenv(DATABASE)
        error = airlock("policy", "adopt", path).exception
        assert isinstance(error, NotApproved)
        assert "Only whoever runs the host" in str(error)
        assert governed.book().gates == []


class TestCheck:
    def test_nobody_could_open_it(self, governed: Governed, airlock: Any, tmp_path: Path) -> None:
        path = gates(tmp_path, "data_engineer")
        assert "is not known here" in airlock("policy", "check", path).output
        write_people(settings().people, {"lena": ["data_labeler"]})
        error = airlock("policy", "check", path).exception
        assert isinstance(error, UserError)
        assert "The data gate of digits: Nobody could satisfy stage 1" in str(error)
        write_people(settings().people, {"dora": ["data_engineer"]})
        assert airlock("policy", "check", path).output.endswith("digits, data gate: new\n")

    def test_a_file_that_is_wrong(self, governed: Governed, airlock: Any, tmp_path: Path) -> None:
        assert "boss" in str(airlock("policy", "check", gates(tmp_path, "boss")).exception)
