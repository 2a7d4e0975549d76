"""Steps as pods: the profile says where and with what, the result document says how it ended."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes.client import ApiClient

from airlock import settings as settings_module
from airlock.errors import UserError
from airlock.operators.model import TrainOperator, train
from airlock.operators.pods.place import CONTAINER_USER, PodPlace, StepPod, readable
from airlock.operators.pods.twins import TrainPodOperator
from airlock.operators.step import StepOperator
from airlock.steps.__main__ import main as run_step_here
from tests.operators.conftest import context


class NothingPodOperator(PodPlace, StepOperator):
    """Runs the step that does nothing, in a pod."""

    step = "nothing"
    template_fields: Sequence[str] = ("value",)

    def __init__(self, *, value: Any = 0, **kwargs: Any) -> None:
        super().__init__(task_id="task", compute="cpu", **kwargs)
        self.value = value


def training(compute: str) -> Any:
    return train(tensors={}, code="n.py", classes=["0"], parameters={}, seed=7, experiment="digits", compute=compute)


def pod_of(compute: str) -> dict[str, Any]:
    """The pod that Kubernetes would be asked for, as a document."""
    request = training(compute).pod("specs/1.json").build_pod_request_obj(dry_run=True)
    document: dict[str, Any] = ApiClient().sanitize_for_serialization(request)
    return document


@pytest.fixture
def profiles(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give ``profiles(text)``: writes the file AIRLOCK_PROFILES names."""

    def write(text: str) -> None:
        (home / "profiles.json").write_text(text)
        monkeypatch.setenv("AIRLOCK_PROFILES", str(home / "profiles.json"))
        settings_module.settings.cache_clear()

    return write


@pytest.mark.usefixtures("home")
class TestThePod:
    @pytest.mark.parametrize("compute", ["cpu", "gpu:1"])
    def test_runs_one_step_as_nobody_in_particular(self, compute: str) -> None:
        pod = pod_of(compute)
        (container,) = pod["spec"]["containers"]  # no XCom sidecar
        assert container["image"] == "airlock/step:0.1.0"
        assert container["command"] == ["python", "-u", "-m", "airlock.steps"]
        assert container["args"] == ["train", "--spec", "specs/1.json"]
        assert pod["spec"]["securityContext"] == {"runAsNonRoot": True, "runAsUser": CONTAINER_USER}
        assert (pod["spec"]["restartPolicy"], pod["metadata"]["namespace"]) == ("Never", "airlock")
        assert pod["metadata"]["labels"]["airlock/step"] == "train"

    def test_of_a_cpu_profile_asks_for_no_more(self) -> None:
        spec = pod_of("cpu")["spec"]
        asked = {"cpu": "1", "memory": "4Gi"}
        assert spec["containers"][0]["resources"] == {"requests": asked, "limits": asked}
        assert (spec["volumes"], spec["tolerations"]) == ([], [])

    def test_of_a_gpu_profile_has_a_gpu_and_shared_memory(self) -> None:
        spec = pod_of("gpu:1")["spec"]
        assert spec["containers"][0]["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": "1"}
        assert spec["volumes"] == [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}]
        assert spec["containers"][0]["volumeMounts"] == [{"name": "shm", "mountPath": "/dev/shm"}]

    def test_is_told_where_the_stores_are_and_no_secret_of_the_worker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AIRLOCK_SIGNING_KEY_FILE", "AIRFLOW__CORE__FERNET_KEY", "_AIRFLOW_TOKEN", "SOME_PASSWORD"):
            monkeypatch.setenv(name, "secret")
        monkeypatch.setenv("AIRLOCK_ARTIFACTS", "s3://bucket/artifacts")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.example.org")
        told = {entry["name"]: entry["value"] for entry in pod_of("cpu")["spec"]["containers"][0]["env"]}
        assert told["AIRLOCK_ARTIFACTS"] == "s3://bucket/artifacts"
        assert told["AWS_ENDPOINT_URL"] == "http://s3.example.org"
        assert all(name.startswith(("AIRLOCK_", "AWS_")) for name in told)
        assert "AIRLOCK_HOME" not in told, "The worker's folder is not the pod's."
        assert "secret" not in told.values()


class TestProfiles:
    def test_the_profile_picks_the_class(self, home: Path) -> None:
        assert isinstance(training("local"), TrainOperator)
        assert isinstance(training("cpu"), TrainPodOperator)
        assert training("cpu").task_id == "train"

    def test_one_of_your_own(self, profiles: Callable[[str], None]) -> None:
        toleration = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
        profile = {
            "place": "pod",
            "image": "registry.example.org/step:2",
            "namespace": "team",
            "node_selector": {"zone": "a"},
            "tolerations": [toleration],
            "priority_class": "high",
            "environment": {"OMP_NUM_THREADS": "4"},
        }
        profiles(json.dumps({"big": profile}))
        pod = pod_of("big")
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        assert (container["image"], pod["metadata"]["namespace"]) == ("registry.example.org/step:2", "team")
        assert (spec["nodeSelector"], spec["tolerations"]) == ({"zone": "a"}, [toleration])
        assert spec["priorityClassName"] == "high"
        assert {"name": "OMP_NUM_THREADS", "value": "4"} in container["env"]
        assert isinstance(training("local"), TrainOperator), "The built-in profiles stay."

    def test_one_that_does_not_exist(self, home: Path) -> None:
        with pytest.raises(UserError, match=r"no compute profile 'tpu'.*local, cpu, gpu:1"):
            training("tpu")

    @pytest.mark.parametrize("text", ["{", '{"big": {"place": "moon"}}', '{"big": {"place": "pod", "gpus": 1}}'])
    def test_a_file_that_is_none(self, profiles: Callable[[str], None], text: str) -> None:
        profiles(text)
        with pytest.raises(UserError, match=r"profiles\.json cannot be read.*AIRLOCK_PROFILES"):
            training("local")


class TestTheEnd:
    def pods_that(self, monkeypatch: pytest.MonkeyPatch, *, work: bool, fail: bool) -> None:
        def run_to_end(pod: StepPod, _context: Any) -> None:
            if work:
                run_step_here(list(pod.arguments))
            if fail:
                raise AirflowException("Pod task failed")

        monkeypatch.setattr(StepPod, "run_to_end", run_to_end)

    @pytest.mark.parametrize("fail", [False, True])
    def test_a_result_counts_however_the_pod_ended(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, fail: bool
    ) -> None:
        self.pods_that(monkeypatch, work=True, fail=fail)
        assert NothingPodOperator(value=7).execute(context()) == {"value": 7}

    def test_a_failure_in_the_result_is_the_tasks(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pods_that(monkeypatch, work=True, fail=True)
        with pytest.raises(AirflowFailException, match=r"\$\.value"):
            NothingPodOperator(value="seven").execute(context())

    @pytest.mark.parametrize(("fail", "why"), [(True, r"ended badly \(Pod task failed\)"), (False, "nothing ended")])
    def test_without_a_result_it_is_tried_again(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, fail: bool, why: str
    ) -> None:
        self.pods_that(monkeypatch, work=False, fail=fail)
        with pytest.raises(AirflowException, match=f"{why} and left no result") as failed:
            NothingPodOperator(value=7).execute(context())
        assert not isinstance(failed.value, AirflowFailException)


def test_the_log_of_a_pod_shows_progress_as_people_read_it() -> None:
    assert readable("base", "a line") == "a line"
    assert readable("base", '::airlock {"done": 3, "total": 30, "unit": "epoch"}') == "3/30 epoch"
