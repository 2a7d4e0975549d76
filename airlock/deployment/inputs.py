"""What a package takes: images, texts and tensors, each by name, each with the sizes it may have."""

from typing import Annotated, Any, Literal

import msgspec

NAME = r"^[A-Za-z][A-Za-z0-9_\-]{0,63}$"
FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/bmp": "BMP", "image/webp": "WEBP"}
"""Pillow's name of each format of images that may be uploaded."""
TENSORS = ("application/json", "application/octet-stream", "application/x-npy")
"""Nested lists; the values one after the other, row by row, little-endian; NumPy's file format."""

Positive = Annotated[int, msgspec.Meta(ge=1)]
Name = Annotated[str, msgspec.Meta(pattern=NAME)]
Shape = Annotated[list[Positive], msgspec.Meta(max_length=8)]
Dtype = Literal["uint8", "int32", "float32"]


class Code(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Python file of the package: one pure function.

    :param file: path in the package.
    :param digest: of its content, ``sha256:…``.
    :param parameters: handed to the function by name.
    """

    file: str
    digest: str
    parameters: dict[str, Any] = {}


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every kind of input has.

    :param name: the key it is sent under.
    :param tensor: the model's own name of the tensor; by default ``name``, or the only one there is.
    :param shape: of one sample's tensor, as the preprocessing makes it; ``dtype`` likewise.
    :param mime_types: what may be sent.
    """

    name: Name
    tensor: str = ""
    shape: Shape
    dtype: Dtype = "uint8"

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Shape of one sample's tensor."""
        return tuple(self.shape)


class ImageLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param bytes: of the encoded image.
    :param side: pixels along the longer side, read from the header before a pixel is decoded; ``pixels`` width times
        height, likewise.
    """

    bytes: Positive = 8 << 20
    side: Positive = 8192
    pixels: Positive = 16_000_000


class ImageInput(Input, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="image"):
    """An encoded image; ``shape`` is height, width, channels of the tensor.

    :param mode: Pillow mode that every image is converted to before the preprocessing.
    :param preprocessing: ``transform(image, **parameters)`` returns the tensor.
    """

    mode: Literal["L", "RGB"]
    shape: Annotated[list[Positive], msgspec.Meta(min_length=3, max_length=3)]
    mime_types: list[Literal["image/png", "image/jpeg", "image/bmp", "image/webp"]] = msgspec.field(
        default_factory=lambda: list(FORMATS)  # type: ignore[arg-type]
    )
    limits: ImageLimits = ImageLimits()
    preprocessing: Code


class TextInput(Input, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="text"):
    """A text in UTF-8.

    :param max_characters: a longer one is refused.
    :param preprocessing: ``transform(text, **parameters)`` returns the tensor.
    """

    max_characters: Positive = 100_000
    mime_types: list[Literal["text/plain"]] = msgspec.field(default_factory=lambda: ["text/plain"])
    preprocessing: Code


class TensorInput(Input, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="tensor"):
    """A tensor as the model takes it: there is no preprocessing, and NaN and infinity are refused."""

    mime_types: list[Literal["application/json", "application/octet-stream", "application/x-npy"]] = msgspec.field(
        default_factory=lambda: list(TENSORS)  # type: ignore[arg-type]
    )


AnyInput = ImageInput | TextInput | TensorInput
