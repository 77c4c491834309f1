"""Names and bytes of the images that writers copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np

from visiongarden.data.dataset import Dataset
from visiongarden.data.rows import Row
from visiongarden.data.writers.lost import Lost
from visiongarden.errors import UserError
from visiongarden.samples.unknown_keys import unpack
from visiongarden.storage.header import MAX_BYTES
from visiongarden.storage.place import read_bytes

Splits = dict[str, Dataset]

_KINDS = {
    b"\xff\xd8": ".jpg",
    b"\x89P": ".png",
    b"BM": ".bmp",
    b"RI": ".webp",
    b"\x93N": ".npy",
}


def named(
    split: str, dataset: Dataset, lost: Lost, taken: set[str] | None = None
) -> Iterator[tuple[str, Row, bytes]]:
    """Iterate over images as (file name, row, image bytes), with unique file names.

    Names are unique without their extension too, ignoring case, because label files share the name.

    Args:
        split: Name of the split.
        dataset: Dataset of the split.
        lost: Collector that stores the names.
        taken: Lowercase names in use, which is extended; a new set by default.
    """
    taken = set() if taken is None else taken
    names = lost.names.setdefault(split, [])
    for index, row in enumerate(dataset.rows()):
        raw = image_bytes(row)
        name = unique_name(name_of(row, index), raw, taken)
        names.append(name)
        yield name, row, raw


def unique_name(given: str, raw: bytes, taken: set[str]) -> str:
    """Return a file name with an extension that is not in `taken` yet, and add it.

    Args:
        given: File name, with or without extension.
        raw: Bytes of the image; the first ones determine an extension that is missing.
        taken: Lowercase names without extension in use, which is extended.
    """
    given = with_ending(given, raw)
    ending = _ending(given)
    stem = given.removesuffix(ending)
    number, name = 1, stem
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.lower())
    return name + ending


def with_ending(name: str, raw: bytes) -> str:
    """Return a file name with an extension, which the first bytes determine if it is missing."""
    return name if _ending(name) else name + _KINDS.get(raw[:2], ".tif")


def name_of(row: Row, index: int) -> str:
    """Return the name of an image's file.

    For a record, it is the name of the file from which it was converted, and for pixels in memory
    the number of the image.
    """
    if row.path is None:
        return f"{index:06}"
    place: Any = PurePath(row.path) if isinstance(row.path, str) else row.path
    if not place.suffix and row.unknown is not None:
        name = unpack(row.unknown, len(row.classes))[0].get("file_name")
        if isinstance(name, str) and name:
            return name
    return str(place.name)


def _ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return dot + ending if stem and ending else ""


def stem_of(name: str) -> str:
    """Return a file name without its extension."""
    return name.rpartition(".")[0]


def image_bytes(row: Row) -> bytes:
    """Return the unchanged bytes of an image file, or pixels in memory as a PNG file.

    Raises:
        UserError: There is no file, and pixels in memory cannot be stored in a PNG file.
    """
    if row.image is not None:
        return _png(row.image)
    if row.path is None:
        raise UserError(
            "the image is neither a file nor in memory and cannot be copied",
            rule="a sample whose `info.source` is a file, or whose `image` is an array",
        )
    place = Path(row.path) if isinstance(row.path, str) else row.path
    return bytes(read_bytes(place, MAX_BYTES))


def _png(image: np.ndarray) -> bytes:
    channels = image.shape[2] if image.ndim == 3 else 0
    if image.dtype not in (np.uint8, np.uint16) or channels not in (1, 3, 4):
        raise UserError(
            "the image in memory cannot be written as a PNG file",
            rule="uint8 or uint16 (height, width, channels), 1, 3 or 4 channels",
            received=f"{image.dtype} {image.shape}",
        )
    # OpenCV stores colors as BGR.
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    return cv2.imencode(".png", np.ascontiguousarray(image[..., order]))[1].tobytes()
