"""`RandomCrop`: a random part of an image."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from visiongarden.registry import register
from visiongarden.samples import Sample, matrices
from visiongarden.transforms.transform import Context, Warp, size_of
from visiongarden.types import ImageSize


@register
class RandomCrop(Warp):
    """Crop a random part of an image, whose sides are sampled independently.

    The result has the size of the part; a transform that follows, or the end of the pipeline,
    enlarges it to the canvas.

    Attributes:
        min_side: smallest side of the part, as a fraction of the image's side.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (20, 40))
        >>> sample = vg.samples.Sample(info, np.zeros((20, 40, 3), np.uint8))
        >>> size = RandomCrop(min_side=0.5).matrix(sample, None, np.random.default_rng(0))[1]
        >>> 10 <= size[0] <= 20 and 20 <= size[1] <= 40
        True
    """

    min_side: Annotated[float, Field(gt=0, le=1)] = 0.5

    def matrix(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[np.ndarray, ImageSize]:
        """Return the matrix to the part, and its size."""
        height, width = size_of(sample)
        share = rng.uniform(self.min_side, 1, 2)
        columns, rows = np.maximum(np.round(share * (width, height)), 1).astype(int).tolist()
        x, y = int(rng.integers(width - columns + 1)), int(rng.integers(height - rows + 1))
        return matrices.shift(-x, -y), (rows, columns)
