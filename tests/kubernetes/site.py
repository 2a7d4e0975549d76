"""A whole stack whose steps and models run on the cluster: its settings say so, the DAG files are the laptop's."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import msgspec
import pytest
from rich.console import Console

from airlock.launcher.stack import down, up
from tests.integration.conftest import DAGS, Stack, free_ports
from tests.integration.labelling import prepare_studio
from tests.kubernetes.cluster import TestCluster, state_folder
from tests.kubernetes.profile import host_profile
from tests.services import environment, radosgw

TARGET = "cluster"
COMPUTE = "trained.*=cpu digits_model.train=gpu:1 digits_model.*=cpu fashion_model.*=cpu"
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
    with site(cluster, host_image, plugins) as stack:
        stack.wait_for_dags("digits_data", "digits_model", "digits_deployment", "trained")
        yield stack


@contextmanager
def site(cluster: TestCluster, image: str, plugins: Path, studio: Path | None = None) -> Iterator[Stack]:
    """Start such a stack.

    :param studio: data of a Label Studio that is to run beside it.
    """
    if reason := radosgw.missing():
        pytest.skip(reason)
    console = Console(force_terminal=False)
    with ExitStack() as stays:
        server = stays.enter_context(radosgw.running())
        stays.enter_context(environment(server.environment))
        boto3.client("s3").create_bucket(Bucket="airlock")
        home = Path(
            stays.enter_context(tempfile.TemporaryDirectory(prefix="airlock-stack-", ignore_cleanup_errors=True))
        )
        secret = [f"--from-literal={name}={value}" for name, value in server.environment.items()]
        named = f"store-{uuid4().hex[:8]}"
        cluster.kubectl("create", "secret", "generic", named, *secret)
        stays.callback(cluster.kubectl, "delete", "secret", named)
        where = STORES | {"compute": COMPUTE, "target": TARGET} | _files(home, cluster, image, plugins, named)
        (home / "settings.json").write_bytes(msgspec.json.encode(where))
        if studio:
            prepare_studio(home, studio)
        stays.callback(down, home, console=console)
        up(home, port_base=free_ports(), console=console, dags=DAGS, labelling=studio is not None)
        stack = Stack(home)
        connection = {
            "connection_id": "kubernetes_default",
            "conn_type": "kubernetes",
            "extra": json.dumps({"kube_config_path": str(cluster.kubeconfig)}),
        }
        assert stack.person("Admin").client.post("/connections", json=connection).status_code == 201
        yield stack


def _files(home: Path, cluster: TestCluster, image: str, plugins: Path, secret: str) -> dict[str, str]:
    """Write what compute profiles and targets are; return the settings that name the files."""
    gpu = {"memory": "1500Mi", "nvidia.com/gpu": "1"}
    profiles = {
        "cpu": host_profile([home], plugins, amount="cpu"),
        "gpu": host_profile([home], plugins, amount="nvidia.com/gpu", resources=gpu, schedule_timeout=300),
    }
    target = serving_target(cluster, image, profiles["cpu"], credentials=secret)
    documents = {"profiles": profiles, "targets": {TARGET: target}}
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
