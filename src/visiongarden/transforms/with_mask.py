"""Transform an image and its segmentation mask with one matrix."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from visiongarden.transforms.segmentation_augmentation import SegmentationAugmentation
from visiongarden.types import IGNORE, ImageSize


def view(
    shape: Sequence[int],
    size: ImageSize,
    settings: SegmentationAugmentation,
    random: np.random.Generator,
) -> np.ndarray:
    """Sample a matrix from an image to the canvas: centered fit, scale, rotation and shift.

    Args:
        shape: (height, width) of the image.
        size: (height, width) of the canvas.
        settings: ranges of the transform.
        random: random number generator.

    Returns:
        float (2, 3); (0, 0) is the outer corner of the first pixel, not its center.
    """
    rows, columns = shape[:2]
    fit = min(size[0] / rows, size[1] / columns)
    low, high = np.log(settings.scale)
    factor = fit * float(np.exp(random.uniform(low, high)))
    angle = np.deg2rad(random.uniform(-settings.degrees, settings.degrees))
    turn = factor * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    # An image that is larger than the canvas may show any part of itself.
    max_shift = np.maximum(np.array([columns, rows]) * factor - (size[1], size[0]), 0) / 2
    max_shift += settings.translate * np.array([size[1], size[0]])
    middle = np.array([size[1], size[0]]) / 2 + random.uniform(-1, 1, 2) * max_shift
    return np.column_stack([turn, middle - turn @ np.array([columns / 2, rows / 2])])


def warp_with_mask(
    image: np.ndarray, mask: np.ndarray, matrix: np.ndarray, size: ImageSize
) -> tuple[np.ndarray, np.ndarray]:
    """Warp an image and its mask to the canvas.

    Pixels outside the image become gray, and 255 (ignored) in the mask.

    Args:
        image: uint8 (height, width, 3).
        mask: uint8 (height, width).
        matrix: float (2, 3), as returned by `view`: (0, 0) is the outer corner of the first pixel.
        size: (height, width) of the canvas.

    Returns:
        The uint8 image (*size, 3) and the uint8 mask (*size).
    """
    # OpenCV's (0, 0) is the center of the first pixel.
    shift = matrix[:, :2] @ np.array([0.5, 0.5]) + matrix[:, 2] - 0.5
    centered = np.column_stack([matrix[:, :2], shift])
    sides = (size[1], size[0])
    moved = cv2.warpAffine(
        image, centered, sides, flags=cv2.INTER_LINEAR, borderValue=(114, 114, 114)
    )
    # Nearest: interpolated class ids would be those of other classes.
    masked = cv2.warpAffine(mask, centered, sides, flags=cv2.INTER_NEAREST, borderValue=IGNORE)
    return np.asarray(moved, np.uint8), np.asarray(masked, np.uint8)
