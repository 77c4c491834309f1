"""The area of polygons that touch themselves: holes and parts joined by bridges of zero width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from visiongarden.samples import masks
from visiongarden.types import Polygons

_MAX_LOOPS, _MAX_CROSSED = 1000, 300  # pairs of them take memory


class Loop(NamedTuple):
    """A polygon without repeated points and whether it adds to the area or is a hole (-1)."""

    sign: int
    ring: np.ndarray


def loops_of(rings: Polygons) -> list[Loop]:
    """Divide polygons where they touch themselves.

    The winding order of a hole or a part that other tools have joined to a polygon is arbitrary, so
    the area of the whole polygon by the shoelace formula may be wrong. Filled, a loop within
    another one is a hole (even-odd rule).
    """
    return [loop for ring in rings for loop in _signed(_divided(ring))]


def area_inside(loops: Sequence[Loop], box: Sequence[float]) -> float:
    """Return the area of loops inside an xyxy box."""
    return sum(sign * masks.area_of(masks.cut((ring,), box) or ()) for sign, ring in loops)


def crosses_itself(ring: np.ndarray) -> bool:
    """Return whether two edges of a polygon cross; of more than 300 points this is not examined."""
    if not 4 <= len(ring) <= _MAX_CROSSED:
        return False
    start = ring.astype(np.float64)
    edge = np.roll(start, -1, axis=0) - start
    # The side of each edge (row) on which each point (column) is, and the next point.
    side = np.sign(
        edge[:, :1] * (start[:, 1] - start[:, 1:]) - edge[:, 1:] * (start[:, 0] - start[:, :1])
    )
    divided = side * np.roll(side, -1, axis=1) < 0
    return bool((divided & divided.T).any())


def _divided(ring: np.ndarray) -> list[np.ndarray]:
    points = list(map(tuple, ring.tolist()))
    if len(set(points)) == len(points):
        return [ring]
    loops: list[list[int]] = []
    path: list[int] = []
    places: dict[tuple[float, ...], int] = {}  # of the points on the path
    for index, point in enumerate(points):
        if point in places:
            first = places[point]
            loops.append(path[first:])
            for removed in path[first:]:
                del places[points[removed]]
            del path[first:]
        places[point] = len(path)
        path.append(index)
    loops.append(path)
    found = [ring[loop] for loop in loops if len(loop) >= 3]
    return found if len(found) <= _MAX_LOOPS else [ring]


def _signed(rings: list[np.ndarray]) -> list[Loop]:
    if len(rings) < 2:
        return [Loop(1, ring) for ring in rings]
    boxes = np.array([[*ring.min(axis=0), *ring.max(axis=0)] for ring in rings])
    low, high = boxes[:, :2], boxes[:, 2:]
    within = np.asarray(((low[:, None] >= low) & (high[:, None] <= high)).all(axis=2))
    np.fill_diagonal(within, False)
    loops = []
    for ring, outer in zip(rings, within, strict=True):
        depth = sum(_is_within(ring, rings[other]) for other in np.flatnonzero(outer))
        loops.append(Loop(-1 if depth % 2 else 1, ring))
    return loops


def _is_within(ring: np.ndarray, other: np.ndarray) -> bool:
    middles = (ring + np.roll(ring, -1, axis=0)) / 2
    contour = other.astype(np.float32)
    for x, y in np.concatenate([ring, middles]).tolist():
        side = cv2.pointPolygonTest(contour, (x, y), False)
        if side:  # not on an edge
            return bool(side > 0)
    return True
