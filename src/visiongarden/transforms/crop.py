"""Crop a random part of an image (Szegedy et al. 2014, GoogLeNet, section 6)."""

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
    """Crop a random part of an image and resize it to the canvas, changing its aspect ratio.

    After ten crops that do not fit into the image, the whole image is resized.

    Args:
        image: uint8 (height, width, 3).
        size: (height, width) of the canvas.
        area: smallest and largest fraction of the image's area.
        ratio: smallest and largest aspect ratio (width / height), sampled log-uniformly.
        random: random number generator.

    Returns:
        uint8 (*size, 3).
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
