"""Runs that are forked: which arguments their configuration changes."""

from typing import Any

import pytest

from airlock.commands.run import changes
from airlock.errors import UserError
from airlock.operators.forking import forked
from tests.operators.conftest import context

INPUTS: dict[str, Any] = {
    "tensors": {"ref": "artifact", "digest": "sha256:t"},
    "classes": ["0", "1"],
    "parameters": {"epochs": 30, "learning_rate": 0.001},
    "seed": 7,
}


def fork(**changed: Any) -> dict[str, Any]:
    return forked(INPUTS, context("train", conf={"fork": {"of": "digits_model/run", "set": {"train": changed}}}))


class TestAFork:
    def test_changes_what_it_names_and_nothing_else(self) -> None:
        found = fork(seed=8, **{"parameters.epochs": 5, 'parameters.net["conv*"].lr': 0.1})
        assert found["seed"] == 8
        assert found["parameters"] == {"epochs": 5, "learning_rate": 0.001, 'net["conv*"].lr': 0.1}
        assert found["tensors"] == INPUTS["tensors"]
        assert INPUTS["parameters"] == {"epochs": 30, "learning_rate": 0.001}, "the task's own arguments stay"

    def test_leaves_other_tasks_alone(self) -> None:
        conf = {"fork": {"of": "x", "set": {"evaluate": {"seed": 8}}}}
        assert forked(INPUTS, context("train", conf=conf)) == INPUTS
        assert forked(INPUTS, context("train")) == INPUTS

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("speed", "no argument 'speed' to change.*seed"),
            ("tensors", "tensors is no parameter"),
            ("tensors.digest", "tensors is no parameter"),
            ("seed.low", "seed has no parts"),
        ],
    )
    def test_of_something_else_is_refused(self, name: str, message: str) -> None:
        with pytest.raises(UserError, match=message):
            fork(**{name: "sha256:other"})


class TestWhatIsAskedFor:
    def test_is_read_by_task_as_json_or_text(self) -> None:
        asked = ["train.parameters.epochs=5", "train.seed=8", "compress.method=litert_int8"]
        assert changes(asked) == {"train": {"parameters.epochs": 5, "seed": 8}, "compress": {"method": "litert_int8"}}

    @pytest.mark.parametrize("asked", ["train", "train=5", "train.seed", ".seed=5"])
    def test_in_another_form_is_refused(self, asked: str) -> None:
        with pytest.raises(UserError, match="changes nothing"):
            changes([asked])
