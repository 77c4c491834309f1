"""Draw results and ground truth on images."""

from __future__ import annotations

from typing import Any

import numpy as np

from visiongarden.drawing.annotations import color_of, draw_instances, grid, label, pen, shade
from visiongarden.drawing.display import canvas
from visiongarden.samples import Instances
from visiongarden.types import ClassMap, Ranking, Segments

__all__ = ["color_of", "draw", "grid"]

_LISTED = 3
"""Number of classes of a `Ranking` that are listed."""


def draw(image: np.ndarray, found: Any, class_map: ClassMap | None = None) -> np.ndarray:
    """Draw a result, or ground truth, on a copy of the image.

    `Instances` are shown as boxes with class and score, masks and keypoints, a `Ranking` as a list
    of the best classes, `Segments` as colors with a legend.

    Args:
        image: uint8 RGB (height, width, 3), or any image that `to_display` accepts.
        found: `Instances`, a `Ranking` or `Segments`, in pixels of the image.
        class_map: names of the classes; by default those of the result. Without names, the class
            indices are drawn.

    Returns:
        uint8 RGB (height, width, 3).
    """
    if isinstance(found, Instances):
        return draw_instances(image, found, class_map)
    picture = canvas(image)
    _DRAW_BY_TYPE[type(found)](picture, found, class_map or found.class_map)
    return picture


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


_DRAW_BY_TYPE: dict[type, Any] = {Ranking: _ranking, Segments: _segments}


def _name(index: int, class_map: ClassMap | None) -> str:
    return class_map.names[int(index)] if class_map else str(int(index))
