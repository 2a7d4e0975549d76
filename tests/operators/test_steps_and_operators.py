"""Operators and steps meet in field names: each operator hands over exactly what its step takes."""

import inspect

import pytest
from airflow.sdk import BaseOperator

from airlock.operators import data, deployment, labeling, model, stream
from airlock.operators.pods import place, twins
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator
from airlock.steps.registry import STEPS, load_step

OPERATORS = [
    operator
    for module in (data, stream, labeling, model, deployment)
    for _, operator in inspect.getmembers(module, inspect.isclass)
    if issubclass(operator, SubprocessPlace) and operator is not SubprocessPlace
]
BY_OPERATOR_ALONE = {
    "register": {"code", "difference"},
    "train": {"parent"},
    "ingest": {"fingerprint"},
    "split": {"previous"},
    "choose_batch": {"champion"},
    "evaluate": {"champion"},
}
NO_OPERATOR = {"nothing"}


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
class TestEveryOperator:
    def test_it_hands_over_what_the_step_takes(self, operator: type[StepOperator]) -> None:
        takes = set(load_step(operator.step).Inputs.__struct_fields__)
        assert set(operator.template_fields) | BY_OPERATOR_ALONE.get(operator.step, set()) == takes

    def test_no_input_hides_something_of_airflow(self, operator: type[StepOperator]) -> None:
        hidden = [
            name for name in operator.template_fields if hasattr(BaseOperator, name) or hasattr(StepOperator, name)
        ]
        assert hidden == [], "An argument of this name would overwrite an attribute that Airflow or Airlock uses."

    def test_its_template_fields_are_a_literal_tuple(self, operator: type[StepOperator]) -> None:
        assert isinstance(operator.template_fields, tuple)

    def test_it_has_a_twin_that_runs_as_a_pod(self, operator: type[StepOperator]) -> None:
        twin = getattr(twins, operator.__name__.replace("Operator", "PodOperator"))
        assert issubclass(twin, place.PodPlace)
        assert twin.step == operator.step
        assert twin.template_fields == operator.template_fields

    def test_its_constructor_documents_itself(self, operator: type[StepOperator]) -> None:
        step_class = operator.__mro__[2]
        assert step_class.__doc__


def test_every_step_has_an_operator() -> None:
    assert {operator.step for operator in OPERATORS} == set(STEPS) - NO_OPERATOR
