"""Blend two images for classification: mix-up and CutMix."""

from __future__ import annotations

import cv2
import numpy as np


def mixup(
    first: np.ndarray, second: np.ndarray, alpha: float, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Blend two images (mix-up: Zhang et al. 2017, arXiv 1710.09412, section 2).

    Args:
        first: uint8 (height, width, 3).
        second: image of the same shape.
        alpha: parameter of the distribution Beta(alpha, alpha) of the ratio.
        random: random number generator.

    Returns:
        The uint8 image and the weight of `first`, 0 to 1.
    """
    share = float(random.beta(alpha, alpha))
    return np.asarray(cv2.addWeighted(first, share, second, 1 - share, 0), np.uint8), share


def cutmix(
    first: np.ndarray, second: np.ndarray, alpha: float, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Paste a rectangle of the second image into the first (CutMix: Yun et al. 2019).

    The rectangle is sampled as in equation 2 of arXiv 1905.04899.

    Args:
        first: uint8 (height, width, 3).
        second: image of the same shape.
        alpha: parameter of the distribution Beta(alpha, alpha) of the ratio.
        random: random number generator.

    Returns:
        The uint8 image and the fraction of its area that shows `first`, 0 to 1.
    """
    height, width = first.shape[:2]
    side = np.sqrt(1 - random.beta(alpha, alpha))
    rows, columns = height * side, width * side
    y, x = random.uniform(0, height), random.uniform(0, width)
    top, bottom = (round(min(max(v, 0), height)) for v in (y - rows / 2, y + rows / 2))
    left, right = (round(min(max(v, 0), width)) for v in (x - columns / 2, x + columns / 2))
    image = first.copy()
    image[top:bottom, left:right] = second[top:bottom, left:right]
    # Not the sampled ratio: at the border the rectangle is cut, and sides are rounded.
    return image, 1 - (bottom - top) * (right - left) / (height * width)
