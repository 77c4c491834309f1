"""Resize images and masks: letterbox, cover and plain resizing."""

from __future__ import annotations

import cv2
import numpy as np

from visiongarden.types import ImageSize, Placement

_CHANNELS = 4
"""Most channels that all of OpenCV's interpolations accept together."""


def letterbox(image: np.ndarray, size: ImageSize, fill: int = 114) -> tuple[np.ndarray, Placement]:
    """Resize an image to fit into a canvas, keeping its aspect ratio, and center it.

    Args:
        image: uint8, uint16 or float32 (height, width, channels).
        size: (height, width) of the canvas.
        fill: value of the borders, in the range of the image.

    Returns:
        The canvas (*size, channels), and the placement of the image on it.
    """
    height, width = image.shape[:2]
    ratio = min(size[0] / height, size[1] / width)
    rows, columns = max(round(height * ratio), 1), max(round(width * ratio), 1)
    image = resize(image, (rows, columns))
    top, left = (size[0] - rows) // 2, (size[1] - columns) // 2
    canvas = np.full((*size, *image.shape[2:]), fill, image.dtype)
    canvas[top : top + rows, left : left + columns] = image
    return canvas, Placement((columns / width, rows / height), (float(left), float(top)))


def cover(image: np.ndarray, size: ImageSize) -> tuple[np.ndarray, Placement]:
    """Resize an image to cover a canvas, keeping its aspect ratio, and crop its center.

    Args:
        image: uint8, uint16 or float32 (height, width, channels).
        size: (height, width) of the canvas.

    Returns:
        The canvas (*size, channels), and the placement of the uncropped image, whose offset is
        negative or 0.
    """
    height, width = image.shape[:2]
    ratio = max(size[0] / height, size[1] / width)
    rows, columns = max(round(height * ratio), size[0]), max(round(width * ratio), size[1])
    top, left = (rows - size[0]) // 2, (columns - size[1]) // 2
    seen = resize(image, (rows, columns))[top : top + size[0], left : left + size[1]]
    placement = Placement((columns / width, rows / height), (float(-left), float(-top)))
    return np.ascontiguousarray(seen), placement


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
