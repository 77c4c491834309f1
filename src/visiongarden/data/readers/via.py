"""Reader of VIA (VGG Image Annotator, version 2): project JSON, and exported JSON or CSV."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from visiongarden.data.dataset import Dataset
from visiongarden.data.readers.build import MAX_TEXT, read_text
from visiongarden.data.readers.geometry import ellipse, ellipse_box, numbers, ring
from visiongarden.data.readers.pictures import Picture, Shape, dataset_of
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.split_files import files_of, tool_files
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.samples import masks
from visiongarden.storage import parse_json
from visiongarden.storage.place import Place, read_text_bytes

_USUAL = ("class", "label", "name", "type", "category", "object", "object_name")
"""Names of attributes that contain the class, if regions have several attributes."""
_ONLY = "object"
"""Class of the regions of a project without attributes."""

Region = tuple[str, Mapping[str, Any], Mapping[str, Any]]
"""Location, shape attributes and region attributes."""


@register
class VIA(Reader):
    """VIA (VGG Image Annotator 2): the project file, or exported annotations as JSON or CSV.

    Rectangles are boxes; polygons, circles and ellipses are masks; a polyline is read as the box
    around it. Points are keypoints of the only object of their image.

    Attributes:
        attribute: Attribute of the regions that contains the class. By default the only attribute,
            or else the one with a usual name, such as "class" or "label".

    Example:
        >>> VIA(attribute="species").to_dict()
        {'type': 'VIA', 'attribute': 'species'}
    """

    files: ClassVar[str] = "VIA (VGG Image Annotator): project JSON, or exported JSON or CSV"
    lists_classes: ClassVar[bool] = False

    attribute: str | None = None

    def matches(self, source: Source) -> float:
        """Return 0.95 if there is a file of VIA."""
        return 0.95 if tool_files(source.root, "VIA", ".json", ".csv") else 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the splits of the files' folders or names; "train" without them."""
        return tuple(tool_files(source.root, "VIA", ".json", ".csv"))

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        files = tool_files(source.root, "VIA", ".json", ".csv")
        files_of(source.root, files, split)
        found = {
            name: [entry for file in group for entry in _entries(file)]
            for name, group in files.items()
        }
        attribute = self._attribute(source, [e for group in found.values() for e in group])
        pictures = {
            name: [_filled(picture, regions, attribute) for picture, regions in group]
            for name, group in found.items()
        }
        others = [p for name, group in pictures.items() if name != split for p in group]
        return dataset_of(source, split, pictures[split], others)

    def _attribute(self, source: Source, entries: list[tuple[Picture, list[Region]]]) -> str | None:
        """Return the attribute with the class; None if regions have no attributes."""
        keys = Counter(key for _, regions in entries for _, _, given in regions for key in given)
        if self.attribute is not None:
            if keys and self.attribute not in keys:
                raise DataError(
                    f"{source.root}: no region has the attribute {self.attribute!r}",
                    rule="an attribute of the regions",
                    received=", ".join(sorted(keys))[:200],
                )
            return self.attribute
        if len(keys) <= 1:
            return next(iter(keys), None)
        usual = [key for key in keys if key.lower() in _USUAL]
        if len(usual) == 1:
            return usual[0]
        first = keys.most_common(1)[0][0]
        raise DataError(
            f"{source.root}: the regions have several attributes, so the class is not clear",
            rule="the attribute that contains the class",
            received=", ".join(sorted(keys))[:200],
            fix=f'reader={{"type": "VIA", "attribute": {first!r:.60}}}',
        )


def _entries(file: Place) -> Iterator[tuple[Picture, list[Region]]]:
    """Iterate over the images of a file, each with its regions."""
    if file.suffix == ".csv":
        yield from _table(file)
        return
    data = parse_json(read_text_bytes(file, MAX_TEXT), file)
    images = data.get("_via_img_metadata", data) if isinstance(data, dict) else data
    rows = list(images.values()) if isinstance(images, dict) else images
    if not isinstance(rows, list):
        raise DataError(f"{file}: not a file of VIA", rule="an object with one entry per image")
    for number, row in enumerate(rows):
        where = f"{file}: image {number + 1}"
        name = row.get("filename") if isinstance(row, dict) else None
        if not isinstance(name, str) or not name:
            raise DataError(f"{where} has no `filename`", received=f"{row!r:.80}")
        extra = row.get("file_attributes")
        picture = Picture(f"{where} ({name:.100})", file, name, extra=_extra(extra))
        given = row.get("regions") or []
        regions = list(given.values()) if isinstance(given, dict) else given  # version 1: a dict
        if not isinstance(regions, list):
            picture.add(where, f"`regions` is {regions!r:.60}; expected a list")
            regions = []
        yield picture, list(_regions(picture, regions))


def _regions(picture: Picture, regions: list[Any]) -> Iterator[Region]:
    picture.given = len(regions)
    for place, region in enumerate(regions):
        where = f"{picture.where}: regions[{place}]"
        shape = region.get("shape_attributes") if isinstance(region, dict) else None
        attributes = region.get("region_attributes", {}) if isinstance(region, dict) else None
        if not isinstance(shape, dict) or not isinstance(attributes, dict):
            picture.add(where, f"the region is {region!r:.60}; expected an object with a shape")
            continue
        yield where, shape, attributes


def _table(file: Place) -> Iterator[tuple[Picture, list[Region]]]:
    """Iterate over the images of an exported CSV: one line per region, with JSON in its cells."""
    reader = csv.DictReader(io.StringIO(read_text(file), newline=""), restval="")
    images: dict[str, tuple[Picture, list[Region]]] = {}
    try:
        for row in reader:
            cells = {str(key).lstrip("#").strip(): value for key, value in row.items()}
            where, name = f"{file}:{reader.line_num}", cells.get("filename")
            if not isinstance(name, str) or not name:
                raise DataError(f"{where}: the line has no filename")
            if name not in images:
                extra = _cell(where, cells, "file_attributes")
                images[name] = (Picture(where, file, name, extra=_extra(extra)), [])
            picture, regions = images[name]
            shape = _cell(where, cells, "region_shape_attributes")
            attributes = _cell(where, cells, "region_attributes")
            if shape:  # an image without regions has an empty one
                picture.given += 1
                regions.append((where, shape, attributes))
    except csv.Error as error:
        raise DataError(
            f"{file}:{reader.line_num}: the line is not valid CSV", received=str(error)
        ) from error
    yield from images.values()


def _cell(where: str, cells: Mapping[str, Any], key: str) -> dict[str, Any]:
    text = cells.get(key) or "{}"
    found = parse_json(str(text).encode("utf-8", "replace"), f"{where}: {key}")
    if not isinstance(found, dict):
        raise DataError(f"{where}: `{key}` is {text!r:.60}; expected an object")
    return found


def _extra(given: Any) -> dict[str, Any]:
    return {"file_attributes": given} if isinstance(given, dict) and given else {}


def _filled(picture: Picture, regions: list[Region], attribute: str | None) -> Picture:
    for where, values, given in regions:
        name = _class_of(given, attribute)
        if name is None:
            picture.add(where, f"the region has no class in {attribute!r:.60}: {dict(given)!r:.80}")
            continue
        extra = {key: value for key, value in given.items() if key != attribute}
        shape = Shape(where, name, extra={"region_attributes": extra} if extra else {})
        try:
            _fill(shape, values, picture)
        except ValueError as error:
            picture.add(where, str(error))
            continue
        (picture.loose if shape.points else picture.shapes).append(shape)
    return picture


def _class_of(given: Mapping[str, Any], attribute: str | None) -> str | None:
    """Return the class of a region: a text, or the only option of a checkbox that is set."""
    if attribute is None:
        return _ONLY
    value = given.get(attribute)
    if isinstance(value, dict):
        chosen = [option for option, is_set in value.items() if is_set]
        value = chosen[0] if len(chosen) == 1 else None
    return value.strip() or None if isinstance(value, str) else None


def _fill(shape: Shape, values: Mapping[str, Any], picture: Picture) -> None:
    """Set the box and polygons of a region.

    Raises:
        ValueError: A value is missing or not valid.
    """
    kind = values.get("name")

    def found(*keys: str, nan: bool = False) -> list[float]:
        numbers_found = numbers([values.get(key) for key in keys], nan=nan)
        if numbers_found is None:
            given = ", ".join(f"{key}: {values.get(key)!r:.20}" for key in keys)
            raise ValueError(f"the {kind} has {given}; expected numbers")
        return numbers_found

    if kind == "point":
        shape.points = {shape.name: (*found("cx", "cy"), 2)}
    elif kind == "rect":
        x, y, w, h = found("x", "y", "width", "height", nan=True)
        shape.box = (x, y, x + w, y + h)
    elif kind == "circle":
        x, y, r = found("cx", "cy", "r")
        shape.box, shape.polygons = (x - r, y - r, x + r, y + r), [ellipse(x, y, r, r)]
    elif kind == "ellipse":
        x, y, rx, ry = found("cx", "cy", "rx", "ry")
        theta = math.degrees(found("theta")[0]) if "theta" in values else 0.0
        shape.box = ellipse_box(x, y, rx, ry, theta)
        shape.polygons = [ellipse(x, y, rx, ry, theta)]
    elif kind in ("polygon", "polyline"):
        xs, ys = values.get("all_points_x"), values.get("all_points_y")
        pairs = (
            [[x, y] for x, y in zip(xs, ys, strict=True)]
            if isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys)
            else None
        )
        if kind == "polyline" and pairs is not None and len(pairs) == 2:
            pairs = [*pairs, pairs[0]]
        polygon = ring(pairs)
        if polygon is None:
            raise ValueError(f"the {kind} has no lists of at least three x and y of equal length")
        if kind == "polygon":
            shape.polygons = [polygon]
        else:
            shape.box = masks.box_of((polygon,))
            picture.notes["polylines are read as the boxes around them"] += 1
    else:
        raise ValueError(f"the shape {kind!r:.40} is not known")
