"""Multi-scale training: image sizes that change between batches.

Source: Redmon and Farhadi 2017 (YOLOv2), section 2.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from visiongarden.errors import UserError
from visiongarden.types import ImageSize

MultiScale = Annotated[float, Field(ge=0, le=0.5)]
"""Largest change of the image size between batches, as a fraction of it."""

MAX_SIZES = 5
"""Largest number of sizes. TensorFlow and JAX trace the training step once for each size, which
takes seconds to a minute."""


def sizes_of(image_size: ImageSize, multi_scale: float, step: int) -> tuple[ImageSize, ...]:
    """Return the image sizes of the batches in ascending order.

    Up to five sizes are spread evenly from `1 - multi_scale` to `1 + multi_scale` times
    `image_size`, which is the middle one. Every side is a multiple of `step`.

    Args:
        image_size: (height, width) in pixels, multiples of `step`.
        multi_scale: largest change, 0 to 0.5; 0 returns `image_size` alone.
        step: largest stride of the model in pixels.

    Raises:
        UserError: `image_size` is not a multiple of `step`, or no other size is within the range.

    Example:
        >>> sizes_of((64, 64), 0.5, 32)
        ((32, 32), (64, 64), (96, 96))
    """
    if not multi_scale:
        return (image_size,)
    longest = max(image_size)
    if any(side % step for side in image_size):
        raise UserError(
            f"multi_scale={multi_scale} cannot vary images of {image_size[0]} × {image_size[1]}",
            rule=f"height and width are multiples of the largest stride, {step}",
        )
    max_steps = int(longest * multi_scale / step + 1e-9)
    if not max_steps:
        raise UserError(
            f"multi_scale={multi_scale} allows one size only, {image_size[0]} × {image_size[1]}",
            rule=f"the longer side changes by at least the largest stride, {step} of {longest}",
            fix=_fix(longest, step),
        )
    count = min(2 * max_steps + 1, MAX_SIZES)
    lengths = longest + step * np.round(np.linspace(-max_steps, max_steps, count))
    return tuple(_near(image_size, length / longest, step) for length in lengths)


def _near(size: ImageSize, share: float, step: int) -> ImageSize:
    height, width = (max(int(side * share / step + 0.5), 1) * step for side in size)
    return height, width


def _fix(longest: int, step: int) -> str:
    min_change = -(-1000 * step // longest) / 1000
    return (
        f"multi_scale={min_change}"
        if min_change <= 0.5
        else f"image_size={2 * step}, multi_scale=0.5"
    )


def size_of_batch(sizes: tuple[ImageSize, ...], seed: int, epoch: int, batch: int) -> ImageSize:
    """Return the size of one batch of an epoch, which depends only on the arguments.

    Args:
        sizes: sizes to choose from, as returned by `sizes_of`.
        seed: seed of the run.
        epoch: number of the epoch, from 0.
        batch: number of the batch within the epoch, from 0.
    """
    if len(sizes) == 1:
        return sizes[0]
    # The 1 separates these random numbers from those of images, seeded with (seed, epoch, place).
    random = np.random.default_rng((seed, epoch, batch, 1))
    return sizes[random.integers(len(sizes))]
