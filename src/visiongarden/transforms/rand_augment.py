"""RandAugment: Cubuk et al. 2019 (arXiv 1909.13719), section 3; ranges of AutoAugment, table 6."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

_GREY = (114, 114, 114)
Operation = Callable[[np.ndarray, float], np.ndarray]
"""uint8 RGB image, strength from -1 to 1 -> uint8 RGB image."""


def random_operations(
    image: np.ndarray, count: int, magnitude: float, random: np.random.Generator
) -> np.ndarray:
    """Operations drawn with equal chance, one after the other, all of one strength.

    Args:
        image: uint8 RGB (height, width, 3).
        count: number of operations.
        magnitude: strength, 0 to 10; the sign of those that have one is drawn.
        random: where the numbers come from.
    """
    for _ in range(count):
        operation = OPERATIONS[int(random.integers(len(OPERATIONS)))]
        sign = 1 if random.random() < 0.5 else -1
        image = operation(image, sign * magnitude / 10)
    return image


def identity(image: np.ndarray, strength: float) -> np.ndarray:
    """Nothing."""
    return image


def auto_contrast(image: np.ndarray, strength: float) -> np.ndarray:
    """Each channel's darkest value becomes 0 and its brightest 255."""
    low, high = image.min(axis=(0, 1)).astype(np.float32), image.max(axis=(0, 1)).astype(np.float32)
    factor = np.where(high > low, 255 / np.maximum(high - low, 1), 1)
    ramp = np.arange(256, dtype=np.float32)[:, None]
    table = np.where(high > low, (ramp - low) * factor, ramp)
    return _looked_up(image, table)


def equalize(image: np.ndarray, strength: float) -> np.ndarray:
    """Each channel's values are spread evenly."""
    return np.stack([cv2.equalizeHist(np.ascontiguousarray(image[..., c])) for c in range(3)], -1)


def solarize(image: np.ndarray, strength: float) -> np.ndarray:
    """Values above a threshold are inverted; the threshold falls from 256 to 0."""
    ramp = np.arange(256)
    table = np.where(ramp >= 256 * (1 - abs(strength)), 255 - ramp, ramp)
    return _looked_up(image, table[:, None].repeat(3, axis=1))


def posterize(image: np.ndarray, strength: float) -> np.ndarray:
    """Only the highest bits stay, 8 to 4 of them."""
    bits = 8 - round(4 * abs(strength))
    return image & np.uint8(256 - 2 ** (8 - bits))


def colour(image: np.ndarray, strength: float) -> np.ndarray:
    """Away from or towards grey, factor 1 ± 0.9."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=-1)
    return _blend(grey, image, strength)


def contrast(image: np.ndarray, strength: float) -> np.ndarray:
    """Away from or towards the mean grey, factor 1 ± 0.9."""
    mean = float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean())
    return _blend(np.full_like(image, round(mean)), image, strength)


def brightness(image: np.ndarray, strength: float) -> np.ndarray:
    """Away from or towards black, factor 1 ± 0.9."""
    return _blend(np.zeros_like(image), image, strength)


def sharpness(image: np.ndarray, strength: float) -> np.ndarray:
    """Away from or towards a blurred image, factor 1 ± 0.9."""
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    return _blend(cv2.filter2D(image, -1, kernel), image, strength)


def rotate(image: np.ndarray, strength: float) -> np.ndarray:
    """Around the middle, to 30 degrees."""
    height, width = image.shape[:2]
    return _warped(image, cv2.getRotationMatrix2D((width / 2, height / 2), 30 * strength, 1.0))


def shear_x(image: np.ndarray, strength: float) -> np.ndarray:
    """Rows shift by up to 0.3 of their height above the middle."""
    shift = 0.3 * strength
    return _warped(image, np.array([[1, shift, -shift * image.shape[0] / 2], [0, 1, 0]]))


def shear_y(image: np.ndarray, strength: float) -> np.ndarray:
    """Columns shift by up to 0.3 of their distance from the middle."""
    shift = 0.3 * strength
    return _warped(image, np.array([[1, 0, 0], [shift, 1, -shift * image.shape[1] / 2]]))


def translate_x(image: np.ndarray, strength: float) -> np.ndarray:
    """Sideways, by up to 0.45 of the width."""
    return _warped(image, np.array([[1, 0, 0.45 * strength * image.shape[1]], [0, 1, 0]]))


def translate_y(image: np.ndarray, strength: float) -> np.ndarray:
    """Up or down, by up to 0.45 of the height."""
    return _warped(image, np.array([[1, 0, 0], [0, 1, 0.45 * strength * image.shape[0]]]))


OPERATIONS: tuple[Operation, ...] = (
    identity, auto_contrast, equalize, rotate, solarize, colour, posterize,
    contrast, brightness, sharpness, shear_x, shear_y, translate_x, translate_y,
)  # fmt: skip
"""The paper's fourteen."""


def _blend(base: np.ndarray, image: np.ndarray, strength: float) -> np.ndarray:
    factor = 1 + 0.9 * strength
    return np.asarray(cv2.addWeighted(image, factor, base, 1 - factor, 0), np.uint8)


def _looked_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Through one table (256, 3), a column a channel."""
    whole = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, whole[None]), np.uint8)


def _warped(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    moved = cv2.warpAffine(
        image, matrix.astype(np.float64), (width, height), flags=cv2.INTER_LINEAR, borderValue=_GREY
    )
    return np.asarray(moved, np.uint8)
