"""Samples whose objects are visible: each is a bright rectangle with three dark keypoints.

A transform is applied to an image with and without one object, with equal random numbers. Where the
two results differ, the object is; so it is found without its annotation.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from visiongarden.samples import Boxes, ImageInfo, Instances, Keypoints, Masks, Sample
from visiongarden.types import ImageSize

SIZE: ImageSize = (120, 160)
BOXES = np.array(
    [[12, 10, 46, 40], [88, 14, 126, 50], [54, 54, 90, 88], [8, 72, 42, 108], [104, 70, 150, 106]],
    np.float32,
)
COUNT = len(BOXES)
POINTS = 3
POINT_SIDE = 7
_BACKGROUND, _OBJECT, _POINT = 40, 200, 90
_FIRST_OF_OTHERS = 1000
"""Row of the first object of another image, so that it is not taken for one of the sample."""

KINDS = ("objects", "boxes", "semantic", "labels", "empty")
"""Annotations of samples: objects with all fields, boxes alone, class ids of pixels, labels of the
image, and an image without objects."""


def points() -> np.ndarray:
    """Return the keypoints of the objects, (objects, 3, 2): left, right and below both."""
    left, top, right, bottom = BOXES.T
    rows = [(left + 8, top + 8), (right - 8, top + 8), ((left + right) / 2, bottom - 7)]
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)


def image(
    without: int | None = None, with_points: Collection[tuple[int, int]] = (), shift: int = 0
) -> np.ndarray:
    """Render the image, uint8 RGB.

    Areas have one color each, so that an object differs from the background by one amount, also
    after its colors are changed.

    Args:
        without: object that is left out.
        with_points: (object, keypoint) of each dark square that marks a keypoint.
        shift: gray levels added to the background, to tell images apart.
    """
    pixels = np.full((*SIZE, 3), _BACKGROUND + shift, np.uint8)
    for row, box in enumerate(BOXES.astype(int)):
        if row != without:
            pixels[box[1] : box[3], box[0] : box[2]] = (_OBJECT, _OBJECT - 15, _OBJECT - 30)
    for row, number in with_points:
        x, y = points()[row, number].astype(int)
        reach = POINT_SIDE // 2
        pixels[y - reach : y + reach + 1, x - reach : x + reach + 1] = _POINT
    return pixels


def sample(kind: str, pixels: np.ndarray, first: int = 0) -> Sample:
    """Return a sample of one of `KINDS`.

    Args:
        kind: which annotations it has.
        pixels: image from `image`, or of another dtype and number of channels.
        first: value of the first row in the column `row` of the objects.
    """
    found = Sample(ImageInfo(first, None, SIZE), pixels, Instances.empty(SIZE))
    if kind == "semantic":
        classes = np.zeros(SIZE, np.int32)
        for row, (x1, y1, x2, y2) in enumerate(BOXES.astype(int)):
            classes[y1:y2, x1:x2] = row + 1
        return replace(found, semantic=classes)
    if kind == "labels":
        return replace(found, labels=np.array([0, 1, 0], np.float32))
    boxes = BOXES[:0] if kind == "empty" else BOXES
    return replace(found, instances=_instances(boxes, first, whole=kind != "boxes"))


def _instances(boxes: np.ndarray, first: int, whole: bool) -> Instances:
    """Return the objects, with all fields if `whole`."""
    rows = first + np.arange(len(boxes))
    data = {"row": rows}
    classes = np.arange(len(boxes))
    if not whole:
        return Instances(SIZE, Boxes(boxes), classes, data=data)
    x1, y1, x2, y2 = boxes.T
    rings = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=1).reshape(-1, 4, 2)
    # Coordinates of pixel edges: the center of pixel 8 is 8.5.
    places = points()[: len(boxes)].astype(int) + 0.5
    seen = np.full((len(boxes), POINTS, 1), 2)
    return Instances(
        SIZE,
        Boxes(boxes),
        classes,
        masks=Masks.from_polygons([[ring] for ring in rings], SIZE),
        keypoints=Keypoints(
            np.concatenate([places, seen], axis=2), ("left", "right", "below"), pairs=[(0, 1)]
        ),
        crowd=np.zeros(len(boxes), bool),
        area=((x2 - x1) * (y2 - y1)).astype(float),
        data={**data, "outline": Boxes(boxes)},
    )


@dataclass(frozen=True)
class MarkedContext:
    """Context of one run with a transform: other samples of the same kind."""

    kind: str
    pixels: np.ndarray
    size: ImageSize = SIZE
    epoch: int = 0
    epochs: int = 1
    capacity: int = 1000
    fill: tuple[float, ...] = (114,)

    def others(self, count: int, rng: np.random.Generator) -> Sequence[Sample]:
        """Return other samples, with objects of their own."""
        start = _FIRST_OF_OTHERS
        return [sample(self.kind, self.pixels, start * (i + 1)) for i in range(count)]


def mirrored(where: np.ndarray) -> bool:
    """Return whether the three keypoints (3, 2) of an object are seen in a mirror."""
    (left, right, below) = where
    a, b = right - left, below - left
    return bool(a[0] * b[1] - a[1] * b[0] < 0)
