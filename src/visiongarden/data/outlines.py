"""Outlines of objects: rings of points, cut, filled, found in masks, read from COCO's RLE."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from visiongarden.types import ImageSize, Outline

_FRACTION = 4
"""Bits after the point when a ring is filled: a sixteenth of a pixel."""


def box_of(outline: Outline) -> list[float]:
    """xyxy box around an outline, pixels; the outline has at least one point."""
    points = np.concatenate(outline)
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def area_of(outline: Outline) -> float:
    """Area in square pixels: rings inside others count off."""
    areas = sorted((_area(ring) for ring in outline), key=abs, reverse=True)
    return abs(sum(areas)) if len({a > 0 for a in areas}) == 2 else sum(map(abs, areas))


def _area(ring: np.ndarray) -> float:
    x, y = ring.astype(np.float64).T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def fill(outline: Outline, size: ImageSize) -> np.ndarray:
    """bool (height, width): the pixels inside an outline."""
    mask = np.zeros(size, np.uint8)
    # The middle of the first pixel is (0.5, 0.5) here and (0, 0) for OpenCV.
    rings = [np.round((ring - 0.5) * 2**_FRACTION).astype(np.int32) for ring in outline]
    cv2.fillPoly(mask, rings, 1, shift=_FRACTION)
    return mask.astype(bool)


def outline_of(mask: np.ndarray) -> Outline | None:
    """The outline through the middles of a mask's outermost pixels; None of an empty mask."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [contour.reshape(-1, 2).astype(np.float32) + 0.5 for contour in found]
    return tuple(rings) or None


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
