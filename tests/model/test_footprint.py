"""What a model costs, on each Keras backend, against what its layers must need."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import msgspec, numpy as np
from airlock.model.backend import load_keras
keras = load_keras(sys.argv[1])
from airlock.model.evaluation.footprint import footprint
from airlock.model.evaluation.slicing import penultimate
layers = keras.layers
network = keras.Sequential([
    keras.Input((6, 6, 2), dtype="uint8"), layers.Rescaling(1 / 255), layers.Conv2D(4, 3, padding="same"),
    layers.Flatten(), layers.Dense(5, activation="relu"), layers.Dense(3, activation="softmax"),
])
network.layers[-2].trainable = False
x = np.zeros((3, 6, 6, 2), np.uint8)
found = msgspec.to_builtins(footprint(network, x, 999))
print(json.dumps(found | {"features": list(penultimate(network, x).shape)}))
"""
CONVOLUTION, DENSE, LAST = 2 * 36 * 9 * 2 * 4, 2 * 144 * 5, 2 * 5 * 3


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_parameters_operations_memory_and_time_of_a_small_network(backend: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, backend], capture_output=True, text=True, check=False, timeout=400
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    frozen = 144 * 5 + 5
    assert found["trainable"] == (9 * 2 * 4 + 4) + (5 * 3 + 3)
    assert found["parameters"] == found["trainable"] + frozen
    assert found["weight_bytes"] == 4 * found["parameters"]
    assert found["bytes"] == 999
    products = CONVOLUTION + DENSE + LAST
    assert products <= found["flops"] <= 1.2 * products
    if backend == "torch":
        assert found["flops"] == products, "it counts products and nothing else"
    assert found["features"] == [3, 5]
    assert 0 < found["times_ms"]["p50_64"] < found["times_ms"]["p50_1"]
    assert found["peak_bytes"] > 100 << 20, "the framework is part of it"
    assert backend in found["machine"]
