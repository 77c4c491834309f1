"""Jitter hue, saturation and value."""

from __future__ import annotations

import cv2
import numpy as np


def hsv(
    image: np.ndarray, max_shift: tuple[float, float, float], random: np.random.Generator
) -> np.ndarray:
    """Shift the hue and scale saturation and value by random amounts.

    Args:
        image: uint8 RGB (height, width, 3).
        max_shift: largest shift of the hue (fraction of the color circle), and largest changes of
            the factors of saturation and value.
        random: random number generator.

    Returns:
        uint8 RGB image of the same shape; `image` itself if all of `max_shift` are 0.
    """
    if not any(max_shift):
        return image
    hue, saturation, value = random.uniform(-1, 1, 3) * max_shift
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
