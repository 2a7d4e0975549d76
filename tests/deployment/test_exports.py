"""A release elsewhere answers its samples as here: with numpy and LiteRT alone, from C++, on somebody's cluster."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from airlock.deployment.exports.bundle import cpp, edge, manifests, write
from airlock.deployment.kubernetes.documents import LOCKED, Placed, documents, inference_service
from airlock.deployment.kubernetes.targets import ClusterTarget, read_targets
from airlock.deployment.package import Package
from airlock.errors import UserError

DIGEST = "sha256:" + "ab" * 32
IMAGE = "registry.example/airlock/server@" + DIGEST
TARGET = ClusterTarget(image=IMAGE, max_replicas=3, credentials="store", labels={"team": "vision"})
PLACED = Placed(use_case="digits", target="cluster", manifest=DIGEST, track="stable", prefix="digits@cluster")


@pytest.fixture(scope="module")
def folder(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("edge") / "digits.tar"
    write(edge(package, b"{}"), out)
    with tarfile.open(out) as archive:
        archive.extractall(out.parent / "unpacked", filter="data")
    return out.parent / "unpacked"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Give ``bare(folder, *files)``: runs the bundle where numpy and LiteRT are all there is."""
    packages = tmp_path_factory.mktemp("bare")
    for name in ("numpy", "ai_edge_litert"):
        (folder,) = importlib.util.find_spec(name).submodule_search_locations  # type: ignore[union-attr]
        (packages / name).symlink_to(folder)
    libraries = Path(np.__file__).parents[1] / "numpy.libs"
    if libraries.exists():
        (packages / "numpy.libs").symlink_to(libraries)

    def run(folder: Path, *files: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-S", "-P", str(folder / "run.py"), *files]
        environment = {"PYTHONPATH": str(packages), "PATH": os.environ["PATH"]}
        return subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )

    return run


class TestAnEdgeBundle:
    def test_answers_its_samples_within_the_stated_tolerance(self, folder: Path, bare: Callable[..., Any]) -> None:
        done = bare(folder)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout.splitlines()[-1])
        assert said["difference"] <= said["tolerance"] == 0.005
        print(f"edge: difference {said['difference']:.2g}")

    def test_answers_a_tensor(self, folder: Path, bare: Callable[..., Any]) -> None:
        tensor = next(iter(sorted((folder / "tensors").iterdir())))
        answer = json.loads(bare(folder, str(tensor)).stdout)
        assert answer["label"] in answer["probabilities"]

    def test_a_tensor_of_another_shape_is_named(self, folder: Path, bare: Callable[..., Any], tmp_path: Path) -> None:
        np.save(tmp_path / "wrong.npy", np.zeros((4, 4, 1), np.uint8))
        done = bare(folder, str(tmp_path / "wrong.npy"))
        assert done.returncode == 1
        assert "uint8 (4, 4, 1), not uint8 (8, 8, 1)" in done.stderr

    def test_that_was_altered_says_so(
        self, folder: Path, bare: Callable[..., Any], models: dict[str, bytes], tmp_path: Path
    ) -> None:
        altered = shutil.copytree(folder, tmp_path / "altered")
        (altered / "model.tflite").write_bytes(models["stuck"])
        done = bare(altered)
        assert done.returncode == 1
        assert not json.loads(done.stdout)["same"]

    def test_has_the_same_bytes_again(self, package: Package, tmp_path: Path) -> None:
        for name in ("one.tar", "two.tar"):
            write(edge(package, b"{}"), tmp_path / name)
        assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
        with pytest.raises(UserError, match=r"one\.tar exists"):
            write({}, tmp_path / "one.tar")


@pytest.fixture(scope="module")
def project(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the project, configured and built."""
    found = importlib.util.find_spec("openvino")
    if found is None or not found.submodule_search_locations or not shutil.which("cmake"):
        pytest.skip("needs cmake, a C++ compiler and the wheel openvino")
    folder = tmp_path_factory.mktemp("cpp") / "project"
    write(cpp(package, b"{}"), folder)
    kit = Path(found.submodule_search_locations[0]) / "cmake"
    for command in (["cmake", "-S", ".", "-B", "build", f"-DOpenVINO_DIR={kit}"], ["cmake", "--build", "build"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in done.stdout
    return folder


class TestACppProject:
    @staticmethod
    def run(project: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(project / "build" / "airlock_model"), *arguments]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=False)

    def test_answers_the_samples_within_the_stated_tolerance(self, project: Path, package: Package) -> None:
        done = subprocess.run(["ctest", "--test-dir", "build", "-V"], cwd=project, capture_output=True, text=True,
                              timeout=60, check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout
        print("C++:", next(line for line in done.stdout.splitlines() if "difference" in line))
        for sample in package.samples:
            answered = self.run(project, "model.tflite", f"tensors/{Path(sample.file).stem}.npy").stdout.split()
            assert answered[0] == sample.label
            assert np.abs(np.float32(answered[1:]) - np.float32(sample.outputs["probabilities"])).max() <= 0.005

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (np.zeros((4, 4, 1), np.uint8), "type and shape"),
            (np.zeros((8, 8, 1), np.float32), "type and shape"),
            (None, "no .npy file"),
        ],
    )
    def test_refuses(self, project: Path, tmp_path: Path, array: Any, message: str) -> None:
        path = tmp_path / "given.npy"
        path.write_bytes(b"something") if array is None else np.save(path, array)
        done = self.run(project, "model.tflite", str(path))
        assert done.returncode == 2
        assert message in done.stderr

    def test_finds_a_sample_that_is_answered_otherwise(self, project: Path, tmp_path: Path, package: Package) -> None:
        name = f"{Path(package.samples[0].file).stem}.npy"
        np.save(tmp_path / name, np.zeros(3, np.float32))
        done = self.run(project, "--check", "0.005", "model.tflite", f"tensors/{name}", str(tmp_path / name))
        assert done.returncode == 1


class TestDocumentsForACluster:
    """Among them what the CDL prototype got wrong: mutable tags, root, no limits."""

    @pytest.fixture(params=["deployment", "kserve", "knative"])
    def pod(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        """Give the pod that each kind of document asks for."""
        match request.param:
            case "deployment":
                spec: dict[str, Any] = documents(PLACED, TARGET, "s3://store")[0]["spec"]["template"]["spec"]
            case "kserve":
                spec = inference_service(PLACED, TARGET, "s3://store", 0)["spec"]["predictor"]
            case _:
                spec = self.knative()["spec"]["template"]["spec"]
        return spec

    @staticmethod
    def knative() -> dict[str, Any]:
        (data,) = manifests(PLACED, TARGET, "s3://store", idle=True).values()
        (service,) = json.loads(data)["items"]
        document: dict[str, Any] = service
        return document

    def test_no_container_is_root_or_may_write_or_rise(self, pod: dict[str, Any]) -> None:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert all(each["securityContext"] == LOCKED for each in [*pod["initContainers"], *pod["containers"]])
        assert pod["automountServiceAccountToken"] is False

    def test_every_container_has_requests_and_limits_and_a_pinned_image(self, pod: dict[str, Any]) -> None:
        for each in [*pod["initContainers"], *pod["containers"]]:
            assert each["image"] == IMAGE
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= each["resources"][kind].keys()

    def test_it_serves_one_digest_which_no_restart_can_change(self, pod: dict[str, Any]) -> None:
        (server,), (fetching,) = pod["containers"], pod["initContainers"]
        for each in (server, fetching):
            assert each["command"][each["command"].index("--manifest") + 1] == DIGEST
        assert {"name": "package", "mountPath": "/airlock", "readOnly": True} in server["volumeMounts"]
        assert not any(variable["name"] == "AIRLOCK_ARTIFACTS" for variable in server["env"]), "It fetches nothing."
        assert "envFrom" not in server
        assert fetching["envFrom"] == [{"secretRef": {"name": "store"}}]

    def test_it_is_ready_only_when_the_model_is(self, pod: dict[str, Any]) -> None:
        assert pod["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"

    def test_more_servers_come_by_load(self) -> None:
        found = {document["kind"]: document for document in documents(PLACED, TARGET, "s3://store")}
        assert found.keys() == {"Deployment", "Service", "HorizontalPodAutoscaler"}
        assert "replicas" not in found["Deployment"]["spec"], "The autoscaler's to say."
        assert found["HorizontalPodAutoscaler"]["spec"]["maxReplicas"] == 3
        assert found["Service"]["spec"]["selector"] == found["Deployment"]["spec"]["selector"]["matchLabels"]
        still = documents(PLACED, msgspec.structs.replace(TARGET, max_replicas=1), "s3://store")
        assert [document["kind"] for document in still] == ["Deployment", "Service"]
        assert still[0]["spec"]["replicas"] == 1

    def test_a_serverless_one_sleeps_while_nobody_asks(self) -> None:
        service = self.knative()
        assert (service["apiVersion"], service["kind"]) == ("serving.knative.dev/v1", "Service")
        annotations = service["spec"]["template"]["metadata"]["annotations"]
        assert annotations["autoscaling.knative.dev/min-scale"] == "0"
        assert annotations["autoscaling.knative.dev/max-scale"] == "3"
        spec = service["spec"]["template"]["spec"]
        assert len(spec["containers"][0]["ports"]) == 1, "Knative takes one port."
        assert "terminationGracePeriodSeconds" not in spec, "Knative refuses it."
        assert inference_service(PLACED, TARGET, "s3://store", 0)["spec"]["predictor"]["minReplicas"] == 0

    @pytest.mark.parametrize(
        "image",
        ["airlock/server", "airlock/server:latest", "airlock/server:0.1.0", "host:5000/server", "server@sha256:abc",
         "server:sha256-short", "", "server:latest@sha1:" + "a" * 40],
    )  # fmt: skip
    def test_a_mutable_image_is_never_deployable(self, image: str, tmp_path: Path) -> None:
        path = tmp_path / "targets.json"
        path.write_text(json.dumps({"cluster": {"image": image}}))
        with pytest.raises(UserError, match="can be another one tomorrow: name it by digest"):
            read_targets(str(path))

    @pytest.mark.parametrize(
        "image", [IMAGE, "localhost:5000/server@" + DIGEST, "localhost:5000/server:sha256-" + "a" * 12]
    )
    def test_a_pinned_image_is(self, image: str, tmp_path: Path) -> None:
        path = tmp_path / "targets.json"
        path.write_text(json.dumps({"cluster": {"image": image}}))
        assert read_targets(str(path))["cluster"].image == image

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"limits": {"cpu": "1"}}, "`limits` says nothing of memory"),
            ({"requests": {}}, "`requests` says nothing of cpu"),
            ({"replicas": 0}, "`replicas` is not between"),
            ({"replica": 2}, "unknown field `replica`"),
        ],
    )
    def test_a_target_that_is_none(self, fields: dict[str, Any], message: str, tmp_path: Path) -> None:
        path = tmp_path / "targets.json"
        path.write_text(json.dumps({"cluster": {"image": IMAGE} | fields}))
        with pytest.raises(UserError, match=message):
            read_targets(str(path))
