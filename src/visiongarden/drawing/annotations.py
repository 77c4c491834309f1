"""Draw boxes, polygons, masks and class names on images, and arrange images in a grid."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from visiongarden.drawing.display import canvas, to_display
from visiongarden.samples.resizing import resize
from visiongarden.types import IGNORE, ClassMap, Example, Polygons


def draw_example(image: np.ndarray, example: Example, class_map: ClassMap) -> np.ndarray:
    """Draw an example's boxes, polygons and class names on a copy of the image.

    Args:
        image: uint8 RGB (height, width, 3), or any image that `to_display` accepts.
        example: annotations in pixels of the image.
        class_map: names of the classes.

    Returns:
        uint8 RGB (height, width, 3).
    """
    picture = canvas(image)
    thick, size = pen(picture)
    crowd = example.crowd if example.crowd is not None else np.zeros(len(example.boxes), bool)
    for polygons, index in zip(example.polygons or (), example.classes, strict=False):
        if polygons is not None:
            fill_polygons(picture, polygons, color_of(int(index)))
    # The largest first, so that small boxes and their names are on top.
    areas = (example.boxes[:, 2:] - example.boxes[:, :2]).prod(axis=1)
    for i in np.argsort(-areas):
        index = int(example.classes[i])
        name = class_map.names[index] + (" (crowd)" if crowd[i] else "")
        draw_box(picture, example.boxes[i].tolist(), name, color_of(index), thick, size)
    return picture


def fill_polygons(picture: np.ndarray, polygons: Polygons, color: tuple[int, int, int]) -> None:
    """Blend a color with the inside of one object's polygons, in place."""
    filled = picture.copy()
    for ring in polygons:  # one by one: fillPoly leaves the overlap of two polygons empty
        cv2.fillPoly(filled, [sixteenths(ring)], color, cv2.LINE_AA, 4)
    cv2.addWeighted(filled, 0.35, picture, 0.65, 0, dst=picture)


def sixteenths(points: np.ndarray) -> np.ndarray:
    """Return points in sixteenths of a pixel, as OpenCV takes them with a shift of 4."""
    # Clipped far outside of any image: int32 would overflow.
    return np.asarray(np.round(np.clip(points * 16, -(2**30), 2**30)).astype(np.int32))


def draw_classes(image: np.ndarray, target: np.ndarray, class_map: ClassMap) -> np.ndarray:
    """Draw class names and probabilities on a copy of the image, in descending order.

    Probabilities below 0.005 are left out, and one that rounds to 1.00 is not printed.

    Args:
        image: uint8 RGB (height, width, 3), or any image that `to_display` accepts.
        target: float (classes,), probabilities that sum to 1.
        class_map: names of the classes.

    Returns:
        uint8 RGB (height, width, 3).
    """
    picture = canvas(image)
    size, y = pen(picture)[1], 0
    for index in np.argsort(-target, kind="stable"):
        if target[index] >= 0.005:
            share = f" {target[index]:.2f}" if target[index] < 0.995 else ""
            text = f"{class_map.names[index]}{share}"
            y += label(picture, text, (0, y), size, color_of(int(index)), above=False)
    return picture


def draw_mask(image: np.ndarray, mask: np.ndarray, class_map: ClassMap) -> np.ndarray:
    """Draw a segmentation mask and the names of its classes on a copy of the image.

    Args:
        image: uint8 RGB (height, width, 3), or any image that `to_display` accepts.
        mask: uint8 (height, width), class indices. Pixels of 255 are ignored and shown darker;
            indices beyond the class map are labeled "no class".
        class_map: names of the classes.

    Returns:
        uint8 RGB (height, width, 3).
    """
    picture = canvas(image)
    picture[mask == IGNORE] //= 2
    names = [*class_map.names, "no class"]
    shade(picture, mask, {i: names[min(i, len(class_map))] for i in _there(mask)})
    if (mask == IGNORE).any():
        bottom = (0, picture.shape[0])
        label(picture, "dark: ignored", bottom, pen(picture)[1], (90, 90, 90))
    return picture


def _there(mask: np.ndarray) -> list[int]:
    return [int(i) for i in np.unique(mask) if i != IGNORE]


def shade(picture: np.ndarray, mask: np.ndarray, names: Mapping[int, str]) -> None:
    """Blend the colors of classes with an image, and draw contours and a legend, in place.

    Args:
        picture: uint8 RGB (height, width, 3).
        mask: (height, width), class indices.
        names: name of each class index to draw.
    """
    for index in names:
        color, part = color_of(index), mask == index
        picture[part] = (picture[part] * 0.5 + np.array(color) * 0.5).astype(np.uint8)
        contours, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, color, 1)
    size, y = pen(picture)[1], 0
    for index, name in names.items():
        y += label(picture, name, (0, y), size, color_of(index), above=False)


def fitted(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """Resize an image to a longer side of `side` pixels, enlarging it at most four times.

    Returns:
        The resized image and the scale factor.
    """
    ratio = min(side / max(image.shape[:2]), 4.0)
    height, width = (max(round(v * ratio), 1) for v in image.shape[:2])
    return resize(image, (height, width)), ratio


def pen(picture: np.ndarray) -> tuple[int, float]:
    """Return the line width in pixels and OpenCV's font scale for the size of an image."""
    total = sum(picture.shape[:2])
    return max(1, round(total / 600)), max(0.35, total / 2600)


def draw_box(
    picture: np.ndarray,
    box: Sequence[float],
    text: str,
    color: tuple[int, int, int],
    thick: int,
    size: float,
) -> None:
    """Draw one xyxy box with a text, in place."""
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    cv2.rectangle(picture, (x1, y1), (x2, y2), color, thick, cv2.LINE_AA)
    label(picture, text, (x1, y1), size, color)


def color_of(index: int) -> tuple[int, int, int]:
    """Return the RGB color of a class index, 0 to 255.

    Hues advance by the golden ratio, so that consecutive classes have clearly different colors.
    """
    r, g, b = colorsys.hsv_to_rgb((0.02 + index * 0.618034) % 1, 0.85, 0.95)
    return round(r * 255), round(g * 255), round(b * 255)


def grid(images: list[np.ndarray], columns: int = 4, side: int = 320) -> np.ndarray:
    """Arrange images in a grid on a white sheet.

    Args:
        images: uint8 RGB images of any size, or others that `to_display` accepts.
        columns: number of images in a row.
        side: side in pixels of the square into which each image is scaled.

    Returns:
        uint8 RGB (rows * side, columns * side, 3); one blank square if there are no images.
    """
    cells = []
    for image in map(to_display, images):
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
    color: tuple[int, ...],
    above: bool = True,
) -> int:
    """Draw text on a filled background, in place.

    Args:
        picture: uint8 RGB (height, width, 3).
        text: text to draw; characters beyond ASCII become "?".
        corner: x and y of the lower left corner of the text, or of its upper left corner if
            `above` is off or the text would leave the image at the top.
        size: OpenCV's font scale.
        color: RGB color of the background; the text is black or white, whichever is readable.
        above: draw above the corner.

    Returns:
        Height of the background in pixels.
    """
    font = cv2.FONT_HERSHEY_SIMPLEX
    # OpenCV's Hershey fonts have ASCII characters only.
    text = text.encode("ascii", "replace").decode()
    (width, height), base = cv2.getTextSize(text, font, size, 1)
    height += base + 2
    left = int(np.clip(corner[0], 0, max(picture.shape[1] - width, 0)))
    top = corner[1] - height if above and corner[1] >= height else corner[1]
    cv2.rectangle(picture, (left, top), (left + width, top + height), color, -1)
    # Luma of ITU-R BT.601.
    dark = sum(c * w for c, w in zip(color, (0.3, 0.59, 0.11), strict=True)) > 140
    ink = (0, 0, 0) if dark else (255, 255, 255)
    cv2.putText(picture, text, (left, top + height - base), font, size, ink, 1, cv2.LINE_AA)
    return height
