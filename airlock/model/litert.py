"""Load a ``.tflite`` model and predict with it: the same code measures a candidate and serves it.

Every file that :mod:`airlock.model.compression` writes, whatever its method, has one input, ``uint8 [N, height,
width, channels]`` with values 0…255 as the use case's ``transform`` makes them, and one output, ``float32
[N, classes]``, the probabilities in the order of the manifest's classes. N is free: the file says ``[1, …]`` with
the signature ``[-1, …]``, and :meth:`LiteModel.predict` resizes when a batch of another size comes.

Needs numpy and ai-edge-litert, no TensorFlow.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airlock.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXPORT_HINT = "Use the .tflite file that the compress step wrote."


class LiteModel:
    """A LiteRT interpreter around one file. Not safe for two threads at once: give each its own, or a lock.

    :param path: the ``.tflite`` file.
    :param threads: CPU threads of one prediction.
    :raises UserError: not a LiteRT model, or not one with the input and output described above.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._interpreter = _interpreter(path, threads)
        self._input = _only(self._interpreter.get_input_details(), path, "input")
        self._output = _only(self._interpreter.get_output_details(), path, "output")
        _check(path, self._input, "uint8", 4)
        _check(path, self._output, "float32", 2)
        self._batch = int(self._input["shape"][0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one sample."""
        height, width, channels = (int(size) for size in self._input["shape"][1:])
        return height, width, channels

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self._output["shape"][-1])

    def predict(self, x: "NDArray[np.uint8]") -> "NDArray[np.float32]":
        """Return the probabilities of a batch.

        :param x: ``uint8 [N, height, width, channels]``, N at least 1.
        :return: ``float32 [N, classes]``.
        :raises UserError: another dtype or shape.
        """
        if x.dtype != "uint8" or x.shape[1:] != self.shape or not len(x):
            raise UserError(
                f"The model takes uint8 [N, {', '.join(map(str, self.shape))}], not {x.dtype} {list(x.shape)}.",
                hint="Pass what the use case's transform returns, stacked.",
            )
        if len(x) != self._batch:
            self._resize(len(x))
        self._interpreter.set_tensor(self._input["index"], x)
        self._interpreter.invoke()
        probabilities: NDArray[np.float32] = self._interpreter.get_tensor(self._output["index"])
        return probabilities

    def _resize(self, batch: int) -> None:
        self._interpreter.resize_tensor_input(self._input["index"], (batch, *self.shape))
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


def _only(details: list[dict[str, Any]], path: Path, kind: str) -> dict[str, Any]:
    if len(details) != 1:
        raise UserError(f"{path.name} has {len(details)} {kind}s, not one.", hint=EXPORT_HINT)
    return details[0]


def _check(path: Path, tensor: dict[str, Any], dtype: str, rank: int) -> None:
    import numpy as np

    found = np.dtype(tensor["dtype"]).name
    if found != dtype or len(tensor["shape"]) != rank:
        raise UserError(
            f"{path.name}: the tensor {tensor['name']!r} is {found} {[int(size) for size in tensor['shape']]}, "
            f"not {dtype} with {rank} dimensions.",
            hint=EXPORT_HINT,
        )
