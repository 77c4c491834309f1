"""One writer a format: the labels of all splits into a folder that nobody sees yet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from visiongarden.data import outlines
from visiongarden.data.dataset import DetectionDataset
from visiongarden.data.header import MOST_BYTES
from visiongarden.data.place import read_bytes
from visiongarden.data.read.array_record import FORMAT, META, VERSION, shard_name
from visiongarden.data.write.labelled import class_folders, mask_folders
from visiongarden.data.write.splits import make_folder, one_map, write_classes, write_file
from visiongarden.errors import UserError
from visiongarden.storage import path_inside
from visiongarden.types import ClassMap, Example, Outline

Splits = Mapping[str, DetectionDataset]

_KINDS = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"BM": ".bmp", b"RI": ".webp"}
_SHARD_BYTES = 256 * 2**20


class Lost(list[str]):
    """What a format has no place for, one line each."""


def coco(splits: Splits, folder: Path, lost: Lost) -> None:
    """`annotations/instances_<split>.json`, images in `images/<split>/`."""
    for split, dataset in splits.items():
        ids = dataset.class_map.ids
        names = zip(ids, dataset.class_map.names, strict=True)
        rows: dict[str, list[Any]] = {"images": [], "annotations": []}
        rows["categories"] = [{"id": i, "name": name} for i, name in names]
        for number, (name, example, raw) in enumerate(named(dataset)):
            write_file(folder, "images", split, name, content=raw)
            height, width = size_of(example)
            rows["images"].append(
                {"id": number + 1, "file_name": name, "height": height, "width": width}
            )
            for box, index, many, outline in objects(example):
                rows["annotations"].append(
                    _annotation(len(rows["annotations"]) + 1, number + 1, box, many, outline)
                    | {"category_id": ids[index]}
                )
        text = json.dumps(rows)
        write_file(folder, "annotations", f"instances_{split}.json", content=text)


def _annotation(
    number: int, image: int, box: list[float], many: bool, outline: Outline | None
) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    area = (x2 - x1) * (y2 - y1) if outline is None else outlines.area_of(outline)
    row: dict[str, Any] = {"id": number, "image_id": image, "bbox": [x1, y1, x2 - x1, y2 - y1]}
    row |= {"area": area, "iscrowd": int(many)}
    if outline is not None:
        row["segmentation"] = [ring.ravel().tolist() for ring in outline]
    return row


def yolo(splits: Splits, folder: Path, lost: Lost) -> None:
    """`data.yaml`, `images/<split>/`, `labels/<split>/`; an outlined object as its outline."""
    names = one_map(splits).names
    lines = ["path: .", *(f"{split}: images/{split}" for split in splits), "names:"]
    lines += [f"  {i}: {json.dumps(name, ensure_ascii=False)}" for i, name in enumerate(names)]
    write_file(folder, "data.yaml", content="\n".join(lines) + "\n")
    for split, dataset in splits.items():
        make_folder(folder, "labels", split)
        for name, example, raw in named(dataset):
            write_file(folder, "images", split, name, content=raw)
            text = "".join(_line(name, example, *row, lost) for row in objects(example))
            write_file(folder, "labels", split, f"{stem_of(name)}.txt", content=text)


def _line(
    name: str,
    example: Example,
    box: list[float],
    index: int,
    many: bool,
    outline: Outline | None,
    lost: Lost,
) -> str:
    if many:
        lost.append(f"{name}: a crowd becomes an object")
    sides = np.array(size_of(example)[::-1], np.float64)
    x1, y1, x2, y2 = box
    values = np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]) / np.tile(sides, 2)
    if outline is not None:
        if np.abs(np.array(outlines.box_of(outline)) - box).max() > 1:
            lost.append(f"{name}: an outline that does not fill its box; the box is kept")
        else:
            # Rings become one by ways there and back, which enclose nothing.
            ways = [np.concatenate([ring, ring[:1], outline[0][:1]]) for ring in outline[1:]]
            first = [np.concatenate([outline[0], outline[0][:1]])] if ways else [outline[0]]
            values = (np.concatenate([*first, *ways]).astype(np.float64) / sides).ravel()
    return " ".join([str(index), *(f"{value:.9f}" for value in values)]) + "\n"


def voc(splits: Splits, folder: Path, lost: Lost) -> None:
    """`Annotations/`, `JPEGImages/`, `ImageSets/Main/`, and `classes.txt` for their order."""
    write_classes(one_map(splits).names, folder)
    taken: set[str] = set()
    for split, dataset in splits.items():
        stems = []
        for name, example, raw in named(dataset, taken):
            write_file(folder, "JPEGImages", name, content=raw)
            stem = stem_of(name)
            stems.append(stem)
            text = _xml(name, example, dataset.class_map, lost)
            write_file(folder, "Annotations", f"{stem}.xml", content=text)
        text = "".join(f"{stem}\n" for stem in stems)
        write_file(folder, "ImageSets", "Main", f"{split}.txt", content=text)


def _xml(name: str, example: Example, class_map: ClassMap, lost: Lost) -> str:
    height, width = size_of(example)
    lines = [
        "<annotation>",
        f"  <filename>{escape(name)}</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
    ]
    for box, index, many, outline in objects(example):
        _boxes_alone(name, many, outline, lost)
        corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        inside = "".join(f"<{corner}>{value!r}</{corner}>" for corner, value in corners)
        lines += [
            "  <object>",
            f"    <name>{escape(class_map.names[index])}</name>",
            f"    <bndbox>{inside}</bndbox>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def csv_table(splits: Splits, folder: Path, lost: Lost) -> None:
    """`<split>.csv` with a header, `images/<split>/`, and `classes.txt` for the classes' order."""
    write_classes(one_map(splits).names, folder)
    for split, dataset in splits.items():
        with path_inside(folder, f"{split}.csv", what="the split").open(
            "w", newline="", encoding="utf-8"
        ) as stream:
            writer = csv.writer(stream)
            writer.writerow(["path", "x1", "y1", "x2", "y2", "class"])
            for name, example, raw in named(dataset):
                write_file(folder, "images", split, name, content=raw)
                path = f"images/{split}/{name}"
                for box, index, many, outline in objects(example):
                    _boxes_alone(name, many, outline, lost)
                    writer.writerow([path, *map(repr, box), dataset.class_map.names[index]])
                if not len(example.boxes):
                    writer.writerow([path, "", "", "", "", ""])


def array_record(splits: Splits, folder: Path, lost: Lost) -> None:
    """Shards of images and of labels for each split, and `dataset.json`."""
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
    write_file(folder, META, content=json.dumps(meta))


def _shards(folder: Path, split: str, number: int, count: int, examples: Sequence[Example]) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    # One record a group: any of them can be read alone.
    pair = [
        ArrayRecordWriter(str(path_inside(folder, name, what="the split")), "group_size:1")
        for name in (shard_name(split, what, number, count) for what in ("images", "labels"))
    ]
    for example in examples:
        crowd = example.crowd if example.crowd is not None else np.zeros(len(example.boxes), bool)
        row: dict[str, Any] = {"name": example.path.name, "size": size_of(example)}
        row |= {"boxes": example.boxes.tolist(), "classes": example.classes.tolist()}
        row["crowd"] = crowd.tolist()
        if example.outlines:
            row["outlines"] = [o and [ring.tolist() for ring in o] for o in example.outlines]
        pair[0].write(image_bytes(example))
        pair[1].write(json.dumps(row).encode())
    for writer in pair:
        writer.close()


WRITERS: dict[str, Any] = {
    "coco": coco,
    "yolo": yolo,
    "voc": voc,
    "csv": csv_table,
    "arrayrecord": array_record,
    "folders": class_folders,
    "masks": mask_folders,
}


def objects(example: Example) -> Iterator[tuple[list[float], int, bool, Outline | None]]:
    """Box, class, whether a crowd, and outline of each object."""
    count = len(example.boxes)
    crowd = example.crowd if example.crowd is not None else np.zeros(count, bool)
    drawn = example.outlines or (None,) * count
    rows = zip(example.boxes.tolist(), example.classes.tolist(), crowd.tolist(), drawn, strict=True)
    yield from rows


def named(
    dataset: DetectionDataset, taken: set[str] | None = None
) -> Iterator[tuple[str, Example, bytes]]:
    """Each example with a file name of its own, also without its ending, and its image's bytes."""
    taken = set() if taken is None else taken
    for example in dataset:
        raw = image_bytes(example)
        ending = example.path.suffix or _KINDS.get(raw[:2], ".tif")
        stem = example.path.name.removesuffix(ending)
        number, name = 1, stem
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.lower())
        yield name + ending, example, raw


def stem_of(name: str) -> str:
    """A file name without its ending."""
    return name.rpartition(".")[0]


def image_bytes(example: Example) -> bytes:
    """The image file of an example, as it is."""
    if example.path is None or isinstance(example.path, str):
        raise UserError("an image that is not a file cannot be copied", rule="a data set of files")
    return bytes(read_bytes(example.path, MOST_BYTES))


def size_of(example: Example) -> tuple[int, int]:
    """(height, width) of an example's image."""
    if example.size is None:
        raise UserError(f"{example.path}: the size of the image is not known")
    return example.size


def _boxes_alone(name: str, many: bool, outline: Outline | None, lost: Lost) -> None:
    if many:
        lost.append(f"{name}: a crowd becomes an object")
    if outline is not None:
        lost.append(f"{name}: an outline; its box is kept")
