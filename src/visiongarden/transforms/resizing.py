"""`Resize`: stretch an image to the canvas."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.transforms.transform import Context, Warp, size_of
from visiongarden.types import ImageSize


@register
class Resize(Warp):
    """Stretch an image to the canvas, changing its aspect ratio.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (20, 40))
        >>> sample = vg.samples.Sample(info, np.zeros((20, 40, 3), np.uint8))
        >>> pipeline = vg.transforms.Pipeline(
        ...     [Resize()], [sample], size=(80, 80), capacity=1, epochs=1, seed=0
        ... )
        >>> pipeline(0, epoch=0).info.placement.diagonal().tolist()
        [2.0, 4.0, 1.0]
    """

    random: ClassVar[bool] = False

    def matrix(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[np.ndarray, ImageSize]:
        """Return the matrix to the canvas, and its size."""
        (height, width), size = size_of(sample), context.size
        return np.diag([size[1] / width, size[0] / height, 1.0]), size
