"""The model of a package as the server asks it: what its tensors are in the protocol's words, and what is cheap."""

from functools import cached_property

import numpy as np

from airlock.deployment.inputs import AnyInput
from airlock.deployment.outputs import AnyArray, ClassOutput
from airlock.deployment.package import Package
from airlock.deployment.protocol import Tensors
from airlock.deployment.served import ServedModel
from airlock.deployment.tensors import TensorSpec, datatype_of


class Loaded(ServedModel):
    """A served model that answered its package's samples as the package states.

    :param threads: CPU threads of one inference.
    :raises IntegrityError: it answers otherwise here.
    """

    def __init__(self, package: Package, threads: int) -> None:
        super().__init__(package, threads)
        self.require_samples()

    @cached_property
    def inputs(self) -> list[TensorSpec]:
        """What the protocol calls inputs."""
        return [
            TensorSpec(each.name, datatype_of(np.dtype(each.dtype)), each.dimensions) for each in self.config.inputs
        ]

    @cached_property
    def outputs(self) -> list[TensorSpec]:
        """What the protocol calls outputs: the model's own, before any postprocessing."""
        return [
            TensorSpec(each.name, datatype_of(np.dtype(each.dtype)), each.dimensions) for each in self.config.arrays
        ]

    @cached_property
    def output_names(self) -> list[str]:
        """Names of the outputs."""
        return [spec.name for spec in self.outputs]

    @cached_property
    def light(self) -> bool:
        """Is an answer a few figures, made without code of the use case?"""
        return self.config.postprocessing is None and all(isinstance(out, ClassOutput) for out in self.config.outputs)

    @cached_property
    def sample(self) -> Tensors:
        """The package's first sample, as a batch of one."""
        first = self.package.samples[0]
        return self.batch(self.package.sent(first), first.types)

    def labels(self, outputs: Tensors) -> list[str]:
        """Return the most probable class of each row; none for a model without probabilities."""
        found = self.config.probabilities
        if found is None or found.name not in outputs:
            return []
        return [found.classes[best] for best in outputs[found.name].argmax(axis=1).tolist()]

    def batch(self, sent: dict[str, bytes], types: dict[str, str]) -> Tensors:
        """Return a batch of one made of what was sent."""
        return {name: tensor[np.newaxis] for name, tensor in self.prepare(sent, types).items()}


def _spec(each: AnyInput | AnyArray) -> TensorSpec:
    return TensorSpec(each.name, datatype_of(np.dtype(each.dtype)), each.dimensions)
