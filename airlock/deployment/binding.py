"""A package's model file, called by the names that ``airlock.json`` gives its tensors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airlock.deployment.config import PackageConfig
from airlock.deployment.inputs import AnyInput
from airlock.deployment.outputs import AnyArray
from airlock.errors import ModelError, UserError
from airlock.model.runnable import TensorSpec
from airlock.model.runtimes import open_model

HINT = "Correct airlock.json, or package again."


class Binding:
    """The model between the package's names. Not safe for two threads at once.

    :raises UserError: the model and the configuration contradict each other.
    """

    def __init__(self, path: Path, config: PackageConfig, threads: int) -> None:
        if not path.is_file():
            raise UserError(f"The package has no file {config.model!r}.", hint="Build the package again.")
        self._model = open_model(path, threads)
        if self._model.engine != config.engine:
            raise UserError(
                f"{config.model} is a model for {self._model.engine}, airlock.json says {config.engine}.", hint=HINT
            )
        self._inputs = _bound("input", config.inputs, self._model.inputs)
        self._outputs = _bound("output", config.arrays, self._model.outputs)

    def run(self, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the outputs by the package's names; see :meth:`ServedModel.infer`."""
        if batch.keys() != self._inputs.keys():
            raise UserError(
                f"The inputs are {', '.join(batch) or 'none'}, not {', '.join(self._inputs)}.",
                hint="Pass each by its name.",
            )
        given = self._model.run({self._inputs[name]: tensor for name, tensor in batch.items()})
        size = len(next(iter(batch.values())))
        return {name: _sound(name, given[tensor], size) for name, tensor in self._outputs.items()}


def _bound(kind: str, wanted: Sequence[AnyInput | AnyArray], found: Sequence[TensorSpec]) -> dict[str, str]:
    """Return the model's name of each tensor by the package's."""
    specs = {spec.name: spec for spec in found}
    bound = {}
    for each in wanted:
        name = each.tensor or (found[0].name if len(found) == len(wanted) == 1 else each.name)
        if name not in specs:
            raise UserError(f"The model has no {kind} {name!r}, only {', '.join(specs)}.", hint=HINT)
        stated = TensorSpec(name, each.dtype, each.dimensions)
        if specs[name] != stated:
            raise UserError(
                f"The {kind} {each.name!r} of the model is {specs[name]}, airlock.json says {stated}.", hint=HINT
            )
        bound[each.name] = name
    if kind == "input" and (unused := specs.keys() - bound.values()):
        raise UserError(f"airlock.json has no input for the model's {', '.join(sorted(unused))}.", hint=HINT)
    return bound


def _sound(name: str, values: NDArray[Any], size: int) -> NDArray[Any]:
    if len(values) != size:
        raise ModelError(
            f"The output {name!r} has {len(values)} samples for a batch of {size}.",
            hint="Export the model with a free batch axis.",
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ModelError(
            f"The output {name!r} of the model holds values that are no finite numbers (NaN or infinity).",
            hint="Train or export it again: look for a division by zero, a logarithm of zero, an overflow in 16 bits.",
        )
    return values
