"""Boxes, outlines and names drawn onto images; images side by side on a sheet."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from visiongarden.samples.resizing import resize
from visiongarden.types import IGNORE, ClassMap, Example


def draw_example(image: np.ndarray, example: Example, class_map: ClassMap) -> np.ndarray:
    """A copy of the image with an example's boxes, outlines and class names.

    Args:
        image: uint8 RGB (height, width, 3), the example's own pixels.
        example: its boxes are in pixels of the image.
        class_map: names of the classes.
    """
    picture = np.ascontiguousarray(image).copy()
    thick, size = pen(picture)
    crowd = example.crowd if example.crowd is not None else np.zeros(len(example.boxes), bool)
    for outline, index in zip(example.outlines or (), example.classes, strict=False):
        if outline is not None:
            shade = picture.copy()
            for ring in outline:  # each alone: together, an overlap of two would be a hole
                points = [np.round(ring * 16).astype(np.int32)]
                cv2.fillPoly(shade, points, colour_of(int(index)), cv2.LINE_AA, 4)
            cv2.addWeighted(shade, 0.35, picture, 0.65, 0, dst=picture)
    # The largest first, so that small ones and their names lie on top.
    areas = (example.boxes[:, 2:] - example.boxes[:, :2]).prod(axis=1)
    for i in np.argsort(-areas):
        index = int(example.classes[i])
        name = class_map.names[index] + (" (crowd)" if crowd[i] else "")
        draw_box(picture, example.boxes[i].tolist(), name, colour_of(index), thick, size)
    return picture


def draw_classes(image: np.ndarray, target: np.ndarray, class_map: ClassMap) -> np.ndarray:
    """A copy of the image with the names of its classes, and how much of each it is.

    Args:
        image: uint8 RGB (height, width, 3).
        target: float (classes,), shares that sum to 1.
        class_map: names of the classes.
    """
    picture = np.ascontiguousarray(image).copy()
    size, y = pen(picture)[1], 0
    for index in np.argsort(-target, kind="stable"):
        if target[index] >= 0.005:
            share = f" {target[index]:.2f}" if target[index] < 0.995 else ""
            text = f"{class_map.names[index]}{share}"
            y += label(picture, text, (0, y), size, colour_of(int(index)), above=False)
    return picture


def draw_mask(image: np.ndarray, mask: np.ndarray, class_map: ClassMap) -> np.ndarray:
    """A copy of the image with a mask's colours over it, and the names of its classes.

    Args:
        image: uint8 RGB (height, width, 3).
        mask: uint8 (height, width): indices of classes; 255 is ignored, and darkened.
        class_map: names of the classes; a number past the last one is of no class.
    """
    picture = np.ascontiguousarray(image).copy()
    picture[mask == IGNORE] //= 2
    names = [*class_map.names, "of no class"]
    shade(picture, mask, {i: names[min(i, len(class_map))] for i in _there(mask)})
    if (mask == IGNORE).any():
        bottom = (0, picture.shape[0])
        label(picture, "dark: ignored", bottom, pen(picture)[1], (90, 90, 90))
    return picture


def _there(mask: np.ndarray) -> list[int]:
    return [int(i) for i in np.unique(mask) if i != IGNORE]


def shade(picture: np.ndarray, mask: np.ndarray, names: Mapping[int, str]) -> None:
    """Each class's colour, half over the image, its outline, and a list of names, in place."""
    for index in names:
        colour, part = colour_of(index), mask == index
        picture[part] = (picture[part] * 0.5 + np.array(colour) * 0.5).astype(np.uint8)
        outlines, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, colour, 1)
    size, y = pen(picture)[1], 0
    for index, name in names.items():
        y += label(picture, name, (0, y), size, colour_of(index), above=False)


def fitted(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """The image with a longer side of `side` pixels, but no larger than four times; the factor."""
    ratio = min(side / max(image.shape[:2]), 4.0)
    height, width = (max(round(v * ratio), 1) for v in image.shape[:2])
    return resize(image, (height, width)), ratio


def pen(picture: np.ndarray) -> tuple[int, float]:
    """Width of lines and size of letters for a picture."""
    total = sum(picture.shape[:2])
    return max(1, round(total / 600)), max(0.35, total / 2600)


def draw_box(
    picture: np.ndarray,
    box: Sequence[float],
    text: str,
    colour: tuple[int, int, int],
    thick: int,
    size: float,
) -> None:
    """Draws one xyxy box with a text, in place."""
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, thick, cv2.LINE_AA)
    label(picture, text, (x1, y1), size, colour)


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


def label(
    picture: np.ndarray,
    text: str,
    corner: tuple[int, int],
    size: float,
    colour: tuple[int, ...],
    above: bool = True,
) -> int:
    """Text on a filled ground above a corner, or under it at the image's edge; its height."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    # OpenCV's letters are those of ASCII.
    text = text.encode("ascii", "replace").decode()
    (width, height), base = cv2.getTextSize(text, font, size, 1)
    height += base + 2
    left = int(np.clip(corner[0], 0, max(picture.shape[1] - width, 0)))
    top = corner[1] - height if above and corner[1] >= height else corner[1]
    cv2.rectangle(picture, (left, top), (left + width, top + height), colour, -1)
    dark = sum(c * w for c, w in zip(colour, (0.3, 0.59, 0.11), strict=True)) > 140
    ink = (0, 0, 0) if dark else (255, 255, 255)
    cv2.putText(picture, text, (left, top + height - base), font, size, ink, 1, cv2.LINE_AA)
    return height
