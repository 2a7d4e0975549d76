"""The age of a request: what the guard asks for before Airflow can take an answer without losing it."""

import json
import time
from typing import Any

import pytest

from airlock.errors import UserError
from airlock.governance.forms import LONGEST, Field
from airlock.governance.policy import GatePolicy, Rework, Stage
from airlock.plugins.checks import PARKED, read_answer, require_age
from airlock.plugins.questions import Question
from airlock.stores.gates import GateRequest

POLICY = GatePolicy.of("model_validator")


def asked(seconds_ago: float) -> GateRequest:
    return GateRequest(
        use_case="digits",
        gate="model",
        dag="digits_model",
        run="r",
        task="model_gate",
        manifest="sha256:m",
        evidence="sha256:e",
        policy=POLICY.digest,
        created=time.time() - seconds_ago,
    )


def shown(state: str = PARKED, since: float = 60) -> Question:
    return Question(body="?", options=["Approve"], state=state, chosen=[], by="", since=time.time() - since)


class TestTheAgeOfARequest:
    def test_counts_from_the_parking_which_on_a_busy_machine_is_long_after_the_request(self) -> None:
        with pytest.raises(UserError, match="opens for answers in"):
            require_age(asked(60), POLICY, shown(since=0))

    def test_counts_from_the_request_when_the_task_was_parked_before_it(self) -> None:
        with pytest.raises(UserError, match="opens for answers in"):
            require_age(asked(0), POLICY, shown())

    def test_is_enough_when_both_are_older_than_the_policy_asks(self) -> None:
        require_age(asked(POLICY.minimum_age + 1), POLICY, shown(since=POLICY.minimum_age + 1))

    @pytest.mark.parametrize("state", ["", "running", "deferred", "success"])
    def test_does_not_matter_while_the_task_does_not_wait(self, state: str) -> None:
        with pytest.raises(UserError, match="does not wait for an answer now"):
            require_age(asked(60), POLICY, shown(state=state))


class TestTheAnswersToAForm:
    POLICY = GatePolicy(
        stages=[Stage(roles=["model_validator"])],
        form={
            "risk": Field(title="How bad?", options=["low", "high"]),
            "why": Field(title="Why?"),
            "more": Field(title="More?", required=False),
        },
        rework={"Train again": Rework(dag="d", step="train")},
    )

    def read(self, option: str = "Approve", **given: Any) -> dict[str, str]:
        body = json.dumps({"chosen_options": [option], "params_input": given}).encode()
        return read_answer(body, self.POLICY)[3]

    def test_are_kept_without_what_was_left_open(self) -> None:
        assert self.read(risk="low", why=" Few users. ", more=None, comment="x") == {"risk": "low", "why": "Few users."}

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({}, "Not answered: How bad"),
            ({"risk": "low", "why": "  "}, "Not answered: Why"),
            ({"risk": "medium", "why": "x"}, "'medium' is no answer to 'risk'. Choose one of low, high"),
            ({"risk": "low", "why": "x" * (LONGEST + 1)}, "longer than"),
        ],
    )
    def test_that_are_missing_or_wrong_refuse_an_approval(self, given: dict[str, Any], said: str) -> None:
        with pytest.raises(UserError, match=said):
            self.read(**given)

    def test_may_be_missing_from_a_rejection(self) -> None:
        assert self.read("Train again", risk="high") == {"risk": "high"}

    def test_to_questions_that_nobody_asked_are_not_kept(self) -> None:
        assert self.read(risk="low", why="x", else_="y") == {"risk": "low", "why": "x"}
