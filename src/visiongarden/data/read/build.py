"""What all readers do with the boxes of one image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visiongarden.data.decode import image_size
from visiongarden.data.faults import Faults
from visiongarden.errors import DataError
from visiongarden.types import Example, ImageSize

MOST_TEXT = 512 * 2**20
"""Largest annotation file that is read."""

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
"""Endings of the image files that are read, in lower case."""


@dataclass(frozen=True)
class Label:
    """One box as a file gives it: where it stands, its xyxy pixels, its class, whether a crowd."""

    where: str
    box: tuple[float, float, float, float]
    index: int
    crowd: bool = False


def size_of(path: Path, faults: Faults) -> ImageSize | None:
    """(height, width) of an image; None, with a fault, where there is none."""
    try:
        return image_size(path)
    except DataError as error:
        faults.lines.append(error.what + (f" ({error.received})" if error.received else ""))
        return None


def example(
    path: Path, size: ImageSize, labels: Iterable[Label], faults: Faults, image_id: int
) -> Example:
    """An `Example` of the boxes that are sound; the others become faults."""
    boxes, classes, crowd = [], [], []
    for label in labels:
        box = faults.box(label.where, label.box, size)
        if box is not None:
            boxes.append(box)
            classes.append(label.index)
            crowd.append(label.crowd)
    return Example(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.array(classes, np.int32),
        path=path,
        image_id=image_id,
        size=size,
        crowd=np.array(crowd, bool),
    )


def read_text(path: Path) -> str:
    """Text of an annotation file.

    Raises:
        DataError: no such file, too large, or not UTF-8.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    if path.stat().st_size > MOST_TEXT:
        raise DataError(f"{path}: larger than {MOST_TEXT:,} bytes")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text", received=str(error)) from error


def images_in(folder: Path) -> dict[str, Path]:
    """Name without ending -> image, of one folder, in order of the names.

    Raises:
        DataError: two images differ in their ending alone: a label file belongs to one.
    """
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_ENDINGS)
    named: dict[str, Path] = {}
    for path in found:
        if path.stem in named:
            raise DataError(
                f"{path} and {named[path.stem].name} have one name",
                rule="images are told apart without their ending, as their label files are",
                fix="rename one, and its label file",
            )
        named[path.stem] = path
    return named


def split_by_hash(name: str) -> str:
    """ "train", "val" or "test", 80/10/10; a name keeps its split whatever else is added."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
    return "train" if share < 0.8 else "val" if share < 0.9 else "test"


def no_split(root: Path, split: str, splits: Iterable[str]) -> DataError:
    """The error for a split that is not there."""
    names = sorted(splits)
    return DataError(
        f"{root} has no split {split!r}",
        rule="one of the splits there are",
        received=f"it has {', '.join(names) or 'none'}",
        fix=f"--split {names[0]}" if names else None,
    )
