"""Shapes, dtypes and counts of weights are held to Keras itself, on random graphs that use every layer."""

import json
import math
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from airlock.model.architecture import Architecture, build, check, read
from airlock.model.architecture.building import SEPARATE, make
from airlock.model.architecture.generate import PATH, text
from airlock.model.architecture.shapes import RULES
from tests.model.architecture.graphs import Grower, Proposal

GRAPHS = 52
SEEDS = range(6)
STRICTER = re.compile(
    r"reads floats, and its input is"  # Keras builds it, calls the result float32, and fails or keeps integers later
    r"|TimeDistributed makes floats"  # the same inside of a wrapper
    r"|looks up whole numbers"  # Keras cuts the fraction off
    r"|^(Adaptive\w+|Masking|\w*Attention): \w+ reads \["  # Keras checks no rank here, and fails when the model runs
    r"|^TimeDistributed: \w+ reads \["  # nor inside of this wrapper
    r"|query and key must agree"  # the same
    r"|is the batch"  # samples would depend on one another
    r"|which differ$"  # Keras stretches inputs of different rank
    r"|TensorFlow needs the same on every axis|TensorFlow does not compute that on a CPU"  # fails when the model runs
    r"|scales along the last axes"  # the same
)
"""What is refused although Keras would build it."""


def differences(architecture: Architecture) -> list[str]:
    """Build it, and return in which layers Keras disagrees."""
    model = build(architecture, {}, 3)
    found = []
    for node in check(architecture, {}, 3).nodes:
        assert node.made is not None
        layer = model.get_layer(node.name)
        trainable = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
        frozen = layer.count_params() - trainable
        keras = (tuple(layer.output.shape[1:]), layer.output.dtype, trainable, frozen)
        ours = (node.made.shape, node.made.dtype, node.made.trainable, node.made.frozen)
        if keras != ours:
            found.append(f"{node.layer}: Keras says {keras}, we say {ours}")
    return found


def grown(seed: int, count: int, masks: bool = True) -> tuple[list[Architecture], Grower]:
    grower = Grower(seed, masks)
    documents = [json.dumps(grower.grow(size=4)).encode() for _ in range(count)]
    return [read(document, "grown.json") for document in documents], grower


class TestRandomGraphs:
    USED: Counter[str] = Counter()

    @pytest.mark.parametrize("seed", SEEDS)
    def test_keras_builds_them_with_the_shapes_dtypes_and_weights_we_say(self, seed: int) -> None:
        import keras

        keras.utils.clear_session()  # once: it collects garbage, which takes longer than building a model
        graphs, grower = grown(seed, GRAPHS)
        self.USED.update(grower.used)
        for graph in graphs:
            assert differences(graph) == [], graph.data.decode()

    def test_they_use_every_layer(self) -> None:
        used = self.USED or grown(0, GRAPHS)[1].used
        assert set(used) == set(RULES), "A layer that no graph has was compared with nothing."


class TestWhatIsRefused:
    def test_keras_refuses_it_too_unless_we_mean_to_be_stricter(self) -> None:
        _, grower = grown(99, 40)
        kinds: Counter[str] = Counter()
        accepted = []
        for proposal in grower.refused:
            reason = f"{proposal.kind}: {proposal.refusal}"
            kind = re.sub(r"[-0-9]+", "", reason)[:80]
            kinds[kind] += 1
            if kinds[kind] == 1 and not STRICTER.search(reason) and keras_takes(proposal):
                accepted.append(f"{reason}, with {proposal.attributes}")
        assert accepted == []
        assert len(kinds) > 150, "Too few different refusals to mean anything."


def keras_takes(proposal: Proposal) -> bool:
    import keras

    inputs = [keras.Input(tensor.shape, dtype=tensor.dtype) for tensor in proposal.inputs]
    apart = len(inputs) == 1 or proposal.kind in SEPARATE
    try:
        layer = make(keras, proposal.layer, {})
        _ = layer(*inputs) if apart else layer(inputs)
    except Exception:  # noqa: BLE001 - whatever Keras raises, it refuses
        return False
    return True


def test_the_catalogue_is_of_the_installed_keras() -> None:
    assert PATH.read_text() == text(), (
        "Keras changed: run python -m airlock.model.architecture.generate, then this file."
    )


def test_the_torch_backend_builds_the_same() -> None:
    program = """
import json, sys
from tests.model.architecture.test_against_keras import differences, grown
import keras
graphs, grower = grown(7, 25)
found = [line for graph in graphs for line in differences(graph)]
print(json.dumps({"backend": keras.backend.backend(), "found": found, "layers": len(grower.used)}))
"""
    found = in_process(program, {"KERAS_BACKEND": "torch"})
    assert found["backend"] == "torch"
    assert found["found"] == []
    assert found["layers"] > 60


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_the_output_is_float32_under_mixed_precision(backend: str) -> None:
    program = """
import json, keras
from pathlib import Path
import numpy as np
from airlock.model.architecture import build, resolve
keras.config.set_dtype_policy("mixed_bfloat16")
model = build(resolve(Path("dags/digits/network.yaml")), {}, 10)
answers = keras.ops.convert_to_numpy(model(np.zeros((2, 8, 8, 1), "uint8")))
conv = model.get_layer("conv1").output.dtype
print(json.dumps({"conv": conv, "out": model.output.dtype, "real": str(answers.dtype)}))
"""
    found = in_process(program, {"KERAS_BACKEND": backend})
    assert found == {"conv": "bfloat16", "out": "float32", "real": "float32"}


def test_what_is_built_also_runs() -> None:
    """Keras finds some mistakes only when it computes: with samples, as in training and as in serving."""
    import numpy as np

    graphs, _ = grown(12, 40, masks=False)
    random = np.random.default_rng(0)
    for graph in graphs:
        model = build(graph, {}, 3)
        samples = random.integers(0, 200, (2, *graph.shape)).astype(graph.dtype)
        for training in (True, False):
            assert tuple(model(samples, training=training).shape) == (2, 3)


def in_process(program: str, environment: dict[str, str]) -> Any:
    """Run a program in a process of its own; return the JSON of its last line."""
    import os
    from pathlib import Path

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])
