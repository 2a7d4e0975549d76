"""A release on a real cluster: served by pods that name it, promoted and rolled back as a canary."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from airlock.deployment.canary import Canary, RolledBack
from airlock.deployment.client import ModelClient
from airlock.deployment.kubernetes.documents import USER
from airlock.deployment.package import Package
from airlock.deployment.plan import Plan
from airlock.deployment.rollout import Rollout, roll_out
from airlock.errors import AirlockError
from airlock.references import Artifact
from airlock.settings import Settings
from airlock.stores.database import Database
from airlock.stores.ledger import Ledger
from tests.deployment.conftest import Machine, artifacts, make_package, models, png, release_of, wait
from tests.kubernetes.cluster import TestCluster
from tests.kubernetes.profile import host_profile
from tests.kubernetes.site import serving_target

__all__ = ["artifacts", "make_package", "models", "png", "release_of", "wait"]

pytestmark = pytest.mark.kubernetes
SHAPES = "airlock/use-case=shapes"
PLAN = Plan(shares=[0.5], requests=20, seconds=0.5, patience=30)


@pytest.fixture
def site(
    cluster: TestCluster,
    host_image: str,
    store_settings: Settings,
    database: Database,
    guard_database: Database,
    free_port: int,
    wait: Callable[..., float],
    plugins: Path,
    tmp_path: Path,
) -> Iterator[Machine]:
    """Give a machine whose reconciler serves on the cluster: pods of a user without rights, which see its files."""
    home = Path(store_settings.home)
    target = serving_target(cluster, host_image, host_profile([home], plugins), credentials="")
    path = tmp_path / "targets.json"
    path.write_text(json.dumps({"cluster": target}))
    settings = msgspec.structs.replace(store_settings, serving=f"http://127.0.0.1:{free_port}", targets=str(path))
    found = Machine(settings, database, guard_database, wait)
    try:
        yield found
    finally:
        found.stop()
        cluster.kubectl("delete", "deployments,services", "-l", SHAPES, "--wait=false")


class People:
    """Ask all the time."""

    def __init__(self, endpoint: str, png: Callable[..., bytes]) -> None:
        self.endpoint = endpoint
        self.png = png

    def ask(self, number: int) -> None:
        with ModelClient(self.endpoint) as client:
            for at in range(number):
                with suppress(AirlockError):
                    client.predict(self.png(("left", "right", "top")[at % 3], size=16))

    @contextmanager
    def asking(self) -> Iterator[None]:
        stop = threading.Event()

        def go_on() -> None:
            while not stop.wait(0.02):
                self.ask(3)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(go_on)
            try:
                yield
            finally:
                stop.set()


class TestARollout:
    def test_on_the_cluster(
        self,
        site: Machine,
        cluster: TestCluster,
        release_of: Callable[[Package], Artifact],
        make_package: Callable[..., Package],
        png: Callable[..., bytes],
    ) -> None:
        """One journey, because pods are slow: first served, restarted, a canary promoted, a canary rolled back."""
        endpoint = f"{site.settings.serving}/shapes@cluster"
        people, ledger = People(endpoint, png), Ledger(site.database)

        def approved(package: Package) -> Rollout:
            release = release_of(package)
            _readable(Path(site.settings.home))
            return Rollout(use_case="shapes", manifest=release.digest, decision=site.approve(release),
                           endpoint=endpoint, target="cluster")  # fmt: skip

        def canary(rollout: Rollout) -> Canary:
            return Canary(rollout, PLAN, site.deployments, ledger, lambda: people.ask(20), lambda *_: None)

        first, second, stuck = (approved(make_package(name)) for name in ("soft", "sharp", "stuck"))
        site.start()
        started = time.monotonic()
        roll_out(first, site.deployments, 90, lambda *_: None)
        print(f"served by a pod {time.monotonic() - started:.1f} s after it was wanted")
        (pod,) = _pods(cluster)
        _is_locked(pod)
        assert _user(pod) == USER

        # A pod that starts again serves the same bytes: nothing in it can lead to others.
        cluster.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
        before = pod["metadata"]["uid"]
        site.wait(lambda: any(each["metadata"]["uid"] != before for each in _pods(cluster)) and _answers(endpoint),
                  seconds=60, what="another pod serves")  # fmt: skip
        assert _answers(endpoint) == first.manifest

        with people.asking():
            outcome = canary(second).run()
        assert 0.35 < outcome.figures["share"] < 0.65, "The share is what the pods counted."
        served = {each["metadata"]["name"] for each in _pods(cluster)}
        assert len(served) == 2
        assert outcome.generation is not None
        roll_out(second, site.deployments, 60, lambda *_: None, expected=outcome.generation)
        site.wait(lambda: len(_pods(cluster)) == 1, seconds=60, what="the champion before is gone")
        assert {each["metadata"]["name"] for each in _pods(cluster)} < served, "Promoted where it ran."

        with people.asking(), pytest.raises(RolledBack, match="other labels are predicted"):
            canary(stuck).run()
        site.wait(lambda: len(_pods(cluster)) == 1, seconds=60, what="the canary is gone")
        assert _answers(endpoint) == second.manifest
        kinds = [(record.kind, record.body.get("share")) for record in ledger.records()
                 if record.kind in ("rollout", "rollback")]  # fmt: skip
        assert kinds == [("rollout", 0.5), ("rollout", 0.5), ("rollback", None)]

        managers = {each["manager"] for each in _deployment(cluster)["metadata"]["managedFields"]}
        assert "airlock" in managers
        site.stop()
        assert len(_pods(cluster)) == 1, "Pods outlive the reconciler."


def _pods(cluster: TestCluster) -> list[dict[str, Any]]:
    found = json.loads(cluster.kubectl("get", "pods", "-o", "json", "-l", SHAPES))["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def _deployment(cluster: TestCluster) -> dict[str, Any]:
    """As the server has it: kubectl leaves out who manages which fields."""
    path = f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments?labelSelector={SHAPES.replace('/', '%2F')}"
    (found,) = json.loads(cluster.kubectl("get", "--raw", path))["items"]
    document: dict[str, Any] = found
    return document


def _is_locked(pod: dict[str, Any]) -> None:
    for container in [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
        assert "sha256-" in container["image"]


def _user(pod: dict[str, Any]) -> int:
    """Whose process it is, as the machine sees it."""
    wanted = {pod["metadata"]["annotations"]["airlock/manifest"], "0.0.0.0"}
    running = psutil.process_iter(["cmdline"])
    (owner,) = {each.uids().real for each in running if wanted <= set(each.info["cmdline"] or ())}
    return owner


def _answers(endpoint: str) -> str | None:
    with ModelClient(endpoint) as client:
        return client.manifest()


def _readable(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
