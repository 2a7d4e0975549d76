"""Refactored source: equal to the bit, equal within tolerance, refused with the figures; on real digits and stores."""

import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from airlock.governance.evaluations import Evaluation
from airlock.governance.evidence import evidence
from airlock.governance.manifest import CandidateManifest, chain, load
from airlock.governance.revisions import Revision
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.model.registry import Registry
from airlock.settings import Settings
from airlock.steps.contract import Failure
from airlock.steps.runner import run_spec
from tests.conftest import APPLICATION, GUARD, OWNER, PASSWORD
from tests.model.conftest import CLASSES, SMALL_NETWORK, builtins, make_spec
from tests.model.test_use_cases import Chain, Outputs, constants

pytestmark = pytest.mark.integration

# The same arithmetic, put otherwise. Layers are made in the same order: it decides which random numbers each gets.
TRANSFORM = """
import numpy as np


def transform(image):
    grey = image if image.mode == "L" else image.convert("L")
    return np.array(grey, dtype="uint8").reshape(8, 8, 1)
"""
NETWORK = """
import keras
from keras import layers


def head(classes):
    return layers.Dense(classes, activation="softmax", name="digit")


def build(shape, classes, parameters):
    picture = keras.Input(shape, dtype="uint8", name="picture")
    x = layers.Flatten(name="row")(layers.Rescaling(1 / 255, name="scaled")(picture))
    x = layers.Dense(32, activation="relu", name="wide")(x)
    x = layers.Dropout(0.1, name="forget")(x)
    return keras.Model(picture, head(classes)(x))
"""


@pytest.fixture(scope="module")
def digits(postgres: EmbeddedPostgres, mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Give steps on stores that the module's tests share."""
    postgres.create_database("revisions", OWNER, members=(APPLICATION, GUARD), template="template")
    home = tmp_path_factory.mktemp("revisions")
    dsn = postgres.dsn(APPLICATION, PASSWORD, "revisions")
    stores = {"artifacts": (home / "artifacts").as_uri(), "datasets": (home / "datasets").as_uri()}
    yield Chain(Settings(home=str(home), database=dsn, tracking=mlflow_server, **stores))
    with postgres.connect() as link, link.cursor() as cursor:
        cursor.execute("DROP DATABASE revisions WITH (FORCE)")


@pytest.fixture(scope="module")
def candidate(digits: Chain) -> Outputs:
    """Give the manifest of a small candidate, trained for two epochs."""
    given = constants("digits")
    data = digits.data("digits", given["SOURCE"], CLASSES, given)
    code = {"transform_code": digits.code("digits", "transform.py"), "network_code": stored(digits, SMALL_NETWORK)}
    tensors = digits.step("transform", manifest=data, code=code["transform_code"])["tensors"]
    decided = {"parameters": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01}, "seed": 7}
    trained = digits.step(
        "train", tensors=tensors, code=code["network_code"], classes=CLASSES, experiment="digits", **decided
    )
    subject = {"model": trained["model"], "tensors": tensors, "run": trained["run"]}
    found = digits.step("evaluate", classes=CLASSES, **subject)
    evaluated = {name: found[name] for name in ("evaluation", "picture", "report")}
    manifest: Outputs = digits.step(
        "register", use_case="digits", data=data, **code, **decided, **subject, **evaluated
    )["manifest"]
    return manifest


def stored(chain: Chain, text: str) -> Outputs:
    return builtins(chain.artifacts.put(textwrap.dedent(text).encode(), "text/plain"))


def refused(chain: Chain, step: str, **inputs: Any) -> tuple[Failure, dict[str, str]]:
    result = run_spec(make_spec(step, inputs), chain.settings)
    assert result.failure is not None, "it must be refused"
    assert result.failure.category == "user"
    return result.failure, result.links


def read(chain: Chain, revised: Outputs) -> Revision:
    return msgspec.json.decode(chain.artifacts.read(revised["revision"]["digest"]), type=Revision)


@pytest.fixture(scope="module")
def revised(digits: Chain, candidate: Outputs) -> Outputs:
    """Give what the revise step makes of both sources refactored."""
    sources = {"transform_code": stored(digits, TRANSFORM), "network_code": stored(digits, NETWORK)}
    return digits.step("revise", manifest=candidate, experiment="digits", **sources)


@pytest.fixture(scope="module")
def evaluated(digits: Chain, candidate: Outputs, revised: Outputs) -> Outputs:
    """Give the revision's evaluation against its candidate."""
    subject = {name: revised[name] for name in ("model", "tensors", "run", "classes")}
    return digits.step("evaluate", against=candidate, **subject)


@pytest.fixture
def registration(candidate: Outputs, revised: Outputs, evaluated: Outputs) -> dict[str, Any]:
    """Give the register step's inputs for the revision."""
    handed = ("data", "tensors", "model", "run", "transform_code", "network_code", "parameters", "seed", "revision")
    return {
        "use_case": "digits",
        **{name: revised[name] for name in handed},
        **{name: evaluated[name] for name in ("evaluation", "picture", "report")},
        "revises": candidate,
        "revision_report": revised["report"],
    }


class TestARefactoring:
    def test_of_both_sources_is_equal_though_the_files_differ(self, digits: Chain, revised: Outputs) -> None:
        found = read(digits, revised)
        assert (found.verdict, found.revised, found.misses) == (
            "equal within tolerance",
            ["transform", "network"],
            [],
        )
        assert not found.same_model, "the layers have other names"
        assert [(split.split, split.differing, split.largest) for split in found.splits] == [
            ("train", 0, 0.0),
            ("validation", 0, 0.0),
        ]
        assert found.difference is not None
        assert (found.difference.weights, found.difference.largest, found.difference.flips) == (0.0, 0.0, 0)
        page = digits.artifacts.read(revised["report"]["digest"]).decode()
        assert "✓ equal within tolerance" in page

    def test_of_the_transform_alone_trains_the_same_bytes(self, digits: Chain, candidate: Outputs) -> None:
        made = digits.step("revise", manifest=candidate, experiment="digits", transform_code=stored(digits, TRANSFORM))
        assert made["verdict"] == "bit-equal"
        original = load(digits.artifacts, candidate["digest"], CandidateManifest)
        assert made["model"]["digest"] == original.model.digest
        assert made["tensors"]["digest"] != original.tensors.digest, "they name the code that made them"

    def test_is_registered_as_a_revision_of_the_candidate(
        self, digits: Chain, candidate: Outputs, registration: dict[str, Any], registry: Registry
    ) -> None:
        made = digits.step("register", **registration)["manifest"]
        manifest = load(digits.artifacts, made["digest"], CandidateManifest)
        assert manifest.revises == candidate["digest"]
        assert list(chain(digits.artifacts, made["digest"])) == [made["digest"], candidate["digest"], manifest.data]
        assert registry.version_tags(manifest.version)["airlock.revises"] == candidate["digest"]
        assert registry.run_facts(manifest.run).tags["airlock.revises"] == candidate["digest"]
        shown = evidence(digits.artifacts, made["digest"], candidate["digest"])
        assert "**A revision** of the candidate" in shown
        assert "**Equal within tolerance**: 0 of " in shown
        assert "right and wrong are the same as that candidate's" in shown
        assert "Revision report" in shown


class TestARefusal:
    def revise(self, digits: Chain, candidate: Outputs, **sources: Any) -> tuple[Failure, dict[str, str]]:
        return refused(digits, "revise", manifest=candidate, experiment="digits", **sources)

    def test_of_what_is_not_new(self, digits: Chain, candidate: Outputs) -> None:
        failure, _ = self.revise(digits, candidate, network_code=stored(digits, SMALL_NETWORK))
        assert "Nothing is revised" in failure.message

    def test_of_another_transform_comes_before_any_training(self, digits: Chain, candidate: Outputs) -> None:
        inverted = TRANSFORM.replace("np.array(grey", "255 - np.array(grey")
        failure, links = self.revise(digits, candidate, transform_code=stored(digits, inverted))
        assert "samples are transformed otherwise, by up to 255 (tolerance 0)" in failure.message
        assert set(links) == {"Report"}, "nothing was trained"
        assert "not equal within tolerance" in digits.artifacts.read(links["Report"]).decode()

    def test_of_another_shape_of_sample(self, digits: Chain, candidate: Outputs) -> None:
        flat = TRANSFORM.replace("reshape(8, 8, 1)", "reshape(64, 1, 1)")
        failure, _ = self.revise(digits, candidate, transform_code=stored(digits, flat))
        assert "samples are uint8 [64, 1, 1], the candidate's uint8 [8, 8, 1]" in failure.message

    def test_of_another_architecture(self, digits: Chain, candidate: Outputs) -> None:
        narrow = NETWORK.replace("Dense(32", "Dense(16")
        failure, links = self.revise(digits, candidate, network_code=stored(digits, narrow))
        assert "parameters: 1,210 instead of 2,410" in failure.message
        assert {"Report", "MLflow run"} <= set(links)

    def test_of_a_network_that_answers_otherwise(self, digits: Chain, candidate: Outputs) -> None:
        forgetful = NETWORK.replace("Dropout(0.1", "Dropout(0.5")
        failure, _ = self.revise(digits, candidate, network_code=stored(digits, forgetful))
        assert "probabilities differ by up to 0." in failure.message
        assert "(tolerance 0.001), weights by up to" in failure.message
        assert "answers flipped, accuracy 0." in failure.message

    def test_does_not_happen_where_the_tolerance_is_wide_enough(self, digits: Chain, candidate: Outputs) -> None:
        forgetful = NETWORK.replace("Dropout(0.1", "Dropout(0.11")
        made = digits.step(
            "revise",
            manifest=candidate,
            experiment="digits",
            network_code=stored(digits, forgetful),
            tolerances={"outputs": 1.0},
        )
        assert made["verdict"] == "equal within tolerance"
        found = read(digits, made)
        assert found.difference is not None
        assert 0 < (found.difference.largest or 0) <= found.tolerances.outputs


class TestRegistering:
    def test_refuses_what_was_not_evaluated_against_the_candidate(
        self, digits: Chain, registration: dict[str, Any], revised: Outputs
    ) -> None:
        alone = digits.step("evaluate", **{name: revised[name] for name in ("model", "tensors", "run", "classes")})
        failure, _ = refused(digits, "register", **registration | {"evaluation": alone["evaluation"]})
        assert "was not evaluated against the candidate it revises" in failure.message

    def test_refuses_points_lost_on_the_test_samples(self, digits: Chain, registration: dict[str, Any]) -> None:
        found = msgspec.json.decode(sealed(digits, registration["evaluation"]), type=Evaluation)
        assert found.predictions is not None
        right = np.flatnonzero(np.array(found.predictions.answer) == np.array(found.predictions.truth))[:9]
        answer = [(each + 1) % 10 if place in right else each for place, each in enumerate(found.predictions.answer)]
        worse = msgspec.structs.replace(found, predictions=msgspec.structs.replace(found.predictions, answer=answer))
        stored_worse = builtins(digits.artifacts.put(msgspec.json.encode(worse)))
        failure, _ = refused(digits, "register", **registration | {"evaluation": stored_worse})
        assert "9 newly wrong, 0 newly right), 0 may be lost" in failure.message

    @pytest.mark.parametrize("name", ["model", "tensors", "data", "seed"])
    def test_refuses_a_comparison_of_something_else(
        self, digits: Chain, registration: dict[str, Any], candidate: Outputs, name: str
    ) -> None:
        document = read(digits, {"revision": registration["revision"]})
        changes: dict[str, Any] = {"model": {"model": "sha256:m"}, "tensors": {"tensors": "sha256:t"}}
        other = msgspec.structs.replace(document, **changes.get(name, {}))
        given = registration | {"revision": builtins(digits.artifacts.put(msgspec.json.encode(other)))}
        given |= {"data": {"data": candidate}, "seed": {"seed": 8}}.get(name, {})
        failure, _ = refused(digits, "register", **given)
        assert f"The {name} of the revision is " in failure.message

    def test_refuses_a_comparison_that_says_different(self, digits: Chain, registration: dict[str, Any]) -> None:
        document = read(digits, {"revision": registration["revision"]})
        assert document.difference is not None
        apart = msgspec.structs.replace(document.difference, largest=0.5)
        other = msgspec.structs.replace(document, difference=apart)
        given = registration | {"revision": builtins(digits.artifacts.put(msgspec.json.encode(other)))}
        failure, _ = refused(digits, "register", **given)
        assert "probabilities differ by up to 0.5 (tolerance 0.001)" in failure.message

    def test_refuses_one_document_without_the_other(self, digits: Chain, registration: dict[str, Any]) -> None:
        failure, _ = refused(digits, "register", **registration | {"revision": None})
        assert "needs both" in failure.message


def sealed(chain: Chain, artifact: dict[str, Any]) -> bytes:
    from airlock.stores.layers import open_sealed

    return open_sealed(chain.settings).read(artifact["digest"])
