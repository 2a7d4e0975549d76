"""Fashion, labelled by people, from source to pods that serve and to a canary that is rolled back.

Its short form is digits, in ``test_lifecycle.py``: the pipelines differ in what people label.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from airlock.demo.serving import ask_served, ledger_holds
from airlock.deployment.client import ModelClient
from tests.integration.labelling import LabelledJourney, people_of
from tests.integration.successors import promoted, rolled_back
from tests.kubernetes.cluster import TestCluster
from tests.kubernetes.site import site
from tests.services.label_studio import label_studio_data

__all__ = ["label_studio_data"]

pytestmark = [pytest.mark.kubernetes, pytest.mark.soak, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def fashion(
    cluster: TestCluster, host_image: str, plugins: Path, label_studio_data: Path, test_data: Path
) -> Iterator[LabelledJourney]:
    """The pictures, taken to pods that answer, once."""
    with site(cluster, host_image, plugins, label_studio_data) as stack:
        stack.wait_for_dags("fashion_data", "fashion_model", "fashion_deployment")
        journey = LabelledJourney(stack, "fashion", people_of(stack))
        journey.reads(test_data / "fashion-mnist")
        journey.through("fashion")
        yield journey


def test_pods_answer_with_the_approved_release(fashion: LabelledJourney) -> None:
    served = ask_served("fashion", fashion.stack.settings)
    assert served.endpoint.endswith("/fashion@cluster")
    assert served.accuracy >= 0.78
    assert ledger_holds(fashion.stack.settings)


def test_a_good_successor_is_promoted_after_a_canary(fashion: LabelledJourney) -> None:
    """Whoever begins a run may not answer its model gate, which also asks a data scientist."""
    promoted(fashion, "train.parameters.learning_rate=0.0012", "fashion", role="data_engineer")


def test_a_bad_one_is_rolled_back_by_itself(fashion: LabelledJourney) -> None:
    before = rolled_back(fashion, "fashion")
    with ModelClient(before.endpoint) as client:
        assert client.manifest() == before.manifest
