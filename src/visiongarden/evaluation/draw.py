"""Detections drawn onto images."""

from __future__ import annotations

import numpy as np

from visiongarden.data.draw import colour_of, draw_box, grid, pen
from visiongarden.types import ClassMap, Detections

__all__ = ["colour_of", "draw", "grid"]


def draw(image: np.ndarray, found: Detections, class_map: ClassMap | None = None) -> np.ndarray:
    """A copy of the image with boxes, class names and scores.

    Args:
        image: uint8 RGB (height, width, 3).
        found: in pixels of the image.
        class_map: names of the classes; without it their numbers are shown.
    """
    picture = np.ascontiguousarray(image).copy()
    thick, size = pen(picture)
    # The best one last, so that it lies on top.
    for box, score, index in list(zip(found.boxes, found.scores, found.classes, strict=True))[::-1]:
        name = class_map.names[int(index)] if class_map else str(int(index))
        text = f"{name} {float(score):.2f}"
        draw_box(picture, box.tolist(), text, colour_of(int(index)), thick, size)
    return picture
