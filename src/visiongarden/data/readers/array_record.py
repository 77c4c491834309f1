"""Reader of ArrayRecord shards, for datasets with too many images for one file per image.

`dataset.json` lists classes and splits. Each split consists of shards of labels, one JSON object
per record, and shards of images, one encoded file per record, in the same order. Labels can be
indexed without reading the images, and nothing is pickled.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers.build import MAX_TEXT, Label, no_split, row
from visiongarden.data.readers.reader import Reader, Source
from visiongarden.data.rows import NO_SCHEME, KeypointScheme, Row
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.storage import parse_json, safe_name
from visiongarden.storage.place import Place, read_text_bytes
from visiongarden.types import ClassMap, LabelMap, Polygons

META = "dataset.json"
FORMAT = "visiongarden array_record"
VERSION = 2  # 1 stored polygons under another key, which would be read as no masks
_MAX_LABELS = 64 * 2**20
_CHUNK = 4096


@dataclass(frozen=True, order=True)
class Record:
    """One image in a shard; used where other formats have a path.

    Attributes:
        shard: File of the shard.
        index: Number of the record.
    """

    shard: Path
    index: int

    def __str__(self) -> str:
        return f"{self.shard}#{self.index}"

    @property
    def name(self) -> str:
        """Return the name of the shard and the number of the record."""
        return f"{self.shard.stem}-{self.index}"

    stem = name
    suffix = ""

    def read(self, max_bytes: int) -> bytes:
        """Read the bytes of the image file.

        Raises:
            DataError: The record is larger than `max_bytes` bytes, or the shard is damaged.
        """
        raw = records(self.shard, [self.index])[0]
        if len(raw) > max_bytes:
            raise DataError(f"{self}: the record is larger than {max_bytes:,} bytes")
        return raw


def located(name: str) -> Record:
    """Return the record for the text `str(record)`."""
    shard, _, index = name.rpartition("#")
    return Record(Path(shard), int(index))


def shard_name(split: str, what: str, number: int, count: int) -> str:
    """Return the file name of a shard; `what` is "images" or "labels"."""
    return f"{split}-{what}-{number:05}-of-{count:05}.array_record"


@register
class ArrayRecord(Reader):
    """Reader of ArrayRecord shards with `dataset.json`, which `visiongarden data convert` writes.

    Example:
        >>> vg.read("shards", reader="ArrayRecord")  # doctest: +SKIP
    """

    files: ClassVar[str] = "dataset.json beside ArrayRecord shards"
    annotations: ClassVar[frozenset[str]] = frozenset({"boxes"})

    def matches(self, source: Source) -> float:
        """Return 1 for the `dataset.json` of ArrayRecord shards or its folder.

        The file contains the name of the format.
        """
        path = source.root
        file = path if path.is_file() else path / META
        if file.name != META or not file.is_file():
            return 0.0
        try:
            return 1.0 if _meta(file).get("format") == FORMAT else 0.0
        except DataError:
            return 0.0

    def splits(self, source: Source) -> tuple[str, ...]:
        """Return the names of the splits."""
        path = source.root
        return tuple(_split_table(path / META if path.is_dir() else path))

    def is_divisible(self, source: Source) -> bool:
        """Return False: the images have no names."""
        return False

    def located(self, root: Place) -> Callable[[str], Any]:
        """Return the function from a text to a record."""
        return located

    def read(self, source: Source, split: str) -> Dataset:
        """Read one split."""
        path, errors = source.root, source.errors
        file = path if path.is_file() else path / META
        if not isinstance(file, Path):
            raise DataError(
                f"{file}: ArrayRecord shards cannot be read from an archive",
                fix="unpack the archive",
            )
        table = _split_table(file)
        if split not in table:
            raise no_split(path, split, table)
        meta = _meta(file)
        try:
            class_map = ClassMap(tuple(meta["classes"]), tuple(meta.get("ids") or ()))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{file}: `classes` is not a list of names") from error
        errors.known = frozenset(range(len(class_map)))  # labels contain class indices, not ids
        if source.class_names is not None and source.class_names != class_map.names:
            raise DataError(
                f"{file}: the class names differ from `class_names`",
                rule=", ".join(source.class_names),
                received=str(class_map.names),
            )
        rows: list[Row] = []
        for number in range(table[split]):
            shard = file.parent / shard_name(split, "labels", number, table[split])
            images = file.parent / shard_name(split, "images", number, table[split])
            rows += _of_shard(shard, images, class_map, errors)
        extra, categories = _keys_of(file, meta, split, len(class_map))
        return Dataset.of_rows(
            class_map,
            rows,
            located,
            _scheme(file, meta),
            split=split,
            root=path,
            extra=extra,
            categories=categories,
            label_map=_label_map(file, meta),
        )


def _label_map(file: Path, meta: Mapping[str, Any]) -> LabelMap | None:
    """Return the meaning of the labels of the images; None if they are the classes."""
    given = meta.get("label_map")
    if given is None:
        return None
    try:
        return LabelMap(tuple(given["names"]), tuple(given["units"]))
    except (KeyError, TypeError) as error:
        raise DataError(f"{file}: `label_map` is not valid", rule="names and units") from error


def _scheme(file: Path, meta: Mapping[str, Any]) -> KeypointScheme:
    """Return the meaning of the keypoints; none if the labels have no keypoints."""
    given = meta.get("keypoints")
    if given is None:
        return NO_SCHEME
    try:
        names, pairs = tuple(map(str, given["names"])), given["pairs"]
        edges = [
            None if each is None else tuple((int(a), int(b)) for a, b in each)
            for each in (pairs, given["skeleton"])
        ]
        return KeypointScheme(names, edges[0], edges[1] or ())
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{file}: `keypoints` is not valid", rule="names, pairs and skeleton"
        ) from error


def _keys_of(
    file: Place, meta: Mapping[str, Any], split: str, classes: int
) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    """Return the unused keys of the file from which a split was converted, and of its classes."""
    extra, categories = (meta.get(key) or {} for key in ("extra", "categories"))
    own: Any = (extra.get(split) or {}) if isinstance(extra, dict) else None
    rows: Any = (categories.get(split) or []) if isinstance(categories, dict) else None
    valid = isinstance(own, dict) and isinstance(rows, list) and len(rows) in (0, classes)
    if not valid or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{file}: `extra` or `categories` does not map each split to its keys")
    return own, tuple(rows)


def _of_shard(labels: Path, images: Path, class_map: ClassMap, errors: ErrorList) -> list[Row]:
    count, beside = length(labels), length(images)
    if count != beside:
        raise DataError(f"{labels} has {count} records, but {images.name} has {beside}")
    found: list[Row] = []
    # In chunks, so that the JSON text of a shard is never in memory as a whole.
    for start in range(0, count, _CHUNK):
        numbers = range(start, min(start + _CHUNK, count))
        for index, raw in zip(numbers, records(labels, list(numbers)), strict=True):
            where = f"{labels}#{index}"
            try:
                found.append(_row(where, raw, Record(images, index), class_map, errors))
            except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
                errors.add(
                    where, f"the record is not the labels of an image: {error!s:.100}", "unreadable"
                )
    return found


def _row(where: str, raw: bytes, image: Record, class_map: ClassMap, errors: ErrorList) -> Row:
    if len(raw) > _MAX_LABELS:
        raise ValueError("too large")
    data = parse_json(raw, where)
    height, width = (int(v) for v in data["size"])
    if not (0 < height < 2**31 and 0 < width < 2**31):
        raise ValueError("`size` is not a valid (height, width)")
    if data.get("rotated"):
        boxes = np.array(data["rotated"], np.float64).reshape(-1, 5).tolist()
    else:
        boxes = np.array(data["boxes"], np.float64).reshape(-1, 4).tolist()
    missing = [None] * len(boxes)
    extra = data.get("extra") or {"image": {}, "objects": [{} for _ in boxes]}
    columns = (
        boxes,
        data["classes"],
        data.get("crowd") or [False] * len(boxes),
        data.get("polygons") or missing,
        data.get("area") or missing,
        extra["objects"],
        data.get("keypoints") or missing,
    )
    labels = []
    for box, index, many, polygons, area, keys, points in zip(*columns, strict=True):
        index = errors.shifted(index)
        errors.ids[index if isinstance(index, int) else repr(index)[:60]] += 1
        if not isinstance(index, int) or not 0 <= index < len(class_map):
            errors.add(where, f"class {index!r:.60} is outside the class map", "id")
            continue
        square = math.nan if area is None else float(area)
        if square < 0 or math.isinf(square):
            raise ValueError("an area is negative or infinite")
        label = Label(where, box, index, bool(many), _polygons(polygons), square, dict(keys))
        labels.append(replace(label, keypoints=_keypoints(points)))
    given = data.get("labels")
    return row(
        image,
        (height, width),
        labels,
        errors,
        len(boxes),
        dict(extra["image"]),
        None if given is None else np.array(given, np.float32).reshape(-1),
    )


def _keypoints(value: Any) -> np.ndarray | None:
    if value is None:
        return None
    points = np.array(value, np.float64).reshape(-1, 3)
    if not np.isfinite(points).all() or not np.isin(points[:, 2], (0, 1, 2)).all():
        raise ValueError("a keypoint is not x, y and visibility 0, 1 or 2")
    return points


def _polygons(value: Any) -> Polygons | None:
    if value is None:
        return None
    rings = tuple(np.array(ring, np.float64).reshape(-1, 2) for ring in value)
    if not rings or any(len(ring) < 3 or not np.isfinite(ring).all() for ring in rings):
        raise ValueError("a mask has a polygon of fewer than three finite points")
    return rings


def _meta(file: Place) -> Mapping[str, Any]:
    data = parse_json(read_text_bytes(file, MAX_TEXT), file)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DataError(
            f"{file} does not describe ArrayRecord shards", rule=f'"format": "{FORMAT}"'
        )
    if data.get("version") != VERSION:
        raise DataError(
            f"{file} has an unknown version",
            rule=f"version {VERSION}",
            received=f"{data.get('version')!r:.20}",
            fix="convert the original dataset to ArrayRecord again",
        )
    return data


def _split_table(file: Place) -> dict[str, int]:
    """Return the number of shards of each split."""
    table = _meta(file).get("splits")
    if not isinstance(table, dict) or not all(
        type(count) is int and 0 < count < 100_000 for count in table.values()
    ):
        raise DataError(f"{file}: `splits` does not map each split to its number of shards")
    for split in table:
        safe_name(split, f"{file}: the split")
    return table


def length(shard: Path) -> int:
    """Return the number of records of a shard."""
    reader = _reader(shard)
    return int(reader.num_records())


def records(shard: Path, indices: list[int]) -> list[bytes]:
    """Read records of a shard by their numbers.

    Raises:
        DataError: The shard or a record does not exist, or the shard is damaged.
    """
    reader = _reader(shard)
    if any(not 0 <= index < reader.num_records() for index in indices):
        raise DataError(f"{shard} has no record {max(indices)}")
    try:
        found = reader.read(indices) if indices else []
    except Exception as error:  # the C++ reader's own exception types
        raise DataError(f"{shard} is damaged", received=str(error)[:200]) from error
    return list(found)


def _reader(shard: Path) -> Any:
    if not shard.is_file():
        raise DataError(f"{shard} does not exist")
    # Time and process are part of the cache key: a rewritten shard is opened again, and a forked
    # process does not share a C++ reader with its parent.
    return _opened(shard, shard.stat().st_mtime_ns, os.getpid())


@functools.lru_cache(maxsize=64)
def _opened(shard: Path, changed: int, process: int) -> Any:
    from array_record.python.array_record_module import ArrayRecordReader

    try:
        # Reading ahead serves sequential access; records are read individually here.
        return ArrayRecordReader(str(shard), options="readahead_buffer_size:0")
    except Exception as error:  # the C++ reader's own exception types
        raise DataError(f"{shard} is not an ArrayRecord file", received=str(error)[:200]) from error
