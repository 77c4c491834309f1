"""Reader of COCO JSON (Lin et al. 2014); `bbox` is (left, top, width, height) in pixels."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList, wrong_size
from visiongarden.data.file_names import names_in
from visiongarden.data.readers.build import MAX_TEXT, Label, no_split, row, size_of, there
from visiongarden.data.readers.image_search import end_inside
from visiongarden.data.readers.keypoint_scheme import pairs_of
from visiongarden.data.readers.other_tools import all_other, is_other
from visiongarden.data.readers.plain_values import flag, whole
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.rows import NO_SCHEME, KeypointScheme, Row
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.samples import masks
from visiongarden.storage import parse_json
from visiongarden.storage.place import Place, read_bytes, read_ends, read_text_bytes
from visiongarden.types import ClassMap, ImageSize, Polygons

_START = 65_536
_MANY = 100
"""In a folder with fewer JSON files, each of them is opened to find those that are not COCO."""
_LISTS = ("images", "annotations", "categories")
_KEYS = tuple(f'"{key}"'.encode() for key in _LISTS)
_READ = frozenset(
    {
        "image_id",
        "category_id",
        "bbox",
        "area",
        "iscrowd",
        "segmentation",
        "keypoints",
        "num_keypoints",
    }
)
"""Keys of an annotation that are interpreted; other keys are passed on to writers unchanged."""


@register
class COCO(Reader):
    """Reader of COCO JSON: boxes, masks (polygons or run lengths) and keypoints.

    The dataset is a JSON file, or a folder with `train.json` and `val.json`, or
    `annotations/*.json`. Images are in the same folder, in `images/`, `train/` or `train2017/`.

    Example:
        >>> vg.read("coco128", reader="COCO")  # doctest: +SKIP
    """

    files: ClassVar[str] = "annotations/instances_train.json, or one JSON file"
    annotations: ClassVar[frozenset[str]] = frozenset({"boxes"})

    def matches(self, source: Source) -> float:
        """Return 0.9 for a JSON file, or if one of a folder begins with a key of COCO's files."""
        path = source.root
        if path.is_file():
            return 0.9 if path.suffix == ".json" else 0.0
        files = _files(path)
        return 0.0 if not files else 0.9 if _has_keys(files) else 0.5

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the names of the splits; a single file is used for any split."""
        if not source.root.is_dir():
            return ("train",)
        names = tuple(_files(source.root))
        # A folder may contain other JSON files beside those with the usual names.
        return tuple(name for name in names if name in ("train", "val", "test")) or names

    def read(self, source: Source, split: str) -> Dataset:
        """Read one split."""
        path, errors = source.root, source.errors
        file = path if path.is_file() else _file_of(path, split)
        data = _parsed(file)
        images, annotations = _entries(file, data, "images"), _entries(file, data, "annotations")
        class_map = _class_map(file, data, source.class_names)
        if source.class_names is None and len(class_map) < len(data["categories"]):
            errors.note(file, "category 0 is the project, as Roboflow writes it, and not a class")
        keypoints = _Points(data, class_map, errors)
        by_image = _by_image(file, images, annotations, errors)
        folders = _image_folders(file, split)
        rows = []
        for index, image in enumerate(images):
            own = by_image.get(index, [])
            found = _row(file, image, own, folders, class_map, errors, index, keypoints)
            if found is not None:
                rows.append(found)
        return Dataset.of_rows(
            class_map,
            rows,
            self.located(path),
            keypoints.scheme,
            split=split,
            root=path,
            extra={key: value for key, value in data.items() if key not in _LISTS},
            categories=_category_keys(data, class_map),
        )


def _has_keys(files: Mapping[str, Place]) -> bool:
    """Return whether the start of one of the files contains a key of COCO's files."""
    starts = (
        read_ends(file, _START)[0] if isinstance(file, Path) else read_bytes(file, MAX_TEXT)
        for file in files.values()
    )
    return any(key in start for start in starts for key in _KEYS)


_Numbered = list[tuple[int, Mapping[str, Any]]]


def _by_image(
    file: Place,
    images: list[Mapping[str, Any]],
    annotations: list[Mapping[str, Any]],
    errors: ErrorList,
) -> dict[int, _Numbered]:
    """Return the annotations of each image, with their positions in the file."""
    found: dict[int, _Numbered] = {}
    known = _ids(file, images)
    first: dict[Any, int] = {}
    for number, entry in enumerate(annotations):
        image_id = entry.get("image_id")
        _once(file, number, entry.get("id"), first, errors)
        # An id that is equal including its type takes precedence over one with the same integer
        # value.
        index = known.get(_key(image_id), known.get(whole(image_id)))
        if index is None:
            errors.add(
                file,
                f"annotations[{number}] refers to image {image_id!r:.60}, which is not in `images`",
                "image-id",
            )
            continue
        found.setdefault(index, []).append((number, entry))
    return found


class _Points:
    """Keypoints of the annotations of one file.

    Attributes:
        scheme: names, pairs and skeleton, from the categories.
        count: number of points; None until the first object has any.
        are_used: whether they are read; the classes may have different points.
        named: ids of the categories that name their points.
    """

    def __init__(self, data: Mapping[str, Any], class_map: ClassMap, errors: ErrorList) -> None:
        rows = {whole(row.get("id")): row for row in _listed(data.get("categories"))}
        own = [rows[i] for i in class_map.ids if i in rows]
        lists = {i: _listed(rows[i].get("keypoints")) for i in class_map.ids if i in rows}
        self.named = {i for i, listed in lists.items() if listed and _are_names(listed)}
        names = {tuple(lists[i]) for i in self.named}
        self.errors = errors
        self.count = None if not names else len(next(iter(names)))
        self.are_used = len(names) < 2
        self.scheme = NO_SCHEME
        if not self.are_used:
            return
        (points,) = names or {()}
        edges = {_edges(row.get("skeleton"), len(points)) for row in own if "skeleton" in row}
        skeleton = next(iter(edges)) if len(edges) == 1 and points else ()
        if None in edges:
            errors.note(errors.root, "the skeleton in `categories` is not valid; it is not used")
        self.scheme = KeypointScheme(points, pairs_of(points), skeleton or ())

    def of(self, where: str, row: Mapping[str, Any], extra: dict[str, Any]) -> np.ndarray | None:
        """Return the keypoints of an annotation, float64 (k, 3); None without any.

        Numbers that float32 does not reproduce, a wrong `num_keypoints`, and points without any
        label of a category that does not name them are kept in `extra`.
        """
        given = row.get("keypoints")
        if given is None or given == []:
            extra |= {key: row[key] for key in ("keypoints", "num_keypoints") if key in row}
            return None
        if not self.are_used:
            extra |= {key: row[key] for key in ("keypoints", "num_keypoints") if key in row}
            self.errors.unused["keypoints of classes that have different points"] += 1
            return None
        reason = self._wrong(given)
        if reason:
            self.errors.left_off(where, f"`keypoints`: {reason}", "keypoints")
            return None
        points = np.array(given, np.float64).reshape(-1, 3)
        labeled = int((points[:, 2] > 0).sum())
        # Without a name and a label, they could not be distinguished from no points at all.
        is_blank = not labeled and whole(row.get("category_id")) not in self.named
        if is_blank or not (points.astype(np.float32) == points).all():
            extra["keypoints"] = given
        self.errors.keypoints += labeled > 0
        if "num_keypoints" in row and (is_blank or row["num_keypoints"] != labeled):
            extra["num_keypoints"] = row["num_keypoints"]
        return points

    def _wrong(self, given: Any) -> str:
        """Describe keypoints that are not valid; "" if they are."""
        if not isinstance(given, list) or len(given) % 3:
            return f"expected x, y and visibility of each point, got {given!r:.60}"
        if not all(type(v) in (int, float) and abs(v) < 1e9 for v in given):
            return f"expected finite numbers, got {given!r:.60}"
        strange = [v for v in given[2::3] if v not in (0, 1, 2)]
        if strange:
            return f"visibility {strange[0]!r:.40}; expected 0, 1 or 2"
        count = len(given) // 3
        self.count = count if self.count is None else self.count
        return "" if count == self.count else f"{count} points; expected {self.count}"


def _are_names(values: list[Any]) -> bool:
    return all(isinstance(v, str) and v for v in values) and len(set(values)) == len(values)


def _edges(value: Any, count: int) -> tuple[tuple[int, int], ...] | None:
    """Return the edges of a skeleton, which COCO counts from 1; None if they are not valid."""
    if not isinstance(value, list):
        return None
    edges = []
    for edge in value:
        if not isinstance(edge, list) or len(edge) != 2:
            return None
        a, b = map(whole, edge)
        if a is None or b is None or a == b or not 0 < min(a, b) <= max(a, b) <= count:
            return None
        edges.append((a - 1, b - 1))
    return tuple(edges)


def _row(
    file: Place,
    image: Mapping[str, Any],
    entries: _Numbered,
    folders: list[Place],
    class_map: ClassMap,
    errors: ErrorList,
    index: int,
    keypoints: _Points,
) -> Row | None:
    name = image.get("file_name")
    if not isinstance(name, str) or not name or "\0" in name:
        errors.add(file, f"images[{index}] has no `file_name`")
        return None
    try:
        places = [there(folder, name) for folder in folders]
        path = next((place for place in places if place.is_file()), None)
        path = path or end_inside(name, folders, folders[-1]) or places[0]
        size = size_of(path, errors)
    except OSError as error:  # a name too long for the file system
        errors.add(file, f"images[{index}]: {error}")
        return None
    if size is None:
        return None
    if wrong := _wrong_size(image.get("height"), image.get("width"), size):
        errors.add(f"{file}: images[{index}] ({name:.100})", wrong, "size")
        return None
    labels = [
        found
        for n, entry in entries
        if (found := _label(file, n, entry, size, class_map, errors, keypoints))
    ]
    extra = {k: v for k, v in image.items() if k not in ("file_name", "width", "height")}
    try:
        return row(path, size, labels, errors, len(entries), extra)
    except RecursionError:
        errors.add(file, f"images[{index}] ({name:.100}): keys are nested too deeply")
        return None


def _label(
    file: Place,
    number: int,
    entry: Mapping[str, Any],
    size: ImageSize,
    class_map: ClassMap,
    errors: ErrorList,
    keypoints: _Points,
) -> Label | None:
    where, box = f"{file}: annotations[{number}]", entry.get("bbox")
    category = whole(entry.get("category_id"))
    category = errors.shifted(entry.get("category_id") if category is None else category)
    errors.ids[category if isinstance(category, int) else repr(category)[:60]] += 1
    if (
        not isinstance(box, list)
        or len(box) != 4
        # NaN passes here and is reported by `ErrorList.box` as a box that is not finite.
        or not all(isinstance(v, (int, float)) and abs(v) < 1e9 for v in box if v == v)
    ):
        errors.add(
            where, f"`bbox` is {box!r:.60}; expected four numbers (left, top, width, height)"
        )
        return None
    if type(category) is not int or category not in class_map.by_id:
        errors.add(
            where,
            f"category_id {category!r:.60} is not one of {list(class_map.ids[:20])!r:.100}",
            "id",
        )
        return None
    crowd = flag(entry.get("iscrowd"))
    if crowd is None:
        errors.add(where, f"`iscrowd` is {entry.get('iscrowd')!r:.60}; expected 0 or 1")
        return None
    extra = {key: value for key, value in entry.items() if key not in _READ}
    points = keypoints.of(where, entry, extra)
    polygons = _polygons(where, entry, size, errors, extra)
    x, y, w, h = map(float, box)
    # Boxes are stored as float32 corners. Where these do not reproduce the four numbers of the file
    # exactly, the original numbers are kept, so that writing COCO again changes nothing.
    x1, y1, x2, y2 = array("f", (x, y, x + w, y + h))
    inside = x >= 0 and y >= 0 and x2 <= size[1] and y2 <= size[0]
    if not inside or box != [x1, y1, x2 - x1, y2 - y1]:
        extra["bbox"] = box
    past = x + w > size[1] + 1 or y + h > size[0] + 1
    # Boxes written as corners (x1, y1, x2, y2) show as boxes that end outside the image.
    errors.corner_like += past and x < w <= size[1] and y < h <= size[0]
    return Label(
        where,
        (x, y, x + w, y + h),
        class_map.by_id[category],
        crowd,
        polygons,
        _area(where, entry, errors),
        extra,
        points,
    )


def _area(where: str, row: Mapping[str, Any], errors: ErrorList) -> float:
    """Return the area of an annotation in square pixels; NaN if the file contains none."""
    area: Any = row.get("area")
    if type(area) in (int, float) and 0 <= area < 1e18:
        return float(area)
    if area is not None:
        errors.left_off(where, f"`area` is {area!r:.60}; expected a number of at least 0", "label")
    return math.nan


def _polygons(
    where: str, row: Mapping[str, Any], size: ImageSize, errors: ErrorList, extra: dict[str, Any]
) -> Polygons | None:
    """Return the polygons of an annotation; run lengths are converted and also kept in `extra`."""
    given = row.get("segmentation")
    if given is None or given == []:
        if "segmentation" in row:
            extra["segmentation"] = given
        return None
    if isinstance(given, dict):
        try:
            found = masks.polygons_of(_mask(given, size))
        except ValueError as error:
            errors.left_off(where, f"`segmentation`: {error}")
            return None
        extra["segmentation"] = given
        return found
    polygons = given if isinstance(given, list) else [given]
    if isinstance(polygons[0], (int, float)):
        polygons = [polygons]  # one polygon without the list around it, as some tools write it
    rings = []
    for polygon in polygons:
        try:
            rings.append(_ring(polygon))
        except ValueError as error:
            errors.left_off(where, f"`segmentation`: {error}")
    return tuple(rings) or None


def _mask(given: Mapping[str, Any], size: ImageSize) -> np.ndarray:
    """Decode run lengths to a mask.

    Raises:
        ValueError: They are malformed or do not have the image's size.
    """
    counts = given.get("counts")
    sides = given.get("size")
    if not isinstance(sides, list) or [whole(side) for side in sides] != list(size):
        raise ValueError(
            f"the run lengths have size {sides!r:.60}, the image has {size[1]} × {size[0]} pixels"
        )
    if not isinstance(counts, str):
        counts = [whole(count) for count in _listed(counts)] or [None]
        if None in counts:
            raise ValueError("the run lengths are not integers")
    return masks.from_rle(counts, size)


def _ring(polygon: Any) -> np.ndarray:
    """Return the points of a polygon, float64 (n, 2).

    Raises:
        ValueError: The value is not a polygon.
    """
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(f"expected at least three pairs of numbers, got {polygon!r:.60}")
    if not all(type(v) in (int, float) and abs(v) < 1e9 for v in polygon):
        raise ValueError(f"expected finite numbers, got {polygon!r:.60}")
    return np.array(polygon, np.float64).reshape(-1, 2)


def _parsed(file: Place) -> Mapping[str, Any]:
    data = parse_json(read_text_bytes(file, MAX_TEXT), file, repeated=False)
    if not isinstance(data, dict):
        raise DataError(
            f"{file} is not a COCO dataset",
            rule="an object with the keys images, annotations and categories",
        )
    return data


def _entries(file: Place, data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    rows = data.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{file}: `{key}` is not a list of objects")
    return rows


def _ids(file: Place, images: list[Mapping[str, Any]]) -> dict[Any, int]:
    """Return the index of each image by its id.

    If no other id has the same integer value, an annotation may refer to the id 1 as "1" or 1.0.
    """
    ids: dict[Any, int] = {}
    numbers: dict[int, list[int]] = {}
    for index, image in enumerate(images):
        image_id = image.get("id")
        key = _key(image_id)
        if key is None or key in ids:
            raise DataError(
                f"{file}: images[{index}] has a missing or duplicate `id`: {image_id!r:.60}"
            )
        ids[key] = index
        if (number := whole(image_id)) is not None:
            numbers.setdefault(number, []).append(index)
    one = {number: found[0] for number, found in numbers.items() if len(found) == 1}
    return one | {key: index for key, index in ids.items() if key not in one}


def _key(image_id: Any) -> tuple[type, Any] | None:
    """Return an id with its type, because 1, 1.0 and True are equal in Python; None if unusable."""
    kind = type(image_id)
    return (kind, image_id) if kind in (int, str, float) and image_id == image_id else None


def _once(file: Place, number: int, own: Any, first: dict[Any, int], errors: ErrorList) -> None:
    """Add an error if an annotation reuses an id; COCO's tools keep only the last of them."""
    key = _key(own)
    if key is not None and first.setdefault(key, number) != number:
        what = f"annotations[{number}] has the same id {own!r:.60} as annotations[{first[key]}]"
        errors.add(file, what, "annotation-id")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _wrong_size(height: Any, width: Any, size: ImageSize) -> str:
    """Describe an incorrect image size in the file; "" if correct.

    0 or a missing value means that the size is not known, as in VOC.
    """
    given = []
    for name, side in (("height", height), ("width", width)):
        if side is None or side == 0:
            return ""
        number = whole(side)
        if number is None and type(side) not in (int, float):
            return f"`{name}` is {side!r:.60}, which is not a number"
        given.append(side if number is None else number)
    return wrong_size(given, size) if 0 not in given and tuple(given) != size else ""


def _class_map(
    file: Place, data: Mapping[str, Any], class_names: tuple[str, ...] | None
) -> ClassMap:
    rows = _entries(file, data, "categories")
    pairs = []
    for index, category in enumerate(rows):
        name = category.get("name")
        number = whole(category.get("id"))
        if not isinstance(name, str) or number is None:
            raise DataError(f"{file}: categories[{index}] has no `name` or no integer `id`")
        pairs.append((number, name))
    if class_names is None:
        if not pairs:
            raise DataError(f"{file}: `categories` is empty")
        # Class indices follow the ids, whatever the order in the file.
        pairs = sorted(_without_project(data, pairs))
        return ClassMap(tuple(n for _, n in pairs), tuple(i for i, _ in pairs))
    ids = {name: number for number, name in pairs}
    missing = [name for name in class_names if name not in ids]
    if missing:
        raise DataError(f"{file}: `categories` lacks {', '.join(missing)}")
    return ClassMap(class_names, tuple(ids[name] for name in class_names))


def _without_project(
    data: Mapping[str, Any], pairs: list[tuple[int, str]]
) -> list[tuple[int, str]]:
    """Leave out the category that Roboflow adds in front: the project, which no object has.

    It has id 0 and the supercategory "none", and is the supercategory of all others.
    """
    parents = {whole(row["id"]): row.get("supercategory") for row in data["categories"]}
    project = dict(pairs).get(0)
    others = [parents[number] for number, _ in pairs if number != 0]
    if project is None or parents[0] != "none" or not others or set(others) != {project}:
        return pairs
    if any(whole(row.get("category_id")) == 0 for row in data["annotations"]):
        return pairs
    return [pair for pair in pairs if pair[0] != 0]


def _category_keys(data: Mapping[str, Any], class_map: ClassMap) -> tuple[dict[str, Any], ...]:
    """Return the unused keys of the category of each class."""
    rows = {whole(row["id"]): row for row in data["categories"]}
    return tuple(
        {key: value for key, value in rows[i].items() if key not in ("id", "name")}
        for i in class_map.ids
    )


def _files(root: Place) -> dict[str, Place]:
    """Return the JSON file of each split."""
    found: dict[str, Place] = {}
    for folder in (root, root / "annotations"):
        files = [folder / name for name in names_in(folder) if name.endswith(".json")]
        if all_other(files):
            continue
        for file in files:
            if len(files) < _MANY and is_other(file):
                continue
            # The original files are named instances_train2017.json.
            stem = file.stem.removeprefix("instances_")
            split = next((s for s in ("train", "val", "test") if stem.startswith(s)), stem)
            # A second file, such as train_extra.json beside train.json, is a split of its own.
            is_second = split in found and found[split].name != file.name
            found.setdefault(stem if is_second else split, file)
    # Roboflow stores one JSON file in the image folder of each split.
    for split in ("train", "valid", "val", "test"):
        file = root / split / "_annotations.coco.json"
        if file.is_file():
            found.setdefault("val" if split == "valid" else split, file)
    return found


def _file_of(root: Place, split: str) -> Place:
    files = _files(root)
    # The file of `training`, which our writer writes, is found as that of `train`.
    named = {file.stem.removeprefix("instances_"): file for file in files.values()}
    if split not in files and split not in named:
        raise no_split(root, split, files)
    return files.get(split) or named[split]


def _image_folders(file: Place, split: str) -> list[Place]:
    base = file.parent.parent if file.parent.name == "annotations" else file.parent
    names = ("images", split, f"{split}2017", f"images/{split}", f"images/{split}2017")
    return [*(base / name for name in names), base]
