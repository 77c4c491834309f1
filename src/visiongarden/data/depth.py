"""Images of 16 bits: which values they use, and how many are left of them at 8 bits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from visiongarden.data.in_flight import decoding
from visiongarden.errors import DataError
from visiongarden.storage.header import MOST_BYTES, header_of
from visiongarden.storage.place import read_bytes

DARK = 8192
"""Values below this in all of a file use an eighth of 16 bits, and become nearly black."""

_LOOKED_AT = 20


@dataclass(frozen=True)
class Depth:
    """Lowest and highest value of 16-bit images, and how many different ones there are."""

    low: int
    high: int
    levels: int
    left: int
    """Different values once they are divided by 256."""

    @property
    def is_dark(self) -> bool:
        """Whether the images become nearly black."""
        return self.high < DARK

    def __str__(self) -> str:
        return (
            f"16 bits, values {self.low} to {self.high}, divided by 256 for the 8 bits of a model: "
            f"{self.left} gray levels are left of {self.levels}"
        )


def depth_of(raw: bytes, path: Any) -> Depth | None:
    """The values of an image of 16 bits; None for any other, and for one that cannot be decoded.

    Args:
        raw: bytes of the file.
        path: names it.
    """
    if raw.startswith(b"\x89PNG"):
        if raw[24:25] != b"\x10":
            return None
    elif not raw.startswith((b"II", b"MM")):
        return None  # the other formats hold 8 bits
    try:
        header = header_of(path, raw)
        with decoding(header.height * header.width):
            found = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    except (DataError, cv2.error):
        return None
    if found is None or found.dtype != np.uint16:
        return None
    return _depth(np.bincount(found.ravel(), minlength=1))


def _depth(counts: np.ndarray) -> Depth:
    values = np.flatnonzero(counts)
    left = np.unique(values >> 8)
    return Depth(int(values[0]), int(values[-1]), len(values), len(left))


def together(depths: Iterable[Depth]) -> Depth | None:
    """The range of several images; the levels are those of the one that has most."""
    rows = list(depths)
    if not rows:
        return None
    most = max(rows, key=lambda depth: depth.levels)
    low, high = min(d.low for d in rows), max(d.high for d in rows)
    return Depth(low, high, most.levels, most.left)


def depth_in(dataset: Any) -> Depth | None:
    """The range of the first images of a data set; None where they have 8 bits."""
    found = []
    for index in range(min(len(dataset), _LOOKED_AT)):
        path = dataset.image_path(index)
        if path is None or isinstance(path, str):
            continue
        depth = depth_of(read_bytes(path, MOST_BYTES), path)
        found += [depth] if depth is not None else []
    return together(found)
