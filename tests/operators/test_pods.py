"""Steps as pods: the profile says where and with what, the result document says how it ended."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.errors import UserError
from airlock.operators.compute import profile
from airlock.operators.execution import Execution
from airlock.operators.model import TrainOperator, train
from airlock.operators.pods.diagnosis import STEP
from airlock.operators.pods.labels import label, of_task
from airlock.operators.pods.manifest import CONTAINER_USER, manifest
from airlock.operators.pods.place import pod_environment
from airlock.operators.pods.twins import TrainPodOperator
from airlock.operators.profiles import Profile
from airlock.steps.contract import RunInfo, Spec

RUN = RunInfo(dag="digits_model", run="manual__2026-01-01T00:00:00+00:00", task="train")


def training(compute: str) -> Any:
    return train(tensors={}, code="n.py", classes=["0"], parameters={}, seed=7, experiment="digits", compute=compute)


def document_of(compute: str) -> dict[str, Any]:
    """What Kubernetes would be asked for."""
    spec = Spec(step="train", inputs={}, run=RUN, result="results/1.json")
    execution = Execution(spec=spec, document="specs/1.json", key="k", compute=compute, profile=profile(compute))
    return manifest("airlock-train-1", execution, pod_environment("train"))


@pytest.mark.usefixtures("home")
class TestThePod:
    @pytest.mark.parametrize("compute", ["cpu", "gpu:1"])
    def test_runs_one_step_as_nobody_in_particular(self, compute: str) -> None:
        pod = document_of(compute)
        (container,) = pod["spec"]["containers"]
        assert container["image"] == "airlock/step:0.1.0"
        assert container["command"] == ["python", "-u", "-m", "airlock.steps"]
        assert container["args"] == ["train", "--spec", "specs/1.json"]
        assert pod["spec"]["securityContext"] == {"runAsNonRoot": True, "runAsUser": CONTAINER_USER}
        assert (pod["spec"]["restartPolicy"], pod["metadata"]["namespace"]) == ("Never", "airlock")
        assert pod["metadata"]["labels"]["airlock/step"] == "train"

    def test_of_a_cpu_profile_asks_for_no_more(self) -> None:
        spec = document_of("cpu")["spec"]
        asked = {"cpu": "1", "memory": "4Gi"}
        assert spec["containers"][0]["resources"] == {"requests": asked, "limits": asked}
        assert (spec["volumes"], spec["tolerations"]) == ([], [])

    def test_of_a_gpu_profile_has_a_gpu_and_shared_memory(self) -> None:
        spec = document_of("gpu:1")["spec"]
        assert spec["containers"][0]["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": "1"}
        assert spec["volumes"] == [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}]
        assert spec["containers"][0]["volumeMounts"] == [{"name": "shm", "mountPath": "/dev/shm"}]

    def test_of_several_workers_is_a_job_that_never_tries_again_by_itself(self) -> None:
        job = document_of("gpu:4x2")
        assert job["kind"] == "Job"
        asked = {"parallelism": 2, "completions": 2, "completionMode": "Indexed", "backoffLimit": 0}
        assert {name: job["spec"][name] for name in asked} == asked
        template = job["spec"]["template"]
        assert template["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "4"
        told = {entry["name"] for entry in template["spec"]["containers"][0]["env"]}
        assert {"AIRLOCK_WORKERS", "AIRLOCK_WORKER_HOST"} <= told
        assert template["metadata"]["labels"] == job["metadata"]["labels"], "Pods are found by the same labels."

    def test_is_told_where_the_stores_are_and_no_secret_of_the_worker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AIRLOCK_SIGNING_KEY_FILE", "AIRFLOW__CORE__FERNET_KEY", "_AIRFLOW_TOKEN", "SOME_PASSWORD"):
            monkeypatch.setenv(name, "secret")
        monkeypatch.setenv("AIRLOCK_ARTIFACTS", "s3://bucket/artifacts")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.example.org")
        told = {entry["name"]: entry["value"] for entry in document_of("cpu")["spec"]["containers"][0]["env"]}
        assert told["AIRLOCK_ARTIFACTS"] == "s3://bucket/artifacts"
        assert told["AWS_ENDPOINT_URL"] == "http://s3.example.org"
        assert all(name.startswith(("AIRLOCK_", "AWS_")) for name in told)
        assert "AIRLOCK_HOME" not in told, "The worker's folder is not the pod's."
        assert "secret" not in told.values()

    def test_is_found_again_by_labels_that_kubernetes_allows(self) -> None:
        other = RunInfo(dag="digits_model", run="manual__2026-01-01T00:00:00+00:01", task="train")
        for value in of_task(RUN).values():
            assert label(value) == value, "A label made of a label is itself."
        assert of_task(RUN) != of_task(other)
        assert len(label("x" * 200)) <= 63


class TestProfiles:
    def test_the_profile_picks_the_class(self, home: Path) -> None:
        assert isinstance(training("local"), TrainOperator)
        assert isinstance(training("cpu"), TrainPodOperator)
        assert training("cpu").task_id == "train"

    def test_one_of_your_own(self, profiles: Callable[[str], None]) -> None:
        toleration = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
        big = {
            "place": "pod",
            "image": "registry.example.org/step:2",
            "namespace": "team",
            "node_selector": {"zone": "a"},
            "tolerations": [toleration],
            "priority_class": "high",
            "labels": {"queue": "night"},
            "environment": {"OMP_NUM_THREADS": "4"},
        }
        profiles(json.dumps({"big": big}))
        pod = document_of("big")
        spec, container = pod["spec"], pod["spec"]["containers"][0]
        assert (container["image"], pod["metadata"]["namespace"]) == ("registry.example.org/step:2", "team")
        assert (spec["nodeSelector"], spec["tolerations"]) == ({"zone": "a"}, [toleration])
        assert (spec["priorityClassName"], pod["metadata"]["labels"]["queue"]) == ("high", "night")
        assert {"name": "OMP_NUM_THREADS", "value": "4"} in container["env"]
        assert isinstance(training("local"), TrainOperator), "The built-in profiles stay."

    def test_any_other_part_of_a_pod_is_merged_in_by_name(self, profiles: Callable[[str], None]) -> None:
        part = {
            "hostNetwork": True,
            "securityContext": {"runAsNonRoot": False, "runAsUser": 0},
            "containers": [
                {"name": STEP, "imagePullPolicy": "Never", "volumeMounts": [{"name": "d", "mountPath": "/d"}]}
            ],
            "volumes": [{"name": "d", "hostPath": {"path": "/d"}}],
        }
        profiles(json.dumps({"own": {"place": "pod", "shared_memory": "1Gi", "pod": part}}))
        spec = document_of("own")["spec"]
        (container,) = spec["containers"]
        assert (spec["hostNetwork"], spec["securityContext"]) == (True, {"runAsNonRoot": False, "runAsUser": 0})
        assert (container["imagePullPolicy"], container["args"][0]) == ("Never", "train")
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/dev/shm", "/d"]
        assert [volume["name"] for volume in spec["volumes"]] == ["shm", "d"]

    @pytest.mark.parametrize(
        ("name", "resources", "workers"),
        [
            ("gpu:8", {"memory": "16Gi", "nvidia.com/gpu": "8"}, 1),
            ("gpu:4x2", {"memory": "16Gi", "nvidia.com/gpu": "4"}, 2),
            ("cpu:2", {"memory": "4Gi", "cpu": "2"}, 1),
            ("cpu:1x3", {"memory": "4Gi", "cpu": "1"}, 3),
            ("cpu:x3", {"memory": "4Gi", "cpu": "1"}, 3),
            ("local:x2", {}, 2),
        ],
    )
    def test_amounts_and_workers_need_no_entry_of_their_own(
        self, home: Path, name: str, resources: dict[str, str], workers: int
    ) -> None:
        found = profile(name)
        assert (found.resources, found.workers) == (resources, workers)

    @pytest.mark.parametrize("name", ["tpu", "tpu:1", "gpu:", "gpu:1x", "gpu:-1", "gpu:0", "gpu:1x0", "local:2"])
    def test_one_that_does_not_exist(self, home: Path, name: str) -> None:
        with pytest.raises(UserError, match=r"no compute profile .*NAME:NxM|asks for"):
            training(name)

    def test_a_file_that_is_none(self, profiles: Callable[[str], None]) -> None:
        profiles("{")
        with pytest.raises(UserError, match=r"profiles.*\.json cannot be read.*AIRLOCK_PROFILES"):
            training("local")

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"place": "moon"}, "place"),
            ({"place": "pod", "gpus": 1}, "gpus"),
            ({"place": "pod", "resources": {"memory": "4 gigabytes"}}, "`resources`: memory is '4 gigabytes'"),
            ({"place": "pod", "shared_memory": "much"}, "`shared_memory` is 'much'"),
            ({"place": "pod", "tolerations": [{"key": "a", "effect": "Never"}]}, "effect"),
            ({"place": "pod", "schedule_timeout": 0}, "`schedule_timeout` is not above 0"),
            ({"place": "pod", "restarts": -1}, "`restarts` is below 0"),
            ({"place": "pod", "namespace": "My Team"}, "`namespace` 'My Team'"),
            ({"place": "pod", "pod": {"spec": {}}}, "`pod` is a pod's spec itself"),
            ({"place": "pod", "on_out_of_memory": "huge"}, "`on_out_of_memory` 'huge' is no pod profile"),
            ({"place": "pod", "on_out_of_memory": "local"}, "`on_out_of_memory` 'local' is no pod profile"),
            ({"place": "pod", "on_out_of_memory": "bad"}, "`on_out_of_memory` 'bad' leads back"),
        ],
    )
    def test_a_bad_one_names_its_field_when_the_dag_is_parsed(
        self, profiles: Callable[[str], None], fields: dict[str, Any], named: str
    ) -> None:
        profiles(json.dumps({"bad": fields}))
        with pytest.raises(UserError, match=r"'bad' of .*profiles.*\.json is none") as caught:
            training("local")
        assert named in str(caught.value)

    def test_the_reference_has_every_field_and_its_example_is_one(self, profiles: Callable[[str], None]) -> None:
        reference = (Path(__file__).parents[2] / "docs" / "compute.md").read_text()
        named = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", reference, re.MULTILINE))))
        assert set(Profile.__struct_fields__) <= named
        example = re.search(r"```json\n(.*?)\n```", reference, re.DOTALL)
        assert example is not None
        profiles(example[1])
        assert profile("gpu:4x2").resources["nvidia.com/gpu"] == "4"

    def test_a_dag_with_pods_is_parsed_without_the_kubernetes_client(self, home: Path) -> None:
        program = (
            "import sys; from airlock.operators.model import train; "
            "train(tensors={}, code='n', classes=[], parameters={}, experiment='e', compute='gpu:4x2'); "
            "sys.exit([name for name in sys.modules if name.partition('.')[0] == 'kubernetes'] != [])"
        )
        assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0
