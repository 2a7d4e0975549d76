"""A whole stack whose steps and models run on the cluster: its settings say so, the DAG files are the laptop's."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from rich.console import Console

from airlock.launcher.stack import down, up
from tests.integration.conftest import DAGS, Stack, free_ports
from tests.kubernetes.cluster import TestCluster, state_folder
from tests.kubernetes.profile import host_profile
from tests.services import radosgw

TARGET = "cluster"
COMPUTE = "trained.*=cpu digits_model.train=gpu:1 digits_model.*=cpu"
STORES = {name: f"s3://airlock/{name}" for name in ("artifacts", "datasets", "sealed")}


@pytest.fixture(scope="session")
def host_image(cluster: TestCluster) -> str:
    """Give the host image under a tag that is its digest."""
    socket = state_folder() / "run" / "containerd.sock"
    ctr = ["ctr", "-a", str(socket), "-n", "k8s.io", "images"]
    listed = subprocess.run([*ctr, "ls", "name==localhost/host:1"], capture_output=True, text=True, check=True).stdout
    digest = next(word for word in listed.split() if word.startswith("sha256:"))
    name = f"localhost/host:{digest.replace(':', '-')[:31]}"
    subprocess.run([*ctr, "tag", "--force", "localhost/host:1", name], capture_output=True, check=True)
    return name


@pytest.fixture(scope="session")
def cluster_stack(cluster: TestCluster, host_image: str, plugins: Path) -> Iterator[Stack]:
    """Start the stack once, on S3; its people are as everywhere."""
    if reason := radosgw.missing():
        pytest.skip(reason)
    console = Console(force_terminal=False)
    with ExitStack() as stays:
        server = stays.enter_context(radosgw.running())
        patch = stays.enter_context(pytest.MonkeyPatch.context())
        for name, value in server.environment.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="airlock")
        home = Path(
            stays.enter_context(tempfile.TemporaryDirectory(prefix="airlock-stack-", ignore_cleanup_errors=True))
        )
        secret = [f"--from-literal={name}={value}" for name, value in server.environment.items()]
        cluster.kubectl("create", "secret", "generic", "store", *secret)
        where = STORES | {"compute": COMPUTE, "target": TARGET} | _files(home, cluster, host_image, plugins)
        (home / "settings.json").write_bytes(msgspec.json.encode(where))
        stays.callback(down, home, console=console)
        up(home, port_base=free_ports(), console=console, dags=DAGS)
        stack = Stack(home)
        connection = {
            "connection_id": "kubernetes_default",
            "conn_type": "kubernetes",
            "extra": json.dumps({"kube_config_path": str(cluster.kubeconfig)}),
        }
        assert stack.person("Admin").client.post("/connections", json=connection).status_code == 201
        stack.wait_for_dags("digits_data", "digits_model", "digits_deployment", "trained")
        yield stack


def _files(home: Path, cluster: TestCluster, image: str, plugins: Path) -> dict[str, str]:
    """Write what compute profiles and targets are; return the settings that name the files."""
    gpu = {"memory": "1500Mi", "nvidia.com/gpu": "1"}
    profiles = {
        "cpu": host_profile([home], plugins, amount="cpu"),
        "gpu": host_profile([home], plugins, amount="nvidia.com/gpu", resources=gpu, schedule_timeout=300),
    }
    documents = {"profiles": profiles, "targets": {TARGET: serving_target(cluster, image, profiles["cpu"])}}
    for name, document in documents.items():
        (home / f"{name}-of-the-site.json").write_text(json.dumps(document))
    return {name: str(home / f"{name}-of-the-site.json") for name in documents}


def serving_target(cluster: TestCluster, image: str, profile: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a target whose pods see the machine's own file system in place of an image, as users without rights."""
    pod = profile["pod"]
    (mounts,) = [container["volumeMounts"] for container in pod["containers"]]
    target = {
        "image": image,
        "namespace": cluster.namespace,
        "kubeconfig": str(cluster.kubeconfig),
        "credentials": "store",
        "port": 0,
        "requests": {"cpu": "50m", "memory": "128Mi"},
        "limits": {"cpu": "2", "memory": "700Mi"},
        "environment": {key: value for key, value in profile["environment"].items() if key != "HOME"},
        "pod": {
            "hostNetwork": True,
            "volumes": pod["volumes"],
            "initContainers": [{"name": "fetch", "volumeMounts": mounts}],
            "containers": [{"name": "server", "volumeMounts": mounts}],
        },
    }
    return target | more
