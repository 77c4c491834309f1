"""Image sizes that change from batch to batch: Redmon & Farhadi 2017 (YOLOv2), section 2."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from visiongarden.errors import UserError
from visiongarden.types import ImageSize

MultiScale = Annotated[float, Field(ge=0, le=0.5)]
"""Most change of the batches' own image size, as a share of it."""

MOST_SIZES = 5
"""Each size is one trace of the training step, on TensorFlow and JAX seconds to a minute."""


def sizes_of(image_size: ImageSize, multi_scale: float, step: int) -> tuple[ImageSize, ...]:
    """The sizes that batches have, the smallest first; the one given, where they do not change.

    They lie from `1 - multi_scale` to `1 + multi_scale` times `image_size`, evenly, the given one
    in the middle, at most five; every side is a multiple of `step`.

    Args:
        image_size: (height, width), multiples of `step`.
        multi_scale: 0 to 0.5; 0 keeps the one size.
        step: the largest stride of the model, pixels.

    Raises:
        UserError: no other size lies that near, or `image_size` is no multiple of `step`.
    """
    if not multi_scale:
        return (image_size,)
    longest = max(image_size)
    if any(side % step for side in image_size):
        raise UserError(
            f"multi_scale={multi_scale} with images of {image_size[0]} × {image_size[1]}",
            rule=f"height and width are multiples of the largest stride, {step}",
        )
    reach = int(longest * multi_scale / step + 1e-9)
    if not reach:
        raise UserError(
            f"multi_scale={multi_scale} leaves one size, {image_size[0]} × {image_size[1]}",
            rule=f"the longer side changes by at least the largest stride, {step} of {longest}",
            fix=_fix(longest, step),
        )
    count = min(2 * reach + 1, MOST_SIZES)
    lengths = longest + step * np.round(np.linspace(-reach, reach, count))
    return tuple(_near(image_size, length / longest, step) for length in lengths)


def _near(size: ImageSize, share: float, step: int) -> ImageSize:
    height, width = (max(int(side * share / step + 0.5), 1) * step for side in size)
    return height, width


def _fix(longest: int, step: int) -> str:
    least = -(-1000 * step // longest) / 1000
    return f"multi_scale={least}" if least <= 0.5 else f"image_size={2 * step}, multi_scale=0.5"


def size_of_batch(sizes: tuple[ImageSize, ...], seed: int, epoch: int, batch: int) -> ImageSize:
    """The size of one batch of an epoch, which depends on these numbers alone."""
    if len(sizes) == 1:
        return sizes[0]
    random = np.random.default_rng((seed, epoch, batch, 1))
    return sizes[random.integers(len(sizes))]
