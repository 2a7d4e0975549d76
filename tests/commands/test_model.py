"""``airlock model show``: what a network is made of."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airlock.errors import UserError
from airlock.governance.manifest import CandidateManifest, put
from airlock.model.architecture import MEDIA_TYPE, resolve
from airlock.references import Artifact, DatasetVersion, LabelSet, ModelVersion, TrackingRun
from airlock.settings import settings
from airlock.stores.layers import open_layers
from tests.governed import Governed
from tests.model.conftest import SMALL_NETWORK

DIGITS = Path(__file__).parents[2] / "dags" / "digits" / "network.yaml"


class TestArchitecture:
    def test_every_layer_has_a_line_and_there_are_totals(self, airlock: Any) -> None:
        lines = airlock("model", "show", DIGITS).output.splitlines()
        assert lines[0].endswith("reads uint8 [8, 8, 1]")
        rows = [line.split() for line in lines[2:-1]]
        assert [row[0] for row in rows] == [
            "scale", "conv1", "conv2", "pool", "flat", "drop1", "wide", "drop2", "digit"
        ]  # fmt: skip
        assert rows[2] == ["conv2", "Conv2D", "conv1", "8", "×", "8", "×", "64", "18,496", "0"]
        assert lines[-1] == "9 layers, 151,306 parameters and 0 that stay"

    def test_a_run_may_be_asked_about(self, airlock: Any) -> None:
        given = json.dumps({"filters": 4, 'net["wide"].units': 8})
        shown = json.loads(airlock("model", "show", DIGITS, "--parameters", given, "--classes", 3, "--json").output)
        shapes = {row["node"]: row["shape"] for row in shown["layers"]}
        assert (shapes["conv2"], shapes["wide"], shapes["digit"]) == ([8, 8, 8], [8], [3])
        assert shown["digest"] == resolve(DIGITS).digest
        assert shown["parameters"] == sum(row["parameters"] for row in shown["layers"])

    def test_problems_are_listed(self, airlock: Any) -> None:
        error = airlock("model", "show", DIGITS, "--parameters", '{"filters": 0}').exception
        assert isinstance(error, UserError)
        assert len([line for line in str(error).splitlines() if line.startswith("- network.yaml, conv")]) == 2

    def test_it_needs_no_tensorflow(self) -> None:
        program = (
            "import sys\nfrom airlock.commands.model import app\n"
            f"app(['show', {str(DIGITS)!r}], standalone_mode=False)\n"
            "assert not {'keras', 'tensorflow', 'torch'} & set(sys.modules)"
        )
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert "151,306 parameters" in ended.stdout


class TestCode:
    def test_it_is_built_for_a_shape(self, airlock: Any, tmp_path: Path) -> None:
        (tmp_path / "network.py").write_text(SMALL_NETWORK)
        shown = json.loads(airlock("model", "show", tmp_path / "network.py", "--shape", "8,8,1", "--json").output)
        assert [row["layer"] for row in shown["layers"]] == ["Rescaling", "Flatten", "Dense", "Dropout", "Dense"]
        assert [row["shape"] for row in shown["layers"]][-1] == [10]
        assert shown["parameters"] == 64 * 32 + 32 + 32 * 10 + 10

    def test_without_a_shape_it_says_what_to_add(self, airlock: Any, tmp_path: Path) -> None:
        (tmp_path / "network.py").write_text(SMALL_NETWORK)
        assert "Add --shape" in str(airlock("model", "show", tmp_path / "network.py").exception)


def candidate(some: Artifact, code: Artifact, parameters: dict[str, Any]) -> CandidateManifest:
    """Return a manifest of which only the network, its parameters and the classes matter here."""
    dataset = DatasetVersion(name="digits", version=1, digest="sha256:d", rows=2)
    return CandidateManifest(
        use_case="digits",
        classes=["a", "b", "c"],
        data="sha256:0",
        dataset=dataset,
        labels=LabelSet(digest="sha256:l", dataset="sha256:d", rows=2),
        run=TrackingRun(run_id="r", experiment="digits"),
        version=ModelVersion(name="digits", version="1"),
        network_code=code,
        parameters=parameters,
        seed=7,
        metrics={},
        code={},
        environment={},
        **dict.fromkeys(("tensors", "model", "evaluation", "picture", "transform_code"), some),
    )


class TestCandidate:
    def test_the_network_of_a_manifest_is_shown_with_its_parameters(self, governed: Governed, airlock: Any) -> None:
        store = open_layers(settings())
        code = store.put(resolve(DIGITS).data, MEDIA_TYPE)
        manifest = candidate(store.put(b"nothing"), code, {"filters": 2, "epochs": 3})
        digest = put(store, manifest).digest
        shown = json.loads(airlock("model", "show", digest, "--json").output)
        assert shown["digest"] == code.digest
        assert {row["node"]: row["shape"] for row in shown["layers"]}["conv2"] == [8, 8, 4]
        assert shown["layers"][-1]["shape"] == [3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.yaml",), "There is no file nothing.yaml"),
        ((DIGITS, "--parameters", "[1]"), "--parameters is no JSON mapping"),
        ((DIGITS, "--parameters", '{"net[conv].lr": 1}'), "is no path into the network"),
    ],
)
def test_wrong_arguments_are_refused(airlock: Any, arguments: tuple[Any, ...], message: str) -> None:
    assert message in str(airlock("model", "show", *arguments).exception)
