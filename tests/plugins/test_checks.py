"""The age of a request: what the guard asks for before Airflow can take an answer without losing it."""

import time

import pytest

from airlock.errors import UserError
from airlock.governance.policy import GatePolicy
from airlock.plugins.checks import PARKED, require_age
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
