"""A quick look at live servers of packages of every form."""

from collections.abc import Callable
from typing import Any

import pytest
from onnx_models import same
from tiny_packages import advised, array, packaged, two_of_two

from airlock.deployment.child import Child
from airlock.deployment.client import ModelClient
from airlock.deployment.inputs import TensorInput
from airlock.deployment.outputs import Mask
from airlock.deployment.package import Package
from airlock.deployment.smoke import smoke
from airlock.errors import UserError

Serve = Callable[..., Child]


def masked() -> Package:
    """Return a package that answers a picture of class numbers."""
    shown = TensorInput(name="x", shape=[2, 2], dtype="int32")
    cells = Mask(name="cells", shape=[2, 2], dtype="int32", classes=["ground", "cell"])
    return packaged(same("int32", [2, 2]), [shown], [cells], {"x": array([[0, 1], [1, 1]], "int32")})


@pytest.mark.parametrize("make", [advised, two_of_two, masked])
def test_of_a_package_without_probabilities_compares_whole_answers(serve: Serve, make: Callable[[], Package]) -> None:
    package = make()
    server = serve(package)
    report = smoke(server.url, package, server.manifest, requests=5)
    report.require_same()
    assert report.requests == 5
    assert [(each.difference, each.predicted, each.manifest) for each in report.answers] == [(0, "", server.manifest)]


def test_finds_a_figure_that_is_not_the_packaged_one(serve: Serve) -> None:
    server, other = serve(advised()), advised(least=0.1)
    report = smoke(server.url, other, server.manifest, requests=1)
    with pytest.raises(UserError, match="1 of 1 samples differ"):
        report.require_same()


def test_asks_for_every_input_of_a_sample(serve: Serve) -> None:
    package = two_of_two()
    (sample,) = package.samples
    with ModelClient(serve(package).url) as client:
        answer: dict[str, Any] = client.answer(*package.body(sample))[0]
    assert (answer["product"], answer["both"]) == ([2, 2], [3, 3])
