"""The model of a package, ready to answer: its own preprocessing in front of its own model.

The same :class:`~airlock.model.litert.LiteModel` and :class:`~airlock.model.preprocessing.Preprocessor` measured
the candidate, so serving cannot drift away from training by having code of its own.
"""

import tempfile
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from airlock.deployment.images import decode_image
from airlock.deployment.package import Package
from airlock.errors import IntegrityError, UserError
from airlock.model.litert import LiteModel
from airlock.model.preprocessing import Preprocessor


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How far a sample's answer is from the one in the package: largest absolute difference."""

    file: str
    difference: float


class ServedModel:
    """Preprocessing and model of a package. Not safe for two threads at once.

    :param package: its files, as they were hashed: what runs is loaded from a private copy of them.
    :raises UserError: the model and ``airlock.json`` contradict each other.
    """

    def __init__(self, package: Package) -> None:
        self.package = package
        self.config = package.config
        with tempfile.TemporaryDirectory(prefix="airlock-package-") as folder:
            package.write(Path(folder))
            self._model = LiteModel(Path(folder) / self.config.model)
            code = Path(folder) / self.config.preprocessing
            self._transform = Preprocessor(code, self.config.input.shape, self.config.preprocessing_parameters)
        found = self._model.shape, self._model.classes
        stated = self.config.input.shape, len(self.config.classes)
        if found != stated:
            raise UserError(
                f"The model has (shape, classes) {found}, airlock.json says {stated}.", hint="Package again."
            )

    def prepare(self, image: bytes, name: str = "the image") -> NDArray[np.uint8]:
        """Return the tensor (height, width, channels) of an encoded image.

        :raises SourceError: it cannot be read.
        """
        tensor: NDArray[np.uint8] = self._transform(decode_image(image, self.config.input), name)
        return tensor

    def predict(self, image: bytes, name: str = "the image") -> NDArray[np.float32]:
        """Return the probabilities (classes,) of an encoded image."""
        row: NDArray[np.float32] = self.infer(self.prepare(image, name)[np.newaxis])[0]
        return row

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities (n, classes) of a batch of tensors (n, height, width, channels)."""
        return self._model.predict(batch)

    def differences(self) -> list[Difference]:
        """Compare every sample's answer with the one the package states."""
        return [
            Difference(file=sample.file, difference=self._difference(sample.file, sample.probabilities))
            for sample in self.package.samples
        ]

    def require_samples(self) -> None:
        """Fail unless every sample is answered as the package states.

        :raises IntegrityError: this machine, engine or preprocessing computes something else.
        """
        tolerance = self.config.output.tolerance
        wrong = [item for item in self.differences() if not item.difference <= tolerance]
        if wrong:
            named = ", ".join(f"{item.file} by {item.difference:.3g}" for item in wrong[:3])
            raise IntegrityError(
                f"{len(wrong)} of the package's samples differ by more than {tolerance}: {named}.",
                hint="Serve with the engine version the package was built with.",
            )

    def _difference(self, file: str, stated: list[float]) -> float:
        answer = self.predict(self.package.file(file), file)
        if len(stated) != len(answer):
            return float("inf")
        return float(np.max(np.abs(answer - np.asarray(stated, np.float32))))
