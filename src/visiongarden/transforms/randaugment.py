"""`RandAugment`: randomly chosen operations of equal strength."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.transforms.fixed_warp import FixedWarp
from visiongarden.transforms.image_operations import OPERATIONS, ImageOperation
from visiongarden.transforms.transform import Context, Policy, Transform, require_rgb


@register
class RandAugment(Policy):
    """Apply randomly chosen operations one after the other.

    RandAugment (Cubuk et al. 2019, arXiv 1909.13719, section 3) with its fourteen operations:
    identity, auto-contrast, equalize, rotate, solarize, color, posterize, contrast, brightness,
    sharpness, shear x, shear y, translate x and translate y. Their ranges are those of AutoAugment
    (Cubuk et al. 2018, table 6): rotations up to 30°, shears up to 0.3, shifts up to 0.45 of the
    side. Boxes, masks and keypoints follow. Only for uint8 RGB images.

    Attributes:
        operations: number of operations for each image, chosen with equal probability and with
            replacement.
        magnitude: strength of all operations, 0 to 10; their direction is random.

    Example:
        >>> policy = vg.transforms.RandAugment(operations=2, magnitude=5)
        >>> [type(each).__name__ for each in policy.choose(np.random.default_rng(0))]
        ['FixedWarp', 'ImageOperation']
    """

    rgb_only: ClassVar[bool] = True
    operations: Annotated[int, Field(ge=1, le=10)] = 2
    magnitude: Annotated[float, Field(ge=0, le=10)] = 5.0

    def choose(self, rng: np.random.Generator) -> Sequence[Transform]:
        """Return the operations for one image."""
        chosen = []
        for _ in range(self.operations):
            name = NAMES[int(rng.integers(len(NAMES)))]
            sign = 1 if rng.random() < 0.5 else -1
            chosen.append(operation(name, sign * self.magnitude / 10))
        return chosen

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Apply the operations."""
        if sample.image is not None:
            require_rgb(self, sample.image)
        return super().apply(sample, context, rng)


_WARPS: dict[str, Callable[[float], FixedWarp]] = {
    "rotate": lambda strength: FixedWarp(degrees=30 * strength),
    "shear_x": lambda strength: FixedWarp(shear_x=0.3 * strength),
    "shear_y": lambda strength: FixedWarp(shear_y=0.3 * strength),
    "translate_x": lambda strength: FixedWarp(translate_x=0.45 * strength),
    "translate_y": lambda strength: FixedWarp(translate_y=0.45 * strength),
}

NAMES = (*OPERATIONS, *_WARPS)


@cache
def operation(name: str, strength: float) -> Transform:
    """Return an operation with a strength from -1 to 1; cached, because a value is validated."""
    if name in _WARPS:
        return _WARPS[name](strength)
    return ImageOperation(name=name, strength=strength, policy="RandAugment")
