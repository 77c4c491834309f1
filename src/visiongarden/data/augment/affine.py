"""Scale, rotation and shift onto a canvas."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from visiongarden.types import Example, ImageSize

_LEAST_SIDE = 2.0
"""Pixels; a box that is cut to less shows nothing that could be learned."""


def affine(example: Example, matrix: np.ndarray, size: ImageSize, least_visible: float) -> Example:
    """The example under a 2 × 3 matrix, on a canvas of (height, width).

    A box becomes the smallest upright box around its moved corners, cut at the canvas. It goes
    where less than `least_visible` of its area, or less than two pixels a side, is in view.

    Args:
        example: its image is decoded.
        matrix: float (2, 3), pixels of the image -> pixels of the canvas.
        size: of the canvas.
        least_visible: share of the area, 0 to 1.
    """
    image = cv2.warpAffine(
        np.asarray(example.image),
        matrix,
        (size[1], size[0]),
        flags=cv2.INTER_LINEAR,
        borderValue=(114, 114, 114),
    )
    boxes = move(example.boxes, matrix)
    whole = _areas(boxes)
    limits = np.array([size[1], size[0], size[1], size[0]], np.float32)
    cut = np.clip(boxes, 0, limits)
    sides = (cut[:, 2:] - cut[:, :2]).min(axis=1, initial=np.inf)
    kept = (_areas(cut) >= least_visible * whole) & (sides >= _LEAST_SIDE)
    return keep(replace(example, image=np.asarray(image, np.uint8), boxes=cut), kept)


def move(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Upright boxes (n, 4) around the moved corners of boxes (n, 4)."""
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1).astype(np.float32)


def keep(example: Example, kept: np.ndarray) -> Example:
    """The example with the boxes of a mask (n,)."""
    crowd = example.crowd[kept] if example.crowd is not None else None
    return replace(example, boxes=example.boxes[kept], classes=example.classes[kept], crowd=crowd)


def _areas(boxes: np.ndarray) -> np.ndarray:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]
