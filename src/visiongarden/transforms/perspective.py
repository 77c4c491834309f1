"""`Perspective`: tilt an image at random."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from visiongarden.registry import register
from visiongarden.samples import Sample, matrices
from visiongarden.transforms.transform import Context, Warp, size_of
from visiongarden.types import ImageSize


@register
class Perspective(Warp):
    """Tilt an image around its center.

    The depth of a point is 1 + a x + b y, where x and y are from -1 at one border to 1 at the
    opposite one, and a and b are sampled uniformly from -`distortion` to `distortion`.

    Attributes:
        distortion: largest change of the depth from the center to a border; 0.1 is strong.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (20, 40))
        >>> sample = vg.samples.Sample(info, np.zeros((20, 40, 3), np.uint8))
        >>> matrix, size = Perspective().matrix(sample, None, np.random.default_rng(0))
        >>> size, bool(abs(matrix @ (20, 10, 1) - (20, 10, 1)).max() < 1e-9)
        ((20, 40), True)
    """

    distortion: Annotated[float, Field(ge=0, le=0.4)] = 0.05

    def matrix(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[np.ndarray, ImageSize]:
        """Return the matrix; the size does not change."""
        height, width = size_of(sample)
        middle = np.array([width, height]) / 2
        tilt = np.eye(3)
        tilt[2, :2] = rng.uniform(-self.distortion, self.distortion, 2) / middle
        return matrices.shift(*middle) @ tilt @ matrices.shift(*-middle), (height, width)
