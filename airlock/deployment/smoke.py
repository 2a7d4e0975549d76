"""A quick look at a live endpoint: does it serve this release, does it answer as packaged, how fast?"""

from typing import Any

import msgspec
import numpy as np

from airlock.deployment.answers import apart, stated
from airlock.deployment.client import ModelClient
from airlock.deployment.config import PackageConfig, Sample
from airlock.deployment.package import Package
from airlock.errors import UserError


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A sample's answer.

    :param expected: the class the packaged model gave; ``label`` is the true one. Empty where none is answered.
    :param difference: largest absolute difference from what the package states.
    """

    file: str
    label: str
    expected: str
    predicted: str
    difference: float
    manifest: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoint answered.

    :param p50_ms: median time of one request over one connection; ``p99_ms`` likewise.
    """

    endpoint: str
    manifest: str
    tolerance: float
    requests: int
    p50_ms: float
    p99_ms: float
    answers: list[Answer]

    def require_same(self) -> None:
        """Fail unless every sample was answered by this release, as packaged.

        :raises UserError: names what differs.
        """
        others = {answer.manifest for answer in self.answers} - {self.manifest}
        if others:
            raise UserError(
                f"{self.endpoint} serves {sorted(others)}, not {self.manifest}.", hint="See `airlock status`."
            )
        wrong = [answer for answer in self.answers if not answer.difference <= self.tolerance]
        if wrong:
            named = ", ".join(f"{answer.file} by {answer.difference:.3g}" for answer in wrong[:3])
            raise UserError(
                f"{len(wrong)} of {len(self.answers)} samples differ by more than {self.tolerance}: {named}.",
                hint="Serve with the engine version the package was built with.",
            )


def smoke(endpoint: str, package: Package, manifest: str, requests: int) -> Report:
    """Ask for every sample in turn, over and over.

    :param requests: how many in all; at least every sample once.
    """
    samples = package.samples
    count = max(requests, len(samples))
    with ModelClient(endpoint) as client:
        rounds = [client.answer(*package.body(samples[at % len(samples)])) for at in range(count)]
    times = 1000 * np.asarray([seconds for _, seconds in rounds])
    pairs = zip(samples, rounds, strict=False)
    return Report(
        endpoint=endpoint,
        manifest=manifest,
        tolerance=package.config.tolerance,
        requests=count,
        p50_ms=round(float(np.percentile(times, 50)), 3),
        p99_ms=round(float(np.percentile(times, 99)), 3),
        answers=[_answer(sample, found, package.config) for sample, (found, _) in pairs],
    )


def _answer(sample: Sample, found: dict[str, Any], config: PackageConfig) -> Answer:
    wanted = stated(sample, config)
    return Answer(
        file=sample.file,
        label=sample.label,
        expected=wanted.get("label", ""),
        predicted=found.get("label", ""),
        difference=apart(found, wanted),
        manifest=found.get("manifest", ""),
    )
