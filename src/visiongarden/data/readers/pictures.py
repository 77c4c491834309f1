"""`Picture`: one image as a labeling tool describes it, and the dataset of such images.

The readers of labeling tools turn a file into pictures; all that these formats share is here: where
images are located, class names, rotated boxes, keypoints by name, and labels of whole images.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList, wrong_size
from visiongarden.data.readers.build import (
    Label,
    class_names_in,
    names_in,
    no_split,
    row,
    size_of,
)
from visiongarden.data.readers.keypoint_scheme import pairs_of
from visiongarden.data.readers.other_tools import tool_of
from visiongarden.data.readers.plain_values import whole
from visiongarden.data.readers.reader import Source
from visiongarden.data.rows import KeypointScheme, Row
from visiongarden.data.sample_table import located_in
from visiongarden.errors import DataError
from visiongarden.samples import masks
from visiongarden.samples.rectangles import canonical
from visiongarden.storage.place import Place
from visiongarden.types import ClassMap, ImageSize, LabelMap

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Split of each usual name of a folder or file."""

MAX_NUMBER = 1e9
"""Coordinates beyond this are errors; float32 could not represent their pixels."""

MAX_MASK = 2**26
"""Maximum number of pixels of a mask: a few bytes of run lengths fill it."""

POINTS = "object"
"""Class of the object of the points of an image, in datasets without any other objects."""

_SUFFIXES = 8
"""Number of folders in front of a file name that are compared with those of the dataset."""

_CELLS, _CELLS_PER_POINT = 2**22, 100
"""Limit of the table of keypoints, in which each object has all keypoints of the dataset."""

_MANY, _TRIED = 100, 20
"""Of a folder with more than `_MANY` files, the first `_TRIED` are opened to recognize a tool."""

_INNER = ("", "images", "annotations", "labels")
"""Folders, inside a dataset or a split, in which annotation files are searched."""


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


def folder_of(root: Place) -> Place:
    """Return the folder of a dataset whose root may be a file."""
    return root.parent if root.is_file() else root


def last_name(name: str) -> str:
    """Return the last component of a path written on any system."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]


def image_folders(near: Place, root: Place, split: str = "") -> list[Place]:
    """Return the folders in which images are searched, the most likely first.

    Args:
        near: Folder of the annotation file.
        root: Root of the dataset, a folder or file.
        split: Name of the split, which may be the name of a folder of images.
    """
    top = folder_of(root)
    folders = [near, near / "images", top, top / "images"]
    if split:
        folders += [top / split, top / "images" / split]
    return list(dict.fromkeys(folders))


def find_image(name: str, near: Place, root: Place, split: str = "") -> Place | None:
    r"""Return the location of an image inside a dataset; None if it does not exist.

    Folders in front of the name are those of the computer on which the labels were made: the
    longest end of the path that exists in the dataset counts. No path leaves the dataset.

    Args:
        name: Path in the annotation file; backslashes may separate folders.
        near: Folder of the annotation file.
        root: Root of the dataset, a folder or file.
        split: Name of the split, which may be the name of a folder of images.
    """
    top, folders = folder_of(root), image_folders(near, root, split)
    path = re.sub(r"^[A-Za-z]:", "", name).replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    try:
        if "\\" in name and "/" not in name and (near / name).is_file():
            return near / name
        for first in range(max(0, len(parts) - _SUFFIXES), len(parts)):
            for folder in folders:
                place = _inside(folder, parts[first:], top)
                if place is not None and place.is_file():
                    return place
    except (OSError, ValueError):  # a name that is too long, or has a null character
        return None
    return None


def _inside(folder: Place, parts: Sequence[str], top: Place) -> Place | None:
    """Return a path relative to a folder; None if it leaves the dataset."""
    place: Any = folder
    for part in parts:
        if part != "..":
            place = place / part
        elif place == top:
            return None
        else:
            place = place.parent
    return place


def tool_files(root: Place, tool: str, *suffixes: str) -> dict[str, list[Place]]:
    """Return the files of each split that start as those of a labeling tool do.

    Args:
        root: Folder, or a single file.
        tool: Name of the tool's reader.
        suffixes: Suffixes of its files.
    """
    return split_files(
        root, lambda name: name.endswith(suffixes), is_own=lambda file: tool_of(file) == tool
    )


def split_files(
    root: Place,
    wanted: Callable[[str], bool],
    inner: Sequence[str] = _INNER,
    is_own: Callable[[Place], bool] | None = None,
) -> dict[str, list[Place]]:
    """Return the annotation files of each split.

    Splits are folders (`train`, `valid` or `val`, `test`), or files with these names. Without
    either, all files are those of `train`.

    Args:
        root: Folder, or a single file.
        wanted: Whether a name is that of an annotation file.
        inner: Folders, in the root or in the folder of a split, that contain annotation files.
        is_own: Whether the content of a file is that of the format. In a folder of many files, none
            is opened if the first of them are not.
    """
    if root.is_file():
        return {"train": [root]} if wanted(root.name) and (is_own is None or is_own(root)) else {}
    found: dict[str, list[Place]] = {}
    for name, split in SPLITS.items():
        files = _in_folders(root / name, wanted, inner, is_own)
        files += [
            file
            for folder in inner
            if folder
            for file in _in_folders(root / folder / name, wanted, ("",), is_own)
        ]
        if files:
            found.setdefault(split, []).extend(files)
    if found:
        return found
    files = _in_folders(root, wanted, inner, is_own)
    if files and all(file.stem in SPLITS for file in files):
        for file in files:
            found.setdefault(SPLITS[file.stem], []).append(file)
        return found
    return {"train": files} if files else {}


def _in_folders(
    top: Place,
    wanted: Callable[[str], bool],
    inner: Sequence[str],
    is_own: Callable[[Place], bool] | None,
) -> list[Place]:
    found: list[Place] = []
    for folder in [top / name if name else top for name in inner]:
        files = [folder / name for name in names_in(folder) if wanted(name)]
        if is_own is not None and len(files) > _MANY and not any(map(is_own, files[:_TRIED])):
            continue
        found += files if is_own is None else filter(is_own, files)
    return found


def files_of(root: Place, files: Mapping[str, list[Place]], split: str) -> list[Place]:
    """Return the files of one split.

    Raises:
        DataError: The split does not exist.
    """
    if split not in files:
        raise no_split(root, split, files)
    return files[split]


def numbers(values: Any, nan: bool = False) -> list[float] | None:
    """Return numbers from a file as floats; None if one is not a number or too large.

    Args:
        values: List of numbers, or of texts of numbers.
        nan: Whether NaN is allowed, which the check of boxes reports.
    """
    found = []
    for value in values:
        if isinstance(value, str) and len(value) < 40:
            try:
                value = float(value)
            except ValueError:
                return None
        if type(value) not in (int, float):
            return None
        if not (abs(value) < MAX_NUMBER or (nan and value != value)):
            return None
        found.append(float(value))
    return found


def ring(points: Any) -> np.ndarray | None:
    """Return a polygon float64 (n, 2) from pairs of numbers; None if it is not valid."""
    if not isinstance(points, list) or len(points) < 3:
        return None
    pairs = [
        numbers(point) if isinstance(point, list) and len(point) == 2 else None for point in points
    ]
    return None if any(pair is None for pair in pairs) else np.array(pairs, np.float64)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> np.ndarray:
    """Return the polygon of 64 points on an ellipse, float64 (64, 2).

    Args:
        x: Center.
        y: Center.
        rx: Radius along the angle.
        ry: Radius across it.
        angle: In degrees, from the x axis to the y axis, which is clockwise on the screen.
    """
    t = np.arange(64) * (2 * np.pi / 64)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    u, v = rx * np.cos(t), ry * np.sin(t)
    return np.stack([x + u * cos - v * sin, y + u * sin + v * cos], axis=1)


def ellipse_box(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> list[float]:
    """Return the xyxy box around an ellipse, whose arguments are those of `ellipse`."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    w, h = float(np.hypot(rx * cos, ry * sin)), float(np.hypot(rx * sin, ry * cos))
    return [x - w, y - h, x + w, y + h]


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
    from visiongarden.data.rows import upright

    found: list[float] = upright(np.array([box], np.float32))[0].tolist()
    return found
