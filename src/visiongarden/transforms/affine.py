"""`Affine`: scale, shear, rotate and shift an image at random."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from visiongarden.errors import ConfigError
from visiongarden.registry import register
from visiongarden.samples import Sample, matrices
from visiongarden.transforms.transform import Context, Probability, Warp, size_of
from visiongarden.types import ImageSize

_MAX_FACTOR = 10


def _scale(scale: float | tuple[float, float]) -> float | tuple[float, float]:
    # In one message, where two types with bounds of their own would give two.
    if isinstance(scale, tuple):
        valid = 0 < scale[0] <= scale[1] <= _MAX_FACTOR
    else:
        valid = 0 <= scale < 1
    if not valid:
        raise ConfigError(
            "the scale is not valid",
            rule="a change from 0 to below 1, or [minimum, maximum] of factors above 0 and up to "
            f"{_MAX_FACTOR}",
            received=str(list(scale) if isinstance(scale, tuple) else scale),
            fix="0.5, or [0.5, 2]",
        )
    return scale


@register
class Affine(Warp):
    """Scale, shear, rotate and shift an image around the center of the canvas.

    An image of another size is first fitted into the canvas and centered. The defaults are those of
    YOLOv8's published configuration.

    Attributes:
        scale: largest change of the scale; 0.5 samples factors from 0.5 to 1.5 uniformly. A pair is
            the smallest and the largest factor, sampled log-uniformly.
        translate: largest shift, as a fraction of the canvas sides.
        degrees: largest rotation in degrees.
        shear: largest shear along each axis in degrees.
        pan: whether an image that is scaled beyond the canvas is shifted so that any part of it may
            be shown.

    Example:
        >>> info = vg.samples.ImageInfo(1, None, (20, 40))
        >>> sample = vg.samples.Sample(info, np.zeros((20, 40, 3), np.uint8))
        >>> fit = Affine(scale=0, translate=0)
        >>> pipeline = vg.transforms.Pipeline(
        ...     [fit], [sample], size=(80, 80), capacity=1, epochs=1, seed=0
        ... )
        >>> pipeline(0, epoch=0).info.placement.tolist()
        [[2.0, 0.0, 0.0], [0.0, 2.0, 20.0], [0.0, 0.0, 1.0]]
    """

    scale: Annotated[float | tuple[float, float], AfterValidator(_scale)] = 0.5
    translate: Probability = 0.1
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    shear: Annotated[float, Field(ge=0, le=45)] = 0.0
    pan: bool = False

    def matrix(
        self, sample: Sample, context: Context, rng: np.random.Generator
    ) -> tuple[np.ndarray, ImageSize]:
        """Return the matrix to the canvas, and its size."""
        (height, width), size = size_of(sample), context.size
        fit = min(size[0] / height, size[1] / width)
        factor = fit * self._factor(rng)
        matrix = np.diag([factor, factor, 1.0])
        if self.shear:
            x, y = np.tan(np.deg2rad(rng.uniform(-self.shear, self.shear, 2)))
            matrix = np.array([[1, x, 0], [y, 1, 0], [0, 0, 1]]) @ matrix
        if self.degrees:
            angle = math.radians(rng.uniform(-self.degrees, self.degrees))
            cos, sin = math.cos(angle), math.sin(angle)
            matrix = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) @ matrix
        canvas = np.array([size[1], size[0]], np.float64)
        reach = self.translate * canvas
        if self.pan:
            reach += np.maximum(factor * np.array([width, height]) - canvas, 0) / 2
        x, y = canvas / 2 + rng.uniform(-1, 1, 2) * reach
        return matrices.shift(x, y) @ matrix @ matrices.shift(-width / 2, -height / 2), size

    def _factor(self, rng: np.random.Generator) -> float:
        if isinstance(self.scale, tuple):
            return math.exp(rng.uniform(math.log(self.scale[0]), math.log(self.scale[1])))
        return float(rng.uniform(1 - self.scale, 1 + self.scale))
