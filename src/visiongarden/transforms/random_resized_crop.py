"""`RandomResizedCrop`: a random part of an image, stretched to the canvas."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.transforms.ranges import Ordered
from visiongarden.transforms.transform import Context, Warp, size_of
from visiongarden.types import ImageSize

_TRIES = 10

_Ratio = Annotated[float, Field(gt=0, le=100)]
_Area = Annotated[float, Field(gt=0, le=1)]


@register
class RandomResizedCrop(Warp):
    """Crop a random part of an image and stretch it to the canvas.

    Source: Szegedy et al. 2014 (GoogLeNet, arXiv 1409.4842), section 6, who use areas from 0.08 to
    1 for millions of images; the defaults suit hundreds to thousands. After ten parts that do not
    fit into the image, the whole image is stretched.

    Attributes:
        area: smallest and largest fraction of the image's area.
        ratio: smallest and largest aspect ratio (width / height), sampled log-uniformly.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (20, 40))
        >>> sample = vg.samples.Sample(info, np.zeros((20, 40, 3), np.uint8))
        >>> pipeline = vg.transforms.Pipeline(
        ...     [RandomResizedCrop()], [sample], size=(8, 8), capacity=1, epochs=1, seed=0
        ... )
        >>> pipeline(0, epoch=0).image.shape
        (8, 8, 3)
    """

    area: Annotated[tuple[_Area, _Area], Ordered] = (0.5, 1.0)
    ratio: Annotated[tuple[_Ratio, _Ratio], Ordered] = (0.75, 1.3333)

    def matrix(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[np.ndarray, ImageSize]:
        """Return the matrix to the canvas, and its size."""
        height, width = size_of(sample)
        top, left, rows, columns = self._part(height, width, rng)
        x, y = context.size[1] / columns, context.size[0] / rows
        matrix = [[x, 0, -left * x], [0, y, -top * y], [0, 0, 1]]
        return np.array(matrix, np.float64), context.size

    def _part(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Return the first row and column of the part, and its height and width."""
        low, high = map(math.log, self.ratio)
        for _ in range(_TRIES):
            pixels = height * width * rng.uniform(*self.area)
            ratio = math.exp(rng.uniform(low, high))
            rows, columns = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
            if 0 < rows <= height and 0 < columns <= width:
                top = int(rng.integers(height - rows + 1))
                return top, int(rng.integers(width - columns + 1)), rows, columns
        return 0, 0, height, width
