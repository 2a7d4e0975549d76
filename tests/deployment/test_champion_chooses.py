"""The model that serves says which samples people should be asked about."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from test_deployment_steps import CLASSES, parts, site, step, tracking

from airlock.labeling.tasks import decode_chosen
from airlock.stores.artifacts import ArtifactStore
from tests.deployment.serving_machine import Machine

__all__ = ["parts", "site", "step", "tracking"]
pytestmark = pytest.mark.integration


def test_a_champion_predicts_as_it_serves(
    step: Callable[..., Any], parts: dict[str, Any], site: Machine, artifacts: ArtifactStore
) -> None:
    packaged = step("package", **parts)
    assert packaged.failure is None, packaged.failure
    release = packaged.outputs["manifest"]["digest"]
    dataset = msgspec.json.decode(artifacts.read(parts["manifest"].digest))["dataset"]
    chosen = step("choose_batch", dataset=dataset, size=6, strategy="least_confidence", champion=release)
    assert chosen.failure is None, chosen.failure
    batch = decode_chosen(artifacts.read(chosen.outputs["batch"]["digest"]))
    assert len(batch) == 6
    assert {item.label for item in batch} == set(CLASSES)
    assert [item.model for item in batch] == [f"shapes {release[7:19]}"] * 6
    sure = [item.confidence or 0.0 for item in batch]
    assert sure == sorted(sure), "the least sure come first"
    diverse = step("choose_batch", dataset=dataset, size=3, strategy="diversity", champion=release)
    assert len({item.label for item in decode_chosen(artifacts.read(diverse.outputs["batch"]["digest"]))}) == 3
