"""`AutoAugment`: a policy that was learned for detection."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import ClassVar

import numpy as np

from visiongarden.registry import register
from visiongarden.samples import Sample
from visiongarden.transforms.fixed_cutout import FixedCutout
from visiongarden.transforms.fixed_warp import FixedWarp
from visiongarden.transforms.image_operations import ImageOperation
from visiongarden.transforms.transform import Context, Policy, Transform, require_rgb


@register
class AutoAugment(Policy):
    """Apply one of five learned sub-policies, chosen with equal probability.

    The policy v0 for detection of Zoph et al. 2019 (arXiv 1906.11172), with the ranges of its
    published implementation; (operation, probability, magnitude) of each sub-policy:

    1. (translate x, 0.6, 4), (equalize, 0.8, 10)
    2. (cutout, 0.8, 8)
    3. nothing: (sharpness, 0.0, 8), (shear x, 0.4, 0)
    4. (shear y, 1.0, 2)
    5. (rotate, 0.6, 10), (color, 1.0, 6)

    The operation that moves the pixels inside of single boxes is left out: translate y of boxes,
    (0.2, 2) in the second and (0.6, 6) in the fourth sub-policy. A magnitude of 10 is a rotation by
    30°, a shear of 0.3 or a shift by 250 pixels, each to a random side; the magnitudes 6 of color
    and 8 of cutout are a factor of 1.18 and a square of 160 pixels. Lengths are those of an image
    with a longer side of 640 pixels and are scaled with the image. Empty and hidden parts have the
    fill value of the run. Boxes, masks and keypoints follow. Only for uint8 RGB images.

    Example:
        >>> policy = vg.transforms.AutoAugment()
        >>> [type(each).__name__ for each in policy.choose(np.random.default_rng(2))]
        ['FixedWarp', 'ImageOperation']
    """

    rgb_only: ClassVar[bool] = True

    def choose(self, rng: np.random.Generator) -> Sequence[Transform]:
        """Return the operations of a sub-policy."""
        sides = _policies()[int(rng.integers(_COUNT))]
        return sides[int(rng.integers(2))]

    def apply(self, sample: Sample, context: Context, rng: np.random.Generator) -> Sample:
        """Apply a sub-policy."""
        if sample.image is not None:
            require_rgb(self, sample.image)
        return super().apply(sample, context, rng)


_COUNT = 5
_TYPICAL_SIDE = 640
"""Longer side in pixels of most images of COCO, for which lengths in pixels were learned."""


@cache
def _policies() -> tuple[tuple[tuple[Transform, ...], tuple[Transform, ...]], ...]:
    """Return the sub-policies, to both sides; cached, because a value is validated."""
    pairs = zip(_sub_policies(1), _sub_policies(-1), strict=True)
    return tuple(pairs)


def _sub_policies(sign: int) -> tuple[tuple[Transform, ...], ...]:
    shift = sign * 0.4 * 250 / _TYPICAL_SIDE
    return (
        (
            FixedWarp(translate_x=shift, probability=0.6),
            ImageOperation(name="equalize", policy="AutoAugment", probability=0.8),
        ),
        (FixedCutout(side=2 * 0.8 * 100 / _TYPICAL_SIDE, probability=0.8),),
        (),
        (FixedWarp(shear_y=sign * 0.2 * 0.3),),
        (
            FixedWarp(degrees=sign * 30, probability=0.6),
            # A factor of 0.1 + 1.8 * 0.6, which is 1 + 0.9 * 0.2.
            ImageOperation(name="color", strength=0.2, policy="AutoAugment"),
        ),
    )
