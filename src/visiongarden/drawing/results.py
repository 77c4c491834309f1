"""What was found, drawn onto images."""

from __future__ import annotations

from typing import Any

import numpy as np

from visiongarden.drawing.annotations import colour_of, draw_box, grid, label, pen, shade
from visiongarden.types import ClassMap, Detections, Ranking, Segments

__all__ = ["colour_of", "draw", "grid"]

_LISTED = 3
"""Classes of a ranking that are written onto the image."""


def draw(image: np.ndarray, found: Any, class_map: ClassMap | None = None) -> np.ndarray:
    """A copy of the image with boxes, classes and scores, or with the colours of its segments.

    Args:
        image: uint8 RGB (height, width, 3).
        found: `Detections`, a `Ranking` or `Segments`, in pixels of the image.
        class_map: names of the classes; without it their numbers are shown.
    """
    picture = np.ascontiguousarray(image).copy()
    _DRAWN[type(found)](picture, found, class_map)
    return picture


def _boxes(picture: np.ndarray, found: Detections, class_map: ClassMap | None) -> None:
    thick, size = pen(picture)
    # The best one last, so that it lies on top.
    for box, score, index in list(zip(found.boxes, found.scores, found.classes, strict=True))[::-1]:
        text = f"{_name(index, class_map)} {float(score):.2f}"
        draw_box(picture, box.tolist(), text, colour_of(int(index)), thick, size)


def _ranking(picture: np.ndarray, found: Ranking, class_map: ClassMap | None) -> None:
    """The best classes, one under the other in the left upper corner."""
    size, y = pen(picture)[1], 0
    pairs = list(zip(found.classes, found.scores, strict=True))[:_LISTED]
    for index, score in pairs:
        text = f"{_name(index, class_map)} {float(score):.2f}"
        y += label(picture, text, (0, y), size, colour_of(int(index)), above=False)


def _segments(picture: np.ndarray, found: Segments, class_map: ClassMap | None) -> None:
    """Each class's colour, and a list of the classes."""
    shade(picture, found.classes, {int(i): _name(i, class_map) for i in np.unique(found.classes)})


_DRAWN: dict[type, Any] = {Detections: _boxes, Ranking: _ranking, Segments: _segments}


def _name(index: int, class_map: ClassMap | None) -> str:
    return class_map.names[int(index)] if class_map else str(int(index))
