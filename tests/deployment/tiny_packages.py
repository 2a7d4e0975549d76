"""Tiny packages of every form, and what they are made of."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx_models import onnx_model, same

from airlock.deployment import outputs
from airlock.deployment.building import Given, Parts, build_package, code_of
from airlock.deployment.config import PackageConfig
from airlock.deployment.inputs import AnyInput, TensorInput, TextInput
from airlock.deployment.outputs import AnyOutput, Custom
from airlock.deployment.package import Package

TEXT = b"""
import numpy as np

INPUT = "text"


def transform(text, letters="ab"):
    return np.asarray([text.count(letter) for letter in letters], np.float32)
"""
SCORES = {"x": TensorInput(name="x", shape=[3], dtype="float32")}


def packaged(
    model: bytes,
    inputs: list[AnyInput],
    given: list[AnyOutput],
    sent: Mapping[str, bytes],
    code: Mapping[str, bytes] | None = None,
    **more: Any,
) -> Package:
    """Return a package of one sample, answered by the model itself."""
    config = PackageConfig(
        name="tiny", use_case="tests", manifest="sha256:0", engine="onnx", model="model.onnx",
        inputs=inputs, outputs=given, **more,
    )  # fmt: skip
    samples = [Given(sent=dict(sent))]
    return build_package(Parts(config=config, model=model, code=dict(code or {}), licence=b"Free.\n", samples=samples))


def array(values: Any, dtype: str = "float32") -> bytes:
    """Return values as a NumPy file."""
    file = io.BytesIO()
    np.save(file, np.asarray(values, dtype))
    return file.getvalue()


AFTER = b"""
import numpy as np


def postprocess(outputs, least=0.5):
    scores = outputs["scores"]
    return {"advice": {"sure": bool(scores.max() >= least)}, "line": np.stack([scores, scores], 1)}
"""


def advised(code: bytes = AFTER, **parameters: Any) -> Package:
    """Return a package whose postprocessing makes a custom output and a contour of the scores."""
    given: list[AnyOutput] = [
        outputs.Vector(name="scores", shape=[3]),
        Custom(name="advice"),
        outputs.Contour(name="line", shape=[3, 2], source="postprocessing"),
    ]
    return packaged(
        same("float32", [3]), [SCORES["x"]], given, {"x": array([0.1, 0.2, 0.4])}, {"after.py": code},
        postprocessing=code_of("after.py", code, parameters),
    )  # fmt: skip


def two_of_two() -> Package:
    """Return a package of two inputs and two outputs: their product and their sum."""
    model = onnx_model(
        {"left": ("float32", [2]), "words": ("float32", [2])},
        {"sum": ("float32", [2]), "product": ("float32", [2])},
        [("Add", ["left", "words"], ["sum"]), ("Mul", ["left", "words"], ["product"])],
    )
    inputs: list[AnyInput] = [
        TensorInput(name="figures", tensor="left", shape=[2], dtype="float32"),
        TextInput(name="text", tensor="words", shape=[2], dtype="float32", preprocessing=code_of("t.py", TEXT)),
    ]
    given: list[AnyOutput] = [
        outputs.Vector(name="product", shape=[2]),
        outputs.Vector(name="both", tensor="sum", shape=[2]),
    ]
    return packaged(model, inputs, given, {"figures": b"[1, 2]", "text": b"aab"}, {"t.py": TEXT})
