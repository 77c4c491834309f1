"""Functions that writers need for examples: their objects, file names and image bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from visiongarden.data.dataset import DetectionDataset
from visiongarden.errors import UserError
from visiongarden.samples.extra import unpack
from visiongarden.storage.header import MAX_BYTES
from visiongarden.storage.place import read_bytes
from visiongarden.types import Example, Polygons

Splits = Mapping[str, DetectionDataset]

_SHOWN = 3
_KINDS = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"BM": ".bmp", b"RI": ".webp"}


class Lost(list[str]):
    """List of what a format cannot store, one line per item.

    Attributes:
        names: File names of the images of each split as written, in their order.
        groups: Images or splits by the description of what is dropped from them; an image occurs
            once for each dropped item.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, list[str]] = {}
        self.groups: dict[str, list[str]] = {}

    def of(self, name: str, dropped: Iterable[str]) -> None:
        """Add what is dropped from an image or a split."""
        for what in dropped:
            self.append(f"{name}: {what}")
            self.groups.setdefault(what, []).append(name)

    def summary(self) -> list[str]:
        """Return one line per category of dropped items, with their number and three images."""
        lines = []
        for what, names in self.groups.items():
            shown = list(dict.fromkeys(names))
            more = ", …" * (len(shown) > _SHOWN)
            lines.append(f"{len(names):,} × {what} ({', '.join(shown[:_SHOWN])}{more})")
        return lines


def objects(example: Example) -> Iterator[tuple[list[float], int, bool, Polygons | None]]:
    """Iterate over the objects of an example as (box, class, whether a crowd, polygons or None)."""
    count = len(example.boxes)
    crowd = example.crowd if example.crowd is not None else np.zeros(count, bool)
    rings = example.polygons or (None,) * count
    rows = zip(example.boxes.tolist(), example.classes.tolist(), crowd.tolist(), rings, strict=True)
    yield from rows


def named(
    split: str, dataset: DetectionDataset, lost: Lost, taken: set[str] | None = None
) -> Iterator[tuple[str, Example, bytes]]:
    """Iterate over examples as (file name, example, image bytes), with unique file names.

    Names are unique without their extension too, ignoring case, because label files share the name.

    Args:
        split: Name of the split.
        dataset: Dataset of the split.
        lost: Collector that stores the names.
        taken: Lowercase names in use, which is extended; a new set by default.
    """
    taken = set() if taken is None else taken
    names = lost.names.setdefault(split, [])
    for example in dataset:
        raw = image_bytes(example)
        given = _name_of(example)
        # Records have names without an extension; the first bytes determine it.
        ending = _ending(given) or _KINDS.get(raw[:2], ".tif")
        stem = given.removesuffix(ending)
        number, name = 1, stem
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.lower())
        names.append(name + ending)
        yield name + ending, example, raw


def _name_of(example: Example) -> str:
    """Return the name of an image's file; for a record, of the file it was converted from."""
    if not example.path.suffix and example.extra is not None:
        name = unpack(example)[0].get("file_name")
        if isinstance(name, str) and name:
            return name
    return str(example.path.name)


def _ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return dot + ending if stem and ending else ""


def stem_of(name: str) -> str:
    """Return a file name without its extension."""
    return name.rpartition(".")[0]


def image_bytes(example: Example) -> bytes:
    """Return the unchanged bytes of an example's image file.

    Raises:
        UserError: The image is not a file, but pixels in memory or a record of a source.
    """
    if example.path is None or isinstance(example.path, str):
        raise UserError(
            "the image is not a file and cannot be copied", rule="a dataset of image files"
        )
    return bytes(read_bytes(example.path, MAX_BYTES))


def size_of(example: Example) -> tuple[int, int]:
    """Return the (height, width) of an example's image.

    Raises:
        UserError: The size is not known.
    """
    if example.size is None:
        raise UserError(f"{example.path}: the size of the image is unknown")
    return example.size


def crowd_of(example: Example) -> np.ndarray:
    """Return bool (n,): which boxes are crowd regions."""
    return example.crowd if example.crowd is not None else np.zeros(len(example.boxes), bool)


def area_of(example: Example) -> np.ndarray:
    """Return float64 (n,): areas of the objects in square pixels; NaN for unknown ones."""
    return example.area if example.area is not None else np.full(len(example.boxes), np.nan)


def box_areas(example: Example) -> np.ndarray:
    """Return float64 (n,): the areas of the boxes in square pixels."""
    sides: Any = (example.boxes[:, 2:] - example.boxes[:, :2]).astype(np.float64)
    return np.asarray(sides.prod(axis=1))
