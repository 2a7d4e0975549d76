"""``transform.py`` as a software engineer writes it for production: a revision to try, see ``revision_dag.py``."""

import numpy as np
from PIL import Image

SIZE = (8, 8)


def transform(image: Image.Image) -> np.ndarray:
    """Return a picture as ``uint8 [8, 8, 1]``; a larger one is averaged down."""
    return np.expand_dims(np.array(_fitted(image.convert("L")), dtype=np.uint8), axis=-1)


def _fitted(grey: Image.Image) -> Image.Image:
    return grey if grey.size == SIZE else grey.resize(SIZE, Image.Resampling.BOX)
