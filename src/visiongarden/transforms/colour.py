"""Hue, saturation and value."""

from __future__ import annotations

import cv2
import numpy as np


def hsv(
    image: np.ndarray, most: tuple[float, float, float], random: np.random.Generator
) -> np.ndarray:
    """Shifts the hue and scales saturation and value, by one table look-up a channel.

    Args:
        image: uint8 RGB (height, width, 3).
        most: largest shift of the hue (share of the circle), largest change of the two factors.
        random: where the numbers come from.
    """
    if not any(most):
        return image
    hue, saturation, value = random.uniform(-1, 1, 3) * most
    ramp = np.arange(256, dtype=np.float32)
    tables = (
        ((ramp + hue * 180) % 180).astype(np.uint8),
        np.clip(ramp * (1 + saturation), 0, 255).astype(np.uint8),
        np.clip(ramp * (1 + value), 0, 255).astype(np.uint8),
    )
    # Channel by channel: OpenCV's look-up of three at once is slower.
    channels = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    looked_up = [cv2.LUT(channel, t) for channel, t in zip(channels, tables, strict=True)]
    changed = cv2.merge(looked_up)
    return np.asarray(cv2.cvtColor(changed, cv2.COLOR_HSV2RGB, dst=changed), np.uint8)
