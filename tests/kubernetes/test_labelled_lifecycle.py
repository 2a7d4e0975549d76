"""Fashion, labelled by people, from source to pods that serve and to a canary that is rolled back.

Its short form is digits, in ``test_lifecycle.py``: the pipelines differ in what people label.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from airlock.demo.serving import ask_served, ledger_holds
from airlock.deployment.client import ModelClient
from airlock.errors import UserError
from airlock.stores.layers import open_layers
from tests.integration.labelling import LabelledJourney
from tests.integration.lifecycle import SLOW
from tests.kubernetes.cluster import TestCluster
from tests.kubernetes.site import site
from tests.kubernetes.test_lifecycle import bodies
from tests.services.label_studio import LabelStudioServer, label_studio_data

__all__ = ["label_studio_data"]

pytestmark = [pytest.mark.kubernetes, pytest.mark.soak, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def fashion(
    cluster: TestCluster, host_image: str, plugins: Path, label_studio_data: Path, test_data: Path
) -> Iterator[LabelledJourney]:
    """The pictures, taken to pods that answer, once."""
    with site(cluster, host_image, plugins, label_studio_data) as stack:
        stack.wait_for_dags("fashion_data", "fashion_model", "fashion_deployment")
        studio = LabelStudioServer(stack.home / "labelling", int(stack.settings.label_studio.rpartition(":")[2]))
        people = tuple(studio.labeler(f"{name}@example.com") for name in ("lena", "lara"))
        journey = LabelledJourney(stack, "fashion", people)
        variable = {"key": "airlock_fashion_location", "value": str(test_data / "fashion-mnist")}
        assert journey.watcher.client.post("/variables", json=variable).status_code == 201
        journey.through("fashion")
        yield journey


def test_pods_answer_with_the_approved_release(fashion: LabelledJourney) -> None:
    served = ask_served("fashion", fashion.stack.settings)
    assert served.endpoint.endswith("/fashion@cluster")
    assert served.accuracy >= 0.78
    assert ledger_holds(fashion.stack.settings)


def test_a_good_successor_is_promoted_after_a_canary(fashion: LabelledJourney) -> None:
    before = ask_served("fashion", fashion.stack.settings).manifest
    # Whoever begins a run may not answer its model gate, which also asks a data scientist.
    fashion.fork("fashion_model", "train.parameters.learning_rate=0.0012", role="data_engineer")
    after = ask_served("fashion", fashion.stack.settings).manifest
    assert after != before
    rollouts = bodies(fashion.stack, "rollout", "fashion")
    assert [body["share"] for body in rollouts if body["manifest"] == after and "share" in body] == [0.05, 0.25, 1.0]


def test_a_bad_one_is_rolled_back_by_itself(fashion: LabelledJourney) -> None:
    before = ask_served("fashion", fashion.stack.settings)
    slow = msgspec.json.encode(open_layers(fashion.stack.settings).put(SLOW, "text/x-python")).decode()
    with pytest.raises(UserError, match=r"fashion_deployment failed at canary.*rolled back at .* ms against"):
        fashion.fork("fashion_deployment", f"package.postprocessing={slow}")
    (back,) = bodies(fashion.stack, "rollback", "fashion")
    assert (back["manifest"], back["from"] != before.manifest) == (before.manifest, True)
    with ModelClient(before.endpoint) as client:
        assert client.manifest() == before.manifest
