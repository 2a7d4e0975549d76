"""A quick look at a live endpoint: does it serve this release, does it answer as packaged, how fast?"""

import msgspec
import numpy as np

from airlock.deployment.client import ModelClient, Prediction
from airlock.deployment.config import Sample
from airlock.deployment.package import Package
from airlock.errors import UserError


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A sample's answer.

    :param expected: the class the packaged model gave; ``label`` is the true one.
    :param difference: largest absolute difference from the packaged probabilities.
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
        rounds = [client.predict(*package.body(samples[at % len(samples)])) for at in range(count)]
    times = 1000 * np.asarray([prediction.seconds for prediction in rounds])
    pairs = zip(samples, rounds, strict=False)
    return Report(
        endpoint=endpoint,
        manifest=manifest,
        tolerance=package.config.outputs[0].tolerance,
        requests=count,
        p50_ms=round(float(np.percentile(times, 50)), 3),
        p99_ms=round(float(np.percentile(times, 99)), 3),
        answers=[_answer(sample, prediction, package.config.classes) for sample, prediction in pairs],
    )


def _answer(sample: Sample, found: Prediction, classes: list[str]) -> Answer:
    stated = dict(zip(classes, sample.outputs["probabilities"], strict=True))
    pairs = [(found.probabilities.get(name, float("inf")), value) for name, value in stated.items()]
    return Answer(
        file=sample.file,
        label=sample.label,
        expected=max(stated, key=lambda name: stated[name]),
        predicted=found.label,
        difference=max(abs(answered - value) for answered, value in pairs),
        manifest=found.manifest,
    )
