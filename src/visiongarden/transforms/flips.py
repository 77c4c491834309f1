"""Flip images with their annotations."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from visiongarden.types import Example


def flip(example: Example, vertical: bool = False) -> Example:
    """Flip an example horizontally or vertically; its image must be decoded.

    Args:
        example: image with boxes and polygons.
        vertical: flip top to bottom instead of left to right.
    """
    image = np.asarray(example.image)
    axis = int(vertical)
    side = image.shape[1 - axis]
    boxes = example.boxes.copy()
    boxes[:, [axis, axis + 2]] = side - example.boxes[:, [axis + 2, axis]]
    polygons = example.polygons
    if polygons is not None:
        sign, away = np.ones(2, np.float32), np.zeros(2, np.float32)
        sign[axis], away[axis] = -1, side
        polygons = tuple(o and tuple(ring * sign + away for ring in o) for o in polygons)
    flipped = cv2.flip(image, 0 if vertical else 1)
    # Unknown keys of the annotation file may contain coordinates, so they are dropped.
    return replace(example, image=flipped, boxes=boxes, polygons=polygons, extra=None)
