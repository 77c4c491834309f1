"""A random part of an image fills the canvas: Szegedy et al. 2014 (GoogLeNet), section 6."""

from __future__ import annotations

import math

import numpy as np

from visiongarden.samples.resizing import resize
from visiongarden.types import ImageSize

_TRIES = 10


def random_crop(
    image: np.ndarray,
    size: ImageSize,
    area: tuple[float, float],
    ratio: tuple[float, float],
    random: np.random.Generator,
) -> np.ndarray:
    """A random part, scaled to the canvas; the whole image where no part was found that fits.

    Args:
        image: uint8 (height, width, 3).
        size: (height, width) of the canvas.
        area: least and most share of the image's area.
        ratio: least and most width / height, even over the logarithm.
        random: where the numbers come from.
    """
    height, width = image.shape[:2]
    for _ in range(_TRIES):
        pixels = height * width * random.uniform(*area)
        shape = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        rows, columns = round(math.sqrt(pixels / shape)), round(math.sqrt(pixels * shape))
        if 0 < rows <= height and 0 < columns <= width:
            top = int(random.integers(height - rows + 1))
            left = int(random.integers(width - columns + 1))
            image = image[top : top + rows, left : left + columns]
            break
    return resize(np.ascontiguousarray(image), size)
