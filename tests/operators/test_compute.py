"""Where a task runs is configuration: the same DAG, with and without the setting."""

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG

from airlock import settings as settings_module
from airlock.errors import UserError
from airlock.operators.model import search, train
from airlock.operators.pods.place import PodPlace

GIVEN: dict[str, Any] = {"tensors": {"ref": "artifact"}, "code": "n.py", "classes": ["0", "1"], "experiment": "digits"}
SPACE = {"trials": 2, "workers": 2, "vary": {"dropout": [0.1, 0.2]}}


@pytest.fixture
def places(home: object, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Give ``places(setting, compute…)``: the profile of every task of a small DAG; pods have a star."""

    def made(setting: str, **compute: str) -> dict[str, str]:
        monkeypatch.setenv("AIRLOCK_COMPUTE", setting)
        settings_module.settings.cache_clear()
        with DAG("digits_model") as dag:
            search(parameters={"epochs": 2}, space=SPACE, **GIVEN, **compute)
            train(parameters={"epochs": 2}, **GIVEN, **compute)
        tasks: dict[str, Any] = dag.task_dict
        return {name: task.compute + "*" * isinstance(task, PodPlace) for name, task in tasks.items()}

    return made


SEARCHES = ("search.conclude", "search.worker_1", "search.worker_2")
Places = Callable[..., dict[str, str]]


class TestThePlaceOfATask:
    def test_is_beside_the_worker_when_nobody_says_more(self, places: Places) -> None:
        assert places("") == dict.fromkeys((*SEARCHES, "train"), "local")

    def test_is_what_the_first_entry_that_fits_says(self, places: Places) -> None:
        found = places("digits_model.train=gpu:1 other.*=cpu:9 digits_model.search.worker_*=cpu:4 digits_model.*=cpu")
        assert found == {
            "search.conclude": "cpu*",
            "search.worker_1": "cpu:4*",
            "search.worker_2": "cpu:4*",
            "train": "gpu:1*",
        }

    def test_is_what_the_dag_says_before_all(self, places: Places) -> None:
        assert places("*=cpu", compute="local") == dict.fromkeys((*SEARCHES, "train"), "local")

    @pytest.mark.parametrize("setting", ["gpu:1", "digits_model.train=", "=cpu"])
    def test_an_entry_that_says_nothing_is_named(self, places: Places, setting: str) -> None:
        with pytest.raises(UserError, match=r"AIRLOCK_COMPUTE gives no task.*DAG\.TASK=PROFILE"):
            places(setting)

    def test_an_unknown_profile_fails_the_dag(self, places: Places) -> None:
        with pytest.raises(UserError, match="no compute profile 'tpu'"):
            places("digits_model.*=tpu")
