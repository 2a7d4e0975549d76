"""Runs a use case's ``transform(sample)``, in training and in serving: the same file, the same checks.

Needs numpy, and Pillow for pictures, only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from airlock.errors import UserError
from airlock.model.usercode import Blame, load_function

if TYPE_CHECKING:
    from numpy.typing import NDArray

HINT = "Correct `transform` in the use case's transform.py."
DTYPES = ("uint8", "int32", "float32")
"""What tensors are stored as, and what networks take: a picture stays ``uint8`` until the model casts it."""
INPUTS = ("image", "text")


class Preprocessor:
    """A use case's ``transform``, checked at every call.

    :param path: the code file; it defines ``transform(sample, **parameters)``, a pure function that returns an array
        of the same shape and dtype (``uint8``, ``int32`` or ``float32``) for every sample. A sample is a
        ``PIL.Image.Image``, or a ``str`` where the file says ``INPUT = "text"``.
    :param shape: what every sample must have; ``None`` takes the first sample's.
    :param parameters: handed to ``transform`` by name.
    :raises UserError: the file cannot be imported or lacks the function.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...] | None = None, parameters: Mapping[str, Any] | None = None
    ) -> None:
        self._transform = load_function(path, "transform")
        self._parameters = dict(parameters or {})
        self.shape = shape
        self.dtype = ""
        self.input: str = getattr(self._transform, "__globals__", {}).get("INPUT", "image")
        if self.input not in INPUTS:
            raise UserError(f"{path.name} says INPUT = {self.input!r}.", hint=f"Inputs: {', '.join(INPUTS)}.")

    def __call__(self, sample: Any, name: str) -> "NDArray[Any]":
        """Return one sample's tensor.

        :param sample: a picture or a text.
        :param name: how a message names the sample, for example its id.
        :raises UserError: ``transform`` raised, or returned something else.
        """
        with Blame(f"transform failed on sample {name}", hint=HINT):
            tensor = self._transform(sample, **self._parameters)
        return self._checked(tensor, name)

    def _checked(self, tensor: object, sample: str) -> "NDArray[Any]":
        import numpy as np

        if not isinstance(tensor, np.ndarray):
            self._reject(sample, f"a {type(tensor).__name__}, not an array")
        dtype = str(tensor.dtype)
        if dtype not in DTYPES:
            self._reject(sample, f"{dtype}, not one of {', '.join(DTYPES)}")
        if not tensor.ndim or not tensor.size:
            self._reject(sample, f"the shape {tensor.shape}, which holds nothing")
        if self.input == "image" and tensor.ndim != 3:
            self._reject(sample, f"the shape {tensor.shape}, not (height, width, channels)")
        if tensor.shape != (self.shape or tensor.shape):
            self._reject(sample, f"the shape {tensor.shape}, not {self.shape} as before")
        if dtype != (self.dtype or dtype):
            self._reject(sample, f"{dtype}, not {self.dtype} as before")
        if dtype == "float32" and not np.isfinite(tensor).all():
            self._reject(sample, "values that are no finite numbers")
        self.shape, self.dtype = tensor.shape, dtype
        return tensor

    def _reject(self, sample: str, found: str) -> NoReturn:
        raise UserError(f"transform returned {found}, for sample {sample}.", hint=HINT)
