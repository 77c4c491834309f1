"""`CenterCrop`: fill the canvas with the center of an image."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.transforms.transform import Context, Warp, size_of
from visiongarden.types import ImageSize


@register
class CenterCrop(Warp):
    """Scale an image to cover the canvas, keeping its aspect ratio, and crop its center.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (20, 40))
        >>> sample = vg.samples.Sample(info, np.zeros((20, 40, 3), np.uint8))
        >>> pipeline = vg.transforms.Pipeline(
        ...     [CenterCrop()], [sample], size=(80, 80), capacity=1, epochs=1, seed=0
        ... )
        >>> pipeline(0, epoch=0).info.placement.tolist()
        [[4.0, 0.0, -40.0], [0.0, 4.0, 0.0], [0.0, 0.0, 1.0]]
    """

    random: ClassVar[bool] = False

    def matrix(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[np.ndarray, ImageSize]:
        """Return the matrix to the canvas, and its size."""
        (height, width), size = size_of(sample), context.size
        ratio = max(size[0] / height, size[1] / width)
        rows, columns = max(round(height * ratio), size[0]), max(round(width * ratio), size[1])
        top, left = (rows - size[0]) // 2, (columns - size[1]) // 2
        matrix = [[columns / width, 0, -left], [0, rows / height, -top], [0, 0, 1]]
        return np.array(matrix, np.float64), size
