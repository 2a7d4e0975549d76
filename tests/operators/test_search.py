"""``search(…)`` in a DAG: checked when parsed, as many workers as asked for, and not done twice."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from airflow.sdk import DAG

from airlock.errors import UserError
from airlock.operators.model import ConcludeSearchOperator, SearchTrialsOperator, search
from airlock.steps.cache import key_of
from airlock.steps.contract import Result, RunInfo, Spec
from airlock.stores.artifacts import open_artifacts
from tests.operators.conftest import context

SPACE: dict[str, Any] = {"trials": 6, "workers": 3, "vary": {"units": [8, 16]}}


def arguments(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    code = tmp_path / "network.py"
    code.write_text("# a network\n")
    store = open_artifacts((tmp_path / "artifacts").as_uri())
    tensors = msgspec.to_builtins(store.put(b"tensors"))
    common = {"tensors": tensors, "code": str(code), "classes": ["0", "1"], "parameters": {"epochs": 5}}
    return common | {"space": SPACE, "experiment": "digits"} | changes


class TestTheGroup:
    def test_has_the_workers_the_search_asks_for_and_a_conclusion_that_always_runs(self, tmp_path: Path) -> None:
        with DAG("digits_model", schedule=None) as dag:
            found = search(**arguments(tmp_path))
        assert dag.task_ids == ["search.conclude", "search.worker_1", "search.worker_2", "search.worker_3"]
        assert found.task_id == "search.conclude"
        assert found.upstream_task_ids == {"search.worker_1", "search.worker_2", "search.worker_3"}
        assert found.trigger_rule == "all_done_min_one_success", "nothing is left running, however the workers ended"

    def test_that_is_not_valid_fails_while_its_dag_is_parsed(self, tmp_path: Path) -> None:
        bad = SPACE | {"vary": {"units": {"low": 9, "high": 8}}, "sampler": "magic"}
        with DAG("digits_model", schedule=None), pytest.raises(UserError, match=r"low 9 is larger.*no sampler 'magic'"):
            search(**arguments(tmp_path, space=bad))

    def test_names_networks_and_datasets_without_paths_of_this_machine(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "wide.py").write_text("# another\n")
        vary = {"network": [str(tmp_path / "network.py"), str(tmp_path / "wide.py")], "data": ["old", "new"]}
        given = arguments(tmp_path, space=SPACE | {"vary": vary})
        given["tensors"] = {"old": given["tensors"], "new": given["tensors"]}
        made = SearchTrialsOperator(task_id="search.worker_1", **given).inputs
        assert made["space"]["vary"]["network"] == ["network.py", "wide.py"]
        assert sorted(made["code"]) == ["network.py", "wide.py"]
        assert sorted(made["tensors"]) == ["new", "old"]
        assert str(tmp_path) not in msgspec.json.encode(made).decode()


class TestASearchThatWasConcluded:
    @pytest.fixture
    def given(self, home: Path, tmp_path: Path) -> dict[str, Any]:
        """Leave a conclusion in the cache; give its arguments."""
        given = arguments(tmp_path)
        operator = ConcludeSearchOperator(task_id="search.conclude", **given)
        spec = Spec(step="conclude_search", inputs=operator.inputs, run=_run_info(), result="results/before.json")
        result = Result(step="conclude_search", status="succeeded", outputs={"study": "before"}, started=1, ended=2)
        operator.step_cache.record(spec, key_of(spec), result)
        return given

    @pytest.mark.parametrize("kind", [SearchTrialsOperator, ConcludeSearchOperator])
    def test_is_not_done_again(self, given: dict[str, Any], kind: type[SearchTrialsOperator]) -> None:
        assert kind(task_id="search.task", **given).execute(context("search.task")) == {"study": "before"}

    @pytest.mark.parametrize("kind", [SearchTrialsOperator, ConcludeSearchOperator])
    def test_is_done_again_when_a_reviewer_asks_for_it(
        self, given: dict[str, Any], kind: type[SearchTrialsOperator]
    ) -> None:
        operator = kind(task_id="search.task", **given)
        spec = Spec(step=operator.step, inputs=operator.inputs, run=_run_info(), result="r")
        assert operator._look_up(context(conf={"rework": {"step": "search"}}), spec) is None

    def test_is_done_again_when_what_is_varied_changed(self, given: dict[str, Any]) -> None:
        changed = given | {"space": SPACE | {"vary": {"units": [8, 32]}}}
        operator = SearchTrialsOperator(task_id="search.task", **changed)
        spec = Spec(step=operator.step, inputs=operator.inputs, run=_run_info(), result="r")
        assert operator._look_up(context(), spec) is None


def _run_info() -> RunInfo:
    return RunInfo(dag="digits_model", run="run", task="search.conclude")
