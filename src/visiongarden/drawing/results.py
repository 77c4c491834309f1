"""Draw predictions on images."""

from __future__ import annotations

from typing import Any

import numpy as np

from visiongarden.drawing.annotations import color_of, draw_box, grid, label, pen, shade
from visiongarden.drawing.display import canvas
from visiongarden.types import ClassMap, Detections, Ranking, Segments

__all__ = ["color_of", "draw", "grid"]

_LISTED = 3
"""Number of classes of a `Ranking` that are listed."""


def draw(image: np.ndarray, found: Any, class_map: ClassMap | None = None) -> np.ndarray:
    """Draw a prediction on a copy of the image.

    `Detections` are shown as boxes with class and score, a `Ranking` as a list of the best classes,
    `Segments` as colors with a legend.

    Args:
        image: uint8 RGB (height, width, 3), or any image that `to_display` accepts.
        found: `Detections`, `Ranking` or `Segments`, in pixels of the image.
        class_map: names of the classes; by default those of the prediction. Without names, the
            class indices are drawn.

    Returns:
        uint8 RGB (height, width, 3).
    """
    picture = canvas(image)
    _DRAW_BY_TYPE[type(found)](picture, found, class_map or found.class_map)
    return picture


def _boxes(picture: np.ndarray, found: Detections, class_map: ClassMap | None) -> None:
    thick, size = pen(picture)
    # In ascending order of score, so that the best box is on top.
    for box, score, index in list(zip(found.boxes, found.scores, found.classes, strict=True))[::-1]:
        text = f"{_name(index, class_map)} {float(score):.2f}"
        draw_box(picture, box.tolist(), text, color_of(int(index)), thick, size)


def _ranking(picture: np.ndarray, found: Ranking, class_map: ClassMap | None) -> None:
    """List the best classes in the upper left corner."""
    size, y = pen(picture)[1], 0
    pairs = list(zip(found.classes, found.scores, strict=True))[:_LISTED]
    for index, score in pairs:
        text = f"{_name(index, class_map)} {float(score):.2f}"
        y += label(picture, text, (0, y), size, color_of(int(index)), above=False)


def _segments(picture: np.ndarray, found: Segments, class_map: ClassMap | None) -> None:
    """Blend the colors of the classes with the image and draw a legend."""
    shade(picture, found.classes, {int(i): _name(i, class_map) for i in np.unique(found.classes)})


_DRAW_BY_TYPE: dict[type, Any] = {Detections: _boxes, Ranking: _ranking, Segments: _segments}


def _name(index: int, class_map: ClassMap | None) -> str:
    return class_map.names[int(index)] if class_map else str(int(index))
