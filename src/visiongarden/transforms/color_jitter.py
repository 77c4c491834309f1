"""`ColorJitter`: change brightness, contrast, saturation and hue."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from pydantic import Field, NonNegativeFloat

from visiongarden.registry import register
from visiongarden.transforms.photometric import (
    ImageTransform,
    blended,
    gray_of,
    mean_gray,
    require_three_channels,
    scaled,
    to_dtype,
)


@register
class ColorJitter(ImageTransform):
    """Change brightness, contrast, saturation and hue by random amounts, in random order.

    The operations are those of torchvision's `ColorJitter`; integers are rounded to the nearest. A
    brightness of b samples a factor from max(0, 1 - b) to 1 + b, and so do contrast and saturation.
    Brightness and contrast take any dtype and number of channels, saturation and hue three
    channels: red, green and blue.

    Attributes:
        brightness: largest change of the factor of all values.
        contrast: largest change of the factor of the distance from the mean gray value. With other
            than three channels, that is the mean of all channels.
        saturation: largest change of the factor of the distance from each pixel's gray value.
        hue: largest shift of the hue, as a fraction of the color circle, 0 to 0.5.

    Example:
        >>> image = np.full((2, 2, 1), 1000, np.uint16)
        >>> jitter = vg.transforms.ColorJitter(brightness=0.5, saturation=0, hue=0)
        >>> jitter.change(image, np.random.default_rng(0)).max()
        np.uint16(1137)
    """

    brightness: NonNegativeFloat = 0.4
    contrast: NonNegativeFloat = 0.4
    saturation: NonNegativeFloat = 0.4
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1

    def change(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the image with changed colors."""
        if self.saturation or self.hue:
            fix = "ColorJitter(saturation=0, hue=0)"
            require_three_channels("ColorJitter with saturation or hue", image, fix)
        low = np.maximum(0, 1 - np.array((self.brightness, self.contrast, self.saturation)))
        high = 1 + np.array((self.brightness, self.contrast, self.saturation))
        factors = rng.uniform(low, high)
        shift = rng.uniform(-self.hue, self.hue)
        limits = (self.brightness, self.contrast, self.saturation, self.hue)
        for number in rng.permutation(4).tolist():
            if limits[number]:
                amount = float(factors[number]) if number < 3 else float(shift)
                image = _OPERATIONS[number](image, amount)
        return image


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Return image * factor."""
    return scaled(image, factor)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Return image * factor + mean * (1 - factor), where mean is the mean gray value."""
    return scaled(image, factor, mean_gray(image) * (1 - factor))


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Return image * factor + gray * (1 - factor); gray is the luma of each pixel."""
    gray = gray_of(image)
    return blended(image, cv2.merge((gray, gray, gray)), factor)


def hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Return the image with shifted hues; 1 is a full turn."""
    # In floats: OpenCV's 8-bit hues have 180 steps.
    colors = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2HSV)
    colors[..., 0] = (colors[..., 0] + np.float32(shift * 360)) % np.float32(360)
    return to_dtype(cv2.cvtColor(colors, cv2.COLOR_HSV2RGB), image.dtype)


_OPERATIONS = (brightness, contrast, saturation, hue)
