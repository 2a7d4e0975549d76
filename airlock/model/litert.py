"""Load a ``.tflite`` model and predict with it: the same code measures a candidate and serves it.

N is free: a file says ``[1, …]`` with the signature ``[-1, …]``, and the interpreter's tensors are resized when a batch
of another size comes. Names are those of the file's signature: the tensors' own change with the converter.

Needs numpy and ai-edge-litert, no TensorFlow.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airlock.errors import UserError
from airlock.model.runnable import EXPORT_HINT, RunnableModel, TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LiteModel(RunnableModel):
    """A LiteRT interpreter around one file.

    :param path: the ``.tflite`` file.
    :param threads: CPU threads of one prediction.
    :raises UserError: not a LiteRT model, or one whose first axes are no batch axes.
    """

    engine = "litert"

    def __init__(self, path: Path, threads: int = 1) -> None:
        super().__init__(path)
        self._interpreter = _interpreter(path, threads)
        taken, given = _signature(self._interpreter)
        self.inputs = [_spec(path, name, details) for name, details in taken.items()]
        self.outputs = [_spec(path, name, details) for name, details in given.items()]
        self._taken = {name: int(details["index"]) for name, details in taken.items()}
        self._given = {name: int(details["index"]) for name, details in given.items()}
        self._batch = int(next(iter(taken.values()))["shape"][0])

    def _run(self, inputs: "Mapping[str, NDArray[Any]]") -> "dict[str, NDArray[Any]]":
        batch = len(next(iter(inputs.values())))
        if batch != self._batch:
            self._resize(batch)
        for name, index in self._taken.items():
            self._interpreter.set_tensor(index, inputs[name])
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._given.items()}

    def _resize(self, batch: int) -> None:
        for spec in self.inputs:
            self._interpreter.resize_tensor_input(self._taken[spec.name], (batch, *spec.shape))
        self._interpreter.allocate_tensors()
        self._batch = batch


def _interpreter(path: Path, threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{path.name} is not a LiteRT model: {error}.", hint=EXPORT_HINT) from error
    return interpreter


def _signature(interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return details of inputs and outputs by name; the tensors' own names for a file without one signature."""
    taken, given = interpreter.get_input_details(), interpreter.get_output_details()
    signatures = interpreter.get_signature_list()
    if len(signatures) == 1:
        runner = interpreter.get_signature_runner()
        named = runner.get_input_details(), runner.get_output_details()
        if [len(each) for each in named] == [len(taken), len(given)]:
            return named
    return {each["name"]: each for each in taken}, {each["name"]: each for each in given}


def _spec(path: Path, name: str, details: dict[str, Any]) -> TensorSpec:
    import numpy as np

    whole = [int(size) for size in details["shape"]]
    free = [int(size) for size in details.get("shape_signature", whole)]
    if not whole or -1 in free[1:]:
        raise UserError(
            f"{path.name}: the tensor {name!r} has the shape {free}; only its first axis may and must be free.",
            hint="Export the model with fixed sizes for one sample.",
        )
    return TensorSpec(name, np.dtype(details["dtype"]).name, tuple(whole[1:]))
