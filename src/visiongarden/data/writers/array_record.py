"""Writer of ArrayRecord shards, for datasets with too many images for one file per image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.image_samples import UNKNOWN_SIZE
from visiongarden.data.readers.array_record import FORMAT, META, VERSION, shard_name
from visiongarden.data.rows import Row
from visiongarden.data.writers.checked import CheckedWriter
from visiongarden.data.writers.images import Splits, image_bytes, name_of
from visiongarden.data.writers.lost import Lost
from visiongarden.data.writers.splits import one_label_map, one_map, one_scheme, write_file
from visiongarden.registry import register
from visiongarden.samples.unknown_keys import unpack
from visiongarden.storage import path_inside
from visiongarden.storage.header import image_size

_SHARD_BYTES = 256 * 2**20


@register
class ArrayRecordWriter(CheckedWriter):
    """Writer of shards of images and of labels for each split, and of `dataset.json`.

    Everything but semantic masks is stored.
    """

    format: ClassVar[str] = "arrayrecord"
    reader: ClassVar[str] = "ArrayRecord"
    exact: ClassVar[bool] = True
    fields: ClassVar[frozenset[str]] = frozenset({"boxes", "masks", "labels"})

    def fill(self, splits: Splits, folder: Path, lost: Lost) -> None:
        """Write the files; see `CheckedWriter.fill`."""
        class_map = one_map(splits)
        counts = {}
        for split, dataset in splits.items():
            total = sum(len(image_bytes(row)) for row in dataset.rows())
            counts[split] = min(max(-(-total // _SHARD_BYTES), 1), max(len(dataset), 1))
            rows = list(range(len(dataset)))
            for number, part in enumerate(np.array_split(rows, counts[split])):
                _shards(folder, split, number, counts[split], dataset, part.tolist())
        meta = {"format": FORMAT, "version": VERSION, "splits": counts}
        meta |= {"classes": class_map.names, "ids": class_map.ids}
        meta["extra"] = {split: dataset.extra for split, dataset in splits.items()}
        meta["categories"] = {split: dataset.categories for split, dataset in splits.items()}
        if any("keypoints" in dataset.fields for dataset in splits.values()):
            meta["keypoints"] = one_scheme(splits)._asdict()
        label_map = one_label_map(splits)
        if label_map is not None:
            meta["label_map"] = {"names": label_map.names, "units": label_map.units}
        write_file(folder, META, content=json.dumps(meta))


def _shards(
    folder: Path, split: str, number: int, count: int, dataset: Dataset, indices: Sequence[int]
) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter as ShardWriter

    # One record per group, so that each record can be read alone.
    images, labels = (
        ShardWriter(str(path_inside(folder, name, what="the split")), "group_size:1")
        for name in (shard_name(split, what, number, count) for what in ("images", "labels"))
    )
    for index, row in _rows(dataset, indices):
        images.write(image_bytes(row))
        labels.write(json.dumps(_record(row, name_of(row, index))).encode())
    images.close()
    labels.close()


def _rows(dataset: Dataset, indices: Sequence[int]) -> Iterator[tuple[int, Row]]:
    return ((index, dataset.row(index)) for index in indices)


def _record(row: Row, name: str) -> dict[str, Any]:
    """Return the annotations of an image as JSON values."""
    image, keys = unpack(row.unknown, len(row.classes))
    record: dict[str, Any] = {"name": name, "size": _size(row)}
    boxes = "rotated" if len(row.boxes) and row.boxes.shape[1] == 5 else "boxes"
    record |= {boxes: row.boxes.tolist(), "classes": row.classes.tolist()}
    record["crowd"] = row.crowd.tolist()
    record["extra"] = {"image": {"file_name": name} | image, "objects": keys}
    if row.area is not None:
        record["area"] = [None if np.isnan(area) else area for area in row.area.tolist()]
    if row.polygons:
        record["polygons"] = [o and [ring.tolist() for ring in o] for o in row.polygons]
    if row.keypoints is not None:
        record["keypoints"] = row.keypoints.tolist()
    if row.labels is not None:
        record["labels"] = [None if np.isnan(v) else v for v in row.labels.tolist()]
    return record


def _size(row: Row) -> tuple[int, int]:
    """Return the (height, width) of an image, from its header if the labels do not contain it."""
    if row.size != UNKNOWN_SIZE:
        return row.size
    return image_size(row.path) if row.image is None else (row.image.shape[0], row.image.shape[1])
