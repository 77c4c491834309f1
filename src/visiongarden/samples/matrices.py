"""Check and convert the matrices of geometric transforms.

A matrix (3, 3) maps input coordinates to output coordinates in pixels. Coordinates are those of
pixel edges: the image covers x from 0 to its width, and a mirror maps x to width − x.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.types import ImageSize

MIN_DEPTH = 1e-6
"""Points whose third homogeneous coordinate is below this are behind the camera."""


def checked_size(size: Any) -> ImageSize:
    """Return a canvas size as integers (height, width).

    Raises:
        UserError: it is not two integers of at least 0.
    """
    try:
        height, width = size
        valid = int(height) == height >= 0 and int(width) == width >= 0
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        raise UserError(
            "the size of the canvas is not valid",
            rule="(height, width), integers of at least 0, in pixels",
            received=f"{size!r:.60}",
            fix="size=image.shape[:2]",
        )
    return int(height), int(width)


def checked_matrix(matrix: Any) -> np.ndarray:
    """Return a matrix of a geometric transform as float64 (3, 3).

    It is scaled, which changes no point: an affine one has the third row 0, 0, 1, and the largest
    entry of another third row is 1, so that `MIN_DEPTH` is relative to it.

    Raises:
        UserError: it has another shape, is not finite or cannot be inverted.
    """
    try:
        found = np.asarray(matrix, np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (3, 3):
        raise UserError(
            "the matrix of a geometric transform has an invalid shape",
            rule="(3, 3), from input pixels to output pixels",
            received=f"shape {np.shape(found)}",
            fix="matrix = np.vstack([matrix, [0, 0, 1]])  # of an affine matrix (2, 3)",
        )
    # Not `np.linalg.det`, which takes 10 µs, several times for each image. It is not finite if an
    # entry is not.
    (a, b, c), (d, e, f), (g, h, i) = found.tolist()
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    if determinant == 0 or not math.isfinite(determinant):
        raise UserError(
            "the matrix of a geometric transform cannot be inverted",
            rule="finite numbers and a determinant other than 0",
            received=f"{found.tolist()!r:.200}",
            fix="check the scale and the size from which the matrix is computed",
        )
    affine = g == h == 0
    if affine and i == 1:
        return found
    return found / (i if affine else max(abs(g), abs(h), abs(i)))


def is_affine(matrix: np.ndarray) -> bool:
    """Return whether the third row of a matrix is 0, 0, 1: parallel lines stay parallel."""
    return bool(matrix[2].tolist() == [0, 0, 1])


def mirrors(matrix: np.ndarray) -> bool:
    """Return whether a transform by a checked matrix mirrors what is in front of the camera."""
    return bool(np.linalg.det(matrix) < 0)


def shift(x: float, y: float) -> np.ndarray:
    """Return the matrix of a translation in pixels."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def of_pixel_centers(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix for OpenCV, which counts from the center of the first pixel."""
    return shift(-0.5, -0.5) @ matrix @ shift(0.5, 0.5)
