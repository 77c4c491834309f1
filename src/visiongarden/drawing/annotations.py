"""Draw boxes, masks, keypoints, labels and class names on images, and arrange images in a grid."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping

import cv2
import numpy as np

from visiongarden.drawing.display import canvas, to_display
from visiongarden.samples import Instances, Keypoints, RotatedBoxes, Sample
from visiongarden.samples.resizing import resize
from visiongarden.types import IGNORE, ClassMap, LabelMap, Polygons

Rgb = tuple[int, int, int]

_SHIFT = 4
"""Fractional bits of OpenCV's coordinates."""
_FINE = 2**_SHIFT
_FARTHEST = 2.0**24
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_sample(
    image: np.ndarray,
    sample: Sample,
    class_map: ClassMap,
    label_map: LabelMap | None = None,
) -> np.ndarray:
    """Draw all annotations of a sample on a copy of the image.

    Args:
        image: uint8 RGB (height, width, 3), or any image that `to_display` accepts.
        sample: annotations in pixels of the image.
        class_map: names of the classes.
        label_map: names of the columns of the sample's labels; None: they are the classes.

    Returns:
        uint8 RGB (height, width, 3).
    """
    picture = canvas(image)
    if sample.semantic is not None:
        picture = draw_mask(picture, sample.semantic, class_map)
    picture = draw_instances(picture, sample.instances, class_map)
    if sample.labels is None:
        return picture
    if label_map is None:
        return draw_classes(picture, sample.labels, class_map)
    return _draw_values(picture, sample.labels, label_map)


def draw_instances(
    image: np.ndarray, instances: Instances, class_map: ClassMap | None = None
) -> np.ndarray:
    """Draw masks, boxes, keypoints and class names of objects on a copy of the image.

    Masks are translucent. Where there is a single class, each mask has its own color, so that
    objects that touch can be distinguished; names that would cover more than their object, or
    another name, are left out. Crowd regions are hatched, with a dashed box. Visible keypoints are
    discs and hidden ones rings; each point of the skeleton has its own color, the same in all
    objects.

    Args:
        image: uint8 RGB (height, width, 3), or any image that `to_display` accepts.
        instances: objects in pixels of the image.
        class_map: names of the classes; those of the instances by default, else their indices.

    Returns:
        uint8 RGB image of the same shape.
    """
    picture = canvas(image)
    names = class_map or instances.class_map
    count = len(instances)
    classes = np.zeros(count, int) if instances.classes is None else instances.classes
    colored = classes
    if instances.masks is not None and names is not None and len(names) == 1:
        colored = np.arange(count)
    colors = [color_of(int(index)) for index in colored]
    thick, size = pen(picture)
    rings = _outlines(instances)
    crowd = np.zeros(count, bool) if instances.crowd is None else instances.crowd
    _fill_regions(picture, instances, rings, colors, crowd)
    # The largest first, so that small objects and their names are on top; of results, the best
    # score last.
    order = np.argsort([-float(np.ptp(ring, axis=0).prod()) for ring in rings], kind="stable")
    if instances.scores is not None:
        order = np.argsort(instances.scores, kind="stable")
    for i in order.tolist():
        if instances.boxes is not None:
            _outline(picture, rings[i], colors[i], thick, dashed=bool(crowd[i]))
    if instances.keypoints is not None:
        draw_keypoints(picture, instances.keypoints)
    labels = {i: _text(instances, i, names) for i in order.tolist()}
    # The name is at the highest corner, for a rotated box too.
    corners = {
        i: tuple(
            _bounded(rings[i][np.lexsort((rings[i][:, 0], rings[i][:, 1]))[0]])
            .round()
            .astype(int)
            .tolist()
        )
        for i, text in labels.items()
        if text
    }
    if instances.masks is not None:
        corners = _uncovered(picture, rings, labels, corners, size)
    for i, corner in corners.items():
        label(picture, labels[i], corner, size, colors[i])
    return picture


def _text(instances: Instances, row: int, names: ClassMap | None) -> str:
    """Return the name of an object's class, its score, and whether it is a crowd."""
    text = ""
    if instances.classes is not None:
        index = int(instances.classes[row])
        text = names.names[index] if names else str(index)
    if instances.scores is not None:
        text += f" {float(instances.scores[row]):.2f}"
    if instances.crowd is not None and instances.crowd[row]:
        text += " (crowd)"
    return text.strip()


def _uncovered(
    picture: np.ndarray,
    rings: list[np.ndarray],
    labels: Mapping[int, str],
    corners: dict[int, tuple[int, int]],
    size: float,
) -> dict[int, tuple[int, int]]:
    """Return the corners of the names that are smaller than their objects and cover no other."""
    kept: dict[int, tuple[int, int]] = {}
    places: list[tuple[int, int, int, int]] = []
    for i, corner in reversed(list(corners.items())):
        left, top, width, height, _ = _place(picture, labels[i], corner, size)
        if width * height > float(np.ptp(rings[i], axis=0).prod()):
            continue
        right, bottom = left + width, top + height
        if all(left >= r or right <= x or top >= b or bottom <= y for x, y, r, b in places):
            places.append((left, top, right, bottom))
            kept[i] = corner
    return dict(reversed(list(kept.items())))


def draw_keypoints(picture: np.ndarray, keypoints: Keypoints) -> None:
    """Draw the labeled points and the skeletons of objects, in place."""
    thick, radius = pen(picture)[0], max(3, round(sum(picture.shape[:2]) / 180))
    for points in keypoints.values:
        places = [tuple(np.round(_bounded(p) * _FINE).astype(int).tolist()) for p in points[:, :2]]
        seen = points[:, 2] > 0
        for a, b in keypoints.skeleton:
            if seen[a] and seen[b]:
                color = color_of(b)
                cv2.line(picture, places[a], places[b], color, thick, cv2.LINE_AA, _SHIFT)
        for i in np.flatnonzero(seen).tolist():
            width = thick if points[i, 2] == 1 else -1
            cv2.circle(picture, places[i], radius * _FINE, color_of(i), width, cv2.LINE_AA, _SHIFT)


def _outlines(instances: Instances) -> list[np.ndarray]:
    """Return the corners (n, 2) of the outline of each object, from which its size is estimated."""
    boxes = instances.boxes
    if isinstance(boxes, RotatedBoxes):
        return list(boxes.corners())
    if boxes is None and instances.keypoints is not None and instances.masks is None:
        found = []
        for points in instances.keypoints.values:
            seen = points[points[:, 2] > 0, :2]
            found.append(seen if len(seen) else np.zeros((1, 2), np.float32))
        return found
    if boxes is None and instances.masks is None:
        return [np.zeros((1, 2), np.float32)] * len(instances)
    array = np.asarray(boxes) if instances.masks is None or boxes else instances.masks.boxes()
    return [array[i][[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2) for i in range(len(array))]


def _outline(
    picture: np.ndarray, ring: np.ndarray, color: Rgb, thick: int, dashed: bool = False
) -> None:
    """Draw the outline of a box, in place."""
    points = np.round(_bounded(ring) * _FINE).astype(np.int32)
    if not dashed:
        cv2.polylines(picture, [points], True, color, thick, cv2.LINE_AA, _SHIFT)
        return
    whole = picture.copy()
    cv2.polylines(whole, [points], True, color, thick, cv2.LINE_AA, _SHIFT)
    shown = _stripes(picture)
    picture[shown] = whole[shown]


def _stripes(picture: np.ndarray) -> np.ndarray:
    """Return which pixels (height, width) are on diagonal stripes, half of them."""
    rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
    period = max(4, round(sum(picture.shape[:2]) / 80))
    return np.asarray((columns + rows) % period < period / 2)


def _fill_regions(
    picture: np.ndarray,
    instances: Instances,
    rings: list[np.ndarray],
    colors: list[Rgb],
    crowd: np.ndarray,
) -> None:
    """Shade masks, and hatch crowd regions: their masks, or their boxes, in place."""
    if instances.masks is None and not crowd.any():
        return
    masks: list[Polygons] = [()] * len(crowd)
    if instances.masks is not None:
        masks = list(instances.masks.polygons())
    for polygons, ring, color, is_crowd in zip(masks, rings, colors, crowd, strict=True):
        if not is_crowd:
            _fill(picture, polygons, color)
            continue
        shaded = picture.copy()
        _fill(shaded, polygons or (ring,), color)
        shown = _stripes(picture)
        picture[shown] = shaded[shown]


def _fill(picture: np.ndarray, polygons: Polygons, color: Rgb) -> None:
    """Blend the pixels of a mask with a color, and draw its contour, in place."""
    if not polygons:
        return
    shaded = picture.copy()
    # One by one: `fillPoly` leaves the overlap of two polygons empty.
    rings = [np.round(_bounded(ring) * _FINE).astype(np.int32) for ring in polygons]
    for ring in rings:
        cv2.fillPoly(shaded, [ring], color, cv2.LINE_AA, _SHIFT)
    cv2.addWeighted(shaded, 0.4, picture, 0.6, 0, dst=picture)
    cv2.polylines(picture, rings, True, color, 1, cv2.LINE_AA, _SHIFT)


def _bounded(points: np.ndarray) -> np.ndarray:
    """Return coordinates that OpenCV's fixed-point numbers of 32 bits can represent."""
    return np.clip(points.astype(np.float64), -_FARTHEST, _FARTHEST)


def draw_classes(image: np.ndarray, target: np.ndarray, class_map: ClassMap) -> np.ndarray:
    """Draw class names and probabilities on a copy of the image, in descending order.

    Probabilities below 0.005 are left out, one that rounds to 1.00 is not printed, and classes that
    are unknown (NaN) are marked with "?".

    Args:
        image: uint8 RGB (height, width, 3), or any image that `to_display` accepts.
        target: float (classes,), from 0 to 1; NaN is unknown.
        class_map: names of the classes.

    Returns:
        uint8 RGB (height, width, 3).
    """
    picture = canvas(image)
    size, y = pen(picture)[1], 0
    for index in np.argsort(-target, kind="stable"):
        value = float(target[index])
        if value >= 0.005 or math.isnan(value):
            share = "?" if math.isnan(value) else f" {value:.2f}" if value < 0.995 else ""
            text = f"{class_map.names[index]}{share}"
            y += label(picture, text, (0, y), size, color_of(int(index)), above=False)
    return picture


def _draw_values(picture: np.ndarray, values: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """Draw the values of named labels, such as "angle 0.25 rad", in place."""
    size, y = pen(picture)[1], 0
    rows = zip(label_map.names, label_map.units, values.tolist(), strict=True)
    for index, (name, unit, value) in enumerate(rows):
        shown = "?" if math.isnan(value) else f"{value:.4g}"
        text = f"{name} {shown} {unit}".strip()
        y += label(picture, text, (0, y), size, color_of(index), above=False)
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


def color_of(index: int) -> Rgb:
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
    # OpenCV's Hershey fonts have ASCII characters only.
    text = text.encode("ascii", "replace").decode()
    left, top, width, height, base = _place(picture, text, corner, size, above)
    cv2.rectangle(picture, (left, top), (left + width, top + height), color, -1)
    # Luma of ITU-R BT.601.
    dark = sum(c * w for c, w in zip(color, (0.3, 0.59, 0.11), strict=True)) > 140
    ink = (0, 0, 0) if dark else (255, 255, 255)
    cv2.putText(picture, text, (left, top + height - base), _FONT, size, ink, 1, cv2.LINE_AA)
    return height


def _place(
    picture: np.ndarray, text: str, corner: tuple[int, int], size: float, above: bool = True
) -> tuple[int, int, int, int, int]:
    """Return left, top, width and height of the background of a label, and its baseline."""
    (width, height), base = cv2.getTextSize(text, _FONT, size, 1)
    height += base + 2
    left = int(np.clip(corner[0], 0, max(picture.shape[1] - width, 0)))
    top = corner[1] - height if above and corner[1] >= height else corner[1]
    return left, top, width, height, base
