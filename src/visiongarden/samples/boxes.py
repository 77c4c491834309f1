"""`Boxes`: axis-aligned boxes of the objects of an image."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from visiongarden.samples import columns, matrices, warping
from visiongarden.samples.box_array import BoxArray
from visiongarden.types import ImageSize

_CORNERS = np.array([[0, 1], [2, 1], [2, 3], [0, 3]])
"""Columns with x and y of each corner."""

_OUTSIDE = [(-1.0, -1.0)]
"""Where a box ends that is entirely behind the camera: it is not visible on any canvas."""


class Boxes(BoxArray):
    """Boxes float32 (n, 4), xyxy in pixels; immutable. `np.asarray(boxes)` is the array.

    The order of the corners is not checked, because readers report what files contain.

    Args:
        boxes: (n, 4), or an empty sequence.

    Raises:
        UserError: the boxes have another shape, are not numbers or not finite.

    Example:
        >>> boxes = Boxes([[10, 20, 30, 40]])
        >>> mirror = np.array([[-1, 0, 100], [0, 1, 0], [0, 0, 1]])
        >>> np.asarray(boxes.warp(mirror, (80, 100))).tolist()
        [[70.0, 20.0, 90.0, 40.0]]
    """

    __slots__ = ()

    def __init__(self, boxes: Any) -> None:
        self._array = columns.numbers("boxes", boxes, (4,))

    def warp(self, matrix: np.ndarray, size: ImageSize) -> Self:
        """Return the boxes around the transformed corners; they may reach beyond the canvas.

        Args:
            matrix: (3, 3), from pixels of the input to pixels of the output.
            size: (height, width) of the output.

        Raises:
            UserError: the matrix is not valid, or a coordinate overflows.
        """
        matrix = matrices.checked_matrix(matrix)
        if warping.is_affine(matrix):
            return type(self)(_affine(self._array, matrix))
        return type(self)(_hulls(self._array.astype(np.float64)[:, _CORNERS], matrix))

    def clip(self, size: ImageSize) -> Self:
        """Return the parts of the boxes inside a canvas; a box outside keeps no area."""
        return self._of(_clipped(self._array, size))

    def visible_fraction(self, size: ImageSize) -> np.ndarray:
        """Return the fraction of each box's area inside a canvas, float64 (n,) from 0 to 1.

        A box without width or height counts as the limit of a box with it: its length inside the
        canvas, or 1 for a point in the canvas.
        """
        array = self._array.astype(np.float64)
        seen = _clipped(array, size)
        length, inside = array[:, 2:] - array[:, :2], seen[:, 2:] - seen[:, :2]
        area = length[:, 0] * length[:, 1]
        if area.min(initial=1) > 0:
            return np.asarray(inside[:, 0] * inside[:, 1] / area)
        # A side without length is visible if clipping does not move it.
        within = (array == seen).reshape(-1, 2, 2).all(axis=1)
        fraction = np.where(length == 0, within, inside / np.where(length == 0, 1, length))
        return np.asarray(fraction[:, 0] * fraction[:, 1])

    def to_targets(self, capacity: int, size: ImageSize) -> dict[str, np.ndarray]:
        """Return `boxes`, float32 (capacity, 4) in pixels; 0 pads.

        Raises:
            UserError: there are more than `capacity` boxes.
        """
        return {"boxes": columns.padded("boxes", self._array, capacity)}


def _clipped(boxes: np.ndarray, size: ImageSize) -> np.ndarray:
    """Return the parts of boxes (n, 4) inside a canvas, of the same dtype."""
    height, width = size
    limit = np.array((width, height, width, height), boxes.dtype)
    return np.minimum(np.maximum(boxes, 0), limit)  # half the time of `np.clip`


def _affine(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the boxes around affinely transformed boxes, float64 (n, 4)."""
    # Interval arithmetic: a positive factor maps the lower bound to the lower bound, a negative
    # one the upper bound. One product in place of the four corners.
    (a, b, x), (c, d, y), _ = matrix.tolist()
    if b == c == 0 and a > 0 and d > 0:
        return np.asarray(boxes.astype(np.float64) * np.array((a, d, a, d)) + (x, y, x, y))
    plus = [max(v, 0.0) for v in (a, b, c, d)]
    minus = [min(v, 0.0) for v in (a, b, c, d)]
    factors = np.array(
        [
            [plus[0], plus[2], minus[0], minus[2]],
            [plus[1], plus[3], minus[1], minus[3]],
            [minus[0], minus[2], plus[0], plus[2]],
            [minus[1], minus[3], plus[1], plus[3]],
        ]
    )
    return np.asarray(boxes.astype(np.float64) @ factors + np.array((x, y, x, y)))


def _hulls(corners: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the boxes around transformed quadrilaterals (n, 4, 2), float64 (n, 4)."""
    points, behind = warping.projected(corners, matrix)
    hulls = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    for row in np.flatnonzero(behind):
        ring = np.array(warping.in_front(corners[row], matrix) or _OUTSIDE)
        hulls[row] = [*ring.min(axis=0), *ring.max(axis=0)]
    return hulls
