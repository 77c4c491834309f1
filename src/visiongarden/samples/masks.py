"""Rasterize, trace, join, clip and transform polygons; decode COCO's run-length encoding.

A mask is stored as polygons along the edges of its pixels, one for each connected part, so that a
mask of n pixels has area n in every format. All polygons of an object together are its mask,
whatever their winding order, rasterized as pycocotools does.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from visiongarden.samples import run_lengths
from visiongarden.types import ImageSize, Polygons

_MAX_LENGTH = 2**18  # in pixels; the rasterizer takes about 100 bytes for each


def box_of(polygons: Polygons) -> list[float]:
    """Return the xyxy box around polygons with at least one point, in pixels."""
    points = np.concatenate(polygons)
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def area_of(polygons: Polygons) -> float:
    """Return the sum of the areas of polygons in square pixels; overlaps count twice."""
    return sum(abs(_area(ring)) for ring in polygons)


def _area(ring: np.ndarray) -> float:
    x, y = ring.astype(np.float64).T  # shoelace formula
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def parts_overlap(polygons: Polygons) -> bool:
    """Return whether the boxes around any two polygons overlap, so that the polygons may."""
    if len(polygons) < 2:
        return False
    boxes = np.array([[*ring.min(axis=0), *ring.max(axis=0)] for ring in polygons])
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    return int((high > low).all(axis=2).sum()) > len(boxes)  # each box overlaps itself


def fill(polygons: Polygons, size: ImageSize) -> np.ndarray:
    """Rasterize the union of polygons, exactly as pycocotools does.

    Args:
        polygons: polygons in pixels.
        size: (height, width) of the mask.

    Returns:
        bool (height, width).
    """
    from faster_coco_eval.core import mask as coco_mask  # compiled; not needed to read boxes

    height, width = size
    if not _is_cheap(polygons):
        reach = (-width, -height, 2.0 * width, 2.0 * height)
        polygons = cut(polygons, reach) or ()
    rings = [ring.astype(np.float64).ravel().tolist() for ring in polygons]
    if not rings:
        return np.zeros(size, bool)
    counts = coco_mask.merge(coco_mask.frPyObjects(rings, height, width))["counts"]
    # The decoder of faster-coco-eval takes ten times as long for small masks.
    return run_lengths.decode(run_lengths.numbers_of(counts), size)


def _is_cheap(polygons: Polygons) -> bool:
    """Return whether polygons can be rasterized without cutting off what is far outside.

    The rasterizer's memory grows with the length of a polygon, also outside the mask; a file with
    huge coordinates could exhaust it. A cut moves points on slanted edges by rounding.
    """
    length = 0.0
    for ring in polygons:
        sides = np.abs(ring - np.roll(ring, 1, axis=0)).max(axis=1)
        length += float(sides.sum()) + 2 * float(np.abs(ring).max())
    return length < _MAX_LENGTH


def polygons_of(mask: np.ndarray) -> Polygons | None:
    """Trace the polygons of a mask along the edges of its pixels.

    There is one polygon for each connected component. A hole is joined to the polygon around it by
    a bridge of zero width. `fill` restores the mask exactly, and the area is the number of pixels.

    Args:
        mask: bool (height, width).

    Returns:
        The polygons, or None if the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8)
    # OpenCV traces the centers of pixels, not their edges. In a mask of twice the size, the first
    # of a pixel's two samples represents its left or upper edge, the second for its right or lower
    # edge: (sample + 1) // 2 is the coordinate of that edge.
    doubled = part.repeat(2, axis=0).repeat(2, axis=1)
    found, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    corner = np.array([columns[0], rows[0]])
    rings = [_corners((ring.reshape(-1, 2) + 1) // 2 + corner) for ring in found]
    parents = tree[0, :, 3]
    return tuple(
        joined([ring, *(rings[i] for i in np.flatnonzero(parents == number))])
        for number, ring in enumerate(rings)
        if parents[number] < 0
    )


def _corners(ring: np.ndarray) -> np.ndarray:
    """Return a polygon without repeated points and points on straight lines."""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    back = (before * after).sum(axis=1) < 0
    return np.asarray(ring[turns | back], np.float32)


def joined(rings: Sequence[np.ndarray]) -> np.ndarray:
    """Join polygons into one by bridges of zero width, which enclose no area.

    Each bridge leads from the first point of the first polygon to another polygon and back.
    """
    if len(rings) == 1:
        return rings[0]
    start = rings[0][:1]
    return np.concatenate([part for ring in rings for part in (ring, ring[:1], start)])


def cut(polygons: Polygons, box: Sequence[float]) -> Polygons | None:
    """Clip polygons to an xyxy box (Sutherland and Hodgman 1974).

    Returns:
        The clipped polygons, or None if nothing is left. Polygons inside the box are returned as
        they are.
    """
    points = np.concatenate(polygons)
    low, high = points.min(axis=0), points.max(axis=0)
    if low[0] >= box[0] and low[1] >= box[1] and high[0] <= box[2] and high[1] <= box[3]:
        return polygons
    rings = []
    for ring in polygons:
        for axis, limit, sign in ((0, box[0], 1), (1, box[1], 1), (0, box[2], -1), (1, box[3], -1)):
            ring = _half(ring, axis, limit, sign)
        if len(ring) >= 3:
            rings.append(ring.astype(np.float32))
    return tuple(rings) or None


def _half(ring: np.ndarray, axis: int, limit: float, sign: int) -> np.ndarray:
    """Return the part of a polygon on one side of a vertical or horizontal line."""
    distance = sign * (ring[:, axis] - limit)
    if (distance >= 0).all():
        return ring
    half, crossings = part_in_front(ring, distance)
    half[crossings, axis] = limit  # exactly, whatever the interpolation rounds to
    return half


def part_in_front(ring: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of a polygon where a linear function of its points is not negative.

    Args:
        ring: points (n, 2).
        distance: the function's value at each point (n,).

    Returns:
        The points of the part, a new float32 array (m, 2), and the indices of those on the line
        where the function is 0, at which an edge was cut.
    """
    inside = distance >= 0
    after, inside_after = np.roll(ring, -1, axis=0), np.roll(inside, -1)
    cuts = inside != inside_after
    here, there = distance[cuts], np.roll(distance, -1)[cuts]
    points = np.empty(
        (len(ring), 2, 2), np.float32
    )  # each point, then the cut of the edge after it
    points[:, 0] = ring
    points[cuts, 1] = ring[cuts] + (after - ring)[cuts] * (here / (here - there))[:, None]
    kept = np.stack([inside, cuts], axis=1)
    return points[kept], np.flatnonzero(np.stack([np.zeros_like(cuts), cuts], axis=1)[kept])


def move(polygons: Polygons, matrix: np.ndarray) -> Polygons:
    """Transform polygons by a matrix, float (2, 3) or (3, 3)."""
    return tuple(transform(ring, matrix) for ring in polygons)


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Transform points (n, 2) by a matrix, float (2, 3) or (3, 3), to float32 points (n, 2)."""
    moved = points @ matrix[:2, :2].T + matrix[:2, 2]
    if len(matrix) == 3:
        depth = points @ matrix[2, :2] + matrix[2, 2]
        # Points behind the camera have no image; the limit avoids a division by zero.
        moved = moved / np.maximum(depth, 1e-6)[:, None]
    return np.asarray(moved, np.float32)


def from_rle(counts: str | bytes | Sequence[int], size: ImageSize) -> np.ndarray:
    """Decode a mask from COCO's run lengths (RLE).

    Args:
        counts: run lengths, or COCO's compressed text of them.
        size: (height, width).

    Returns:
        bool (height, width).

    Raises:
        ValueError: the runs do not fill the mask exactly, or the text is not valid.
    """
    return run_lengths.decode(run_lengths.runs_of(counts, size), size)
