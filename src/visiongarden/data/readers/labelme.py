"""Reader of labelme: one JSON file per image, with shapes in pixels."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any, ClassVar

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.decoding import decode_bytes
from visiongarden.data.readers.build import MAX_TEXT
from visiongarden.data.readers.geometry import ellipse, numbers, ring
from visiongarden.data.readers.other_tools import tool_of
from visiongarden.data.readers.pictures import Picture, Shape, dataset_of, joined
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.split_files import files_of, split_files
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.samples import masks
from visiongarden.samples.rectangles import fitted
from visiongarden.storage import parse_json
from visiongarden.storage.header import header_of_bytes
from visiongarden.storage.place import Place, read_text_bytes

_TRIED = 20
_ROTATED = ("rotation", "oriented_rectangle")
_LINES = ("line", "linestrip")
_READ = frozenset({"label", "points", "shape_type", "mask"})
_READ_IMAGE = frozenset({"shapes", "imagePath", "imageData", "imageHeight", "imageWidth"})


@register
class Labelme(Reader):
    """labelme: one JSON file per image.

    Rectangles are boxes; polygons, circles and masks are masks. Shapes with the same `group_id` and
    label are the parts of one object, and points with the `group_id` of an object are its
    keypoints. Points without a group belong to the only object of their image. Lines are read as
    the boxes around them. `imageData` is ignored.

    Example:
        >>> Labelme().to_dict()
        {'type': 'Labelme'}
    """

    files: ClassVar[str] = "labelme: one JSON file per image, beside it"
    lists_classes: ClassVar[bool] = False

    def matches(self, source: Source) -> float:
        """Return 0.95 if there is a file that labelme has written."""
        files = split_files(source.root, (".json",))
        tried = [file for group in files.values() for file in group[:_TRIED]]
        return 0.95 if any(tool_of(file) == "Labelme" for file in tried) else 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the folders `train`, `val` and `test`; "train" without them."""
        return tuple(split_files(source.root, (".json",)))

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        files = split_files(source.root, (".json",))
        wanted = files_of(source.root, files, split)
        pictures = [found for file in wanted if (found := _opened(file, source))]
        others = [
            found
            for name, group in files.items()
            if name != split
            for file in group
            if (found := _opened(file, None))
        ]
        return dataset_of(source, split, pictures, others)


def _opened(file: Place, source: Source | None) -> Picture | None:
    """Parse one file; None, after adding an error, if it cannot be parsed."""
    try:
        data = parse_json(read_text_bytes(file, MAX_TEXT), file)
        return _picture(file, data)
    except DataError as error:
        if source is not None:
            source.errors.add_error(error, "unreadable")
        return None


def _picture(file: Place, data: Any) -> Picture:
    if not isinstance(data, dict) or not isinstance(data.get("shapes"), list):
        raise DataError(f"{file}: not a file of labelme", rule="an object with `shapes`")
    name = data.get("imagePath")
    if not isinstance(name, str) or not name:
        raise DataError(f"{file}: `imagePath` is {name!r:.60}; expected the name of the image")
    picture = Picture(
        str(file),
        file,
        name,
        (data.get("imageHeight"), data.get("imageWidth")),
        extra={key: value for key, value in data.items() if key not in _READ_IMAGE and value},
        given=len(data["shapes"]),
    )
    groups: dict[Any, list[tuple[Shape, bool]]] = {}
    for number, item in enumerate(data["shapes"]):
        where = f"{file}: shapes[{number}]"
        shape, is_point = _shape(where, item, picture)
        if shape is None:
            continue
        group = item.get("group_id")
        # A shape without a group is an object of its own.
        key = ("alone", number) if group is None else ("group", repr(group)[:100])
        groups.setdefault(key, []).append((shape, is_point))
    for members in groups.values():
        _add_group(picture, members)
    return picture


def _add_group(picture: Picture, members: list[tuple[Shape, bool]]) -> None:
    """Add the objects of a group: one for each class, of which the only one has the points."""
    by_name: dict[str, list[Shape]] = {}
    for shape, is_point in members:
        if not is_point:
            by_name.setdefault(shape.name, []).append(shape)
    objects = [joined(shapes) for shapes in by_name.values()]
    points = [shape for shape, is_point in members if is_point]
    if points and len(objects) != 1:
        picture.loose += points
    elif points:
        for point in points:
            if point.name in objects[0].points:
                picture.add(point.where, f"its group has two points {point.name!r:.60}")
            objects[0].points |= point.points
    picture.shapes += objects


def _shape(where: str, item: Any, picture: Picture) -> tuple[Shape | None, bool]:
    """Return a shape and whether it is a point; None, after adding an error, if it is invalid."""
    if not isinstance(item, dict):
        picture.add(where, f"the shape is {item!r:.60}; expected an object")
        return None, False
    name, kind = item.get("label"), item.get("shape_type", "polygon")
    if not isinstance(name, str) or not name:
        picture.add(where, f"`label` is {name!r:.60}; expected a class name")
        return None, False
    given = item.get("points")
    pairs = given if isinstance(given, list) else []
    points = [numbers(p, nan=True) if isinstance(p, list) and len(p) == 2 else None for p in pairs]
    if not points or any(point is None for point in points):
        picture.add(where, f"`points` is {given!r:.60}; expected pairs of numbers")
        return None, False
    array = np.array(points, np.float64)
    extra = {key: value for key, value in item.items() if key not in _READ and value}
    shape = Shape(where, name, extra=extra)
    try:
        _fill(shape, kind, array, item, picture)
    except ValueError as error:
        what = error.what if isinstance(error, DataError) else str(error)
        picture.add(where, what, "polygon" if kind == "mask" else "label")
        return None, False
    return shape, kind == "point"


def _fill(shape: Shape, kind: Any, points: np.ndarray, item: Any, picture: Picture) -> None:
    """Set box, polygons or points of a shape.

    Raises:
        ValueError: The number of points is wrong, or the type of the shape is not known.
    """
    counts = {"rectangle": (2, 4), "circle": (2,), "point": (1,), "mask": (2,), "line": (2,)}
    allowed = counts.get(str(kind), (4,) if kind in _ROTATED else ())
    if allowed and len(points) not in allowed:
        expected = " or ".join(map(str, allowed))
        raise ValueError(f"the {kind} has {len(points)} points; expected {expected}")
    if kind == "point":
        shape.points = {shape.name: (*_finite(points)[0].tolist(), 2)}
    elif kind == "rectangle" or kind in _LINES:
        shape.box = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
        if kind in _LINES:
            picture.notes["lines are read as the boxes around them"] += 1
    elif kind in _ROTATED:
        shape.box = fitted(_finite(points)[None])[0].tolist()
    elif kind == "circle":
        (x, y), (u, v) = _finite(points).tolist()
        radius = math.hypot(u - x, v - y)
        shape.box = [x - radius, y - radius, x + radius, y + radius]
        shape.polygons = [ellipse(x, y, radius, radius)]
    elif kind == "mask":
        shape.box, shape.polygons = _mask(shape.where, _finite(points), item.get("mask"))
    elif kind in ("polygon", None):
        polygon = ring(points.tolist())
        if polygon is None:
            raise ValueError(f"the polygon has {len(points)} valid points; expected at least 3")
        shape.polygons = [polygon]
    else:
        raise ValueError(f"the shape type {kind!r:.40} is not known")


def _finite(points: np.ndarray) -> np.ndarray:
    if not np.isfinite(points).all():
        raise ValueError("`points` contains a number that is not finite")
    return points


def _mask(where: str, points: np.ndarray, given: Any) -> tuple[list[float], list[np.ndarray]]:
    """Decode a mask: a PNG, as base64 text, of the pixels from the first to the second point."""
    (x1, y1), (x2, y2) = points.astype(np.int64).tolist()
    size = (y2 - y1 + 1, x2 - x1 + 1)
    try:
        raw = base64.b64decode(given, validate=True)
    except (TypeError, binascii.Error, ValueError) as error:
        raise ValueError(f"`mask` is not base64 text: {error}") from error
    header = header_of_bytes(raw, f"{where}: `mask`")
    if header.size != size:
        raise ValueError(
            f"`mask` has {header.width} × {header.height} pixels, "
            f"its points enclose {size[1]} × {size[0]}"
        )
    pixels = np.asarray(decode_bytes(raw, f"{where}: `mask`").any(axis=2))
    rings = masks.polygons_of(pixels)
    if rings is None:
        raise ValueError("`mask` is empty")
    moved = [polygon + np.array([x1, y1], np.float64) for polygon in rings]
    return masks.box_of(tuple(moved)), moved
