"""Reader of Label Studio's JSON and JSON-MIN exports; coordinates are percentages of the image."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import unquote

from visiongarden.data.dataset import Dataset
from visiongarden.data.readers.brush_masks import brush_mask
from visiongarden.data.readers.build import MAX_TEXT
from visiongarden.data.readers.geometry import ellipse, ellipse_box, numbers, ring
from visiongarden.data.readers.image_search import find_image, last_name
from visiongarden.data.readers.pictures import Picture, Shape, dataset_of
from visiongarden.data.readers.plain_values import whole
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.readers.split_files import files_of, tool_files
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.samples import masks
from visiongarden.storage import parse_json
from visiongarden.storage.place import Place, read_text_bytes
from visiongarden.types import ImageSize

_IMAGE_KEYS = ("image", "img", "image_url", "url", "path", "file_name", "filename")
_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_UPLOADED = re.compile(r"[0-9a-f]{8}-")
"""Label Studio puts random digits in front of the name of an uploaded file."""
_GEOMETRY = frozenset(
    {"x", "y", "width", "height", "rotation", "points", "rle", "radiusX", "radiusY"}
)

Task = Mapping[str, Any]
Item = Mapping[str, Any]


@register
class LabelStudio(Reader):
    """Label Studio: the JSON or JSON-MIN export beside the images.

    Rectangles (also rotated), polygons, ellipses and brushes are objects; keypoints belong to the
    object whose regions they are (`parentID`), or to the only object of their image; choices are
    labels of the image. If a task has several annotations, the one marked as ground truth is read,
    or else the last one; cancelled annotations are skipped. Images are found by the end of their
    path, with or without the digits that Label Studio puts in front of an uploaded file.

    Example:
        >>> LabelStudio().to_dict()
        {'type': 'LabelStudio'}
    """

    files: ClassVar[str] = "Label Studio: the JSON or JSON-MIN export"
    lists_classes: ClassVar[bool] = False

    def matches(self, source: Source) -> float:
        """Return 0.95 if there is a JSON export."""
        return 0.95 if tool_files(source.root, "LabelStudio", ".json") else 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the splits of the files' folders or names; "train" without them."""
        return tuple(tool_files(source.root, "LabelStudio", ".json"))

    def read(self, source: Source, split: str) -> Dataset:
        """Return one split."""
        files = tool_files(source.root, "LabelStudio", ".json")
        found = {
            name: [picture for file in group for picture in _pictures(file, source)]
            for name, group in files.items()
        }
        files_of(source.root, files, split)
        others = [p for name, group in found.items() if name != split for p in group]
        return dataset_of(source, split, found[split], others)


def _pictures(file: Place, source: Source) -> Iterator[Picture]:
    tasks = parse_json(read_text_bytes(file, MAX_TEXT), file)
    if isinstance(tasks, dict):
        tasks = [tasks]
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise DataError(f"{file}: not an export of Label Studio", rule="a list of tasks")
    full = [task for task in tasks if _annotations(task) is not None]
    if len(full) == len(tasks):
        parsed = [_picture(file, number, task) for number, task in enumerate(tasks)]
    else:
        parsed = [_picture(file, number, task) for number, task in _of_min(file, tasks)]
    several = len({field for _, choices in parsed for field, _ in choices}) > 1
    for picture, choices in parsed:
        if choices:
            picture.tags = [f"{field}: {name}" if several else name for field, name in choices]
        picture.name = _located(picture, source)
        yield picture


def _annotations(task: Task) -> list[Any] | None:
    given = task.get("annotations", task.get("completions"))
    return given if isinstance(given, list) else None


def _of_min(file: Place, tasks: list[Task]) -> Iterator[tuple[int, Task]]:
    """Convert the rows of JSON-MIN to tasks; the rows of one task are its annotations."""
    grouped: dict[Any, list[tuple[int, Task]]] = {}
    for number, row in enumerate(tasks):
        # Without an id each row is a task.
        key = repr(row["id"])[:100] if "id" in row else ("row", number)
        grouped.setdefault(key, []).append((number, row))
    for rows in grouped.values():
        annotations = [
            {
                "result": list(_results_of_min(row)),
                "updated_at": row.get("updated_at"),
                "created_at": row.get("created_at"),
            }
            for _, row in rows
        ]
        number, first = rows[0]
        yield number, {"data": first, "id": first.get("id"), "annotations": annotations}


def _results_of_min(row: Task) -> Iterator[Item]:
    for name, value in row.items():
        if isinstance(value, list):
            for item in value:
                if isinstance(item, dict) and _GEOMETRY & item.keys():
                    yield {
                        "from_name": name,
                        "value": item,
                        "original_width": item.get("original_width"),
                        "original_height": item.get("original_height"),
                        "image_rotation": item.get("image_rotation"),
                    }
        elif isinstance(value, dict) and isinstance(value.get("choices"), list):
            yield {"from_name": name, "type": "choices", "value": value}
        elif isinstance(value, str) and name in ("choice", "choices"):
            yield {"from_name": name, "type": "choices", "value": {"choices": [value]}}


def _picture(file: Place, number: int, task: Task) -> tuple[Picture, list[tuple[str, str]]]:
    """Return the image of a task and its choices, as pairs of field and value."""
    where = f"{file}: task {task.get('id', number)!r:.40}"
    picture = Picture(where, file, _image_name(where, task))
    chosen = _chosen(task, picture)
    if chosen is None:
        return picture, []
    result = chosen.get("result")
    if not isinstance(result, list):
        picture.add(where, f"`result` is {result!r:.60}; expected a list")
        return picture, []
    picture.tags = []
    choices: list[tuple[str, str]] = []
    regions: dict[Any, list[Item]] = {}
    for place, item in enumerate(result):
        if not isinstance(item, dict) or not isinstance(item.get("value", {}), dict):
            picture.add(f"{where}: result[{place}]", f"the result is {item!r:.60}")
            continue
        value = item.get("value", {})
        if isinstance(value.get("choices"), list) and not _GEOMETRY & value.keys():
            field = str(item.get("from_name", "choice"))
            choices += [(field, str(name)) for name in value["choices"]]
        elif _GEOMETRY & value.keys():
            # A region and its label may be two results with the same id.
            region = repr(item["id"])[:100] if item.get("id") is not None else ("result", place)
            regions.setdefault(region, []).append(item)
        else:
            kind = str(item.get("type", "unknown"))[:40]
            picture.notes[f"results of the type {kind!r} are not read"] += 1
    _add_regions(picture, regions)
    return picture, choices


def _chosen(task: Task, picture: Picture) -> Item | None:
    """Return the annotation of a task that is read; None if nobody has labeled it."""
    given = [a for a in _annotations(task) or [] if isinstance(a, dict)]
    valid = [a for a in given if not a.get("was_cancelled") and not a.get("skipped")]
    if len(valid) < len(given):
        picture.notes["annotations were cancelled and are not read"] += len(given) - len(valid)
    if not valid:
        return None
    if len(valid) > 1:
        picture.notes[
            "tasks have several annotations; the ground truth, or else the last one, is read"
        ] += 1

    def rank(pair: tuple[int, Item]) -> tuple[bool, str, int]:
        place, item = pair
        changed = item.get("updated_at") or item.get("created_at") or ""
        return item.get("ground_truth") is True, str(changed), place

    return max(enumerate(valid), key=rank)[1]


def _image_name(where: str, task: Task) -> str:
    data = task.get("data")
    data = data if isinstance(data, dict) else {}
    texts = {key: value for key, value in data.items() if isinstance(value, str) and value}
    names = [texts[key] for key in _IMAGE_KEYS if key in texts]
    names += [text for text in texts.values() if text.lower().endswith(_ENDINGS)]
    if not names:
        raise DataError(f"{where}: the task has no image", rule="`image` in its data")
    return names[0]


def _located(picture: Picture, source: Source) -> str:
    """Return the path of a task's image, without what Label Studio adds to it."""
    name = picture.name
    if "?d=" in name:  # /data/local-files/?d=folder/a.jpg
        name = unquote(name.partition("?d=")[2])
    elif "://" in name:
        name = unquote(name.partition("://")[2].partition("?")[0])
    last = last_name(name)
    # Names in URLs are quoted, and uploaded files have a prefix that the user's files lack.
    for text in (
        name,
        unquote(name),
        *(_UPLOADED.sub("", n, count=1) for n in (last, unquote(last))),
    ):
        if find_image(text, picture.file.parent, source.root) is not None:
            return text
    return name


def _add_regions(picture: Picture, regions: Mapping[Any, list[Item]]) -> None:
    """Add the objects of an annotation, with the keypoints whose parents they are."""
    shapes: dict[Any, Shape] = {}
    points: list[tuple[Any, Shape]] = []
    for key, items in regions.items():
        where = f"{picture.where}: region {str(key).strip(chr(39))}"
        picture.given += 1
        shape = _shape(where, items, picture)
        if shape is None:
            continue
        if shape.points:
            parent = next((i["parentID"] for i in items if i.get("parentID") is not None), None)
            points.append((repr(parent)[:100], shape))
        else:
            shapes[key] = shape
    for parent, point in points:
        if parent not in shapes:
            picture.loose.append(point)
            continue
        if point.name in shapes[parent].points:
            picture.add(point.where, f"its object has two keypoints {point.name!r:.60}")
        shapes[parent].points |= point.points
    picture.shapes += shapes.values()


def _shape(where: str, items: list[Item], picture: Picture) -> Shape | None:
    """Return an object in pixels; None, after adding an error, if it is not valid."""
    values: dict[str, Any] = {}
    for item in items:
        given = item["value"]
        if any(values[key] != given[key] for key in _GEOMETRY & given.keys() & values.keys()):
            picture.add(where, "two regions have the same id, but different coordinates")
            return None
        values |= given
    given_names = [
        name
        for item in items
        for key, given in item["value"].items()
        if key == "labels" or key.endswith("labels")
        for name in (given if isinstance(given, list) else [given])
    ]
    # A label in two results of one region counts once.
    names = list(dict.fromkeys(name for name in given_names if isinstance(name, str)))
    if len(names) != 1 or not all(isinstance(name, str) for name in given_names):
        picture.add(where, f"the region has {len(names)} labels; expected one text")
        return None
    size = _size(where, items[0], picture)
    if size is None:
        return None
    rotation = items[0].get("image_rotation")
    if rotation not in (None, 0, 0.0):
        what = f"the image was rotated by {rotation!r:.20}° when it was labeled; expected 0"
        picture.add(where, what)
        return None
    shape = Shape(where, names[0])
    try:
        _fill(shape, values, size)
    except ValueError as error:
        picture.add(where, str(error))
        return None
    return shape


def _size(where: str, item: Item, picture: Picture) -> ImageSize | None:
    height, width = whole(item.get("original_height")), whole(item.get("original_width"))
    if not height or not width or min(height, width) < 1 or max(height, width) > 2**20:
        what = "`original_width` and `original_height` are missing or not valid"
        picture.add(where, what, "size")
        return None
    if picture.size not in ((None, None), (height, width)):
        picture.add(where, f"the region has another image size, {width} × {height}", "size")
        return None
    picture.size = (height, width)
    return height, width


def _fill(shape: Shape, values: Mapping[str, Any], size: ImageSize) -> None:
    """Set the box, polygons or points of a region.

    Raises:
        ValueError: A value is missing or not valid.
    """
    height, width = size

    def percent(*keys: str) -> list[float]:
        found = numbers([values.get(key) for key in keys], nan=True)
        if found is None:
            given = ", ".join(f"{key}: {values.get(key)!r:.20}" for key in keys)
            raise ValueError(f"the region has {given}; expected percentages")
        return found

    if "rle" in values:
        rings = masks.polygons_of(brush_mask(values["rle"], size))
        if rings is None:
            raise ValueError("the brush has no pixels")
        shape.polygons = list(rings)
    elif "points" in values:
        polygon = ring(values["points"])
        if polygon is None:
            raise ValueError(
                f"`points` is {values['points']!r:.60}; expected at least three pairs of numbers"
            )
        shape.polygons = [polygon * (width / 100, height / 100)]
    elif "radiusX" in values:
        x, y, rx, ry = percent("x", "y", "radiusX", "radiusY")
        if not all(map(math.isfinite, (x, y, rx, ry))):
            raise ValueError("the ellipse is not finite")
        angle = _angle(values)
        arguments = (x * width / 100, y * height / 100, rx * width / 100, ry * height / 100, angle)
        shape.box, shape.polygons = ellipse_box(*arguments), [ellipse(*arguments)]
    elif "height" in values:
        x, y, w, h = percent("x", "y", "width", "height")
        shape.box = _rectangle(
            x * width / 100, y * height / 100, w * width / 100, h * height / 100, _angle(values)
        )
    else:
        x, y = percent("x", "y")
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError("the keypoint is not finite")
        shape.points = {shape.name: (x * width / 100, y * height / 100, 2)}


def _angle(values: Mapping[str, Any]) -> float:
    found = numbers([values.get("rotation") or 0])
    if found is None:
        raise ValueError(f"`rotation` is {values.get('rotation')!r:.20}; expected degrees")
    return found[0]


def _rectangle(x: float, y: float, w: float, h: float, angle: float) -> list[float]:
    """Return the box of a rectangle that is turned clockwise around its upper left corner."""
    if angle % 360 == 0:
        return [x, y, x + w, y + h]
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return [x + (w * cos - h * sin) / 2, y + (w * sin + h * cos) / 2, w, h, angle]
