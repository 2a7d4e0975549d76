"""What every server of a package must do, whatever its inputs and outputs are: checked against a live one."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from airlock.deployment import badinput
from airlock.deployment.answers import apart, difference, to_json
from airlock.deployment.client import ModelClient
from airlock.deployment.config import HEADER, Sample
from airlock.deployment.package import Package
from airlock.deployment.report import Check
from airlock.deployment.served import ServedModel
from airlock.errors import AirlockError

PATHS = ("/v2/models/{name}/infer", "/predict", "/get_config", "/get_legal", "/get_samples", "/metrics")


class Contract:
    """Tries a live server.

    :param endpoint: URL of the server.
    :param package: what it must be serving.
    :param manifest: digest that every answer must name.
    """

    def __init__(self, endpoint: str, package: Package, manifest: str) -> None:
        # Longer than an answer may take: what is too slow is measured, not cut off.
        self.client = ModelClient(endpoint, timeout=2 * package.config.limits.seconds + 10)
        self.package = package
        self.config = package.config
        self.manifest = manifest
        self.checks: list[Check] = []
        self.slowest = 0.0
        self._served = ServedModel(package)
        self._group = ""

    def run(self) -> list[Check]:
        """Try everything and return what was found; nothing is raised for a server that misbehaves."""
        tries = {"endpoints": self._endpoints, "answers": self._answers, "limits": self._refusals}
        with self.client:
            for self._group, attempt in tries.items():
                try:
                    attempt()
                except AirlockError as error:
                    self._check("the server answers", False, error.message)
            self._expect("still ready afterwards", "GET", "/v2/health/ready", 200)
        return self.checks

    def _endpoints(self) -> None:
        self._descriptions()
        self._legal()
        reply = self.client.request("GET", "/openapi.json")
        missing = set(PATHS) - reply.json().get("paths", {}).keys() if reply.is_success else set(PATHS)
        self._check("OpenAPI describes every endpoint", not missing, f"missing: {sorted(missing)}")
        reply = self.client.request("GET", "/metrics")
        self._check("metrics name the manifest", f'manifest="{self.manifest}"' in reply.text, reply.text[:200])

    def _descriptions(self) -> None:
        name = self.config.name
        self._expect("alive", "GET", "/v2/health/live", 200)
        self._expect("ready", "GET", "/v2/health/ready", 200)
        self._expect("model ready", "GET", f"/v2/models/{name}/ready", 200)
        metadata = self._expect("metadata", "GET", f"/v2/models/{name}", 200)
        shapes = {each.get("name"): each.get("shape") for each in metadata.get("inputs", [])}
        stated = {each.name: [-1, *each.shape] for each in self.config.inputs}
        self._check("metadata names the tensors", shapes == stated, f"{shapes}")

    def _legal(self) -> None:
        config = self._expect("configuration", "GET", "/get_config", 200).get("config")
        self._check("configuration is the package's", config == msgspec.to_builtins(self.config), f"{config}")
        text = self._expect("licence", "GET", "/get_legal", 200).get("text")
        self._check("licence is the package's", text == self.package.licence, f"{text!r}")
        count = len(self._expect("samples", "GET", "/get_samples", 200).get("samples", []))
        self._check("samples are complete", count == len(self.package.samples), f"{count} samples")

    def _answers(self) -> None:
        """Body, form and tensor must give what the package states."""
        for sample in self.package.samples:
            sent = self.package.sent(sample)
            body, kind = self.package.body(sample)
            wanted = msgspec.json.decode(to_json(self._served.predict(sent, sample.types)))
            self._predicted(f"{sample.file} as a body", wanted, content=body, headers={"Content-Type": kind})
            files = {name: (name, data, sample.types[name]) for name, data in sent.items()}
            self._predicted(f"{sample.file} as a form", wanted, files=files)
        self._inference()

    def _predicted(self, name: str, wanted: Mapping[str, Any], **options: Any) -> None:
        started = time.perf_counter()
        found = self._expect(name, "POST", "/predict", 200, **options)
        self.slowest = max(self.slowest, time.perf_counter() - started)
        self._close(name, apart(found, wanted), self.config.tolerance)

    def _inference(self) -> None:
        samples = self.package.samples
        tensors = [self._served.prepare(self.package.sent(each), each.types, each.file) for each in samples]
        batch = {each.name: np.stack([row[each.name] for row in tensors]) for each in self.config.inputs}
        asked = {"id": "7", "inputs": [badinput.v2_tensor(name, values) for name, values in batch.items()]}
        answer = self._expect("inference protocol", "POST", f"/v2/models/{self.config.name}/infer", 200, json=asked)
        self._check("inference keeps the id", answer.get("id") == "7", str(answer.get("id")))
        given = {each.get("name"): each.get("data", []) for each in answer.get("outputs", [])}
        for output in self.config.arrays:
            found = np.asarray(given.get(output.name, []), np.float64).ravel()
            off = difference(found, _stated(samples, output.name))
            self._close(f"inference protocol, {output.name}", off, output.tolerance)

    def _refusals(self) -> None:
        sample = self.package.samples[0]
        sent = self.package.sent(sample)
        tensors = self._served.prepare(sent, sample.types, sample.file)
        for case in badinput.cases(self.config, sample, sent, tensors):
            reply = self.client.request(case.method, case.path, content=case.body, headers=case.headers)
            right = reply.status_code == case.status
            self._check(f"{case.name}: {case.status}", right, f"answered {reply.status_code}: {reply.text[:200]}")
            self._stamped(case.name, reply.headers.get(HEADER), reply.text)

    def _expect(self, name: str, method: str, path: str, status: int, **options: Any) -> dict[str, Any]:
        reply = self.client.request(method, path, **options)
        self._check(name, reply.status_code == status, f"answered {reply.status_code}: {reply.text[:200]}")
        self._stamped(name, reply.headers.get(HEADER), reply.text)
        return dict(reply.json()) if reply.is_success else {}

    def _stamped(self, name: str, header: str | None, body: str) -> None:
        if header != self.manifest or self.manifest not in body:
            self._check(f"{name}: the answer names the manifest", False, f"header {header}")

    def _close(self, name: str, off: float, tolerance: float) -> None:
        self._check(f"{name}: same output", off <= tolerance, f"differs by {off:.3g}")

    def _check(self, name: str, passed: bool, detail: str) -> None:
        self.checks.append(Check(group=self._group, name=name, passed=passed, detail="" if passed else detail))


def _stated(samples: list[Sample], name: str) -> list[float]:
    return [float(value) for sample in samples for value in np.asarray(sample.outputs[name]).ravel()]
