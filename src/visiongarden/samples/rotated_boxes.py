"""`RotatedBoxes`: rotated boxes of the objects of an image."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples import columns, matrices, warping
from visiongarden.samples.box_array import BoxArray
from visiongarden.samples.rectangles import canonical, corners_of, fitted
from visiongarden.types import ImageSize

_SIMILAR = 1e-9
"""Largest relative deviation of a matrix from a rotation, mirroring and scaling."""


class RotatedBoxes(BoxArray):
    """Boxes float32 (n, 5): center x, center y, width, height, angle; immutable.

    The width is the longer edge. The angle in degrees, from -90 up to but not including 90, is the
    direction of that edge in image coordinates: x to the right, y down, so positive angles turn
    clockwise on the screen. Of a square, the edge with an angle from -45 up to but not including 45
    counts as the width. Boxes with other angles, or with the shorter edge first, are converted.
    `np.asarray(boxes)` is the array.

    Args:
        boxes: (n, 5), in pixels and degrees, or an empty sequence.

    Raises:
        UserError: the boxes have another shape, are not finite, or have a negative width or height.

    Example:
        A box of 10 × 20 pixels, upright, and the same box turned by 30° on the screen:

        >>> np.asarray(RotatedBoxes([[50, 50, 10, 20, 0], [50, 50, 10, 20, 30]])).tolist()
        [[50.0, 50.0, 20.0, 10.0, -90.0], [50.0, 50.0, 20.0, 10.0, -60.0]]
    """

    __slots__ = ()

    def __init__(self, boxes: Any) -> None:
        array = columns.numbers("rotated boxes", boxes, (5,))
        negative = (array[:, 2:4] < 0).any(axis=1)
        if negative.any():
            row = int(np.argmax(negative))
            raise UserError(
                "a rotated box has a negative size",
                rule="center x, center y, width, height, angle; width and height at least 0",
                received=f"{array[row].tolist()} in row {row}",
                fix="RotatedBoxes.from_corners(corners)",
            )
        self._array = columns.read_only(canonical(array))

    @classmethod
    def from_corners(cls, corners: Any) -> Self:
        """Return the boxes with given corners; the first corner and the direction do not matter.

        Args:
            corners: (n, 4, 2), x and y in pixels. Of four points that form no rectangle, the box is
                the rectangle of minimum area around them.

        Raises:
            UserError: the corners have another shape, are not numbers or not finite.

        Example:
            >>> box = RotatedBoxes.from_corners([[[1, 1], [5, 1], [5, 3], [1, 3]]])
            >>> np.asarray(box).tolist()
            [[3.0, 2.0, 4.0, 2.0, 0.0]]
        """
        return cls(fitted(columns.numbers("corners", corners, (4, 2), np.float64)))

    def corners(self) -> np.ndarray:
        """Return the corners, float32 (n, 4, 2).

        The first two are the ends of the width's edge, in the direction of the angle; at angle 0,
        the order is upper left, upper right, lower right, lower left.
        """
        return corners_of(self._array).astype(np.float32)

    def warp(self, matrix: np.ndarray, size: ImageSize) -> Self:
        """Transform the boxes; they may reach beyond the canvas.

        Rotation, mirroring and uniform scaling are exact. After any other transform, a box is the
        rectangle of minimum area around its transformed corners.

        Args:
            matrix: (3, 3), from pixels of the input to pixels of the output.
            size: (height, width) of the output.

        Raises:
            UserError: the matrix is not valid, or a coordinate overflows.
        """
        matrix = matrices.checked_matrix(matrix)
        if _is_similarity(matrix):
            return type(self)(_similar(self._array.astype(np.float64), matrix))
        corners = corners_of(self._array)
        points, behind = warping.projected(corners, matrix)
        boxes = fitted(points)
        for row in np.flatnonzero(behind):
            # Entirely behind the camera: a point that is not visible on any canvas.
            ring = warping.in_front(corners[row], matrix) or [(-1.0, -1.0)] * 4
            boxes[row] = fitted(np.array([ring]))[0]
        return type(self)(boxes)

    def clip(self, size: ImageSize) -> Self:
        """Return the smallest boxes with the same axes around the parts inside a canvas.

        A box that was cut keeps its axes, not the direction of a visible edge, so it may still
        reach beyond the canvas. A box outside keeps no area.
        """
        corners = corners_of(self._array)
        cut = np.flatnonzero(~_inside(corners, size))
        if not len(cut):
            return self
        boxes = self._array.astype(np.float64)
        for row in cut:
            boxes[row] = _refitted(boxes[row].tolist(), _ring(corners[row]), size)
        return type(self)(boxes)

    def visible_fraction(self, size: ImageSize) -> np.ndarray:
        """Return the fraction of each box's area inside a canvas, float64 (n,) from 0 to 1.

        Of a box without height, the fraction of its length counts.
        """
        corners = corners_of(self._array)
        inside = _inside(corners, size)
        fractions = inside.astype(np.float64)
        for row in np.flatnonzero(~inside):
            fractions[row] = _fraction(_ring(corners[row]), size)
        return fractions

    def to_targets(self, capacity: int, size: ImageSize) -> dict[str, np.ndarray]:
        """Return `boxes`, float32 (capacity, 5) in pixels and degrees; 0 pads.

        Raises:
            UserError: there are more than `capacity` boxes.
        """
        return {"boxes": columns.padded("rotated boxes", self._array, capacity)}


def _is_similarity(matrix: np.ndarray) -> bool:
    (a, b, _), (c, d, _), _ = matrix.tolist()
    tolerance = _SIMILAR * (a * a + b * b + c * c + d * d)
    return (
        warping.is_affine(matrix)
        and abs(a * b + c * d) <= tolerance
        and abs(a * a + c * c - b * b - d * d) <= tolerance
    )


def _similar(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Rotate, mirror and scale boxes, float64 (n, 5)."""
    (a, b, _), (c, d, _), _ = matrix.tolist()
    determinant = a * d - b * c
    moved = np.empty_like(boxes)
    moved[:, :2] = boxes[:, :2] @ matrix[:2, :2].T + matrix[:2, 2]
    moved[:, 2:4] = boxes[:, 2:4] * math.sqrt(abs(determinant))
    # The image of the x axis has the angle atan2(c, a); mirroring reverses the sense of rotation.
    moved[:, 4] = boxes[:, 4] * math.copysign(1, determinant) + math.degrees(math.atan2(c, a))
    return moved


def _inside(corners: np.ndarray, size: ImageSize) -> np.ndarray:
    """Return which boxes are entirely inside a canvas, bool (n,)."""
    return np.asarray(((corners >= 0) & (corners <= size[::-1])).all(axis=(1, 2)))


def _ring(corners: np.ndarray) -> warping.Ring:
    return [tuple(point) for point in corners.tolist()]


def _refitted(box: list[float], ring: warping.Ring, size: ImageSize) -> list[float]:
    """Return the box with the same axes around the part of a box inside a canvas."""
    x, y, _, _, angle = box
    seen = warping.clipped(ring, size)
    if not seen:
        return [min(max(x, 0), size[1]), min(max(y, 0), size[0]), 0, 0, angle]
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = [(px - x) * cos + (py - y) * sin for px, py in seen]
    across = [(py - y) * cos - (px - x) * sin for px, py in seen]
    u, v = (max(along) + min(along)) / 2, (max(across) + min(across)) / 2
    width, height = max(along) - min(along), max(across) - min(across)
    return [x + u * cos - v * sin, y + u * sin + v * cos, width, height, angle]


def _fraction(ring: warping.Ring, size: ImageSize) -> float:
    """Return the fraction of a box inside a canvas."""
    seen = warping.clipped(ring, size)
    whole = warping.area_of(ring)
    if whole > 0:
        return min(warping.area_of(seen) / whole, 1.0)
    length = math.dist(ring[0], ring[1])
    if not length or not seen:
        return 0.0
    return min(max(math.dist(p, q) for p in seen for q in seen) / length, 1.0)
