"""Render each transform alone beside the original, with the annotations."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from visiongarden.drawing.annotations import (
    color_of,
    draw_box,
    fill_polygons,
    label,
    pen,
    shade,
    sixteenths,
)
from visiongarden.drawing.display import canvas
from visiongarden.errors import UserError
from visiongarden.samples import Boxes, Keypoints, Masks, RotatedBoxes, Sample
from visiongarden.transforms import Pipeline, Transform
from visiongarden.types import ClassMap, ImageSize

_GAP, _LINE, _FONT = 6, 18, 0.42
_CHARACTER = 8.2
"""Mean width in pixels of a character of a label."""
_MAX_LINES = 3
_INK, _PAPER, _FAILED = (20, 20, 20), 255, (190, 30, 30)


def transforms_sheet(
    sample: Sample,
    transforms: Sequence[Transform],
    *,
    size: ImageSize = (320, 320),
    variants: int = 3,
    others: Sequence[Sample] = (),
    class_map: ClassMap | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Render a row for each transform: the original and the results of the transform alone.

    Each transform is always applied, whatever its probability. A transform that refuses the sample
    has the reason in its row.

    Args:
        sample: sample with a decoded image.
        transforms: transforms, each of which gets a row with its name and fields.
        size: (height, width) of each image in pixels, as the model receives it.
        variants: number of results in a row.
        others: further samples with decoded images, for mosaics and mix-up; by default the sample
            itself.
        class_map: names of the classes; without it, the class indices are drawn.
        seed: seed of the random numbers.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        UserError: there is no transform, or `variants` is less than 1.

    Example:
        >>> from visiongarden.samples import ImageInfo
        >>> sample = Sample(ImageInfo(0, None, (40, 60)), np.zeros((40, 60, 3), np.uint8))
        >>> flip = vg.transforms.HorizontalFlip()
        >>> transforms_sheet(sample, [flip], size=(64, 64), variants=1).shape[2]
        3
    """
    if not transforms or variants < 1:
        raise UserError(
            "there is nothing to show",
            rule="at least one transform and one variant",
            received=f"{len(transforms)} transforms, variants={variants}",
            fix="transforms_sheet(sample, [HorizontalFlip()])",
        )
    samples = [sample, *others]
    original = _drawn(_result(samples, (), size, 0, seed), class_map)
    width = (variants + 1) * (size[1] + _GAP) + _GAP
    rows = []
    for transform in transforms:
        always = transform.replace(probability=1.0, skip_last_epochs=0)
        try:
            found = [_result(samples, (always,), size, n, seed) for n in range(variants)]
            rows += [_heading(description(transform), width, _INK)]
            rows += [_row([original, *[_drawn(each, class_map) for each in found]], width)]
        except UserError as error:
            text = f"{description(transform)}: {_reason(error)}"
            rows += [_heading(text, width, _FAILED), _row([original], width)]
    return np.concatenate(rows)


def description(transform: Transform) -> str:
    """Return the name of a transform and its fields, as it is written in Python."""
    fields = transform.to_dict()
    name = fields.pop("type")
    for inherited in ("probability", "skip_last_epochs"):
        if fields[inherited] == Transform.model_fields[inherited].default:
            del fields[inherited]
    listed = ", ".join(f"{key}={_short(value)}" for key, value in fields.items())
    return f"{name}({listed})"


def _reason(error: UserError) -> str:
    details = [("expected", error.rule), ("got", error.received)]
    listed = ", ".join(f"{word} {text}" for word, text in details if text)
    return " ".join(f"{error.what}; {listed}".split())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "(" + ", ".join(map(_short, value)) + ")"
    return f"{value!r:.60}"


def _result(
    samples: list[Sample], transforms: Sequence[Transform], size: ImageSize, number: int, seed: int
) -> Sample:
    capacity = 9 * sum(len(each.instances) for each in samples) + 1
    pipeline = Pipeline(
        transforms, samples, size=size, capacity=capacity, epochs=number + 1, seed=seed
    )
    # Another epoch has other random numbers.
    return pipeline(0, number)


def _drawn(sample: Sample, class_map: ClassMap | None) -> np.ndarray:
    """Return the image with its annotations."""
    assert sample.image is not None  # noqa: S101  the pipeline returns pixels
    picture = canvas(sample.image)
    instances = sample.instances
    if sample.semantic is not None:
        ids = [int(i) for i in np.unique(sample.semantic) if i != 255]
        shade(picture, sample.semantic, {i: _name(i, class_map) for i in ids})
    classes = instances.classes if instances.classes is not None else np.zeros(len(instances), int)
    if isinstance(instances.masks, Masks):
        for polygons, index in zip(instances.masks.polygons(), classes, strict=True):
            fill_polygons(picture, polygons, color_of(int(index)))
    _draw_boxes(picture, instances.boxes, classes, class_map)
    if isinstance(instances.keypoints, Keypoints):
        _draw_keypoints(picture, instances.keypoints)
    if sample.labels is not None:
        text = ", ".join(f"{value:.2f}" for value in sample.labels[:8])
        label(picture, f"labels {text}", (0, 0), pen(picture)[1], (90, 90, 90), above=False)
    return picture


def _draw_boxes(
    picture: np.ndarray,
    boxes: Boxes | RotatedBoxes | None,
    classes: np.ndarray,
    class_map: ClassMap | None,
) -> None:
    thick, size = pen(picture)
    if isinstance(boxes, Boxes):
        for box, index in zip(np.asarray(boxes).tolist(), classes.tolist(), strict=True):
            draw_box(picture, box, _name(index, class_map), color_of(index), thick, size)
    elif isinstance(boxes, RotatedBoxes):
        for corners, index in zip(boxes.corners(), classes.tolist(), strict=True):
            color = color_of(index)
            cv2.polylines(picture, [sixteenths(corners)], True, color, thick, cv2.LINE_AA, 4)
            x, y = np.round(corners.min(axis=0)).astype(int).tolist()
            label(picture, _name(index, class_map), (x, y), size, color)


def _draw_keypoints(picture: np.ndarray, keypoints: Keypoints) -> None:
    for points in keypoints.values:
        for a, b in keypoints.skeleton:
            if points[a, 2] and points[b, 2]:
                line = sixteenths(points[[a, b], :2])
                cv2.polylines(picture, [line], False, (255, 255, 255), 1, cv2.LINE_AA, 4)
        for number, (x, y, visibility) in enumerate(points.tolist()):
            if visibility:
                place = (round(x - 0.5), round(y - 0.5))
                cv2.circle(picture, place, 2, color_of(number), -1, cv2.LINE_AA)


def _name(index: int, class_map: ClassMap | None) -> str:
    known = class_map is not None and 0 <= index < len(class_map)
    return class_map.names[index] if known and class_map is not None else str(index)


def _heading(text: str, width: int, ink: tuple[int, int, int]) -> np.ndarray:
    lines = textwrap.wrap(text, max(int((width - 2 * _GAP) / _CHARACTER), 20))[:_MAX_LINES]
    strip = np.full((_LINE * len(lines) + _GAP, width, 3), _PAPER, np.uint8)
    for number, line in enumerate(lines):
        # OpenCV's Hershey fonts have ASCII characters only.
        line = line.encode("ascii", "replace").decode()
        place = (_GAP, _LINE * (number + 1))
        cv2.putText(strip, line, place, cv2.FONT_HERSHEY_SIMPLEX, _FONT, ink, 1, cv2.LINE_AA)
    return strip


def _row(cells: list[np.ndarray], width: int) -> np.ndarray:
    height, cell = cells[0].shape[:2]
    row = np.full((height + _GAP, width, 3), _PAPER, np.uint8)
    for number, picture in enumerate(cells):
        left = _GAP + number * (cell + _GAP)
        row[:height, left : left + cell] = picture
    return row
