"""What a package says about itself: ``airlock.json``, and ``samples.json`` beside it.

``package.schema.json`` is the published JSON Schema of ``airlock.json``, made from these types. One contract for every
model, with typed inputs and outputs, licences and samples, is what ModelHub.AI taught (Hosny et al. 2019).
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from airlock.deployment.inputs import AnyInput, Code, Name, Positive
from airlock.deployment.outputs import RESERVED, AnyArray, AnyOutput, ClassOutput, Custom, Mask, Picture, Probabilities
from airlock.errors import UserError

HEADER = "X-Airlock-Manifest"  # names the manifest digest in every answer
CONFIG = "airlock.json"
SAMPLES = "samples.json"
LICENCE = "LICENSE"
FORMAT = 2
UNDECLARED = "not declared"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request may cost, and what the model itself.

    :param body_bytes: bytes of a request's body.
    :param batch: samples in one tensor.
    :param memory_bytes: most that the server may hold, resident.
    :param seconds: longest time for the answer to one sample.
    """

    body_bytes: Positive = 8 << 20
    batch: Positive = 256
    memory_bytes: Positive = 1 << 30
    seconds: float = 5.0


class Licences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SPDX expressions: of the model and its code, and of the sample data (what the model learnt from)."""

    code: str = UNDECLARED
    data: str = UNDECLARED


class Provenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a package comes from, as its candidate's manifest says.

    :param data: digest of the data manifest; ``dataset`` and ``labels`` digests of the versions it names.
    :param network: digest of the network's code; ``code`` commit and what was not committed.
    :param created_by: the program that packaged it.
    """

    data: str = ""
    dataset: str = ""
    labels: str = ""
    network: str = ""
    code: dict[str, str] = {}
    created_by: str = ""


class PackageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of ``airlock.json``.

    :param name: the model's name in the URL of the inference protocol.
    :param manifest: digest of the candidate manifest this was packaged from.
    :param model: file in the package that ``engine`` runs.
    :param postprocessing: ``postprocess(outputs, **parameters)``: one sample's outputs of the model by name, as arrays;
        returns those outputs whose source it is, by name.
    :param metrics: figures measured before packaging, by name.
    """

    airlock_package: Literal[2] = 2
    name: Name
    use_case: str
    manifest: str
    provenance: Provenance = Provenance()
    licences: Licences = Licences()
    engine: Literal["litert", "onnx"] = "litert"
    model: str = "model.tflite"
    inputs: list[AnyInput]
    outputs: list[AnyOutput]
    postprocessing: Code | None = None
    samples: str = SAMPLES
    metrics: dict[str, float] = {}
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        :raises ValueError: names the field.
        """
        _require_names("inputs", [each.name for each in self.inputs])
        _require_names("outputs", [each.name for each in self.outputs])
        for output in self.outputs:
            _require_sound(output, self.postprocessing is not None)

    @property
    def arrays(self) -> list[AnyArray]:
        """The outputs that the model gives."""
        return [each for each in self.outputs if each.source == "model" and not isinstance(each, Custom)]

    @property
    def probabilities(self) -> Probabilities | None:
        """The first output that says how probable each class is; it lies at the top of an answer."""
        return next((each for each in self.outputs if isinstance(each, Probabilities)), None)

    @property
    def tolerance(self) -> float:
        """The widest of the outputs' tolerances: what two whole answers may be apart."""
        return max(each.tolerance for each in self.outputs)

    @property
    def classes(self) -> list[str]:
        """Class names of the first output that has figures for classes; none where there is no such output."""
        return next((each.classes for each in self.outputs if isinstance(each, ClassOutput)), [])


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be sent, and what the package answers to it.

    :param files: path in the package by input's name.
    :param types: MIME type by input's name.
    :param label: the true class, where there is one.
    :param outputs: what the package itself answered, by output's name: an array as nested lists, or custom JSON.
    """

    files: dict[str, str]
    types: dict[str, str]
    label: str = ""
    outputs: dict[str, Any]

    @property
    def file(self) -> str:
        """The first file: what a message calls the sample by."""
        return next(iter(self.files.values()))


def decode_config(data: bytes) -> PackageConfig:
    """Parse ``airlock.json``.

    :raises UserError: it is not a package configuration of this version.
    """
    try:
        return msgspec.json.decode(data, type=PackageConfig)
    except msgspec.MsgspecError as error:
        raise UserError(
            f"{CONFIG} is not valid: {error}.", hint="Correct it (docs/packages.md), or build the package again."
        ) from error


def decode_samples(data: bytes) -> list[Sample]:
    """Parse ``samples.json``."""
    try:
        return msgspec.json.decode(data, type=list[Sample])
    except msgspec.MsgspecError as error:
        raise UserError(f"{SAMPLES} is not valid: {error}.", hint="Build the package again.") from error


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of ``airlock.json``."""
    return {"$schema": DIALECT} | msgspec.json.schema(PackageConfig)


def _require_names(field: str, names: Iterable[str]) -> None:
    counts = Counter(names)
    if not counts:
        raise ValueError(f"there are no {field}")
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"{field} name {twice[0]!r} twice")


def _require_sound(output: AnyOutput, postprocessed: bool) -> None:
    if output.source == "postprocessing" and not postprocessed:
        raise ValueError(f"output {output.name!r} comes from a postprocessing, and there is none")
    if isinstance(output, Custom) and output.source == "model":
        raise ValueError(f"output {output.name!r} is custom, which no model gives")
    if output.name in RESERVED and not (isinstance(output, Probabilities) and output.name == "probabilities"):
        raise ValueError(f"output {output.name!r} is called like a field of every answer")
    if isinstance(output, Picture) and output.shape[2] not in (1, 3):
        raise ValueError(f"output {output.name!r} has {output.shape[2]} channels, not 1 or 3")
    if isinstance(output, Mask) and len(output.shape) == 3 and len(output.classes) not in (0, output.shape[2]):
        raise ValueError(f"output {output.name!r} has {output.shape[2]} scores a pixel, {len(output.classes)} classes")
