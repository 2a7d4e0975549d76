"""What the digits model sees: 8×8 grey values. The same file runs in training and in the server."""

import numpy as np
from PIL import Image

SIDE = 8


def transform(image: Image.Image) -> np.ndarray:
    """Return a picture as ``uint8 [8, 8, 1]``; a larger one is averaged down."""
    grey = image.convert("L")
    if grey.size != (SIDE, SIDE):
        grey = grey.resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.uint8)[..., np.newaxis]
