"""What was found, drawn onto images."""

from __future__ import annotations

import colorsys
from typing import Any

import cv2
import numpy as np

from visiongarden.types import ClassMap, Detections, Ranking, Segments

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
    thick, size = max(1, round(sum(picture.shape[:2]) / 600)), _text_size(picture)
    # The best one last, so that it lies on top.
    for box, score, index in list(zip(found.boxes, found.scores, found.classes, strict=True))[::-1]:
        colour = colour_of(int(index))
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        cv2.rectangle(picture, (x1, y1), (x2, y2), colour, thick, cv2.LINE_AA)
        name = _name(index, class_map)
        _label(picture, f"{name} {float(score):.2f}", (x1, y1), size, colour)


def _ranking(picture: np.ndarray, found: Ranking, class_map: ClassMap | None) -> None:
    """The best classes, one under the other in the left upper corner."""
    size = _text_size(picture)
    y = 0
    pairs = list(zip(found.classes, found.scores, strict=True))[:_LISTED]
    for index, score in pairs:
        text = f"{_name(index, class_map)} {float(score):.2f}"
        y += _label(picture, text, (0, y), size, colour_of(int(index)), above=False)


def _segments(picture: np.ndarray, found: Segments, class_map: ClassMap | None) -> None:
    """Each class's colour, half over the image, its outline, and a list of the classes."""
    size, y = _text_size(picture), 0
    for index in np.unique(found.classes):
        colour = colour_of(int(index))
        mask = found.classes == index
        picture[mask] = (picture[mask] * 0.5 + np.array(colour) * 0.5).astype(np.uint8)
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, colour, 1)
    for index in np.unique(found.classes):
        y += _label(
            picture, _name(index, class_map), (0, y), size, colour_of(int(index)), above=False
        )


_DRAWN: dict[type, Any] = {Detections: _boxes, Ranking: _ranking, Segments: _segments}


def _name(index: int, class_map: ClassMap | None) -> str:
    return class_map.names[int(index)] if class_map else str(int(index))


def _text_size(picture: np.ndarray) -> float:
    return max(0.35, sum(picture.shape[:2]) / 2600)


def colour_of(index: int) -> tuple[int, int, int]:
    """A colour for a class: neighbours differ most (golden angle around the hue circle)."""
    r, g, b = colorsys.hsv_to_rgb((0.02 + index * 0.618034) % 1, 0.85, 0.95)
    return round(r * 255), round(g * 255), round(b * 255)


def grid(images: list[np.ndarray], columns: int = 4, side: int = 320) -> np.ndarray:
    """Images side by side on one sheet, each scaled into a square of `side` pixels."""
    cells = []
    for image in images:
        ratio = side / max(image.shape[:2])
        small = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        cell = np.full((side, side, 3), 255, np.uint8)
        top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
        cell[top : top + small.shape[0], left : left + small.shape[1]] = small
        cells.append(cell)
    blank = np.full((side, side, 3), 255, np.uint8)
    cells += [blank] * (-len(cells) % columns)
    rows = [np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    return np.vstack(rows) if rows else blank


def _label(
    picture: np.ndarray,
    text: str,
    corner: tuple[int, int],
    size: float,
    colour: tuple[int, ...],
    above: bool = True,
) -> int:
    """Text on a filled ground above a corner, or under it at the image's edge; its height."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), base = cv2.getTextSize(text, font, size, 1)
    height += base + 2
    left = int(np.clip(corner[0], 0, max(picture.shape[1] - width, 0)))
    top = corner[1] - height if above and corner[1] >= height else corner[1]
    cv2.rectangle(picture, (left, top), (left + width, top + height), colour, -1)
    dark = sum(c * w for c, w in zip(colour, (0.3, 0.59, 0.11), strict=True)) > 140
    ink = (0, 0, 0) if dark else (255, 255, 255)
    cv2.putText(picture, text, (left, top + height - base), font, size, ink, 1, cv2.LINE_AA)
    return height
