"""`Row`: one image with its annotations as plain arrays, as readers and writers handle it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from visiongarden.samples import (
    Boxes,
    ImageInfo,
    Instances,
    Keypoints,
    Masks,
    RotatedBoxes,
    Sample,
    unknown_keys,
)
from visiongarden.samples.mask_shapes import PolygonMask
from visiongarden.types import ClassMap, ImageSize, Polygons


class KeypointScheme(NamedTuple):
    """Meaning of the keypoints of a dataset; see `visiongarden.samples.Keypoints`.

    Attributes:
        names: names of the points, or none.
        pairs: indices of left and right points; None if they are not known.
        skeleton: indices of the two points of each edge.
    """

    names: tuple[str, ...] = ()
    pairs: tuple[tuple[int, int], ...] | None = None
    skeleton: tuple[tuple[int, int], ...] = ()


NO_SCHEME = KeypointScheme()


class Lines(NamedTuple):
    """Places of the objects of an image in one annotation file.

    Attributes:
        prefix: text before the number: the file, and ":" or the name of a list.
        numbers: int32 (n,), line or position of each object.
        suffix: text after the number.
    """

    prefix: str
    numbers: np.ndarray
    suffix: str = ""

    def at(self, row: int) -> str:
        """Return the place of one object, such as "a.txt:3"."""
        return f"{self.prefix}{int(self.numbers[row])}{self.suffix}"


@dataclass(slots=True)
class Row:
    """One image with its annotations.

    Building a `Sample` takes ten times as long, which matters for 100,000 images at the start of a
    run; `Dataset` builds it when it is needed.

    Attributes:
        path: location of the image: a path, a member of an archive, or a record.
        size: (height, width) of the image.
        boxes: float32 (n, 4), xyxy in pixels, or (n, 5), rotated: center x, center y, width,
            height, angle in degrees.
        classes: int32 (n,), indices into the class map.
        crowd: bool (n,), whether an object is a crowd region.
        polygons: polygons of each object, or None for an object without a mask; None if no object
            has one.
        keypoints: float32 (n, k, 3): x, y in pixels, visibility 0, 1 or 2; None without any.
        area: float64 (n,), area of each object from the annotation file in square pixels, NaN where
            the file has no value; None if no object has one.
        labels: float32 (k,), labels of the whole image; None without any.
        lines: places of the objects in the annotation file; None if they are not known.
        unknown: JSON text of unknown keys, see `visiongarden.samples.unknown_keys`.
        image: pixels in memory (height, width, channels); None: they are in a file.
    """

    path: Any
    size: ImageSize
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    polygons: tuple[Polygons | None, ...] | None = None
    keypoints: np.ndarray | None = None
    area: np.ndarray | None = None
    labels: np.ndarray | None = None
    lines: Lines | None = None
    unknown: str | None = None
    image: np.ndarray | None = None

    @property
    def upright(self) -> np.ndarray:
        """Axis-aligned boxes float32 (n, 4), xyxy in pixels: those around rotated boxes."""
        return upright(self.boxes)


def upright(boxes: np.ndarray) -> np.ndarray:
    """Return the axis-aligned boxes (n, 4) around boxes (n, 4) or rotated boxes (n, 5)."""
    if boxes.shape[1] == 4:
        return boxes
    corners = RotatedBoxes(boxes).corners()
    found = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return found.reshape(-1, 4).astype(np.float32)


def sample_of(
    row: Row, index: int, class_map: ClassMap | None = None, scheme: KeypointScheme = NO_SCHEME
) -> Sample:
    """Return the sample of a row.

    Args:
        row: image and annotations.
        index: position of the image in its dataset.
        class_map: names of the classes.
        scheme: meaning of the keypoints.
    """
    boxes: Boxes | RotatedBoxes = (
        Boxes(row.boxes) if row.boxes.shape[1] == 4 else RotatedBoxes(row.boxes)
    )
    instances = Instances(
        row.size,
        boxes,
        row.classes,
        masks=None if row.polygons is None else masks_of(row.polygons, row.size),
        keypoints=None if row.keypoints is None else Keypoints(row.keypoints, *scheme),
        crowd=row.crowd,
        area=None if row.area is None else np.where(np.isnan(row.area), areas(row), row.area),
        class_map=class_map,
    )
    info = ImageInfo(index, row.path, row.size, unknown=row.unknown)
    return Sample(info, row.image, instances, labels=row.labels)


def row_of(sample: Sample) -> Row:
    """Return the row of a sample, whose masks become polygons.

    Only what readers produce is kept: columns of `Instances.data` and `Sample.extra` are not.
    """
    found = sample.instances
    count = len(found)
    boxes = found.boxes
    polygons = None
    if found.masks is not None:
        polygons = tuple(rings or None for rings in found.masks.polygons())
    if boxes is not None:
        array = np.asarray(boxes)
    elif found.masks is not None:
        array = found.masks.boxes()
    else:
        array = np.zeros((count, 4), np.float32)
    return Row(
        path=sample.info.source,
        size=sample.info.original_size,
        boxes=array,
        classes=np.zeros(count, np.int32) if found.classes is None else found.classes,
        crowd=np.zeros(count, bool) if found.crowd is None else found.crowd,
        polygons=polygons if polygons is not None and any(polygons) else None,
        keypoints=None if found.keypoints is None else found.keypoints.values,
        area=found.area,
        labels=sample.labels,
        unknown=sample.info.unknown,
        image=sample.image,
    )


def areas(row: Row) -> np.ndarray:
    """Return float64 (n,): the areas of the boxes in square pixels."""
    if row.boxes.shape[1] == 5:
        return np.asarray(row.boxes[:, 2:4].astype(np.float64).prod(axis=1))
    return np.asarray((row.boxes[:, 2:] - row.boxes[:, :2]).astype(np.float64).prod(axis=1))


def selected(row: Row, kept: np.ndarray) -> Row:
    """Return a row with the objects that a bool array (n,) selects."""
    if kept.all():
        return row
    polygons = row.polygons
    if polygons is not None:
        polygons = tuple(each for each, yes in zip(polygons, kept, strict=True) if yes)
    return replace(
        row,
        boxes=row.boxes[kept],
        classes=row.classes[kept],
        crowd=row.crowd[kept],
        polygons=polygons,
        keypoints=None if row.keypoints is None else row.keypoints[kept],
        area=None if row.area is None else row.area[kept],
        lines=None if row.lines is None else row.lines._replace(numbers=row.lines.numbers[kept]),
        unknown=unknown_keys.part(row.unknown, kept.tolist()),
    )


def masks_of(polygons: tuple[Polygons | None, ...], size: ImageSize) -> Masks:
    """Return masks of polygons that have been checked."""
    return Masks((PolygonMask(rings or ()) for rings in polygons), size)


def objects_without_mask(row: Row) -> np.ndarray:
    """Return the indices of the objects, crowd regions excepted, that have no mask."""
    has = (
        [False] * len(row.classes)
        if row.polygons is None
        else [p is not None for p in row.polygons]
    )
    return np.flatnonzero(~np.array(has, bool) & ~row.crowd)
