"""What a package says about itself: ``airlock.json``, and ``samples.json`` beside it.

``package.schema.json`` is the published JSON Schema of ``airlock.json``, made from these types.
"""

from typing import Annotated, Any, Literal

import msgspec

from airlock.errors import UserError

HEADER = "X-Airlock-Manifest"  # names the manifest digest in every answer
CONFIG = "airlock.json"
SAMPLES = "samples.json"
LICENCE = "LICENSE"
FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/bmp": "BMP", "image/webp": "WEBP"}

Positive = Annotated[int, msgspec.Meta(ge=1)]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request may cost.

    :param body_bytes: bytes of a request's body.
    :param side: pixels along the longer side of an image, read from its header before it is decoded.
    :param pixels: width times height of an image, likewise.
    :param batch: images in one tensor.
    """

    body_bytes: Positive = 8 << 20
    side: Positive = 8192
    pixels: Positive = 16_000_000
    batch: Positive = 256


class ImageInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Images, as they arrive and as the model sees them.

    :param mode: Pillow mode that every image is converted to before the preprocessing: ``L`` or ``RGB``.
    :param width: pixels of the tensor that the preprocessing makes; likewise ``height``, ``channels``.
    :param mime_types: what may be uploaded.
    """

    kind: Literal["image"] = "image"
    mode: Literal["L", "RGB"]
    width: Positive
    height: Positive
    channels: Positive
    mime_types: list[str] = msgspec.field(default_factory=lambda: list(FORMATS))
    limits: Limits = Limits()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels of one tensor."""
        return self.height, self.width, self.channels


class Probabilities(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One probability per class, in the order of ``classes``.

    :param tolerance: largest absolute difference at which two outputs count as the same; wider than one
        step of an 8-bit output (1/256), because processors round differently.
    """

    kind: Literal["probabilities"] = "probabilities"
    tolerance: float = 0.005


class Licences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SPDX names, or words, for the code and for the data the model learnt from."""

    code: str = "not declared"
    data: str = "not declared"


class PackageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of ``airlock.json``.

    :param name: the model's name in the URL of the inference protocol.
    :param classes: names in the order of the outputs.
    :param model: file in the package; likewise ``preprocessing`` (``transform(image) -> uint8 HxWxC``), ``samples``.
    :param preprocessing_parameters: handed to ``transform`` by name.
    :param metrics: figures measured before packaging, by name.
    :param manifest: digest of the candidate manifest this was packaged from.
    """

    airlock_package: Literal[1] = 1
    name: str
    use_case: str
    classes: list[str]
    input: ImageInput
    output: Probabilities = Probabilities()
    engine: Literal["litert"] = "litert"
    model: str = "model.tflite"
    preprocessing: str = "preprocessing.py"
    preprocessing_parameters: dict[str, Any] = {}
    samples: str = SAMPLES
    licences: Licences = Licences()
    metrics: dict[str, float] = {}
    manifest: str


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image and what the packaged model answers to it.

    :param file: path in the package.
    :param label: the true class.
    :param probabilities: the packaged model's own output, in the order of the classes.
    """

    file: str
    label: str
    probabilities: list[float]


def decode_config(data: bytes) -> PackageConfig:
    """Parse ``airlock.json``.

    :raises UserError: it is not a package configuration of version 1.
    """
    try:
        return msgspec.json.decode(data, type=PackageConfig)
    except msgspec.MsgspecError as error:
        raise UserError(
            f"{CONFIG} is not valid: {error}.", hint="Build the package again with this version."
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
