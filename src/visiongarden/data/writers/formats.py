"""Writers by format, and those of VOC, CSV and ArrayRecord.

A writer writes the labels of all splits into a temporary folder, which gets its final name only
after `read_back` has verified it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from visiongarden.data.readers.array_record import FORMAT, META, VERSION, shard_name
from visiongarden.data.writers import coco, yolo
from visiongarden.data.writers.examples import (
    Lost,
    Splits,
    crowd_of,
    image_bytes,
    named,
    objects,
    size_of,
    stem_of,
)
from visiongarden.data.writers.held import columns, drop_keys_of_files, elements
from visiongarden.data.writers.labeled import class_folders, mask_folders
from visiongarden.data.writers.splits import one_map, write_classes, write_file
from visiongarden.samples.extra import unpack
from visiongarden.storage import path_inside
from visiongarden.types import ClassMap, Example

_SHARD_BYTES = 256 * 2**20


def voc(splits: Splits, folder: Path, lost: Lost) -> None:
    """Write `Annotations/`, `JPEGImages/`, `ImageSets/Main/`, and the class order in `classes.txt`.

    Args:
        splits: Datasets by split, all with the same class map.
        folder: Folder to write to.
        lost: Collector of what VOC cannot store.
    """
    write_classes(one_map(splits).names, folder)
    drop_keys_of_files(splits, lost)
    taken: set[str] = set()
    for split, dataset in splits.items():
        stems = []
        for name, example, raw in named(split, dataset, lost, taken):
            write_file(folder, "JPEGImages", name, content=raw)
            stem = stem_of(name)
            stems.append(stem)
            held, dropped = elements(example)
            lost.of(name, dropped)
            text = _xml(name, held, dataset.class_map)
            write_file(folder, "Annotations", f"{stem}.xml", content=text)
        text = "".join(f"{stem}\n" for stem in stems)
        write_file(folder, "ImageSets", "Main", f"{split}.txt", content=text)


def _xml(name: str, example: Example, class_map: ClassMap) -> str:
    height, width = size_of(example)
    image, keys = unpack(example)
    lines = [
        "<annotation>",
        f"  <filename>{escape(name)}</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
        *_elements(image, "  "),
    ]
    for (box, index, _, _), own in zip(objects(example), keys, strict=True):
        corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        inside = "".join(f"<{corner}>{value!r}</{corner}>" for corner, value in corners)
        lines += [
            "  <object>",
            f"    <name>{escape(class_map.names[index])}</name>",
            *_elements(own, "    "),
            f"    <bndbox>{inside}</bndbox>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def _elements(keys: Mapping[str, Any], indent: str) -> list[str]:
    """Return XML elements: a list becomes repeated elements, a dict an element with children."""
    lines: list[str] = []
    for key, value in keys.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                lines += [f"{indent}<{key}>", *_elements(item, indent + "  "), f"{indent}</{key}>"]
            else:
                lines.append(f"{indent}<{key}>{escape(item)}</{key}>")
    return lines


def csv_table(splits: Splits, folder: Path, lost: Lost) -> None:
    """Write `<split>.csv` with a header, `images/<split>/`, and `classes.txt` for the class order.

    Args:
        splits: Datasets by split, all with the same class map.
        folder: Folder to write to.
        lost: Collector of what CSV cannot store.
    """
    write_classes(one_map(splits).names, folder)
    drop_keys_of_files(splits, lost)
    for split, dataset in splits.items():
        keys = {key: None for e in dataset for row in unpack(columns(e)[0])[1] for key in row}
        with path_inside(folder, f"{split}.csv", what="the split").open(
            "w", newline="", encoding="utf-8"
        ) as stream:
            writer = csv.writer(stream)
            writer.writerow(["path", "x1", "y1", "x2", "y2", "class", *keys])
            for name, example, raw in named(split, dataset, lost):
                write_file(folder, "images", split, name, content=raw)
                path = f"images/{split}/{name}"
                held, dropped = columns(example)
                lost.of(name, dropped)
                for (box, index, _, _), row in zip(objects(held), unpack(held)[1], strict=True):
                    own = [row.get(key, "") for key in keys]
                    writer.writerow([path, *map(repr, box), dataset.class_map.names[index], *own])
                if not len(example.boxes):
                    writer.writerow([path, "", "", "", "", "", *([""] * len(keys))])


def array_record(splits: Splits, folder: Path, lost: Lost) -> None:
    """Write shards of images and of labels for each split, and `dataset.json`.

    Args:
        splits: Datasets by split, all with the same class map.
        folder: Folder to write to.
        lost: Collector of what the format cannot store; ArrayRecord stores everything.
    """
    class_map = one_map(splits)
    counts = {}
    for split, dataset in splits.items():
        total = sum(len(image_bytes(example)) for example in dataset)
        counts[split] = min(max(-(-total // _SHARD_BYTES), 1), max(len(dataset), 1))
        rows = list(range(len(dataset)))
        for number, part in enumerate(np.array_split(rows, counts[split])):
            _shards(folder, split, number, counts[split], [dataset[int(i)] for i in part])
    meta = {"format": FORMAT, "version": VERSION, "splits": counts}
    meta |= {"classes": class_map.names, "ids": class_map.ids}
    meta["extra"] = {split: dataset.extra for split, dataset in splits.items()}
    meta["categories"] = {split: dataset.categories for split, dataset in splits.items()}
    write_file(folder, META, content=json.dumps(meta))


def _shards(folder: Path, split: str, number: int, count: int, examples: Sequence[Example]) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    # One record per group, so that each record can be read alone.
    pair = [
        ArrayRecordWriter(str(path_inside(folder, name, what="the split")), "group_size:1")
        for name in (shard_name(split, what, number, count) for what in ("images", "labels"))
    ]
    for example in examples:
        image, keys = unpack(example)
        row: dict[str, Any] = {"name": example.path.name, "size": size_of(example)}
        row |= {"boxes": example.boxes.tolist(), "classes": example.classes.tolist()}
        row["crowd"] = crowd_of(example).tolist()
        row["extra"] = {"image": {"file_name": example.path.name} | image, "objects": keys}
        if example.area is not None:
            row["area"] = [None if np.isnan(area) else area for area in example.area.tolist()]
        if example.polygons:
            row["polygons"] = [o and [ring.tolist() for ring in o] for o in example.polygons]
        pair[0].write(image_bytes(example))
        pair[1].write(json.dumps(row).encode())
    for writer in pair:
        writer.close()


WRITERS: dict[str, Any] = {
    "coco": coco.write,
    "yolo": yolo.write,
    "voc": voc,
    "csv": csv_table,
    "arrayrecord": array_record,
    "folders": class_folders,
    "masks": mask_folders,
}
"""Writer of each format: a function of (splits, folder, lost); `lost` collects what is dropped."""
