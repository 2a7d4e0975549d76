"""What the fashion model sees: 28×28 grey values. The same file runs in training and in the server."""

import numpy as np
from PIL import Image

SIDE = 28


def transform(image: Image.Image) -> np.ndarray:
    """Return a picture as ``uint8 [28, 28, 1]``; one of another size is resampled."""
    grey = image.convert("L")
    if grey.size != (SIDE, SIDE):
        grey = grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(grey, dtype=np.uint8)[..., np.newaxis]
