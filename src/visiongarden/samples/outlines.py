"""Polygons of objects: filled, found in masks, joined, cut, moved; masks read from COCO's RLE."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from visiongarden.types import ImageSize, Outline


def box_of(outline: Outline) -> list[float]:
    """xyxy box around an outline, pixels; the outline has at least one point."""
    points = np.concatenate(outline)
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def area_of(outline: Outline) -> float:
    """Sum of the areas of an outline's parts, square pixels; an overlap of parts counts twice."""
    return sum(abs(_area(ring)) for ring in outline)


def _area(ring: np.ndarray) -> float:
    x, y = ring.astype(np.float64).T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def parts_overlap(outline: Outline) -> bool:
    """Whether the boxes around two parts of an outline overlap, so that the parts may."""
    if len(outline) < 2:
        return False
    boxes = np.array([[*ring.min(axis=0), *ring.max(axis=0)] for ring in outline])
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    return int((high > low).all(axis=2).sum()) > len(boxes)


def fill(outline: Outline, size: ImageSize) -> np.ndarray:
    """bool (height, width): the pixels of an outline, those of all its parts together.

    Equal to the mask that pycocotools decodes from the same polygons.
    """
    from faster_coco_eval.core import mask as coco_mask  # compiled; not needed to read boxes

    height, width = size
    # The rasterizer takes memory in proportion to a polygon's length, wherever it is.
    reach = (-width, -height, 2.0 * width, 2.0 * height)
    rings = [ring.astype(np.float64).ravel().tolist() for ring in cut(outline, reach) or ()]
    if not rings:
        return np.zeros(size, bool)
    parts = coco_mask.merge(coco_mask.frPyObjects(rings, height, width))
    return np.asarray(coco_mask.decode(parts)).astype(bool)


def outline_of(mask: np.ndarray) -> Outline | None:
    """The polygons along the edges of a mask's pixels, one a component; None of an empty mask.

    A hole is joined to the ring around it, so that `fill` gives the mask, and the area is the
    number of pixels.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8)
    # OpenCV traces the centers of pixels. With two samples a pixel, those of its first half are
    # on its left or upper edge, those of its second half on its right or lower edge.
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
    """A ring without points that repeat the one before or continue a straight line."""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    back = (before * after).sum(axis=1) < 0
    return np.asarray(ring[turns | back], np.float32)


def joined(rings: Sequence[np.ndarray]) -> np.ndarray:
    """Rings as one, joined by lines there and back, which enclose nothing."""
    if len(rings) == 1:
        return rings[0]
    start = rings[0][:1]
    return np.concatenate([part for ring in rings for part in (ring, ring[:1], start)])


def cut(outline: Outline, box: Sequence[float]) -> Outline | None:
    """The part inside an xyxy box: Sutherland and Hodgman 1974; None where nothing is left."""
    points = np.concatenate(outline)
    low, high = points.min(axis=0), points.max(axis=0)
    if low[0] >= box[0] and low[1] >= box[1] and high[0] <= box[2] and high[1] <= box[3]:
        return outline
    rings = []
    for ring in outline:
        for axis, limit, sign in ((0, box[0], 1), (1, box[1], 1), (0, box[2], -1), (1, box[3], -1)):
            ring = _half(ring, axis, limit, sign)
        if len(ring) >= 3:
            rings.append(ring.astype(np.float32))
    return tuple(rings) or None


def _half(ring: np.ndarray, axis: int, limit: float, sign: int) -> np.ndarray:
    """The part of a ring on one side of a line."""
    if not len(ring):
        return ring
    away = sign * (ring[:, axis] - limit)
    if (away >= 0).all():
        return ring
    after, away_after = np.roll(ring, -1, axis=0), np.roll(away, -1)
    points = []
    for a, b, here, there in zip(ring, after, away, away_after, strict=True):
        if here >= 0:
            points.append(a)
        if (here >= 0) != (there >= 0):
            crossing = a + (b - a) * (here / (here - there))
            crossing[axis] = limit
            points.append(crossing)
    return np.array(points, np.float32).reshape(-1, 2)


def move(outline: Outline, matrix: np.ndarray) -> Outline:
    """The outline under a matrix, float (2, 3) or (3, 3)."""
    return tuple(transform(ring, matrix) for ring in outline)


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (n, 2) under a matrix, float (2, 3) or (3, 3): float32 (n, 2)."""
    moved = points @ matrix[:2, :2].T + matrix[:2, 2]
    if len(matrix) == 3:
        depth = points @ matrix[2, :2] + matrix[2, 2]
        moved = moved / np.maximum(depth, 1e-6)[:, None]
    return np.asarray(moved, np.float32)


def from_rle(counts: str | Sequence[int], size: ImageSize) -> np.ndarray:
    """The mask of COCO's run lengths: columns first, off and on in turn, starting with off.

    Args:
        counts: numbers, or COCO's text of them: groups of five bits, lowest first, from "0" on; the
            sixth bit says that more follow; from the third number on the difference to the one
            two before.
        size: (height, width).

    Raises:
        ValueError: the runs do not fill the mask exactly.
    """
    height, width = size
    runs = _numbers(counts) if isinstance(counts, str) else list(counts)
    if any(not isinstance(run, int) or run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError(f"run lengths do not fill {width} × {height} pixels")
    values = np.arange(len(runs)) % 2 == 1
    return np.asarray(np.repeat(values, runs).reshape(width, height).T)


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    value = shift = 0
    for letter in text:
        group = ord(letter) - 48
        if not 0 <= group < 64 or shift > 30:
            raise ValueError("run lengths hold a letter that means nothing")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    return numbers
