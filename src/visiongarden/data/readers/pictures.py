"""`Picture`: one image as a labeling tool describes it, and the dataset of such images.

The readers of labeling tools turn a file into pictures; all that these formats share is here: class
names, rotated boxes, keypoints by name, and labels of whole images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList, wrong_size
from visiongarden.data.readers.build import Label, class_names_in, row, size_of
from visiongarden.data.readers.image_search import find_image, folder_of, last_name
from visiongarden.data.readers.keypoint_scheme import pairs_of
from visiongarden.data.readers.plain_values import whole
from visiongarden.data.readers.reader import Source
from visiongarden.data.rows import KeypointScheme, Row, upright
from visiongarden.data.sample_table import located_in
from visiongarden.errors import DataError
from visiongarden.samples import masks
from visiongarden.samples.rectangles import canonical
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap, ImageSize, LabelMap

POINTS = "object"
"""Class of the object of the points of an image, in datasets without any other objects."""

_CELLS, _CELLS_PER_POINT = 2**22, 100
"""Limit of the table of keypoints, in which each object has all keypoints of the dataset."""


@dataclass
class Shape:
    """One object as a tool stores it, in pixels.

    Attributes:
        where: File and line, or record.
        name: Class name.
        box: xyxy, or center x, center y, width, height, angle of a rotated box; by default the box
            around the polygons or the visible points.
        polygons: Polygons of the mask, each float64 (n, 2).
        points: Keypoints by name: x, y, visibility 0, 1 or 2.
        extra: Keys of the object that visiongarden does not use.
    """

    where: str
    name: str
    box: Sequence[float] = ()
    polygons: list[np.ndarray] = field(default_factory=list)
    points: dict[str, Sequence[float]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class Picture:
    """One image as a tool describes it.

    Attributes:
        where: File, with the line or the number of the record.
        file: Annotation file, to whose folder `name` is relative.
        name: Name of the image in the file; may contain folders.
        size: Height and width in the file; None or 0 if not known.
        shapes: Objects that could be parsed.
        tags: Labels of the whole image; None if nobody has labeled the image.
        extra: Keys of the image that visiongarden does not use.
        given: Number of objects in the file, including those that could not be parsed.
        loose: Points that the file assigns to no object, each a shape with one point.
        path: Location of the image, if it is known; by default it is searched by its name.
        problems: Errors, as (where, what, kind).
        notes: Number of labels of each type that is not read, or is read in an unexpected way.
    """

    where: str
    file: Place
    name: str
    size: tuple[Any, Any] = (None, None)
    shapes: list[Shape] = field(default_factory=list)
    tags: list[str] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    given: int = 0
    loose: list[Shape] = field(default_factory=list)
    path: Place | None = None
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, where: str, what: str, kind: str = "label") -> None:
        """Add an error, which is reported with the split to which the image belongs."""
        self.problems.append((where, what, kind))


def dataset_of(
    source: Source,
    split: str,
    pictures: Sequence[Picture],
    others: Iterable[Picture] = (),
    names: Sequence[str] = (),
    skeleton: Sequence[tuple[str, str]] = (),
) -> Dataset:
    """Return the dataset of the pictures of one split.

    Args:
        source: Dataset that is read.
        split: Name of the split.
        pictures: Images of the split.
        others: Images of the other splits, which have the same classes and the same type of boxes.
        names: Class names in the order of the file, if the format defines one.
        skeleton: Names of the two keypoints of each edge.

    Raises:
        DataError: No image has a label.
    """
    every = [*pictures, *others]
    _assign_points(every)
    shapes = [shape for picture in every for shape in picture.shapes]
    tags = sorted({tag for picture in every for tag in picture.tags or ()})
    if not shapes and not tags and not names:
        _refuse_without_classes(source, every)
    class_map = _class_map(source, shapes, tags, names)
    label_map = LabelMap(tuple(tags)) if tags and shapes else None
    columns = class_map.names if label_map is None else label_map.names
    scheme = _scheme(source, shapes, skeleton)
    rotated = any(len(shape.box) == 5 for shape in shapes)
    rows, seen, notes = [], set(), Counter[str]()
    for picture in pictures:
        found = _row(source, split, picture, class_map, scheme, rotated, columns if tags else None)
        if found is None:
            continue
        if str(found.path) in seen:
            source.errors.add(picture.where, f"{found.path} appears twice", "listed-twice")
            continue
        seen.add(str(found.path))
        notes += picture.notes
        rows.append(found)
    for what, count in notes.items():
        source.errors.note(str(source.root), f"{count} {what}")
    return Dataset.of_rows(
        class_map,
        rows,
        located_in(source.root),
        scheme,
        split=split,
        root=source.root,
        dropped=source.errors.dropped,
        label_map=label_map,
    )


def _assign_points(pictures: Sequence[Picture]) -> None:
    """Assign loose points to objects if all images of the dataset are unambiguous.

    They are if each image has one object, and no two points of the same name; or if there are no
    objects, so that the points of an image are those of one object. Otherwise they are not read.
    """
    with_points = [picture for picture in pictures if picture.loose]
    alone = not any(picture.shapes for picture in pictures)
    unambiguous = all(_is_unambiguous(picture, alone) for picture in with_points)
    for picture in with_points:
        count = len(picture.loose)
        points = {shape.name: point for shape in picture.loose for point in shape.points.values()}
        if not unambiguous:
            picture.given -= count
            picture.notes["points belong to no object and are not read"] += count
        elif alone:
            first = picture.loose[0].where
            picture.shapes = [Shape(first, POINTS, points=points)]
            picture.notes[f"images have points alone: keypoints of one object {POINTS!r}"] += 1
        else:
            picture.shapes[0].points |= points
            picture.notes["points are keypoints of the only object of their image"] += count


def _is_unambiguous(picture: Picture, alone: bool) -> bool:
    names = [shape.name for shape in picture.loose]
    owned = [*picture.shapes[0].points] if picture.shapes else []
    return len(picture.shapes) == (not alone) and len({*names, *owned}) == len(names) + len(owned)


def _class_map(
    source: Source, shapes: Sequence[Shape], tags: Sequence[str], names: Sequence[str]
) -> ClassMap:
    used = {shape.name for shape in shapes} if shapes else set(tags)
    found = source.class_names or tuple(names) or class_names_in(folder_of(source.root))
    return ClassMap(found or tuple(sorted(used)))


def _refuse_without_classes(source: Source, pictures: Sequence[Picture]) -> None:
    """Raise an error if no class is known, which lists why objects could not be parsed."""
    if source.class_names or class_names_in(folder_of(source.root)):
        return
    for picture in pictures:
        for problem in picture.problems:
            source.errors.add(*problem)
    source.errors.raise_if_any()
    raise DataError(f"{source.root}: no object has a class name")


def _scheme(
    source: Source, shapes: Sequence[Shape], skeleton: Sequence[tuple[str, str]]
) -> KeypointScheme:
    names = tuple(dict.fromkeys(name for shape in shapes for name in shape.points))
    owners = sum(bool(shape.points) for shape in shapes)
    labeled = sum(len(shape.points) for shape in shapes)
    if owners and len(names) * len(shapes) > max(_CELLS, _CELLS_PER_POINT * labeled):
        raise DataError(
            f"{source.root}: the keypoints have {len(names):,} different names",
            rule="the same keypoints for all objects",
            received=f"{', '.join(names[:5])} …",
        )
    place = {name: i for i, name in enumerate(names)}
    edges = tuple((place[a], place[b]) for a, b in skeleton if a in place and b in place)
    return KeypointScheme(names, pairs_of(names), edges)


def _row(
    source: Source,
    split: str,
    picture: Picture,
    class_map: ClassMap,
    scheme: KeypointScheme,
    rotated: bool,
    columns: Sequence[str] | None,
) -> Row | None:
    errors = source.errors
    path = picture.path or find_image(picture.name, picture.file.parent, source.root, split)
    if path is None:
        missing = f"the image {picture.name!r:.200} does not exist in {folder_of(source.root)}"
        if errors.includes(picture.file.parent / last_name(picture.name)):
            errors.add(picture.where, missing, "image")
        return None
    size = size_of(path, errors)
    if size is None:
        return None
    for problem in picture.problems:
        errors.add(*problem)
    if wrong := _wrong_size(picture.size, size):
        errors.add(picture.where, wrong, "size")
        return None
    found = (_label(shape, class_map, scheme, rotated, errors) for shape in picture.shapes)
    labels = [label for label in found if label is not None]
    given = max(picture.given, len(picture.shapes))
    values = None if columns is None else _values(picture, columns, errors)
    try:
        return row(path, size, labels, errors, given, picture.extra, values)
    except RecursionError:
        errors.add(picture.where, "keys are nested too deeply")
        return None


def _label(
    shape: Shape, class_map: ClassMap, scheme: KeypointScheme, rotated: bool, errors: ErrorList
) -> Label | None:
    index = index_of(shape.where, shape.name, class_map, errors)
    if index is None:
        return None
    box: Sequence[float] = shape.box or _around(shape)
    if rotated:
        box = _rotated(box)
    keypoints = None
    if shape.points:
        keypoints = np.array([shape.points.get(name, (0, 0, 0)) for name in scheme.names])
    return Label(
        shape.where,
        box,
        index,
        polygons=tuple(shape.polygons) or None,
        extra=shape.extra,
        keypoints=keypoints,
    )


def index_of(where: str, name: str, class_map: ClassMap, errors: ErrorList) -> int | None:
    """Return the index of a class name; None, after adding an error, if it is not known."""
    errors.ids[name] += 1
    if name not in class_map.by_name:
        known = ", ".join(class_map.names)
        errors.add(where, f"class {name!r:.60} is not in the class map: {known:.200}", "id")
        return None
    return class_map.by_name[name]


def _around(shape: Shape) -> list[float]:
    if shape.polygons:
        return masks.box_of(tuple(shape.polygons))
    seen = [point[:2] for point in shape.points.values() if point[2]]
    return masks.box_of((np.array(seen, np.float64),)) if seen else [0.0] * 4


def _rotated(box: Sequence[float]) -> list[float]:
    if len(box) == 4:
        x1, y1, x2, y2 = box
        box = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, 0.0)
    array = np.array([box], np.float32)
    valid = np.isfinite(array).all() and array[0, 2] > 0 and array[0, 3] > 0
    found: list[float] = canonical(array)[0].tolist() if valid else list(box)
    return found


def _values(picture: Picture, columns: Sequence[str], errors: ErrorList) -> np.ndarray:
    """Return the labels of an image: 1 for its tags, 0 for others, NaN if it is not labeled."""
    if picture.tags is None:
        return np.full(len(columns), np.nan, np.float32)
    for tag in picture.tags:
        if tag not in columns:
            known = ", ".join(columns)
            errors.add(
                picture.where, f"class {tag!r:.60} is not in the class map: {known:.200}", "id"
            )
    return np.array([name in picture.tags for name in columns], np.float32)


def _wrong_size(given: tuple[Any, Any], size: ImageSize) -> str:
    sides = [whole(side) for side in given]
    if not all(sides):  # 0 or a missing value means that the size is not known
        return ""
    return wrong_size(sides, size) if tuple(sides) != tuple(size) else ""


def joined(shapes: Sequence[Shape]) -> Shape:
    """Return one object of several parts: all polygons, and the box around all parts."""
    if len(shapes) == 1:
        return shapes[0]
    first = shapes[0]
    boxes = np.array([_upright(shape.box or _around(shape)) for shape in shapes])
    box = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
    polygons = [polygon for shape in shapes for polygon in shape.polygons]
    points = {name: point for shape in shapes for name, point in shape.points.items()}
    return Shape(first.where, first.name, box, polygons, points, first.extra)


def _upright(box: Sequence[float]) -> Sequence[float]:
    if len(box) == 4:
        return box
    found: list[float] = upright(np.array([box], np.float32))[0].tolist()
    return found
