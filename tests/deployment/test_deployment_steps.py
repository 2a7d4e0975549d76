"""Package, contract test, deploy and smoke test as their operators run them, on real stores and a real reconciler."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from airlock.deployment.package import Package, read_package
from airlock.deployment.served import ServedModel
from airlock.digests import digest_bytes
from airlock.governance import manifest as manifests
from airlock.governance.evaluations import Compression, Measured
from airlock.governance.manifest import CandidateManifest, ReleaseManifest
from airlock.model.tensors import SPLITS, Split, save_split
from airlock.references import Artifact, LabelSet, ModelVersion, TrackingRun
from airlock.settings import Settings
from airlock.steps.contract import Result, RunInfo, Spec
from airlock.steps.runner import run_spec
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.datasets import open_datasets
from airlock.stores.ledger import Ledger
from tests.deployment.serving_machine import Machine

pytestmark = pytest.mark.integration
CLASSES = ["left", "right", "top"]


class Tracking:
    """An MLflow that knows one call: setting an alias."""

    def __init__(self) -> None:
        self.aliases: list[dict[str, str]] = []
        aliases = self.aliases

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the standard library's name
                aliases.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def tracking() -> Iterator[Tracking]:
    found = Tracking()
    thread = threading.Thread(target=found.server.serve_forever)
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest.fixture
def site(machine: Machine, tracking: Tracking) -> Machine:
    """Give a machine whose steps reach its stores, its gateway and the tracking server."""
    machine.settings = msgspec.structs.replace(machine.settings, tracking=tracking.url)
    return machine


@pytest.fixture
def step(site: Machine) -> Callable[..., Result]:
    """Give ``step(name, **inputs)``."""
    number = 0

    def run(name: str, **inputs: Any) -> Result:
        nonlocal number
        number += 1
        info = RunInfo(dag="test", run="run", task=name, attempt=number)
        spec = Spec(step=name, inputs=msgspec.to_builtins(inputs), run=info, result=f"results/{number}.json")
        return run_spec(spec, site.settings)

    return run


@pytest.fixture
def parts(
    artifacts: ArtifactStore,
    store_settings: Settings,
    models: dict[str, bytes],
    package: Package,
    png: Callable[..., bytes],
    tmp_path: Path,
) -> dict[str, Any]:
    """Give the inputs of the package step, as training and compression leave them."""
    images = {digest_bytes(image)[7:]: (label, image) for label in CLASSES for image in (png(label), png(label, 200))}
    rows = {"sample_id": list(images), "content": [image for _, image in images.values()]}
    dataset, _ = open_datasets(store_settings.datasets).commit("shapes", pa.table(rows), {})
    served = ServedModel(package)
    split = Split(
        np.stack([served.prepare({"image": image})["image"] for _, image in images.values()]),
        np.array([CLASSES.index(label) for label, _ in images.values()], np.int64),
        np.array(list(images), "S64"),
    )
    folder = tmp_path / "tensors"
    folder.mkdir()
    for name in SPLITS:
        save_split(folder, name, split)
    nothing = artifacts.put(b"{}")
    model = artifacts.put(models["soft"])
    measured = Measured(bytes=model.size, accuracy=1.0, p50_ms=0.1, p99_ms=0.2)
    comparison = Compression(method="none", original=measured, compressed=measured, points_lost=0.0, ratio=1.0)
    candidate = CandidateManifest(
        use_case="shapes",
        classes=CLASSES,
        data=nothing.digest,
        dataset=dataset,
        labels=LabelSet(digest=nothing.digest, dataset=dataset.digest, rows=6),
        tensors=artifacts.put_tree(folder),
        model=nothing,
        evaluation=nothing,
        picture=nothing,
        run=TrackingRun(run_id="1", experiment="shapes"),
        version=ModelVersion(name="shapes", version="3"),
        transform_code=artifacts.put(package.file("preprocessing.py")),
        network_code=nothing,
        parameters={},
        seed=0,
        metrics={"accuracy": 1.0},
        code={},
        environment={},
    )
    return {
        "use_case": "shapes",
        "manifest": manifests.put(artifacts, candidate),
        "model": model,
        "comparison": artifacts.put(msgspec.json.encode(comparison)),
        "original": model,
        "licence": None,
        "licences": {"code": "Apache-2.0", "data": "CC0-1.0"},
    }


@pytest.fixture
def packaged(step: Callable[..., Result], parts: dict[str, Any]) -> dict[str, Any]:
    """Give the outputs of the package step."""
    result = step("package", **parts)
    assert result.failure is None
    return result.outputs


def _release(packaged: dict[str, Any]) -> Artifact:
    return msgspec.convert(packaged["manifest"], Artifact)


class TestPackageStep:
    def test_packages_one_sample_of_each_class(
        self, packaged: dict[str, Any], artifacts: ArtifactStore, tmp_path: Path, parts: dict[str, Any]
    ) -> None:
        release = manifests.load(artifacts, packaged["manifest"]["digest"], ReleaseManifest)
        package = read_package(artifacts.fetch(release.package, tmp_path / "fetched"))
        package.require(packaged["package"]["digest"])
        assert [sample.label for sample in package.samples] == CLASSES
        assert package.config.manifest == release.candidate == parts["manifest"].digest
        assert release.metrics["bytes"] == parts["model"].size
        ServedModel(package).require_samples()

    def test_again_makes_the_same_release(
        self, step: Callable[..., Result], packaged: dict[str, Any], parts: dict[str, Any]
    ) -> None:
        assert step("package", **parts).outputs == packaged

    def test_refuses_preprocessing_that_differs_from_training(
        self, step: Callable[..., Result], parts: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        candidate = manifests.load(artifacts, parts["manifest"].digest, CandidateManifest)
        code = artifacts.read(candidate.transform_code.digest).replace(b"np.newaxis]", b"np.newaxis] // 2")
        changed = msgspec.structs.replace(candidate, transform_code=artifacts.put(code))
        failure = step("package", **parts | {"manifest": manifests.put(artifacts, changed)}).failure
        assert failure
        assert "becomes another tensor when it is served" in failure.message

    def test_refuses_the_comparison_of_another_model(
        self, step: Callable[..., Result], parts: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        failure = step("package", **parts | {"model": artifacts.put(b"another model")}).failure
        assert failure
        assert "the model has 13" in failure.message

    def test_refuses_another_use_case(self, step: Callable[..., Result], parts: dict[str, Any]) -> None:
        failure = step("package", **parts | {"use_case": "fashion"}).failure
        assert failure
        assert "belongs to 'shapes'" in failure.message


class TestContractTestStep:
    def test_passes_and_reports_every_check(
        self, step: Callable[..., Result], packaged: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        result = step("contract_test", **packaged)
        assert result.failure is None
        report = json.loads(artifacts.read(result.outputs["report"]["digest"]))
        assert len(report["checks"]) == result.outputs["checks"] > 50
        assert report["tolerance"] == 0.005
        memory = report["resident_bytes"] / 1e6
        print(f"contract test: {result.ended - result.started:.1f} s for {result.outputs['checks']} checks")
        print(f"server: ready after {report['start_seconds']} s, {memory:.0f} MB resident")

    def test_fails_a_model_that_answers_otherwise_than_packaged(
        self,
        step: Callable[..., Result],
        release_of: Callable[[Package], Artifact],
        make_package: Callable[..., Package],
        artifacts: ArtifactStore,
    ) -> None:
        package, other = make_package("soft"), make_package("sharp")
        release = release_of(Package(package.files | {"model.tflite": other.files["model.tflite"]}))
        tree = manifests.load(artifacts, release.digest, ReleaseManifest).package
        failure = step("contract_test", package=tree, manifest=release).failure
        assert failure
        assert (failure.category, "samples differ" in failure.message) == ("user", True)

    def test_refuses_a_manifest_of_another_package(
        self,
        step: Callable[..., Result],
        packaged: dict[str, Any],
        release_of: Callable[[Package], Artifact],
        package: Package,
    ) -> None:
        failure = step("contract_test", package=packaged["package"], manifest=release_of(package)).failure
        assert failure
        assert "another package" in failure.message


class TestDeployAndSmokeTest:
    def test_serve_the_approved_release_and_write_it_down_once(
        self, site: Machine, step: Callable[..., Result], packaged: dict[str, Any], tracking: Tracking
    ) -> None:
        release = _release(packaged)
        decision = site.approve(release)
        site.start()
        deployed = step("deploy", use_case="shapes", manifest=release, gate="release")
        assert deployed.failure is None
        assert deployed.outputs["manifest_digest"] == release.digest
        assert deployed.outputs["changed"] is True
        assert tracking.aliases == [{"name": "shapes", "version": "3", "alias": "champion"}]

        again = step("deploy", use_case="shapes", manifest=release, gate="release")
        assert again.outputs == deployed.outputs | {"changed": False}
        records = [record.body for record in Ledger(site.database).records() if record.kind == "deployment"]
        assert [(record["manifest"], record["decision"]) for record in records] == [(release.digest, decision)]

        smoke = step("smoke_test", endpoint=deployed.outputs["endpoint"], manifest=release)
        assert smoke.failure is None
        assert smoke.outputs["prediction"] == "left"
        print(f"deploy {deployed.ended - deployed.started:.1f} s, again {again.ended - again.started:.2f} s; "
              f"p50 {smoke.outputs['p50_ms']} ms, p99 {smoke.outputs['p99_ms']} ms through the gateway")  # fmt: skip

    def test_the_next_release_goes_through_staging_and_a_canary_of_samples(
        self,
        site: Machine,
        step: Callable[..., Result],
        packaged: dict[str, Any],
        release_of: Callable[[Package], Artifact],
        make_package: Callable[..., Package],
    ) -> None:
        first, second = release_of(make_package("sharp")), _release(packaged)
        decision = site.approve(first)
        site.approve(second)
        site.start()
        site.deployments.want("shapes", "local", first.digest, decision)
        site.wait_served(first)
        site.wait_state("ready")
        given = {"use_case": "shapes", "manifest": second, "gate": "release"}
        staged = step("deploy", target="staging", **given)
        assert staged.failure is None
        assert staged.outputs["endpoint"] == f"{site.settings.serving}/shapes@staging"
        assert step("smoke_test", endpoint=staged.outputs["endpoint"], manifest=second, requests=3).failure is None
        assert site.serves() == first.digest

        plan = {"shares": [0.5, 1.0], "requests": 10, "seconds": 0, "patience": 0, "synthetic": True}
        compared = step("canary", rollout=plan, **given)
        assert compared.failure is None
        assert 0.3 < compared.outputs["share"] < 1
        deployed = step("deploy", after=compared.outputs["generation"], **given)
        assert deployed.failure is None
        assert site.serves() == second.digest
        told = [(record.kind, record.body.get("event")) for record in Ledger(site.database).records()]
        assert told[-4:] == [("rollout", "staged"), ("rollout", "share"), ("rollout", "share"), ("deployment", None)]
        site.wait(lambda: len(site.servers()) == 1, seconds=15, what="staging and the champion before are gone")
        assert step("canary", rollout=plan, **given).outputs["share"] == 0.0, "It serves already."

        again = step("deploy", after=compared.outputs["generation"], **given)
        assert again.outputs["changed"] is False, "A cleared task finds its work done."

    def test_smoke_test_fails_when_another_release_serves(
        self,
        site: Machine,
        step: Callable[..., Result],
        packaged: dict[str, Any],
        release_of: Callable[[Package], Artifact],
        make_package: Callable[..., Package],
    ) -> None:
        serving = release_of(make_package("sharp"))
        site.approve(serving)
        site.start()
        site.want(serving)
        site.wait_served(serving)
        endpoint = f"{site.settings.serving}/shapes"
        failure = step("smoke_test", endpoint=endpoint, manifest=_release(packaged), requests=3).failure
        assert failure
        assert serving.digest in failure.message

    def test_without_approval_nothing_is_wanted(
        self, site: Machine, step: Callable[..., Result], packaged: dict[str, Any]
    ) -> None:
        failure = step("deploy", use_case="shapes", manifest=_release(packaged), gate="release").failure
        assert failure
        assert (failure.kind, "no decision about" in failure.message) == ("NotApproved", True)
        assert site.deployments.wanted("local") == []

    def test_altered_package_is_not_deployed(
        self, site: Machine, step: Callable[..., Result], packaged: dict[str, Any], artifacts: ArtifactStore
    ) -> None:
        release = _release(packaged)
        site.approve(release)
        digest = manifests.load(artifacts, release.digest, ReleaseManifest).model.digest[7:]
        path = Path(site.settings.home, "artifacts", "objects", digest[:2], digest[2:])
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        failure = step("deploy", use_case="shapes", manifest=release, gate="release").failure
        assert failure
        assert (failure.kind, "was altered" in failure.message) == ("IntegrityError", True)
        assert site.deployments.wanted("local") == []

    def test_without_a_reconciler_deploy_says_so_as_infrastructure(
        self, site: Machine, step: Callable[..., Result], packaged: dict[str, Any]
    ) -> None:
        release = _release(packaged)
        site.approve(release)
        failure = step("deploy", use_case="shapes", manifest=release, gate="release", timeout=1.0).failure
        assert failure
        assert (failure.category, "reconciler" in failure.hint) == ("infrastructure", True)

    def test_deploys_what_was_refused_while_the_public_key_was_missing(
        self, site: Machine, step: Callable[..., Result], packaged: dict[str, Any]
    ) -> None:
        release = _release(packaged)
        site.approve(release)
        site.deployments.want("shapes", "local", release.digest, "")  # a wish made by hand, refused before
        for key in Path(site.settings.public_keys).glob("*.pem"):
            key.rename(key.with_suffix(".away"))
        site.start()
        site.wait_state("refused")
        for key in Path(site.settings.public_keys).glob("*.away"):
            key.rename(key.with_suffix(".pem"))
        assert step("deploy", use_case="shapes", manifest=release, gate="release").failure is None
