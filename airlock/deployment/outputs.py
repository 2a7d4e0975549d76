"""What a package gives: each output by name, of a kind that says how its tensor becomes an answer."""

from typing import Annotated, Any, Literal

import msgspec

from airlock.deployment.inputs import Name, Positive, Shape

RESERVED = ("label", "probability", "probabilities", "manifest")
"""Fields at the top of an answer: no output may be called so, but the classes' ``probabilities``."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Tolerance = Annotated[float, msgspec.Meta(ge=0)]


class Output(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every kind of output has.

    :param name: the key it is answered under.
    :param source: ``model``: a tensor of the model; ``postprocessing``: the package's ``postprocess`` returns it.
    :param tensor: the model's own name of the tensor; by default ``name``, or the only one there is.
    """

    name: Name
    source: Literal["model", "postprocessing"] = "model"
    tensor: str = ""


class ArrayOutput(Output, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An output that is an array.

    :param shape: of one sample.
    :param tolerance: largest absolute difference at which two outputs count as the same.
    """

    shape: Shape
    dtype: Literal["uint8", "int32", "int64", "float32"] = "float32"
    tolerance: Tolerance = 1e-4

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Shape of one sample's array."""
        return tuple(self.shape)


class ClassOutput(Output, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One float32 figure for each class, in the order of ``classes``.

    :param tolerance: as of an array; wider than one step of an 8-bit output (1/256), because processors round
        differently.
    """

    classes: Annotated[list[str], msgspec.Meta(min_length=1)]
    tolerance: Tolerance = 0.005
    dtype: Literal["float32"] = "float32"

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Shape of one sample's array."""
        return (len(self.classes),)


class Probabilities(ClassOutput, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="probabilities"):
    """Probabilities of classes that exclude each other: ``{"label", "probability", "probabilities": {class: …}}``."""

    name: Name = "probabilities"


class Labels(ClassOutput, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="labels"):
    """Those classes that reach a threshold, the surest first: ``[{"label", "score"}, …]``; several may hold at once.

    :param threshold: least score.
    :param top: most labels.
    """

    threshold: Share = 0.0
    top: Positive | None = None


class Vector(ArrayOutput, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="vector"):
    """Numbers without more meaning, such as an embedding or a regression's: the array."""


class Mask(ArrayOutput, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="mask"):
    """Which class each pixel has: ``{"png", "classes"}``, a grey PNG (base64) of class numbers.

    ``shape`` is height, width: class numbers, or scores of one class against a threshold; or height, width, classes:
    scores, of which the largest wins.
    """

    classes: list[str] = []
    threshold: Share = 0.5
    shape: Annotated[list[Positive], msgspec.Meta(min_length=2, max_length=3)]


class Heatmap(ArrayOutput, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="heatmap"):
    """A figure for each pixel: the array; ``shape`` is height, width."""

    shape: Annotated[list[Positive], msgspec.Meta(min_length=2, max_length=2)]


class Picture(ArrayOutput, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="image"):
    """An image, ``uint8`` 0…255 or ``float32`` 0…1: ``{"png"}``, base64; ``shape`` is height, width, 1 or 3."""

    shape: Annotated[list[Positive], msgspec.Meta(min_length=3, max_length=3)]


class Contour(ArrayOutput, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="contour"):
    """A closed line: the array; ``shape`` is points, 2 (x and y in pixels)."""

    shape: Annotated[list[Positive], msgspec.Meta(min_length=2, max_length=2)]


class Custom(Output, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="custom"):
    """Any JSON that the postprocessing returns; two are the same when their words are, and their figures within
    ``tolerance``.
    """

    source: Literal["model", "postprocessing"] = "postprocessing"
    tolerance: Tolerance = 0.005


AnyArray = Probabilities | Labels | Vector | Mask | Heatmap | Picture | Contour
AnyOutput = AnyArray | Custom
Answer = dict[str, Any]
"""JSON, but for large arrays, which stay NumPy's."""
