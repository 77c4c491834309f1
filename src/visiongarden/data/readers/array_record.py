"""Reader of ArrayRecord shards, for datasets with too many images for one file per image.

`dataset.json` lists classes and splits. Each split consists of shards of labels, one JSON object
per record, and shards of images, one encoded file per record, in the same order. Labels can be
indexed without reading the images, and nothing is pickled.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.error_list import ErrorList
from visiongarden.data.readers.build import MAX_TEXT, Label, example, no_split
from visiongarden.errors import DataError
from visiongarden.storage import parse_json, safe_name
from visiongarden.storage.place import Place, read_text_bytes
from visiongarden.types import ClassMap, Example, Polygons

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


def looks_like(path: Place) -> bool:
    """Return whether a path is the `dataset.json` of ArrayRecord shards, or its folder."""
    file = path if path.is_file() else path / META
    if file.name != META or not file.is_file():
        return False
    try:
        return _meta(file).get("format") == FORMAT
    except DataError:
        return False


def splits(path: Place) -> list[str]:
    """Return the names of the splits."""
    return list(_split_table(path / META if path.is_dir() else path))


def read(
    path: Place, split: str, class_names: tuple[str, ...] | None, errors: ErrorList
) -> DetectionDataset:
    """Read one split of ArrayRecord shards and add its errors to `errors`; see `gather.READERS`."""
    file = path if path.is_file() else path / META
    if not isinstance(file, Path):
        raise DataError(
            f"{file}: ArrayRecord shards cannot be read from an archive", fix="unpack the archive"
        )
    table = _split_table(file)
    if split not in table:
        raise no_split(path, split, table)
    meta = _meta(file)
    try:
        class_map = ClassMap(tuple(meta["classes"]), tuple(meta.get("ids") or ()))
        errors.known = frozenset(range(len(class_map)))  # labels contain class indices, not ids
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: `classes` is not a list of names") from error
    if class_names is not None and class_names != class_map.names:
        raise DataError(
            f"{file}: the class names differ from `class_names`",
            rule=", ".join(class_names),
            received=str(class_map.names),
        )
    examples: list[Example] = []
    for number in range(table[split]):
        shard = file.parent / shard_name(split, "labels", number, table[split])
        images = file.parent / shard_name(split, "images", number, table[split])
        examples += _of_shard(shard, images, class_map, errors, len(examples))
    extra, categories = _keys_of(file, meta, split, len(class_map))
    return DetectionDataset(
        class_map, tuple(examples), split, path, errors.dropped, extra, categories
    )


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


def _of_shard(
    labels: Path, images: Path, class_map: ClassMap, errors: ErrorList, first: int
) -> list[Example]:
    count, beside = length(labels), length(images)
    if count != beside:
        raise DataError(f"{labels} has {count} records, but {images.name} has {beside}")
    found: list[Example] = []
    # In chunks, so that the JSON text of a shard is never in memory as a whole.
    for start in range(0, count, _CHUNK):
        numbers = range(start, min(start + _CHUNK, count))
        for index, raw in zip(numbers, records(labels, list(numbers)), strict=True):
            where = f"{labels}#{index}"
            try:
                example = _example(where, raw, Record(images, index), class_map, errors)
            except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
                errors.add(
                    where, f"the record is not the labels of an image: {error!s:.100}", "unreadable"
                )
                continue
            example.image_id = first + len(found)
            found.append(example)
    return found


def _example(
    where: str, raw: bytes, image: Record, class_map: ClassMap, errors: ErrorList
) -> Example:
    if len(raw) > _MAX_LABELS:
        raise ValueError("too large")
    row = parse_json(raw, where)
    height, width = (int(v) for v in row["size"])
    if not (0 < height < 2**31 and 0 < width < 2**31):
        raise ValueError("`size` is not a valid (height, width)")
    boxes = np.array(row["boxes"], np.float64).reshape(-1, 4).tolist()
    rings = row.get("polygons") or [None] * len(boxes)
    crowd = row.get("crowd") or [False] * len(boxes)
    areas = row.get("area") or [None] * len(boxes)
    extra = row.get("extra") or {"image": {}, "objects": [{} for _ in boxes]}
    rows = zip(boxes, row["classes"], crowd, rings, areas, extra["objects"], strict=True)
    labels = []
    for box, index, many, polygons, area, keys in rows:
        index = errors.shifted(index)
        errors.ids[index if isinstance(index, int) else repr(index)[:60]] += 1
        if not isinstance(index, int) or not 0 <= index < len(class_map):
            errors.add(where, f"class {index!r:.60} is outside the class map", "id")
            continue
        square = math.nan if area is None else float(area)
        if square < 0 or math.isinf(square):
            raise ValueError("an area is negative or infinite")
        labels.append(Label(where, box, index, bool(many), _polygons(polygons), square, dict(keys)))
    return example(image, (height, width), labels, errors, 0, len(boxes), dict(extra["image"]))


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
