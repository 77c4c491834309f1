"""What all readers do with the boxes of one image, and with the folders that they lie in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data import outlines
from visiongarden.data.faults import Faults, all_sound
from visiongarden.data.header import image_size
from visiongarden.data.place import Place, read_bytes
from visiongarden.errors import DataError
from visiongarden.types import Example, ImageSize, Outline

MOST_TEXT = 512 * 2**20
"""Largest annotation file that is read."""

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
CLASSES = "classes.txt"
"""Beside annotations that name classes: all names in their order, one a line."""


@dataclass(frozen=True)
class Label:
    """One box as a file gives it: where it stands, its xyxy pixels, its class, whether a crowd."""

    where: str
    box: Sequence[float]
    index: int
    crowd: bool = False
    outline: Outline | None = None


def size_of(path: Any, faults: Faults) -> ImageSize | None:
    """(height, width) of an image; None, with a fault, where there is none."""
    try:
        return image_size(path)
    except DataError as error:
        faults.add_error(error, "image")
        return None


def example(
    path: Any, size: ImageSize, labels: Sequence[Label], faults: Faults, image_id: int
) -> Example:
    """An `Example` of the boxes that are sound; the others become faults."""
    boxes = np.array([label.box for label in labels], np.float64).reshape(-1, 4)
    kept: Sequence[Label] = labels
    if not all_sound(boxes, size):
        pairs = [(faults.box(label.where, label.box, size), label) for label in labels]
        kept = [label for box, label in pairs if box is not None]
        boxes = np.array([box for box, _ in pairs if box is not None], np.float64).reshape(-1, 4)
    drawn: tuple[Outline | None, ...] | None = None
    if any(label.outline for label in kept):
        canvas = (0.0, 0.0, float(size[1]), float(size[0]))
        drawn = tuple(o.outline and outlines.cut(o.outline, canvas) for o in kept)
    return Example(
        boxes=boxes.astype(np.float32),
        classes=np.array([label.index for label in kept], np.int32),
        path=path,
        image_id=image_id,
        size=size,
        crowd=np.array([label.crowd for label in kept], bool),
        outlines=drawn,
    )


def read_text(path: Place) -> str:
    """Text of an annotation file.

    Raises:
        DataError: no such file, too large, or not UTF-8.
    """
    try:
        return read_bytes(path, MOST_TEXT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text", received=str(error)) from error


def names_in(folder: Place) -> list[str]:
    """Names of what lies in a folder, in order; none where there is no such folder."""
    if not folder.is_dir():
        return []
    if isinstance(folder, Path):
        return sorted(os.listdir(folder))  # noqa: PTH208 (names alone, at a tenth of the cost)
    return [item.name for item in folder.iterdir()]


def images_in(folder: Place) -> dict[str, Place]:
    """Name without ending -> image, of one folder, in order of the names.

    Raises:
        DataError: two images differ in their ending alone: a label file belongs to one.
    """
    named: dict[str, Place] = {}
    for name in names_in(folder):
        stem, ending = os.path.splitext(name)  # noqa: PTH122
        if ending.lower() not in ENDINGS:
            continue
        if stem in named:
            raise DataError(
                f"{folder / name} and {named[stem].name} have one name",
                rule="images are told apart without their ending, as their label files are",
                fix="rename one, and its label file",
            )
        named[stem] = folder / name
    return named


def class_names_in(root: Place) -> tuple[str, ...] | None:
    """Names in `classes.txt`, where there is one."""
    file = root / CLASSES
    if not file.is_file():
        return None
    return tuple(line.strip() for line in read_text(file).splitlines() if line.strip()) or None


def no_split(root: Any, split: str, splits: Iterable[str]) -> DataError:
    """The error for a split that is not there."""
    names = sorted(splits)
    return DataError(
        f"{root} has no split {split!r}",
        rule="one of the splits there are",
        received=f"it has {', '.join(names) or 'none'}",
        fix=f"--split {names[0]}" if names else None,
    )


def by_hash(name: str) -> str:
    """The split of a file where nothing else says it: 80/10/10; it stays whatever is added."""
    import hashlib

    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
    return "train" if share < 0.8 else "val" if share < 0.9 else "test"
