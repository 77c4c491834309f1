"""Apply projective matrices to points, and clip convex polygons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples.columns import as_array
from visiongarden.types import ImageSize

Ring: TypeAlias = list[tuple[float, ...]]
"""Corners of a polygon, in order."""

_NEAR = 1e-6
"""Depth at which polygons that reach behind the camera are cut, as a fraction of their depth."""


def as_matrix(matrix: Any) -> np.ndarray:
    """Return a matrix as float64 (3, 3), whose third row is 0, 0, 1 if it is affine.

    Raises:
        UserError: it has another shape, is not finite or maps everything onto a line.
    """
    array = as_array("the entries of the matrix", matrix)
    if array.shape != (3, 3) or array.dtype.kind not in "iuf":
        affine = array.shape == (2, 3)
        raise UserError(
            "the matrix of a warp is not valid",
            rule="numbers of shape (3, 3), from pixels of the input to pixels of the output",
            received=f"{array.dtype} of shape {array.shape}",
            fix="np.vstack([matrix, (0, 0, 1)])" if affine else "np.eye(3)",
        )
    array = array.astype(np.float64)
    (a, b, c), (d, e, f), (g, h, i) = array.tolist()
    # Infinity or NaN in any entry makes the determinant infinite or NaN.
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    if not math.isfinite(determinant) or determinant == 0:
        raise UserError(
            "the matrix of a warp cannot be inverted",
            rule="finite entries and a determinant other than 0",
            received=f"{array.tolist()}",
            fix="np.eye(3)",
        )
    return array / i if g == h == 0 and i != 1 else array


def as_size(size: Any) -> ImageSize:
    """Return (height, width) as a tuple; a UserError for anything else, such as (h, w, c)."""
    try:
        height, width = size
        if height >= 0 and width >= 0 and height == int(height) and width == int(width):
            return int(height), int(width)
    except (TypeError, ValueError, OverflowError):
        pass
    raise UserError(
        "the size of the image is not valid",
        rule="(height, width) in pixels",
        received=f"{size!r:.100}",
        fix="image.shape[:2]",
    )


def is_affine(matrix: np.ndarray) -> bool:
    """Return whether a matrix from `as_matrix` keeps parallel lines parallel."""
    return bool(matrix[2, 0] == 0 and matrix[2, 1] == 0)


def projected(points: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Transform the corners of polygons.

    Args:
        points: (n, k, 2) in pixels.
        matrix: a matrix from `as_matrix`.

    Returns:
        The points, float64 (n, k, 2), and bool (n,): polygons that are at least partly behind the
        camera. Their points have no meaning; `in_front` transforms the rest of such a polygon.
    """
    moved = points @ matrix[:2, :2].T + matrix[:2, 2]
    if is_affine(matrix):
        return moved, np.zeros(len(points), bool)
    depth = points @ matrix[2, :2] + matrix[2, 2]
    behind = (depth < _NEAR * np.abs(depth).max(axis=1, keepdims=True, initial=0)).any(axis=1)
    depth[behind] = 1
    return moved / depth[..., None], behind


def in_front(points: np.ndarray, matrix: np.ndarray) -> Ring:
    """Transform the part of a polygon (k, 2) in front of the camera; empty if there is none."""
    ring: Ring = [tuple(p) for p in (np.c_[points, np.ones(len(points))] @ matrix.T).tolist()]
    near = _NEAR * max(abs(depth) for _, _, depth in ring)
    ring = _half(ring, [depth - near for _, _, depth in ring])
    return [(x / depth, y / depth) for x, y, depth in ring]


def clipped(ring: Ring, size: ImageSize) -> Ring:
    """Clip a convex polygon to a canvas (Sutherland and Hodgman 1974); empty if outside."""
    height, width = size
    for axis, limit in ((0, width), (1, height)):
        ring = _half(ring, [point[axis] for point in ring])
        ring = _half(ring, [limit - point[axis] for point in ring])
    return ring


def _half(ring: Ring, away: Sequence[float]) -> Ring:
    """Return the part of a polygon whose corners have a distance of at least 0 from a line."""
    kept: Ring = []
    for i, here in enumerate(away):
        before = away[i - 1]
        if (before < 0) != (here < 0):
            t = before / (before - here)
            kept.append(tuple(p + (q - p) * t for p, q in zip(ring[i - 1], ring[i], strict=True)))
        if here >= 0:
            kept.append(ring[i])
    return kept


def area_of(ring: Ring) -> float:
    """Return the area of a polygon (shoelace formula)."""
    if not ring:
        return 0.0
    # Relative to a corner, so that the products of large coordinates do not cancel.
    x0, y0 = ring[0]
    x, y = [p[0] - x0 for p in ring], [p[1] - y0 for p in ring]
    return abs(sum(x[i - 1] * y[i] - x[i] * y[i - 1] for i in range(len(ring)))) / 2
