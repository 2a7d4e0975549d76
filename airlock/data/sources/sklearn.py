"""Images that scikit-learn carries in its package: nothing to download."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from airlock.data.download import Report
from airlock.data.samples import Sample

if TYPE_CHECKING:
    import numpy as np

# The digits' values are 0 to 16; times 15 they fill a byte and divide back without loss.
SCALE = 15


class Sklearn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="sklearn"):
    """A bundled image set.

    :param location: its name; ``digits`` has 1,797 handwritten digits of 8x8 pixels.
    """

    location: Literal["digits"] = "digits"

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator["ArraySamples"]:  # noqa: ARG002 - nothing to download
        """Load the arrays."""
        import numpy as np
        from sklearn.datasets import load_digits

        digits = load_digits()
        yield ArraySamples((digits.images * SCALE).astype(np.uint8), digits.target, self.location)

    def fingerprint(self) -> str:
        """Version of scikit-learn."""
        return metadata.version("scikit-learn")


class ArraySamples:
    """Samples from arrays.

    :param images: uint8 (count, height, width).
    :param labels: integers (count,); the class is the number's text.
    :param name: of the set.
    """

    def __init__(self, images: "np.ndarray", labels: "np.ndarray", name: str) -> None:
        self.images = images
        self.labels = labels
        self.name = name

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        from airlock.data.images import encode_png

        return Sample(
            source=f"{self.name}#{index}",
            content=encode_png(self.images[index]),
            label=str(self.labels[index]),
            origin=f"scikit-learn load_{self.name}",
        )
