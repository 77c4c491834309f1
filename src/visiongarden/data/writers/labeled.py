"""Writers of class folders and mask folders; image files are copied unchanged."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visiongarden.config import dump_yaml
from visiongarden.data.labeled_images import ClassificationDataset
from visiongarden.data.masks import SegmentationDataset
from visiongarden.data.writers.splits import one_map, parts_of, write_classes, write_file
from visiongarden.storage.header import MAX_BYTES
from visiongarden.storage.place import read_bytes
from visiongarden.types import IGNORE, ClassMap


def class_folders(
    splits: Mapping[str, ClassificationDataset], folder: Path, lost: list[str]
) -> None:
    """Write `<split>/<class>/`, and `classes.txt` if the folders alone do not define the classes.

    Args:
        splits: Datasets by split, all with the same class map. The split "" is written without a
            separate folder.
        folder: Folder to write to.
        lost: Collector of what the format cannot store; class folders store everything.
    """
    names = one_map(splits).names
    used = {names[index] for dataset in splits.values() for index in dataset.classes}
    if tuple(sorted(used)) != names:
        write_classes(names, folder)
    for split, dataset in splits.items():
        for path, index in zip(dataset.paths, dataset.classes, strict=True):
            raw = bytes(read_bytes(path, MAX_BYTES))
            write_file(folder, *parts_of(split), names[index], path.name, content=raw)


def mask_folders(
    splits: Mapping[str, SegmentationDataset], folder: Path, lost: list[str], step: int = 0
) -> None:
    """Write `images/<split>/`, `masks/<split>/` and `classes.yaml`.

    Args:
        splits: Datasets by split, all with the same class map. The split "" is written without a
            separate folder.
        folder: Folder to write to.
        lost: Collector of what the format cannot store; mask folders store everything.
        step: Number that is subtracted from the ids in masks and class map; 0 copies the masks
            unchanged.
    """
    class_map = one_map(splits)
    dataset = next(iter(splits.values()))
    write_file(folder, "classes.yaml", content=_classes(dataset, class_map, step))
    for split, part in splits.items():
        for index, (image, mask) in enumerate(zip(part.images, part.masks, strict=True)):
            raw = bytes(read_bytes(image, MAX_BYTES))
            write_file(folder, "images", *parts_of(split), image.name, content=raw)
            if step:
                raw, name = _lowered(part, index, step), f"{mask.stem}.png"
            else:
                raw, name = bytes(read_bytes(mask, MAX_BYTES)), mask.name
            write_file(folder, "masks", *parts_of(split), name, content=raw)


def _classes(dataset: SegmentationDataset, class_map: ClassMap, step: int) -> str:
    ignored: dict[str, Any] = {}
    if dataset.colors is not None:
        values: list[Any] = [list(color) for color in dataset.colors]
        if any(value != IGNORE for value in dataset.ignored):
            ignored = {"ignore": [list(value) for value in dataset.ignored if value != IGNORE]}  # type: ignore[arg-type]
    else:
        values = [i - step for i in class_map.ids]
        ignored = {"ignore": [value for value in dataset.ignored if value not in values]}
    return dump_yaml({"classes": dict(zip(class_map.names, values, strict=True))} | ignored)


def _lowered(dataset: SegmentationDataset, index: int, step: int) -> bytes:
    values = dataset.values(index)
    # Only ids of classes are shifted; ignored values keep their number.
    moved = np.where(np.isin(values, dataset.class_map.ids), values - step, values)
    kind = np.uint8 if moved.max(initial=0) < 256 else np.uint16
    stream = io.BytesIO()
    Image.fromarray(moved.astype(kind)).save(stream, format="PNG")
    return stream.getvalue()
