"""Draw results and ground truth on images."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from visiongarden.drawing.annotations import (
    color_of,
    draw_box,
    fill_polygons,
    grid,
    label,
    pen,
    shade,
    sixteenths,
)
from visiongarden.drawing.display import canvas
from visiongarden.samples import Boxes, Instances, Keypoints, Masks, RotatedBoxes
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
    picture = canvas(image)
    _DRAW_BY_TYPE[type(found)](picture, found, class_map or found.class_map)
    return picture


def _instances(picture: np.ndarray, found: Instances, class_map: ClassMap | None) -> None:
    colors = [color_of(int(i)) for i in (np.zeros(len(found)) if found.classes is None
                                         else found.classes)]  # fmt: skip
    if isinstance(found.masks, Masks):
        for polygons, color in zip(found.masks.polygons(), colors, strict=True):
            fill_polygons(picture, polygons, color)
    if isinstance(found.keypoints, Keypoints):
        _keypoints(picture, found.keypoints, colors)
    shapes = _shapes(found)
    thick, size = pen(picture)
    for row in _back_to_front(found) if shapes is not None else ():
        text, shape = _text(found, row, class_map), shapes[row]
        if isinstance(found.boxes, RotatedBoxes):
            points = [sixteenths(shape)]
            cv2.polylines(picture, points, True, colors[row], thick, cv2.LINE_AA, 4)
            x, y = shape[np.argmin(shape[:, 1])]
            label(picture, text, (round(float(x)), round(float(y))), size, colors[row])
        else:
            draw_box(picture, shape.tolist(), text, colors[row], thick, size)


def _shapes(found: Instances) -> Any:
    """Return the boxes (n, 4) to draw, the corners (n, 4, 2) of rotated boxes, or None."""
    if isinstance(found.boxes, RotatedBoxes):
        return found.boxes.corners()
    if found.boxes is None and isinstance(found.masks, Masks):
        return found.masks.boxes()
    return None if found.boxes is None else np.asarray(found.boxes)


def _back_to_front(found: Instances) -> np.ndarray:
    """Return the order in which objects are drawn: the best score last, or the smallest box."""
    if found.scores is not None:
        return np.arange(len(found))[::-1]  # they are in descending order
    if not isinstance(found.boxes, Boxes):
        return np.arange(len(found))
    boxes = np.asarray(found.boxes)
    return np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(axis=1), kind="stable")


def _text(found: Instances, row: int, class_map: ClassMap | None) -> str:
    parts = [] if found.classes is None else [_name(found.classes[row], class_map)]
    if found.scores is not None:
        parts.append(f"{float(found.scores[row]):.2f}")
    if found.crowd is not None and found.crowd[row]:
        parts.append("(crowd)")
    return " ".join(parts)


def _keypoints(picture: np.ndarray, keypoints: Keypoints, colors: list[Any]) -> None:
    """Draw the labeled points of each object, hidden ones hollow, and the edges between them."""
    thick = pen(picture)[0]
    for points, color in zip(keypoints.values, colors, strict=True):
        places = [(round(float(x)), round(float(y))) for x, y, _ in points]
        for a, b in keypoints.skeleton:
            if points[a, 2] and points[b, 2]:
                cv2.line(picture, places[a], places[b], color, thick, cv2.LINE_AA)
        for place, visibility in zip(places, points[:, 2], strict=True):
            if visibility:
                filled = -1 if visibility == 2 else thick
                cv2.circle(picture, place, thick + 2, color, filled, cv2.LINE_AA)


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


_DRAW_BY_TYPE: dict[type, Any] = {Instances: _instances, Ranking: _ranking, Segments: _segments}


def _name(index: int, class_map: ClassMap | None) -> str:
    return class_map.names[int(index)] if class_map else str(int(index))
