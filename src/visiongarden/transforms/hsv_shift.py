"""`HSV`: shift the hue, and scale saturation and value."""

from __future__ import annotations

from typing import Annotated, ClassVar

import cv2
import numpy as np
from pydantic import Field

from visiongarden.registry import register
from visiongarden.transforms.photometric import ImageTransform
from visiongarden.transforms.transform import Probability, require_rgb


@register
class HSV(ImageTransform):
    """Shift the hue, and scale saturation and value, by random amounts.

    The defaults are those of YOLOv8's published configuration. Only for uint8 RGB images.

    Attributes:
        hue: largest shift of the hue, as a fraction of the color circle, 0 to 0.5.
        saturation: largest change of the factor of the saturation, 0 to 1.
        value: largest change of the factor of the value, 0 to 1.

    Example:
        >>> image = np.full((2, 2, 3), (200, 100, 100), np.uint8)
        >>> jitter = vg.transforms.HSV(hue=0, saturation=0, value=0.4)
        >>> jitter.change(image, np.random.default_rng(0))[0, 0].tolist()
        [126, 63, 63]
    """

    rgb_only: ClassVar[bool] = True
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.015
    saturation: Probability = 0.7
    value: Probability = 0.4

    def change(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the image with changed colors."""
        require_rgb(self, image)
        if not (self.hue or self.saturation or self.value):
            return image
        hue, saturation, value = rng.uniform(-1, 1, 3) * (self.hue, self.saturation, self.value)
        ramp = np.arange(256, dtype=np.float32)
        tables = (
            # OpenCV stores 8-bit hues as half degrees, 0 to 179.
            ((ramp + hue * 180) % 180).astype(np.uint8),
            np.clip(ramp * (1 + saturation), 0, 255).astype(np.uint8),
            np.clip(ramp * (1 + value), 0, 255).astype(np.uint8),
        )
        # One look-up for each channel: OpenCV's look-up of three channels together is slower.
        channels = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
        looked_up = [cv2.LUT(channel, t) for channel, t in zip(channels, tables, strict=True)]
        changed = cv2.merge(looked_up)
        return np.asarray(cv2.cvtColor(changed, cv2.COLOR_HSV2RGB, dst=changed), np.uint8)
