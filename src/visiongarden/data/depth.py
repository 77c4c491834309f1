"""Value range of 16-bit images, and the number of gray levels that remain at 8 bits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from visiongarden.data.layout import layout_of
from visiongarden.data.stored import decode_stored_bytes
from visiongarden.errors import DataError
from visiongarden.storage.header import MAX_BYTES
from visiongarden.storage.place import read_bytes

DARK = 8192
"""16-bit images whose maximum is below this use an eighth of the range and become nearly black."""

_LOOKED_AT = 20


@dataclass(frozen=True)
class Depth:
    """Value range and number of distinct values of 16-bit images.

    Attributes:
        low: Lowest value.
        high: Highest value.
        levels: Number of distinct values.
        left: Number of distinct values after division by 256.
    """

    low: int
    high: int
    levels: int
    left: int

    @property
    def is_dark(self) -> bool:
        """Return whether the images become nearly black at 8 bits."""
        return self.high < DARK

    def __str__(self) -> str:
        return (
            f"16-bit values {self.low} to {self.high}, divided by 256 for an 8-bit model: "
            f"{self.left} of {self.levels} gray levels remain"
        )


def depth_of(raw: bytes, path: Any) -> Depth | None:
    """Return the values of a 16-bit image, or None for 8 bits or if it cannot be decoded.

    Args:
        raw: Bytes of the image file.
        path: Name of the file in messages.
    """
    if raw.startswith(b"\x89PNG"):
        if raw[24:25] != b"\x10":
            return None
    elif not raw.startswith((b"II", b"MM")):
        return None  # the other formats hold 8 bits
    try:
        layout = layout_of(path, raw)
        # Images that RGB cannot represent are read as stored, and keep their levels.
        if layout.dtype != "uint16" or not layout.is_rgb:
            return None
        return _depth(np.bincount(decode_stored_bytes(raw, path).ravel(), minlength=1))
    except DataError:
        return None


def _depth(counts: np.ndarray) -> Depth:
    values = np.flatnonzero(counts)
    left = np.unique(values >> 8)
    return Depth(int(values[0]), int(values[-1]), len(values), len(left))


def together(depths: Iterable[Depth]) -> Depth | None:
    """Combine the ranges of several images; the levels are those of the image with most of them."""
    rows = list(depths)
    if not rows:
        return None
    richest = max(rows, key=lambda depth: depth.levels)
    low, high = min(d.low for d in rows), max(d.high for d in rows)
    return Depth(low, high, richest.levels, richest.left)


def depth_in(dataset: Any) -> Depth | None:
    """Return the value range of the first 20 images of a dataset, or None if all have 8 bits."""
    found = []
    for index in range(min(len(dataset), _LOOKED_AT)):
        path = dataset.image_path(index)
        if path is None or isinstance(path, str):
            continue
        depth = depth_of(read_bytes(path, MAX_BYTES), path)
        found += [depth] if depth is not None else []
    return together(found)
