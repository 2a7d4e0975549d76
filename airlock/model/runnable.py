"""A model in the form in which it is measured and served: tensors in, tensors out, whatever the engine.

Needs numpy, no TensorFlow.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from airlock.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Engine = Literal["litert", "onnx"]
EXPORT_HINT = "Use a model file that the compress step wrote."


class TensorSpec(NamedTuple):
    """What a model takes or gives under one name.

    :param dtype: numpy's name of it.
    :param shape: of one sample, without the batch axis, which is the first one and free.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(['N', *map(str, self.shape)])}]"


class RunnableModel(ABC):
    """A model file, opened. Not safe for two threads at once: give each its own, or a lock.

    :param path: what messages call it by.
    """

    engine: ClassVar[Engine]
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]

    def __init__(self, path: Path) -> None:
        self.name = path.name

    def run(self, inputs: "Mapping[str, NDArray[Any]]") -> "dict[str, NDArray[Any]]":
        """Return every output of a batch, by name.

        :param inputs: one array for each of :attr:`inputs`, all with the same first axis N, at least 1.
        :raises UserError: an input is missing, unknown, of another dtype or shape, or of another N than the others.
        """
        self._require(inputs)
        return self._run(inputs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample of a model with one input."""
        return self._only(self.inputs, "input").shape

    @property
    def classes(self) -> int:
        """Number of classes of a model with one output, ``float32 [N, classes]``."""
        output = self._only(self.outputs, "output")
        if output.dtype != "float32" or len(output.shape) != 1:
            raise UserError(
                f"{self.name}: the output {output.name!r} is {output}, not float32 [N, classes].", hint=EXPORT_HINT
            )
        return output.shape[0]

    def predict(self, x: "NDArray[Any]") -> "NDArray[Any]":
        """Run a model with one input and one output.

        :param x: ``[N, …]``, N at least 1.
        """
        given, wanted = self._only(self.inputs, "input"), self._only(self.outputs, "output")
        return self.run({given.name: x})[wanted.name]

    @abstractmethod
    def _run(self, inputs: "Mapping[str, NDArray[Any]]") -> "dict[str, NDArray[Any]]": ...

    def _only(self, specs: list[TensorSpec], kind: str) -> TensorSpec:
        if len(specs) != 1:
            raise UserError(
                f"{self.name} has {len(specs)} {kind}s, not one: {', '.join(spec.name for spec in specs)}.",
                hint="Call run() with each by its name.",
            )
        return specs[0]

    def _require(self, inputs: "Mapping[str, NDArray[Any]]") -> None:
        if inputs.keys() != {spec.name for spec in self.inputs}:
            raise UserError(
                f"The model takes the inputs {_names(spec.name for spec in self.inputs)}, not {_names(inputs)}.",
                hint="Pass each by its name.",
            )
        sizes = set()
        for spec in self.inputs:
            x = inputs[spec.name]
            if x.dtype != spec.dtype or x.shape[1:] != spec.shape or x.ndim != len(spec.shape) + 1 or not len(x):
                raise UserError(
                    f"The model takes {spec}, not {x.dtype} {list(x.shape)}.",
                    hint="Pass what the use case's transform returns, stacked.",
                )
            sizes.add(len(x))
        if len(sizes) > 1:
            raise UserError(
                f"The inputs of one batch have {_names(map(str, sorted(sizes)))} samples.",
                hint="Stack as many of each.",
            )


def _names(names: Any) -> str:
    return ", ".join(names) or "none"
