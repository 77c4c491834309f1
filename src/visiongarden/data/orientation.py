"""Apply an EXIF orientation to an image of any type and number of channels."""

from __future__ import annotations

import numpy as np


def oriented(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return an image as a viewer displays it.

    Args:
        image: array (height, width, ...), as stored.
        orientation: 1 to 8 (TIFF 6.0, tag 274).
    """
    if orientation >= 5:  # stored rows are displayed as columns
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
