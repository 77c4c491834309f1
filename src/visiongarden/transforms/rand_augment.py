"""RandAugment (Cubuk et al. 2019, arXiv 1909.13719, section 3).

The ranges of the operations are those of AutoAugment's table 6 (Cubuk et al. 2018). Each operation
takes a uint8 RGB image (height, width, 3) and a strength from -1 to 1; those without a direction
use its absolute value or ignore it.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

_GRAY = (114, 114, 114)
Operation = Callable[[np.ndarray, float], np.ndarray]
"""Function of a uint8 RGB image and a strength from -1 to 1 that returns a uint8 RGB image."""


def random_operations(
    image: np.ndarray, count: int, magnitude: float, random: np.random.Generator
) -> np.ndarray:
    """Apply randomly sampled operations one after the other.

    Args:
        image: uint8 RGB (height, width, 3).
        count: number of operations, sampled uniformly with replacement from `OPERATIONS`.
        magnitude: strength of all operations, 0 to 10; their direction is sampled.
        random: random number generator.

    Returns:
        uint8 RGB image of the same shape.
    """
    for _ in range(count):
        operation = OPERATIONS[int(random.integers(len(OPERATIONS)))]
        sign = 1 if random.random() < 0.5 else -1
        image = operation(image, sign * magnitude / 10)
    return image


def identity(image: np.ndarray, strength: float) -> np.ndarray:
    """Return the image unchanged."""
    return image


def auto_contrast(image: np.ndarray, strength: float) -> np.ndarray:
    """Stretch each channel so that its darkest value becomes 0 and its brightest 255."""
    low, high = image.min(axis=(0, 1)).astype(np.float32), image.max(axis=(0, 1)).astype(np.float32)
    factor = np.where(high > low, 255 / np.maximum(high - low, 1), 1)
    ramp = np.arange(256, dtype=np.float32)[:, None]
    table = np.where(high > low, (ramp - low) * factor, ramp)
    return _looked_up(image, table)


def equalize(image: np.ndarray, strength: float) -> np.ndarray:
    """Equalize the histogram of each channel."""
    return np.stack([cv2.equalizeHist(np.ascontiguousarray(image[..., c])) for c in range(3)], -1)


def solarize(image: np.ndarray, strength: float) -> np.ndarray:
    """Invert values above a threshold, which falls from 256 to 0 with increasing strength."""
    ramp = np.arange(256)
    table = np.where(ramp >= 256 * (1 - abs(strength)), 255 - ramp, ramp)
    return _looked_up(image, table[:, None].repeat(3, axis=1))


def posterize(image: np.ndarray, strength: float) -> np.ndarray:
    """Keep the highest bits of each value: 8 at strength 0, 4 at strength 1."""
    bits = 8 - round(4 * abs(strength))
    return image & np.uint8(256 - 2 ** (8 - bits))


def color(image: np.ndarray, strength: float) -> np.ndarray:
    """Increase or reduce the saturation by a factor of up to 1 ± 0.9."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=-1)
    return _blend(gray, image, strength)


def contrast(image: np.ndarray, strength: float) -> np.ndarray:
    """Increase or reduce the contrast around the mean gray by a factor of up to 1 ± 0.9."""
    mean = float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean())
    return _blend(np.full_like(image, round(mean)), image, strength)


def brightness(image: np.ndarray, strength: float) -> np.ndarray:
    """Increase or reduce the brightness by a factor of up to 1 ± 0.9."""
    return _blend(np.zeros_like(image), image, strength)


def sharpness(image: np.ndarray, strength: float) -> np.ndarray:
    """Sharpen or blur the image by a factor of up to 1 ± 0.9."""
    # Pillow's SMOOTH kernel, which AutoAugment's reference implementation blends with.
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    return _blend(cv2.filter2D(image, -1, kernel), image, strength)


def rotate(image: np.ndarray, strength: float) -> np.ndarray:
    """Rotate the image around its center by up to 30 degrees."""
    height, width = image.shape[:2]
    return _warped(image, cv2.getRotationMatrix2D((width / 2, height / 2), 30 * strength, 1.0))


def shear_x(image: np.ndarray, strength: float) -> np.ndarray:
    """Shift each row by up to 0.3 of its distance from the center row."""
    shift = 0.3 * strength
    return _warped(image, np.array([[1, shift, -shift * image.shape[0] / 2], [0, 1, 0]]))


def shear_y(image: np.ndarray, strength: float) -> np.ndarray:
    """Shift each column by up to 0.3 of its distance from the center column."""
    shift = 0.3 * strength
    return _warped(image, np.array([[1, 0, 0], [shift, 1, -shift * image.shape[1] / 2]]))


def translate_x(image: np.ndarray, strength: float) -> np.ndarray:
    """Shift the image horizontally by up to 0.45 of its width."""
    return _warped(image, np.array([[1, 0, 0.45 * strength * image.shape[1]], [0, 1, 0]]))


def translate_y(image: np.ndarray, strength: float) -> np.ndarray:
    """Shift the image vertically by up to 0.45 of its height."""
    return _warped(image, np.array([[1, 0, 0], [0, 1, 0.45 * strength * image.shape[0]]]))


OPERATIONS: tuple[Operation, ...] = (
    identity, auto_contrast, equalize, rotate, solarize, color, posterize,
    contrast, brightness, sharpness, shear_x, shear_y, translate_x, translate_y,
)  # fmt: skip
"""The fourteen operations of the paper."""


def _blend(base: np.ndarray, image: np.ndarray, strength: float) -> np.ndarray:
    factor = 1 + 0.9 * strength
    return np.asarray(cv2.addWeighted(image, factor, base, 1 - factor, 0), np.uint8)


def _looked_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Map each channel through its column of a table (256, 3)."""
    whole = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, whole[None]), np.uint8)


def _warped(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    moved = cv2.warpAffine(
        image, matrix.astype(np.float64), (width, height), flags=cv2.INTER_LINEAR, borderValue=_GRAY
    )
    return np.asarray(moved, np.uint8)
