"""`GaussianBlur`: blur with a Gaussian kernel."""

from __future__ import annotations

import math
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from visiongarden.registry import register
from visiongarden.transforms.photometric import ImageTransform, Ordered

_Sigma = Annotated[float, Field(gt=0, le=100)]


@register
class GaussianBlur(ImageTransform):
    """Blur the image with a Gaussian kernel of random width.

    Takes any dtype and number of channels. The kernel ends at three standard deviations, and the
    image is continued as its mirror image. SimCLR (Chen et al. 2020, appendix A) blurs half of the
    images with a standard deviation of 0.1 to 2.0 pixels.

    Attributes:
        sigma: smallest and largest standard deviation in pixels.

    Example:
        >>> image = np.zeros((1, 5, 1), np.float32)
        >>> image[0, 2] = 1
        >>> blur = vg.transforms.GaussianBlur(sigma=(0.5, 0.5))
        >>> changed = blur.change(image, np.random.default_rng(0))
        >>> [round(value, 2) for value in changed[0, :, 0].tolist()]
        [0.0, 0.11, 0.79, 0.11, 0.0]
    """

    sigma: Annotated[tuple[_Sigma, _Sigma], Ordered] = (0.1, 2.0)

    def change(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the blurred image."""
        sigma = float(rng.uniform(*self.sigma))
        side = 2 * math.ceil(3 * sigma) + 1
        blurred = cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
        # OpenCV drops the axis of a single channel.
        return np.asarray(blurred).reshape(image.shape)
