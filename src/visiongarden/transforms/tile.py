"""Render parts of images on a canvas and transform their labels.

Fit, mosaic, crop, scale, rotation, shear and perspective of an image are one matrix, so that pixels
are resampled once, and only those that are visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from visiongarden.samples import extra, masks
from visiongarden.types import Example, ImageSize, Polygons

GRAY = 114
"""Gray value of the canvas where there is no image."""

_MIN_SIDE = 2.0
"""Smallest side of a visible box in pixels; a narrower box shows nothing that can be learned."""


@dataclass(frozen=True)
class Tile:
    """Part of an image and its mapping to the canvas.

    Attributes:
        example: example with a decoded image.
        window: visible part of the image, xyxy in whole pixels.
        matrix: float (3, 3), from pixels of the image to pixels of the canvas.
    """

    example: Example
    window: tuple[int, int, int, int]
    matrix: np.ndarray


def compose(tiles: Sequence[Tile], size: ImageSize, min_visibility: float) -> Example:
    """Render tiles on one canvas and collect their visible labels.

    A box becomes the smallest axis-aligned box around its transformed corners, or around its
    transformed polygons if it has any, clipped to the window and the canvas. It is removed if less
    than `min_visibility` of its area or less than two pixels of a side are visible.

    Args:
        tiles: tiles in the order in which they are rendered; later ones cover earlier ones.
        size: (height, width) of the canvas.
        min_visibility: smallest visible fraction of a box's area, 0 to 1.

    Returns:
        One example with path and id of the first tile.
    """
    canvas = np.full((*size, 3), GRAY, np.uint8)
    for tile in tiles:
        draw(canvas, tile)
    return joined([labels(tile, size, min_visibility) for tile in tiles], canvas)


def draw(canvas: np.ndarray, tile: Tile) -> None:
    """Render the window of a tile on a uint8 canvas (height, width, 3), in place."""
    x1, y1, x2, y2 = tile.window
    image = np.asarray(tile.example.image)[y1:y2, x1:x2]
    matrix = tile.matrix @ _shift(x1, y1)
    around = move(np.array([[0, 0, x2 - x1, y2 - y1]], np.float64), matrix)[0].tolist()
    sides = (canvas.shape[1], canvas.shape[0]) * 2
    left, top, right, bottom = (
        min(max(round(v), 0), side) for v, side in zip(around, sides, strict=True)
    )
    if right <= left or bottom <= top:
        return
    low, high = np.array([left, top]), np.array([right, bottom])
    view = canvas[low[1] : high[1], low[0] : high[0]]
    upright = _upright(matrix)
    if upright and max(matrix[0, 0], matrix[1, 1]) <= 1:
        _shrink(image, view, matrix, low, high)
        return
    # OpenCV's (0, 0) is the center of the first pixel, which has the coordinates (0.5, 0.5) here.
    seen = _shift(-low[0] - 0.5, -low[1] - 0.5) @ matrix @ _shift(0.5, 0.5)
    # An upright tile fills its view completely; a transparent border would leave the outermost
    # pixels unfilled. Any other tile must not change the pixels of the view outside it.
    border = cv2.BORDER_REPLICATE if upright else cv2.BORDER_TRANSPARENT
    shape = (view.shape[1], view.shape[0])
    options: Any = {"dst": view, "flags": cv2.INTER_LINEAR, "borderMode": border}
    if matrix[2, :2].any():
        cv2.warpPerspective(image, seen, shape, **options)
    else:
        cv2.warpAffine(image, seen[:2] / seen[2, 2], shape, **options)


def _shrink(
    image: np.ndarray, view: np.ndarray, matrix: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    """Render an upright tile that is not enlarged with `cv2.resize`.

    This takes a quarter of the time of a warp. The tile's edges are rounded to whole pixels of the
    image, an error of at most half a pixel.
    """
    scale, offset = np.diag(matrix)[:2], matrix[:2, 2]
    sides = np.array([image.shape[1], image.shape[0]])
    first = np.clip(np.round((low - offset) / scale), 0, sides - 1).astype(int)
    last = np.clip(np.round((high - offset) / scale), first + 1, sides).astype(int)
    part = image[first[1] : last[1], first[0] : last[0]]
    cv2.resize(part, (view.shape[1], view.shape[0]), dst=view, interpolation=cv2.INTER_LINEAR)


def labels(tile: Tile, size: ImageSize, min_visibility: float) -> Example:
    """Return the visible labels of a tile in pixels of the canvas; the image is unchanged."""
    example, limits = tile.example, (0.0, 0.0, float(size[1]), float(size[0]))
    whole = move(example.boxes, tile.matrix)
    shown = move(_inside(example.boxes, tile.window), tile.matrix)
    cut = _inside(shown, limits)
    share = _areas(cut) / np.maximum(_areas(whole), 1e-9)  # 1e-9: a box may have no area
    visible: list[Polygons | None] | None = None
    if example.polygons is not None:
        visible = [None] * len(cut)
        for i, polygons in enumerate(example.polygons):
            if polygons is not None:
                visible[i], cut[i], share[i] = _visible(polygons, tile, limits)
    sides = (cut[:, 2:] - cut[:, :2]).min(axis=1, initial=np.inf)
    kept = (share >= min_visibility) & (sides >= _MIN_SIDE)
    changed = replace(
        example,
        boxes=cut,
        polygons=tuple(visible) if visible is not None else None,
        area=None,
        extra=None,
    )
    return keep(changed, kept)


def _visible(
    polygons: Polygons, tile: Tile, limits: Sequence[float]
) -> tuple[Polygons | None, np.ndarray, float]:
    """Return the visible polygons of an object, the box around them and their fraction of its area.

    The polygons are None if nothing is visible.
    """
    image = np.asarray(tile.example.image)
    # What the annotation places outside the image was never visible and does not count.
    seen = masks.cut(polygons, (0.0, 0.0, image.shape[1], image.shape[0]))
    whole = masks.area_of(masks.move(seen or (), tile.matrix))
    part = masks.cut(polygons, tile.window)
    part = part and masks.cut(masks.move(part, tile.matrix), limits)
    if part is None:
        return None, np.zeros(4, np.float32), 0.0
    box = np.array(masks.box_of(part), np.float32)
    return part, box, masks.area_of(part) / max(whole, 1e-9)


def joined(parts: Sequence[Example], image: np.ndarray) -> Example:
    """Return one example with the labels of all parts, and path, id and size of the first.

    Areas and unknown keys of the annotation files are dropped, as they hold for the original image.
    """
    crowds = [p.crowd if p.crowd is not None else np.zeros(len(p.boxes), bool) for p in parts]
    polygons = None
    if any(part.polygons for part in parts):
        polygons = tuple(o for p in parts for o in (p.polygons or (None,) * len(p.boxes)))
    return replace(
        parts[0],
        image=image,
        boxes=np.concatenate([part.boxes for part in parts]).astype(np.float32),
        classes=np.concatenate([part.classes for part in parts]),
        crowd=np.concatenate(crowds),
        polygons=polygons,
        area=None,
        extra=None,
    )


def keep(example: Example, kept: np.ndarray) -> Example:
    """Return the example with the boxes that a bool array (n,) selects."""
    if kept.all():
        return example
    crowd = example.crowd[kept] if example.crowd is not None else None
    polygons = example.polygons
    if polygons is not None:
        polygons = tuple(each for each, yes in zip(polygons, kept, strict=True) if yes)
    return replace(
        example,
        boxes=example.boxes[kept],
        classes=example.classes[kept],
        crowd=crowd,
        polygons=polygons,
        area=example.area[kept] if example.area is not None else None,
        extra=extra.part(example, kept.tolist()),
    )


def move(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return axis-aligned xyxy boxes (n, 4) around the transformed corners of xyxy boxes (n, 4)."""
    if _upright(matrix):
        scale, offset = np.diag(matrix)[:2], matrix[:2, 2]
        return np.asarray(boxes * np.tile(scale, 2) + np.tile(offset, 2), np.float32)
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
    moved = masks.transform(corners.astype(np.float64), matrix).reshape(-1, 4, 2)
    return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)


def _upright(matrix: np.ndarray) -> bool:
    """Return whether a matrix only scales, by positive factors, and shifts."""
    (a, b, _), (c, d, _), (e, f, g) = matrix.tolist()
    return b == c == e == f == 0 and g == 1 and a > 0 and d > 0


def _inside(boxes: np.ndarray, limits: Sequence[float]) -> np.ndarray:
    low, high = np.tile(np.array(limits, np.float32).reshape(2, 2), 2)
    return np.minimum(np.maximum(boxes, low), high)


def _areas(boxes: np.ndarray) -> np.ndarray:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def _shift(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)
