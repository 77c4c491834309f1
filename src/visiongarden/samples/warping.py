"""Apply projective matrices to points, and clip convex polygons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from visiongarden.samples.matrices import MIN_DEPTH
from visiongarden.types import ImageSize

Ring: TypeAlias = list[tuple[float, ...]]
"""Corners of a polygon, in order."""


def is_affine(matrix: np.ndarray) -> bool:
    """Return whether a checked matrix keeps parallel lines parallel."""
    return bool(matrix[2, 0] == 0 and matrix[2, 1] == 0)


def projected(points: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Transform the corners of polygons.

    Args:
        points: (n, k, 2) in pixels.
        matrix: a matrix from `matrices.checked_matrix`.

    Returns:
        The points, float64 (n, k, 2), and bool (n,): polygons that are at least partly behind the
        camera. Their points have no meaning; `in_front` transforms the rest of such a polygon.
    """
    moved = points @ matrix[:2, :2].T + matrix[:2, 2]
    if is_affine(matrix):
        return moved, np.zeros(len(points), bool)
    depth = points @ matrix[2, :2] + matrix[2, 2]
    behind = (depth < MIN_DEPTH).any(axis=1)
    depth[behind] = 1
    return moved / depth[..., None], behind


def in_front(points: np.ndarray, matrix: np.ndarray) -> Ring:
    """Transform the part of a polygon (k, 2) in front of the camera, perhaps empty."""
    ring: Ring = [tuple(p) for p in (np.c_[points, np.ones(len(points))] @ matrix.T).tolist()]
    ring = _half(ring, [depth - MIN_DEPTH for _, _, depth in ring])
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
