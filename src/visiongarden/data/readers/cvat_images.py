"""Reader of "CVAT for images 1.1": one XML file with the shapes of all images, in pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.readers.build import no_split
from visiongarden.data.readers.geometry import MAX_MASK, ellipse, ellipse_box, numbers, ring
from visiongarden.data.readers.image_search import find_image
from visiongarden.data.readers.pictures import Picture, Shape, dataset_of, joined
from visiongarden.data.readers.plain_values import whole
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.split_files import tool_files
from visiongarden.data.readers.split_names import SPLIT_OF
from visiongarden.data.readers.xml_tree import Element, parse_xml
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.samples import masks
from visiongarden.storage.place import Place

_MAX_BYTES = 64 * 2**20
_EDGE = re.compile(r'data-node-from="(\d{1,6})"[^>]*?data-node-to="(\d{1,6})"')
_NODE = re.compile(r"<circle[^>]*>")
_KEPT = ("occluded", "source", "z_order", "group_id")
"""Attributes of a shape that are passed on to writers."""

Labels = list[tuple[str, str, str]]
"""Name, type and parent of each label of the project."""


@register
class CVATImages(Reader):
    """CVAT for images 1.1: `annotations.xml` with `images/`.

    Boxes (also rotated), polygons, ellipses and masks are objects; polygons and masks with the same
    group and label are the parts of one object. A skeleton is an object with keypoints, and so is a
    shape of several points. Tags are labels of the image. `subset` divides a project into splits.
    Attributes are kept as unknown keys. Polylines are read as the boxes around them; cuboids are
    not read.

    Example:
        >>> CVATImages().to_dict()
        {'type': 'CVATImages'}
    """

    files: ClassVar[str] = "CVAT for images 1.1: annotations.xml with images/"

    def matches(self, source: Source) -> float:
        """Return 0.95 if there is an XML file of CVAT."""
        return 0.95 if tool_files(source.root, "CVATImages", ".xml") else 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the subsets, or the splits of the files' folders or names."""
        return tuple(dict.fromkeys(name for name, _ in _images(source, [], [])))

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        labels: Labels = []
        edges: list[tuple[str, str]] = []
        found = [(name, _picture(*image)) for name, image in _images(source, labels, edges)]
        splits = {name for name, _ in found}
        if split not in splits:
            raise no_split(source.root, split, splits)
        pictures = [picture for name, picture in found if name == split]
        others = [picture for name, picture in found if name != split]
        with_shapes = any(picture.shapes for _, picture in found)
        names = dict.fromkeys(
            name
            for name, kind, parent in labels
            if not parent and (kind != "tag" if with_shapes else kind in ("tag", "any", ""))
        )
        for picture in [*pictures, *others]:
            _find(picture, source)
        return dataset_of(source, split, pictures, others, tuple(names), edges)


def _find(picture: Picture, source: Source) -> None:
    """Look for an image in the folder of its subset, where a project's export has it."""
    subset = picture.extra.get("subset")
    near = picture.file.parent
    if subset and find_image(picture.name, near, source.root) is None:
        inner = f"{subset}/{picture.name}"
        picture.name = inner if find_image(inner, near, source.root) is not None else picture.name


def _images(
    source: Source, labels: Labels, edges: list[tuple[str, str]]
) -> Iterator[tuple[str, tuple[Place, Element]]]:
    """Iterate over the images of all files, each with the name of its split.

    Args:
        source: Dataset that is read.
        labels: List to which the labels of the project are added.
        edges: List to which the edges of skeletons are added.
    """
    for split, files in tool_files(source.root, "CVATImages", ".xml").items():
        for file in files:
            tree = parse_xml(file, _MAX_BYTES)
            if tree.tag != "annotations":
                raise DataError(f"{file}: not a file of CVAT", rule="the root <annotations>")
            _add_labels(tree, labels, edges)
            for image in tree.children:
                if image.tag == "image":
                    subset = image.attributes.get("subset", "").lower()
                    # CVAT names the subset of images that are in none "default".
                    own = split if subset in ("", "default") else SPLIT_OF.get(subset, subset)
                    yield own, (file, image)


def _add_labels(tree: Element, labels: Labels, edges: list[tuple[str, str]]) -> None:
    meta = tree.child("meta")
    for owner in meta.children if meta is not None else ():
        found = owner.child("labels")
        for label in found.children if found is not None else ():
            name = label.text_of("name")
            if name:
                labels.append((name, label.text_of("type"), label.text_of("parent")))
            edges += _edges(label.text_of("svg"))


def _edges(svg: str) -> list[tuple[str, str]]:
    """Return the names of the two points of each edge in the drawing of a skeleton."""
    names = {}
    for node in _NODE.findall(svg[:100_000]):
        number = re.search(r'data-node-id="(\d{1,6})"', node)
        name = re.search(r'data-label-name="([^"]*)"', node)
        if number and name:
            names[number[1]] = name[1]
    pairs = _EDGE.findall(svg[:100_000])
    return [(names[a], names[b]) for a, b in pairs if a in names and b in names]


def _picture(file: Place, image: Element) -> Picture:
    given = image.attributes
    where = f"{file}:{image.line}"
    if not given.get("name"):
        raise DataError(f"{where}: the image has no name")
    size = (given.get("height"), given.get("width"))
    extra = {key: value for key, value in given.items() if key not in ("name", "width", "height")}
    picture = Picture(where, file, given["name"], size, extra=extra)
    groups: dict[Any, list[Shape]] = {}
    tags = [item.attributes.get("label", "") for item in image.children if item.tag == "tag"]
    # An image without any annotation is not labeled: its tags are unknown.
    picture.tags = tags if image.children else None
    for number, item in enumerate(image.children):
        if item.tag == "tag":
            continue
        if item.tag == "cuboid":
            picture.notes["cuboids are not read"] += 1
            continue
        picture.given += 1
        shape = _shape(f"{file}:{item.line}", item, picture)
        if shape is not None and item.tag == "points" and len(shape.points) == 1:
            (point,) = shape.points.values()
            shape.points = {shape.name: point}
            picture.loose.append(shape)
        elif shape is not None:
            group = _text(item, "group_id")
            is_part = item.tag in ("polygon", "mask", "ellipse") and group not in ("", "0")
            groups.setdefault((group, shape.name) if is_part else number, []).append(shape)
    picture.shapes = [joined(shapes) for shapes in groups.values()]
    return picture


def _text(item: Element, key: str) -> str:
    return item.attributes.get(key, "")


def _shape(where: str, item: Element, picture: Picture) -> Shape | None:
    """Return an object; None, after adding an error, if it is not valid."""
    name = _text(item, "label")
    if not name:
        picture.add(where, f"the {item.tag} has no label")
        return None
    extra: dict[str, Any] = {
        key: item.attributes[key]
        for key in _KEPT
        if key in item.attributes and item.attributes[key] not in ("", "0")
    }
    attributes = {
        _text(child, "name"): child.text.strip()
        for child in item.children
        if child.tag == "attribute"
    }
    if attributes:
        extra["attributes"] = attributes
    shape = Shape(where, name, extra=extra)
    try:
        _fill(shape, item, picture)
    except ValueError as error:
        picture.add(where, str(error))
        return None
    return shape


def _fill(shape: Shape, item: Element, picture: Picture) -> None:
    """Set the box, polygons or points of a shape.

    Raises:
        ValueError: A value is missing or not valid.
    """
    if item.tag == "box":
        x1, y1, x2, y2 = _numbers(item, ("xtl", "ytl", "xbr", "ybr"), nan=True)
        angle = _angle(item)
        turned = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, angle)
        shape.box = turned if angle % 360 else (x1, y1, x2, y2)
    elif item.tag == "ellipse":
        x, y, rx, ry = _numbers(item, ("cx", "cy", "rx", "ry"))
        angle = _angle(item)
        shape.box = ellipse_box(x, y, rx, ry, angle)
        shape.polygons = [ellipse(x, y, rx, ry, angle)]
    elif item.tag in ("polygon", "polyline"):
        points = _points(item)
        if item.tag == "polyline" and len(points) > 1:
            shape.box = masks.box_of((np.array(points),))
            picture.notes["polylines are read as the boxes around them"] += 1
            return
        polygon = ring(points)
        if polygon is None:
            raise ValueError(f"the {item.tag} has {len(points)} points; expected at least 3")
        shape.polygons = [polygon]
    elif item.tag == "mask":
        shape.polygons = _mask(item)
    elif item.tag == "points":
        shape.points = {str(i): (*p, 2) for i, p in enumerate(_points(item), start=1)}
    elif item.tag == "skeleton":
        shape.points = _skeleton(item)
    else:
        raise ValueError(f"the shape {item.tag!r:.40} is not known")


def _numbers(item: Element, keys: Sequence[str], nan: bool = False) -> list[float]:
    found = numbers([_text(item, key) for key in keys], nan=nan)
    if found is None:
        given = ", ".join(f"{key}: {_text(item, key)!r:.20}" for key in keys)
        raise ValueError(f"the {item.tag} has {given}; expected numbers")
    return found


def _angle(item: Element) -> float:
    return _numbers(item, ("rotation",))[0] if _text(item, "rotation") else 0.0


def _points(item: Element) -> list[list[float]]:
    pairs = [pair.split(",") for pair in _text(item, "points").split(";")]
    found = [numbers(pair) if len(pair) == 2 else None for pair in pairs]
    points = [point for point in found if point is not None]
    if len(points) < len(pairs):
        raise ValueError(
            f"`points` of the {item.tag} is {_text(item, 'points')!r:.60}; expected x,y;x,y;…"
        )
    return points


def _skeleton(item: Element) -> dict[str, Sequence[float]]:
    """Return the keypoints of a skeleton: outside is 0, occluded 1, visible 2."""
    found: dict[str, Sequence[float]] = {}
    for child in item.children:
        if child.tag != "points":
            continue
        name = _text(child, "label")
        points = _points(child)
        if not name or name in found or len(points) != 1:
            raise ValueError(f"the point {name!r:.40} of the skeleton is not valid or occurs twice")
        if _text(child, "outside") == "1":
            found[name] = (0.0, 0.0, 0)
        else:
            found[name] = (*points[0], 1 if _text(child, "occluded") == "1" else 2)
    if not any(point[2] for point in found.values()):
        raise ValueError("the skeleton has no visible point")
    return found


def _mask(item: Element) -> list[np.ndarray]:
    """Decode a mask: run lengths of its rectangle, row by row, starting with background."""
    left, top, width, height = (
        whole(_text(item, key)) for key in ("left", "top", "width", "height")
    )
    if left is None or top is None or not width or not height or min(width, height) < 1:
        raise ValueError("the mask has no valid left, top, width and height")
    if width * height > MAX_MASK or max(abs(left), abs(top)) > MAX_MASK:
        raise ValueError(f"the mask has {width} × {height} pixels; expected at most {MAX_MASK:,}")
    runs = [whole(text) for text in _text(item, "rle").split(",")]
    counts = [run for run in runs if run is not None and 0 <= run <= width * height]
    if len(counts) < len(runs) or sum(counts) != width * height:
        raise ValueError(f"the run lengths do not fill {width} × {height} pixels exactly")
    values = np.arange(len(counts)) % 2 == 1
    rings = masks.polygons_of(np.repeat(values, counts).reshape(height, width))
    if rings is None:
        raise ValueError("the mask is empty")
    return [polygon + np.array([left, top], np.float64) for polygon in rings]
