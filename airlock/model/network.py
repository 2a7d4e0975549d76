"""Builds the network of a use case, code or data, and holds it to what the rest of Airlock relies on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airlock.errors import UserError
from airlock.model.architecture import Architecture, build, found_in, split_overrides
from airlock.model.backend import load_keras
from airlock.model.usercode import Blame, load_function

HINT = "Correct `build` in the use case's network.py."


class Network:
    """A use case's ``build(shape, classes, parameters) -> keras.Model``, or its architecture.

    :param path: ``network.py``, an architecture, or an artifact of either, told apart by content.
    :param shape: of one sample.
    :param classes: number of classes.
    :param parameters: handed to ``build``, or to the architecture's ``${…}``, as they are; ``net["conv*"].lr`` and, in
        an architecture, ``net["conv*"].filters`` change the layers that fit the pattern.
    :param dtype: of the samples.
    :raises UserError: the file cannot be read, or a parameter is a path that leads nowhere.
    """

    def __init__(
        self, path: Path, shape: Sequence[int], classes: int, parameters: Mapping[str, Any], dtype: str = "uint8"
    ) -> None:
        load_keras()
        self._shape = tuple(int(size) for size in shape)
        self._dtype = dtype
        self._classes = classes
        given = split_overrides(parameters)
        self.rates: dict[str, float] = given.multipliers
        """By pattern of layer names, the factor by which their learning rate differs."""
        architecture = found_in(path)
        if architecture is not None:
            self._build = self._of_architecture(architecture, parameters)
        elif given.attributes:
            raise UserError(
                f"{', '.join(given.attributes)} changes layers, and this network is code.",
                hint="Read a parameter of your own in `build`, or write the network as an architecture.",
            )
        else:
            self._build = self._of_code(path, given.plain)

    def build(self) -> Any:
        """Return a new model with random weights, not compiled.

        :raises UserError: ``build`` raised, or its model is none that can be trained, stored and served here.
        """
        model = self._build()
        self._check(model)
        return model

    def _of_code(self, path: Path, parameters: Mapping[str, Any]) -> Callable[[], Any]:
        function = load_function(path, "build")

        def call() -> Any:
            with Blame("build failed", hint=HINT):
                return function(self._shape, self._classes, dict(parameters))

        return call

    def _of_architecture(self, architecture: Architecture, parameters: Mapping[str, Any]) -> Callable[[], Any]:
        if (architecture.shape, architecture.dtype) != (self._shape, self._dtype):
            raise UserError(
                f"The architecture reads {architecture.dtype} {list(architecture.shape)}, and the tensors are "
                f"{self._dtype} {list(self._shape)}.",
                hint="Correct `input` in the architecture, or the transform.",
            )

        def call() -> Any:
            with Blame("Keras refused the architecture", hint="Report this: Airlock's check let it pass."):
                return build(architecture, parameters, self._classes)

        return call

    def _check(self, model: Any) -> None:
        keras = load_keras()
        if not isinstance(model, keras.Model):
            raise UserError(f"build returned a {type(model).__name__}, not a keras.Model.", hint=HINT)
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise UserError(f"The model has {len(model.inputs)} inputs and {len(model.outputs)} outputs, not one each.")
        begin = f"Begin with keras.Input(shape, dtype={self._dtype!r})."
        _require("input", model.inputs[0], (None, *self._shape), self._dtype, begin)
        _require("output", model.outputs[0], (None, self._classes), "float32", "End with Dense(classes).")
        own = [layer.name for layer in model._flatten_layers() if type(layer).__module__.startswith("airlock_use_case")]
        if own:
            raise UserError(
                f"The layers {', '.join(own)} are of classes defined in the code file.",
                hint="Use layers of keras.layers: the stored model must load without this file.",
            )


def require_probabilities(model: Any, x: Any) -> None:
    """Check on a few samples that the model answers with probabilities.

    :raises UserError: its outputs are negative or do not add up to 1.
    """
    outputs = load_keras().ops.convert_to_numpy(model(x, training=False))  # ``predict`` would trace a graph for it
    if (outputs < 0).any() or (abs(outputs.sum(axis=1) - 1) > 1e-3).any():
        raise UserError(
            "The model's outputs are no probabilities.", hint="End with Dense(classes, activation='softmax')."
        )


def _require(kind: str, tensor: Any, shape: tuple[int | None, ...], dtype: str, hint: str) -> None:
    if tuple(tensor.shape) != shape or tensor.dtype != dtype:
        raise UserError(
            f"The model's {kind} is {tensor.dtype} {tuple(tensor.shape)}, not {dtype} {shape}.", hint=f"{hint} {HINT}"
        )
