"""What a sample must be to stay in a dataset. Declared in a DAG, applied by :mod:`airlock.data.cleaning`."""

from typing import Literal

import msgspec


class ImageRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which images are kept.

    :param mode: Pillow's mode: ``L`` is grey, 8 bits.
    :param min_side: pixels; neither width nor height may be below.
    :param max_side: pixels; neither may be above. Checked before the pixels are decoded.
    """

    mode: Literal["L", "RGB", "RGBA"] = "L"
    min_side: int = 1
    max_side: int = 8192

    def violation(self, width: int, height: int, mode: str) -> str:
        """Return the rule an image breaks, empty when it breaks none."""
        if min(width, height) < self.min_side:
            return f"it is {width}x{height} pixels, a side is below min_side={self.min_side}"
        if max(width, height) > self.max_side:
            return f"it is {width}x{height} pixels, a side is above max_side={self.max_side}"
        return f"its mode is {mode}, not {self.mode}" if mode != self.mode else ""


class LabelRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which labels are known.

    :param classes: their names. A sample without a label is kept: labelling comes later.
    """

    classes: tuple[str, ...]

    def violation(self, label: str | None) -> str:
        """Return why a label is refused, empty when it is not."""
        if label is None or label in self.classes:
            return ""
        return f"its label {label!r} is none of the classes {', '.join(self.classes)}"
