"""Functions that determine what a format stores of an image's annotations, and what it drops.

Each of them returns the row as it will be read from the written file, and one line for each dropped
item. `read_back` compares the written files with that row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from visiongarden.data.readers.csv_table import COLUMN_NAMES
from visiongarden.data.rows import KeypointScheme, Row, areas, upright
from visiongarden.data.writers.images import Splits
from visiongarden.data.writers.lost import Lost
from visiongarden.samples import RotatedBoxes, masks
from visiongarden.samples.unknown_keys import pack, unpack
from visiongarden.types import ImageSize, Polygons

Held = tuple[Row, list[str]]

_ALWAYS = {"id", "file_name", "bbox", "segmentation", "area"}
"""Keys that are never reported as dropped.

They contain numbering, or the same values as boxes and polygons.
"""
_POINTS = {"keypoints", "num_keypoints"}
"""Keys with the same values as the keypoints of a row."""
_SCHEME = {"keypoints", "skeleton"}
"""Keys of a class with the meaning of the keypoints."""
_FLAGS = (0, 1, "0", "1")
_TAG = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


def everything(row: Row) -> Held:
    """Return the row unchanged."""
    return row, []


def objects(row: Row) -> Iterator[tuple[list[float], int, bool, Polygons | None]]:
    """Iterate over the objects of a row as (box, class, whether a crowd, polygons or None)."""
    rings = row.polygons or (None,) * len(row.classes)
    yield from zip(row.boxes.tolist(), row.classes.tolist(), row.crowd.tolist(), rings, strict=True)


def area_of(row: Row) -> np.ndarray:
    """Return float64 (n,): areas of the objects in square pixels; NaN for unknown ones."""
    return row.area if row.area is not None else np.full(len(row.classes), np.nan)


def posed(row: Row) -> np.ndarray:
    """Return bool (n,): which objects have a labeled keypoint."""
    if row.keypoints is None:
        return np.zeros(len(row.classes), bool)
    return np.asarray((row.keypoints[..., 2] > 0).any(axis=1))


def coco_objects(row: Row) -> Held:
    """Return what COCO stores: everything but rotated boxes and labels of the image.

    A rotated box becomes the upright box around it, inside the image, and its corners the mask of
    an object without a mask. Missing areas become those of the mask, or else of the box.
    """
    dropped = _image_labels(row)
    if row.boxes.shape[1] == 5:
        row, changed = _upright_with_corners(row)
        dropped += changed
    return replace(with_areas(row), labels=None), dropped


def _upright_with_corners(row: Row) -> Held:
    height, width = row.size
    corners = RotatedBoxes(row.boxes).corners()
    rings: list[Polygons | None] = list(row.polygons or [None] * len(corners))
    changed = []
    for i, ring in enumerate(corners):
        what = "a rotated box that becomes the upright box around it"
        if rings[i] is None:
            rings[i] = (ring,)
            what += ", with its corners as a polygon"
        changed.append(what)
    limits = (width, height, width, height)
    boxes = np.clip(upright(row.boxes), 0, limits).astype(np.float32)
    return replace(row, boxes=boxes, polygons=tuple(rings) or None), changed


def with_areas(row: Row) -> Row:
    """Return the row with missing areas replaced by the area of the mask, or of the box."""
    area = area_of(row).copy()
    boxes = areas(row)
    for i, (_, _, _, polygons) in enumerate(objects(row)):
        if math.isnan(area[i]):
            area[i] = boxes[i] if polygons is None else _mask_area(polygons, row.size)
    return replace(row, area=area)


def _mask_area(polygons: Polygons, size: ImageSize) -> float:
    # Overlapping polygons would be counted twice by their formula, so the mask's pixels are
    # counted.
    if masks.parts_overlap(polygons):
        return float(masks.fill(polygons, size).sum())
    return masks.area_of(polygons)


def columns(row: Row) -> Held:
    """Return what CSV stores: classes, boxes, and each key of an object whose value is text."""
    height, width = row.size
    sides = {"height": str(height), "width": str(width)}
    keys = [
        {k: v for k, v in own.items() if _is_column(k) and _is_text(v) and sides.get(k, v) == v}
        for own in unpack(row.unknown, len(row.classes))[1]
    ]
    return _boxes_and(row, {}, keys)


def elements(row: Row) -> Held:
    """Return what VOC stores: classes, boxes, and keys whose values are text or nested texts."""
    image, objects_ = unpack(row.unknown, len(row.classes))
    own = {"filename", "size", "object"}
    keys = [_elements(keys, {"name", "bndbox"}) for keys in objects_]
    return _boxes_and(row, _elements(image, own), keys)


def _boxes_and(row: Row, image: dict[str, Any], keys: list[dict[str, Any]]) -> Held:
    dropped = _image_labels(row) + _trimmed(row)
    other_areas, points = _other_areas(row).tolist(), posed(row).tolist()
    for i, (box, _, many, polygons) in enumerate(objects(row)):
        dropped += ["a crowd region that becomes an object"] * many
        dropped += ["a mask; its box is kept"] * (polygons is not None)
        dropped += ["the keypoints of an object; its box is kept"] * points[i]
        dropped += ["a rotated box that becomes the upright box around it"] * (len(box) == 5)
        dropped += ["an area that differs from that of the box"] * other_areas[i]
    every, rows = unpack(row.unknown, len(row.classes))
    dropped += unused_keys({k: v for k, v in every.items() if k not in image}, "the image")
    for own, held in zip(rows, keys, strict=True):
        dropped += unused_keys(_without_points(row, own, held))
    return replace(_plain(_in_image(row)), unknown=pack(image, keys)), dropped


def _in_image(row: Row) -> Row:
    """Return the row with the upright boxes around rotated ones, clipped to the image."""
    if row.boxes.shape[1] == 4:
        return row
    height, width = row.size
    limits = (width, height, width, height)
    return replace(row, boxes=np.clip(row.upright, 0, limits).astype(np.float32))


def _without_points(
    row: Row, keys: Mapping[str, Any], held: Mapping[str, Any] | set[str]
) -> dict[str, Any]:
    """Return the keys that are not held, without those that repeat the keypoints of the row."""
    known = _POINTS if row.keypoints is not None else set()
    return {k: v for k, v in keys.items() if k not in held and k not in known}


def _elements(keys: Mapping[str, Any], own: set[str]) -> dict[str, Any]:
    return {k: v for k, v in keys.items() if k not in _ALWAYS | own and _is_element(k, v)}


def _is_element(key: str, value: Any) -> bool:
    if isinstance(value, list):
        # A list with one value would be read back as that value instead of a list.
        return len(value) > 1 and not any(
            isinstance(item, list) or not _is_element(key, item) for item in value
        )
    if _TAG.fullmatch(key) is None:
        return False
    if isinstance(value, dict):
        return bool(value) and all(_is_element(*item) for item in value.items())
    return _is_text(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value == value.strip() and value.isprintable()


def _is_column(key: str) -> bool:
    known = key.lower() in COLUMN_NAMES - {"width", "height"} or key in _ALWAYS
    return bool(key) and _is_text(key) and not known


def shares(row: Row, points: int = 0) -> Held:
    """Return what YOLO stores: a box, or a polygon in place of it, or a box with keypoints.

    If the boxes are rotated, their corners are stored and nothing else.

    Args:
        row: Annotations to write.
        points: Number of keypoints per object; 0 if no keypoints are written.
    """
    rotated = row.boxes.shape[1] == 5
    boxes, rings = row.boxes.copy(), []
    dropped = _image_labels(row) + _trimmed(row)
    labeled = posed(row).tolist()
    for i, (box, _, many, polygons) in enumerate(objects(row)):
        dropped += ["a crowd region that becomes an object"] * many
        ring = None
        if polygons is not None and (points or rotated):
            how = "keypoints" if points else "a rotated box"
            dropped.append(f"the mask of an object that is written with {how}")
        elif polygons is not None:
            ring, lost = _one_ring(polygons, box, row.size)
            dropped += lost
        if labeled[i] and not points:
            how = "a rotated box" if rotated else "a box or a mask"
            dropped.append(f"the keypoints of an object that is written with {how}")
        if ring is not None:
            boxes[i] = masks.box_of((ring,))
        rings.append(None if ring is None else (ring,))
    dropped += ["an area that differs from that of the box"] * int(_other_areas(row).sum())
    image, keys = unpack(row.unknown, len(row.classes))
    for own in keys:
        dropped += unused_keys(_without_points(row, own, set()))
    dropped += unused_keys(image, "the image")
    held = replace(
        _plain(row),
        boxes=boxes,
        polygons=tuple(rings) if any(ring is not None for ring in rings) else None,
        keypoints=_points(row, points),
    )
    return held, dropped


def _points(row: Row, points: int) -> np.ndarray | None:
    """Return the keypoints float32 (n, points, 3); those of objects without any are zeros."""
    if not points:
        return None
    if row.keypoints is None:
        return np.zeros((len(row.classes), points, 3), np.float32)
    return row.keypoints


def corners(row: Row) -> Held:
    """Return what DOTA stores: rotated boxes, classes, and whether an object is difficult."""
    dropped = _image_labels(row) + _trimmed(row)
    labeled = posed(row).tolist()
    for i, (box, _, many, polygons) in enumerate(objects(row)):
        dropped += ["a crowd region that becomes an object"] * many
        dropped += ["a mask; its box is kept"] * (polygons is not None)
        dropped += ["the keypoints of an object; its box is kept"] * labeled[i]
        dropped += ["an upright box that becomes a rotated box"] * (len(box) == 4)
    dropped += ["an area that differs from that of the box"] * int(_other_areas(row).sum())
    image, keys = unpack(row.unknown, len(row.classes))
    own = [{"difficult": k["difficult"]} if k.get("difficult") in _FLAGS else {} for k in keys]
    for every, held in zip(keys, own, strict=True):
        dropped += unused_keys(_without_points(row, every, held))
    dropped += unused_keys(image, "the image")
    boxes = np.asarray(RotatedBoxes(rotated(row)))
    return replace(_plain(row), boxes=boxes, unknown=pack({}, own)), dropped


def rotated(row: Row) -> np.ndarray:
    """Return the boxes float32 (n, 5), see `visiongarden.samples.RotatedBoxes`."""
    if row.boxes.shape[1] == 5:
        return row.boxes
    x1, y1, x2, y2 = row.boxes.astype(np.float64).T
    found = np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, np.zeros(len(x1))], axis=1)
    return found.astype(np.float32)


def _one_ring(
    polygons: Polygons, box: list[float], size: ImageSize
) -> tuple[np.ndarray | None, list[str]]:
    """Return the polygon that represents a mask in YOLO, and what it changes; None to use the box.

    Args:
        polygons: Polygons of the mask.
        box: xyxy, pixels.
        size: (height, width) of the image.
    """
    inside = masks.cut(polygons, (0.0, 0.0, float(size[1]), float(size[0])))
    changed = ["a mask that is clipped to the image"] * (inside is not polygons)
    if inside is not None and masks.parts_overlap(inside):
        # A line stores one polygon, and the overlap of two joined parts would be outside of it.
        inside = masks.polygons_of(masks.fill(inside, size))
    if inside is None:
        return None, ["a mask outside the image; the box is kept"]
    off = float(np.abs(np.array(masks.box_of(inside)) - box).max())
    if off > 1:
        return None, ["a mask that does not fill its box; the box is kept"]
    if off > tolerance(size):
        changed.append("a box that exceeds its mask by less than a pixel")
    return masks.joined(inside), changed


def tolerance(size: ImageSize) -> float:
    """Return by how many pixels a coordinate may change when written with nine digits and read."""
    return max(1e-3, 1e-6 * max(size))


def count_of_keypoints(splits: Splits) -> int:
    """Return the number of keypoints per object if YOLO's pose labels can store them, else 0.

    A line stores either a polygon or keypoints; keypoints are chosen if at least as many objects
    have them as have polygons.
    """
    counts: set[int] = set()
    masked = number = 0
    for dataset in splits.values():
        for row in dataset.rows():
            if row.boxes.shape[1] == 5 and len(row.boxes):
                return 0
            masked += sum(polygons is not None for polygons in row.polygons or ())
            labeled = int(posed(row).sum())
            number += labeled
            if labeled and row.keypoints is not None:
                counts.add(row.keypoints.shape[1])
    if len(counts) != 1 or number < masked:
        return 0
    return counts.pop()


def unused_keys(keys: Mapping[str, Any], owner: str = "an object") -> list[str]:
    """Describe keys that a format cannot store."""
    return [f"`{key}` of {owner}" for key in keys if key not in _ALWAYS]


def drop_keys_of_files(splits: Splits, lost: Lost, held: bool = False) -> None:
    """Record the keys of each split's file, unless `held`, and those of classes as dropped."""
    of_classes: dict[str, dict[str, None]] = {}  # a class has the same keys in most splits
    for split, dataset in splits.items():
        lost.of(split, [] if held else unused_keys(dataset.extra, "the file"))
        known = _SCHEME if "keypoints" in dataset.fields else set()
        for name, own in zip(dataset.class_map.names, dataset.categories, strict=False):
            keys = unused_keys({k: v for k, v in own.items() if k not in known}, "a class")
            of_classes.setdefault(name, {}).update(dict.fromkeys(keys))
    for name, found in of_classes.items():
        lost.of(name, found)


def drop_scheme(split: str, scheme: KeypointScheme, lost: Lost, pairs: bool = True) -> None:
    """Record names, edges and (if set) pairs of the keypoints of a split as dropped."""
    lost.of(split, ["the names of the keypoints"] * bool(scheme.names))
    lost.of(split, ["the skeleton of the keypoints"] * bool(scheme.skeleton))
    if pairs:
        lost.of(split, ["left and right of the keypoints"] * bool(scheme.pairs))


def _image_labels(row: Row) -> list[str]:
    return ["the labels of the image"] * (row.labels is not None)


def _trimmed(row: Row) -> list[str]:
    """Describe boxes that exceed the border in their file by up to a pixel, and were clipped."""
    if row.unknown is None or '"bbox"' not in row.unknown or row.boxes.shape[1] == 5:
        return []
    lines = []
    _, objects_ = unpack(row.unknown, len(row.classes))
    for box, keys in zip(row.boxes.tolist(), objects_, strict=True):
        given = keys.get("bbox")
        if isinstance(given, list) and len(given) == 4:
            x, y, w, h = map(float, given)
            off = np.abs(np.array([x, y, x + w, y + h]) - box).max()
            lines += ["a box that is clipped to the image"] * bool(off > tolerance(row.size))
    return lines


def _other_areas(row: Row) -> np.ndarray:
    """Return bool (n,): which objects have an area other than that of their box."""
    area, boxes = area_of(row), areas(row)
    return np.isfinite(area) & ~np.isclose(area, boxes, rtol=1e-5, atol=1e-6)


def _plain(row: Row) -> Row:
    return replace(
        row,
        crowd=np.zeros_like(row.crowd),
        polygons=None,
        keypoints=None,
        area=None,
        labels=None,
        unknown=None,
    )
