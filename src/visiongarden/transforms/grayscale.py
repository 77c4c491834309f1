"""`Grayscale`: remove the colors of an image."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np

from visiongarden.registry import register
from visiongarden.transforms.photometric import ImageTransform, gray_of, require_three_channels


@register
class Grayscale(ImageTransform):
    """Replace red, green and blue by their luma (ITU-R BT.601); the image keeps three channels.

    Takes images of three channels of any dtype; an image of one channel stays as it is.

    Example:
        >>> image = np.full((2, 2, 3), (255, 0, 0), np.uint8)
        >>> vg.transforms.Grayscale().change(image, np.random.default_rng(0))[0, 0].tolist()
        [76, 76, 76]
    """

    random: ClassVar[bool] = False

    def change(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the image without colors."""
        if image.shape[2] == 1:
            return image
        require_three_channels("Grayscale", image, "remove Grayscale from the transforms")
        gray = gray_of(image)
        return np.asarray(cv2.merge((gray, gray, gray)))
