"""The model of a package as the server asks it: tensors by name in, tensors by name out, one batch at a time."""

from functools import cached_property
from typing import Any

import numpy as np

from airlock.deployment.package import Package
from airlock.deployment.protocol import Tensors
from airlock.deployment.served import ServedModel
from airlock.deployment.tensors import TensorSpec
from airlock.errors import AirlockError

INPUT, OUTPUT = "image", "probabilities"


class UnusableAnswer(AirlockError):
    """A model answered with what is no number: nobody's request is to blame."""


class Loaded:
    """A served model behind one face, whatever its inputs and outputs are.

    :param package: verified; it is only loaded once its samples were answered as it states.
    """

    def __init__(self, package: Package) -> None:
        self.config = package.config
        self._served = ServedModel(package)
        self._served.require_samples()

    @cached_property
    def inputs(self) -> list[TensorSpec]:
        return [TensorSpec(INPUT, "UINT8", self.config.input.shape)]

    @cached_property
    def outputs(self) -> list[TensorSpec]:
        return [TensorSpec(OUTPUT, "FP32", (len(self.config.classes),))]

    def prepare(self, payloads: dict[str, bytes], _types: dict[str, str]) -> Tensors:
        return {INPUT: self._served.prepare(next(iter(payloads.values())))[np.newaxis]}

    def infer(self, batch: Tensors) -> Tensors:
        return {OUTPUT: self._served.infer(batch[INPUT])}

    def answer(self, row: Tensors) -> dict[str, Any]:
        values = row[OUTPUT]
        label = self.config.classes[int(values.argmax())]
        named = dict(zip(self.config.classes, values.tolist(), strict=True))
        return {"label": label, "probability": named[label], "probabilities": named}

    @cached_property
    def output_names(self) -> list[str]:
        return [spec.name for spec in self.outputs]

    def labels(self, outputs: Tensors) -> list[str]:
        return [self.config.classes[best] for best in outputs[OUTPUT].argmax(axis=1)]

    @staticmethod
    def require_finite(outputs: Tensors) -> Tensors:
        for name, values in outputs.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise UnusableAnswer(f"The model's output {name!r} is NaN or infinite.", hint="Release another model.")
        return outputs
