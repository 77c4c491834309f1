"""What all readers do with the boxes of one image, and with the folders that they lie in."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.faults import Faults, all_sound, wrong_with
from visiongarden.errors import DataError, option
from visiongarden.samples import outlines
from visiongarden.samples.extra import pack
from visiongarden.storage.header import image_size
from visiongarden.storage.place import Place, read_text_bytes
from visiongarden.types import Example, ImageSize, Outline

MOST_TEXT = 512 * 2**20
"""Largest annotation file that is read."""

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
CLASSES = "classes.txt"
"""Beside annotations that name classes: all names in their order, one a line."""


@dataclass(frozen=True)
class Label:
    """One box as a file gives it: where it stands, its xyxy pixels, its class, whether a crowd.

    `extra` holds the keys of its object that nothing here reads.
    """

    where: str
    box: Sequence[float]
    index: int
    crowd: bool = False
    outline: Outline | None = None
    area: float = math.nan
    extra: Mapping[str, Any] = field(default_factory=dict)


def size_of(path: Any, faults: Faults) -> ImageSize | None:
    """(height, width) of an image; None, with a fault, where there is none.

    None without a fault for an image of another part of a set that is divided by a hash.
    """
    if not faults.includes(path):
        return None
    try:
        return image_size(path)
    except DataError as error:
        faults.add_error(error, "image")
        return None


def example(
    path: Any,
    size: ImageSize,
    labels: Sequence[Label],
    faults: Faults,
    image_id: int,
    given: int = 0,
    extra: Mapping[str, Any] | None = None,
) -> Example:
    """An `Example` of the boxes that are sound; the others become faults.

    Args:
        path: of the image.
        size: of the image.
        labels: those that could be read.
        faults: collects what is wrong.
        image_id: position in the data set.
        given: number of labels that the file holds, also of those that could not be read.
        extra: keys of the image that nothing here reads.
    """
    boxes = np.array([label.box for label in labels], np.float64).reshape(-1, 4)
    kept: Sequence[Label] = labels
    if not all_sound(boxes, size):
        pairs = [(faults.box(label.where, label.box, size), label) for label in labels]
        kept = [_cut(label, size) for box, label in pairs if box is not None]
        boxes = np.array([box for box, _ in pairs if box is not None], np.float64).reshape(-1, 4)
    if not len(kept) and max(given, len(labels)):
        faults.emptied.add(str(path))
    drawn = tuple(label.outline for label in kept)
    areas = np.array([label.area for label in kept], np.float64)
    return Example(
        boxes=boxes.astype(np.float32),
        classes=np.array([label.index for label in kept], np.int32),
        path=path,
        image_id=image_id,
        size=size,
        crowd=np.array([label.crowd for label in kept], bool),
        outlines=drawn if any(drawn) else None,
        area=areas if np.isfinite(areas).any() else None,
        extra=pack(extra or {}, [label.extra for label in kept]),
    )


def _cut(label: Label, size: ImageSize) -> Label:
    """A label whose box is cut at the border, with no more of its object than stays in view."""
    if wrong_with(label.box, size) is None:  # by a pixel at most, which keeps what the file says
        return label
    canvas = (0.0, 0.0, float(size[1]), float(size[0]))
    extra = {k: v for k, v in label.extra.items() if k != "bbox"}
    drawn = label.outline and outlines.cut(label.outline, canvas)
    return replace(label, outline=drawn, area=math.nan, extra=extra)


def read_text(path: Place) -> str:
    """Text of an annotation file.

    Raises:
        DataError: no such file, too large, or not UTF-8.
    """
    try:
        return read_text_bytes(path, MOST_TEXT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text", received=str(error)) from error


def names_in(folder: Place) -> list[str]:
    """Names of what lies in a folder, in order; none where there is no such folder."""
    if not folder.is_dir():
        return []
    if isinstance(folder, Path):
        return sorted(os.listdir(folder))  # noqa: PTH208 (names alone, at a tenth of the cost)
    return [item.name for item in folder.iterdir()]


def there(base: Place, name: str) -> Place:
    r"""What a file names, from a folder on; `a\b.png`, as on Windows, where only a/b.png is."""
    place = base / name
    if "\\" not in name or place.exists():
        return place
    return base / name.replace("\\", "/")


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
        fix=option("split", names[0]) if names else None,
    )


def by_hash(name: str) -> str:
    """The split of a file where nothing else says it: 80/10/10; it stays whatever is added."""
    import hashlib

    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
    return "train" if share < 0.8 else "val" if share < 0.9 else "test"
