"""What every served package must do: checked against a real server before anybody is asked to release it."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil

from airlock.deployment import badinput
from airlock.deployment.child import PACKAGE, RELEASE, Child
from airlock.deployment.client import ModelClient
from airlock.deployment.config import HEADER
from airlock.deployment.loaded import INPUT
from airlock.deployment.package import Package
from airlock.deployment.served import ServedModel
from airlock.deployment.server import verified_package
from airlock.errors import AirlockError, UserError

START_SECONDS = 120.0
PATHS = ("/v2/models/{name}/infer", "/predict", "/get_config", "/get_legal", "/get_samples", "/metrics")


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried.

    :param detail: what was found, when it failed.
    """

    name: str
    passed: bool
    detail: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried.

    :param tolerance: largest absolute difference of two outputs that count as the same.
    :param start_seconds: from starting the server until it was ready.
    :param resident_bytes: the server's memory after all checks.
    """

    manifest: str
    package: str
    tolerance: float
    start_seconds: float
    resident_bytes: int
    checks: list[Check]

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.passed]

    def require_kept(self) -> None:
        """Fail unless every check passed.

        :raises UserError: names the first five that did not.
        """
        if self.failed:
            named = "; ".join(f"{check.name} ({check.detail})" for check in self.failed[:5])
            raise UserError(
                f"The package fails {len(self.failed)} of {len(self.checks)} checks: {named}.",
                hint="The report names all of them; correct the use case's code and package again.",
            )


class Contract:
    """Tries a live server.

    :param endpoint: URL of the server.
    :param package: what it must be serving.
    :param manifest: digest that every answer must name.
    """

    def __init__(self, endpoint: str, package: Package, manifest: str) -> None:
        self.client = ModelClient(endpoint)
        self.package = package
        self.config = package.config
        self.manifest = manifest
        self.checks: list[Check] = []

    def run(self) -> list[Check]:
        """Try everything and return what was found; nothing is raised for a server that misbehaves."""
        with self.client:
            for check in (self._descriptions, self._openapi, self._metrics, self._parity, self._refusals):
                try:
                    check()
                except AirlockError as error:
                    self._check(check.__name__.strip("_"), False, str(error))
            self._expect("still ready afterwards", "GET", "/v2/health/ready", 200)
        return self.checks

    def _descriptions(self) -> None:
        name = self.config.name
        self._expect("alive", "GET", "/v2/health/live", 200)
        self._expect("ready", "GET", "/v2/health/ready", 200)
        self._expect("model ready", "GET", f"/v2/models/{name}/ready", 200)
        metadata = self._expect("metadata", "GET", f"/v2/models/{name}", 200)
        shape = metadata.get("inputs", [{}])[0].get("shape")
        self._check("metadata names the tensor", shape == [-1, *self.config.input.shape], f"shape {shape}")
        config = self._expect("configuration", "GET", "/get_config", 200).get("config")
        self._check("configuration is the package's", config == msgspec.to_builtins(self.config), f"{config}")
        text = self._expect("licence", "GET", "/get_legal", 200).get("text")
        self._check("licence is the package's", text == self.package.licence, f"{text!r}")
        count = len(self._expect("samples", "GET", "/get_samples", 200).get("samples", []))
        self._check("samples are complete", count == len(self.package.samples), f"{count} samples")

    def _openapi(self) -> None:
        reply = self.client.request("GET", "/openapi.json")
        missing = set(PATHS) - reply.json().get("paths", {}).keys() if reply.is_success else set(PATHS)
        self._check("OpenAPI describes every endpoint", not missing, f"missing: {sorted(missing)}")

    def _metrics(self) -> None:
        reply = self.client.request("GET", "/metrics")
        self._check("metrics name the manifest", f'manifest="{self.manifest}"' in reply.text, reply.text[:200])

    def _parity(self) -> None:
        """Image upload, raw body and tensor must give what the package states."""
        served = ServedModel(self.package)
        for sample in self.package.samples:
            image = self.package.file(sample.file)
            raw = self.client.predict(image).probabilities
            self._compare(f"{sample.file} as a body", list(raw.values()), sample.probabilities)
            form = self._expect(f"{sample.file} as a form", "POST", "/predict", 200, files={"image": image_part(image)})
            self._compare(f"{sample.file} as a form", list(form["probabilities"].values()), sample.probabilities)
        batch = np.stack([served.prepare(self.package.file(sample.file)) for sample in self.package.samples])
        tensor = {"name": INPUT, "datatype": "UINT8", "shape": list(batch.shape), "data": batch.ravel().tolist()}
        path = f"/v2/models/{self.config.name}/infer"
        answer = self._expect("inference protocol", "POST", path, 200, json={"id": "7", "inputs": [tensor]})
        self._check("inference keeps the id", answer.get("id") == "7", str(answer.get("id")))
        stated = [value for sample in self.package.samples for value in sample.probabilities]
        self._compare("inference protocol", answer.get("outputs", [{}])[0].get("data", []), stated)

    def _refusals(self) -> None:
        for case in badinput.cases(self.config, self.package.file(self.package.samples[0].file)):
            reply = self.client.request(case.method, case.path, content=case.body, headers=case.headers)
            self._check(
                f"{case.name}: {case.status}", reply.status_code == case.status, f"answered {reply.status_code}"
            )
            self._stamped(case.name, reply.headers.get(HEADER), reply.text)

    def _expect(self, name: str, method: str, path: str, status: int, **options: Any) -> dict[str, Any]:
        reply = self.client.request(method, path, **options)
        self._check(name, reply.status_code == status, f"answered {reply.status_code}: {reply.text[:200]}")
        self._stamped(name, reply.headers.get(HEADER), reply.text)
        return dict(reply.json()) if reply.is_success else {}

    def _stamped(self, name: str, header: str | None, body: str) -> None:
        if header != self.manifest or self.manifest not in body:
            self._check(f"{name}: the answer names the manifest", False, f"header {header}")

    def _compare(self, name: str, found: list[float], stated: list[float]) -> None:
        difference = max((abs(a - b) for a, b in zip(found, stated, strict=False)), default=float("inf"))
        close = len(found) == len(stated) and difference <= self.config.output.tolerance
        self._check(f"{name}: same output", close, f"differs by {difference:.3g}")

    def _check(self, name: str, passed: bool, detail: str) -> None:
        self.checks.append(Check(name=name, passed=passed, detail="" if passed else detail))


def image_part(image: bytes) -> tuple[str, bytes, str]:
    """Return a file field of a form."""
    return "sample.png", image, "image/png"


def try_package(folder: Path, manifest: str) -> Report:
    """Start the real server on a folder with ``package/`` and ``release.json``, try everything, stop it."""
    package = verified_package(folder / PACKAGE, manifest, folder / RELEASE)
    child = Child(folder, manifest, package.config.name, folder / "server.log")
    try:
        seconds = child.wait_ready(START_SECONDS)
        checks = Contract(child.url, package, manifest).run()
        memory = psutil.Process(child.pid).memory_info().rss
    finally:
        child.stop()
    return Report(
        manifest=manifest,
        package=package.digest,
        tolerance=package.config.output.tolerance,
        start_seconds=round(seconds, 3),
        resident_bytes=memory,
        checks=checks,
    )
