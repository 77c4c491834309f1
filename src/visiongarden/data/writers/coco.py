"""Writer of COCO JSON, which stores everything that was read, unknown keys included."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.rows import Row
from visiongarden.data.writers.checked import CheckedWriter
from visiongarden.data.writers.held import Held, area_of, coco_objects, objects, posed
from visiongarden.data.writers.images import Splits, named
from visiongarden.data.writers.lost import Lost
from visiongarden.data.writers.splits import write_file
from visiongarden.errors import DataError
from visiongarden.registry import register
from visiongarden.samples.unknown_keys import unpack


@register
class COCOWriter(CheckedWriter):
    """Writer of `annotations/instances_<split>.json` and the images in `images/<split>/`.

    Masks are written as `segmentation`, keypoints as `keypoints` with their names and skeleton in
    `categories`. A rotated box is written as the upright box around it, with its corners as a
    polygon if the object has no mask.
    """

    format: ClassVar[str] = "coco"
    reader: ClassVar[str] = "COCO"
    exact: ClassVar[bool] = True

    def fill(self, splits: Splits, folder: Path, lost: Lost) -> None:
        """Write the files; see `CheckedWriter.fill`."""
        for split, dataset in splits.items():
            rows: dict[str, Any] = {**dataset.extra, "images": [], "annotations": []}
            posed_classes = _posed_classes(dataset)
            rows["categories"] = _categories(dataset, posed_classes)
            # All original ids are collected first, so that a generated id never equals a later one.
            of_images, of_boxes = _Ids(), _Ids()
            for row in dataset.rows():
                image, boxes = unpack(row.unknown, len(row.classes))
                of_images.take(image)
                of_boxes.take(*boxes)
            for name, row, raw in named(split, dataset, lost):
                write_file(folder, "images", split, name, content=raw)
                height, width = row.size
                keys = unpack(row.unknown, len(row.classes))[0]
                entry = keys | {"file_name": name, "height": height, "width": width}
                entry["id"] = number = of_images.next(entry)
                rows["images"].append(entry)
                held, dropped = coco_objects(row)
                lost.of(name, dropped)
                ids = dataset.class_map.ids
                rows["annotations"] += _annotations(held, number, ids, of_boxes, posed_classes)
            write_file(folder, "annotations", f"instances_{split}.json", content=_text(split, rows))

    def holds(self, splits: Splits) -> Callable[[Row], Held]:
        """Return what COCO stores; see `CheckedWriter.holds`."""
        return coco_objects


def _posed_classes(dataset: Dataset) -> frozenset[int]:
    """Return the classes whose objects are written with keypoints."""
    if "keypoints" not in dataset.fields:
        return frozenset()
    given = {i for i, keys in enumerate(dataset.categories) if "keypoints" in keys}
    used = {int(i) for row in dataset.rows() for i in row.classes[posed(row)]}
    return frozenset(given | used or range(len(dataset.class_map)))


def _categories(dataset: Dataset, posed_classes: frozenset[int]) -> list[dict[str, Any]]:
    scheme, class_map = dataset.scheme, dataset.class_map
    keys: dict[str, Any] = {"keypoints": list(scheme.names)} if scheme.names else {}
    if scheme.skeleton:  # which counts from 1 in COCO
        keys["skeleton"] = [[a + 1, b + 1] for a, b in scheme.skeleton]
    every = dataset.categories or ({},) * len(class_map)
    has_own = any("keypoints" in own for own in every)
    return [
        {"id": class_id, "name": name}
        | (keys if index in posed_classes and not has_own else {})
        | dict(own)
        for index, (class_id, name, own) in enumerate(
            zip(class_map.ids, class_map.names, every, strict=True)
        )
    ]


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
    held: Row, image: Any, ids: tuple[int, ...], numbers: _Ids, posed_classes: frozenset[int]
) -> Iterator[dict[str, Any]]:
    every = unpack(held.unknown, len(held.classes))[1]
    labeled = posed(held).tolist()
    rows = zip(objects(held), every, area_of(held).tolist(), strict=True)
    for i, ((box, index, many, polygons), keys, area) in enumerate(rows):
        x1, y1, x2, y2 = box
        row: dict[str, Any] = {"id": numbers.next(keys), "image_id": image}
        row |= {"category_id": ids[index], "bbox": [x1, y1, x2 - x1, y2 - y1]}
        row |= {"area": area, "iscrowd": int(many)}
        if polygons is not None:
            row["segmentation"] = [ring.astype(float).ravel().tolist() for ring in polygons]
        if held.keypoints is not None and (labeled[i] or index in posed_classes):
            row |= _keypoints(held.keypoints[i])
        yield row | {key: value for key, value in keys.items() if key != "id"}


def _keypoints(points: np.ndarray) -> dict[str, Any]:
    values: list[Any] = []
    for x, y, visibility in points.tolist():
        values += [x, y, int(visibility)]
    return {"keypoints": values, "num_keypoints": int((points[:, 2] > 0).sum())}


def _text(split: str, rows: dict[str, Any]) -> str:
    try:
        return json.dumps(rows)
    except RecursionError:
        raise DataError(f"{split}: keys are nested too deeply to be written") from None
