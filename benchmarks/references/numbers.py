"""Numbers that both sides of a comparison compute from names and shapes, instead of storing them.

NumPy alone, so that it runs in every environment.
"""

from __future__ import annotations

import zlib

import numpy as np

NORM = ("running_mean", "running_var")


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return random weights by name.

    Statistics and affine parameters of normalization are uniform in (0.5, 1.5), kernels are normal
    with the variance 2 / fan-in (He et al. 2015).

    Args:
        shapes: Shapes by PyTorch's names.
    """
    return {name: _weight(name, shape) for name, shape in shapes.items()}


def _weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if len(shape) < 2:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)


def images(height: int, width: int) -> np.ndarray:
    """Return two random images, (2, height, width, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (2, height, width, 3)).astype(np.uint8)


def sample(array: np.ndarray, count: int = 512) -> np.ndarray:
    """Return at most `count` elements at equal distances of an array in NHWC order."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat[:: max(1, flat.size // count)][:count]


def projections(name: str, array: np.ndarray, count: int = 2) -> np.ndarray:
    """Return scalar products of an array with random directions that depend on its name alone.

    Unlike a sum or a norm, they change when axes or elements are exchanged.
    """
    rng = np.random.default_rng(zlib.crc32(f"{name} {array.size}".encode()))
    flat = np.ascontiguousarray(array, np.float32).reshape(-1)
    return np.float64([flat @ rng.standard_normal(flat.size, np.float32) for _ in range(count)])


def regions(height: int, width: int, count: int = 6) -> np.ndarray:
    """Return random boxes of two images, (2, count, 4) float32, xyxy in pixels.

    Args:
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        count: Number of boxes of an image.
    """
    rng = np.random.default_rng(1)
    limits = np.array([width, height])
    low = rng.uniform(0, 0.6, (2, count, 2)) * limits
    sides = rng.uniform(0.1, 1, (2, count, 2)) * limits
    return np.concatenate([low, np.minimum(low + sides, limits)], axis=-1).astype(np.float32)
