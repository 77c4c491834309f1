"""`MotionBlur`: blur along a line."""

from __future__ import annotations

import math
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from visiongarden.registry import register
from visiongarden.transforms.photometric import ImageTransform, Ordered

_Length = Annotated[float, Field(ge=1, le=200)]


@register
class MotionBlur(ImageTransform):
    """Blur the image along a line of random length and direction, as a moving camera does.

    Takes any dtype and number of channels. The kernel is symmetric, so objects stay in place.

    Attributes:
        length: smallest and largest length of the line in pixels; 1 changes nothing.

    Example:
        >>> image = np.zeros((5, 5, 1), np.float32)
        >>> image[2, 2] = 90
        >>> blur = vg.transforms.MotionBlur(length=(3, 3))
        >>> changed = blur.change(image, np.random.default_rng(0))
        >>> round(float(changed.sum()), 3), float(changed[2, 2, 0]) < 60
        (90.0, True)
    """

    length: Annotated[tuple[_Length, _Length], Ordered] = (3, 9)

    def change(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the blurred image."""
        length, angle = float(rng.uniform(*self.length)), float(rng.uniform(0, math.pi))
        blurred = cv2.filter2D(
            image, -1, line_kernel(length, angle), borderType=cv2.BORDER_REFLECT_101
        )
        return np.asarray(blurred).reshape(image.shape)


def line_kernel(length: float, angle: float) -> np.ndarray:
    """Return the kernel of a line through the center, float32 (k, k) with the sum 1.

    Args:
        length: length of the line in pixels; 3 at angle 0 are three equal weights.
        angle: direction in radians, from x to y.
    """
    reach = math.ceil((length - 1) / 2)
    side = 2 * reach + 1
    kernel = np.zeros((side + 1, side + 1))  # one more, for the neighbors of points at the border
    count = max(math.ceil(length), 1)
    # One point per pixel of the line, each shared by the four pixels around it.
    steps = np.linspace(-(length - 1) / 2, (length - 1) / 2, count) if count > 1 else np.zeros(1)
    x, y = (np.round(reach + steps * f(angle), 9) for f in (math.cos, math.sin))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for dx in (0, 1):
        for dy in (0, 1):
            share = np.abs(1 - dx - (x - left)) * np.abs(1 - dy - (y - top))
            np.add.at(kernel, (top + dy, left + dx), share)
    return (kernel[:side, :side] / kernel[:side, :side].sum()).astype(np.float32)
