"""Builds the network a use case's ``network.py`` describes, and holds it to what the rest of Airlock relies on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airlock.errors import UserError
from airlock.model.backend import load_keras
from airlock.model.usercode import Blame, load_function

HINT = "Correct `build` in the use case's network.py."


class Network:
    """A use case's ``build(shape, classes, parameters) -> keras.Model``.

    :param path: the code file.
    :param shape: height, width and channels of one sample.
    :param classes: number of classes.
    :param parameters: handed to ``build`` as they are.
    """

    def __init__(self, path: Path, shape: Sequence[int], classes: int, parameters: Mapping[str, Any]) -> None:
        load_keras()
        self._build = load_function(path, "build")
        self._shape = tuple(int(size) for size in shape)
        self._classes = classes
        self._parameters = dict(parameters)

    def build(self) -> Any:
        """Return a new model with random weights, not compiled.

        :raises UserError: ``build`` raised, or its model is none that can be trained, stored and served here.
        """
        with Blame("build failed", hint=HINT):
            model = self._build(self._shape, self._classes, dict(self._parameters))
        self._check(model)
        return model

    def _check(self, model: Any) -> None:
        keras = load_keras()
        if not isinstance(model, keras.Model):
            raise UserError(f"build returned a {type(model).__name__}, not a keras.Model.", hint=HINT)
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise UserError(f"The model has {len(model.inputs)} inputs and {len(model.outputs)} outputs, not one each.")
        _require(
            "input", model.inputs[0], (None, *self._shape), "uint8", "Begin with keras.Input(shape, dtype='uint8')."
        )
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
    outputs = model.predict_on_batch(x)
    if (outputs < 0).any() or (abs(outputs.sum(axis=1) - 1) > 1e-3).any():
        raise UserError(
            "The model's outputs are no probabilities.", hint="End with Dense(classes, activation='softmax')."
        )


def _require(kind: str, tensor: Any, shape: tuple[int | None, ...], dtype: str, hint: str) -> None:
    if tuple(tensor.shape) != shape or tensor.dtype != dtype:
        raise UserError(
            f"The model's {kind} is {tensor.dtype} {tuple(tensor.shape)}, not {dtype} {shape}.", hint=f"{hint} {HINT}"
        )
