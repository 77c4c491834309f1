"""The keypoints of all objects of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from visiongarden.errors import UserError
from visiongarden.samples import columns, matrices
from visiongarden.types import ImageSize

Pairs = tuple[tuple[int, int], ...]


class Keypoints:
    """Keypoints of n objects with k points each, as in COCO.

    Coordinates are those of pixel edges: a mirror maps x to width − x. Transforms move points and
    nothing else; whether a point is visible is decided once, after all of them, by `resolved` or
    `to_targets`.

    Args:
        values: (n, k, 3): x, y in pixels and the visibility: 0 not labeled, 1 labeled but hidden,
            2 visible. Coordinates of points that are not labeled have no meaning.
        names: names of the points (k,), or none.
        pairs: indices of a left point and its right one, which a mirror swaps. () states that there
            are no such points; None that this is not known, so that mirrors must be off.
        skeleton: indices of the two points of each edge, for drawing.

    Raises:
        UserError: a shape, a visibility, an index or the number of names is not valid.

    Example:
        >>> import numpy as np
        >>> eyes = Keypoints([[[2, 3, 2], [5, 3, 2]]], ("left_eye", "right_eye"), pairs=[(0, 1)])
        >>> mirror = np.array([[-1, 0, 8], [0, 1, 0], [0, 0, 1]])
        >>> eyes.warp(mirror, (6, 8)).values.tolist()
        [[[3.0, 3.0, 2.0], [6.0, 3.0, 2.0]]]
    """

    __slots__ = ("_lost", "names", "pairs", "skeleton", "values")

    def __init__(
        self,
        values: Any,
        names: Sequence[str] = (),
        pairs: Sequence[Sequence[int]] | None = None,
        skeleton: Sequence[Sequence[int]] = (),
    ) -> None:
        self.names = tuple(names)
        self.values = columns.read_only(_values(values, len(self.names)))
        self._lost = np.zeros(len(self.values), np.int64)  # labeled points, behind the camera now
        count = self.values.shape[1]
        _check_names(self.names, count)
        self.pairs = None if pairs is None else _edges(pairs, count, "pairs")
        if self.pairs is not None:
            _check_pairs(self.pairs)
        self.skeleton = _edges(skeleton, count, "skeleton")

    @property
    def can_mirror(self) -> bool:
        """Whether it is known which points a mirror swaps; if not, mirrors must be off."""
        return self.pairs is not None

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Keypoints({len(self)} objects, {self.values.shape[1]} points)"

    def __getitem__(self, index: slice | np.ndarray) -> Keypoints:
        """Return the keypoints of a slice, of integer indices (m,) or of a bool array (n,)."""
        index = columns.selection(index, len(self))
        return self._with(self.values[index], self._lost[index])

    @classmethod
    def concatenate(cls, parts: Sequence[Keypoints]) -> Keypoints:
        """Join keypoints of the same points.

        Raises:
            UserError: there is nothing to join, or number, names, pairs or skeleton differ.
        """
        schemes = {(p.values.shape[1], p.names, p.pairs, p.skeleton) for p in parts}
        if len(schemes) != 1:
            raise UserError(
                "keypoints of different schemes cannot be joined"
                if schemes
                else "no keypoints to join",
                rule="the same number of points, names, pairs and skeleton",
                received=" and ".join(
                    f"{count} points, names {names!r:.60}, pairs {pairs!r:.60}, skeleton "
                    f"{skeleton!r:.60}"
                    for count, names, pairs, skeleton in list(schemes)[:2]
                )
                or "an empty list",
                fix="Keypoints(part.values, names, pairs, skeleton)  # for each part",
            )
        values = np.concatenate([part.values for part in parts])
        return parts[0]._with(values, np.concatenate([part._lost for part in parts]))

    def warp(self, matrix: np.ndarray, size: ImageSize) -> Keypoints:
        """Move the points; a matrix with a negative determinant swaps left and right.

        Visibilities stay, also outside the canvas. Points that are not labeled become (0, 0, 0), as
        do points behind the camera of a perspective transform.

        Args:
            matrix: (3, 3), from input pixels to output pixels.
            size: (height, width) of the output's canvas; has no effect.
        """
        matrix = matrices.checked_matrix(matrix)
        points = self.values[..., :2].astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
        depth = points[..., 2:]
        before = self.values[..., 2:] > 0
        labeled = before & (depth >= matrices.MIN_DEPTH)
        moved = np.concatenate(
            [points[..., :2] / np.where(labeled, depth, 1), self.values[..., 2:]], axis=-1
        )
        found = np.where(labeled, moved, 0).astype(np.float32)
        if self.pairs and matrices.mirrors(matrix):
            found = found[:, _swapped(self.pairs, found.shape[1])]
        return self._with(found, self._lost + (before & ~labeled).sum(axis=(1, 2)))

    def visible_fraction(self, size: ImageSize) -> np.ndarray:
        """Return the fraction of each object's labeled points inside the canvas, float64 (n,).

        Points that were behind the camera of a warp count as outside. Objects without labeled
        points have the fraction 1.
        """
        labeled = self.values[..., 2] > 0
        count = labeled.sum(axis=1) + self._lost
        inside = (labeled & self._inside(size)).sum(axis=1)
        return np.where(count > 0, inside / np.maximum(count, 1), 1.0)

    def resolved(self, size: ImageSize) -> Keypoints:
        """Set points outside the canvas to (0, 0, 0), not labeled; the border is inside."""
        kept = (self.values[..., 2] > 0) & self._inside(size)
        return self._with(np.where(kept[..., None], self.values, np.float32(0)), self._lost)

    def to_targets(self, capacity: int, size: ImageSize) -> dict[str, np.ndarray]:
        """Return {"keypoints": float32 (capacity, k, 3)}, resolved and padded with zeros.

        Raises:
            UserError: there are more objects than `capacity`.
        """
        return {"keypoints": columns.padded("keypoints", self.resolved(size).values, capacity)}

    def _inside(self, size: ImageSize) -> np.ndarray:
        height, width = matrices.checked_size(size)
        points = self.values[..., :2]
        return np.asarray(((points >= 0) & (points <= (width, height))).all(axis=-1))

    def _with(self, values: np.ndarray, lost: np.ndarray) -> Keypoints:
        found = object.__new__(Keypoints)
        found.values, found.names, found._lost = columns.read_only(values), self.names, lost
        found.pairs, found.skeleton = self.pairs, self.skeleton
        return found


def _swapped(pairs: Pairs, count: int) -> np.ndarray:
    order = np.arange(count)
    for left, right in pairs:
        order[left], order[right] = right, left
    return order


def _values(given: Any, count: int) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # found below, as not finite
            values = np.array(given, np.float32)
    except (TypeError, ValueError):
        values = np.zeros((), np.float32)
    if values.shape == (0,) and count:
        values = values.reshape(0, count, 3)
    if values.ndim != 3 or values.shape[2] != 3 or not values.shape[1]:
        raise UserError(
            "the keypoints have an invalid shape",
            rule="(n, k, 3): x, y and visibility of k points of n objects",
            received=f"shape {values.shape}",
            fix="np.reshape(keypoints, (-1, k, 3))  # of COCO's flat lists",
        )
    visibility = values[..., 2]
    if not np.isin(visibility, (0, 1, 2)).all():
        raise UserError(
            "a keypoint has an invalid visibility",
            rule="0 not labeled, 1 labeled but hidden, 2 visible",
            received=_first(values, ~np.isin(visibility, (0, 1, 2))),
            fix="np.where(keypoints[..., 2] > 0, 2, 0)  # if only labeled or not is known",
        )
    wrong = np.logical_not(np.isfinite(values[..., :2]).all(axis=-1))
    if wrong.any():
        raise UserError(
            "a keypoint has a coordinate that is not finite",
            rule="finite x and y in pixels; (0, 0, 0) for points that are not labeled",
            received=_first(values, wrong),
            fix="keypoints[~np.isfinite(keypoints).all(axis=-1)] = 0",
        )
    return values


def _first(values: np.ndarray, wrong: np.ndarray) -> str:
    row, point = np.argwhere(wrong)[0].tolist()
    return f"{values[row, point].tolist()} at point {point} of object {row}"


def _check_names(names: tuple[str, ...], count: int) -> None:
    if names and len(names) != count:
        raise UserError(
            "the names of the keypoints do not match their number",
            rule=f"{count} names, one per point",
            received=f"{len(names)} names: {', '.join(map(str, names))[:100]}",
            fix=f"names=names[:{count}]" if len(names) > count else "names=()",
        )
    if len(set(names)) != len(names):
        raise UserError(
            "a name of a keypoint is a duplicate",
            rule="different names",
            received=", ".join(map(str, names))[:200],
            fix="rename one of the points",
        )


def _edges(given: Sequence[Sequence[int]], count: int, name: str) -> Pairs:
    try:
        edges = tuple((int(a), int(b)) for a, b in given)
        valid = all(0 <= a < count and 0 <= b < count and a != b for a, b in edges)
        valid = valid and all(
            a == c and b == d for (a, b), (c, d) in zip(edges, given, strict=True)
        )
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        raise UserError(
            f"the {name} of the keypoints are not valid",
            rule=f"two different indices from 0 to {count - 1} each",
            received=f"{given!r:.200}",
            fix=f"{name}=[(a - 1, b - 1) for a, b in {name}]  # if they count from 1, as in COCO",
        )
    return edges


def _check_pairs(pairs: Pairs) -> None:
    points = [point for pair in pairs for point in pair]
    if len(set(points)) != len(points):
        raise UserError(
            "a keypoint is in two pairs",
            rule="each point has at most one opposite point",
            received=f"{pairs!r:.200}",
            fix="remove one of the pairs",
        )
