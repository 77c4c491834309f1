"""Fit rotated rectangles to points, with one form for each rectangle.

A rectangle is (center x, center y, width, height, angle); `RotatedBoxes` describes its form.
"""

from __future__ import annotations

import numpy as np

_SKEW = 1e-4
"""Largest relative deviation of four points from a rectangle whose edges are averaged."""


def canonical(boxes: np.ndarray) -> np.ndarray:
    """Return boxes float32 (n, 5) with the longer edge first and the angle in [-90, 90)."""
    width, height, angle = boxes[:, 2], boxes[:, 3], boxes[:, 4]
    limit = np.where(width == height, np.float32(45), np.float32(90))
    turned = width < height
    if not (turned | (angle < -limit) | (angle >= limit)).any():
        return boxes
    result = boxes.copy()
    result[turned, 2], result[turned, 3] = height[turned], width[turned]
    wide = angle + np.where(turned, 90.0, 0.0)
    wrapped = (wide + limit) % (2.0 * limit) - limit
    # Where it is in the range, the angle is kept, since wrapping rounds it.
    wide = np.where((wide >= -limit) & (wide < limit), wide, wrapped).astype(np.float32)
    # Rounding may reach the excluded end of the range.
    result[:, 4] = np.where(wide >= limit, -limit, wide)
    return result


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """Return the corners of boxes (n, 5), float64 (n, 4, 2)."""
    x, y, width, height, angle = boxes.astype(np.float64).T
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    # cos(-90°) is 6e-17, which would move the corners of an upright box off their pixels.
    cos[angle == -90] = 0
    u = np.stack([cos, sin], axis=1) * (width / 2)[:, None]
    v = np.stack([-sin, cos], axis=1) * (height / 2)[:, None]
    center = np.stack([x, y], axis=1)
    return np.stack([center - u - v, center + u - v, center + u + v, center - u + v], axis=1)


def fitted(points: np.ndarray) -> np.ndarray:
    """Return the rectangles of minimum area around points.

    Args:
        points: float64 (n, k, 2) with k of at least 3. The order of the points does not matter.

    Returns:
        float64 (n, 5). Angles are in the range [-90, 90), but either edge may be the longer one.
    """
    if points.shape[1] != 4:
        return _enclosing(points)
    boxes, regular = _averaged(points)
    if not regular.all():
        boxes[~regular] = _enclosing(points[~regular])
    return boxes


def _averaged(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rectangles of the mean opposite edges, and whether the corners form rectangles."""
    # Another first corner or direction exchanges or negates the two edges and the diagonals, and
    # nothing is rounded differently, so the result is the same to the last bit.
    a, b, c, d = corners.transpose(1, 0, 2)
    edges = np.stack([(b - a) + (c - d), (c - b) + (d - a)]) / 2
    lengths = np.hypot(edges[..., 0], edges[..., 1])
    angles = _angle(edges)
    equal = lengths[0] == lengths[1]
    second = np.where(equal, angles[1] < angles[0], lengths[1] > lengths[0])
    width, height = lengths.max(axis=0), lengths.min(axis=0)
    angle = np.where(second, angles[1], angles[0])
    center = ((a + c) + (b + d)) / 4
    boxes = np.stack([center[:, 0], center[:, 1], width, height, angle], axis=1)
    skew = np.abs((edges[0] * edges[1]).sum(axis=1)) <= _SKEW * width * height
    gap = np.abs((a + c) - (b + d)).max(axis=1) <= _SKEW * height
    return boxes, skew & gap


def _enclosing(points: np.ndarray) -> np.ndarray:
    """Return rectangles of minimum area, one of whose edges connects two points."""
    # An edge of the rectangle contains an edge of the convex hull (Freeman and Shapira 1975). All
    # pairs of a few points are tried instead of the hull's edges alone: no rectangle around the
    # points is smaller. Sorted, so that the order of the points has no influence on rounding.
    order = np.lexsort((points[..., 1], points[..., 0]), axis=-1)
    points = np.take_along_axis(points, order[..., None], axis=1)
    origin = points[:, :1]
    points = points - origin
    first, last = np.triu_indices(points.shape[1], 1)
    edges = points[:, last] - points[:, first]
    lengths = np.hypot(edges[..., 0], edges[..., 1])[..., None]
    axes = np.where(lengths > 0, edges / np.where(lengths > 0, lengths, 1), (1.0, 0.0))
    normals = np.stack([-axes[..., 1], axes[..., 0]], axis=-1)
    spans = [np.einsum("npd,nkd->npk", directions, points) for directions in (axes, normals)]
    low = np.stack([span.min(axis=2) for span in spans], axis=2)
    high = np.stack([span.max(axis=2) for span in spans], axis=2)
    best = (np.arange(len(points)), np.argmin((high - low).prod(axis=2), axis=1))
    middle, extent = ((low + high) / 2)[best], (high - low)[best]
    center = origin[:, 0] + axes[best] * middle[:, :1] + normals[best] * middle[:, 1:]
    return np.concatenate([center, extent, _angle(axes[best])[:, None]], axis=1)


def _angle(edges: np.ndarray) -> np.ndarray:
    """Return the angle of undirected edges (..., 2) in degrees, from -90 to below 90."""
    x, y = edges[..., 0] + 0.0, edges[..., 1]  # + 0.0: -0.0 would turn an empty edge by 180°
    sign = np.where((x < 0) | ((x == 0) & (y > 0)), -1.0, 1.0)
    return np.asarray(np.degrees(np.arctan2(sign * y, sign * x)))
