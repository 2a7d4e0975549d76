"""Digits from raw images to a compressed candidate, with their own code and figures, on real stores."""

import ast
import json
from typing import Any

import msgspec
import pytest

from airlock.governance.manifest import CandidateManifest, DataManifest, load, put
from airlock.model.architecture import MEDIA_TYPE, resolve
from airlock.model.registry import Registry, move_alias
from airlock.settings import Settings
from airlock.steps.reproduction import reproduce
from airlock.steps.runner import run_spec
from airlock.stores.layers import open_layers
from tests.model.conftest import USE_CASES, builtins, make_spec

pytestmark = pytest.mark.integration
Outputs = dict[str, Any]


def constants(use_case: str) -> dict[str, Any]:
    """Return what a use case's ``use_case.py`` assigns as plain literals, without importing Airflow."""
    found: dict[str, Any] = {}
    for node in ast.parse((USE_CASES / use_case / "use_case.py").read_text()).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value:
            try:
                found[target.id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


class Chain:
    """Runs steps one after another, each on the outputs of those before.

    :param settings: the stores of this test.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.artifacts = open_layers(settings)

    def step(self, name: str, **inputs: Any) -> Outputs:
        result = run_spec(make_spec(name, inputs), self.settings)
        assert result.failure is None, f"{name}: {result.failure}"
        return result.outputs

    def code(self, use_case: str, name: str) -> Outputs:
        return builtins(self.artifacts.put_file(USE_CASES / use_case / name))

    def network(self, use_case: str) -> Outputs:
        """Store the network as its operator does."""
        path = USE_CASES / use_case / "network.yaml"
        if path.exists():
            return builtins(self.artifacts.put(resolve(path).data, MEDIA_TYPE))
        return self.code(use_case, "network.py")

    def data(self, use_case: str, source: dict[str, Any], classes: list[str], given: dict[str, Any]) -> Outputs:
        """Return the data manifest; the validation's report has its own tests."""
        ingested = self.step("ingest", source=source)
        cleaned = self.step("clean", samples=ingested["samples"], classes=classes, cleaners=given["CLEANERS"])
        made = self.step("version", samples=cleaned["samples"], dataset=use_case)
        both = {"dataset": made["dataset"], "labels": made["labels"]}
        parted = self.step("split", **both, fractions=given["SPLIT"], salt=use_case)
        dropped = cleaned["dropped"]
        files = {"report": dropped, "dropped": dropped, "split": parted["split"], "counts": parted["counts"]}
        return self.step("data_manifest", use_case=use_case, classes=classes, **both, **files)["manifest"]

    def model(self, use_case: str, data: Outputs, classes: list[str], given: dict[str, Any]) -> dict[str, Outputs]:
        transform_code, network_code = self.code(use_case, "transform.py"), self.network(use_case)
        tensors = self.step("transform", manifest=data, code=transform_code)["tensors"]
        decided = {"parameters": given["PARAMETERS"], "seed": given["SEED"]}
        trained = self.step(
            "train", tensors=tensors, code=network_code, classes=classes, experiment=use_case, **decided
        )
        subject = {"model": trained["model"], "tensors": tensors, "run": trained["run"]}
        evaluated = self.step("evaluate", **subject, classes=classes)
        accuracy = evaluated["accuracy"]
        evaluated = {name: evaluated[name] for name in ("evaluation", "picture")}
        registered = self.step(
            "register", use_case=use_case, data=data, **subject, **evaluated, **decided,
            transform_code=transform_code, network_code=network_code, code={"commit": "0" * 40, "dirty": ""},
        )  # fmt: skip
        return {"accuracy": accuracy, **trained, **registered}

    def comparison(self, manifest: Outputs, methods: list[Any]) -> dict[str, Any]:
        compressed = self.step("compress", manifest=manifest, methods=methods, rule={"max_points_lost": 1.0})
        read: dict[str, Any] = json.loads(self.artifacts.read(compressed["comparison"]["digest"]))
        return read


@pytest.fixture
def chain(store_settings: Settings, mlflow_server: str) -> Chain:
    return Chain(msgspec.structs.replace(store_settings, tracking=mlflow_server))


def require_good_trade(comparison: dict[str, Any]) -> None:
    print(json.dumps(comparison, indent=1))
    assert comparison["compressed"]["bytes"] <= comparison["original"]["bytes"] / 3
    assert comparison["points_lost"] <= 1.0
    assert comparison["compressed"]["p50_ms"] < 50


def test_digits_reach_97_percent_and_a_third_of_the_size(chain: Chain, registry: Registry) -> None:
    given = constants("digits")
    classes = [str(digit) for digit in range(10)]
    data = chain.data("digits", given["SOURCE"], classes, given)
    made = chain.model("digits", data, classes, given)
    print("digits", made["accuracy"], made["epochs"])
    assert made["accuracy"] >= 0.97
    require_good_trade(chain.comparison(made["manifest"], given["COMPRESSION"]))
    _require_registered(chain, made, registry)


def _require_registered(chain: Chain, made: dict[str, Outputs], registry: Registry) -> None:
    candidate = load(chain.artifacts, made["manifest"]["digest"], CandidateManifest)
    assert candidate.metrics["accuracy"] == made["accuracy"]
    assert candidate.environment["tensorflow"]
    tags = registry.run_facts(candidate.run).tags
    assert tags["airlock.manifest"] == made["manifest"]["digest"]
    assert tags["airlock.dataset"] == candidate.dataset.digest
    assert registry.version_tags(candidate.version)["airlock.manifest"] == made["manifest"]["digest"]
    assert registry.alias("digits", "challenger") == candidate.version
    assert registry.alias("digits", "champion") is None
    move_alias(registry.url, candidate.version.name, candidate.version.version, "champion")
    assert registry.alias("digits", "champion") == candidate.version


@pytest.fixture
def short(chain: Chain) -> dict[str, Any]:
    """Give digits trained for two epochs, and the data."""
    given = constants("digits") | {"PARAMETERS": {"epochs": 2, "batch_size": 32, "learning_rate": 0.002}}
    classes = [str(digit) for digit in range(10)]
    data = chain.data("digits", given["SOURCE"], classes, given)
    return {"data": data, **chain.model("digits", data, classes, given)}


class TestACandidateFromItsManifestAlone:
    def test_comes_out_the_same_to_the_last_bit(self, chain: Chain, short: dict[str, Any]) -> None:
        said: list[str] = []
        found = reproduce(chain.settings, short["manifest"]["digest"], 1e-3, said.append)
        assert found.verdict == "bit-equal", found
        assert (found.largest, found.changed) == (0.0, [])
        assert found.accuracy == found.before > 0.5
        assert any("the same bytes" in line for line in said)

    def test_comes_out_otherwise_when_the_manifest_tells_another_story(
        self, chain: Chain, short: dict[str, Any]
    ) -> None:
        told = load(chain.artifacts, short["manifest"]["digest"], CandidateManifest)
        other = put(chain.artifacts, msgspec.structs.replace(told, seed=told.seed + 1, environment={"keras": "1"}))
        found = reproduce(chain.settings, other.digest, 1e-3, lambda _: None)
        assert found.verdict == "different"
        assert found.largest > 1e-3
        assert any("keras 1 is" in each for each in found.changed)


def test_tensors_are_made_once_for_the_same_data_whatever_manifest_asks(chain: Chain, short: dict[str, Any]) -> None:
    told = load(chain.artifacts, short["data"]["digest"], DataManifest)
    other = put(chain.artifacts, msgspec.structs.replace(told, report=chain.artifacts.put(b"another report")))
    code = chain.code("digits", "transform.py")
    again = run_spec(make_spec("transform", {"manifest": builtins(other), "code": code}), chain.settings)
    fewer = run_spec(
        make_spec("transform", {"manifest": builtins(other), "code": code, "parameters": {"side": 4}}), chain.settings
    )
    assert again.metrics["reused"] == 1
    assert again.outputs["tensors"] == chain.step("transform", manifest=short["data"], code=code)["tensors"]
    assert fewer.failure is not None, "digits' transform has no such parameter"
    assert "unexpected keyword argument 'side'" in fewer.failure.message
