"""`VerticalFlip`: mirror an image top to bottom."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.transforms.transform import Context, Probability, Warp, size_of
from visiongarden.types import ImageSize


@register
class VerticalFlip(Warp):
    """Mirror an image top to bottom: y becomes height - y.

    Left and right keypoints are exchanged; where their pairs are not known, nothing is mirrored.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (20, 40))
        >>> objects = vg.samples.Instances((20, 40), vg.samples.Boxes([[0, 0, 10, 5]]), [0])
        >>> sample = vg.samples.Sample(info, np.zeros((20, 40, 3), np.uint8), objects)
        >>> flip = VerticalFlip(probability=1)
        >>> pipeline = vg.transforms.Pipeline(
        ...     [flip], [sample], size=(20, 40), capacity=1, epochs=1, seed=0
        ... )
        >>> np.asarray(pipeline(0, epoch=0).instances.boxes).tolist()
        [[0.0, 15.0, 10.0, 20.0]]
    """

    random: ClassVar[bool] = False
    probability: Probability = 0.5

    def matrix(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[np.ndarray, ImageSize]:
        """Return the matrix; the size does not change."""
        height, width = size_of(sample)
        return np.array([[1, 0, 0], [0, -1, height], [0, 0, 1]], np.float64), (height, width)
