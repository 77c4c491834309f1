"""Writer of COCO JSON, which stores everything that was read, unused keys included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visiongarden.data.writers.examples import Lost, Splits, area_of, named, objects, size_of
from visiongarden.data.writers.held import with_areas
from visiongarden.data.writers.splits import write_file
from visiongarden.errors import DataError
from visiongarden.samples.extra import unpack
from visiongarden.types import Example


def write(splits: Splits, folder: Path, lost: Lost) -> None:
    """Write `annotations/instances_<split>.json` and the images in `images/<split>/`.

    Args:
        splits: Datasets by split.
        folder: Folder to write to.
        lost: Collector of what the format cannot store; COCO stores everything.
    """
    for split, dataset in splits.items():
        ids = dataset.class_map.ids
        keys = dataset.categories or ({},) * len(ids)
        rows: dict[str, Any] = {**dataset.extra, "images": [], "annotations": []}
        rows["categories"] = [
            {"id": i, "name": name} | dict(own)
            for i, name, own in zip(ids, dataset.class_map.names, keys, strict=True)
        ]
        # All original ids are collected first, so that a generated id never equals a later one.
        of_images, of_boxes = _Ids(), _Ids()
        for example in dataset:
            image, boxes = unpack(example)
            of_images.take(image)
            of_boxes.take(*boxes)
        for name, example, raw in named(split, dataset, lost):
            write_file(folder, "images", split, name, content=raw)
            height, width = size_of(example)
            row = unpack(example)[0] | {"file_name": name, "height": height, "width": width}
            row["id"] = number = of_images.next(row)
            rows["images"].append(row)
            rows["annotations"] += list(_annotations(example, number, ids, of_boxes))
        write_file(folder, "annotations", f"instances_{split}.json", content=_text(split, rows))


class _Ids:
    """Unique ids: the original ids where these are unique, else the next unused number."""

    def __init__(self) -> None:
        self.given: set[Any] = set()
        self.used: set[Any] = set()
        self.last = 0

    def take(self, *rows: dict[str, Any]) -> None:
        self.given |= {row["id"] for row in rows if isinstance(row.get("id"), (int, str))}

    def next(self, row: dict[str, Any]) -> Any:
        own = row.get("id")
        if not isinstance(own, (int, str)) or own in self.used:
            self.last += 1
            while self.last in self.given:
                self.last += 1
            own = self.last
        self.used.add(own)
        return own


def _annotations(
    example: Example, image: Any, ids: tuple[int, ...], numbers: _Ids
) -> Iterator[dict[str, Any]]:
    areas = area_of(with_areas(example))
    rows = zip(objects(example), unpack(example)[1], areas.tolist(), strict=True)
    for (box, index, many, polygons), keys, area in rows:
        x1, y1, x2, y2 = box
        row: dict[str, Any] = {"id": numbers.next(keys), "image_id": image}
        row |= {"category_id": ids[index], "bbox": [x1, y1, x2 - x1, y2 - y1]}
        row |= {"area": area, "iscrowd": int(many)}
        if polygons is not None:
            row["segmentation"] = [ring.astype(float).ravel().tolist() for ring in polygons]
        yield row | {key: value for key, value in keys.items() if key != "id"}


def _text(split: str, rows: dict[str, Any]) -> str:
    try:
        return json.dumps(rows)
    except RecursionError:
        raise DataError(f"{split}: keys are nested too deeply to be written") from None
