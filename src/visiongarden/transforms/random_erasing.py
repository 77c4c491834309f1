"""`RandomErasing`: hide a square of an image."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.transforms.covering import covered
from visiongarden.transforms.pending import checked, checked_fill
from visiongarden.transforms.transform import Context, Probability, Transform


@register
class RandomErasing(Transform):
    """Hide a random square (cutout: DeVries and Taylor 2017, arXiv 1708.04552).

    The square has the color of the context's `fill`. An object with too little left is removed. The
    others are unchanged, because a partly hidden object still extends below the square; keypoints
    below it become hidden.

    Attributes:
        max_side: largest side of the square, as a fraction of the image's shorter side. The side is
            sampled uniformly from a tenth of it.
        min_visibility: smallest visible fraction of an object that is kept.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (20, 40))
        >>> sample = vg.samples.Sample(info, np.zeros((20, 40, 3), np.uint8))
        >>> pipeline = vg.transforms.Pipeline(
        ...     [RandomErasing()], [sample], size=(20, 40), capacity=1, epochs=1, seed=0
        ... )
        >>> np.unique(pipeline(0, epoch=0).image).tolist()
        [0, 114]
    """

    max_side: Annotated[float, Field(gt=0, le=1)] = 0.3
    min_visibility: Probability = 0.1

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Return the sample with a hidden square."""
        sample = checked(sample)
        assert sample.image is not None  # noqa: S101 checked before
        height, width = sample.instances.size
        side = max(round(rng.uniform(0.1, 1) * self.max_side * min(height, width)), 1)
        x, y = rng.integers(-side // 2, np.array([width, height]) - side // 2).tolist()
        rows, columns = slice(max(y, 0), max(y + side, 0)), slice(max(x, 0), max(x + side, 0))
        image = sample.image.copy()
        image[rows, columns] = checked_fill(context.fill, image)
        hidden = np.zeros((height, width), bool)
        hidden[rows, columns] = True
        instances = covered(sample.instances, hidden, self.min_visibility, cut=False)
        return replace(sample, image=image, instances=instances)
