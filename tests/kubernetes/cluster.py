"""A real single-node cluster for the tests, and what tests do to it behind Airlock's back."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

NODE = "local-node"
GPU = "nvidia.com~1gpu"


class TestCluster:
    """The cluster of ``cluster.sh``.

    :param kubeconfig: an administrator's.
    """

    __test__ = False

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """Run kubectl; return what it says."""
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), "-n", self.namespace, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0 or not check, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def answers(self) -> bool:
        """Whether it is there."""
        return self.kubeconfig.exists() and self.kubectl("get", "--raw", "/readyz", check=False) == "ok"

    def pods(self, **labels: str) -> list[dict[str, Any]]:
        """The pods there are, being deleted or not."""
        chosen = ",".join(f"airlock/{name.replace('_', '-')}={value}" for name, value in labels.items())
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", "pods", "-o", "json", "-l", chosen))["items"]
        return found

    def running(self, seconds: float = 90, **labels: str) -> str:
        """Wait for a running pod; return its name."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for pod in self.pods(**labels):
                if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]:
                    return str(pod["metadata"]["name"])
            time.sleep(0.3)
        pytest.fail(f"no pod {labels} runs after {seconds} s: {self.kubectl('get', 'pods', '-o', 'wide')}")

    def logged(self, pod: str, text: str, seconds: float = 90) -> None:
        """Wait until a pod has said something."""
        end = time.monotonic() + seconds
        while text not in self.kubectl("logs", pod, check=False):
            assert time.monotonic() < end, f"{pod} did not say {text!r}"
            time.sleep(0.3)

    def gone(self, seconds: float = 150, **labels: str) -> bool:
        """Whether there is no pod any more, after a while; says which there are.

        A kubelet that missed a container's end looks again within 90 s: its ``syncFrequency``, and half as much.
        """
        end = time.monotonic() + seconds
        while left := self.pods(**labels):
            if time.monotonic() > end:
                for pod in left:
                    print(json.dumps({part: pod[part] for part in ("metadata", "status")}))
                return False
            time.sleep(0.3)
        return True

    def set_gpus(self, number: int | None) -> None:
        """Let the node say that it has GPUs; ``None`` for that it never heard of them.

        Returns when it says so: what may be placed on it follows at the kubelet's next report, seconds later.
        """
        change: dict[str, Any] = {"op": "remove", "path": f"/status/capacity/{GPU}"}
        if number is not None:
            change = {"op": "add", "path": f"/status/capacity/{GPU}", "value": str(number)}
        self.status(change)
        end = time.monotonic() + 60
        while (given := self._allocatable().get("nvidia.com/gpu", "0")) != str(number or 0):
            assert time.monotonic() < end, f"The node gives {given} GPUs, not {number}."
            time.sleep(0.3)

    def _allocatable(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.kubectl("get", "node", NODE, "-o", "json"))["status"]["allocatable"]
        return found

    def status(self, change: dict[str, Any]) -> None:
        """Patch the node's status, which kubectl of this version cannot."""
        from kubernetes import client, config

        api = client.ApiClient(config.load_kube_config(str(self.kubeconfig)))
        client.CoreV1Api(api).patch_node_status(NODE, [change])


def processes(argument: str) -> list[psutil.Process]:
    """The processes of this machine, in pods or not, one of whose arguments ends so."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(part.endswith(argument) for part in process.info["cmdline"] or ())
    ]


def script() -> Path:
    """The script that starts and stops the cluster: ``AIRLOCK_CLUSTER``, or the one beside the checkout."""
    beside = Path(__file__).parents[3] / "shared" / "kubernetes" / "cluster.sh"
    found = Path(os.environ.get("AIRLOCK_CLUSTER", beside))
    if not found.is_file():
        pytest.skip(f"no Kubernetes at {found}: name a script that knows `up` and `down` with AIRLOCK_CLUSTER")
    if os.geteuid() != 0:
        pytest.skip("a Kubernetes node is started by root only")
    return found


def state_folder() -> Path:
    """Where the script keeps the cluster."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("K8S_HOME", cache / "airlock-kubernetes"))
