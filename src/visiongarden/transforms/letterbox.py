"""`Letterbox`: fit an image into the canvas."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.transforms.transform import Context, Warp, size_of
from visiongarden.types import ImageSize


@register
class Letterbox(Warp):
    """Scale an image to fit into the canvas, keeping its aspect ratio, and center it.

    Sides are rounded to whole pixels, so that pixels are those of evaluation and prediction.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (20, 40))
        >>> sample = vg.samples.Sample(info, np.zeros((20, 40, 3), np.uint8))
        >>> pipeline = vg.transforms.Pipeline(
        ...     [Letterbox()], [sample], size=(80, 80), capacity=1, epochs=1, seed=0
        ... )
        >>> pipeline(0, epoch=0).info.placement.tolist()
        [[2.0, 0.0, 0.0], [0.0, 2.0, 20.0], [0.0, 0.0, 1.0]]
    """

    random: ClassVar[bool] = False

    def matrix(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[np.ndarray, ImageSize]:
        """Return the matrix to the canvas, and its size."""
        (height, width), size = size_of(sample), context.size
        ratio = min(size[0] / height, size[1] / width)
        rows, columns = max(round(height * ratio), 1), max(round(width * ratio), 1)
        top, left = (size[0] - rows) // 2, (size[1] - columns) // 2
        matrix = [[columns / width, 0, left], [0, rows / height, top], [0, 0, 1]]
        return np.array(matrix, np.float64), size
