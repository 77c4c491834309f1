"""`Rotate90`: turn an image by multiples of 90 degrees."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from visiongarden.registry import register
from visiongarden.samples import Sample, matrices
from visiongarden.transforms.transform import Context, Warp, size_of
from visiongarden.types import ImageSize


@register
class Rotate90(Warp):
    """Turn an image clockwise by a random multiple of 90 degrees, without interpolation.

    Attributes:
        turns: numbers of quarter turns to choose from.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (1, 2))
        >>> sample = vg.samples.Sample(info, np.array([[[1], [2]]], np.uint8))
        >>> pipeline = vg.transforms.Pipeline(
        ...     [Rotate90(turns=(1,))], [sample], size=(2, 1), capacity=1, epochs=1, seed=0
        ... )
        >>> pipeline(0, epoch=0).image.tolist()
        [[[1]], [[2]]]
    """

    turns: Annotated[
        tuple[Annotated[int, Field(ge=0, le=3)], ...], Field(min_length=1, max_length=100)
    ] = (0, 1, 2, 3)

    def matrix(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[np.ndarray, ImageSize]:
        """Return the matrix and the size, whose sides are exchanged after an odd number."""
        size, matrix = size_of(sample), np.eye(3)
        for _ in range(self.turns[int(rng.integers(len(self.turns)))]):
            turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float64)
            matrix = matrices.shift(size[0], 0) @ turn @ matrix
            size = size[::-1]
        return matrix, size
