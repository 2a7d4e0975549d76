"""The model of a package, ready to answer: its own preprocessing, its own model, its own postprocessing.

The same :func:`~airlock.model.runtimes.open_model` and :class:`~airlock.model.preprocessing.Preprocessor` measured
the candidate, so serving cannot drift away from training by having code of its own.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from airlock.deployment import answers, decoding
from airlock.deployment.binding import Binding
from airlock.deployment.config import Sample
from airlock.deployment.inputs import AnyInput, Code, TensorInput
from airlock.deployment.outputs import Answer
from airlock.deployment.package import Package
from airlock.deployment.postprocessing import Postprocessor
from airlock.digests import digest_bytes
from airlock.errors import IntegrityError, SourceError
from airlock.model.preprocessing import Preprocessor

Row = Mapping[str, NDArray[Any]]
"""One sample's outputs of the model, by output's name, without the batch axis."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How far a sample's answer is from the one in the package.

    :param difference: largest absolute one of ``output``.
    """

    file: str
    output: str
    difference: float
    tolerance: float

    @property
    def close(self) -> bool:
        """Do they count as the same?"""
        return self.difference <= self.tolerance


class ServedModel:
    """A package's model with what comes before and after it. Not safe for two threads at once.

    :param package: its files, as they were hashed: what runs is loaded from a private copy of them.
    :param threads: CPU threads of one prediction.
    :raises UserError: the files and ``airlock.json`` contradict each other.
    """

    def __init__(self, package: Package, threads: int = 1) -> None:
        self.package = package
        self.config = package.config
        with tempfile.TemporaryDirectory(prefix="airlock-package-") as folder:
            package.write(Path(folder))
            self._model = Binding(Path(folder) / self.config.model, self.config, threads)
            self._before = {
                each.name: Preprocessor(
                    self._code(each.preprocessing, folder), each.dimensions, each.preprocessing.parameters
                )
                for each in self.config.inputs
                if not isinstance(each, TensorInput)
            }
            after = self.config.postprocessing
            self._after = Postprocessor(self._code(after, folder), self.config) if after else None

    def prepare(
        self, sent: Mapping[str, bytes], types: Mapping[str, str] | None = None, name: str = "the request"
    ) -> dict[str, NDArray[Any]]:
        """Return one sample's tensors by input's name.

        :param sent: what was sent, by input's name.
        :param types: MIME type by input's name; where there is none, any that the input accepts.
        :param name: how a message names the sample.
        :raises SourceError: an input is missing, unknown, or cannot be read within its limits.
        """
        known = {each.name for each in self.config.inputs}
        if sent.keys() != known:
            raise SourceError(
                f"{name} has the inputs {', '.join(sorted(sent)) or 'none'}, not {', '.join(sorted(known))}.",
                hint="Send each under its name.",
            )
        return {
            each.name: self._tensor(each, sent[each.name], (types or {}).get(each.name, ""), name)
            for each in self.config.inputs
        }

    def infer(self, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the model's outputs by output's name.

        :param batch: tensors by input's name; their first axis is the batch, as it is of what is returned.
        :raises UserError: another dtype or shape than the model's.
        :raises ModelError: the model gives values that are no finite numbers.
        """
        return self._model.run(batch)

    def values(self, row: Row) -> dict[str, Any]:
        """Return all outputs of one sample by name, postprocessed: arrays, and custom JSON.

        :raises ModelError: the postprocessing fails, or returns something else than it should.
        """
        return dict(row) | (self._after(row) if self._after else {})

    def answer(self, row: Row) -> Answer:
        """Return the document for one sample: JSON, but for large arrays, which stay NumPy's."""
        return answers.document(self.values(row), self.config)

    def predict(
        self, sent: Mapping[str, bytes], types: Mapping[str, str] | None = None, name: str = "the request"
    ) -> Answer:
        """Go the whole way with one sample."""
        return self.answer(self._row(sent, types, name))

    def values_of(
        self, sent: Mapping[str, bytes], types: Mapping[str, str] | None = None, name: str = "the request"
    ) -> dict[str, Any]:
        """Go the whole way with one sample, but for the document."""
        return self.values(self._row(sent, types, name))

    def differences(self) -> list[Difference]:
        """Compare every output of every sample with the one the package states."""
        return [found for sample in self.package.samples for found in self._differences(sample)]

    def require_samples(self) -> None:
        """Fail unless every sample is answered as the package states.

        :raises IntegrityError: this machine, engine or code computes something else.
        """
        wrong = [item for item in self.differences() if not item.close]
        if wrong:
            named = ", ".join(f"{item.file} by {item.difference:.3g}" for item in wrong[:3])
            raise IntegrityError(
                f"{len({item.file for item in wrong})} of the package's samples differ by more than "
                f"{wrong[0].tolerance}: {named}.",
                hint="Serve with the engine version the package was built with.",
            )

    def _differences(self, sample: Sample) -> list[Difference]:
        found = self.values_of(self.package.sent(sample), sample.types, sample.file)
        return [
            Difference(
                file=sample.file,
                output=each.name,
                difference=answers.difference(found[each.name], sample.outputs.get(each.name)),
                tolerance=each.tolerance,
            )
            for each in self.config.outputs
        ]

    def _row(self, sent: Mapping[str, bytes], types: Mapping[str, str] | None, name: str) -> Row:
        tensors = self.prepare(sent, types, name)
        outputs = self.infer({key: tensor[np.newaxis] for key, tensor in tensors.items()})
        return {key: output[0] for key, output in outputs.items()}

    def _tensor(self, expected: AnyInput, data: bytes, mime_type: str, name: str) -> NDArray[Any]:
        decoded = decoding.decode(data, expected, mime_type)
        if isinstance(decoded, np.ndarray):
            return decoded
        return self._before[expected.name](decoded, name)

    def _code(self, code: Code, folder: str) -> Path:
        if digest_bytes(self.package.file(code.file)) != code.digest:
            raise IntegrityError(
                f"{code.file} is not the code that airlock.json names.", hint="Build the package again."
            )
        return Path(folder) / code.file
