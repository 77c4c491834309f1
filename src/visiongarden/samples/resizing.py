"""Resize the pixels of images and masks."""

from __future__ import annotations

import cv2
import numpy as np

from visiongarden.types import ImageSize

_CHANNELS = 4
"""Most channels that all of OpenCV's interpolations accept together."""


def resize(image: np.ndarray, size: ImageSize, quick: bool = False) -> np.ndarray:
    """Resize an image: by averaging areas when it shrinks, linearly when it grows.

    Args:
        image: uint8, uint16 or float32 (height, width, channels).
        size: (height, width) of the result.
        quick: interpolate linearly also down to half the height, in a tenth of the time.
    """
    if image.shape[:2] == tuple(size):
        return image
    min_ratio = 0.5 if quick else 1.0
    smaller = size[0] < min_ratio * image.shape[0] or size[1] < min_ratio * image.shape[1]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    shape = (size[1], size[0])
    if image.ndim == 3 and image.shape[2] > _CHANNELS:
        groups = [image[..., i : i + _CHANNELS] for i in range(0, image.shape[2], _CHANNELS)]
        return np.concatenate([resize(np.ascontiguousarray(g), size, quick) for g in groups], -1)
    resized = np.asarray(cv2.resize(image, shape, interpolation=interpolation), image.dtype)
    # OpenCV returns a single channel without its axis.
    return resized.reshape(*size, *image.shape[2:])


def resize_mask(mask: np.ndarray, size: ImageSize) -> np.ndarray:
    """Resize a mask of integers (height, width); each pixel takes the class at its center."""
    if mask.shape == tuple(size):
        return mask
    # OpenCV's INTER_NEAREST samples at the corner of a pixel, which shifts a mask by half a pixel.
    interpolation = cv2.INTER_NEAREST_EXACT
    # The only type of more than 16 bits that OpenCV resizes.
    pixels = mask if mask.dtype.itemsize <= 2 and mask.dtype != bool else mask.astype(np.int32)
    resized = cv2.resize(pixels, (size[1], size[0]), interpolation=interpolation)
    return np.asarray(resized, mask.dtype)
