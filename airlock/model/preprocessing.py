"""Runs a use case's ``transform(image)``, in training and in serving: the same file, the same checks.

Needs numpy and Pillow only.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from airlock.errors import UserError
from airlock.model.usercode import Blame, load_function

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

HINT = "Correct `transform` in the use case's transform.py."


class Preprocessor:
    """A use case's ``transform``, checked at every call.

    :param path: the code file; it defines ``transform(image: PIL.Image.Image)``, which returns ``uint8
        [height, width, channels]``.
    :param shape: what every sample must have; ``None`` takes the first sample's.
    :raises UserError: the file cannot be imported or lacks the function.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int] | None = None) -> None:
        self._transform = load_function(path, "transform")
        self.shape = shape

    def __call__(self, image: "Image", sample: str) -> "NDArray[np.uint8]":
        """Return one sample's tensor.

        :param sample: how a message names the sample, for example its id.
        :raises UserError: ``transform`` raised, or returned something else.
        """
        with Blame(f"transform failed on sample {sample}", hint=HINT):
            tensor = self._transform(image)
        self._check(tensor, sample)
        return tensor  # type: ignore[no-any-return]

    def _check(self, tensor: object, sample: str) -> None:
        import numpy as np

        if not isinstance(tensor, np.ndarray):
            self._reject(sample, f"a {type(tensor).__name__}, not an array")
        elif tensor.dtype != np.uint8:
            self._reject(sample, f"{tensor.dtype}, not uint8")
        elif tensor.ndim != 3:
            self._reject(sample, f"the shape {tensor.shape}, not (height, width, channels)")
        elif self.shape is None:
            self.shape = tensor.shape
        elif tensor.shape != self.shape:
            self._reject(sample, f"the shape {tensor.shape}, not {self.shape} as before")

    def _reject(self, sample: str, found: str) -> None:
        raise UserError(f"transform returned {found}, for sample {sample}.", hint=HINT)
