"""Functions that several readers share: examples from boxes, file names, class lists and splits."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from visiongarden.data.error_list import ErrorList, all_valid, wrong_with
from visiongarden.errors import DataError, option
from visiongarden.samples import masks
from visiongarden.samples.extra import pack
from visiongarden.storage.header import image_size
from visiongarden.storage.place import Place, read_text_bytes
from visiongarden.types import Example, ImageSize, Polygons

MAX_TEXT = 512 * 2**20
"""Maximum size of an annotation file in bytes."""

ARRAY = ".npy"
ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ARRAY}
CLASSES = "classes.txt"
"""File beside annotations that lists all class names in their order, one per line."""


@dataclass(frozen=True)
class Label:
    """One object as read from a file.

    Attributes:
        where: File and line or number of the object.
        box: xyxy, pixels.
        index: Class index.
        crowd: Whether the object is a crowd region.
        polygons: Polygons of the object, if it has a mask.
        area: Area in square pixels; NaN if the file contains none.
        extra: Keys of the object that visiongarden does not use.
    """

    where: str
    box: Sequence[float]
    index: int
    crowd: bool = False
    polygons: Polygons | None = None
    area: float = math.nan
    extra: Mapping[str, Any] = field(default_factory=dict)


def size_of(path: Any, errors: ErrorList) -> ImageSize | None:
    """Return the (height, width) of an image; None, after adding an error, if it cannot be read.

    Also None, without an error, if the image belongs to another part of a dataset that is divided
    by a hash.
    """
    if not errors.includes(path):
        return None
    try:
        return image_size(path)
    except DataError as error:
        errors.add_error(error, "image")
        return None


def example(
    path: Any,
    size: ImageSize,
    labels: Sequence[Label],
    errors: ErrorList,
    image_id: int,
    given: int = 0,
    extra: Mapping[str, Any] | None = None,
) -> Example:
    """Build an `Example` from the valid boxes of an image; invalid boxes are added as errors.

    Args:
        path: Location of the image.
        size: (height, width) of the image.
        labels: Objects that were parsed.
        errors: Collector of the errors.
        image_id: Index of the image in the dataset.
        given: Number of objects in the file, including those that could not be parsed.
        extra: Keys of the image that visiongarden does not use.
    """
    boxes = np.array([label.box for label in labels], np.float64).reshape(-1, 4)
    kept: Sequence[Label] = labels
    # Vectorized check of the common case; boxes are examined one by one only if one is invalid.
    if not all_valid(boxes, size):
        pairs = [(errors.box(label.where, label.box, size), label) for label in labels]
        kept = [_cut(label, size) for box, label in pairs if box is not None]
        boxes = np.array([box for box, _ in pairs if box is not None], np.float64).reshape(-1, 4)
    if not len(kept) and max(given, len(labels)):
        errors.emptied.add(str(path))
    rings = tuple(label.polygons for label in kept)
    areas = np.array([label.area for label in kept], np.float64)
    return Example(
        boxes=boxes.astype(np.float32),
        classes=np.array([label.index for label in kept], np.int32),
        path=path,
        image_id=image_id,
        size=size,
        crowd=np.array([label.crowd for label in kept], bool),
        polygons=rings if any(rings) else None,
        area=areas if np.isfinite(areas).any() else None,
        extra=pack(extra or {}, [label.extra for label in kept]),
    )


def _cut(label: Label, size: ImageSize) -> Label:
    """Clip the polygons of a label whose box was clipped, and drop its area and original box."""
    if wrong_with(label.box, size) is None:  # clipped by at most a pixel: polygons stay as stored
        return label
    canvas = (0.0, 0.0, float(size[1]), float(size[0]))
    extra = {k: v for k, v in label.extra.items() if k != "bbox"}
    clipped = label.polygons and masks.cut(label.polygons, canvas)
    return replace(label, polygons=clipped, area=math.nan, extra=extra)


def read_text(path: Place) -> str:
    """Read an annotation file as UTF-8 text.

    Raises:
        DataError: The file does not exist, is too large, or is not UTF-8.
    """
    try:
        return read_text_bytes(path, MAX_TEXT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text", received=str(error)) from error


def names_in(folder: Place) -> list[str]:
    """Return the sorted names of the entries of a folder; empty if the folder does not exist."""
    if not folder.is_dir():
        return []
    if isinstance(folder, Path):
        return sorted(os.listdir(folder))  # noqa: PTH208 (names alone, at a tenth of the cost)
    return [item.name for item in folder.iterdir()]


def there(base: Place, name: str) -> Place:
    r"""Return the location of a name relative to `base`; backslashes may separate folders.

    `a\b.png`, as written on Windows, is `a/b.png` unless a file with the backslash in its name
    exists.
    """
    place = base / name
    if "\\" not in name or place.exists():
        return place
    return base / name.replace("\\", "/")


def image_names(names: Sequence[str], arrays: bool = True) -> list[str]:
    """Return those of the file names of one folder that are images.

    NumPy files are images only in a folder without other images: beside them they are caches,
    features or labels, as other tools write them.

    Args:
        names: names of the files.
        arrays: whether NumPy files can be images.

    Example:
        >>> image_names(["a.jpg", "a.npy", "a.txt"]), image_names(["a.npy", "a.txt"])
        (['a.jpg'], ['a.npy'])
    """
    pairs = [(name, os.path.splitext(name)[1].lower()) for name in names]  # noqa: PTH122
    found = [(name, ending) for name, ending in pairs if ending in ENDINGS]
    pictures = [name for name, ending in found if ending != ARRAY]
    if pictures or not arrays:
        return pictures
    return [name for name, _ in found]


def images_in(folder: Place, arrays: bool = True) -> dict[str, Place]:
    """Return the images of one folder, sorted, keyed by their names without extension.

    Args:
        folder: the folder.
        arrays: whether NumPy files can be images, see `image_names`.

    Raises:
        DataError: Two images differ only in their extension, so that a label file cannot be
            assigned to one of them.
    """
    named: dict[str, Place] = {}
    for name in image_names(names_in(folder), arrays):
        stem = os.path.splitext(name)[0]  # noqa: PTH122
        if stem in named:
            raise DataError(
                f"{folder / name} and {named[stem].name} share one name",
                rule="file names that differ by more than the extension",
                fix="rename one of the images and its label file",
            )
        named[stem] = folder / name
    return named


def class_names_in(root: Place) -> tuple[str, ...] | None:
    """Return the names in `classes.txt`, or None if the file does not exist or is empty."""
    file = root / CLASSES
    if not file.is_file():
        return None
    return tuple(line.strip() for line in read_text(file).splitlines() if line.strip()) or None


def no_split(root: Any, split: str, splits: Iterable[str]) -> DataError:
    """Return the error for a split that does not exist."""
    names = sorted(splits)
    return DataError(
        f"{root} has no split {split!r}",
        rule="an existing split",
        received=f"the splits are {', '.join(names) or 'none'}",
        fix=option("split", names[0]) if names else None,
    )


def by_hash(name: str) -> str:
    """Return the split of a file by a hash of its name: 80 % train, 10 % val, 10 % test.

    The split of a file does not change when files are added or removed.

    Example:
        >>> [by_hash(name) for name in ("cat", "dog", "bird")]
        ['train', 'val', 'train']
    """
    import hashlib

    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
    return "train" if share < 0.8 else "val" if share < 0.9 else "test"
