"""Functions that determine what a format stores of an example, and what it drops.

Each of them returns the example as it will be read from the written file, and one line for each
dropped item. `read_back` compares the written files with that example.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from visiongarden.data.readers.csv_table import COLUMN_NAMES
from visiongarden.data.writers.examples import (
    Lost,
    Splits,
    area_of,
    box_areas,
    crowd_of,
    objects,
    size_of,
)
from visiongarden.samples import masks
from visiongarden.samples.extra import pack, unpack
from visiongarden.types import Example, Polygons

Held = tuple[Example, list[str]]

_ALWAYS = {"id", "file_name", "bbox", "segmentation", "area"}
"""Keys that are never reported as dropped.

They contain numbering, or the same values as boxes and polygons.
"""
_TAG = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


def everything(example: Example) -> Held:
    """Return the example unchanged: COCO and ArrayRecord store everything."""
    return example, []


def with_areas(example: Example) -> Example:
    """Return the example with missing areas replaced by the area of the mask, or of the box."""
    area = area_of(example).copy()
    boxes = box_areas(example)
    for i, (_, _, _, polygons) in enumerate(objects(example)):
        if math.isnan(area[i]):
            area[i] = boxes[i] if polygons is None else _mask_area(polygons, size_of(example))
    return replace(example, area=area)


def _mask_area(polygons: Polygons, size: tuple[int, int]) -> float:
    # Overlapping polygons would be counted twice by their formula, so the mask's pixels are
    # counted.
    if masks.parts_overlap(polygons):
        return float(masks.fill(polygons, size).sum())
    return masks.area_of(polygons)


def columns(example: Example) -> Held:
    """Return what CSV stores: classes, boxes, and each key of an object whose value is text."""
    height, width = size_of(example)
    sides = {"height": str(height), "width": str(width)}
    keys = [
        {k: v for k, v in row.items() if _is_column(k) and _is_text(v) and sides.get(k, v) == v}
        for row in unpack(example)[1]
    ]
    return _boxes_and(example, {}, keys)


def elements(example: Example) -> Held:
    """Return what VOC stores: classes, boxes, and keys whose values are text or nested texts."""
    image, objects_ = unpack(example)
    own = {"filename", "size", "object"}
    keys = [_elements(row, {"name", "bndbox"}) for row in objects_]
    return _boxes_and(example, _elements(image, own), keys)


def _boxes_and(example: Example, image: dict[str, Any], keys: list[dict[str, Any]]) -> Held:
    dropped = _trimmed(example)
    for (_, _, many, polygons), area in zip(
        objects(example), _other_areas(example).tolist(), strict=True
    ):
        dropped += ["a crowd region that becomes an object"] * many
        dropped += ["a mask; its box is kept"] * (polygons is not None)
        dropped += ["an area that differs from that of the box"] * area
    every, rows = unpack(example)
    dropped += unused_keys({k: v for k, v in every.items() if k not in image}, "the image")
    for row, held in zip(rows, keys, strict=True):
        dropped += unused_keys({k: v for k, v in row.items() if k not in held})
    return replace(_plain(example), extra=pack(image, keys)), dropped


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


def shares(example: Example, points: int = 0) -> Held:
    """Return what YOLO stores: a box, or a polygon in place of it, or a box with keypoints.

    Args:
        example: Example to write.
        points: Number of keypoints per object; 0 if no keypoints are written.
    """
    boxes, rings, dropped = example.boxes.copy(), [], []
    size, areas = size_of(example), _other_areas(example)
    dropped += _trimmed(example)
    for i, (box, _, many, polygons) in enumerate(objects(example)):
        dropped += ["a crowd region that becomes an object"] * many
        ring = None
        if polygons is not None and points:
            dropped.append("the mask of an object that is written with keypoints")
        elif polygons is not None:
            ring, lost = _one_ring(polygons, box, size)
            dropped += lost
        if ring is not None:
            boxes[i] = masks.box_of((ring,))
        rings.append(None if ring is None else (ring,))
    dropped += ["an area that differs from that of the box"] * int(areas.sum())
    image, keys = unpack(example)
    posed = [keypoints_of(row, points) for row in keys]
    for row, found in zip(keys, posed, strict=True):
        held = {"keypoints", "num_keypoints"} if found else set()
        dropped += unused_keys({k: v for k, v in row.items() if k not in held})
    dropped += unused_keys(image, "the image")
    kept = tuple(rings) if any(ring is not None for ring in rings) else None
    extra = pack({}, [{"keypoints": found} if found else {} for found in posed])
    return replace(_plain(example), boxes=boxes, polygons=kept, extra=extra), dropped


def _one_ring(
    polygons: Polygons, box: list[float], size: tuple[int, int]
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


def tolerance(size: tuple[int, int]) -> float:
    """Return by how many pixels a coordinate may change when written with nine digits and read."""
    return max(1e-3, 1e-6 * max(size))


def shape_of_keypoints(splits: Splits) -> int:
    """Return the number of keypoints per object if YOLO's pose labels can store them, else 0.

    A line stores either a polygon or keypoints; keypoints are chosen if at least as many objects
    have them as have polygons.
    """
    counts: Counter[int] = Counter()
    masked = 0
    for dataset in splits.values():
        for example in dataset:
            masked += sum(polygons is not None for polygons in example.polygons or ())
            if example.extra is not None and '"keypoints"' in example.extra:
                for keys in unpack(example)[1]:
                    counts[len(keys.get("keypoints") or ()) // 3] += 1
    counts.pop(0, None)
    if len(counts) != 1:
        return 0
    points, number = counts.most_common()[0]
    return points if number >= masked else 0


def keypoints_of(keys: Mapping[str, Any], points: int) -> list[float] | None:
    """Return x, y (pixels) and visibility of each keypoint; None if there are not `points`."""
    values = keys.get("keypoints")
    if not points or not isinstance(values, list) or len(values) != 3 * points:
        return None
    if not all(type(v) in (int, float) and abs(v) < 1e9 for v in values):
        return None
    return [float(v) for v in values]


def unused_keys(keys: Mapping[str, Any], owner: str = "an object") -> list[str]:
    """Describe keys that a format cannot store."""
    return [f"`{key}` of {owner}" for key in keys if key not in _ALWAYS]


def drop_keys_of_files(splits: Splits, lost: Lost, held: bool = False) -> None:
    """Record the keys of each split's file, unless `held`, and of its classes as dropped."""
    for split, dataset in splits.items():
        keys = [] if held else unused_keys(dataset.extra, "the file")
        for name, row in zip(dataset.class_map.names, dataset.categories, strict=False):
            keys += unused_keys(row, f"class {name}")
        lost.of(split, keys)


def _trimmed(example: Example) -> list[str]:
    """Describe boxes that exceed the border in their file by up to a pixel, and were clipped."""
    if example.extra is None or '"bbox"' not in example.extra:
        return []
    lines = []
    for box, keys in zip(example.boxes.tolist(), unpack(example)[1], strict=True):
        given = keys.get("bbox")
        if isinstance(given, list) and len(given) == 4:
            x, y, w, h = map(float, given)
            off = np.abs(np.array([x, y, x + w, y + h]) - box).max()
            lines += ["a box that is clipped to the image"] * bool(
                off > tolerance(size_of(example))
            )
    return lines


def _other_areas(example: Example) -> np.ndarray:
    """Return bool (n,): which objects have an area other than that of their box."""
    area, boxes = area_of(example), box_areas(example)
    return np.isfinite(area) & ~np.isclose(area, boxes, rtol=1e-5, atol=1e-6)


def _plain(example: Example) -> Example:
    return replace(
        example, crowd=np.zeros_like(crowd_of(example)), polygons=None, area=None, extra=None
    )
