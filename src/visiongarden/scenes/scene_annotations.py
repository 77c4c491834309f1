"""Masks and keypoints of the objects in generated scenes, as COCO files contain them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from visiongarden.samples import run_lengths

KEYPOINTS = ("top", "left_side", "right_side")
"""Names of the keypoints of every shape; a mirrored image swaps the last two."""

SKELETON = ((0, 1), (0, 2))
"""Pairs of keypoints that are joined, as indices in `KEYPOINTS`."""

_INWARD = 0.92
"""Distance from the center, relative to a keypoint's, at which its visibility is decided."""


def keypoints_of(shape: str, corners: np.ndarray) -> np.ndarray:
    """Return the keypoints (3, 2) of a shape on the unit circle, whose x axis points upward.

    They are the upper tip and the tips beside it of a triangle or star, the centers of three sides
    of a box, and points of the circle for a disc or ring.

    Args:
        shape: name of the shape.
        corners: corners (n, 2) of its polygon; of a disc or ring, none.
    """
    if shape == "triangle":
        return corners[[0, 2, 1]]
    if shape == "star":
        return corners[[0, 8, 2]]
    if shape == "box":
        up, right = corners[0]
        return np.array([[up, 0], [0, -right], [0, right]])
    return np.array([[1.0, 0], [0, -1], [0, 1]])


def visibilities(owner: np.ndarray, number: int, points: np.ndarray, center: Any) -> list[int]:
    """Return 2 for each keypoint that is visible, and 1 for each that another shape covers.

    Args:
        owner: number of the visible shape at each pixel.
        number: number of the shape.
        points: keypoints (k, 2) in pixels of `owner`.
        center: center (x, y) of the shape.
    """
    inside = np.asarray(center) + _INWARD * (points - center)
    columns, rows = np.clip(np.floor(inside).astype(int), 0, np.array(owner.shape[::-1]) - 1).T
    return [2 if own == number else 1 for own in owner[rows, columns].tolist()]


def masks_of(owner: np.ndarray, count: int, factor: int) -> list[np.ndarray]:
    """Return the mask, bool (height, width), of each of `count` shapes.

    A pixel belongs to the shape that covers most of it.

    Args:
        owner: number of the visible shape, from 1, at each pixel of the enlarged canvas.
        count: number of shapes.
        factor: size of the canvas relative to the masks.
    """
    height, width = owner.shape[0] // factor, owner.shape[1] // factor
    cells = owner.reshape(height, factor, width, factor)
    cover = [(cells == number).sum(axis=(1, 3)) for number in range(count + 1)]
    most = np.argmax(cover, axis=0)
    return [most == number for number in range(1, count + 1)]


def segmentation_of(mask: np.ndarray) -> dict[str, Any]:
    """Return COCO's `segmentation` and `area` of a mask: run lengths, which also store holes."""
    text = run_lengths.text_of(run_lengths.encode(mask))
    size = [mask.shape[0], mask.shape[1]]
    return {"segmentation": {"size": size, "counts": text}, "area": int(mask.sum())}


def keypoint_values(points: np.ndarray, visible: list[int]) -> dict[str, Any]:
    """Return COCO's `keypoints` and `num_keypoints` of points (k, 2) in pixels."""
    values = [
        value
        for (x, y), seen in zip(points.tolist(), visible, strict=True)
        for value in (round(x, 2), round(y, 2), seen)
    ]
    return {"keypoints": values, "num_keypoints": len(visible)}


def keypoint_keys() -> dict[str, Any]:
    """Return COCO's keys of a category whose objects have keypoints; COCO counts from 1."""
    skeleton = [[one + 1, other + 1] for one, other in SKELETON]
    return {"keypoints": list(KEYPOINTS), "skeleton": skeleton}


def rotation(angle: float) -> np.ndarray:
    """Return the matrix (2, 2) that turns rows of coordinates by an angle in radians."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, s], [-s, c]])
